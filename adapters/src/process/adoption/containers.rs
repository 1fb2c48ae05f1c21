//! Containers of attempts that have ended, which a runtime failed to remove when it was asked.

use std::path::Path;

use tachograph_engine::domain::{AttemptId, Ordinal, Run, RunId};

use super::super::directory::AttemptDirectory;
use super::super::error::RunnerError;
use super::super::runner::ProcessRunner;
use super::processes::Processes;
use super::report::AdoptionReport;
use crate::threads::blocking;

/// So many at one opening; the next one goes on with the rest.
const CONTAINERS_MAX: usize = 256;

/// The attempts whose containers a runtime keeps state of, by what they are called. What is called otherwise is no run's.
fn kept(root: &Path) -> Vec<(RunId, Ordinal)> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let attempt = |name: &str| {
        let (run, ordinal) = name.strip_prefix("tacho-")?.rsplit_once('-')?;
        Some((run.parse().ok()?, Ordinal(ordinal.parse().ok()?)))
    };
    let names = entries.filter_map(|entry| attempt(entry.ok()?.file_name().to_str()?));
    names.take(CONTAINERS_MAX).collect()
}

/// The attempt of this number, if it has ended.
fn ended(run: &Run, ordinal: Ordinal) -> Option<AttemptId> {
    match run.attempt.as_ref().filter(|attempt| attempt.ordinal == ordinal) {
        Some(current) => (current.outcome.is_some() || run.is_ended()).then_some(current.id),
        None => run.spent.get(usize::try_from(ordinal.0.checked_sub(1)?).ok()?).copied(),
    }
}

impl ProcessRunner {
    /// Asks again for the removal of each container whose attempt has ended and whose shim is gone. What is looked at is
    /// the runtime's own state below this data directory, which holds containers that are there, and no history.
    pub(super) async fn end_kept_containers(&self, processes: &Processes) -> Result<AdoptionReport, RunnerError> {
        let mut report = AdoptionReport::default();
        let root = AttemptDirectory::of(self.runs_dir(), RunId::from_ulid(self.engine().mint()), Ordinal::ZERO);
        for (run, ordinal) in blocking(move || kept(&root.runtime_root())).await.unwrap_or_default() {
            let Some(record) = self.engine().run(run).await? else { continue };
            let attempt = ended(&record.run, ordinal);
            // A shim that lives removes it itself.
            let attempt = attempt.filter(|attempt| processes.shim_of(run, *attempt).is_none());
            let Some(attempt) = attempt.filter(|attempt| self.registry().get(run, *attempt).is_none()) else {
                continue;
            };
            let directory = AttemptDirectory::of(self.runs_dir(), run, ordinal);
            let workload = record.run.spec.workload.clone();
            let end = move || crate::oci::end_left_behind(&directory, run, attempt, &workload);
            match blocking(end).await {
                Some(Ok(Some(state))) => {
                    let told =
                        format!("of attempt {ordinal}, which has ended: its container was {state}, and is removed");
                    report.ended.push((run, told));
                }
                Some(Err(error)) => {
                    report
                        .orphans
                        .push((run, format!("attempt {ordinal} has ended; its container may go on: {error}")));
                }
                Some(Ok(None)) | None => {}
            }
        }
        Ok(report)
    }
}
