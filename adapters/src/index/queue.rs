//! What is to be written to the index, between those who bring it and the thread that writes it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;

use super::place::Place;
use super::row::Bytes;

/// So many rows that are not written yet are worth a warning: sled does not keep up, and memory grows. Nobody waits for
/// it all the same, for those who bring rows are those who append entries.
const ROWS_MANY: usize = if cfg!(test) { 1_000 } else { 524_288 };
/// How long to wait for sled before going on without it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the thread and everybody else know of.
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) queue: Mutex<Queue>,
    pub(super) changed: Condvar,
    /// Taken out when it is closed.
    pub(super) db: RwLock<Option<sled::Db>>,
    #[cfg(test)]
    pub(super) fails_writes: std::sync::atomic::AtomicBool,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Queue {
    /// Rows of a batch that is not complete.
    pub(super) staged: HashMap<Bytes, Bytes>,
    /// Rows up to `end`.
    pub(super) pending: HashMap<Bytes, Bytes>,
    /// Rows that are being written.
    pub(super) writing: Arc<HashMap<Bytes, Bytes>>,
    pub(super) end: (Position, Digest),
    pub(super) written: Position,
    /// Whether the journal is open: before, rows are only collected.
    pub(super) caught_up: bool,
    /// Whether it was warned that there are many of them.
    pub(super) lagged: bool,
    /// Whether the thread waits for work.
    pub(super) idle: bool,
    /// Whether somebody waits for `written` to reach `end`.
    pub(super) urgent: bool,
    /// Writing failed: everything stays in memory from here on.
    pub(super) stuck: bool,
    /// Reading failed: nothing can be answered any more.
    pub(super) lost: Option<String>,
    pub(super) stop: Option<Stop>,
    /// The thread has ended.
    pub(super) stopped: bool,
    /// It did not end in time, and is not waited for again.
    pub(super) overdue: bool,
}

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// As a crash would.
    Abandon,
    /// With everything written and synced.
    Close,
}

impl Queue {
    pub(super) fn empty() -> Self {
        Self {
            staged: HashMap::new(),
            pending: HashMap::new(),
            writing: Arc::default(),
            end: (Position::ZERO, Digest::ZERO),
            written: Position::ZERO,
            caught_up: false,
            lagged: false,
            idle: false,
            urgent: false,
            stuck: false,
            lost: None,
            stop: None,
            stopped: false,
            overdue: false,
        }
    }

    /// A row that is not in sled yet.
    pub(super) fn waiting(&self, key: &[u8]) -> Option<&Bytes> {
        self.staged.get(key).or_else(|| self.pending.get(key)).or_else(|| self.writing.get(key))
    }

    pub(super) fn can_shrink(&self) -> bool {
        !self.stuck && !self.stopped && self.lost.is_none()
    }

    /// Whether to warn, for the first time, that rows are brought faster than they are written.
    pub(super) fn lags(&mut self) -> bool {
        let lags = self.caught_up && !self.lagged && self.pending.len() + self.writing.len() > ROWS_MANY;
        self.lagged |= lags;
        lags
    }
}

impl Shared {
    pub(super) fn lost_error(&self, why: &str) -> JournalError {
        let why = format!("{why}; open the journal again, and the index is rebuilt");
        JournalError::io("read the index in", self.place.path(), io::Error::other(why))
    }

    /// Waits until something is no longer so, or patience ends.
    pub(super) fn wait_while<'queue>(
        &self,
        queue: MutexGuard<'queue, Queue>,
        so: impl FnMut(&mut Queue) -> bool,
    ) -> MutexGuard<'queue, Queue> {
        let waited = self.changed.wait_timeout_while(queue, PATIENCE, so);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
