//! The control socket of a data directory.

use async_trait::async_trait;
use tachograph_adapters::control::{ControlHandler, ControlRequest, ControlResponse, Peer};
use tachograph_adapters::process::ProcessRunner;
use tachograph_engine::domain::{Action, Command};
use tachograph_engine::shell::Engine;

use crate::operator;

/// Answers at the socket of a data directory: as its runner does, but a cancel bears the name of the user who asks.
#[derive(Debug)]
pub(super) struct OperatorControl {
    pub(super) engine: Engine,
    pub(super) runner: ProcessRunner,
}

#[async_trait]
impl ControlHandler for OperatorControl {
    async fn handle(&self, peer: Peer, request: ControlRequest) -> ControlResponse {
        match request {
            ControlRequest::CancelSnapshot { command: id, run, guard } => {
                let (actor, issued_at) = (operator::of(peer.uid), self.engine.clock().now());
                let action = Action::CancelSnapshot { guard: guard.into() };
                let command = Command { id, run, actor, issued_at, expected: None, action };
                match self.engine.submit(command).await {
                    Ok(answer) => ControlResponse::answer(&answer.outcome),
                    Err(error) => ControlResponse::not_submitted(&error),
                }
            }
            other => ControlHandler::handle(&self.runner, peer, other).await,
        }
    }
}
