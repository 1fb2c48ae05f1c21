//! The gate: the process that makes itself known, and then becomes the command.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpgid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{Diagnostics, Failure, FailureKind, limits};

use super::super::adoption::recorded_kind;
use super::super::directory::AttemptDirectory;
use super::super::identity::{Identity, ProcessIdentity};
use super::super::scarcity::despite_scarcity;
use super::super::spawn_failure::{PATH_DEFAULT, exhausted, spawn_failure};
use super::super::text::cut;
use super::assignment::{CommandBlock, Words};
use super::fork::fork;
use super::handover::invalid;
use crate::descriptors::errno;

/// What shells return for a command that could not be executed; nobody reads it here.
pub(super) const NOT_EXECUTED: u8 = 127;
/// The gate says this right before it tries: silence after it means that it succeeded.
const TRYING: u8 = b'x';

/// All that a process needs to become the command. It is in the memory of the shim until then.
#[derive(Debug)]
pub(super) struct Gate<'shim> {
    pub(super) shim: Pid,
    pub(super) directory: &'shim AttemptDirectory,
    /// Who the attempt is, but for its process.
    pub(super) identity: Identity,
    pub(super) command: CommandBlock,
    /// What the command shall read, if anything but nothing.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: PipeWriter,
    pub(super) stderr: PipeWriter,
    /// Closed by the exec. What is said before is why there was none.
    pub(super) channel: PipeWriter,
}

impl Gate<'_> {
    /// Starts the process, as the leader of a group of its own, and returns its pid once it has executed the command or
    /// could not.
    pub(super) fn open(&self) -> io::Result<Pid> {
        fork(NOT_EXECUTED, || self.become_command())
    }

    /// Returns only if it cannot.
    fn become_command(&self) -> u8 {
        let failure = match self.make_known() {
            Ok(()) => self.execute(),
            Err(error) => not_begun(&error),
        };
        let _ = serde_json::to_writer(&self.channel, &FailedExec::of(failure));
        NOT_EXECUTED
    }

    /// Writes down which process this is. From then on the shim needs not live for the attempt to be found; a shim that is
    /// killed takes it along all the same.
    fn make_known(&self) -> io::Result<()> {
        setpgid(None, None)?;
        die_with(self.shim)?;
        let boot_id = self.identity.supervisor.boot_id.clone();
        let process = Some(ProcessIdentity::of_boot(std::process::id(), boot_id)?);
        Identity { process, ..self.identity.clone() }.put(self.directory).map_err(io::Error::other)
    }

    fn execute(&self) -> Failure {
        let error = match self.try_to_execute() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        match self.command.command_line() {
            Ok(line) => spawn_failure(&line, &error),
            Err(_) => not_begun(&error),
        }
    }

    fn try_to_execute(&self) -> io::Result<Infallible> {
        if let Some(stdin) = &self.stdin {
            dup2_stdin(stdin)?;
        }
        dup2_stdout(&self.stdout)?;
        dup2_stderr(&self.stderr)?;
        let words = self.command.words()?;
        let before = words.cwd.map(|cwd| -> io::Result<_> {
            let before = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            rustix::process::chdir(cwd)?;
            Ok(before)
        });
        let before = before.transpose()?;
        let places = places(&words)?;
        (&self.channel).write_all(&[TRYING])?;
        let error = persistently(|| execute_unmasked(&words, &places));
        // Why it failed is looked for from where the supervisor is: a relative working directory means something there.
        if let Some(Ok(before)) = before {
            let _ = rustix::process::fchdir(before);
        }
        Err(error)
    }
}

/// From here on a shim that is killed takes this process along, and later the command: the kernel keeps that up through
/// an exec, unless it changes the user.
pub(super) fn die_with(shim: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have been killed before.
    if getppid() == Some(shim) { Ok(()) } else { Err(invalid("the shim is gone")) }
}

/// Where the program may be, the first one first, as a shell looks for it.
fn places(words: &Words<'_>) -> io::Result<Vec<CString>> {
    let program = words.argv.first().ok_or_else(|| invalid("the command names no program"))?;
    let text = program.to_bytes();
    if text.is_empty() || text.contains(&b'/') {
        return Ok(if text.is_empty() { Vec::new() } else { vec![(*program).to_owned()] });
    }
    let path = words.env.iter().rev().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let within = |place: &[u8]| match place {
        [] => Ok((*program).to_owned()),
        place => Ok(CString::new([place, b"/", text].concat())?),
    };
    path.unwrap_or(PATH_DEFAULT.as_bytes()).split(|byte| *byte == b':').map(within).collect()
}

/// What it comes to in the end: while the machine is short of something it is tried again for a while, as without a shim.
fn persistently(mut attempt: impl FnMut() -> io::Result<Errno>) -> io::Error {
    let tried = despite_scarcity(|| Err::<Infallible, _>(attempt()?.into()));
    match tried {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// The shim's mask was inherited, and the command would inherit it. Whoever is not executed goes on in the shim's own
/// memory and has all signals blocked again, so that none interrupts it there.
fn execute_unmasked(words: &Words<'_>, places: &[CString]) -> io::Result<Errno> {
    SigSet::empty().thread_set_mask()?;
    let errno = execute(words, places);
    SigSet::all().thread_set_mask()?;
    Ok(errno)
}

/// Becomes the first that can be executed. Returns only if there is none: then a file that may not be executed is named
/// rather than one that is missing.
///
/// No file is given to a shell because the kernel does not know its format, as the C library would do: the same command
/// line means the same with and without a shim.
fn execute(words: &Words<'_>, places: &[CString]) -> Errno {
    let mut found = Errno::NOENT;
    for place in places {
        let errno = match nix::unistd::execve(place, &words.argv, &words.env) {
            Ok(never) => match never {},
            Err(errno) => Errno::from_raw_os_error(errno as i32),
        };
        match errno {
            Errno::ACCESS => found = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
            other => return other,
        }
    }
    found
}

/// Why the command could not be executed, on its way to the shim.
#[derive(Serialize, Deserialize)]
struct FailedExec {
    kind: String,
    message: String,
    likely_cause: Option<String>,
    facts: BTreeMap<String, String>,
}

impl FailedExec {
    fn of(failure: Failure) -> Self {
        let Diagnostics { likely_cause, facts, .. } = failure.diagnostics;
        Self { kind: failure.kind.name().to_owned(), message: failure.message, likely_cause, facts }
    }
}

/// The shim could not start it: nothing of it was tried.
pub(super) fn not_begun(error: &io::Error) -> Failure {
    let message = format!("its shim cannot start it: {error}");
    let message = cut(&message, limits::MESSAGE_BYTES_MAX).to_owned();
    let diagnostics = Diagnostics { likely_cause: exhausted(errno(error)), ..Diagnostics::default() };
    Failure { kind: FailureKind::SpawnFailed, message, diagnostics }
}

/// What the gate said until its channel was closed, by the exec or by its end. `None` if the command is executed.
pub(super) fn told(said: &[u8]) -> Option<Failure> {
    let why = match said {
        [TRYING] => return None,
        [TRYING, failure @ ..] | failure => serde_json::from_slice::<FailedExec>(failure).map_err(|_| failure.len()),
    };
    match why {
        Ok(FailedExec { kind, message, likely_cause, facts }) => {
            let diagnostics = Diagnostics { likely_cause, facts, ..Diagnostics::default() };
            Some(Failure { kind: recorded_kind(&kind), message, diagnostics })
        }
        Err(bytes) => Some(Failure {
            kind: FailureKind::SpawnFailed,
            message: format!("the process ended before it executed the command ({bytes} bytes told)"),
            diagnostics: Diagnostics::default(),
        }),
    }
}

/// Reads what the gate says, as far as it has, from a channel that does not block. Returns whether that was all.
pub(super) fn listen(channel: &mut PipeReader, said: &mut Vec<u8>) -> bool {
    match channel.read_to_end(said) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_for_a_moment_when_the_command_is_executed_is_waited_for() {
        let mut left = vec![Errno::NOENT, Errno::NOMEM, Errno::AGAIN];
        let error = persistently(|| Ok(left.pop().unwrap()));
        assert_eq!((Errno::from_io_error(&error), left.len()), (Some(Errno::NOENT), 0));
    }

    #[test]
    fn signals_are_blocked_again_after_an_exec_that_failed() {
        let words = Words { argv: vec![c"/no/such/program"], cwd: None, env: Vec::new() };
        let errno = execute_unmasked(&words, &places(&words).unwrap()).unwrap();
        assert_eq!(errno, Errno::NOENT);
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(mask.contains(nix::sys::signal::SIGTERM) && mask.contains(nix::sys::signal::SIGINT), "{mask:?}");
    }
}
