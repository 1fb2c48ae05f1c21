//! The engine as a whole: queue, batches, retries, reads, poison, recovery, names, subscriptions, replay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

mod contended;
mod effects;
mod names;
mod poison;
mod power;
mod queue;
mod reads;
mod recovery;
mod refusals;
mod replay;
mod retries;
mod subscription;
