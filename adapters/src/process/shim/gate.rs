//! The gate: the process that waits to be known, and then becomes the command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::signal::SigSet;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::stdio::{dup2_stdin, stdin};
use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{Diagnostics, Failure};

use super::super::adoption::recorded_kind;
use super::super::launch::CommandLine;
use super::super::spawn_failure::{program_file, spawn_failure};
use super::assignment::CommandBlock;
use super::format::is_no_program;
use super::handover::{invalid, read_block};

/// More than a kernel takes for arguments and environment.
const COMMAND_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What shells return for a command that could not be executed; nobody reads it here.
const NOT_EXECUTED: u8 = 127;
/// The gate says this right before it tries: silence after it means that it succeeded.
pub(super) const TRYING: u8 = b'x';

/// Waits for the word, then becomes the command. Returns only if that fails.
pub(super) fn main(shim: Option<OsString>) -> ExitCode {
    if let Ok((mut channel, line, stdin)) = wait(shim) {
        let failure = execute(&mut channel, &line, stdin);
        let _ = serde_json::to_writer(&channel, &FailedExec::of(failure));
    }
    ExitCode::from(NOT_EXECUTED)
}

/// Reads what to execute, and waits for the word to do it. A shim that ends before it has given the word has not.
fn wait(shim: Option<OsString>) -> io::Result<(UnixStream, CommandLine, Option<OwnedFd>)> {
    die_with(shim)?;
    // The shim's mask was inherited, and the command would inherit it.
    SigSet::empty().thread_set_mask()?;
    let mut channel = UnixStream::from(fcntl_dupfd_cloexec(stdin(), 3)?);
    dup2_stdin(File::open("/dev/null")?)?;
    let line = CommandBlock(read_block(&mut channel, COMMAND_BYTES_MAX)?).command_line()?;
    let stdin = the_word(&channel)?;
    Ok((channel, line, stdin))
}

/// From here on a shim that is killed takes this process along, and later the command: the kernel keeps that up through
/// an exec, unless it changes the user.
pub(super) fn die_with(shim: Option<OsString>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let shim = shim.and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    // It may have been killed before.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    if shim.is_some() && parent == shim { Ok(()) } else { Err(invalid("the shim is gone")) }
}

/// One byte, with the standard input of the run if it has any.
fn the_word(channel: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Err(invalid("the shim ended before it gave the word"));
    }
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(descriptors.next())
}

fn execute(channel: &mut UnixStream, line: &CommandLine, stdin: Option<OwnedFd>) -> Failure {
    let Some((program, arguments)) = line.argv.split_first() else {
        return spawn_failure(line, &io::Error::new(io::ErrorKind::InvalidInput, "the command names no program"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(line.env.iter().map(|(name, value)| (name, value)));
    command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    if let Some(cwd) = &line.cwd {
        command.current_dir(cwd);
    }
    if program_file(line).is_some_and(|file| is_no_program(&file)) {
        return spawn_failure(line, &io::Error::from_raw_os_error(Errno::NOEXEC.raw_os_error()));
    }
    let _ = channel.write_all(&[TRYING]);
    let error = command.exec();
    spawn_failure(line, &error)
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
            kind: tachograph_engine::domain::FailureKind::SpawnFailed,
            message: format!("the process ended before it executed the command ({bytes} bytes told)"),
            diagnostics: Diagnostics::default(),
        }),
    }
}

/// Reads what the gate says, as far as it has, from a channel that does not block. Returns whether that was all.
pub(super) fn listen(channel: &mut UnixStream, said: &mut Vec<u8>) -> bool {
    match channel.read_to_end(said) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}
