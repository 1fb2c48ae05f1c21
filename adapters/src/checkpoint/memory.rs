//! Checkpoints in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tachograph_engine::domain::Position;
use tachograph_engine::ports::{Checkpoint, CheckpointStore, JournalError};

use super::KEPT;
use crate::lock::lock;

type ByPosition = BTreeMap<Position, Checkpoint>;

/// Checkpoints in memory, beside a [journal in memory](crate::memory). Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryCheckpoints {
    folds: Arc<Mutex<BTreeMap<(String, u32), ByPosition>>>,
}

impl MemoryCheckpoints {
    /// A store without checkpoints.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpoints {
    async fn save(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        let mut folds = lock(&self.folds);
        let kept = folds.entry((checkpoint.fold.clone(), checkpoint.fold_version)).or_default();
        let position = checkpoint.position;
        kept.insert(position, checkpoint);
        while kept.range(..=position).count() > KEPT {
            kept.pop_first();
        }
        Ok(())
    }

    async fn latest(
        &self,
        fold: &str,
        fold_version: u32,
        at_most: Option<Position>,
    ) -> Result<Option<Checkpoint>, JournalError> {
        let folds = lock(&self.folds);
        let kept = folds.get(&(fold.to_owned(), fold_version));
        let at_most = at_most.unwrap_or(Position(u64::MAX));
        Ok(kept.and_then(|kept| kept.range(..=at_most).next_back()).map(|(_, checkpoint)| checkpoint.clone()))
    }
}
