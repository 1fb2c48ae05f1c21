//! Directories that belong to no open run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::{Action, AttemptId, Exit, ExitStatus, Ordinal, Outcome, Run, RunId, Status};

use super::super::attempt::blocking;
use super::super::directory::AttemptDirectory;
use super::super::error::RunnerError;
use super::super::exit_record::ExitRecord;
use super::super::runner::ProcessRunner;
use super::super::shim::{Request, RequestPipe, Standing, standing};
use super::report::AdoptionReport;

/// What lies in the runs' directory beside the open runs.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Names that are no run's.
    pub(super) nameless: Vec<PathBuf>,
    /// Directories of runs that are not open, each with the attempts that may still matter.
    pub(super) closed: Vec<(RunId, Vec<Ordinal>)>,
}

impl Leftovers {
    /// Looks, and touches nothing. What cannot be read is passed over.
    pub(super) fn look(runs_dir: &Path, open: &BTreeSet<RunId>) -> Self {
        let mut found = Self::default();
        let Ok(entries) = std::fs::read_dir(runs_dir) else { return found };
        for entry in entries.filter_map(Result::ok) {
            let run = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok());
            match run {
                None => found.nameless.push(entry.path()),
                Some(run) if open.contains(&run) => {}
                Some(run) => found.closed.push((run, worth_a_look(runs_dir, run))),
            }
        }
        found
    }
}

/// Attempts whose shim may be alive, or whose unknown end may have come to light.
fn worth_a_look(runs_dir: &Path, run: RunId) -> Vec<Ordinal> {
    let Ok(attempts) = std::fs::read_dir(runs_dir.join(run.to_string())) else { return Vec::new() };
    let ordinal = |entry: std::io::Result<std::fs::DirEntry>| {
        let ordinal = Ordinal(entry.ok()?.file_name().to_str()?.strip_prefix("attempt-")?.parse().ok()?);
        let directory = AttemptDirectory::of(runs_dir, run, ordinal);
        let there = |path: PathBuf| path.symlink_metadata().is_ok();
        (there(directory.requests()) || there(directory.unwitnessed())).then_some(ordinal)
    };
    attempts.filter_map(ordinal).collect()
}

/// A record that came to light after its attempt's end was recorded as unknown.
pub(super) fn late_record(runs_dir: &Path, run: &Run) -> Option<(AttemptId, ExitStatus, AttemptDirectory)> {
    let attempt = run.attempt.as_ref()?;
    let unknown = |outcome: &Outcome| {
        matches!(outcome, Outcome::Exited { exit: Exit { status: ExitStatus::Unknown { .. }, .. }, amended: None })
    };
    attempt.outcome.as_ref().filter(|outcome| unknown(outcome))?;
    let directory = AttemptDirectory::of(runs_dir, run.id, attempt.ordinal);
    let record = ExitRecord::read(&directory.exit_record(), run.id, attempt.id).ok().flatten()?;
    let known = record.is_word_of(&attempt.runner) && !matches!(record.status, ExitStatus::Unknown { .. });
    known.then_some((attempt.id, record.status, directory))
}

/// A living shim of an attempt that the run does not want any more: it was destroyed, or went on with another one.
fn unwanted(runs_dir: &Path, run: &Run, ordinal: Ordinal) -> Option<(u32, AttemptDirectory, bool)> {
    let directory = AttemptDirectory::of(runs_dir, run.id, ordinal);
    let current = run.attempt.as_ref().filter(|attempt| attempt.ordinal == ordinal).map(|attempt| attempt.id);
    let destroyed = matches!(run.status, Status::Destroyed { .. });
    let attempt = current.or_else(|| ordinal.0.checked_sub(1).and_then(|at| run.spent.get(at as usize)).copied())?;
    match standing(&directory, run.id, attempt) {
        Ok(Standing::Attended(identity)) => {
            // The shim of an attempt whose end is recorded is about to go by itself.
            (destroyed || current.is_none())
                .then(|| (identity.shim.map_or(0, |shim| shim.pid), directory, current.is_some()))
        }
        _ => None,
    }
}

impl ProcessRunner {
    pub(super) async fn look_at_leftovers(&self, open: BTreeSet<RunId>) -> Result<AdoptionReport, RunnerError> {
        let mut report = AdoptionReport::default();
        let runs_dir = self.runs_dir().to_owned();
        let Some(found) = blocking(move || Leftovers::look(&runs_dir, &open)).await else { return Ok(report) };
        report.unknown_directories = found.nameless;
        for (run, attempts) in found.closed {
            if self.engine().reader().run_head(run).await?.is_none() {
                report.unknown_directories.push(self.runs_dir().join(run.to_string()));
                continue;
            }
            if !attempts.is_empty()
                && let Some(record) = self.engine().run(run).await?
            {
                self.amend(&record.run, &mut report).await?;
                self.end_unwanted(&record.run, attempts, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// Fills an unknown end with what an authentic record says, once.
    async fn amend(&self, run: &Run, report: &mut AdoptionReport) -> Result<(), RunnerError> {
        let (runs_dir, of) = (self.runs_dir().to_owned(), run.clone());
        let Some((attempt, status, directory)) = blocking(move || late_record(&runs_dir, &of)).await.flatten() else {
            return Ok(());
        };
        let amend = Action::AmendExit { attempt, status: status.clone(), source: "exit.json".to_owned() };
        if self.recorded(run.id, attempt, "amended", amend).await?.outcome.written().is_some() {
            report.amended.push((run.id, status));
            blocking(move || directory.unmark_unwitnessed()).await;
        }
        Ok(())
    }

    /// Performs again what a former supervisor may not have come to: ending exactly the attempts that were superseded or
    /// destroyed. Their shims are verified, so that it is no stranger who is asked.
    async fn end_unwanted(
        &self,
        run: &Run,
        attempts: Vec<Ordinal>,
        report: &mut AdoptionReport,
    ) -> Result<(), RunnerError> {
        for ordinal in attempts {
            let (runs_dir, of) = (self.runs_dir().to_owned(), run.clone());
            let found = blocking(move || unwanted(&runs_dir, &of, ordinal)).await.flatten();
            let Some((shim, directory, is_current)) = found else { continue };
            let grace = std::time::Duration::from_millis(self.options().grace_ms);
            let asked = RequestPipe::open(&directory).and_then(|pipe| pipe.send(Request::End { grace }));
            let done = asked
                .map_or_else(|error| format!("cannot be asked to end: {error}"), |()| "was asked to end".to_owned());
            let why = if is_current { "destroyed" } else { "superseded" };
            report
                .orphans
                .push((run.id, format!("attempt {ordinal} was {why} and is alive; its shim, pid {shim}, {done}")));
        }
        Ok(())
    }
}
