//! One run.

use std::collections::BTreeMap;

use serde::Serialize;
use tachograph_engine::domain::{
    Diagnostics, Drain, Exit, ExitStatus, Failure, Outcome, OutputReceipt, ResourceLimits, Run, RunRecord, RunSpec,
    Status, StreamReceipt, Workload,
};

use crate::machine::WriterState;

/// One run as it is at a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunView {
    /// Its id.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The name of its last transition.
    pub status: &'static str,
    /// Ordinal of its latest attempt: 1, 2, 3…
    pub attempt: Option<u32>,
    /// Id of its latest attempt.
    pub attempt_id: Option<String>,
    /// Why the latest attempt was opened: `fresh`, `resume`, `restart` or `takeover`.
    pub attempt_cause: Option<&'static str>,
    /// Who holds or held the latest attempt.
    pub runner: Option<String>,
    /// Whether that runner is connected, as far as was reported.
    pub runner_connected: Option<bool>,
    /// How the latest attempt exited.
    pub exit: Option<ExitView>,
    /// How the exit is known: `waited`, `exit_file` or `synthesised`.
    pub witness: Option<&'static str>,
    /// Whether `exit` was filled in later by an authentic record.
    pub exit_amended: bool,
    /// Why the latest attempt failed.
    pub failure: Option<FailureBrief>,
    /// What was seen when it failed.
    pub diagnostics: Option<DiagnosticsView>,
    /// What its output was; absent while it is open or if it was not captured.
    pub output: Option<OutputView>,
    /// What it waits on.
    pub waiting: Option<WaitingView>,
    /// Why it was destroyed.
    pub destroyed_because: Option<String>,
    /// The snapshot that is armed or being taken.
    pub snapshot: Option<SnapshotView>,
    /// What it was created as, but for name and labels.
    #[serde(flatten)]
    pub workload: WorkloadView,
    /// Of a run that is open now, whether the last writer of the journal can still go on with it: `alive`, `gone` or
    /// `unknown`.
    pub writer: Option<&'static str>,
    /// When it was created.
    pub created_at: String,
    /// When its last event was recorded.
    pub updated_at: String,
    /// Number of its events.
    pub version: u64,
    /// Number of recorded refusals about it.
    pub refusals: u64,
    /// Where in the journal it is.
    pub positions: PositionsView,
}

/// What a run was created as; flattened into the object that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecView {
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The rest.
    #[serde(flatten)]
    pub workload: WorkloadView,
}

/// What a run executes; flattened into the object that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkloadView {
    /// The command line; for an image, what to execute in it.
    pub command: Vec<String>,
    /// The working directory, if one was asked for.
    pub cwd: Option<String>,
    /// The image, if it is one.
    pub image: Option<String>,
    /// What bounds it.
    pub limits: LimitsView,
    /// The run that it was made from.
    pub parent: Option<String>,
}

impl From<&RunSpec> for SpecView {
    fn from(spec: &RunSpec) -> Self {
        Self { name: spec.name.clone(), labels: spec.labels.clone(), workload: spec.into() }
    }
}

impl From<&RunSpec> for WorkloadView {
    fn from(spec: &RunSpec) -> Self {
        let (command, cwd, image) = match &spec.workload {
            Workload::Command { argv, cwd } => (argv.clone(), cwd.clone(), None),
            Workload::Image { reference, argv } => (argv.clone(), None, Some(reference.clone())),
        };
        Self { command, cwd, image, limits: (&spec.limits).into(), parent: spec.parent.map(|run| run.to_string()) }
    }
}

/// How an attempt exited: an object with exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitView {
    /// The process returned this code.
    Code(i32),
    /// The process was ended by this signal.
    Signal(i32),
    /// The status is not known, for this reason.
    Unknown(String),
}

impl From<&ExitStatus> for ExitView {
    fn from(status: &ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self::Code(*code),
            ExitStatus::Signal(signal) => Self::Signal(*signal),
            ExitStatus::Unknown { cause } => Self::Unknown(cause.clone()),
        }
    }
}

/// Why an attempt failed, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureBrief {
    /// What to match on.
    pub kind: String,
    /// One sentence for people.
    pub message: String,
}

/// What was seen when an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticsView {
    /// What was still alive.
    pub alive: Vec<String>,
    /// The last lines of output, oldest first.
    pub last_output: Vec<String>,
    /// The most probable cause.
    pub likely_cause: Option<String>,
    /// Further facts by name.
    pub facts: BTreeMap<String, String>,
}

impl From<&Diagnostics> for DiagnosticsView {
    fn from(diagnostics: &Diagnostics) -> Self {
        let Diagnostics { alive, last_output, likely_cause, facts } = diagnostics.clone();
        Self { alive, last_output, likely_cause, facts }
    }
}

impl From<&Failure> for FailureBrief {
    fn from(failure: &Failure) -> Self {
        Self { kind: failure.kind.name().to_owned(), message: failure.message.clone() }
    }
}

/// What came on the two output streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputView {
    /// Standard output.
    pub stdout: StreamView,
    /// Standard error.
    pub stderr: StreamView,
    /// Whether both were read to their end.
    pub drained: bool,
    /// If not: how long was waited after the exit, in milliseconds.
    pub waited_ms: Option<u64>,
    /// If not: the streams that were still open, whose later output is missing.
    pub open: Vec<&'static str>,
    /// At least so many of the bytes that were received were left out because of the run's limit; 0 if no more came than
    /// may be kept, null where the limit is not known.
    pub left_out_bytes_min: Option<u64>,
}

/// What came on one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamView {
    /// How many bytes.
    pub bytes: u64,
    /// BLAKE3 of them, in hexadecimal.
    pub digest: String,
}

impl From<&StreamReceipt> for StreamView {
    fn from(receipt: &StreamReceipt) -> Self {
        Self { bytes: receipt.bytes, digest: receipt.digest.to_string() }
    }
}

impl OutputView {
    /// What came, of a run with these limits as far as they are known.
    pub fn of(receipt: &OutputReceipt, limits: Option<&ResourceLimits>) -> Self {
        let (drained, waited_ms, open) = match &receipt.drain {
            Drain::Drained => (true, None, Vec::new()),
            Drain::DrainTimedOut { waited_ms, open } => {
                (false, Some(*waited_ms), open.iter().map(|stream| stream.name()).collect())
            }
        };
        let (stdout, stderr) = ((&receipt.stdout).into(), (&receipt.stderr).into());
        let left_out_bytes_min = limits.map(|limits| receipt.left_out_at_least(limits));
        Self { stdout, stderr, drained, waited_ms, open, left_out_bytes_min }
    }
}

/// What a run waits on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingView {
    /// What it is.
    pub on: String,
    /// Until when at most.
    pub deadline: Option<String>,
}

/// A snapshot that has no result yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotView {
    /// Its id.
    pub snapshot: String,
    /// `armed`: it can still be canceled; `dispatched`: it is being taken.
    pub state: &'static str,
    /// Who armed it; absent once it is dispatched.
    pub runner: Option<String>,
    /// When it is due; absent once it is dispatched.
    pub due: Option<String>,
}

/// What bounds a run; absent means unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitsView {
    /// Wall-clock time of one attempt, in milliseconds.
    pub wall_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Kept output, in bytes.
    pub output_bytes: Option<u64>,
}

impl From<&ResourceLimits> for LimitsView {
    fn from(limits: &ResourceLimits) -> Self {
        let ResourceLimits { wall_ms, memory_bytes, output_bytes } = *limits;
        Self { wall_ms, memory_bytes, output_bytes }
    }
}

/// Where in the journal a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PositionsView {
    /// The entry that created it.
    pub created: u64,
    /// Its last entry with events.
    pub updated: u64,
    /// The last entry about it, refusals included.
    pub last: u64,
}

impl From<&RunRecord> for RunView {
    fn from(record: &RunRecord) -> Self {
        let run = &record.run;
        let attempt = run.attempt.as_ref();
        let outcome = attempt.and_then(|attempt| attempt.outcome.as_ref());
        let exit = outcome.and_then(reported_exit);
        Self {
            run: run.id.to_string(),
            name: run.spec.name.clone(),
            labels: run.spec.labels.clone(),
            status: run.status.name().name(),
            attempt: attempt.map(|attempt| attempt.ordinal.0),
            attempt_id: attempt.map(|attempt| attempt.id.to_string()),
            attempt_cause: attempt.map(|attempt| attempt.cause.name()),
            runner: attempt.map(|attempt| attempt.runner.to_string()),
            runner_connected: attempt.map(|attempt| attempt.connected),
            exit: outcome.and_then(Outcome::exit_status).map(Into::into),
            witness: exit.map(|exit| exit.witness.name()),
            exit_amended: matches!(outcome, Some(Outcome::Exited { amended: Some(_), .. })),
            failure: outcome.and_then(Outcome::failure).map(Into::into),
            diagnostics: outcome.and_then(Outcome::failure).map(|failure| (&failure.diagnostics).into()),
            output: exit
                .and_then(|exit| exit.output.as_ref())
                .map(|output| OutputView::of(output, Some(&run.spec.limits))),
            waiting: waiting(&run.status),
            destroyed_because: destroyed_because(&run.status),
            snapshot: snapshot(run),
            workload: run.spec.as_ref().into(),
            writer: None,
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
            version: run.version.0,
            refusals: record.refusals,
            positions: PositionsView { created: record.created.0, updated: record.updated.0, last: record.last.0 },
        }
    }
}

impl RunView {
    /// One run with what is known of the journal's last writer, which matters only while the run is open.
    pub fn with_writer(record: &RunRecord, writer: Option<WriterState>) -> Self {
        let writer = writer.filter(|_| !record.run.is_ended()).map(WriterState::name);
        Self { writer, ..Self::from(record) }
    }
}

fn reported_exit(outcome: &Outcome) -> Option<&Exit> {
    match outcome {
        Outcome::Exited { exit, .. } => Some(exit),
        Outcome::Failed(_) => None,
    }
}

pub(super) fn waiting(status: &Status) -> Option<WaitingView> {
    match status {
        Status::Waiting { on, deadline } => {
            Some(WaitingView { on: on.clone(), deadline: deadline.map(|time| time.to_string()) })
        }
        Status::Created | Status::Started | Status::Exited | Status::Failed | Status::Destroyed { .. } => None,
    }
}

fn destroyed_because(status: &Status) -> Option<String> {
    match status {
        Status::Destroyed { why } => Some(why.clone()),
        Status::Created | Status::Started | Status::Waiting { .. } | Status::Exited | Status::Failed => None,
    }
}

pub(super) fn snapshot(run: &Run) -> Option<SnapshotView> {
    let armed = run.armed.as_ref().map(|armed| SnapshotView {
        snapshot: armed.id.to_string(),
        state: "armed",
        runner: Some(armed.runner.to_string()),
        due: Some(armed.due.to_string()),
    });
    armed.or_else(|| {
        run.in_flight.as_ref().map(|in_flight| SnapshotView {
            snapshot: in_flight.id.to_string(),
            state: "dispatched",
            runner: None,
            due: None,
        })
    })
}
