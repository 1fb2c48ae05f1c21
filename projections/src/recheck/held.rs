//! The runs on whose state commands are decided.

use std::collections::VecDeque;

use hashbrown::HashMap;
use tachograph_engine::domain::{
    Committed, Entry, EntryBody, Event, Events, Position, Run, RunId, RunRecord, RunState, Version, evolve,
};

/// Runs at hand, and the names that the open ones hold.
#[derive(Debug, Clone)]
pub(super) struct HeldRuns {
    runs: HashMap<RunId, Held>,
    /// Names held by runs that have not ended.
    names: HashMap<String, RunId>,
    /// Settled runs, those that were of use longest ago first, each with the number of that use; the last one counts.
    resting: VecDeque<(RunId, u64)>,
    uses: u64,
    /// How many settled runs are kept at hand.
    pub(super) settled_max: usize,
}

/// A run at hand.
#[derive(Debug, Clone)]
pub(super) struct Held {
    state: RunState,
    /// Position of the last entry about it.
    pub(super) last: Position,
    /// Whether all entries about it were seen.
    pub(super) is_whole: bool,
    used: u64,
}

impl Default for HeldRuns {
    fn default() -> Self {
        Self { runs: HashMap::new(), names: HashMap::new(), resting: VecDeque::new(), uses: 0, settled_max: usize::MAX }
    }
}

impl HeldRuns {
    /// Takes in runs as they were before the first entry.
    pub(super) fn begin(&mut self, records: Vec<RunRecord>) {
        for record in records {
            let run = &record.run;
            if let Some(name) = run.spec.name.as_ref().filter(|_| !run.is_ended()) {
                self.names.insert(name.clone(), run.id);
            }
            self.runs.insert(run.id, Held::of(record));
        }
    }

    /// A run, if it is at hand.
    pub(super) fn get(&self, run: RunId) -> Option<&Held> {
        self.runs.get(&run)
    }

    /// Its state; unknown if it is not at hand.
    pub(super) fn state(&self, run: RunId) -> &RunState {
        const UNKNOWN: &RunState = &RunState::Unknown;
        self.runs.get(&run).map_or(UNKNOWN, |held| &held.state)
    }

    /// The run that has not ended and holds the name.
    pub(super) fn holder(&self, name: &str) -> Option<RunId> {
        self.names.get(name).copied()
    }

    /// Folds a committed entry, and returns the version that it leads to.
    pub(super) fn advance(&mut self, entry: &Entry, committed: &Committed, is_whole: bool) -> Version {
        let run = committed.command.run;
        let held = self.runs.entry(run).or_insert_with(Held::unknown);
        held.is_whole &= is_whole;
        held.last = entry.position;
        held.fold(&committed.events);
        let version = held.state.version();
        self.see_name(run, &committed.events);
        self.rest(run);
        version
    }

    /// Passes an entry that changes nothing.
    pub(super) fn pass(&mut self, entry: &Entry, run: RunId, is_whole: bool) {
        match self.runs.get_mut(&run) {
            Some(held) => {
                held.is_whole &= is_whole;
                held.last = entry.position;
            }
            // Nothing is kept of a run that was never created.
            None if is_whole => return,
            None => drop(self.runs.insert(run, Held { last: entry.position, is_whole, ..Held::unknown() })),
        }
        self.rest(run);
    }

    /// Takes in a run that was let go, by its entries from the first on, or from its record on. It stays until the next
    /// entry about it.
    pub(super) fn recall(&mut self, run: RunId, base: Option<RunRecord>, history: &[Entry]) {
        let mut before = base.as_ref().map(|base| base.last);
        let mut held = base.map_or_else(Held::unknown, Held::of);
        for entry in history {
            held.is_whole &= entry.previous == before;
            before = Some(entry.position);
            held.last = entry.position;
            if let EntryBody::Committed(committed) = &entry.body {
                held.fold(&committed.events);
            }
        }
        if before.is_some() {
            self.runs.insert(run, held);
        }
    }

    fn see_name(&mut self, run: RunId, events: &Events) {
        let Some(known) = self.runs.get(&run).and_then(|held| held.state.run()) else { return };
        let Some(name) = &known.spec.name else { return };
        let takes = |event: &Event| matches!(event, Event::Created { .. } | Event::Started { .. });
        if known.is_ended() {
            if self.names.get(name) == Some(&run) {
                self.names.remove(name);
            }
        } else if events.iter().any(takes) {
            self.names.insert(name.clone(), run);
        }
    }

    /// Keeps a settled run at hand for a while longer, and lets go of those that were of use longest ago.
    fn rest(&mut self, run: RunId) {
        if self.settled_max == usize::MAX {
            return;
        }
        self.uses += 1;
        let Some(held) = self.runs.get_mut(&run).filter(|held| held.may_go()) else { return };
        held.used = self.uses;
        self.resting.push_back((run, self.uses));
        while self.resting.len() > self.settled_max {
            let Some((oldest, used)) = self.resting.pop_front() else { return };
            if self.runs.get(&oldest).is_some_and(|held| held.used == used && held.may_go()) {
                self.runs.remove(&oldest);
            }
        }
    }
}

impl Held {
    fn unknown() -> Self {
        Self { state: RunState::Unknown, last: Position::ZERO, is_whole: true, used: 0 }
    }

    fn of(record: RunRecord) -> Self {
        let last = record.last;
        Self { state: RunState::Known(Box::new(record.run)), last, is_whole: true, used: 0 }
    }

    fn fold(&mut self, events: &Events) {
        self.state = events.iter().fold(std::mem::take(&mut self.state), evolve);
    }

    /// Whether it can be let go, since its entries lead back to the same.
    fn may_go(&self) -> bool {
        self.is_whole && self.state.run().is_some_and(Run::is_settled)
    }
}
