//! The control socket of a data directory.

use async_trait::async_trait;
use tachograph_adapters::control::{ControlHandler, ControlRequest, ControlResponse, Peer};
use tachograph_adapters::process::ProcessRunner;
use tachograph_engine::domain::Action;

use crate::operator;

/// Answers at the socket of a data directory: as its runner does, but what an operator asks for bears the name of the
/// user.
#[derive(Debug)]
pub(super) struct OperatorControl {
    pub(super) runner: ProcessRunner,
}

#[async_trait]
impl ControlHandler for OperatorControl {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        match request {
            ControlRequest::CancelSnapshot { command, run, guard } => {
                let action = Action::CancelSnapshot { guard: guard.into() };
                self.runner.obey(operator::of(peer.uid), run, command, action).await
            }
            ControlRequest::Destroy { command, run, force, why } => {
                let action = Action::Destroy { force, why };
                self.runner.obey(operator::of(peer.uid), run, command, action).await
            }
            other => ControlHandler::handle(&self.runner, peer, other).await,
        }
    }
}
