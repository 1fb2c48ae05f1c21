//! What was archived, or would be.

use std::path::Path;

use serde::Serialize;
use tachograph_adapters::archive::{Archived, Holding, Why};

/// What was archived, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveView {
    /// Whether it was done; otherwise nothing was changed.
    pub applied: bool,
    /// Only what ended before this goes.
    pub before: String,
    /// The first position that goes; null if nothing does.
    pub first: Option<u64>,
    /// The last one.
    pub last: Option<u64>,
    /// Entries that go.
    pub entries: u64,
    /// Segments that go.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs that these entries are about.
    pub runs: u64,
    /// The bundle that they are in; null unless they went.
    pub bundle: Option<String>,
    /// The hash that stands for the bundle.
    pub root: Option<String>,
    /// The directory with the tables of the bundle as Parquet files; null if none were made.
    pub parquet: Option<String>,
    /// The first segment that stays.
    pub kept_back: KeptBackView,
}

/// The first segment that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBackView {
    /// Its first position.
    pub first: u64,
    /// Its last position; null if no segment follows it.
    pub last: Option<u64>,
    /// `last_segment`, `recorded_later` or `runs`.
    pub why: &'static str,
    /// When its latest entry was recorded, if that is why.
    pub recorded_at: Option<String>,
    /// The runs in it that keep it, if they are why.
    pub runs: Vec<HoldingView>,
}

/// A run that keeps its history in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldingView {
    /// Which run.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// Its status.
    pub status: &'static str,
    /// When its last event was recorded.
    pub updated_at: String,
    /// `open`, `snapshot_in_flight`, `timer_armed` or `ended_later`.
    pub why: &'static str,
}

impl ArchiveView {
    /// What was archived, or would be.
    pub fn of(done: &Archived, applied: bool, parquet: Option<&Path>) -> Self {
        let Archived { plan, bundle } = done;
        let goes = !plan.is_empty();
        let (why, recorded_at, runs) = match &plan.kept_back.why {
            Why::Last => ("last_segment", None, Vec::new()),
            Why::Recorded(latest) => ("recorded_later", Some(latest.to_string()), Vec::new()),
            Why::Runs(holding) => ("runs", None, holding.iter().map(HoldingView::of).collect()),
        };
        let (first, last) = (plan.kept_back.first.0, plan.kept_back.last.map(|last| last.0));
        Self {
            applied,
            before: plan.before.to_string(),
            first: goes.then_some(plan.first().0),
            last: goes.then_some(plan.last.0),
            entries: plan.entries(),
            segments: plan.segments,
            bytes: plan.bytes,
            runs: plan.runs,
            bundle: bundle.as_ref().map(|(path, _)| path.display().to_string()),
            root: bundle.as_ref().map(|(_, root)| root.to_string()),
            parquet: parquet.map(|directory| directory.display().to_string()),
            kept_back: KeptBackView { first, last, why, recorded_at, runs },
        }
    }
}

impl HoldingView {
    fn of(holding: &Holding) -> Self {
        Self {
            run: holding.run.to_string(),
            name: holding.name.clone(),
            status: holding.status.name(),
            updated_at: holding.updated_at.to_string(),
            why: holding.hold.name(),
        }
    }
}
