//! The end of an attempt on disk, as its shim saw it.

use std::time::Duration;

use tachograph_engine::domain::{Diagnostics, ExitStatus, Failure, Outcome, limits};

use super::super::directory::{AttemptDirectory, DirectoryError};
use super::super::exit_record::{ExitRecord, LeftOut, ResourceUsage};
use super::super::outcome::Seen;
use super::super::room::Room;
use super::assignment::Assignment;

/// How often a record that cannot be written is tried again: a disk that is full may get room.
const TRIES_MAX: u32 = 60;
const TRY_PAUSE: Duration = Duration::from_secs(1);

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

/// Writes a record that must not be lost: where room was taken for it, and where that fails as any other file. Waits for
/// a disk that refuses both, for a while, and calls `meanwhile` before.
pub(super) fn keep(
    record: &ExitRecord,
    directory: &AttemptDirectory,
    room: &Room,
    mut meanwhile: impl FnMut(&DirectoryError),
) -> Result<(), DirectoryError> {
    let mut tries = 0;
    loop {
        match record.write_into(room, directory).or_else(|_| record.write(directory)) {
            Err(error) if tries < TRIES_MAX && !directory_is_gone(directory) => {
                meanwhile(&error);
                tries += 1;
                std::thread::sleep(TRY_PAUSE);
            }
            result => return result,
        }
    }
}

/// Then there is nowhere to write to, however long it takes.
fn directory_is_gone(directory: &AttemptDirectory) -> bool {
    directory.path().metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
