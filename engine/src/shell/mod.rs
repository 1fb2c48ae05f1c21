//! The shell around the domain: one committer, durable answers, reads that see them, and subscriptions.
//!
//! ```text
//! caller → bounded queue → the one committer → decide → entry → journal, many entries with one sync
//!        → apply to the view → publish to subscribers → acknowledge
//! ```
//!
//! What a caller was told is durable, and what it reads next includes it. The committer runs on a thread of its own,
//! shares no lock with anybody while it decides and writes, and takes one short write lock per batch to publish.

mod answer;
mod committer;
mod engine;
mod linger;
mod meter;
mod recovery;
mod refusals;
mod subscription;
mod timekeeper;
mod view;
mod weak;
mod working;

pub use answer::{Answer, CommandOutcome, FirstAnswer, SubmitError};
pub use committer::{FOLD, FOLD_VERSION};
pub use engine::{Engine, Options, Parts, Pending};
pub use recovery::OpenReport;
pub use subscription::{Subscription, SubscriptionError};
pub use timekeeper::{Timekeeper, TimekeeperEnd, TimekeeperHandle, TimekeeperOptions, TimekeeperReport};
