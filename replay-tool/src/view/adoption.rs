//! What opening would conclude.

use std::path::Path;

use serde::Serialize;
use tachograph_adapters::process::{Conclusion, Foreseen, Foresight, Witnessed};
use tachograph_engine::domain::{ExitStatus, RunId};

use crate::machine::WriterState;
use crate::words;

/// What opening would conclude.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdoptionView {
    /// About runs that are open.
    pub runs: Vec<ForeseenView>,
    /// Runs whose unknown end would be filled.
    pub amended: Vec<AmendedView>,
    /// Processes that are alive and name an attempt that has ended.
    pub left_alive: Vec<LeftAliveView>,
    /// What belongs to no run of the journal.
    pub unknown_directories: Vec<String>,
    /// Whether the journal's last writer is alive: `alive`, `gone` or `unknown`. If it is, nothing can be opened.
    pub writer: Option<&'static str>,
}

/// What opening would conclude about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeseenView {
    /// The run.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// Its attempt; absent if the journal knows none.
    pub attempt_id: Option<String>,
    /// `adopt`, `record`, `unknown`, `orphan`, `promote_to_started`, `start_abandoned` or `leave_alone`.
    pub conclusion: &'static str,
    /// Whether its end would be seen with its status; absent unless it would be adopted.
    pub witnessed: Option<bool>,
    /// The exit status that would be recorded; absent if it would not end, or failed.
    pub status: Option<String>,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// Processes that are alive and not verified.
    pub alive: Vec<u32>,
    /// What that rests on.
    pub evidence: String,
}

/// An unknown end that would be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmendedView {
    /// The run.
    pub run: String,
    /// With what.
    pub status: String,
}

/// What goes on after the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftAliveView {
    /// The run.
    pub run: String,
    /// Its processes.
    pub pids: Vec<u32>,
}

impl AdoptionView {
    /// All of it; `name_of` knows the names of runs.
    pub fn of<'name>(
        foresight: &Foresight,
        name_of: impl Fn(RunId) -> Option<&'name str>,
        writer: Option<WriterState>,
    ) -> Self {
        let amended =
            |(run, status): &(RunId, ExitStatus)| AmendedView { run: run.to_string(), status: status.to_string() };
        let left = |(run, pids): &(RunId, Vec<u32>)| LeftAliveView { run: run.to_string(), pids: pids.clone() };
        let shown = |path: &std::path::PathBuf| Path::display(path).to_string();
        Self {
            runs: foresight.open.iter().map(|foreseen| ForeseenView::of(foreseen, name_of(foreseen.run))).collect(),
            amended: foresight.amended.iter().map(amended).collect(),
            left_alive: foresight.left_alive.iter().map(left).collect(),
            unknown_directories: foresight.unknown_directories.iter().map(shown).collect(),
            writer: writer.map(WriterState::name),
        }
    }
}

impl ForeseenView {
    fn of(foreseen: &Foreseen, name: Option<&str>) -> Self {
        let (mut status, mut witnessed, mut alive) = (None, None, Vec::new());
        match &foreseen.conclusion {
            Conclusion::Adopt(by) => witnessed = Some(matches!(by, Witnessed::ByShim(_))),
            Conclusion::Record(record) if record.failure.is_none() => status = Some(record.status.to_string()),
            Conclusion::Orphan { alive: pids, .. } => alive.clone_from(pids),
            Conclusion::Record(_)
            | Conclusion::Unknown { .. }
            | Conclusion::PromoteToStarted
            | Conclusion::StartAbandoned
            | Conclusion::LeaveAlone { .. } => {}
        }
        Self {
            run: foreseen.run.to_string(),
            name: name.map(str::to_owned),
            attempt_id: foreseen.attempt.map(|attempt| attempt.to_string()),
            conclusion: foreseen.conclusion.name(),
            witnessed,
            status,
            why: words::why_concluded(&foreseen.conclusion),
            alive,
            evidence: foreseen.evidence.clone(),
        }
    }
}
