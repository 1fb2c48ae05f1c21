//! Who is told that a run has waited long enough.

use async_trait::async_trait;

use crate::domain::{AttemptId, RunId, Timestamp};

/// Told by the timekeeper when a waiting run's deadline has passed. The engine changes nothing by itself then: what
/// follows, a resume or an end, is the embedder's to decide and to submit.
///
/// # Contract
///
/// - Each arming of a deadline is told at most once in a session, not before it is due by the wall clock, and only
///   while the run still waits with it. The run may leave its wait while it is being told: the attempt in a command is
///   the fence, as everywhere.
/// - Nothing records that it was told. Whoever opens the journal again is told once more, as long as the run waits.
/// - Several are told at a time, and begun in the order of their due times. Each should return soon; after 30 seconds it
///   is given up, and its future dropped. Neither that nor a panic hurts any other.
#[async_trait]
pub trait Deadlines: Send + Sync {
    /// This attempt of the run waits, and was to wait until `due` at most.
    async fn passed(&self, run: RunId, attempt: AttemptId, due: Timestamp);
}
