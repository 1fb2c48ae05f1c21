//! What became of all jobs, as a table or as JSON.

use std::time::Duration;

use serde::Serialize;
use tachograph_engine::domain::Outcome;

use super::progress::{elapsed_text, outcome_text};
use super::schedule::{JobReport, JobResult};
use crate::jobs::Expectation;
use crate::table::{Align, BAD, Cell, DIM, GOOD, Table};
use crate::view::{ExitView, FailureBrief};

/// One job in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// The job's name, and its run's.
    pub job: String,
    /// Its run; null if none was created.
    pub run: Option<String>,
    /// Attempts that were begun.
    pub attempts: u32,
    /// How the last attempt exited; null if it did not.
    pub exit: Option<ExitView>,
    /// Why the last attempt failed; null if it did not.
    pub failure: Option<FailureBrief>,
    /// How it must end: an object with exactly one key.
    pub expect: ExpectationView,
    /// Whether it did.
    pub expected: bool,
    /// From its creation to its end.
    pub duration_ms: u64,
    /// Bytes of both streams of the last attempt, if they were received to the end or to a deadline.
    pub output_bytes: Option<u64>,
    /// Why it could not be recorded; null if it was.
    pub error: Option<ErrorView>,
}

/// An expectation in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationView {
    /// This exit code.
    Code(i32),
    /// This signal.
    Signal(i32),
    /// This kind of failure.
    Failure(String),
}

/// An error in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

impl From<&Expectation> for ExpectationView {
    fn from(expectation: &Expectation) -> Self {
        match expectation {
            Expectation::Code(code) => Self::Code(*code),
            Expectation::Signal(number) => Self::Signal(*number),
            Expectation::Failure(kind) => Self::Failure(kind.name().to_owned()),
        }
    }
}

impl From<&JobReport<'_>> for JobView {
    fn from(report: &JobReport<'_>) -> Self {
        let (outcome, error) = match &report.result {
            JobResult::Ended(outcome) => (Some(outcome), None),
            JobResult::NotBegun => (None, None),
            JobResult::Unrecorded(error) => (None, Some(ErrorView { code: error.code(), message: error.to_string() })),
        };
        Self {
            job: report.job.name.clone(),
            run: report.run.map(|run| run.to_string()),
            attempts: report.attempts,
            exit: outcome.and_then(Outcome::exit_status).map(Into::into),
            failure: outcome.and_then(Outcome::failure).map(Into::into),
            expect: (&report.job.expect).into(),
            expected: report.is_expected(),
            duration_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            output_bytes: outcome.and_then(output_bytes),
            error,
        }
    }
}

/// Bytes that were received on both streams, as far as there is a receipt.
fn output_bytes(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Exited { exit, .. } => {
            exit.output.as_ref().map(|receipt| receipt.stdout.bytes.saturating_add(receipt.stderr.bytes))
        }
        Outcome::Failed(_) => None,
    }
}

/// The table of all jobs, and a last line with their sum.
pub(super) fn table(reports: &[JobReport<'_>], elapsed: Duration) -> String {
    let mut table = Table::of(&[
        ("JOB", Align::Left),
        ("RUN", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("RESULT", Align::Left),
        ("EXPECTED", Align::Left),
        ("TIME", Align::Right),
        ("OUTPUT", Align::Right),
    ]);
    for report in reports {
        table.row(row(report));
    }
    let expected = reports.iter().filter(|report| report.is_expected()).count();
    let sum = match reports.len() - expected {
        0 => format!("{} jobs in {}, all as expected", reports.len(), elapsed_text(elapsed)),
        other => format!("{} jobs in {}, {other} NOT as expected", reports.len(), elapsed_text(elapsed)),
    };
    format!("{}{sum}\n", table.render())
}

fn row(report: &JobReport<'_>) -> [Cell; 7] {
    let bytes = match &report.result {
        JobResult::Ended(outcome) => output_bytes(outcome).map(|bytes| bytes.to_string()),
        JobResult::NotBegun | JobResult::Unrecorded(_) => None,
    };
    let result = match &report.result {
        JobResult::Ended(outcome) => match outcome.failure() {
            Some(failure) => failure.kind.name().to_owned(),
            None => outcome_text(outcome),
        },
        JobResult::NotBegun => "not begun".to_owned(),
        JobResult::Unrecorded(error) => error.code().to_owned(),
    };
    let expected = if report.is_expected() { "yes".to_owned() } else { format!("NO: {}", report.job.expect) };
    let style = if report.is_expected() { GOOD } else { BAD };
    [
        Cell::from(&report.job.name),
        Cell::styled(report.run.map_or_else(|| "-".to_owned(), |run| run.to_string()), DIM),
        Cell::from(report.attempts.to_string()),
        Cell::from(result),
        Cell::styled(expected, style),
        Cell::from(elapsed_text(report.elapsed)),
        Cell::from(bytes.unwrap_or_else(|| "-".to_owned())),
    ]
}
