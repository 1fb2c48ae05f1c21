//! From the assignment to a container that is known and executes its command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, PipeReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tachograph_engine::domain::{Diagnostics, Failure, FailureKind, limits};

use super::super::directory::{AttemptDirectory, read_small};
use super::super::group::processes_of;
use super::super::identity::{Identity, ProcessIdentity, ProcessStat};
use super::super::text::cut;
use super::RUNTIME;
use super::assignment::{Assignment, CommandBlock};
use super::body::Body;
use super::children::Leader;
use super::gate::die_with;
use super::handover::invalid;
use super::opening::{Opened, Prepared, identity, prepare};
use crate::oci::{Container, Runtime, RuntimeCall, bundle_directory, read_there, remove_bundle};

/// Making a container may mean to start a machine.
const CREATE_LIMIT_MS: u64 = 120_000;
const FILE_MODE: u32 = 0o600;
const PID_BYTES_MAX: u64 = 64;
const LINES_MAX: usize = 20;
/// What shells return for a program that could not be executed.
const NOT_EXECUTED: u8 = 127;

/// Becomes the runtime, without the signal mask of the shim, which the container would inherit. A shim that is killed
/// takes its runtime along, so that no container is made that nobody waits for.
pub(super) fn become_runtime(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let shim = arguments.next().and_then(|pid| Pid::from_raw(pid.to_str()?.parse().ok()?));
    let ready = shim.map_or_else(|| Err(invalid("it was started by no shim")), die_with);
    let ready = ready.and_then(|()| Ok(SigSet::empty().thread_set_mask()?));
    if let (Ok(()), Some(program)) = (ready, arguments.next()) {
        let error = Command::new(&program).args(arguments).exec();
        let _ = writeln!(io::stderr(), "cannot execute {}: {error}", program.display());
    }
    NOT_EXECUTED
}

/// A container that the shim has made.
#[derive(Debug)]
pub(super) struct OpenContainer {
    call: RuntimeCall,
    container: Container,
    directory: AttemptDirectory,
}

impl OpenContainer {
    /// A signal that cannot be sent is no error: the container may have ended.
    pub(super) fn signal(&self, signal: Signal) {
        let name = self.container.name.as_str();
        let sent = if signal == Signal::KILL { self.call.kill_all(name) } else { self.call.kill(name, signal) };
        if let Err(error) = sent {
            tracing::debug!(%error, container = name, "the container took no signal");
        }
    }

    pub(super) fn members(&self) -> Vec<u32> {
        processes_of(self.container.attempt)
    }

    pub(super) fn remove(&self) -> Result<(), String> {
        let deleted = self.call.delete(self.container.name.as_str()).map_err(|error| error.to_string());
        remove_bundle(&self.directory);
        deleted
    }
}

/// Makes the container, writes down which process it is, and lets it execute its command. Whatever fails, nothing was
/// executed and nothing is left.
pub(super) fn open(
    assignment: &Assignment,
    runtime: &Runtime,
    command: &CommandBlock,
    directory: &AttemptDirectory,
    stdin: Option<OwnedFd>,
) -> Result<Opened, Box<Failure>> {
    let line = command.command_line().map_err(|error| Box::new(failed(&error.to_string())))?;
    let through = ["/proc/self/exe", RUNTIME, &std::process::id().to_string()].map(OsString::from).to_vec();
    let call = runtime.call().through(through, line.env);
    let container = Container::of((assignment.run, assignment.ordinal), assignment.attempt, runtime.clone());
    let open = OpenContainer { call, container, directory: directory.clone() };
    let opened = create(assignment, &open, stdin);
    match opened {
        Ok((leader, pid, Prepared { streams, requests, room })) => {
            let _ = std::env::set_current_dir("/");
            let group = Body::Container(Box::new(open));
            Ok(Opened { leader: Leader::of(leader), group, pid, streams, requests, room })
        }
        Err(unmade) => {
            let Unmade { mut failure, leader } = *unmade;
            if let Err(why) = open.remove() {
                failure.diagnostics.facts.insert("container_left".to_owned(), cut(&why, 1_024).to_owned());
            }
            // It is dead by now, if the runtime has removed the container.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let _ = leader.map(|leader| waitid(WaitId::Pid(leader), options));
            Err(Box::new(failure))
        }
    }
}

struct Unmade {
    failure: Failure,
    /// The first process of a container that was made.
    leader: Option<Pid>,
}

type Made = (Pid, u32, Prepared);

fn create(assignment: &Assignment, open: &OpenContainer, stdin: Option<OwnedFd>) -> Result<Made, Box<Unmade>> {
    let unmade = |failure, leader| Box::new(Unmade { failure, leader });
    let OpenContainer { call, container, directory } = open;
    let bundle = bundle_directory(directory);
    let (pid_file, log) = (bundle.join("pid"), bundle.join("runtime.log"));
    // The runtime keeps the mode of a log that is there.
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&log);
    made.map_err(|error| unmade(failed(&format!("its log cannot be made: {error}")), None))?;
    let piped = || -> io::Result<_> { Ok((io::pipe()?, io::pipe()?)) };
    let ((stdout, out), (stderr, err)) = piped().map_err(|error| unmade(failed(&error.to_string()), None))?;
    let stdio = [stdin.map_or_else(Stdio::null, Stdio::from), out.into(), err.into()];
    let name = container.name.as_str();
    let created = call.clone().within(CREATE_LIMIT_MS).create(name, (&bundle, &pid_file, &log), stdio);
    if let Err(error) = created {
        return Err(unmade(refused(open, &error.to_string(), &stdout, &stderr), None));
    }
    // That of its pid it makes itself.
    let private = std::fs::set_permissions(&pid_file, Permissions::from_mode(FILE_MODE));
    private.map_err(|error| unmade(failed(&format!("its pid is not told: {error}")), None))?;
    let (pid, leader) = first_process(&pid_file).map_err(|why| unmade(failed(&why), None))?;
    let prepared = prepare(assignment, directory, (stdout, stderr)).and_then(|prepared| {
        let identity = identity(assignment)?;
        let process = Some(ProcessIdentity::of_boot(pid, assignment.supervisor.boot_id.clone())?);
        Identity { process, ..identity }.write(directory).map_err(io::Error::other)?;
        Ok(prepared)
    });
    let prepared = prepared.map_err(|error| unmade(failed(&error.to_string()), Some(leader)))?;
    call.start(name).map_err(|error| unmade(with_facts(failed(&error.to_string()), open), Some(leader)))?;
    Ok((leader, pid, prepared))
}

/// The first process of a container, which is this process's child by now: it can be waited for.
fn first_process(pid_file: &Path) -> Result<(u32, Pid), String> {
    let content = read_small(pid_file, PID_BYTES_MAX).map_err(|error| error.to_string())?.unwrap_or_default();
    let pid = String::from_utf8_lossy(&content).trim().parse::<i32>().ok().and_then(Pid::from_raw);
    let leader = pid.ok_or("the runtime has not told the pid of its first process")?;
    let pid = leader.as_raw_nonzero().get().unsigned_abs();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    match ProcessStat::read(pid) {
        Ok(stat) if stat.parent == me => Ok((pid, leader)),
        Ok(stat) => {
            Err(format!("its first process, pid {pid}, is a child of process {}, not of the shim", stat.parent))
        }
        Err(error) => Err(format!("its first process, pid {pid}, cannot be looked at: {error}")),
    }
}

fn failed(why: &str) -> Failure {
    let message = format!("its container cannot be started: {why}");
    let message = cut(&message, limits::MESSAGE_BYTES_MAX).to_owned();
    Failure { kind: FailureKind::SpawnFailed, message, diagnostics: Diagnostics::default() }
}

/// What a runtime says on its way, it says to the streams that the container would have had.
fn refused(open: &OpenContainer, why: &str, stdout: &PipeReader, stderr: &PipeReader) -> Failure {
    let mut said = lines("stdout", &read_there(stdout.try_clone().ok()));
    let by_runtime = lines("stderr", &read_there(stderr.try_clone().ok()));
    let why = by_runtime.last().map_or_else(|| why.to_owned(), |last| format!("{why}: {last}"));
    said.extend(by_runtime);
    let mut failure = with_facts(failed(&why), open);
    failure.diagnostics.last_output = said;
    failure
}

fn lines(stream: &str, said: &[u8]) -> Vec<String> {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    lines.into_iter().skip(skipped).map(|line| format!("{stream}: {}", cut(line, 1_024))).collect()
}

fn with_facts(mut failure: Failure, open: &OpenContainer) -> Failure {
    failure.diagnostics.facts = facts(&open.container);
    failure
}

fn facts(container: &Container) -> BTreeMap<String, String> {
    let runtime = container.runtime.program().to_string_lossy();
    BTreeMap::from([
        ("container".to_owned(), container.name.to_string()),
        ("runtime".to_owned(), cut(&runtime, 1_024).to_owned()),
    ])
}
