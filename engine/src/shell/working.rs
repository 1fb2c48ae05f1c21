//! What the committer decides on: the state of runs as of the last command it decided, durable or not yet.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::view;
use crate::domain::{Entry, Event, Events, RunId, RunRecord, RunState, evolve};
use crate::ports::{JournalError, JournalReader};

/// Ended runs that are kept at hand, for the reports that follow shortly after an end.
const RESTING_MAX: usize = 1_024;

/// Ids are looked up several times per command, so their hash should cost little; it is seeded all the same.
pub(super) type FastHash = foldhash::fast::RandomState;
/// A map by ids.
pub(super) type FastMap<K, V> = HashMap<K, V, FastHash>;

/// The committer's own state: open runs, some that ended lately, and the batch that is being decided.
#[derive(Default)]
pub(super) struct Working {
    runs: FastMap<RunId, Known>,
    /// Names held by open runs, those that the batch will open or has ended included.
    names: FastMap<String, RunId>,
    /// Ended runs among `runs`, those that were of use longest ago first, each with the number of that use. A run may
    /// stand here more than once; its last use counts.
    resting: VecDeque<(RunId, u64)>,
    /// How often an ended run was of use.
    uses: u64,
    /// Runs that the batch has asked for.
    touched: Vec<RunId>,
}

/// A run that is at hand.
struct Known {
    /// As of the last durable batch; absent as long as nothing about the run is.
    record: Option<Arc<RunRecord>>,
    /// As of the last command that was decided.
    ahead: RunState,
    /// The number of its last use since it ended.
    used: u64,
}

impl Known {
    fn new(record: Option<Arc<RunRecord>>) -> Self {
        let ahead = record.as_ref().map_or(RunState::Unknown, |record| RunState::Known(Box::new(record.run.clone())));
        Self { record, ahead, used: 0 }
    }
}

impl Working {
    /// Begins with these open runs.
    pub(super) fn new(records: impl IntoIterator<Item = Arc<RunRecord>>) -> Self {
        let mut working = Self::default();
        for record in records {
            let run = record.run.id;
            if let Some(name) = record.run.spec.name.as_ref().filter(|_| !record.run.is_ended()) {
                working.names.insert(name.clone(), run);
            }
            working.runs.insert(run, Known::new(Some(record)));
        }
        working
    }

    /// Runs that are durably open or of which a snapshot is being taken, in no order.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &Arc<RunRecord>> {
        self.runs.values().filter_map(|known| known.record.as_ref()).filter(|record| !record.run.is_settled())
    }

    /// The record of a run as of the last durable batch, if it is at hand.
    pub(super) fn record(&self, run: RunId) -> Option<&Arc<RunRecord>> {
        self.runs.get(&run).and_then(|known| known.record.as_ref())
    }

    /// The state to decide on, read from the journal if it is not at hand.
    #[expect(clippy::map_entry, reason = "reading the journal needs the map in between")]
    pub(super) async fn state(&mut self, reader: &dyn JournalReader, run: RunId) -> Result<&RunState, JournalError> {
        if !self.runs.contains_key(&run) {
            let record = view::load(reader, run).await?.map(Arc::new);
            let found = record.clone();
            self.runs.insert(run, Known::new(record));
            if let Some(record) = found {
                self.found(&record);
            }
        }
        self.touched.push(run);
        Ok(&self.runs.entry(run).or_insert_with(|| Known::new(None)).ahead)
    }

    /// The open run that holds a name.
    pub(super) fn holder(&self, name: &str) -> Option<RunId> {
        self.names.get(name).copied()
    }

    /// Advances the state that the next command of the batch is decided on.
    pub(super) fn advance(&mut self, run: RunId, events: &Events) {
        let Some(known) = self.runs.get_mut(&run) else { return };
        known.ahead = events.iter().fold(std::mem::take(&mut known.ahead), evolve);
        let Some(ahead) = known.ahead.run() else { return };
        let takes = |event: &Event| matches!(event, Event::Created { .. } | Event::Started { .. });
        match &ahead.spec.name {
            Some(name) if ahead.is_ended() => {
                let name = name.clone();
                self.release(&name, run);
            }
            Some(name) if events.iter().any(takes) => drop(self.names.insert(name.clone(), run)),
            Some(_) | None => {}
        }
    }

    /// Takes in the durable entries of the batch, and returns what changed for readers.
    pub(super) fn settle(&mut self, entries: &[Entry]) -> Vec<(RunId, Option<Arc<RunRecord>>)> {
        let mut changes = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(run) = entry.run() else { continue };
            let Some(known) = self.runs.get_mut(&run) else { continue };
            let before = known.record.take();
            let Some(record) = RunRecord::fold(before.map(Arc::unwrap_or_clone), entry) else { continue };
            let is_settled = record.run.is_settled();
            let record = Arc::new(record);
            changes.push((run, (!is_settled).then(|| record.clone())));
            known.record = Some(record);
            if is_settled {
                self.rest(run);
            }
        }
        self.end_batch();
        changes
    }

    /// Gives up the batch: all runs that it touches are read again from the journal, which another writer changed.
    /// Returns what changed for readers.
    pub(super) async fn reload_batch(
        &mut self,
        reader: &dyn JournalReader,
    ) -> Result<Vec<(RunId, Option<Arc<RunRecord>>)>, JournalError> {
        let touched: BTreeSet<RunId> = std::mem::take(&mut self.touched).into_iter().collect();
        for run in &touched {
            let Some(known) = self.runs.remove(run) else { continue };
            let name = known.ahead.run().and_then(|ahead| ahead.spec.name.clone());
            if let Some(name) = name {
                self.release(&name, *run);
            }
        }
        let mut changes = Vec::with_capacity(touched.len());
        for run in touched {
            let Some(record) = view::load(reader, run).await?.map(Arc::new) else { continue };
            self.runs.insert(run, Known::new(Some(record.clone())));
            self.found(&record);
            changes.push((run, (!record.run.is_settled()).then_some(record)));
        }
        Ok(changes)
    }

    /// Lets go of runs that do not exist, and of those that ended longest ago. Between batches only: all that a batch
    /// touches stays at hand for it.
    fn end_batch(&mut self) {
        for run in std::mem::take(&mut self.touched) {
            if self.runs.get(&run).is_some_and(|known| known.record.is_none()) {
                self.runs.remove(&run);
            }
        }
        while self.resting.len() > RESTING_MAX {
            let Some((oldest, use_number)) = self.resting.pop_front() else { break };
            let is_last_use = |known: &Known| known.used == use_number;
            let is_settled = self.record(oldest).is_some_and(|record| record.run.is_settled());
            if is_settled && self.runs.get(&oldest).is_some_and(is_last_use) {
                self.runs.remove(&oldest);
            }
        }
    }

    /// Keeps an ended run at hand for a while longer.
    fn rest(&mut self, run: RunId) {
        self.uses += 1;
        if let Some(known) = self.runs.get_mut(&run) {
            known.used = self.uses;
            self.resting.push_back((run, self.uses));
        }
    }

    /// A run that was read from the journal: one that ended before, or that another writer of a shared store changed.
    fn found(&mut self, record: &RunRecord) {
        let run = record.run.id;
        if record.run.is_settled() {
            self.rest(run);
        }
        if let Some(name) = record.run.spec.name.as_ref().filter(|_| !record.run.is_ended()) {
            self.names.entry(name.clone()).or_insert(run);
        }
    }

    fn release(&mut self, name: &str, run: RunId) {
        if self.names.get(name) == Some(&run) {
            self.names.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{claim, command, ids, spec};
    use crate::domain::{
        Action, Committed, Decision, EntryBody, Exit, ExitStatus, Position, StartMode, Timestamp, Version, Witness,
        decide,
    };

    /// Decides and settles one command, as a batch of its own.
    fn commit(working: &mut Working, position: u64, command: crate::domain::Command) {
        let run = command.run;
        let state = &working.runs.entry(run).or_insert_with(|| Known::new(None)).ahead;
        let before = state.version();
        let Ok(Decision::Append(events)) = decide(state, &command) else { panic!("{command:?}") };
        working.touched.push(run);
        working.advance(run, &events);
        let version = Version(before.0 + events.len() as u64);
        let entry = Entry {
            id: ids::entry(position),
            position: Position(position),
            recorded_at: Timestamp::from_micros(0),
            previous: None,
            body: EntryBody::Committed(Committed { command, version, events }),
        };
        working.settle(&[entry]);
    }

    #[test]
    fn memory_is_bounded_by_open_runs_whatever_has_ended() {
        let mut working = Working::default();
        let mut position = 0;
        for number in 0..3 * RESTING_MAX as u64 {
            let run = ids::run(number);
            let mine = claim(run, number, "r1");
            let start = Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh };
            let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
            let create = Action::Create { spec: Arc::new(spec(&format!("job-{number}"))) };
            for action in [create, start, Action::Exit { claim: mine, exit }] {
                position += 1;
                commit(&mut working, position, command(run, action));
            }
        }
        assert_eq!(working.runs.len(), RESTING_MAX);
        assert_eq!((working.names.len(), working.touched.len(), working.unsettled().count()), (0, 0, 0));
        assert!(working.record(ids::run(3 * RESTING_MAX as u64 - 1)).is_some(), "the latest is at hand");
    }
}
