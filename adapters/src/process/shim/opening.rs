//! From the assignment to a process that is known and executes the command.

use std::io::{self, IoSlice, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::ioctl_fionbio;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process_group};
use tachograph_engine::domain::Stream;

use super::super::directory::AttemptDirectory;
use super::super::group::ProcessGroup;
use super::super::identity::{Identity, ProcessIdentity};
use super::super::output_cap::OutputCap;
use super::super::room::Room;
use super::super::scarcity::despite_scarcity;
use super::GATE;
use super::assignment::{Assignment, CommandBlock};
use super::body::Body;
use super::children::Leader;
use super::handover::{invalid, write_block};
use super::request::Requests;
use super::streams::Streams;

/// A run whose command is about to be executed.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) leader: Leader,
    pub(super) group: Body,
    pub(super) pid: u32,
    pub(super) streams: Streams,
    pub(super) requests: Requests,
    pub(super) room: Room,
}

/// What is there before the command is executed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) streams: Streams,
    pub(super) requests: Requests,
    pub(super) room: Room,
}

/// Starts the gate, writes down which process it is, and gives it the word. Whatever fails, nothing was executed and
/// no process is left.
pub(super) fn open(
    assignment: &Assignment,
    command: CommandBlock,
    directory: &AttemptDirectory,
    stdin: Option<OwnedFd>,
) -> io::Result<(Opened, UnixStream)> {
    let (stdout, out) = io::pipe()?;
    let (stderr, err) = io::pipe()?;
    let (mut channel, gate_end) = UnixStream::pair()?;
    let mut gate = Command::new("/proc/self/exe");
    gate.args([GATE, &std::process::id().to_string()]).process_group(0);
    gate.stdin(OwnedFd::from(gate_end)).stdout(out).stderr(err);
    let pid = despite_scarcity(|| gate.spawn())?.id();
    // With it go the ends that only the gate shall hold.
    drop(gate);
    let impossible = || invalid("the process has an impossible pid");
    let leader = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(impossible)?;
    let group = ProcessGroup::led_by(pid, assignment.attempt).ok_or_else(impossible)?;
    let prepared = || {
        write_block(&mut channel, &command.0)?;
        drop(command);
        let prepared = prepare(assignment, directory, (stdout, stderr), pid)?;
        give_the_word(&channel, stdin.as_ref())?;
        channel.set_nonblocking(true)?;
        Ok(prepared)
    };
    match prepared() {
        Ok(Prepared { streams, requests, room }) => {
            // From here on the run can be anywhere; this process need not hold its directory.
            let _ = std::env::set_current_dir("/");
            let group = Body::Group(group);
            Ok((Opened { leader: Leader::of(leader), group, pid, streams, requests, room }, channel))
        }
        Err(error) => {
            end_gate(leader);
            Err(error)
        }
    }
}

/// All that must be there before the command is: files, the way to ask, room for the end, and last the identity.
pub(super) fn prepare(
    assignment: &Assignment,
    directory: &AttemptDirectory,
    (stdout, stderr): (PipeReader, PipeReader),
    pid: u32,
) -> io::Result<Prepared> {
    let file = |stream| directory.create_output(stream).map_err(io::Error::other);
    let stdout = (without_blocking(stdout)?, file(Stream::Stdout)?);
    let stderr = (without_blocking(stderr)?, file(Stream::Stderr)?);
    let requests = Requests::create(directory)?;
    let room = Room::take(directory)?;
    let identity = Identity {
        run: assignment.run,
        attempt: assignment.attempt,
        ordinal: assignment.ordinal,
        runner: assignment.runner.clone(),
        supervisor: assignment.supervisor.clone(),
        argv_digest: assignment.argv_digest,
        shim: Some(ProcessIdentity::of(std::process::id())?),
        process: Some(ProcessIdentity::of(pid)?),
        snapshot_delay_ms: assignment.snapshot_delay_ms,
    };
    identity.write(directory).map_err(io::Error::other)?;
    let cap = assignment.limits.output_bytes.map(|bytes| OutputCap::new(directory.clone(), bytes));
    Ok(Prepared { streams: Streams::new(stdout, stderr, cap), requests, room })
}

fn without_blocking(pipe: PipeReader) -> io::Result<PipeReader> {
    ioctl_fionbio(&pipe, true)?;
    Ok(pipe)
}

fn give_the_word(channel: &UnixStream, stdin: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = stdin.map(AsFd::as_fd);
    let descriptors = descriptors.as_slice();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(channel, &[IoSlice::new(b"g")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The gate has executed nothing and is not reaped, so that the group's number is its own.
fn end_gate(leader: Pid) {
    let _ = kill_process_group(leader, Signal::KILL);
    let _ = rustix::process::waitid(rustix::process::WaitId::Pid(leader), rustix::process::WaitIdOptions::EXITED);
}
