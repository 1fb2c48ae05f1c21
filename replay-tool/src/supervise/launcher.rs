//! Jobs as runs of real processes.

use async_trait::async_trait;
use tachograph_adapters::process::{EndRecord, Launch, RunHandle, RunnerError};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Diagnostics, Failure, FailureKind, Outcome, RunId, StartMode,
};

use super::schedule::{Ended, Launcher};
use crate::error::Error;
use crate::jobs::Job;
use crate::stop::{Stop, Urgency};
use crate::writer::Writer;

/// Launches jobs as processes, recorded by a writer.
#[derive(Debug)]
pub(super) struct ProcessLauncher<'writer> {
    writer: &'writer Writer,
    stop: Stop,
}

impl<'writer> ProcessLauncher<'writer> {
    /// A launcher that gives up waiting for ends once they are given up by whoever stops it.
    pub(super) fn new(writer: &'writer Writer, stop: Stop) -> Self {
        Self { writer, stop }
    }

    async fn start(
        &self,
        job: &Job,
        run: RunId,
        attempt: AttemptId,
        previous: Option<AttemptId>,
    ) -> Result<RunHandle, RunnerError> {
        let env = job.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mode = previous.map_or(StartMode::Fresh, |previous| StartMode::Restart { previous });
        self.writer.runner.start_attempt(run, attempt, mode, Launch { env, ..Launch::default() }).await
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
        Ok(self.writer.runner.create(job.spec()).await?)
    }

    async fn attempt(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Result<Option<Ended>, Error> {
        let attempt = AttemptId::from_ulid(self.writer.engine.mint());
        let handle = match (self.start(job, run, attempt, previous).await, previous) {
            (Ok(handle), _) => handle,
            (Err(RunnerError::ShuttingDown), Some(_)) => return Ok(None),
            (Err(RunnerError::ShuttingDown), None) => {
                let outcome = self.abandon(run, attempt).await?;
                return Ok(Some(Ended { attempt, outcome }));
            }
            (Err(error), _) => return Err(error.into()),
        };
        let end = tokio::select! {
            biased;
            end = handle.wait() => end?,
            () = self.stop.reached(Urgency::GivenUp) => {
                let why = "did not end in time; the next writer of the data directory records what became of it";
                return Err(Error::internal(format!("run {run} {why}")));
            }
        };
        match &end.record {
            EndRecord::Written { .. } => Ok(Some(Ended { attempt, outcome: end.outcome.clone() })),
            EndRecord::Refused(refusal) => Err(Error::Refused(refusal.clone())),
            EndRecord::NotSubmitted(error) => Err(error.clone().into()),
        }
    }
}
