//! The control socket of a data directory.

use std::sync::OnceLock;

use async_trait::async_trait;
use tachograph_adapters::control::{ControlHandler, ControlRequest, ControlResponse, Peer};
use tachograph_adapters::process::ProcessRunner;
use tachograph_engine::domain::Action;

use crate::operator;

/// Answers at the socket of a data directory: as its runner does, but what an operator asks for bears the name of the
/// user. Until there is a runner that knows what became of the runs before it, nothing is carried out.
#[derive(Debug, Default)]
pub(super) struct OperatorControl {
    runner: OnceLock<ProcessRunner>,
}

impl OperatorControl {
    /// From now on this runner answers.
    pub(super) fn begin(&self, runner: ProcessRunner) {
        let _ = self.runner.set(runner);
    }
}

#[async_trait]
impl ControlHandler for OperatorControl {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        let Some(runner) = self.runner.get() else { return ControlResponse::starting() };
        match request {
            ControlRequest::CancelSnapshot { command, run, guard } => {
                let action = Action::CancelSnapshot { guard: guard.into() };
                runner.obey(operator::of(peer.uid), run, command, action).await
            }
            ControlRequest::Destroy { command, run, force, why } => {
                let action = Action::Destroy { force, why };
                runner.obey(operator::of(peer.uid), run, command, action).await
            }
            other => ControlHandler::handle(runner, peer, other).await,
        }
    }
}
