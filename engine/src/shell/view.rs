//! What readers see: the open runs as of the last acknowledged batch.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::working::FastMap;
use crate::domain::{Position, RunId, RunRecord};
use crate::ports::{JournalError, JournalReader};

/// Open runs by id, and ended ones of which a snapshot is being taken. All others are read from the journal.
#[derive(Default)]
pub(super) struct View {
    runs: RwLock<FastMap<RunId, Arc<RunRecord>>>,
    progress: watch::Sender<Progress>,
}

/// How far the view is, compared with the journal.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Up to here it shows all that this engine wrote.
    published: Position,
    /// A batch is being written: the journal may have it already, and the view does not.
    is_writing: bool,
}

impl Progress {
    /// Whether an entry here may be one that the view does not show yet.
    const fn is_before(self, position: Position) -> bool {
        self.is_writing && self.published.0 < position.0
    }
}

impl View {
    /// A batch is about to be written.
    pub(super) fn writing(&self) {
        self.progress.send_modify(|progress| progress.is_writing = true);
    }

    /// What was written is shown, up to here; if nothing was, there is no position.
    pub(super) fn written(&self, last: Option<Position>) {
        self.progress.send_modify(|progress| {
            *progress = Progress { published: last.unwrap_or(progress.published), is_writing: false };
        });
    }

    /// Whether an entry that can be read from the journal may not be shown yet.
    pub(super) fn is_behind(&self, position: Position) -> bool {
        self.progress.borrow().is_before(position)
    }

    /// Returns once an entry that can be read from the journal is shown; if the journal failed, never.
    pub(super) async fn caught_up(&self, position: Position) {
        // The sender is in this very view, so there is no error.
        let _ = self.progress.subscribe().wait_for(|progress| !progress.is_before(position)).await;
    }

    /// A position up to which everything is shown, no further than this end of the journal.
    pub(super) fn shown(&self, head: Position) -> Position {
        let progress = *self.progress.borrow();
        if progress.is_before(head) { progress.published } else { head }
    }

    /// Publishes what a durable batch changed: the record of an open run, or that it is open no more.
    pub(super) fn publish(&self, changes: impl IntoIterator<Item = (RunId, Option<Arc<RunRecord>>)>) {
        // The map is valid between any two operations on it, so a reader that panicked has broken nothing.
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        for (run, record) in changes {
            match record {
                Some(record) => runs.insert(run, record),
                None => runs.remove(&run),
            };
        }
    }

    /// An open run.
    pub(super) fn get(&self, run: RunId) -> Option<Arc<RunRecord>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    /// All of these runs that fit, by id.
    pub(super) fn all(&self, fits: impl Fn(&RunRecord) -> bool) -> Vec<Arc<RunRecord>> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let mut runs: Vec<_> = runs.values().filter(|record| fits(record)).cloned().collect();
        runs.sort_unstable_by_key(|record| record.run.id);
        runs
    }
}

/// A run out of its history in the journal.
pub(super) async fn load(reader: &dyn JournalReader, run: RunId) -> Result<Option<RunRecord>, JournalError> {
    reader.record(run).await
}
