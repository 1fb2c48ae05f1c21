//! All runs at a position, cheap to keep several times and to take one entry back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord, StatusName};
use tachograph_projections::{CurrentState, Projection};

/// Where each run was created. It holds for every position: what is created later is not among the records yet.
#[derive(Debug, Default)]
pub(crate) struct Births(HashMap<RunId, Position>);

impl Births {
    pub(crate) fn of(&self, run: RunId) -> Option<Position> {
        self.0.get(&run).copied()
    }
}

/// All runs at a position, in the order of their creation. A copy shares the records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Runs {
    position: Position,
    records: BTreeMap<Position, Arc<RunRecord>>,
    counts: [usize; StatusName::ALL.len()],
}

/// What an entry replaced.
#[derive(Debug, Clone)]
pub(crate) struct Undo {
    /// The position before the entry.
    from: Position,
    /// Where its run was created, if it is about one that exists.
    born: Option<Position>,
    /// The run before it; absent if the entry created it.
    before: Option<Arc<RunRecord>>,
}

impl Undo {
    /// The entry's run before it.
    pub(crate) fn before(&self) -> Option<&Arc<RunRecord>> {
        self.before.as_ref()
    }
}

impl Runs {
    /// The same runs as of a fold that was saved.
    pub(crate) fn of(state: &CurrentState, births: &mut Births) -> Self {
        let mut runs = Self { position: state.position(), ..Self::default() };
        for record in state.records() {
            births.0.insert(record.run.id, record.created);
            runs.put(Arc::new(record.clone()));
        }
        runs
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn records(&self) -> &BTreeMap<Position, Arc<RunRecord>> {
        &self.records
    }

    pub(crate) fn run(&self, run: RunId, births: &Births) -> Option<&Arc<RunRecord>> {
        self.records.get(&births.of(run)?)
    }

    /// Runs in this status.
    pub(crate) fn count(&self, status: StatusName) -> usize {
        self.counts[place(status)]
    }

    /// Folds the next entry in.
    pub(crate) fn apply(&mut self, entry: &Entry, births: &mut Births) {
        self.fold(entry, births, false);
    }

    /// The same, and returns what is needed to take it back.
    pub(crate) fn apply_undoable(&mut self, entry: &Entry, births: &mut Births) -> Undo {
        self.fold(entry, births, true)
    }

    fn fold(&mut self, entry: &Entry, births: &mut Births, keeps: bool) -> Undo {
        let from = std::mem::replace(&mut self.position, entry.position);
        let nothing = Undo { from, born: None, before: None };
        let Some(run) = entry.run() else { return nothing };
        let taken = births.of(run).and_then(|born| self.take(born));
        let before = taken.clone().filter(|_| keeps);
        let Some(record) = RunRecord::fold(taken.map(Arc::unwrap_or_clone), entry) else { return nothing };
        let born = record.created;
        births.0.insert(run, born);
        self.put(Arc::new(record));
        Undo { born: Some(born), before, ..nothing }
    }

    fn take_back(&mut self, undo: Undo) {
        self.position = undo.from;
        if let Some(born) = undo.born {
            self.take(born);
        }
        if let Some(before) = undo.before {
            self.put(before);
        }
    }

    fn put(&mut self, record: Arc<RunRecord>) {
        self.counts[place(record.run.status.name())] += 1;
        self.records.insert(record.created, record);
    }

    fn take(&mut self, born: Position) -> Option<Arc<RunRecord>> {
        let record = self.records.remove(&born)?;
        self.counts[place(record.run.status.name())] -= 1;
        Some(record)
    }
}

fn place(status: StatusName) -> usize {
    StatusName::ALL.iter().position(|known| *known == status).unwrap_or(0)
}

/// All runs at a position, and the way back over the last entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    pub(crate) runs: Runs,
    /// What the last entries replaced, the last one at the back; without gaps up to the position of the runs.
    undo: VecDeque<Undo>,
}

impl Fleet {
    /// A beginning from which nothing can be taken back yet.
    pub(crate) fn at(runs: Runs) -> Self {
        Self { runs, undo: VecDeque::new() }
    }

    /// Folds an entry in that can be taken back as long as it is among the last so many.
    pub(crate) fn step(&mut self, entry: &Entry, births: &mut Births, undo_max: usize) {
        self.undo.push_back(self.runs.apply_undoable(entry, births));
        while self.undo.len() > undo_max {
            self.undo.pop_front();
        }
    }

    /// Folds an entry in that will not be taken back.
    pub(crate) fn pass(&mut self, entry: &Entry, births: &mut Births) {
        self.undo.clear();
        self.runs.apply(entry, births);
    }

    /// Whether taking entries back leads to a position.
    pub(crate) fn leads_back_to(&self, to: Position) -> bool {
        self.undo.front().is_some_and(|first| first.from <= to)
    }

    /// Takes entries back until none after the position is left.
    pub(crate) fn back_to(&mut self, to: Position) {
        while self.runs.position > to {
            let Some(undo) = self.undo.pop_back() else { return };
            self.runs.take_back(undo);
        }
    }

    /// What the last entry replaced, if that is known.
    pub(crate) fn last(&self) -> Option<&Undo> {
        self.undo.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_engine::domain::testing::{Given, command, ids, spec};
    use tachograph_engine::domain::{Action, Committed, Decision, EntryBody, Timestamp, Version};

    fn created(number: u64) -> Entry {
        let command = command(ids::run(number), Action::Create { spec: Arc::new(spec(&format!("job-{number}"))) });
        let Ok(Decision::Append(events)) = Given::nothing().fleet().decide(&command) else { panic!("it is accepted") };
        let body = EntryBody::Committed(Committed { command, version: Version(1), events });
        let recorded_at = Timestamp::from_micros(0);
        Entry { id: ids::entry(number), position: Position(number), recorded_at, previous: None, body }
    }

    #[test]
    fn what_can_be_taken_back_is_bounded_and_the_way_back_ends_there() {
        let (mut fleet, mut births) = (Fleet::default(), Births::default());
        (1..=20).for_each(|number| fleet.step(&created(number), &mut births, 5));
        assert_eq!(fleet.undo.len(), 5);
        assert!(fleet.leads_back_to(Position(15)) && !fleet.leads_back_to(Position(14)));
        fleet.back_to(Position(15));
        assert_eq!((fleet.runs.position(), fleet.runs.records().len()), (Position(15), 15));
        assert_eq!(fleet.runs.count(StatusName::Created), 15);
    }
}
