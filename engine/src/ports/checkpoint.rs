//! Saved folds.

use async_trait::async_trait;

use super::JournalError;
use crate::domain::{Digest, Position};

/// A fold of all entries up to a position, saved so that the next fold can begin there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which fold, for example `engine`: 1 to 32 characters out of a-z, 0-9 and `-`.
    pub fold: String,
    /// Version of that fold. A checkpoint of another version is as good as none.
    pub fold_version: u32,
    /// The last position that is folded in.
    pub position: Position,
    /// The journal's hash at that position: a checkpoint of another journal, or of a history that was lost, does not
    /// have it.
    pub digest: Digest,
    /// The fold, encoded by its owner.
    pub payload: Vec<u8>,
}

/// Keeps checkpoints. They are a shortcut only: any of them may vanish at any time, and nothing is lost.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// Saves a checkpoint; older ones of the same fold may be dropped. A crash leaves the old or the new one whole.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] or [`JournalError::Full`]; nothing but the shortcut is lost.
    async fn save(&self, checkpoint: Checkpoint) -> Result<(), JournalError>;

    /// The latest sound checkpoint of this fold and version at or before a position (or at all). A damaged one is
    /// skipped as if it did not exist; the caller still compares its digest with the journal's.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the store cannot be read at all.
    async fn latest(
        &self,
        fold: &str,
        fold_version: u32,
        at_most: Option<Position>,
    ) -> Result<Option<Checkpoint>, JournalError>;
}
