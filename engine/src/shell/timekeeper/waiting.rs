//! What is due and waits for its turn.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{ArmedTimer, RunId, SnapshotId, TimerKey, TimerOf, Timestamp};

/// Due timers by due time and then key: the order in which they get their turn. Each can be taken out at any time.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    order: BTreeSet<(Timestamp, TimerKey)>,
    timers: BTreeMap<TimerKey, ArmedTimer>,
}

impl Waiting {
    /// Adds a timer; it replaces one of the same key.
    pub(super) fn insert(&mut self, timer: ArmedTimer) {
        self.remove(timer.key);
        self.order.insert((timer.due, timer.key));
        self.timers.insert(timer.key, timer);
    }

    pub(super) fn remove(&mut self, key: TimerKey) -> Option<ArmedTimer> {
        let timer = self.timers.remove(&key)?;
        self.order.remove(&(timer.due, key));
        Some(timer)
    }

    /// Takes out the one whose turn it is.
    pub(super) fn next(&mut self) -> Option<ArmedTimer> {
        let (_, key) = self.order.pop_first()?;
        self.timers.remove(&key)
    }

    /// The timers of a run: at most a few.
    pub(super) fn of_run(&self, run: RunId) -> Vec<ArmedTimer> {
        let first = TimerKey { run, of: TimerOf::Snapshot(SnapshotId::from_u128(0)) };
        let from = self.timers.range(first..).map(|(_, timer)| timer);
        from.take_while(|timer| timer.key.run == run).cloned().collect()
    }
}
