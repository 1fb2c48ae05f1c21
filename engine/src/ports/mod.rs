//! What the engine asks of the world: narrow, object-safe traits with their contracts written at them.
//!
//! An implementer needs no other file than the port's own. One contract suite runs against every implementation.

mod checkpoint;
mod clock;
mod deadlines;
mod host;
mod journal;
mod snapshotter;

pub use checkpoint::{Checkpoint, CheckpointStore};
pub use clock::{Clock, IdSource};
pub use deadlines::Deadlines;
pub use host::Host;
pub use journal::{AppendError, Draft, Head, Journal, JournalError, JournalReader, KeptAnswer, Opening, RunHead};
pub use snapshotter::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};
