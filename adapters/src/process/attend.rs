//! From the wish to start to a shim that looks after the attempt.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_engine::domain::{Diagnostics, Failure, FailureKind, ResourceLimits};

use super::attempt::HeldAttempt;
use super::attended::Attended;
use super::directory::AttemptDirectory;
use super::follow::follow;
use super::growing::pass_growing;
use super::handle::Phase;
use super::identity::Identity;
use super::inherited::Inherited;
use super::launch::{CommandLine, ContainerLine, Launch};
use super::open::directory_failure;
use super::ready::{Before, ReadyCheck};
use super::runner::ProcessRunner;
use super::scarcity::{THREAD_PATIENCE, despite_scarcity};
use super::shim::{Assignment, CommandBlock};
use super::shim_spawn::{SpawnedShim, spawn_shim};
use super::spawn::{ATTEMPT_VARIABLE, ORDINAL_VARIABLE, RUN_VARIABLE, changes, variables};
use super::spawn_failure::{exhausted, without_thread};
use super::start_guard::StartGuard;
use super::telling::{Telling, Untold};
use crate::control::ControlListener;
use crate::descriptors::errno;
use crate::oci::{Container, Preparation, PreparationError, remove_bundle, runtime_environment};
use crate::threads::blocking_within;

impl ProcessRunner {
    /// Makes the attempt's directory, has a shim look after it, and returns once the command is executed or could not be.
    pub(super) async fn attend(
        &self,
        mut held: HeldAttempt,
        guard: StartGuard,
        identity: Identity,
        line: CommandLine,
        program: &Path,
        mut launch: Launch,
    ) {
        let (directory, runner, program) = (held.directory.clone(), self.clone(), program.to_owned());
        let (limits, check) = (held.limits, launch.ready.take());
        let making = move || make(&runner, &directory, identity, limits, &line, &program, check);
        let Made { shim, socket, before } = match blocking_within(THREAD_PATIENCE, making).await {
            Ok(Some(Ok(made))) => made,
            Ok(Some(Err(failure))) => return held.fail(guard, *failure).await,
            Ok(None) => return,
            Err(error) => return held.fail(guard, without_thread(&error)).await,
        };
        held.socket = socket;
        let live = held.live().clone();
        let Some((shim, untold)) = shim.keep() else { return };
        let attended = Attended::spawned(shim, untold, before);
        pass_growing(&held, launch.stdout, launch.stderr);
        let followed = live.clone();
        tokio::spawn(async move {
            let mut released = followed.released.subscribe();
            tokio::select! {
                biased;
                () = follow(held, attended, Duration::ZERO) => {}
                // What was followed goes on, and its shim writes its end down.
                _ = released.wait_for(|released| *released) => {}
            }
        });
        guard.succeed();
        let _ = live.phase.subscribe().wait_for(|phase| !matches!(phase, Phase::Starting)).await;
    }
}

struct Made {
    shim: Unfollowed,
    socket: Option<Arc<ControlListener>>,
    before: Option<Before>,
}

/// A shim that nobody follows yet. Dropping it kills it, and with it whatever it has begun: when the start that wanted it
/// is gone, its attempt is recorded as failed.
struct Unfollowed {
    shim: Option<SpawnedShim>,
    /// What it has not taken yet of what it is told.
    untold: Option<Untold>,
}

impl Unfollowed {
    /// Hands it to whoever follows it from now on, with what it is still to be told.
    fn keep(mut self) -> Option<(SpawnedShim, Option<Untold>)> {
        Some((self.shim.take()?, self.untold.take()))
    }
}

impl Drop for Unfollowed {
    fn drop(&mut self) {
        // The runtime reaps it, as it does with every child that is let go of.
        let _ = self.shim.as_ref().map(|shim| shim.child.signal(Signal::KILL));
    }
}

/// The directory, the report socket, and a shim that knows what to do.
fn make(
    runner: &ProcessRunner,
    directory: &AttemptDirectory,
    identity: Identity,
    limits: ResourceLimits,
    line: &CommandLine,
    program: &Path,
    check: Option<ReadyCheck>,
) -> Result<Made, Box<Failure>> {
    // What is left of a container is found by its name on disk, also after a power cut.
    let made = if line.container.is_some() { directory.create() } else { directory.make() };
    made.map_err(|error| Box::new(directory_failure(&error)))?;
    let socket = runner.hold_report_socket();
    let control = socket.as_deref().map(ControlListener::path);
    let before = check.map(|check| Before::see(check, directory));
    let container = line.container.as_ref().map(|container| contain(runner, directory, &identity, line, container));
    let container = container.transpose().map_err(|error| error.failure())?.map(|container| container.runtime);
    let own = variables(identity.run, (identity.attempt, identity.ordinal), directory, control);
    let changes = changes(line, &own);
    let shim = || {
        let command = match &container {
            Some(_) => {
                let env = runtime_environment();
                let env = env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
                CommandBlock::new(&line.argv, line.cwd.as_deref(), env)?
            }
            // All that the command shall find: a shim has no environment that could be added to.
            None => CommandBlock::new(&line.argv, line.cwd.as_deref(), runner.inherited().with(line, &changes))?,
        };
        let assignment = Assignment { container, ..assignment(runner, identity, limits, line)? };
        despite_scarcity(|| start(&assignment, &command, program, runner.inherited()))
    };
    let shim = shim().map_err(|error| {
        remove_bundle(directory);
        let mut failure = failure(format!("its shim {} cannot be started: {error}", meant(program).display()));
        failure.diagnostics.likely_cause = exhausted(errno(&error));
        failure
    })?;
    Ok(Made { shim, socket, before })
}

fn assignment(
    runner: &ProcessRunner,
    identity: Identity,
    limits: ResourceLimits,
    line: &CommandLine,
) -> io::Result<Assignment> {
    let Identity { run, attempt, ordinal, runner: holder, supervisor, argv_digest, snapshot_delay_ms, .. } = identity;
    let runs_dir = std::path::absolute(runner.runs_dir())?;
    let (options, has_stdin) = (runner.options(), line.inherit_stdin);
    Ok(Assignment {
        run,
        attempt,
        ordinal,
        runner: holder,
        supervisor,
        argv_digest,
        runs_dir,
        limits,
        options,
        has_stdin,
        snapshot_delay_ms,
        container: None,
    })
}

/// Names the container on disk that the shim is to make. What it finds in its environment beyond the bundle's is what was
/// asked for by name: nothing else of this host is of use in it, nor are paths of it.
fn contain(
    runner: &ProcessRunner,
    directory: &AttemptDirectory,
    identity: &Identity,
    line: &CommandLine,
    container: &ContainerLine,
) -> Result<Container, PreparationError> {
    let Identity { run, attempt, ordinal, .. } = identity;
    let own = [
        (RUN_VARIABLE, run.to_string()),
        (ATTEMPT_VARIABLE, attempt.to_string()),
        (ORDINAL_VARIABLE, ordinal.to_string()),
    ];
    let own = own.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let env: Vec<_> = line.env.iter().cloned().chain(own).collect();
    let argv: Vec<_> = line.argv.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (runtime, bundle) = (&container.runtime, &container.bundle);
    let preparation = Preparation { runtime, root: &runner.runtime_root(), bundle, argv: &argv, env: &env };
    preparation.prepare(directory, (*run, *ordinal), *attempt)
}

/// Spawns the shim, and tells it what to do, as far as that is taken at once: nobody waits here for a shim that stands still.
/// One that ends before it has heard all of it has executed nothing, and whoever follows it finds that out.
fn start(
    assignment: &Assignment,
    command: &CommandBlock,
    program: &Path,
    inherited: &Inherited,
) -> io::Result<Unfollowed> {
    let stdin = if assignment.has_stdin { Some(io::stdin().as_fd().try_clone_to_owned()?) } else { None };
    let (taken, telling) = Telling::begin(assignment.handover(command)?)?;
    let shim = spawn_shim(program, &assignment.arguments(), inherited, (taken.into(), stdin))?;
    let mut started = Unfollowed { shim: Some(shim), untold: None };
    // If this fails, the shim is killed, and it has not heard all.
    started.untold = telling.go_on()?;
    Ok(started)
}

/// The program that a person knows, also where it is reached by what this process has open.
fn meant(program: &Path) -> Cow<'_, Path> {
    let own = program.starts_with("/proc/self").then(|| std::fs::read_link(program).ok()).flatten();
    own.map_or(Cow::Borrowed(program), Cow::Owned)
}

fn failure(message: String) -> Box<Failure> {
    Box::new(Failure { kind: FailureKind::SpawnFailed, message, diagnostics: Diagnostics::default() })
}
