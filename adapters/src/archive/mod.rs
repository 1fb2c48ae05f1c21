//! Retention: segments whose runs ended long ago move out of a journal into a bundle, and a stub stays in their place.
//!
//! What goes is a prefix of the journal, whole segments of it, and only if all of it ended before a given time. The stub
//! knows of every run what is needed to answer any command to it as before. Nothing is removed before the bundle is
//! durable, was read back and hashes to the journal's own digest, and the stub is durable: a crash at any point leaves
//! all entries in the journal or in the bundle, and the next archiving or the next writer completes what was begun.
//! `docs/decisions/0024-archiving.md` says why it is so.
//!
//! | files | what |
//! | --- | --- |
//! | `plan`, `fitness` | what would go, and what keeps the rest back |
//! | `moving` | making the bundle and the stub, and removing what they stand for |
//! | `place` | where the bundle goes |

mod error;
mod fitness;
mod moving;
mod place;
mod plan;

pub use error::ArchiveError;
pub use fitness::{Hold, Holding};
pub use moving::{Archived, Request, archive, install_on};
pub use place::{look_at_place, unnamed_bundles};
pub use plan::{KeptBack, Plan, Why, plan, plan_on};

/// Name of the directory with the bundles, within the data directory, unless another place is named.
pub const ARCHIVE_DIR: &str = "archive";
