//! What is answered over the sockets of a runner.

use std::time::Duration;

use async_trait::async_trait;
use tachograph_engine::domain::{Action, Actor, ActorKind, AttemptId, Command, CommandId, RunId};
use tachograph_engine::shell::SubmitError;

use super::error::RunnerError;
use super::report::ReportAnswer;
use super::runner::{ProcessRunner, WeakRunner};
use crate::control::{ControlHandler, ControlOutcome, ControlRequest, ControlResponse, Peer, code};

/// A runner answers every request: reports about any run as its runner, and what operators ask in the name of the peer's
/// user.
#[async_trait]
impl ControlHandler for ProcessRunner {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        match request {
            ControlRequest::Report { command, run, attempt, report } => {
                match self.report(run, attempt, report, command).await {
                    Ok(answer) => answer.into(),
                    Err(error) => no_answer(&error),
                }
            }
            ControlRequest::CancelSnapshot { command, run, guard } => {
                self.obey(operator(peer), run, command, Action::CancelSnapshot { guard: guard.into() }).await
            }
            ControlRequest::Kill { run, attempt, grace_ms } => self.kill(peer, run, attempt, grace_ms),
            ControlRequest::Destroy { command, run, force, why } => {
                self.obey(operator(peer), run, command, Action::Destroy { force, why }).await
            }
            ControlRequest::Ping => {
                ControlResponse::Pong { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() }
            }
        }
    }
}

impl ProcessRunner {
    /// Submits what an operator asks for, performs what follows, and answers.
    pub async fn obey(&self, operator: Actor, run: RunId, command: CommandId, action: Action) -> ControlResponse {
        let issued_at = self.engine().clock().now();
        let command = Command { id: command, run, actor: operator, issued_at, expected: None, action };
        match self.engine().submit(command).await {
            Ok(answer) => {
                self.perform(&answer.effects);
                ControlResponse::answer(&answer.outcome)
            }
            Err(error) => ControlResponse::not_submitted(&error),
        }
    }

    /// Nothing is recorded but the end that comes of it.
    fn kill(&self, peer: Peer, run: RunId, attempt: AttemptId, grace_ms: u64) -> ControlResponse {
        let handle = self.handle(run, attempt).filter(|handle| handle.ended().is_none());
        if let Some(handle) = &handle {
            tracing::info!(%run, %attempt, grace_ms, uid = peer.uid, pid = peer.pid, "an operator ends an attempt");
            handle.terminate(Duration::from_millis(grace_ms));
        }
        ControlResponse::Killing { under_way: handle.is_some() }
    }
}

fn operator(peer: Peer) -> Actor {
    Actor::new(ActorKind::Operator, format!("uid {} pid {}", peer.uid, peer.pid))
}

/// Answers on the report socket: what runs report, as the runner does, and nothing else. Which run and attempt a report is about
/// says the report, and the engine decides about it; it decides about late ones, too.
///
/// It does not hold the runner: whoever does, does so longer than any attempt is under way, or wants it gone.
#[derive(Debug)]
pub(super) struct ReportControl {
    runner: WeakRunner,
}

impl ReportControl {
    pub(super) fn of(runner: &ProcessRunner) -> Self {
        Self { runner: runner.downgrade() }
    }
}

#[async_trait]
impl ControlHandler for ReportControl {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        match request {
            ControlRequest::Report { run, attempt, .. } => match self.runner.upgrade() {
                // It may be about to be adopted, and would be refused before that as another runner's.
                Some(runner) if runner.is_recovering() && !runner.has_opened(run, attempt) => {
                    ControlResponse::starting()
                }
                Some(runner) => ControlHandler::handle(&runner, peer, request).await,
                None => ControlResponse::not_submitted(&SubmitError::Closed),
            },
            ControlRequest::CancelSnapshot { .. }
            | ControlRequest::Kill { .. }
            | ControlRequest::Destroy { .. }
            | ControlRequest::Ping => {
                let message = "only reports of runs are accepted here";
                ControlResponse::error(code::NOT_ACCEPTED_HERE, message, "ask at the supervisor's own socket")
            }
        }
    }
}

fn no_answer(error: &RunnerError) -> ControlResponse {
    match error {
        RunnerError::NotSubmitted(error) => ControlResponse::not_submitted(error),
        error => ControlResponse::error(error.code(), error.to_string(), "send it again with the same command id"),
    }
}

impl From<ReportAnswer> for ControlResponse {
    fn from(answer: ReportAnswer) -> Self {
        let arming = answer.arming.as_ref().map(ControlOutcome::from);
        Self::Answer {
            outcome: (&answer.outcome).into(),
            snapshot: answer.snapshot,
            snapshot_refused: arming.and_then(|arming| arming.refusal().cloned()),
        }
    }
}
