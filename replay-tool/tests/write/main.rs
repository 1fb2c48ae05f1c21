//! `tacho run` and `tacho supervise` through the built binary: every module says what belongs there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// The program that shims are started out of.
mod beside;
/// Snapshots that an operator cancels.
mod cancel;
/// Runs that are containers.
mod containers;
/// Operators and supervisors that come at the same time.
mod contention;
/// Too few descriptors.
mod descriptors;
/// Runs that an operator destroys.
mod destroy;
/// Supervisors that leave their runs to their shims.
mod detach;
/// A run that waits for its test.
mod job;
/// Runs that an operator ends.
mod kill;
/// What the journal says of output beyond a limit.
mod left_out;
/// What runs printed.
mod logs;
#[path = "../../../adapters/tests/shim/lonely.rs"]
mod lonely;
/// Many runs whose supervisor is killed, and the next one.
mod outlived;
/// Data directories that cannot be written, and input out of bounds.
mod places;
/// Runs of another embedder, put into a data directory by an engine of the test's own.
mod planted;
/// Runs that have not ended, with their processes.
mod ps;
/// Commands and jobs that become ready, and those that do not.
mod ready;
/// One command: its exit code, its output, and what is recorded of it.
mod run;
/// Signals to the tool while runs are under way.
mod signals;
/// Jobs that wait, and their snapshots.
mod snapshots;
/// Runs that are ended while an image of them is taken.
mod standstill;
/// A signal to a supervisor, and runs that are no job of its file; and when they are killed.
mod stopping;
/// The jobs of a file.
mod supervise;
/// A data directory, the tool, and the journal that it leaves.
mod support;
/// Runs that take away what says who they are.
mod taken_away;
/// Terminals that stand still.
mod terminal;
/// A limit on processes and threads.
mod threads;
mod unread;
/// Waits of a run whose supervisor is killed: its snapshots, deadlines and reports under the next one.
mod waiting;
