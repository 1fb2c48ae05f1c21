//! All runs as they are.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord};

use crate::filter::RunFilter;
use crate::projection::Projection;

/// All runs, ended ones included, as they are at a position.
///
/// It answers offline, from the journal alone; memory grows with the number of runs, not of events. A running engine
/// keeps the runs that have not ended, and asks its journal for the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentState {
    position: Position,
    records: BTreeMap<RunId, RunRecord>,
    /// For each name the runs that bear it, the one that it stands for last. Follows from the records alone, so that
    /// records are all that a checkpoint must hold.
    names: BTreeMap<String, BTreeSet<(Claimed, RunId)>>,
}

/// How strongly a run claims its name: whoever holds it comes last, before it whoever gave it up last.
///
/// At most one run that has not ended holds a name, so 'the last one that took it' is the last one that gave it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claimed {
    Until(Position),
    Held { since: Position },
}

impl Claimed {
    fn by(record: &RunRecord) -> Self {
        match record.ended {
            Some((position, _)) => Self::Until(position),
            None => Self::Held { since: record.created },
        }
    }
}

impl CurrentState {
    /// The state before the first entry.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The state at a position, from its [records](Self::records).
    pub fn from_records(position: Position, records: Vec<RunRecord>) -> Self {
        let mut state = Self { position, ..Self::default() };
        records.into_iter().for_each(|record| state.put(record));
        state
    }

    /// All runs, by id. With [`position`](Projection::position) this is the whole state: what a checkpoint holds.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &RunRecord> {
        self.records.values()
    }

    /// All runs, by id, handed over.
    pub fn into_records(self) -> impl ExactSizeIterator<Item = RunRecord> {
        self.records.into_values()
    }

    /// One run, if it is known.
    pub fn run(&self, run: RunId) -> Option<&RunRecord> {
        self.records.get(&run)
    }

    /// The run that a name stands for: its present holder, else the one that held it last.
    pub fn named(&self, name: &str) -> Option<&RunRecord> {
        let (_, run) = self.names.get(name)?.last()?;
        self.records.get(run)
    }

    /// Every run that bears or bore a name, the one that the name stands for last.
    pub fn all_named(&self, name: &str) -> impl DoubleEndedIterator<Item = &RunRecord> {
        self.names.get(name).into_iter().flatten().filter_map(|(_, run)| self.records.get(run))
    }

    /// The runs that fit, by id.
    pub fn matching<'a>(&'a self, filter: &'a RunFilter) -> impl Iterator<Item = &'a RunRecord> {
        self.records.values().filter(|record| filter.fits(record))
    }

    fn put(&mut self, record: RunRecord) {
        let (run, claimed, name) = (record.run.id, Claimed::by(&record), record.run.spec.name.clone());
        if let Some(replaced) = self.records.insert(run, record) {
            self.forget_name(&replaced);
        }
        if let Some(name) = name {
            self.names.entry(name).or_default().insert((claimed, run));
        }
    }

    fn take(&mut self, run: RunId) -> Option<RunRecord> {
        let record = self.records.remove(&run)?;
        self.forget_name(&record);
        Some(record)
    }

    fn forget_name(&mut self, record: &RunRecord) {
        if let Some(bearers) = record.run.spec.name.as_ref().and_then(|name| self.names.get_mut(name)) {
            bearers.remove(&(Claimed::by(record), record.run.id));
        }
    }
}

impl Projection for CurrentState {
    const NAME: &'static str = "current-state";
    const VERSION: u32 = 1;

    fn apply(&mut self, entry: &Entry) {
        if entry.position <= self.position {
            return;
        }
        self.position = entry.position;
        let Some(run) = entry.run() else { return };
        let before = self.take(run);
        if let Some(record) = RunRecord::fold(before, entry) {
            self.put(record);
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}
