//! What readers see: the open runs as of the last acknowledged batch.

use std::sync::{Arc, PoisonError, RwLock};

use super::working::FastMap;
use crate::domain::{RunId, RunRecord};
use crate::ports::{JournalError, JournalReader};

/// Open runs by id, and ended ones of which a snapshot is being taken. All others are read from the journal.
#[derive(Default)]
pub(super) struct View {
    runs: RwLock<FastMap<RunId, Arc<RunRecord>>>,
}

impl View {
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
    if reader.run_head(run).await?.is_none() {
        return Ok(None);
    }
    Ok(reader.history(run).await?.iter().fold(None, RunRecord::fold))
}
