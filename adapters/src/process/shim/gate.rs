//! The gate: the process that makes itself known, and then becomes the command.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpgid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{Diagnostics, Failure, FailureKind, limits};

use super::super::adoption::recorded_kind;
use super::super::directory::AttemptDirectory;
use super::super::identity::{Identity, ProcessIdentity};
use super::super::launch::CommandLine;
use super::super::spawn_failure::{PATH_DEFAULT, spawn_failure};
use super::super::text::cut;
use super::assignment::CommandBlock;
use super::fork::fork;
use super::handover::invalid;

/// What shells return for a command that could not be executed; nobody reads it here.
pub(super) const NOT_EXECUTED: u8 = 127;
/// The gate says this right before it tries: silence after it means that it succeeded.
const TRYING: u8 = b'x';

/// All that a process needs to become the command. It is a copy of the shim until then, with the command's streams.
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
    /// Starts the process, as the leader of a group of its own, and returns its pid. It can be signalled with its group
    /// from then on.
    pub(super) fn open(&self) -> io::Result<Pid> {
        let leader = fork(NOT_EXECUTED, || self.become_command())?;
        // Both do it, so that it is done for whoever comes first. After an exec it is refused, and was done.
        let _ = setpgid(Some(leader), Some(leader));
        Ok(leader)
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
        Identity { process, ..self.identity.clone() }.write(self.directory).map_err(io::Error::other)
    }

    fn execute(&self) -> Failure {
        let line = self.command.command_line();
        let error = match line.as_ref().map(|line| self.try_to_execute(line)) {
            Ok(Err(error)) => error,
            Err(error) => return not_begun(error),
        };
        match line {
            Ok(line) => spawn_failure(&line, &error),
            Err(_) => not_begun(&error),
        }
    }

    fn try_to_execute(&self, line: &CommandLine) -> io::Result<std::convert::Infallible> {
        // The shim's mask was inherited, and the command would inherit it.
        SigSet::empty().thread_set_mask()?;
        if let Some(stdin) = &self.stdin {
            dup2_stdin(stdin)?;
        }
        dup2_stdout(&self.stdout)?;
        dup2_stderr(&self.stderr)?;
        if let Some(cwd) = &line.cwd {
            rustix::process::chdir(cwd)?;
        }
        let words = Words::of(line)?;
        (&self.channel).write_all(&[TRYING])?;
        Err(words.execute().into())
    }
}

/// From here on a shim that is killed takes this process along, and later the command: the kernel keeps that up through
/// an exec, unless it changes the user.
pub(super) fn die_with(shim: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have been killed before.
    if getppid() == Some(shim) { Ok(()) } else { Err(invalid("the shim is gone")) }
}

/// A command line as the kernel takes it.
struct Words {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where its program may be, the first one first.
    places: Vec<CString>,
}

impl Words {
    fn of(line: &CommandLine) -> io::Result<Self> {
        let word = |text: &[u8]| Ok::<_, io::Error>(CString::new(text)?);
        let argv: Vec<_> = line.argv.iter().map(|text| word(text.as_bytes())).collect::<Result<_, _>>()?;
        let pair = |(name, value): &(OsString, OsString)| word(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        let env = line.env.iter().map(pair).collect::<Result<_, _>>()?;
        let program = argv.first().ok_or_else(|| invalid("the command names no program"))?.to_bytes();
        let path = line.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = path.map_or(PATH_DEFAULT.as_bytes(), |(_, path)| path.as_bytes());
        let places = match program {
            [] => Vec::new(),
            program if program.contains(&b'/') => vec![word(program)?],
            program => {
                let within = |place: &[u8]| match place {
                    [] => word(program),
                    place => word(&[place, b"/", program].concat()),
                };
                path.split(|byte| *byte == b':').map(within).collect::<Result<_, _>>()?
            }
        };
        Ok(Self { argv, env, places })
    }

    /// Becomes the first that can be executed, as a shell would choose it. Returns only if there is none: then a file that
    /// may not be executed is named rather than one that is missing.
    ///
    /// No file is given to a shell because the kernel does not know its format, as the C library would do: the same command
    /// line means the same with and without a shim.
    fn execute(&self) -> Errno {
        let mut found = Errno::NOENT;
        for place in &self.places {
            match self.execute_at(place) {
                Errno::ACCESS => found = Errno::ACCESS,
                Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
                other => return other,
            }
        }
        found
    }

    fn execute_at(&self, place: &CStr) -> Errno {
        match nix::unistd::execve(place, &self.argv, &self.env) {
            Ok(never) => match never {},
            Err(errno) => Errno::from_raw_os_error(errno as i32),
        }
    }
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
    Failure { kind: FailureKind::SpawnFailed, message, diagnostics: Diagnostics::default() }
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
