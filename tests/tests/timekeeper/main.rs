//! The timekeeper over a real engine, under a manual clock, with a snapshotter that does what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

mod behind;
mod clock;
mod deadlines;
mod failing;
mod firing;
mod flood;
mod places;
mod racing;
mod recovery;
mod stopping;
mod walk;
