//! What a run's own processes report about it.

use std::time::Duration;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, CommandId, RunId, RunnerId, SnapshotId, StartMode, Timestamp,
    Version,
};
use tachograph_engine::shell::CommandOutcome;

use super::arming::{Arming, after, snapshot_of};
use super::error::RunnerError;
use super::runner::ProcessRunner;
use crate::control::{RunReport, SnapshotArmed};

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAnswer {
    /// Of the report itself.
    pub outcome: CommandOutcome,
    /// Of the arming of a snapshot that followed from it; absent if none should follow.
    pub arming: Option<CommandOutcome>,
    /// The snapshot that is armed now because of this report, also if the report is a repeated one.
    pub snapshot: Option<SnapshotArmed>,
}

impl ProcessRunner {
    /// Submits what a process of a run reports, in this runner's name.
    ///
    /// Whatever attempt it names, it is submitted: the engine refuses one that is stale or destroyed, and records that.
    /// What is left of such an attempt is ended, if this runner has exactly that one under way. If the attempt was
    /// started with a [`snapshot_delay`](super::Launch::snapshot_delay), a snapshot is armed right after a written
    /// `waiting`.
    ///
    /// A report that is repeated with the same id is harmless. The ids of what follows from it are derived from its own,
    /// so that a crash in between leaves nothing half done for ever: the repeated report completes it, unless the run
    /// has moved on, and never does it twice; so does adoption. Whatever else is recorded about the run meanwhile, the
    /// snapshot is armed as long as the run is in this very wait. Dropping the future does not stop it.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] if the engine gave no answer to all of it; repeat it then. A refusal is an answer.
    pub async fn report(
        &self,
        run: RunId,
        attempt: AttemptId,
        report: RunReport,
        command: CommandId,
    ) -> Result<ReportAnswer, RunnerError> {
        let runner = self.clone();
        let reporting = tokio::spawn(async move { runner.submit_report(run, attempt, report, command).await });
        reporting.await.unwrap_or(Err(RunnerError::Abandoned { run, attempt }))
    }

    async fn submit_report(
        &self,
        run: RunId,
        attempt: AttemptId,
        report: RunReport,
        command: CommandId,
    ) -> Result<ReportAnswer, RunnerError> {
        let claim = Claim { run, attempt, runner: self.holder_of(run, attempt) };
        let now = self.engine().clock().now();
        let snapshot = snapshot_of(command);
        let delay = self.snapshot_delay(run, attempt);
        let action = match report {
            RunReport::Waiting { on, deadline_in_ms } => {
                let deadline = deadline_in_ms.map(|ms| after(now, Duration::from_millis(ms)));
                Action::Wait { claim: claim.clone(), on, deadline }
            }
            RunReport::Resume => {
                Action::Start { attempt, runner: claim.runner.clone(), mode: StartMode::Resume { previous: attempt } }
            }
            RunReport::Snapshot { after_ms } => {
                let delay = after_ms.map(Duration::from_millis).or(delay).unwrap_or_default();
                Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due: after(now, delay) }
            }
        };
        let waits = matches!(action, Action::Wait { .. });
        let outcome = self.submit_as_runner(command, now, None, run, action).await?;
        let arming = match (outcome.written(), delay.filter(|_| waits)) {
            (Some((position, expected)), Some(delay)) => {
                let due = after(self.engine().clock().now(), delay);
                // In this very wait: a repeated report of a wait that is over arms nothing.
                Some(self.arm(Arming { claim, wait: command, position, expected, due }).await?)
            }
            _ => None,
        };
        Ok(ReportAnswer { outcome, arming, snapshot: self.armed(run, snapshot).await? })
    }

    pub(super) async fn submit_as_runner(
        &self,
        id: CommandId,
        issued_at: Timestamp,
        expected: Option<Version>,
        run: RunId,
        action: Action,
    ) -> Result<CommandOutcome, RunnerError> {
        let actor = Actor::new(ActorKind::Runner, self.runner().as_str());
        let answer = self.engine().submit(Command { id, run, actor, issued_at, expected, action }).await?;
        self.perform(&answer.effects);
        Ok(answer.outcome)
    }

    /// Who holds the attempt in the journal: this runner, or whom it adopted it from.
    pub(super) fn holder_of(&self, run: RunId, attempt: AttemptId) -> RunnerId {
        self.registry().adopted_from(run, attempt).unwrap_or_else(|| self.runner().clone())
    }

    fn snapshot_delay(&self, run: RunId, attempt: AttemptId) -> Option<Duration> {
        self.registry().get(run, attempt)?.opened.get()?.snapshot_delay.get().copied()
    }

    async fn armed(&self, run: RunId, snapshot: SnapshotId) -> Result<Option<SnapshotArmed>, RunnerError> {
        let record = self.engine().run(run).await?;
        let armed = record.and_then(|record| record.run.armed.clone()).filter(|armed| armed.id == snapshot);
        Ok(armed.map(|armed| SnapshotArmed { id: armed.id, due: armed.due }))
    }
}
