//! Freezing real processes: every module says what belongs there. What holds for both ways of freezing is tested in both;
//! that by control groups is skipped, and says so, where none can be made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../process/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the runner, which use more of it")]
mod runner;
mod support;

/// What a freezer that was killed leaves, and what opening the next one does about it.
mod crash;
/// What is stopped, and what goes on afterwards.
mod stopping;
/// Runs of the process runner that are asked to end while they are frozen.
mod supervised;
/// What is noticed of a freeze that did not last.
mod verifying;
