//! Images of a run's sandbox.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{AttemptId, Digest, Ordinal, RunId, RunSpec, SnapshotId};

/// Takes images of what runs work in.
///
/// The engine says which snapshot to take, once, after its dispatch is durable, and records the result. It asks for at
/// most one snapshot of a run at a time, and for several runs at once.
///
/// # Contract
///
/// - `take` leaves the run as it found it, in every outcome: what it freezes it thaws. An image that it returns is durable
///   and complete.
/// - A `take` whose future is dropped is given up: the run is thawed without further ado, and no image is left. That
///   happens when its time is up, or when the timekeeper is stopped.
/// - A crash may leave the run frozen and an image in parts. Opening an implementation again thaws what its former
///   process froze, and `find` never takes a part for an image.
/// - Every method may be repeated, also by another process after a crash.
#[async_trait]
pub trait Snapshotter: Send + Sync {
    /// Takes the snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`], with what a person can do about it; there is no image then.
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError>;

    /// The image of a snapshot that was dispatched, and whose result was not recorded: complete, or none. Takes nothing.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if that cannot be found out.
    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError>;

    /// Removes the image of a snapshot that cannot be recorded any more, because its run was destroyed meanwhile. None
    /// being there is no error.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if it is still there.
    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError>;
}

/// Which snapshot to take, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSnapshot {
    /// Of which run.
    pub run: RunId,
    /// Of which attempt.
    pub attempt: AttemptId,
    /// Its number within the run.
    pub ordinal: Ordinal,
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// What the run was created as.
    pub spec: Arc<RunSpec>,
}

/// An image that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotImage {
    /// Where it is: 1 to [`PATH_BYTES_MAX`](crate::domain::limits::PATH_BYTES_MAX) bytes,
    /// without control characters. With another one the snapshot is recorded as failed, and the image is discarded.
    pub location: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
}

/// Why there is no image, for people. What is over [`MESSAGE_BYTES_MAX`](crate::domain::limits::MESSAGE_BYTES_MAX) is cut
/// when it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SnapshotError {
    /// What happened, and what to do about it.
    pub message: String,
}

impl SnapshotError {
    /// An error with this message.
    pub fn because(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
