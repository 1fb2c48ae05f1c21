//! Calls of an OCI runtime.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::error::RuntimeError;
use super::state::ContainerState;

/// The runtime that is used if nothing else is asked for.
pub const RUNTIME_DEFAULT: &str = "runc";
/// How long a command other than `create` may take, unless a call says otherwise.
const CALL_LIMIT_MS: u64 = 30_000;
/// More than a runtime's state has.
const ANSWER_BYTES_MAX: u64 = 64 * 1_024;
const SAID_BYTES_MAX: usize = 1_024;
const VARIABLES: [&str; 5] = ["PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR"];

/// A runtime, and where it keeps its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    program: PathBuf,
    root: PathBuf,
}

/// How the runtime is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuntimeCall {
    runtime: Runtime,
    /// A program that puts right what the runtime must not inherit, and then becomes the runtime.
    through: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    limit_ms: u64,
}

impl Runtime {
    /// Finds a runtime: a path, or a name that is looked up in `PATH`. Its state is kept below `root`, which it makes.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Missing`].
    pub fn find(name: &OsStr, root: &Path) -> Result<Self, RuntimeError> {
        let missing = || RuntimeError::Missing { name: name.to_string_lossy().into_owned() };
        let program = if name.as_bytes().contains(&b'/') {
            Some(PathBuf::from(name)).filter(|path| path.is_file())
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| is_program(path))
        };
        let absolute = |path: &Path| std::path::absolute(path).map_err(|_| missing());
        Ok(Self { program: absolute(&program.ok_or_else(missing)?)?, root: absolute(root)? })
    }

    /// One that was found before.
    pub(crate) const fn known(program: PathBuf, root: PathBuf) -> Self {
        Self { program, root }
    }

    /// The program's file; absolute.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The directory of its state; absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Calls from this process, each within a time that is longer than any takes.
    pub(crate) fn call(&self) -> RuntimeCall {
        RuntimeCall { runtime: self.clone(), through: Vec::new(), env: runtime_environment(), limit_ms: CALL_LIMIT_MS }
    }
}

/// What of this process's environment runtimes get: what they may need to find programs and their own places.
pub fn runtime_environment() -> Vec<(OsString, OsString)> {
    VARIABLES.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

impl RuntimeCall {
    /// The same by way of another program, with this as the whole environment.
    pub(crate) fn through(self, through: Vec<OsString>, env: Vec<(OsString, OsString)>) -> Self {
        Self { through, env, ..self }
    }

    /// The same within another time.
    pub(crate) fn within(self, limit_ms: u64) -> Self {
        Self { limit_ms, ..self }
    }

    /// Makes a container out of a bundle, which executes nothing yet. What it prints goes where the output of the
    /// container will go, its remarks to `log`.
    pub(crate) fn create(
        &self,
        id: &str,
        (bundle, pid_file, log): (&Path, &Path, &Path),
        [stdin, stdout, stderr]: [Stdio; 3],
    ) -> Result<(), RuntimeError> {
        const ACTION: &str = "create";
        let mut command = self.command_with(&[OsStr::new("--log"), log.as_os_str()]);
        command.args([OsStr::new(ACTION), OsStr::new("--bundle"), bundle.as_os_str()]);
        command.arg("--pid-file").arg(pid_file).arg(id);
        let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn();
        // With the command go its ends of the pipes.
        drop(command);
        let mut child = child.map_err(|source| self.not_executed(source))?;
        self.success(ACTION, self.wait(ACTION, &mut child)?, String::new())
    }

    /// Lets a container execute its command.
    pub(crate) fn start(&self, id: &str) -> Result<(), RuntimeError> {
        self.ask("start", &[], id, None).map(drop)
    }

    /// Sends a signal to the first process of a container.
    pub(crate) fn kill(&self, id: &str, signal: Signal) -> Result<(), RuntimeError> {
        self.ask("kill", &[], id, Some(signal)).map(drop)
    }

    /// Kills all processes of a container, also those that are in no pid namespace of its own.
    pub(crate) fn kill_all(&self, id: &str) -> Result<(), RuntimeError> {
        let all = self.ask("kill", &["--all"], id, Some(Signal::KILL)).map(drop);
        // Not every runtime knows the option.
        all.or_else(|_| self.kill(id, Signal::KILL))
    }

    /// Removes a container, and kills what is left of it. None being there is no error.
    pub(crate) fn delete(&self, id: &str) -> Result<(), RuntimeError> {
        self.ask("delete", &["--force"], id, None).map(drop)
    }

    /// Lets a container stand still.
    pub(crate) fn pause(&self, id: &str) -> Result<(), RuntimeError> {
        self.ask("pause", &[], id, None).map(drop)
    }

    /// Lets a container go on.
    pub(crate) fn resume(&self, id: &str) -> Result<(), RuntimeError> {
        self.ask("resume", &[], id, None).map(drop)
    }

    /// What a container does. A runtime does not tell 'there is none' from other failures.
    pub(crate) fn state(&self, id: &str) -> Result<ContainerState, RuntimeError> {
        const ACTION: &str = "state";
        let answer = self.ask(ACTION, &[], id, None)?;
        ContainerState::parse(&answer).map_err(|why| RuntimeError::Malformed {
            program: self.runtime.program.clone(),
            action: ACTION,
            why,
        })
    }

    fn ask(
        &self,
        action: &'static str,
        options: &[&str],
        id: &str,
        signal: Option<Signal>,
    ) -> Result<Vec<u8>, RuntimeError> {
        let mut command = self.command_with(&[]);
        command.arg(action).args(options).arg(id).args(signal.map(|signal| signal.as_raw().to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.not_executed(source))?;
        let status = self.wait(action, &mut child)?;
        let said = last_line(&read_there(child.stderr.take()));
        self.success(action, status, said)?;
        Ok(read_there(child.stdout.take()))
    }

    fn command_with(&self, global: &[&OsStr]) -> Command {
        let program = self.runtime.program.as_os_str();
        let mut command = Command::new(self.through.first().map_or(program, OsString::as_os_str));
        if let Some((_, rest)) = self.through.split_first() {
            command.args(rest).arg(program);
        }
        command.arg("--root").arg(&self.runtime.root).args(global);
        // What is typed at a supervisor's terminal is not meant for the runtime.
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value))).process_group(0);
        command
    }

    fn wait(&self, action: &'static str, child: &mut Child) -> Result<ExitStatus, RuntimeError> {
        let waited = wait_within(child, Duration::from_millis(self.limit_ms));
        waited.map_err(|source| self.not_executed(source))?.ok_or_else(|| RuntimeError::TooSlow {
            program: self.runtime.program.clone(),
            action,
            limit_ms: self.limit_ms,
        })
    }

    fn not_executed(&self, source: io::Error) -> RuntimeError {
        RuntimeError::NotExecuted { program: self.runtime.program.clone(), source }
    }

    fn success(&self, action: &'static str, status: ExitStatus, said: String) -> Result<(), RuntimeError> {
        if status.success() {
            return Ok(());
        }
        Err(RuntimeError::Failed { program: self.runtime.program.clone(), action, status, said })
    }
}

/// Waits for exactly this child. If that takes too long, it is killed and reaped, and has no status.
fn wait_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(pidfd) = pidfd else { return child.wait().map(Some) };
    let end = std::time::Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a pipe holds by now. Processes that the runtime left behind may hold its other end for long.
pub(crate) fn read_there(pipe: Option<impl Read + AsFd>) -> Vec<u8> {
    let mut content = Vec::new();
    if let Some(pipe) = pipe
        && ioctl_fionbio(&pipe, true).is_ok()
    {
        // What was there before there was no more is kept, and that is what is wanted.
        let _ = pipe.take(ANSWER_BYTES_MAX).read_to_end(&mut content);
    }
    content
}

/// The last line that is not empty, of what a runtime said.
fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().take(SAID_BYTES_MAX / 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(directory: &Path, text: &str) -> Runtime {
        let program = directory.join("runtime");
        // Another process writes it: if this one had it open for writing, a child of another test could have it open still, and
        // nobody may execute it then.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        assert!(Command::new("sh").args(["-c", write]).arg(&program).arg(text).status().unwrap().success());
        Runtime::find(program.as_os_str(), &directory.join("root")).unwrap()
    }

    #[test]
    fn what_a_runtime_says_last_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = script(directory.path(), "echo one >&2; echo \"two $*\" >&2; echo >&2; exit 3");
        let error = runtime.call().kill("x", Signal::TERM).unwrap_err();
        let RuntimeError::Failed { action: "kill", status, said, .. } = &error else { panic!("{error}") };
        let root = directory.path().join("root");
        assert_eq!(
            (status.code(), said.as_str()),
            (Some(3), format!("two --root {} kill x 15", root.display()).as_str())
        );
    }

    #[test]
    fn a_runtime_that_hangs_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = script(directory.path(), "exec sleep 1000");
        let error = runtime.call().within(50).state("x").unwrap_err();
        assert!(matches!(error, RuntimeError::TooSlow { action: "state", limit_ms: 50, .. }), "{error}");
    }

    #[test]
    fn a_runtime_that_leaves_somebody_with_its_pipes_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let left = directory.path().join("left");
        let text = format!("sleep 1000 & echo $! > {}; echo '{{\"status\":\"running\"}}'", left.display());
        let state = script(directory.path(), &text).call().state("x").unwrap();
        let pid: i32 = std::fs::read_to_string(left).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        assert_eq!(state.to_string(), "running");
    }

    #[test]
    fn a_missing_runtime_is_named() {
        for name in ["no-such-runtime-here", "/no/such/runtime"] {
            let error = Runtime::find(OsStr::new(name), Path::new("/tmp")).unwrap_err();
            assert!(matches!(&error, RuntimeError::Missing { name: missing } if missing == name), "{error}");
        }
    }
}
