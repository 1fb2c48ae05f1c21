//! The shim as a program, without an engine: every module says what belongs there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod lonely;
mod oci_bundle;
mod support;

/// Containers by way of a runtime, instead of commands.
mod containers;
/// Shims and supervisors that are killed, and what is left then.
mod deaths;
/// Ends that somebody asked for, and limits.
mod ending;
/// Statuses, as the process returned them.
mod exits;
/// What a shim needs of the machine.
mod needs;
/// What arrives, what is kept, and when the end is written down.
mod output;
/// What is on disk before the command is, what the command gets, and what is recorded if it cannot be executed.
mod starts;
