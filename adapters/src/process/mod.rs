//! The runner of real processes.
//!
//! [`ProcessRunner`] executes the command lines of runs and reports to the engine what became of them.
//!
//! - **Durable first.** A run is created, its attempt started and its directory made before anything is spawned; a
//!   refused start spawns nothing.
//! - **Own witness.** An exit is what the child's own handle says. Nothing waits for 'any child', so other children of
//!   the process keep their exit codes. A status that nobody saw is recorded as unknown or as lost, never guessed.
//! - **Output before the end.** `Exited` is reported after both streams were read to their ends, or after one absolute
//!   deadline, which the receipt then names with the streams that were open.
//! - **Groups.** Every child leads a process group of its own, and signals go to the group: while the child is not
//!   reaped, or to members that were verified.
//! - **Evidence.** A failed start, a lost supervisor, a file that contradicts the wait status: all are recorded.
//! - **No half start.** A [`StartGuard`] is held from the start on until the process is supervised, so that a panic or a
//!   dropped future there is recorded as a failed start; a [`ReadyCheck`] fails what does not become ready in time.
//!
//! A run's processes report through [`ProcessRunner::report`] that they wait and go on, over one
//! [report socket](REPORT_SOCKET) for all of them.
//!
//! A crash of the supervisor leaves the processes running and the attempt open; [`ProcessRunner::recover`] adopts what is
//! alive and records what became of the rest. `limits.wall_ms` and `limits.output_bytes` are enforced; `limits.memory_bytes` is not.

mod adoption;
mod arming;
mod attempt;
mod attend;
mod attended;
mod child;
mod control;
pub(crate) mod directory;
mod drain;
mod error;
mod exit_record;
mod follow;
pub(crate) mod group;
mod growing;
mod handle;
pub(crate) mod identity;
mod inherited;
mod last_word;
mod launch;
mod open;
mod options;
mod outcome;
mod output_cap;
mod overdue;
mod passthrough;
mod places;
mod pump;
mod ready;
mod registry;
mod report;
mod report_socket;
mod room;
mod runner;
mod scarcity;
mod scene;
pub mod shim;
mod shim_mode;
mod shim_spawn;
mod shutdown;
mod spawn;
mod spawn_failure;
mod standstill;
mod start_guard;
mod supervise;
mod telling;
mod text;
mod traces;
mod unsupervised;
mod usage;

pub use adoption::{
    AdoptionReport, Conclusion, Foreseen, Foresight, Witnessed, foresee, is_unstarted_image, was_created_here,
};
pub use directory::{AttemptDirectory, DirectoryError, OutputPart};
pub use error::RunnerError;
pub use exit_record::{ExitRecord, ExitRecordError, LeftOut, ResourceUsage};
pub use handle::{AttemptEnd, EndRecord, RunHandle};
pub use identity::{Identity, ProcessIdentity};
pub use launch::Launch;
pub use options::RunnerOptions;
pub use passthrough::Passthrough;
pub use ready::{NotReady, Ready, ReadyCheck, ReadyCheckError, ReadyProbe};
pub use report::ReportAnswer;
pub use report_socket::REPORT_SOCKET;
pub use runner::ProcessRunner;
pub use shim_mode::Shim;
pub use shutdown::{ShutdownReport, ShutdownTimes};
pub use spawn::{ATTEMPT_VARIABLE, CONTROL_VARIABLE, DIRECTORY_VARIABLE, ORDINAL_VARIABLE, RUN_VARIABLE};
pub use spawn_failure::DIRECTORY_FACT;
pub use standstill::Standstill;
pub use start_guard::{StartGuard, StartWitness};
pub use usage::RunnerUsage;
