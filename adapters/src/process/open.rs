//! From the wish to start to a supervised child.

use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tachograph_engine::domain::{
    Action, AttemptId, Claim, Diagnostics, Failure, FailureKind, Ordinal, Refusal, RunId, RunSpec, StartMode, Status,
    Stream,
};

use super::attempt::HeldAttempt;
use super::directory::{AttemptDirectory, DirectoryError};
use super::drain::Pumps;
use super::error::RunnerError;
use super::group::ProcessGroup;
use super::handle::{Opened, Phase, RunHandle};
use super::identity::{Identity, ProcessIdentity, argv_digest};
use super::launch::{CommandLine, Launch};
use super::output_cap::OutputCap;
use super::passthrough::{Passthrough, pass_captured};
use super::places::TakenPlace;
use super::pump::Pump;
use super::ready::{Before, Readiness, Ready, ReadyCheck, watch};
use super::runner::ProcessRunner;
use super::scarcity::{THREAD_PATIENCE, despite_scarcity};
use super::scene::Scene;
use super::shim_mode::Shim;
use super::spawn::{Spawned, spawn, variables};
use super::spawn_failure::{exhausted, spawn_failure, without_thread};
use super::start_guard::StartGuard;
use super::supervise::supervise;
use super::unsupervised::Unsupervised;
use crate::control::ControlListener;
use crate::descriptors::errno;
use crate::threads::blocking_within;

/// Which attempt is to be opened.
pub(super) struct Opening {
    pub(super) run: RunId,
    pub(super) attempt: AttemptId,
    pub(super) mode: StartMode,
    /// What its run is to be created as; absent if it is created already.
    pub(super) creates: Option<Arc<RunSpec>>,
}

impl ProcessRunner {
    /// Opens the attempt in the journal, and only then spawns it. Runs as a task of its own, so that a caller that
    /// goes away cannot leave an open attempt without a process.
    pub(super) async fn open(
        &self,
        place: TakenPlace,
        opening: Opening,
        mut launch: Launch,
    ) -> Result<RunHandle, RunnerError> {
        let Opening { run, attempt, mode, creates } = opening;
        let under_way = RunnerError::UnderWay { run, attempt };
        let mut registration = self.registry().register(run, attempt).ok_or(under_way)?;
        registration.place = Some(place);
        if self.is_closing() {
            return Err(RunnerError::ShuttingDown);
        }
        let spec = match &creates {
            Some(spec) => Some(spec.clone()),
            None => self.engine().run(run).await?.map(|record| record.run.spec.clone()),
        };
        let line = spec.map(|spec| CommandLine::take(&mut launch, &spec));
        if let Some(None) = line {
            return Err(RunnerError::NoCommand { run });
        }
        if *self.shim() == Shim::Off && line.iter().flatten().any(|line| line.container.is_some()) {
            return Err(RunnerError::NoShim { run });
        }
        if let Some(check) = &launch.ready {
            check.check()?;
        }
        let claim = Claim { run, attempt, runner: self.runner().clone() };
        let guard = StartGuard::new(self.engine(), claim.clone());
        let start = Action::Start { attempt, runner: self.runner().clone(), mode };
        let submitted = match creates {
            Some(spec) => self.submit_both(run, Action::Create { spec }, start).await,
            None => self.submit(run, start).await,
        };
        if let Err(error) = submitted {
            guard.disarm();
            return Err(error);
        }
        let (ordinal, spec) = self.opened(run, attempt).await?;
        let directory = AttemptDirectory::of(self.runs_dir(), run, ordinal);
        let live = registration.live.clone();
        let snapshot_delay = launch.snapshot_delay.map_or_else(OnceLock::new, OnceLock::from);
        let _ = live.opened.set(Opened { ordinal, directory: directory.clone(), snapshot_delay, adopted_from: None });
        let scene = Scene::of(directory.clone(), live.clone());
        let guard = guard.witnessed_by(move || scene.diagnostics());
        let handle = RunHandle { live, clock: self.clock() };
        let held = HeldAttempt {
            engine: self.engine().clone(),
            options: self.options(),
            reporter: self.runner().clone(),
            claim,
            directory,
            limits: spec.limits,
            workload: spec.workload.clone(),
            socket: None,
            registration,
        };
        // Only a run that is known can have been started, so the command line was there.
        let Some(line) = line.flatten() else { return Err(RunnerError::NoCommand { run }) };
        self.spawn(held, guard, ordinal, line, launch).await;
        Ok(handle)
    }

    /// What the engine made of the start; an error if the run has moved on already.
    async fn opened(&self, run: RunId, attempt: AttemptId) -> Result<(Ordinal, Arc<RunSpec>), RunnerError> {
        let record = self.engine().run(run).await?.ok_or(RunnerError::Refused { refusal: Refusal::UnknownRun })?;
        if let Status::Destroyed { .. } = record.run.status {
            return Err(RunnerError::Refused { refusal: Refusal::RunDestroyed });
        }
        match &record.run.attempt {
            Some(current) if current.id == attempt => Ok((current.ordinal, record.run.spec.clone())),
            current => {
                let current = current.as_ref().map(|current| current.id);
                Err(RunnerError::Refused { refusal: Refusal::StaleAttempt { current } })
            }
        }
    }

    async fn spawn(
        &self,
        mut held: HeldAttempt,
        guard: StartGuard,
        ordinal: Ordinal,
        line: CommandLine,
        mut launch: Launch,
    ) {
        if held.live().stop.borrow().is_some() {
            return held.fail(guard, abandoned()).await;
        }
        let identity = self.identity(&held.claim, ordinal, &line, launch.snapshot_delay);
        if let Shim::Program(program) = self.shim() {
            return self.attend(held, guard, identity, line, program, launch).await;
        }
        let directory = held.directory.clone();
        let runner = self.clone();
        let check = launch.ready.take();
        let making = move || make(&runner, &directory, identity, &line, check);
        let made = match blocking_within(THREAD_PATIENCE, making).await {
            Ok(Some(made)) => made,
            Ok(None) => return,
            Err(error) => return held.fail(guard, without_thread(&error)).await,
        };
        match made {
            Ok(Made { spawned, stdout, stderr, socket, before }) => {
                held.socket = socket;
                follow(held, spawned.keep(), [stdout, stderr], launch, before);
                guard.succeed();
            }
            Err(failure) => held.fail(guard, *failure).await,
        }
    }

    fn identity(&self, claim: &Claim, ordinal: Ordinal, line: &CommandLine, delay: Option<Duration>) -> Identity {
        Identity {
            run: claim.run,
            attempt: claim.attempt,
            ordinal,
            runner: claim.runner.clone(),
            supervisor: self.supervisor().clone(),
            argv_digest: argv_digest(line.argv.iter().map(|argument| argument.as_os_str())),
            shim: None,
            process: None,
            snapshot_delay_ms: delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

struct Made {
    spawned: Unsupervised,
    stdout: File,
    stderr: File,
    socket: Option<Arc<ControlListener>>,
    before: Option<Before>,
}

/// The directory, the report socket, the child, the identity. None of it is synced: it is for whoever finds the
/// attempt without its supervisor, and after a power cut nobody finds it.
fn make(
    runner: &ProcessRunner,
    directory: &AttemptDirectory,
    identity: Identity,
    line: &CommandLine,
    check: Option<ReadyCheck>,
) -> Result<Made, Box<Failure>> {
    let [stdout, stderr] = prepared(directory).map_err(|error| directory_failure(&error))?;
    let (run, attempt) = (identity.run, (identity.attempt, identity.ordinal));
    let socket = runner.hold_report_socket();
    let control = socket.as_deref().map(ControlListener::path);
    let before = check.map(|check| Before::see(check, directory));
    let own = variables(run, attempt, directory, control);
    let spawned = despite_scarcity(|| spawn(line, runner.inherited(), &own));
    let spawned = spawned.map_err(|error| spawn_failure(line, &error))?;
    let spawned = Unsupervised::of(spawned, identity.attempt);
    let known = ProcessIdentity::of(spawned.pid()).map_err(|error| error.to_string()).and_then(|process| {
        let identity = Identity { process: Some(process), ..identity };
        identity.put(directory).map_err(|error| error.to_string())
    });
    if let Err(why) = known {
        // The command is executed already, and may have done anything: this is no failed start. For whoever finds the attempt
        // it is as if the run had removed the file.
        tracing::warn!(%run, attempt = %attempt.0, why, "the attempt's identity cannot be kept");
    }
    Ok(Made { spawned, stdout, stderr, socket, before })
}

/// The directory with the files of both streams, which may be among what is short.
fn prepared(directory: &AttemptDirectory) -> Result<[File; 2], DirectoryError> {
    directory.make()?;
    let file = |stream| despite_scarcity(|| directory.create_output(stream));
    Ok([file(Stream::Stdout)?, file(Stream::Stderr)?])
}

/// Starts the tasks that live as long as the attempt.
fn follow(held: HeldAttempt, spawned: Spawned, files: [File; 2], launch: Launch, before: Option<Before>) {
    let Spawned { child, pid, stdout, stderr } = spawned;
    let live = held.live().clone();
    let _ = live.pid.set(pid);
    live.phase.send_replace(Phase::Running);
    await_readiness(&held, before);
    let cap = held.limits.output_bytes.map(|bytes| Arc::new(Mutex::new(OutputCap::new(held.directory.clone(), bytes))));
    let capped = |stream| cap.clone().map(|cap| (cap, stream));
    let [out, err] = files.map(Arc::new);
    let pumps = Pumps {
        stdout: Pump::start(stdout, out.clone(), capped(Stream::Stdout)),
        stderr: Pump::start(stderr, err.clone(), capped(Stream::Stderr)),
    };
    pass(&held, &pumps, Stream::Stdout, out, launch.stdout);
    pass(&held, &pumps, Stream::Stderr, err, launch.stderr);
    match ProcessGroup::led_by(pid, held.claim.attempt) {
        Some(group) => drop(tokio::spawn(supervise(held, child, group, pumps))),
        None => tracing::error!(pid, "the child has an impossible pid and is not supervised"),
    }
}

/// Without a check it is ready now; with one, once somebody has seen it.
pub(super) fn await_readiness(held: &HeldAttempt, before: Option<Before>) {
    let live = held.live().clone();
    let Some(before) = before else {
        live.readiness.send_replace(Readiness::Ready(Ready { after: Duration::ZERO }));
        return;
    };
    live.readiness.send_replace(Readiness::Awaited);
    let scene = Scene::of(held.directory.clone(), live.clone());
    tokio::spawn(watch(before, scene, live, held.engine.clock().clone()));
}

fn pass(held: &HeldAttempt, pumps: &Pumps, stream: Stream, file: Arc<File>, to: Option<Passthrough>) {
    let Some(to) = to else { return };
    let live = held.live().clone();
    live.passing.send_modify(|passing| *passing += 1);
    let (kept, directory) = (pumps.kept(stream), held.directory.clone());
    let other = held.limits.output_bytes.map(|_| pumps.kept_of_other(stream));
    tokio::spawn(async move {
        let mut to = to;
        if let Err(error) = pass_captured(&directory, (stream, file), kept, other, &mut to).await {
            tracing::debug!(%error, stream = stream.name(), "output is no longer passed through");
        }
        live.passing.send_modify(|passing| *passing = passing.saturating_sub(1));
    });
}

fn abandoned() -> Failure {
    failure(FailureKind::StartAbandoned, "it was asked to end before it had a process".to_owned())
}

pub(super) fn directory_failure(error: &DirectoryError) -> Failure {
    let mut failure = failure(FailureKind::SpawnFailed, format!("its directory cannot be prepared: {error}"));
    failure.diagnostics.likely_cause = exhausted(errno(error));
    failure
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message, diagnostics: Diagnostics::default() }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::super::scarcity::testing::{is_alone, without_files_at_first};
    use super::*;

    #[test]
    fn files_for_output_are_made_though_none_can_be_opened_for_a_while() {
        if !is_alone("process::open::tests::files_for_output_are_made_though_none_can_be_opened_for_a_while") {
            return;
        }
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        let made = without_files_at_first(|| prepared(&directory).map(|_| ()));
        assert!(made.is_ok(), "{made:?}");
        assert!([Stream::Stdout, Stream::Stderr].iter().all(|stream| directory.output(*stream).is_file()));
    }
}
