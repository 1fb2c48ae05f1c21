//! The process runner with real processes: every module says what belongs there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

/// Containers by way of a runtime.
mod containers;
/// Ends that somebody asked for.
mod ending;
/// Files in the place of exit records.
mod evidence;
/// A child's own status, told to whoever waits, however often.
mod exits;
/// A disk without room, and what is known all the same.
mod full_disk;
/// Starts that are guarded, and given up in every way.
mod guard;
/// What is left of attempts whose shims were killed, or that nobody wants any more.
mod left_behind;
#[path = "../shim/lonely.rs"]
mod lonely;
/// What arrives, what is kept, what is shown, and when the end may be told.
mod output;
/// What is left without a shim after a power cut.
mod power;
/// Runs that become ready, and runs that do not.
mod readiness;
/// What a crashed supervisor left open.
mod recovery;
/// The socket that runs report over, and who may.
mod report_socket;
/// What a run reports about itself.
mod reports;
/// What only a shim does, and everything else once more under one.
mod shimmed;
/// Signals that are passed on.
mod signals;
/// Starts that succeed, fail and are refused, and what they leave behind.
mod starts;
/// Ends whose shims still wait for the disk.
mod syncing;
/// Too few threads.
mod threads;
