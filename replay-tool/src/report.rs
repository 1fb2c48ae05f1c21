//! `tacho report`: a run says that it waits, goes on, or wants a snapshot.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::Serialize;
use tachograph_adapters::clock::UlidSource;
use tachograph_adapters::control::{ControlOutcome, ControlRequest, FirstOutcome, RunReport, SnapshotArmed};
use tachograph_adapters::process::REPORT_SOCKET;
use tachograph_engine::domain::id::IdError;
use tachograph_engine::domain::{CommandId, RunId};
use tachograph_engine::ports::IdSource;

use crate::cli::{Report, ReportArgs};
use crate::control_problem::ControlProblem;
use crate::duration::DurationMs;
use crate::error::{Error, exit};
use crate::output::Context;
use crate::patient::tell;
use crate::speaking::{self, SOCKET, Spoken};
use crate::table::printable;

/// Names the socket that a run reports over.
const CONTROL_VARIABLE: &str = "TACHO_CONTROL";
/// Names the run that this process belongs to.
const RUN_VARIABLE: &str = "TACHO_RUN_ID";
/// Names its attempt.
const ATTEMPT_VARIABLE: &str = "TACHO_ATTEMPT_ID";
/// Names the directory of an attempt: `runs/RUN/attempt-N` in the data directory.
const DIRECTORY_VARIABLE: &str = "TACHO_RUN_DIR";

/// Names the program that supervises a run, and by which it reports.
pub(crate) const EXE_VARIABLE: &str = "TACHO_EXE";

/// What a run needs to find this program, whatever its PATH is; nothing if the system does not tell. It is asked for once.
pub(crate) fn own_program() -> Option<(OsString, OsString)> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| std::env::current_exe().ok()).clone()?;
    Some((EXE_VARIABLE.into(), program.into_os_string()))
}

/// What became of a report, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportView {
    /// Of which run.
    pub run: String,
    /// Of which attempt.
    pub attempt_id: String,
    /// `recorded`, or `duplicate` if it was recorded before.
    pub outcome: &'static str,
    /// Where it is recorded.
    pub position: u64,
    /// The snapshot that is armed because of it: its `snapshot` and when it is `due`; null if none is.
    pub snapshot: Option<ArmedView>,
    /// Why one that should be armed is not: `code`, `message` and `remedy`; null if nothing is wrong.
    pub snapshot_refused: Option<RefusedView>,
}

/// A snapshot that is armed, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArmedView {
    /// Its id.
    pub snapshot: String,
    /// When it is due.
    pub due: String,
}

/// A refusal, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Tells the run's supervisor, and nobody else: the journal is never opened.
///
/// # Errors
///
/// [`Error`] if it is refused, or if nobody supervises the run.
pub async fn execute(context: &Context, said: Report, args: ReportArgs) -> Result<u8, Error> {
    if !args.page.is_empty() {
        let message = "--out, --from, --to, --entries-max and --force belong to the page that `tacho report` writes";
        let remedy = "leave them out to report, or leave out what to report";
        return Err(Error::Input { code: "usage", message: message.to_owned(), remedy: remedy.to_owned() });
    }
    let run: RunId = named(args.run, RUN_VARIABLE, "--run ID")?;
    let attempt = match args.attempt {
        Some(attempt) => attempt,
        None => named(None, ATTEMPT_VARIABLE, "--attempt ID")?,
    };
    let command = CommandId::from_ulid(UlidSource::default().next());
    let request = ControlRequest::Report { command, run, attempt, report: report(said) };
    let spoken = ask(context, &request).await?;
    if let Some(refused) = spoken.outcome.refusal() {
        return Err(ControlProblem::Refused(refused.clone()).into());
    }
    if context.is_json() {
        let mut output = context.stdout();
        output.json(&view(run.to_string(), attempt.to_string(), &spoken))?;
        output.flush()?;
    } else if let Some(refused) = &spoken.not_armed {
        // What was reported is recorded; nobody should believe that an image will follow.
        let (message, remedy) = (printable(&refused.message), printable(&refused.remedy));
        tell(&format!("tacho: note: no snapshot is armed: {message}\n  help: {remedy}\n"));
    }
    Ok(exit::OK)
}

/// What is named by an option, else by a variable of the environment.
fn named<T: FromStr<Err = IdError>>(given: Option<String>, variable: &str, option: &str) -> Result<T, Error> {
    let (by, text) = match given {
        Some(text) => (option, text),
        None => (variable, std::env::var(variable).map_err(|_| outside(variable, option))?),
    };
    text.parse().map_err(|error: IdError| {
        let message = format!("{by}: {error}");
        Error::Input {
            code: "usage",
            message,
            remedy: "a report needs the whole id; inside a run leave it out".to_owned(),
        }
    })
}

fn outside(variable: &str, option: &str) -> Error {
    let message = format!("which run it is about is not known: {variable} is not set");
    let remedy = format!("call it inside a run, which has it in its environment, or give {option}");
    Error::Input { code: "usage", message, remedy }
}

fn report(report: Report) -> RunReport {
    match report {
        Report::Waiting { on, deadline } => {
            RunReport::Waiting { on, deadline_in_ms: deadline.map(DurationMs::as_millis) }
        }
        Report::Resume => RunReport::Resume,
        Report::Snapshot { after } => RunReport::Snapshot { after_ms: after.map(DurationMs::as_millis) },
    }
}

async fn ask(context: &Context, request: &ControlRequest) -> Result<Spoken, ControlProblem> {
    let told = path_in(CONTROL_VARIABLE);
    let sockets = sockets(context, told.as_deref());
    first_answer(sockets, told.is_some(), async |socket| speaking::ask(socket, request).await).await
}

/// Asks where somebody listens. Where the run was told, whoever gives no answer is its supervisor; elsewhere it may be anybody,
/// and the others are asked as well: the command id makes that harmless.
async fn first_answer(
    sockets: Vec<PathBuf>,
    is_told: bool,
    ask: impl AsyncFn(&Path) -> Result<Option<Spoken>, ControlProblem>,
) -> Result<Spoken, ControlProblem> {
    let (mut tried, mut silent) = (Vec::new(), None);
    for socket in sockets {
        match ask(&socket).await {
            Ok(Some(spoken)) => return Ok(spoken),
            Ok(None) => tried.push(socket),
            Err(problem @ ControlProblem::Silent { .. }) if !is_told => silent = silent.or(Some(problem)),
            Err(problem) => return Err(problem),
        }
    }
    Err(silent.unwrap_or(ControlProblem::NotSupervised { tried }))
}

/// Where a supervisor may listen: where the run was told, which may have been by a supervisor of another version, and at
/// both sockets of the data directory. A run that was told nothing has a supervisor without a report socket, so that
/// one may be a stranger's, and is asked last. A run knows the data directory by its own directory, whatever it is in by now.
fn sockets(context: &Context, told: Option<&Path>) -> Vec<PathBuf> {
    let of_run = path_in(DIRECTORY_VARIABLE);
    let data = of_run.as_ref().and_then(|attempt| attempt.ancestors().nth(3)).unwrap_or(&context.data);
    let of_data = if told.is_some() { [REPORT_SOCKET, SOCKET] } else { [SOCKET, REPORT_SOCKET] };
    let mut sockets: Vec<_> = told.map(Path::to_owned).into_iter().chain(of_data.map(|name| data.join(name))).collect();
    sockets.dedup();
    sockets
}

/// The path in a variable of the environment, unless that is empty.
fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn view(run: String, attempt_id: String, spoken: &Spoken) -> ReportView {
    let (outcome, position) = match &spoken.outcome {
        ControlOutcome::Duplicate { of: FirstOutcome::Written { position, .. } } => ("duplicate", *position),
        ControlOutcome::Written { position, .. } => ("recorded", *position),
        // Told as an error before this.
        ControlOutcome::Refused(refused) | ControlOutcome::Duplicate { of: FirstOutcome::Refused(refused) } => {
            ("refused", refused.recorded.unwrap_or(0))
        }
    };
    let armed = |armed: &SnapshotArmed| ArmedView { snapshot: armed.id.to_string(), due: armed.due.to_string() };
    let refused = spoken.not_armed.clone();
    let snapshot_refused =
        refused.map(|refused| RefusedView { code: refused.code, message: refused.message, remedy: refused.remedy });
    let snapshot = spoken.armed.as_ref().map(armed);
    ReportView { run, attempt_id, outcome, position, snapshot, snapshot_refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_told_nothing_goes_on_after_somebody_who_gives_no_answer() {
        let spoken =
            Spoken { outcome: ControlOutcome::Written { position: 1, version: 2 }, armed: None, not_armed: None };
        let ask = async |socket: &Path| match socket.to_str() {
            Some("deaf") => {
                Err(ControlProblem::Silent { socket: socket.to_owned(), waited: "20s".to_owned(), listener: None })
            }
            Some("heard") => Ok(Some(spoken.clone())),
            _ => Ok(None),
        };
        let asked = async |sockets: &[&str], is_told| {
            let sockets = sockets.iter().map(PathBuf::from).collect();
            first_answer(sockets, is_told, ask).await.map_err(|problem| problem.code().to_owned())
        };
        let silent = Err("response_timed_out".to_owned());
        assert_eq!(asked(&["deaf", "heard"], false).await, Ok(spoken.clone()));
        assert_eq!(asked(&["deaf", "nobody"], false).await, silent, "and not that nobody supervises it");
        assert_eq!(asked(&["deaf", "heard"], true).await, silent);
        assert_eq!(asked(&["nobody", "heard"], true).await, Ok(spoken.clone()));
        assert_eq!(asked(&["nobody"], false).await, Err("not_supervised".to_owned()));
    }
}
