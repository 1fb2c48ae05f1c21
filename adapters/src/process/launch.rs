//! What a caller brings along for one attempt beside the recorded spec.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tachograph_engine::domain::{RunSpec, Workload};

use super::passthrough::Passthrough;
use super::ready::ReadyCheck;
use crate::oci::RUNTIME_DEFAULT;

/// What a caller brings along for one attempt. None of it is recorded: environment values may be secret.
#[derive(Default)]
pub struct Launch {
    /// The exact arguments, program first, where the spec's text cannot hold them; the spec's own if absent.
    pub argv: Option<Vec<OsString>>,
    /// The exact working directory; the spec's own if absent.
    pub cwd: Option<PathBuf>,
    /// Environment variables to set, beyond the supervisor's own, which is read once for all runs of a runner.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the supervisor's own environment is withheld.
    pub env_clear: bool,
    /// Whether the supervisor's standard input is the child's, too; it has none otherwise. Never let it be a terminal:
    /// the child is no foreground process of it, and reading would stop it.
    pub inherit_stdin: bool,
    /// The OCI runtime that makes the run's container, a path or a name, if its workload is an image; `runc` if absent.
    pub runtime: Option<OsString>,
    /// How long after it reported that it waits a snapshot of the run is due; none is armed by itself if absent.
    pub snapshot_delay: Option<Duration>,
    /// How it shows that it is ready, and by when it must; ready as soon as it has a process if absent.
    pub ready: Option<ReadyCheck>,
    /// Where standard output is passed through to.
    pub stdout: Option<Passthrough>,
    /// Where standard error is passed through to.
    pub stderr: Option<Passthrough>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables by name only.
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch")
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("env", &names)
            .field("snapshot_delay", &self.snapshot_delay)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

/// A command line as it is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) argv: Vec<OsString>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) env_clear: bool,
    pub(super) inherit_stdin: bool,
    /// Absent for a command of this host.
    pub(super) container: Option<ContainerLine>,
}

/// What a container is made of. The arguments are those of the OCI bundle if the command line has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerLine {
    pub(super) runtime: OsString,
    pub(super) bundle: PathBuf,
}

impl CommandLine {
    /// Takes the command line out of the launch, or out of the spec. Absent if neither has one.
    pub(super) fn take(launch: &mut Launch, spec: &RunSpec) -> Option<Self> {
        let (argv, cwd, container) = match &spec.workload {
            Workload::Command { argv, cwd } => (argv, cwd.as_ref(), None),
            Workload::Image { reference, argv } => {
                let runtime = launch.runtime.take().unwrap_or_else(|| RUNTIME_DEFAULT.into());
                (argv, None, Some(ContainerLine { runtime, bundle: PathBuf::from(reference) }))
            }
        };
        let argv = launch.argv.take().unwrap_or_else(|| argv.iter().map(OsString::from).collect());
        let cwd = launch.cwd.take().or_else(|| cwd.map(PathBuf::from));
        let env = std::mem::take(&mut launch.env);
        let (env_clear, inherit_stdin) = (launch.env_clear, launch.inherit_stdin);
        let is_line = !argv.is_empty() || container.is_some();
        is_line.then_some(Self { argv, cwd, env, env_clear, inherit_stdin, container })
    }
}
