//! What a timekeeper did, and what it left.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ArmedTimer;
use crate::ports::JournalError;

/// What a timekeeper did until it ended, and what had not fired by then.
#[derive(Debug, Clone)]
pub struct TimekeeperReport {
    /// Why it ended.
    pub end: TimekeeperEnd,
    /// Snapshots that it dispatched.
    pub dispatched: u64,
    /// Images that it recorded, those found after a crash included.
    pub taken: u64,
    /// Snapshots that it recorded as failed, those lost in a crash included.
    pub failed: u64,
    /// Deadlines that it told of.
    pub passed: u64,
    /// What was armed and had not fired, by due time and then key: snapshots that were not dispatched and deadlines that
    /// were not told. They stay armed in the journal, and fire under the next timekeeper.
    pub pending: Vec<ArmedTimer>,
}

/// Why a timekeeper ended.
#[derive(Debug, Clone)]
pub enum TimekeeperEnd {
    /// Its handle said so, and what was under way was finished.
    Stopped,
    /// The engine closed, or its journal failed. Snapshots under way were given up; the next open decides them.
    EngineClosed,
    /// The journal could not be followed any more. What was under way was finished.
    Journal(JournalError),
}

/// Stops a timekeeper. Dropping it stops nothing.
#[derive(Debug, Clone)]
pub struct TimekeeperHandle {
    pub(super) stop: Arc<watch::Sender<bool>>,
}

impl TimekeeperHandle {
    /// From now on nothing more is dispatched or told. What is under way is finished, within its own limits; then
    /// [`run`](super::Timekeeper::run) returns. Stopping again, or after the end, is no error.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
