//! Asking a supervisor: with one repetition if its answer is lost, and again for a while if it has no time now.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use tachograph_adapters::control::{
    ControlError, ControlOutcome, ControlRequest, ControlResponse, LINE_TIME_MAX, code,
};
use tachograph_adapters::control::{RefusedOutcome, SnapshotArmed, call, listener_of};

use crate::control_problem::{ControlProblem, Listener};
use crate::duration;
use crate::machine::Machine;
use crate::processes::Standstill;

/// The socket of a data directory; former versions had one of this name in the directory of each run, too.
pub(crate) const SOCKET: &str = "control.sock";
/// How long an answer is waited for: a commit on a slow disk, no more.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long is waited for a place in the queue of one that gave no answer, to learn who it is.
const LOOK_TIME: Duration = Duration::from_secs(1);
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
/// [`PATIENCE`] if it turned the request away unheard. Nothing if nobody listens there. One that somebody stopped is not
/// asked twice by an operator; a run that reports waits for it as long as for any.
pub(crate) async fn respond(
    socket: &Path,
    request: &ControlRequest,
) -> Result<Option<ControlResponse>, ControlProblem> {
    respond_within(socket, request, PATIENCE, ANSWER_TIME).await
}

async fn respond_within(
    socket: &Path,
    request: &ControlRequest,
    patience: Duration,
    answer_time: Duration,
) -> Result<Option<ControlResponse>, ControlProblem> {
    let begun = Instant::now();
    let mut is_lost = false;
    loop {
        let problem = match call(socket, request, answer_time).await {
            Ok(ControlResponse::Error { code, message, remedy }) => ControlProblem::Failed { code, message, remedy },
            Ok(response) => return Ok(Some(response)),
            // After a lost response it went away, having heard the command or not. Whoever takes its place knows by the id.
            Err(ControlError::NobodyListens { .. }) => return Ok(None),
            // It may have been carried out: the same request gets the same answer.
            Err(ControlError::TimedOut { path, .. }) => {
                let listener = seen(socket).await;
                let is_stopped = listener.is_some_and(|listener| listener.standstill == Some(Standstill::Stopped));
                if is_lost || is_stopped && !matches!(request, ControlRequest::Report { .. }) {
                    return Err(silent(path, begun.elapsed(), listener));
                }
                is_lost = true;
                continue;
            }
            Err(ControlError::Protocol { .. }) if !is_lost => {
                is_lost = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !is_unheard(&problem) || begun.elapsed() >= patience {
            return Err(problem);
        }
        sleep(PAUSE).await;
    }
}

/// Who listens at a socket, and why it does not go on.
async fn seen(socket: &Path) -> Option<Listener> {
    let pid = listener_of(socket, LOOK_TIME).await?;
    Some(Listener { pid, standstill: Standstill::of(&Machine::this(), pid) })
}

/// That there was no answer in all the time that was waited, however often it was asked in it.
fn silent(socket: PathBuf, waited: Duration, listener: Option<Listener>) -> ControlProblem {
    let waited = duration::human(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
    ControlProblem::Silent { socket, waited, listener }
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
            response = respond_within(&socket, &ControlRequest::Ping, patience, ANSWER_TIME) => response,
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

    #[tokio::test]
    async fn who_gives_no_answer_is_named_with_all_the_time_that_was_waited() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join(SOCKET);
        let _deaf = UnixListener::bind(&socket).unwrap();
        let (answer_time, begun) = (PAUSE * 2, Instant::now());
        let problem = respond_within(&socket, &ControlRequest::Ping, PATIENCE, answer_time).await.unwrap_err();
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap();
        let ControlProblem::Silent { waited, listener, .. } = &problem else { panic!("{problem}") };
        assert_eq!(*listener, Some(Listener { pid: std::process::id(), standstill: None }));
        let waited: u64 = waited.strip_suffix("ms").map_or(u64::MAX, |millis| millis.parse().unwrap());
        assert!((100..=elapsed).contains(&waited) || elapsed >= 1_000, "{waited} of {elapsed} ms");
        assert!(problem.remedy().contains("`tacho timeline`"), "{}", problem.remedy());
    }
}
