//! What is due when.

use hashbrown::HashMap;
use tachograph_engine::domain::{
    ArmedTimer, Entry, EntryBody, Event, Position, RunId, RunnerId, TimerKey, TimerOf, TimerQueue, Timestamp,
};

use crate::projection::Projection;
use crate::wheel::TimerWheel;

/// All armed snapshots and waiting deadlines, by when they are due.
///
/// A timer is armed from the entry that arms it to the entry that says that it was dispatched or canceled, or for a
/// deadline that the run no longer waits. [`pop_due`](Self::pop_due) hands each out once, but only an entry disarms it:
/// a fold that is built anew, as after a crash, hands out again what was handed out and never recorded.
///
/// Memory grows with armed timers, not with history. Two are equal if they were folded up to the same position with the
/// same timers armed, whatever was handed out.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    position: Position,
    armed: HashMap<RunId, OfRun>,
    /// How many timers those are.
    count: usize,
    /// Follows from what is armed alone, so that this is all that a checkpoint must hold.
    wheel: TimerWheel<TimerKey>,
}

/// A run has at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OfRun {
    snapshot: Option<ArmedTimer>,
    deadline: Option<ArmedTimer>,
}

impl OfRun {
    fn slot(&mut self, of: TimerOf) -> &mut Option<ArmedTimer> {
        match of {
            TimerOf::Snapshot(_) => &mut self.snapshot,
            TimerOf::Deadline(_) => &mut self.deadline,
        }
    }

    fn timers(&self) -> impl Iterator<Item = &ArmedTimer> {
        self.snapshot.iter().chain(&self.deadline)
    }
}

impl Timers {
    /// Before the first entry: nothing is armed.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The timers at a position, from what was [armed](Self::armed).
    pub fn from_armed(position: Position, armed: Vec<ArmedTimer>) -> Self {
        let mut timers = Self { position, ..Self::default() };
        armed.into_iter().for_each(|timer| timers.arm(timer));
        timers
    }

    /// All armed timers, by key. With [`position`](Projection::position) this is the whole state: what a checkpoint
    /// holds.
    pub fn armed(&self) -> Vec<&ArmedTimer> {
        let mut armed: Vec<&ArmedTimer> = self.armed.values().flat_map(OfRun::timers).collect();
        armed.sort_unstable_by_key(|timer| timer.key);
        armed
    }

    /// The armed timers of one run: at most a snapshot and a deadline.
    pub fn of_run(&self, run: RunId) -> impl Iterator<Item = &ArmedTimer> {
        self.armed.get(&run).into_iter().flat_map(OfRun::timers)
    }

    /// One timer, if it is armed.
    pub fn timer(&self, key: TimerKey) -> Option<&ArmedTimer> {
        self.of_run(key.run).find(|timer| timer.key == key)
    }

    /// Hands out the first timer that is due and was not handed out before, if there is one.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<&ArmedTimer> {
        let due = self.wheel.pop_due(now)?;
        self.timer(due.key)
    }

    /// When to ask for due timers again; see [`TimerWheel::next_wake`]. Nothing as long as no other is armed.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wheel.next_wake()
    }

    fn arm(&mut self, timer: ArmedTimer) {
        let key = timer.key;
        self.wheel.insert(key, timer.due);
        let replaced = self.armed.entry(key.run).or_default().slot(key.of).replace(timer);
        self.count += usize::from(replaced.is_none());
        if let Some(replaced) = replaced.filter(|replaced| replaced.key != key) {
            self.wheel.cancel(&replaced.key);
        }
    }

    fn disarm(&mut self, run: RunId, which: impl Fn(&ArmedTimer) -> bool) {
        let Some(of_run) = self.armed.get_mut(&run) else { return };
        for slot in [&mut of_run.snapshot, &mut of_run.deadline] {
            if let Some(timer) = slot.take_if(|timer| which(timer)) {
                self.count -= 1;
                self.wheel.cancel(&timer.key);
            }
        }
        if *of_run == OfRun::default() {
            self.armed.remove(&run);
        }
    }

    fn event(&mut self, entry: &Entry, run: RunId, holder: &RunnerId, event: &Event) {
        let armed = |of, runner: &RunnerId, due| ArmedTimer {
            key: TimerKey { run, of },
            runner: runner.clone(),
            due,
            armed: entry.position,
            armed_at: entry.recorded_at,
        };
        if event.leads_to().is_some() {
            self.disarm(run, |timer| matches!(timer.key.of, TimerOf::Deadline(_)));
        }
        match event {
            Event::Waiting { attempt, on: _, deadline: Some(deadline) } => {
                self.arm(armed(TimerOf::Deadline(*attempt), holder, *deadline));
            }
            Event::SnapshotScheduled { snapshot, runner, due } => {
                self.arm(armed(TimerOf::Snapshot(*snapshot), runner, *due));
            }
            Event::SnapshotCanceled { snapshot, .. } | Event::SnapshotDispatched { snapshot } => {
                self.disarm(run, |timer| timer.key.of == TimerOf::Snapshot(*snapshot));
            }
            Event::Created { .. }
            | Event::Started { .. }
            | Event::Waiting { deadline: None, .. }
            | Event::Exited { .. }
            | Event::Failed { .. }
            | Event::Destroyed { .. }
            | Event::SnapshotTaken { .. }
            | Event::SnapshotFailed { .. }
            | Event::RunnerDisconnected { .. }
            | Event::ExitAmended { .. }
            | Event::Reconciled { .. } => {}
        }
    }
}

impl PartialEq for Timers {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position && self.armed == other.armed
    }
}

impl Eq for Timers {}

impl Projection for Timers {
    const NAME: &'static str = "timers";
    const VERSION: u32 = 1;

    fn apply(&mut self, entry: &Entry) {
        if entry.position <= self.position {
            return;
        }
        self.position = entry.position;
        let EntryBody::Committed(committed) = &entry.body else { return };
        let command = &committed.command;
        // Waiting is reported by the holder of the attempt; only the command says who that was.
        let holder = match command.action.claim() {
            Some(claim) => claim.runner.clone(),
            None => RunnerId::new(command.actor.id.clone()),
        };
        committed.events.iter().for_each(|event| self.event(entry, command.run, &holder, event));
    }

    fn position(&self) -> Position {
        self.position
    }
}

impl TimerQueue for Timers {
    fn arm(&mut self, timer: ArmedTimer) {
        Self::arm(self, timer);
    }

    fn apply(&mut self, entry: &Entry) {
        Projection::apply(self, entry);
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<ArmedTimer> {
        Self::pop_due(self, now).cloned()
    }

    fn next_wake(&self) -> Option<Timestamp> {
        Self::next_wake(self)
    }

    fn armed(&self, key: TimerKey) -> Option<ArmedTimer> {
        self.timer(key).cloned()
    }

    fn len(&self) -> usize {
        self.count
    }
}
