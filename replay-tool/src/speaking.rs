//! Asking a supervisor: with one repetition if its answer is lost, and again for a while if it has no time now.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use tachograph_adapters::control::{
    ControlError, ControlOutcome, ControlRequest, ControlResponse, LINE_TIME_MAX, code,
};
use tachograph_adapters::control::{RefusedOutcome, SnapshotArmed, call};

use crate::control_problem::ControlProblem;

/// The socket of a data directory, and of a run's own directory.
pub(crate) const SOCKET: &str = "control.sock";
/// How long an answer is waited for: a commit on a slow disk, no more.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// For how long one that has no room or is only starting is asked again: by then a listener has closed the connections
/// that ask nothing.
pub(crate) const PATIENCE: Duration = LINE_TIME_MAX.saturating_add(Duration::from_secs(2));
/// Between two attempts to be heard.
pub(crate) const PAUSE: Duration = Duration::from_millis(25);

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

/// Asks the supervisor at a socket: once more if its response is lost, which must be harmless, and again and again for
/// [`PATIENCE`] if it turned the request away unheard. Nothing if nobody listens there.
pub(crate) async fn respond(
    socket: &Path,
    request: &ControlRequest,
) -> Result<Option<ControlResponse>, ControlProblem> {
    respond_within(socket, request, PATIENCE).await
}

async fn respond_within(
    socket: &Path,
    request: &ControlRequest,
    patience: Duration,
) -> Result<Option<ControlResponse>, ControlProblem> {
    let until = Instant::now() + patience;
    let mut is_lost = false;
    loop {
        match ask_once(socket, request).await {
            Ok(response) => return Ok(Some(response)),
            // After a lost response it went away, having heard the command or not. Whoever takes its place knows by the id.
            Err(ControlProblem::Unreachable(ControlError::NobodyListens { .. })) => return Ok(None),
            Err(problem) if is_unheard(&problem) && Instant::now() < until => sleep(PAUSE).await,
            // It may have been carried out: the same request gets the same answer.
            Err(problem) if may_be_heard(&problem) && !is_lost => is_lost = true,
            Err(problem) => return Err(problem),
        }
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

/// Whether the listener turned the request away, so that it may be asked again as often as anybody likes.
fn is_unheard(problem: &ControlProblem) -> bool {
    matches!(problem, ControlProblem::Failed { code, .. } if [code::BUSY, code::STARTING, code::TOO_SLOW].contains(&code.as_str()))
}

/// Whether the response was lost, so that nobody knows whether the request was carried out.
fn may_be_heard(problem: &ControlProblem) -> bool {
    matches!(problem, ControlProblem::Unreachable(ControlError::Protocol { .. } | ControlError::TimedOut { .. }))
}

async fn ask_once(socket: &Path, request: &ControlRequest) -> Result<ControlResponse, ControlProblem> {
    match call(socket, request, ANSWER_TIME).await? {
        ControlResponse::Error { code, message, remedy } => Err(ControlProblem::Failed { code, message, remedy }),
        response => Ok(response),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers one connection after the other with these, and the rest with the last of them. Says how many there were.
    async fn listening(listener: UnixListener, answers: &[ControlResponse], asked: &std::cell::Cell<usize>) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = &answers[asked.get().min(answers.len() - 1)];
            asked.set(asked.get() + 1);
            let (from, mut to) = stream.into_split();
            BufReader::new(from).lines().next_line().await.unwrap();
            to.write_all(answer.to_line().as_bytes()).await.unwrap();
        }
    }

    async fn answered(
        answers: &[ControlResponse],
        patience: Duration,
    ) -> (Result<Option<ControlResponse>, ControlProblem>, usize) {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join(SOCKET);
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::cell::Cell::new(0);
        let response = tokio::select! {
            response = respond_within(&socket, &ControlRequest::Ping, patience) => response,
            () = listening(listener, answers, &asked) => unreachable!(),
        };
        (response, asked.get())
    }

    fn turned_away(code: &str) -> ControlResponse {
        ControlResponse::error(code, "not now", "try again")
    }

    #[tokio::test]
    async fn who_is_turned_away_asks_again_until_there_is_room() {
        let pong = ControlResponse::Pong { pid: 1, version: String::new() };
        let (busy, starting) = (turned_away(code::BUSY), turned_away(code::STARTING));
        let begun = Instant::now();
        let (response, asked) = answered(&[busy.clone(), busy.clone(), starting, pong.clone()], PATIENCE).await;
        assert_eq!((response.unwrap(), asked), (Some(pong), 4));
        assert!(begun.elapsed() >= PAUSE * 3, "with pauses in between: {:?}", begun.elapsed());
        let begun = Instant::now();
        let (response, asked) = answered(&[busy], PAUSE * 4).await;
        assert_eq!(response.unwrap_err().code(), code::BUSY);
        assert!(begun.elapsed() >= PAUSE * 4 && (2..=6).contains(&asked), "{:?}, {asked}", begun.elapsed());
    }
}
