//! Jobs as runs of real processes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tachograph_adapters::process::{EndRecord, Launch, NotReady, Ready, RunHandle, RunnerError};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Diagnostics, Failure, FailureKind, Outcome, RunId, StartMode,
};

use super::progress::{Progress, Step};
use super::schedule::{Attempted, Ended, Launcher};
use crate::control_problem::ControlProblem;
use crate::duration::DurationMs;
use crate::error::Error;
use crate::jobs::Job;
use crate::report::own_program;
use crate::stop::{Stop, Urgency};
use crate::writer::Writer;

/// Launches jobs as processes, recorded by a writer.
pub(super) struct ProcessLauncher<'writer> {
    writer: &'writer Writer,
    stop: Stop,
    progress: &'writer dyn Progress,
    /// Runs that go on from the last supervisor, by the names of their jobs.
    adopted: BTreeMap<String, RunHandle>,
}

impl<'writer> ProcessLauncher<'writer> {
    /// A launcher that gives up waiting for ends once they are given up by whoever stops it.
    pub(super) fn new(writer: &'writer Writer, stop: Stop, progress: &'writer dyn Progress) -> Self {
        Self { writer, stop, progress, adopted: BTreeMap::new() }
    }

    /// With runs that go on from the last supervisor, by the names of their jobs: they are followed as those jobs' runs.
    pub(super) fn going_on_with(self, adopted: BTreeMap<String, RunHandle>) -> Self {
        Self { adopted, ..self }
    }

    /// The attempt that goes on, if the job's run was adopted and this is its first attempt here.
    fn going_on(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Option<&RunHandle> {
        self.adopted.get(&job.name).filter(|handle| handle.run() == run && previous.is_none())
    }

    /// Shows that an attempt is ready, if that is asked for, or that it ended before.
    async fn show_readiness(&self, job: &Job, handle: &RunHandle) {
        if job.ready.is_some() {
            match handle.ready().await {
                Ok(Ready { after }) => self.progress.show(&Step::Ready { job, after }),
                Err(NotReady::Ended { .. }) => self.progress.show(&Step::EndedUnready { job }),
                // Its end tells.
                Err(NotReady::TimedOut { .. } | NotReady::Abandoned { .. }) => {}
            }
        }
    }

    async fn start(
        &self,
        job: &Job,
        run: RunId,
        attempt: AttemptId,
        previous: Option<AttemptId>,
    ) -> Result<RunHandle, RunnerError> {
        // In a container the path of this program means nothing.
        let own = own_program().into_iter().filter(|_| job.oci.is_none());
        let env = job.env.iter().map(|(name, value)| (name.into(), value.into())).chain(own).collect();
        let runtime = job.oci.as_ref().and_then(|oci| oci.runtime.as_ref()).map(Into::into);
        let snapshot_delay = job.snapshot_delay.map(DurationMs::as_duration);
        let launch = Launch { env, snapshot_delay, ready: job.ready.clone(), runtime, ..Launch::default() };
        let mode = previous.map_or(StartMode::Fresh, |previous| StartMode::Restart { previous });
        self.writer.runner.start_attempt(run, attempt, mode, launch).await
    }

    /// Records that a created run will not be started, so that it does not go on holding its name.
    async fn abandon(&self, run: RunId, attempt: AttemptId) -> Result<Outcome, Error> {
        let failure = Failure {
            kind: FailureKind::StartAbandoned,
            message: "the supervisor was asked to stop before it was started".to_owned(),
            diagnostics: Diagnostics::default(),
        };
        let Writer { engine, runner, .. } = self.writer;
        let claim = Claim { run, attempt, runner: runner.runner().clone() };
        let actor = Actor::new(ActorKind::Supervisor, runner.runner().as_str());
        let command = engine.command(run, actor, Action::Fail { claim, failure: failure.clone() });
        match engine.submit(command).await?.outcome.refusal() {
            Some(refusal) => Err(Error::Refused(refusal.clone())),
            None => Ok(Outcome::Failed(failure)),
        }
    }
}

#[async_trait]
impl Launcher for ProcessLauncher<'_> {
    async fn create(&self, job: &Job) -> Result<RunId, Error> {
        match self.adopted.get(&job.name) {
            Some(adopted) => Ok(adopted.run()),
            None => Ok(self.writer.runner.create(job.spec()).await?),
        }
    }

    async fn attempt(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Result<Attempted, Error> {
        let minted = AttemptId::from_ulid(self.writer.engine.mint());
        let handle = match self.going_on(job, run, previous) {
            Some(adopted) => adopted.clone(),
            None => match (self.start(job, run, minted, previous).await, previous) {
                (Ok(handle), _) => handle,
                (Err(RunnerError::ShuttingDown), Some(_)) => return Ok(Attempted::NotBegun),
                (Err(RunnerError::ShuttingDown), None) => {
                    let outcome = self.abandon(run, minted).await?;
                    return Ok(Attempted::Ended(Ended { attempt: minted, outcome }));
                }
                (Err(error), _) => return Err(error.into()),
            },
        };
        let attempt = handle.attempt();
        let end = tokio::select! {
            biased;
            // Both, so that an end does not hide what is to be told of its readiness.
            (end, ()) = async { tokio::join!(handle.wait(), self.show_readiness(job, &handle)) } => match end {
                Err(RunnerError::Abandoned { .. }) if handle.is_left() => return Ok(Attempted::Left),
                end => end?,
            },
            () = self.stop.reached(Urgency::GivenUp) => {
                // The next writer of the data directory records what became of it.
                let waited = "all the time that closing may take".to_owned();
                return Err(ControlProblem::NotEnded { run, waited, stopped_shim: None }.into());
            }
        };
        match &end.record {
            EndRecord::Written { .. } => Ok(Attempted::Ended(Ended { attempt, outcome: end.outcome.clone() })),
            EndRecord::Refused(refusal) => Err(Error::Refused(refusal.clone())),
            EndRecord::NotSubmitted(error) => Err(error.clone().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::progress::Lines;
    use super::*;
    use crate::jobs::parse;

    fn job(text: &str) -> Job {
        parse(format!("[jobs.a]\ncommand = {text}\n").as_bytes()).unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_run_that_a_stop_forestalls_is_recorded_as_abandoned_and_a_retry_is_left_out() {
        let data = tempfile::tempdir().unwrap();
        let writer = Writer::open(data.path()).await.unwrap();
        let launcher = ProcessLauncher::new(&writer, Stop::default(), &Lines);
        let job = job("[\"true\"]");
        let run = launcher.create(&job).await.unwrap();
        writer.runner.shutdown(Duration::ZERO).await;
        let Attempted::Ended(ended) = launcher.attempt(&job, run, None).await.unwrap() else { panic!("not ended") };
        assert_eq!(ended.outcome.failure().map(|failure| &failure.kind), Some(&FailureKind::StartAbandoned));
        let record = writer.engine.run(run).await.unwrap().unwrap();
        assert!(record.run.is_ended(), "or it would go on holding its name");
        assert_eq!(launcher.attempt(&job, run, Some(ended.attempt)).await.unwrap(), Attempted::NotBegun);
        writer.close().await.unwrap();
    }

    #[tokio::test]
    async fn an_end_that_is_given_up_is_not_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let writer = Writer::open(data.path()).await.unwrap();
        let stop = Stop::default();
        let launcher = ProcessLauncher::new(&writer, stop.clone(), &Lines);
        let job = job("[\"sleep\", \"60\"]");
        let run = launcher.create(&job).await.unwrap();
        stop.request(Urgency::GivenUp);
        let error = launcher.attempt(&job, run, None).await.unwrap_err();
        assert_eq!(error.code(), "not_ended");
        writer.close().await.unwrap();
    }
}
