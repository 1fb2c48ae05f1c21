//! Asking a supervisor, with one repetition if its answer is lost.

use std::path::Path;
use std::time::Duration;

use tachograph_adapters::control::{ControlError, ControlOutcome, ControlRequest, ControlResponse, code};
use tachograph_adapters::control::{RefusedOutcome, SnapshotArmed, call};

use crate::control_problem::ControlProblem;

/// The socket of a data directory, and of a run's own directory.
pub(crate) const SOCKET: &str = "control.sock";
/// How long an answer is waited for: a commit on a slow disk, no more.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What a supervisor answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Of the command itself.
    pub(crate) outcome: ControlOutcome,
    /// The snapshot that is armed because of it.
    pub(crate) armed: Option<SnapshotArmed>,
    /// Why one that should be armed is not.
    pub(crate) not_armed: Option<RefusedOutcome>,
}

/// Asks the supervisor at a socket for what is recorded. Nothing if nobody listens there, so that nothing was asked.
///
/// The command id in the request makes the repetition harmless.
pub(crate) async fn ask(socket: &Path, request: &ControlRequest) -> Result<Option<Spoken>, ControlProblem> {
    match respond(socket, request).await? {
        Some(ControlResponse::Answer { outcome, snapshot: armed, snapshot_refused: not_armed }) => {
            Ok(Some(Spoken { outcome, armed, not_armed }))
        }
        Some(other) => Err(strange(socket, &other)),
        None => Ok(None),
    }
}

/// Asks the supervisor at a socket, once more if its response is lost, which must be harmless. Nothing if nobody listens
/// there.
pub(crate) async fn respond(
    socket: &Path,
    request: &ControlRequest,
) -> Result<Option<ControlResponse>, ControlProblem> {
    let first = ask_once(socket, request).await;
    let answered = match first {
        // It may have been carried out: the same request gets the same answer.
        Err(lost) if is_lost(&lost) => ask_once(socket, request).await,
        answered => answered,
    };
    match answered {
        Ok(response) => Ok(Some(response)),
        // After a lost response it went away, having heard the command or not. Whoever takes its place knows by the id.
        Err(ControlProblem::Unreachable(ControlError::NobodyListens { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// That a response is of another kind than what was asked for.
pub(crate) fn strange(socket: &Path, response: &ControlResponse) -> ControlProblem {
    ControlProblem::Failed {
        code: "no_response".to_owned(),
        message: format!("{} answered something else: {}", socket.display(), response.to_line().trim_end()),
        remedy: "use the same version on both sides".to_owned(),
    }
}

fn is_lost(problem: &ControlProblem) -> bool {
    match problem {
        ControlProblem::Unreachable(error) => {
            matches!(error, ControlError::Protocol { .. } | ControlError::TimedOut { .. })
        }
        ControlProblem::Failed { code, .. } => matches!(code.as_str(), code::BUSY | code::TOO_SLOW),
        ControlProblem::Refused(_)
        | ControlProblem::NotSupervised { .. }
        | ControlProblem::Unsupervised { .. }
        | ControlProblem::NotUnderWay { .. }
        | ControlProblem::NotEnded { .. }
        | ControlProblem::Deaf { .. } => false,
    }
}

async fn ask_once(socket: &Path, request: &ControlRequest) -> Result<ControlResponse, ControlProblem> {
    match call(socket, request, ANSWER_TIME).await? {
        ControlResponse::Error { code, message, remedy } => Err(ControlProblem::Failed { code, message, remedy }),
        response => Ok(response),
    }
}
