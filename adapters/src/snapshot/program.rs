//! A program that makes an image.

use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::error::{StepError, TakeError, at};
use super::handover::Handover;

/// Together with the rest of a message it is within the bounds of an event.
const TAIL_BYTES: usize = 3 * 1_024;
const TAIL_LINES: usize = 10;
const PIECE_BYTES: usize = 8 * 1_024;
/// What is read of the output at most once the program has ended: somebody who left its group may write for ever.
const LAST_PIECES: u32 = 64;

/// A program in a process group of its own, which can be killed from elsewhere as long as it was not reaped.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// The group's number, which is its leader's pid; absent once that may belong to somebody else.
    group: Mutex<Option<Pid>>,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The last few lines of what it wrote, oldest first.
    pub(super) last_lines: Vec<String>,
}

impl Program {
    /// Runs it until it ends; what is left of its group is killed then. Standard input is empty.
    pub(super) fn run(&self, command: Command, handover: &Handover) -> Result<Ended, TakeError> {
        let (mut running, mut output) = Running::start(self, command)?;
        // Given up before it began: whoever did that found nothing to kill yet.
        handover.check()?;
        let leader = pid_of(&running.child).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let leader = leader.map_err(at("watch", &running.named))?;
        let mut tail = Tail::default();
        let read = wait(&leader, &mut output, &mut tail).map_err(at("watch", &running.named));
        // Its own part is done: what it left running could still write to the image.
        self.kill();
        read?;
        tail.drain(&mut output);
        Ok(Ended { status: running.reap()?, last_lines: tail.lines() })
    }

    /// Kills the whole group, if there still is one.
    pub(super) fn kill(&self) {
        // The lock is held, so that the number is not given away meanwhile.
        if let Some(group) = *self.group()
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%group, %error, "the group took no signal");
        }
    }

    fn group(&self) -> MutexGuard<'_, Option<Pid>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that is killed and reaped in every outcome.
struct Running<'a> {
    program: &'a Program,
    child: Child,
    named: std::path::PathBuf,
    reaped: bool,
}

impl<'a> Running<'a> {
    fn start(program: &'a Program, mut command: Command) -> Result<(Self, PipeReader), StepError> {
        let named = std::path::PathBuf::from(command.get_program());
        let (output, input) = std::io::pipe().map_err(at("make a pipe to", &named))?;
        fcntl_setfl(&output, OFlags::NONBLOCK).map_err(at("make a pipe to", &named))?;
        let also = input.try_clone().map_err(at("make a pipe to", &named))?;
        command.stdin(Stdio::null()).stdout(input).stderr(also).process_group(0);
        let mut group = program.group();
        let child = command.spawn().map_err(at("start", &named))?;
        *group = pid_of(&child).ok();
        drop(group);
        // With the command goes this process's writing end, without which the output would never end.
        drop(command);
        Ok((Self { program, child, named, reaped: false }, output))
    }

    fn reap(&mut self) -> Result<ExitStatus, StepError> {
        *self.program.group() = None;
        self.reaped = true;
        self.child.wait().map_err(at("wait for", &self.named))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            self.program.kill();
            if let Err(error) = self.reap() {
                tracing::warn!(%error, "a program that was to make an image was not reaped");
            }
        }
    }
}

fn pid_of(child: &Child) -> rustix::io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)
}

/// Reads the output until the leader has ended; it is not reaped here.
fn wait(leader: &OwnedFd, output: &mut PipeReader, tail: &mut Tail) -> std::io::Result<()> {
    let mut open = true;
    loop {
        let (ended, readable) = {
            let mut watched =
                [PollFd::new(leader, PollFlags::IN), PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
            let watched = if open { &mut watched[..] } else { &mut watched[..1] };
            rustix::io::retry_on_intr(|| poll(watched, None))?;
            let happened = |index: usize| watched.get(index).is_some_and(|watched| !watched.revents().is_empty());
            (happened(0), happened(1))
        };
        if ended {
            return Ok(());
        }
        if readable {
            open = tail.read(output);
        }
    }
}

/// The end of what was written.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// Reads one piece, if there is one; whether another may come.
    fn read(&mut self, output: &mut PipeReader) -> bool {
        let mut piece = [0; PIECE_BYTES];
        match output.read(&mut piece) {
            Ok(0) => false,
            Ok(read) => {
                self.bytes.extend(&piece[..read]);
                self.bytes.drain(..self.bytes.len().saturating_sub(TAIL_BYTES));
                true
            }
            Err(error) => matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock),
        }
    }

    fn drain(&mut self, output: &mut PipeReader) {
        for _ in 0..LAST_PIECES {
            let nothing_yet = PollFlags::empty();
            let mut watched = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
            let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
            let ready = poll(&mut watched, Some(&now)).is_ok() && watched[0].revents() != nothing_yet;
            if !ready || !self.read(output) {
                return;
            }
        }
    }

    /// Lines that may be shown anywhere: without control characters.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let shown = |line: &str| line.chars().filter(|letter| !letter.is_control()).collect::<String>();
        let lines: Vec<String> = text.lines().map(shown).filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
    }
}
