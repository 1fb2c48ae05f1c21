//! Which files make up a journal: the stub of what was archived, if there is one, and the segments behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::Position;
use tachograph_engine::ports::JournalError;

use super::disk::Disk;
use super::segment::{self, SegmentName};
use super::stub::{Stub, TEMPORARY};

/// The files of a journal directory.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What stands in the place of archived segments.
    pub(crate) stub: Option<Arc<Stub>>,
    /// The segments behind it, by first position.
    pub(crate) segments: Vec<SegmentName>,
    /// Files of an archiving that was interrupted: segments that the stub stands for, and a stub that was not completed.
    /// Nothing in them is missing elsewhere.
    pub(crate) leftovers: Vec<PathBuf>,
}

impl Layout {
    /// Lists a journal directory.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if its stub is, or [`JournalError::Io`].
    pub(crate) fn read(disk: &dyn Disk, journal_dir: &Path) -> Result<Self, JournalError> {
        let segments = segment::list(disk, journal_dir)?;
        let stub = match segments.first() {
            Some(first) => Stub::find(disk, first)?.map(Arc::new),
            None => None,
        };
        let last = stub.as_ref().map_or(Position::ZERO, |stub| stub.end().position);
        let (before, segments): (Vec<_>, Vec<_>) = segments.into_iter().partition(|name| name.first <= last);
        let mut leftovers: Vec<PathBuf> = before.into_iter().skip(1).map(|name| name.path).collect();
        let names = disk.list(journal_dir).map_err(|error| JournalError::io("list", journal_dir, error))?;
        if names.iter().any(|name| name == TEMPORARY) {
            leftovers.push(journal_dir.join(TEMPORARY));
        }
        Ok(Self { stub, segments, leftovers })
    }

    /// Removes what an interrupted archiving left. The stub's own name is made durable before what it stands for goes.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] and its kin; a part may be gone, and the rest goes next time.
    pub(crate) fn clear(&self, disk: &dyn Disk, journal_dir: &Path) -> Result<(), JournalError> {
        remove(disk, journal_dir, &self.leftovers)
    }

    /// The last archived position; zero if nothing was.
    pub(crate) fn archived(&self) -> Position {
        self.stub.as_ref().map_or(Position::ZERO, |stub| stub.end().position)
    }
}

/// How often something is begun again because segments were archived meanwhile. Each time takes a whole archiving.
const ARCHIVED_TIMES_MAX: u32 = 5;

/// Does something over the files of a journal, and begins again if it fails because a writer archived some of them meanwhile: they
/// are gone, and that is no damage.
///
/// # Errors
///
/// Those of what is done.
pub(crate) fn unless_archived_meanwhile<T, E: From<JournalError>>(
    disk: &dyn Disk,
    journal_dir: &Path,
    mut done: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let archived = || Layout::read(disk, journal_dir).map_or(Position::ZERO, |layout| layout.archived());
    let mut before = archived();
    for _ in 1..ARCHIVED_TIMES_MAX {
        let failed = match done() {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let now = archived();
        if now <= before {
            return Err(failed);
        }
        before = now;
    }
    done()
}

/// Removes files that a stub stands for, or that were never completed.
pub(super) fn remove(disk: &dyn Disk, journal_dir: &Path, leftovers: &[PathBuf]) -> Result<(), JournalError> {
    if leftovers.is_empty() {
        return Ok(());
    }
    let sync = || disk.sync_dir(journal_dir).map_err(|error| JournalError::io("sync", journal_dir, error));
    sync()?;
    for path in leftovers {
        disk.remove(path).map_err(|error| JournalError::io("remove", path, error))?;
    }
    sync()
}
