//! What the committer decides on: the state of runs as of the last command it decided, durable or not yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::view;
use crate::domain::{Entry, Event, Events, Run, RunId, RunRecord, RunState, evolve};
use crate::ports::{JournalError, JournalReader};

/// Ended runs that are kept at hand, for the reports that follow shortly after an end.
const RESTING_MAX: usize = 1_024;

/// The committer's own state: open runs, some that ended lately, and the batch that is being decided.
#[derive(Default)]
pub(super) struct Working {
    open: HashMap<RunId, Arc<RunRecord>>,
    /// Names held by open runs, those that the batch will open or has ended included.
    names: HashMap<String, RunId>,
    resting: HashMap<RunId, Arc<RunRecord>>,
    resting_order: VecDeque<RunId>,
    /// States of runs that the batch touches, ahead of what is durable.
    ahead: HashMap<RunId, RunState>,
}

impl Working {
    /// Begins with these open runs.
    pub(super) fn new(records: impl IntoIterator<Item = Arc<RunRecord>>) -> Self {
        let mut working = Self::default();
        for record in records {
            if let Some(name) = &record.run.spec.name {
                working.names.insert(name.clone(), record.run.id);
            }
            working.open.insert(record.run.id, record);
        }
        working
    }

    /// Open runs, in no order.
    pub(super) fn open(&self) -> impl Iterator<Item = &Arc<RunRecord>> {
        self.open.values()
    }

    /// The record of a run as of the last durable batch, if it is at hand.
    pub(super) fn record(&self, run: RunId) -> Option<&Arc<RunRecord>> {
        self.open.get(&run).or_else(|| self.resting.get(&run))
    }

    /// The state to decide on, read from the journal if it is not at hand.
    pub(super) async fn state(&mut self, reader: &dyn JournalReader, run: RunId) -> Result<&RunState, JournalError> {
        if !self.ahead.contains_key(&run) {
            if self.record(run).is_none()
                && let Some(record) = view::load(reader, run).await?
            {
                self.keep(Arc::new(record));
            }
            let state =
                self.record(run).map_or(RunState::Unknown, |record| RunState::Known(Box::new(record.run.clone())));
            self.ahead.insert(run, state);
        }
        Ok(self.ahead.entry(run).or_default())
    }

    /// The open run that holds a name.
    pub(super) fn holder(&self, name: &str) -> Option<RunId> {
        self.names.get(name).copied()
    }

    /// Advances the state that the next command of the batch is decided on.
    pub(super) fn advance(&mut self, run: RunId, events: &Events) {
        let state = self.ahead.remove(&run).unwrap_or_default();
        let state = events.iter().fold(state, evolve);
        if let Some(known) = state.run() {
            let takes = |event: &Event| matches!(event, Event::Created { .. } | Event::Started { .. });
            match &known.spec.name {
                Some(name) if known.is_ended() => self.release(name.clone(), run),
                Some(name) if events.iter().any(takes) => drop(self.names.insert(name.clone(), run)),
                Some(_) | None => {}
            }
        }
        self.ahead.insert(run, state);
    }

    /// Takes in the durable entries of the batch, and returns what changed for readers.
    pub(super) fn settle(&mut self, entries: &[Arc<Entry>]) -> Vec<(RunId, Option<Arc<RunRecord>>)> {
        self.ahead.clear();
        let mut changes = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(run) = entry.run() else { continue };
            let before = self.take(run);
            if let Some(record) = RunRecord::fold(before, entry) {
                let record = Arc::new(record);
                changes.push((run, (!record.run.is_ended()).then(|| record.clone())));
                self.keep(record);
            }
        }
        self.trim_resting();
        changes
    }

    /// Forgets the batch and everything about the runs that it touches: they are read again from the journal.
    pub(super) fn forget_batch(&mut self) {
        for (run, state) in std::mem::take(&mut self.ahead) {
            let record = self.take(run);
            let name = state.run().or(record.as_ref().map(|record| &record.run)).and_then(|run| run.spec.name.clone());
            if let Some(name) = name {
                self.release(name, run);
            }
        }
    }

    fn take(&mut self, run: RunId) -> Option<RunRecord> {
        let record = self.open.remove(&run).or_else(|| self.resting.remove(&run))?;
        Some(Arc::unwrap_or_clone(record))
    }

    fn keep(&mut self, record: Arc<RunRecord>) {
        let Run { id, .. } = record.run;
        if !record.run.is_ended() {
            if let Some(name) = &record.run.spec.name {
                self.names.entry(name.clone()).or_insert(id);
            }
            self.open.insert(id, record);
            return;
        }
        // A run may begin and end within one batch: then its name was taken in again on the way here.
        if let Some(name) = record.run.spec.name.clone() {
            self.release(name, id);
        }
        self.resting.insert(id, record);
        self.resting_order.push_back(id);
    }

    /// Lets go of the runs that ended longest ago. Between batches only: all that a batch touches stays at hand for it.
    fn trim_resting(&mut self) {
        // A run may stand in the order more than once, when it ended, was read and ended again: what matters is that
        // both are bounded.
        while self.resting_order.len() > RESTING_MAX {
            if let Some(oldest) = self.resting_order.pop_front()
                && !self.resting_order.contains(&oldest)
            {
                self.resting.remove(&oldest);
            }
        }
    }

    fn release(&mut self, name: String, run: RunId) {
        if self.names.get(&name) == Some(&run) {
            self.names.remove(&name);
        }
    }
}
