//! What becomes due, and the queue in which it waits.

use super::{AttemptId, Entry, Position, RunId, RunRecord, RunnerId, SnapshotId, Status, Timestamp};

/// What a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    /// The run.
    pub run: RunId,
    /// What of it is due.
    pub of: TimerOf,
}

/// What of a run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerOf {
    /// An armed snapshot.
    Snapshot(SnapshotId),
    /// The time until which this attempt waits at most.
    Deadline(AttemptId),
}

/// A timer as it was armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmedTimer {
    /// What it belongs to.
    pub key: TimerKey,
    /// Who armed it.
    pub runner: RunnerId,
    /// When it is due.
    pub due: Timestamp,
    /// Position of the entry that armed it.
    pub armed: Position,
    /// When that was recorded.
    pub armed_at: Timestamp,
}

/// The timers of one run, out of its record: at most a snapshot and a deadline. Position and time of arming are those of
/// the run's last entry with events, which is that of the arming or a later one.
pub fn timers_of(record: &RunRecord) -> Vec<ArmedTimer> {
    let run = &record.run;
    let armed = |of, runner: &RunnerId, due| ArmedTimer {
        key: TimerKey { run: run.id, of },
        runner: runner.clone(),
        due,
        armed: record.updated,
        armed_at: record.updated_at,
    };
    let snapshot =
        run.armed.iter().map(|snapshot| armed(TimerOf::Snapshot(snapshot.id), &snapshot.runner, snapshot.due));
    let deadline = match &run.status {
        Status::Waiting { on: _, deadline } => *deadline,
        Status::Created | Status::Started | Status::Exited | Status::Failed | Status::Destroyed { .. } => None,
    };
    let deadline = run
        .attempt
        .iter()
        .zip(deadline)
        .map(|(attempt, due)| armed(TimerOf::Deadline(attempt.id), &attempt.runner, due));
    snapshot.chain(deadline).collect()
}

/// Armed timers by when they are due: what a timekeeper asks.
///
/// # Contract
///
/// - A timer is armed by [`arm`](Self::arm) or by the entry that arms it, and disarmed by the entry that says that it was
///   dispatched or canceled, or for a deadline that the run no longer waits. Folding the same entry again is harmless.
/// - [`pop_due`](Self::pop_due) hands each out once per arming, by due time and then key, never before its due time, and
///   does not disarm it.
/// - It knows no clock: whoever asks says what time it is. The time may step in either direction.
pub trait TimerQueue: Send {
    /// Arms a timer; it replaces one of the same key, which is then handed out again.
    fn arm(&mut self, timer: ArmedTimer);

    /// Folds one more entry in.
    fn apply(&mut self, entry: &Entry);

    /// Hands out the first timer that is due and was not handed out before.
    fn pop_due(&mut self, now: Timestamp) -> Option<ArmedTimer>;

    /// No timer that was not handed out is due before this time; nothing as long as there is none.
    fn next_wake(&self) -> Option<Timestamp>;

    /// A timer, as long as it is armed, handed out or not.
    fn armed(&self, key: TimerKey) -> Option<ArmedTimer>;

    /// How many timers are armed.
    fn len(&self) -> usize;

    /// Whether none is armed.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
