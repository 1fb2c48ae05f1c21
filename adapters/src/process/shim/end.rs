//! The end of an attempt on disk, as its shim saw it.

use tachograph_engine::domain::{Diagnostics, ExitStatus, Failure, Outcome, limits};

use super::super::directory::AttemptDirectory;
use super::super::exit_record::{ExitRecord, LeftOut, ResourceUsage};
use super::super::outcome::Seen;
use super::assignment::Assignment;

/// Sets aside what lies in the place of the exit record: the shim has written none yet, so it is somebody else's.
pub(super) fn set_claim_aside(directory: &AttemptDirectory) {
    // Without a claim that is an error, and it is no news either.
    let _ = std::fs::rename(directory.exit_record(), directory.exit_claim());
}

/// The record of an exit whose output is still awaited.
pub(super) fn noted(assignment: &Assignment, status: &ExitStatus) -> ExitRecord {
    ExitRecord { status: status.clone(), ..blank(assignment) }
}

/// The record of an attempt whose command was executed.
pub(super) fn exited(
    assignment: &Assignment,
    directory: &AttemptDirectory,
    seen: &Seen,
    usage: Option<ResourceUsage>,
) -> ExitRecord {
    let record = ExitRecord {
        status: seen.status.clone(),
        output: Some(seen.drained.receipt.clone()),
        lingering: seen.lingering.clone(),
        usage,
        left_out: LeftOut::of(&seen.drained),
        ..blank(assignment)
    };
    match seen.outcome(directory) {
        Outcome::Exited { .. } => record,
        Outcome::Failed(failure) => failed(record, failure),
    }
}

/// The record of an attempt whose command was never executed.
pub(super) fn not_started(assignment: &Assignment, failure: Failure) -> ExitRecord {
    failed(blank(assignment), failure)
}

fn failed(record: ExitRecord, failure: Failure) -> ExitRecord {
    let Diagnostics { mut alive, mut last_output, likely_cause, facts } = failure.diagnostics;
    alive.truncate(limits::DIAGNOSTICS_MAX);
    last_output.truncate(limits::DIAGNOSTICS_MAX);
    ExitRecord {
        failure: Some((failure.kind.name().to_owned(), failure.message)),
        diagnostics: Diagnostics { alive, last_output, likely_cause, facts },
        ..record
    }
}

fn blank(assignment: &Assignment) -> ExitRecord {
    ExitRecord {
        run: assignment.run,
        attempt: assignment.attempt,
        runner: Some(assignment.runner.clone()),
        status: ExitStatus::Unknown { cause: "the command was not executed".to_owned() },
        output: None,
        failure: None,
        lingering: Vec::new(),
        diagnostics: Diagnostics::default(),
        usage: None,
        left_out: None,
    }
}
