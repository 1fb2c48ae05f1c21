//! Making the child.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;

use tachograph_engine::domain::{AttemptId, Ordinal, RunId};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::directory::AttemptDirectory;
use super::launch::CommandLine;

/// Environment variable that names the run to its processes.
pub const RUN_VARIABLE: &str = "TACHO_RUN_ID";
/// Environment variable that names the attempt to its processes.
pub const ATTEMPT_VARIABLE: &str = "TACHO_ATTEMPT_ID";
/// Environment variable that tells the attempt's number within the run to its processes: 1, 2, 3…
pub const ORDINAL_VARIABLE: &str = "TACHO_ATTEMPT";
/// Environment variable that names the attempt's directory to its processes.
pub const DIRECTORY_VARIABLE: &str = "TACHO_RUN_DIR";

/// Environment variable that names the run's control socket to its processes; absent if there is none.
pub const CONTROL_VARIABLE: &str = "TACHO_CONTROL";

/// A child with the reading ends of its output.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) pid: u32,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Spawns the command as the leader of its own process group. If that fails, no child and no zombie is left. Needs a
/// Tokio runtime with IO enabled.
pub(super) fn spawn(
    line: &CommandLine,
    run: RunId,
    (attempt, ordinal): (AttemptId, Ordinal),
    directory: &AttemptDirectory,
    control: Option<&Path>,
) -> io::Result<Spawned> {
    let no_program = || io::Error::new(io::ErrorKind::InvalidInput, "the command names no program");
    let (program, arguments) = line.argv.split_first().ok_or_else(no_program)?;
    let mut command = Command::new(program);
    if line.env_clear {
        command.env_clear();
    }
    command
        .args(arguments)
        .envs(line.env.iter().map(|(name, value)| (name, value)))
        .stdin(if line.inherit_stdin { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, value) in variables(run, (attempt, ordinal), directory, control) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(cwd) = &line.cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn()?;
    match (child.id(), child.stdout.take(), child.stderr.take()) {
        (Some(pid), Some(stdout), Some(stderr)) => Ok(Spawned { child, pid, stdout, stderr }),
        // All three were asked for above, so this is a child that cannot be supervised.
        _ => {
            child.start_kill()?;
            Err(io::Error::other("the child came without pid or pipes"))
        }
    }
}

/// What every process of an attempt finds in its environment; without a value, what it must not find there.
pub(super) fn variables(
    run: RunId,
    (attempt, ordinal): (AttemptId, Ordinal),
    directory: &AttemptDirectory,
    control: Option<&Path>,
) -> [(&'static str, Option<OsString>); 5] {
    [
        (RUN_VARIABLE, Some(run.to_string().into())),
        (ATTEMPT_VARIABLE, Some(attempt.to_string().into())),
        (ORDINAL_VARIABLE, Some(ordinal.to_string().into())),
        (DIRECTORY_VARIABLE, Some(absolute(directory.path()))),
        // One that was inherited would be that of another run.
        (CONTROL_VARIABLE, control.map(absolute)),
    ]
}

/// The child may run in another directory, so a relative path would mislead it.
fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string()
}
