//! What lies on disk of attempts that are not open.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::{Action, AttemptId, Exit, ExitStatus, Outcome, Run, RunId};

use super::super::directory::{AttemptDirectory, unwitnessed};
use super::super::error::RunnerError;
use super::super::exit_record::ExitRecord;
use super::super::runner::ProcessRunner;
use super::report::AdoptionReport;
use crate::threads::blocking;

/// What lies in the runs' directory and belongs to no known run, sorted. Looks at all of it, and touches nothing; what cannot
/// be read is passed over.
pub(super) fn unknown_directories(runs_dir: &Path, known: &BTreeSet<RunId>) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(runs_dir) else { return Vec::new() };
    let unknown = |entry: &std::fs::DirEntry| {
        let run = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok());
        run.is_none_or(|run| !known.contains(&run))
    };
    let mut found: Vec<_> = entries.filter_map(Result::ok).filter(unknown).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// An end that is recorded as unknown and not amended, of the latest attempt.
fn unknown_end(run: &Run) -> Option<&tachograph_engine::domain::Attempt> {
    let unknown = |outcome: &Outcome| {
        matches!(outcome, Outcome::Exited { exit: Exit { status: ExitStatus::Unknown { .. }, .. }, amended: None })
    };
    run.attempt.as_ref().filter(|attempt| attempt.outcome.as_ref().is_some_and(unknown))
}

/// A record that came to light after its attempt's end was recorded as unknown.
pub(super) fn late_record(runs_dir: &Path, run: &Run) -> Option<(AttemptId, ExitStatus)> {
    let attempt = unknown_end(run)?;
    let directory = AttemptDirectory::of(runs_dir, run.id, attempt.ordinal);
    let record = ExitRecord::read(&directory.exit_record(), run.id, attempt.id).ok().flatten()?;
    let known = record.is_word_of(&attempt.runner) && !matches!(record.status, ExitStatus::Unknown { .. });
    known.then_some((attempt.id, record.status))
}

impl ProcessRunner {
    /// Fills unknown ends with what authentic records say that came to light since. Only marked attempts are looked at, so
    /// that this does not grow with the number of runs.
    pub(super) async fn amend_unwitnessed(&self) -> Result<AdoptionReport, RunnerError> {
        let mut report = AdoptionReport::default();
        let runs_dir = self.runs_dir().to_owned();
        for (run, ordinal) in blocking(move || unwitnessed(&runs_dir)).await.unwrap_or_default() {
            let Some(record) = self.engine().run(run).await? else { continue };
            let directory = AttemptDirectory::of(self.runs_dir(), run, ordinal);
            let is_marked = unknown_end(&record.run).is_some_and(|attempt| attempt.ordinal == ordinal);
            if !is_marked || self.amend(&record.run, &mut report).await? {
                blocking(move || directory.unmark_unwitnessed()).await;
            }
        }
        Ok(report)
    }

    /// Once. Returns whether it was done.
    async fn amend(&self, run: &Run, report: &mut AdoptionReport) -> Result<bool, RunnerError> {
        let (runs_dir, of) = (self.runs_dir().to_owned(), run.clone());
        let Some((attempt, status)) = blocking(move || late_record(&runs_dir, &of)).await.flatten() else {
            return Ok(false);
        };
        let amend = Action::AmendExit { attempt, status: status.clone(), source: "exit.json".to_owned() };
        let amended = self.recorded(run.id, attempt, "amended", amend).await?.outcome.written().is_some();
        if amended {
            report.amended.push((run.id, status));
        }
        Ok(amended)
    }
}
