//! `tacho report`: a run says that it waits, goes on, or wants a snapshot.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::Serialize;
use tachograph_adapters::clock::UlidSource;
use tachograph_adapters::control::{ControlOutcome, ControlRequest, FirstOutcome, RunReport, SnapshotArmed};
use tachograph_engine::domain::id::IdError;
use tachograph_engine::domain::{CommandId, RunId};
use tachograph_engine::ports::IdSource;

use crate::cli::{Report, ReportArgs};
use crate::control_problem::ControlProblem;
use crate::duration::DurationMs;
use crate::error::{Error, exit};
use crate::output::Context;
use crate::speaking::{self, SOCKET, Spoken};
use crate::table::printable;

/// Names the socket that the supervisor of a run listens at.
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
        use std::io::Write;
        let (message, remedy) = (printable(&refused.message), printable(&refused.remedy));
        let _ = writeln!(std::io::stderr(), "tacho: note: no snapshot is armed: {message}\n  help: {remedy}");
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

/// Asks where somebody listens.
async fn ask(context: &Context, request: &ControlRequest) -> Result<Spoken, ControlProblem> {
    let mut tried = Vec::new();
    for socket in sockets(context) {
        if let Some(spoken) = speaking::ask(&socket, request).await? {
            return Ok(spoken);
        }
        tried.push(socket);
    }
    Err(ControlProblem::NotSupervised { tried })
}

/// Where a supervisor may listen: at the run's own socket, then at that of the data directory. A run knows its data
/// directory by its own directory, whatever it is in by now.
fn sockets(context: &Context) -> Vec<PathBuf> {
    let named = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_run = named(DIRECTORY_VARIABLE);
    let own = named(CONTROL_VARIABLE).or_else(|| Some(of_run.as_ref()?.parent()?.join(SOCKET)));
    let data = of_run.as_ref().and_then(|attempt| attempt.ancestors().nth(3));
    let shared = data.unwrap_or(&context.data).join(SOCKET);
    own.into_iter().chain([shared]).collect()
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
