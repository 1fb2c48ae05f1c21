//! From the assignment to a process that is known and executes the command.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;

use rustix::io::ioctl_fionbio;
use rustix::process::getpid;
use tachograph_engine::domain::Stream;

use super::super::directory::AttemptDirectory;
use super::super::group::ProcessGroup;
use super::super::identity::{Identity, ProcessIdentity};
use super::super::output_cap::OutputCap;
use super::super::room::Room;
use super::super::scarcity::despite_scarcity;
use super::assignment::{Assignment, CommandBlock};
use super::body::Body;
use super::children::Leader;
use super::gate::Gate;
use super::handover::invalid;
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

/// Starts the process that writes down which one it is and then becomes the command. Whatever fails here, nothing was
/// executed and no process is left; what fails in that process comes through the channel.
pub(super) fn open(
    assignment: &Assignment,
    command: CommandBlock,
    directory: &AttemptDirectory,
    stdin: Option<OwnedFd>,
) -> io::Result<(Opened, PipeReader)> {
    let (out, stdout) = io::pipe()?;
    let (err, stderr) = io::pipe()?;
    let (told, channel) = io::pipe()?;
    let Prepared { streams, requests, room } = prepare(assignment, directory, (out, err))?;
    let told = without_blocking(told)?;
    let identity = identity(assignment)?;
    let gate = Gate { shim: getpid(), directory, identity, command, stdin, stdout, stderr, channel };
    let leader = despite_scarcity(|| gate.open())?;
    // With it go the ends that only the command shall hold.
    drop(gate);
    // From here on the run can be anywhere; this process need not hold its directory.
    let _ = std::env::set_current_dir("/");
    let pid = leader.as_raw_nonzero().get().unsigned_abs();
    let group = ProcessGroup::led_by(pid, assignment.attempt).ok_or_else(|| invalid("an impossible pid"))?;
    let group = Body::Group(group);
    Ok((Opened { leader: Leader::of(leader), group, pid, streams, requests, room }, told))
}

/// All that must be there before the identity is, and the command: files, the way to ask, and room for the end.
pub(super) fn prepare(
    assignment: &Assignment,
    directory: &AttemptDirectory,
    (stdout, stderr): (PipeReader, PipeReader),
) -> io::Result<Prepared> {
    let file = |stream| directory.create_output(stream).map_err(io::Error::other);
    let stdout = (without_blocking(stdout)?, file(Stream::Stdout)?);
    let stderr = (without_blocking(stderr)?, file(Stream::Stderr)?);
    let requests = Requests::create(directory)?;
    let room = Room::take(directory)?;
    let cap = assignment.limits.output_bytes.map(|bytes| OutputCap::new(directory.clone(), bytes));
    Ok(Prepared { streams: Streams::new(stdout, stderr, cap), requests, room })
}

/// Who the attempt is, but for the process that executes its command.
pub(super) fn identity(assignment: &Assignment) -> io::Result<Identity> {
    // The supervisor was there a moment ago, so its boot is this one.
    let shim = ProcessIdentity::of_boot(std::process::id(), assignment.supervisor.boot_id.clone())?;
    Ok(Identity {
        run: assignment.run,
        attempt: assignment.attempt,
        ordinal: assignment.ordinal,
        runner: assignment.runner.clone(),
        supervisor: assignment.supervisor.clone(),
        argv_digest: assignment.argv_digest,
        shim: Some(shim),
        process: None,
        snapshot_delay_ms: assignment.snapshot_delay_ms,
    })
}

fn without_blocking(pipe: PipeReader) -> io::Result<PipeReader> {
    ioctl_fionbio(&pipe, true)?;
    Ok(pipe)
}
