//! The shim: a small process between a supervisor and a run, so that the run outlives the supervisor.
//!
//! A supervisor starts one shim per attempt ([`Assignment::command`]) and hands over what to do
//! ([`Assignment::hand_over`]). The shim is the parent of the run's process: it keeps both streams, reaps its child,
//! enforces the wall-clock limit, writes the exit record, and goes. Nothing of that needs the supervisor any more, and
//! whoever adopts the attempt later finds on disk everything that the first one knew.
//!
//! - **Known before it runs.** The shim's child, the gate, becomes the command by `exec` and keeps its pid.
//!   It writes run, attempt, shim, pid, start and boot into `identity.json` before it does. That file and
//!   all others may be taken away by the run, whose directory it is, or by a power cut: only in the same boot, and only by
//!   a directory in which nothing ever was, it shows that nothing was executed.
//! - **Nothing secret on disk.** Arguments, directory and environment go through pipes; the shim itself runs without
//!   the run's environment.
//! - **One end.** `exit.json` is replaced atomically, told, and synced before the shim goes. Until the output is drained it holds the status alone;
//!   when the shim is gone, it holds the receipt and the resources used, or the start's failure. Room for it is taken
//!   before the command is executed, so that a run that fills the disk does not lose its own exit code.
//! - **Killed with its run.** If the shim is killed, the kernel kills its child; what is left of the group is found by
//!   the attempt's id in its environment. There is no status then, and none is invented.
//! - **Asked through a pipe.** [`RequestPipe`] is a named pipe in the attempt's directory, for whoever may open that:
//!   signals reach the group while the child is not reaped, so that its number cannot be another's. TERM to the shim
//!   ends the run gracefully, a second one at once; HUP, INT, QUIT, PIPE, XFSZ, USR1 and USR2 are ignored.
//! - **Containers** are made through their runtime, and their first process becomes the shim's child in the place of the
//!   gate. It outlives a killed shim: whoever finds the attempt ends the container that `container.json` names.
//!
//! A program that embeds a supervisor names a `tacho-shim` of the same build ([`beside`]), or lends itself: it calls
//! [`dispatch`] before it does anything else, above all before it starts a thread.

mod assignment;
mod body;
mod build;
mod children;
mod clock;
mod container;
mod end;
mod fork;
mod gate;
mod handover;
mod keeping;
mod notice;
mod opening;
mod request;
mod standing;
mod streams;
mod watch;

use std::io::Write;
use std::process::ExitCode;

pub(super) use assignment::supervisor_of_shim;
pub use assignment::{Assignment, CommandBlock, run_of_shim};
pub use build::{Beside, beside};
pub(super) use fork::child_exits_are_ignored;
pub use fork::heed_child_exits;
pub use notice::{Notice, NoticeError, Notices};
pub(super) use request::remove as forget_requests;
pub use request::{Request, RequestPipe};
pub use standing::{Standing, standing};

/// The first argument that makes a program a shim.
const SHIM: &str = "shim";
/// The first argument that makes a program say of which build it is.
const BUILD: &str = "shim-build";
/// The first argument that makes a program a runtime.
const RUNTIME: &str = "shim-runtime";
/// The program was not started as a shim should be.
const MISUSED: u8 = 2;

/// Is a shim or a runtime if the first argument says so, and returns its exit code; returns nothing otherwise.
///
/// To be called first in `main`: a shim needs a process without other threads, and starts nothing if there are any.
pub fn dispatch() -> Option<ExitCode> {
    code().map(ExitCode::from)
}

/// All of a program that is nothing but a shim. Returns its exit code.
pub fn main() -> u8 {
    code().unwrap_or_else(|| {
        let text = "tacho-shim is started by a supervisor, not by hand: it looks after one run of Tachograph";
        let _ = writeln!(std::io::stderr(), "{text}");
        MISUSED
    })
}

fn code() -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next()?.to_str()? {
        SHIM => Some(watch::main()),
        RUNTIME => Some(container::become_runtime(arguments)),
        BUILD => Some(build::tell()),
        _ => None,
    }
}
