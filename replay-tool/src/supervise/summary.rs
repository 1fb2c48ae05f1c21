//! What became of all jobs, as a table or as JSON.

use std::time::Duration;

use serde::Serialize;
use tachograph_engine::domain::{Drain, Outcome, OutputReceipt};

use super::progress::{elapsed_text, outcome_text};
use super::schedule::{JobReport, JobResult};
use super::waits::JobSnapshotView;
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
    /// Bytes of both streams of the last attempt; null if it failed.
    pub output_bytes: Option<u64>,
    /// Whether these are all, and all were kept: not if something kept the streams open after the exit, or more came than
    /// may be kept.
    pub output_complete: Option<bool>,
    /// At least so many of them were left out because of the job's `output_limit`; null as `output_bytes`.
    pub left_out_bytes_min: Option<u64>,
    /// What became of its snapshots, in their order; empty if none was taken.
    pub snapshots: Vec<JobSnapshotView>,
    /// Whether an operator destroyed its run; then nothing is known of how its last attempt ended.
    pub destroyed: bool,
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
    pub code: String,
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

impl JobView {
    /// A job, with what became of its snapshots.
    pub fn of(report: &JobReport<'_>, snapshots: &[JobSnapshotView]) -> Self {
        let (outcome, error) = match &report.result {
            JobResult::Ended(outcome) => (Some(outcome), None),
            JobResult::Destroyed | JobResult::NotBegun | JobResult::Left => (None, None),
            JobResult::Unrecorded(error) => {
                (None, Some(ErrorView { code: error.code().to_owned(), message: error.to_string() }))
            }
        };
        let receipt = outcome.and_then(receipt);
        let left_out = receipt.map(|receipt| left_out(report, receipt));
        let is_drained = receipt.map(|receipt| receipt.drain == Drain::Drained);
        Self {
            job: report.job.name.clone(),
            run: report.run.map(|run| run.to_string()),
            attempts: report.attempts,
            exit: outcome.and_then(Outcome::exit_status).map(Into::into),
            failure: outcome.and_then(Outcome::failure).map(Into::into),
            expect: (&report.job.expect).into(),
            expected: report.is_expected(),
            duration_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            output_bytes: receipt.map(bytes),
            output_complete: is_drained.map(|is_drained| is_drained && left_out == Some(0)),
            left_out_bytes_min: left_out,
            snapshots: snapshots.to_vec(),
            destroyed: matches!(report.result, JobResult::Destroyed),
            error,
        }
    }
}

/// What is known about the output of an attempt that exited.
fn receipt(outcome: &Outcome) -> Option<&OutputReceipt> {
    match outcome {
        Outcome::Exited { exit, .. } => exit.output.as_ref(),
        Outcome::Failed(_) => None,
    }
}

/// Bytes of what a job's run put out that its limit left out, at least.
fn left_out(report: &JobReport<'_>, receipt: &OutputReceipt) -> u64 {
    receipt.left_out_at_least(&report.job.spec().limits)
}

/// Bytes that were received on both streams.
fn bytes(receipt: &OutputReceipt) -> u64 {
    receipt.stdout.bytes.saturating_add(receipt.stderr.bytes)
}

/// The table of all jobs.
pub(super) fn table(reports: &[JobReport<'_>]) -> String {
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
    table.render()
}

/// The last line: all jobs, and how many did not end as expected.
pub(super) fn sum(reports: &[JobReport<'_>], elapsed: Duration) -> String {
    let expected = reports.iter().filter(|report| report.is_expected()).count();
    match reports.len() - expected {
        0 => format!("{} jobs in {}, all as expected\n", reports.len(), elapsed_text(elapsed)),
        other => format!("{} jobs in {}, {other} NOT as expected\n", reports.len(), elapsed_text(elapsed)),
    }
}

fn row(report: &JobReport<'_>) -> [Cell; 7] {
    let output = match &report.result {
        JobResult::Ended(outcome) => receipt(outcome).map(|receipt| output_text(report, receipt)),
        JobResult::Destroyed | JobResult::NotBegun | JobResult::Left | JobResult::Unrecorded(_) => None,
    };
    let result = match &report.result {
        JobResult::Ended(outcome) => match outcome.failure() {
            Some(failure) => failure.kind.name().to_owned(),
            None => outcome_text(outcome),
        },
        JobResult::Destroyed => "destroyed".to_owned(),
        JobResult::NotBegun => "not begun".to_owned(),
        JobResult::Left => "goes on".to_owned(),
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
        Cell::from(output.unwrap_or_else(|| "-".to_owned())),
    ]
}

fn output_text(report: &JobReport<'_>, receipt: &OutputReceipt) -> String {
    let bytes = bytes(receipt);
    match (&receipt.drain, left_out(report, receipt)) {
        (Drain::Drained, 0) => bytes.to_string(),
        (Drain::DrainTimedOut { .. }, 0) => format!("{bytes} (incomplete)"),
        (Drain::Drained, left_out) => format!("{bytes} ({left_out}+ left out)"),
        (Drain::DrainTimedOut { .. }, left_out) => format!("{bytes} (incomplete, {left_out}+ left out)"),
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::{
        Diagnostics, Digest, Exit, ExitStatus, Failure, FailureKind, Refusal, RunId, Stream, StreamReceipt, Witness,
    };

    use super::*;
    use crate::error::Error;
    use crate::jobs::{Job, parse};

    fn exited(status: ExitStatus, drain: Drain) -> Outcome {
        let stream = |bytes| StreamReceipt { bytes, digest: Digest::ZERO };
        let output = Some(OutputReceipt { stdout: stream(40), stderr: stream(2), drain });
        Outcome::Exited { exit: Exit { status, witness: Witness::Waited, output }, amended: None }
    }

    fn jobs() -> Vec<Job> {
        let text = "[jobs.fine]\ncommand = [\"x\"]\n[jobs.cut]\ncommand = [\"x\"]\nexpect = { signal = 9 }\n\
                    output_limit = 40\n[jobs.long]\ncommand = [\"x\"]\noutput_limit = 40\n\
                    [jobs.lost]\ncommand = [\"x\"]\nexpect = \"not_found\"\n[jobs.held]\ncommand = [\"x\"]\n\
                    [jobs.later]\ncommand = [\"x\"]\n";
        parse(text.as_bytes()).unwrap()
    }

    fn reports(jobs: &[Job]) -> Vec<JobReport<'_>> {
        let incomplete = Drain::DrainTimedOut { waited_ms: 5_000, open: vec![Stream::Stdout] };
        let failure = Failure {
            kind: FailureKind::TimedOut,
            message: "ran too long".to_owned(),
            diagnostics: Diagnostics::default(),
        };
        let held = Refusal::NameHeld { name: "held".to_owned(), holder: RunId::from_u128(9) };
        let results = [
            (Some(1), 1, JobResult::Ended(exited(ExitStatus::Code(0), Drain::Drained)), 1_500),
            (Some(2), 2, JobResult::Ended(exited(ExitStatus::Signal(9), incomplete)), 5_000),
            (Some(4), 1, JobResult::Ended(exited(ExitStatus::Code(0), Drain::Drained)), 1_500),
            (Some(3), 3, JobResult::Ended(Outcome::Failed(failure)), 10),
            (None, 0, JobResult::Unrecorded(Error::Refused(held)), 0),
            (None, 0, JobResult::NotBegun, 0),
        ];
        let report = |(job, (run, attempts, result, ms)): (_, (Option<u128>, u32, JobResult, u64))| JobReport {
            job,
            run: run.map(RunId::from_u128),
            attempts,
            result,
            elapsed: Duration::from_millis(ms),
        };
        jobs.iter().zip(results).map(report).collect()
    }

    #[test]
    fn the_table_tells_every_kind_of_end() {
        let jobs = jobs();
        let reports = reports(&jobs);
        let text = table(&reports) + &sum(&reports, Duration::from_secs(61));
        let text = anstream::adapter::strip_str(&text).to_string();
        let expected = "\
JOB    RUN                         ATTEMPTS  RESULT           EXPECTED               TIME                        OUTPUT
fine   00000000000000000000000001         1  code 0           yes                    1.5s                            42
cut    00000000000000000000000002         2  signal 9 (KILL)  yes                    5.0s  42 (incomplete, 2+ left out)
long   00000000000000000000000004         1  code 0           yes                    1.5s              42 (2+ left out)
lost   00000000000000000000000003         3  timed_out        NO: failure not_found  10ms                             -
held   -                                  0  name_held        NO: code 0              0µs                             -
later  -                                  0  not begun        NO: code 0              0µs                             -
6 jobs in 1m01s, 3 NOT as expected
";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn the_json_of_every_kind_of_end() {
        let jobs = jobs();
        let taken = JobSnapshotView {
            snapshot: "01".to_owned(),
            location: Some("snapshots/x".to_owned()),
            bytes: Some(7),
            failure: None,
        };
        let views: Vec<_> =
            reports(&jobs).iter().map(|report| JobView::of(report, std::slice::from_ref(&taken))).collect();
        let json = |index: usize| serde_json::to_value(&views[index]).unwrap();
        assert_eq!(
            json(1),
            serde_json::json!({
                "job": "cut", "run": "00000000000000000000000002", "attempts": 2, "exit": {"signal": 9}, "failure": null,
                "expect": {"signal": 9}, "expected": true, "duration_ms": 5000, "output_bytes": 42,
                "output_complete": false, "left_out_bytes_min": 2, "destroyed": false, "error": null,
                "snapshots": [{"snapshot": "01", "location": "snapshots/x", "bytes": 7, "failure": null}],
            })
        );
        let told = |index: usize| (json(index)["output_complete"].clone(), json(index)["left_out_bytes_min"].clone());
        assert_eq!(told(0), (true.into(), 0.into()));
        assert_eq!(told(2), (false.into(), 2.into()));
        assert_eq!(told(3), (().into(), ().into()));
        assert_eq!(json(3)["failure"], serde_json::json!({"kind": "timed_out", "message": "ran too long"}));
        assert_eq!(json(3)["expect"], serde_json::json!({"failure": "not_found"}));
        assert_eq!(json(4)["error"]["code"], "name_held");
        assert_eq!((&json(5)["run"], &json(5)["exit"], &json(5)["error"]), (&().into(), &().into(), &().into()));
    }
}
