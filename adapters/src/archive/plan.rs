//! What would be archived: the segments up to the first that has to stay.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tachograph_engine::domain::{Position, RunId, Timestamp};
use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use super::fitness::{Fleet, Holding};
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::layout::{Layout, unless_archived_meanwhile};
use crate::journal::segment::SegmentName;
use crate::journal::tail::sealed_footer;
use crate::journal::{FileReader, JOURNAL_DIR};

/// Entries between two calls of the progress callback.
const PROGRESS_ENTRIES: u64 = 65_536;

/// What would be archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The journal's identity.
    pub journal: Ulid,
    /// Only what ended before this goes.
    pub before: Timestamp,
    /// The last position that is archived already; zero if none is.
    pub archived: Position,
    /// The last position that would go; the one above if nothing would.
    pub last: Position,
    /// Segments that would go.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs that entries in them are about.
    pub runs: u64,
    /// The first segment that stays, and why.
    pub kept_back: KeptBack,
}

impl Plan {
    /// Whether nothing would go.
    pub fn is_empty(&self) -> bool {
        self.segments == 0
    }

    /// The first position that would go.
    pub fn first(&self) -> Position {
        self.archived.next()
    }

    /// Entries that would go.
    pub fn entries(&self) -> u64 {
        self.last.0.saturating_sub(self.archived.0)
    }
}

/// The first segment that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBack {
    /// Its first position.
    pub first: Position,
    /// Its last position; absent if no segment follows it: it is the one that is written to.
    pub last: Option<Position>,
    /// Why it stays.
    pub why: Why,
}

/// Why a segment stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is the last one with entries.
    Last,
    /// It has entries that were recorded at the given time or later: the latest of them.
    Recorded(Timestamp),
    /// It has entries about these runs, by id.
    Runs(Vec<Holding>),
}

/// Finds out what would be archived, and changes nothing. Takes no lock: beside a live writer it tells what was so when it
/// looked, and looks again if segments are archived meanwhile.
///
/// Reads the whole journal; memory grows with its runs. `progress` is told how many entries are read, and of how many.
///
/// # Errors
///
/// [`JournalError::Damaged`] if something is in the way, or another [`JournalError`] if it cannot be read.
pub fn plan(data_dir: &Path, before: Timestamp, progress: impl FnMut(u64, u64)) -> Result<Plan, JournalError> {
    plan_on(Arc::new(RealDisk), data_dir, before, progress)
}

/// The same on another disk, for tests.
///
/// # Errors
///
/// As [`plan`].
pub fn plan_on(
    disk: Arc<dyn Disk>,
    data_dir: &Path,
    before: Timestamp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Plan, JournalError> {
    let journal_dir = data_dir.join(JOURNAL_DIR);
    unless_archived_meanwhile(&*disk, &journal_dir, || {
        let reader = FileReader::open_on(disk.clone(), data_dir)?;
        let layout = Layout::read(&*disk, &journal_dir)?;
        plan_of(&*disk, &reader, &layout, before, &mut progress)
    })
}

pub(super) fn plan_of(
    disk: &dyn Disk,
    reader: &FileReader,
    layout: &Layout,
    before: Timestamp,
    progress: impl FnMut(u64, u64),
) -> Result<Plan, JournalError> {
    let archived = layout.archived();
    let fleet = fleet(reader, layout, progress)?;
    let mut runs: BTreeSet<RunId> = BTreeSet::new();
    // What is behind the last entries is no evidence of how the writer before ended: those stay.
    let end = reader.end();
    let kept = layout.segments.iter().rposition(|name| name.first <= end).unwrap_or(0);
    let first = layout.segments.get(kept).map_or(archived.next(), |name| name.first);
    let has_later = kept + 1 < layout.segments.len() && first <= end;
    let mut kept_back = KeptBack { first, last: has_later.then_some(end), why: Why::Last };
    let (mut last, mut segments, mut bytes) = (archived, 0, 0);
    for name in layout.segments.iter().take(kept) {
        let footer = sealed_footer(disk, name)?;
        let own: Vec<RunId> = footer.runs().collect();
        let holding: Vec<Holding> = own.iter().filter_map(|run| fleet.holding(*run, before)).collect();
        let why = match footer.times.1 {
            latest if latest >= before => Why::Recorded(latest),
            _ if !holding.is_empty() => Why::Runs(holding),
            _ => {
                runs.extend(own);
                last = footer.last;
                segments += 1;
                bytes += length(disk, name)?;
                continue;
            }
        };
        kept_back = KeptBack { first: footer.first, last: Some(footer.last), why };
        break;
    }
    Ok(Plan { journal: reader.id(), before, archived, last, segments, bytes, runs: runs.len() as u64, kept_back })
}

fn fleet(reader: &FileReader, layout: &Layout, mut progress: impl FnMut(u64, u64)) -> Result<Fleet, JournalError> {
    let mut fleet = Fleet::default();
    let mut failed = Ok(());
    let entries_total = reader.end().0.saturating_sub(layout.archived().0);
    let mut entries = 0;
    reader.for_each(|entry| {
        if failed.is_ok() {
            failed = fleet.see(entry, layout.stub.as_deref());
        }
        entries += 1;
        if entries % PROGRESS_ENTRIES == 0 {
            progress(entries, entries_total);
        }
    })?;
    failed.map(|()| fleet)
}

fn length(disk: &dyn Disk, name: &SegmentName) -> Result<u64, JournalError> {
    let length = disk.open(&name.path, crate::journal::disk::Mode::Read).and_then(|file| file.length());
    length.map_err(|error| JournalError::io("read", &name.path, error))
}
