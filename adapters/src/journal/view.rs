//! The segments as a reader sees them: sealed ones by their footers, the last one as far as it was read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position, RunId};
use tachograph_engine::ports::{JournalError, RunHead};

use super::anchor::{Anchor, Found};
use super::disk::{Disk, DiskFile, Mode};
use super::footer::{Footer, sparse_offset};
use super::layout::Layout;
use super::segment::{self, SegmentName};
use super::stub::Stub;
use super::tail::{Tail, sealed_footer};

/// What is there instead of a journal after a crash in its first moment.
pub(super) const UNCREATED: &str = "its creation did not complete";

/// What a reader knows of the segments.
#[derive(Debug)]
pub(super) struct View {
    /// What stands in the place of segments that were archived.
    pub(super) stub: Option<Arc<Stub>>,
    /// Segments before the tail, oldest first.
    sealed: Vec<Sealed>,
    pub(super) tail: Tail,
}

#[derive(Debug)]
struct Sealed {
    name: SegmentName,
    /// Read when first needed; without its table of runs.
    footer: Option<Arc<Footer>>,
}

/// Where a position is to be looked for: a part of a file that holds nothing but commits.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) offset: u64,
    pub(super) end: u64,
}

impl View {
    /// Opens the last segment, and lists the others. Lists once more whenever segments were archived meanwhile.
    pub(super) fn open(disk: &dyn Disk, data_dir: &Path, journal_dir: &Path) -> Result<Self, JournalError> {
        let mut layout = Self::layout(disk, data_dir, journal_dir)?;
        loop {
            let archived = layout.archived();
            let error = match Self::of(disk, data_dir, journal_dir, layout) {
                Ok(view) => return Ok(view),
                Err(error) => error,
            };
            // Segments that were archived since they were listed are gone, and that is no damage.
            layout = Self::layout(disk, data_dir, journal_dir)?;
            if layout.archived() <= archived {
                return Err(error);
            }
        }
    }

    fn layout(disk: &dyn Disk, data_dir: &Path, journal_dir: &Path) -> Result<Layout, JournalError> {
        let none = |why: &str| JournalError::NoJournal { path: data_dir.to_owned(), why: why.to_owned() };
        match Layout::read(disk, journal_dir) {
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(none("it does not exist, or has no directory `journal`"))
            }
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
                Err(none("it is a file, not a directory"))
            }
            read => read,
        }
    }

    /// The same with these files.
    fn of(disk: &dyn Disk, data_dir: &Path, journal_dir: &Path, layout: Layout) -> Result<Self, JournalError> {
        let none = |why: &str| JournalError::NoJournal { path: data_dir.to_owned(), why: why.to_owned() };
        let Layout { stub, segments: mut names, .. } = layout;
        let Some(last) = names.last().cloned() else { return Err(none("its directory `journal` has no segments")) };
        // The last segment may still be in creation; then the one before it is the last.
        for _ in 0..2 {
            let Some(name) = names.pop() else { break };
            let mut sealed: Vec<Sealed> = Vec::new();
            sealed.extend(names.iter().map(|name| Sealed { name: name.clone(), footer: None }));
            let digest = match (names.last(), &stub) {
                (None, None) => Digest::ZERO,
                (None, Some(stub)) => stub.end().digest,
                (Some(before), _) => sealed_footer(disk, before)?.previous,
            };
            if let Some(tail) = Tail::open(disk, &name, digest)? {
                let first = names.first().unwrap_or(&name);
                if let Some(stub) = stub.as_ref().filter(|stub| stub.successor().first != first.first) {
                    let why =
                        format!("entries {} to {} are missing before it", stub.successor().first, first.first.0 - 1);
                    return Err(JournalError::Damaged { file: first.path.clone(), offset: 0, why });
                }
                return Ok(Self { stub, sealed, tail });
            }
        }
        // Nothing was in it yet, unless there is proof of the contrary.
        match Anchor::find(disk, journal_dir)? {
            Found::Absent if names.is_empty() && last.first == Position::ZERO.next() => Err(none(UNCREATED)),
            Found::Absent | Found::Sound(_) | Found::Bad | Found::Newer(_) => {
                let why = "its header is not there, although entries were durable".to_owned();
                Err(JournalError::Damaged { file: last.path, offset: 0, why })
            }
        }
    }

    /// Reads on in the tail, and over to later segments, up to a writer's head or as far as there are complete frames.
    pub(super) fn refresh(
        &mut self,
        disk: &dyn Disk,
        journal_dir: &Path,
        bound: Option<Position>,
    ) -> Result<(), JournalError> {
        let last = bound.unwrap_or(Position(u64::MAX));
        loop {
            self.tail.advance(disk, journal_dir, last, false)?;
            if self.tail.next > last {
                return Ok(());
            }
            if !self.tail.sealed && !self.seal_reached(disk, journal_dir, last)? {
                return Ok(());
            }
            let Some(successor) = self.tail.successor(disk, journal_dir)? else {
                if self.is_passed_over(disk, journal_dir)? {
                    continue;
                }
                return Ok(());
            };
            let name = self.tail.name.clone();
            self.tail = successor;
            self.sealed.push(Sealed { name, footer: None });
        }
    }

    /// Whether there is more to read although nothing followed the tail: behind the archive's end, if what follows was archived
    /// before it was read.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if there are later segments, and no stub stands for what is missing before them.
    fn is_passed_over(&mut self, disk: &dyn Disk, journal_dir: &Path) -> Result<bool, JournalError> {
        let names = segment::list(disk, journal_dir)?;
        // What stays of an archived journal is behind the stub: without that there is no need to read the stub.
        let next = self.tail.next;
        let Some(later) = names.iter().find(|name| name.first > next) else { return Ok(false) };
        // A live writer may have made it since it was looked for. If it was there and is gone, its stub is there by now.
        if self.tail.successor(disk, journal_dir)?.is_some() || self.archived_since(disk, journal_dir)? {
            return Ok(true);
        }
        let why = format!("entries {next} to {} are missing: later segments are there", later.first.0 - 1);
        Err(JournalError::Damaged { file: SegmentName::of(journal_dir, next).path, offset: 0, why })
    }

    /// Where a later segment exists, the tail must by then have its footer.
    fn seal_reached(&mut self, disk: &dyn Disk, journal_dir: &Path, last: Position) -> Result<bool, JournalError> {
        let names = segment::list(disk, journal_dir)?;
        if names.last().is_none_or(|name| name.first <= self.tail.name.first) {
            return Ok(false);
        }
        self.tail.advance(disk, journal_dir, last, true)?;
        if self.tail.sealed {
            return Ok(true);
        }
        let why = "it ends without a footer, and a later segment exists".to_owned();
        Err(JournalError::Damaged { file: self.tail.name.path.clone(), offset: self.tail.offset, why })
    }

    /// Which sealed segment holds a position; none if the tail does.
    pub(super) fn sealed_at(&self, position: Position) -> Option<usize> {
        if position >= self.tail.name.first {
            return None;
        }
        self.sealed.partition_point(|segment| segment.name.first <= position).checked_sub(1)
    }

    /// The footer of a sealed segment.
    pub(super) fn footer(&mut self, disk: &dyn Disk, index: usize) -> Result<Arc<Footer>, JournalError> {
        let next = self.sealed.get(index + 1).map_or(self.tail.name.first, |later| later.name.first);
        let segment = &mut self.sealed[index];
        if let Some(footer) = &segment.footer {
            return Ok(footer.clone());
        }
        let footer = sealed_footer(disk, &segment.name)?;
        check_next(&segment.name, &footer, next)?;
        let footer = Arc::new(footer.without_runs());
        segment.footer = Some(footer.clone());
        Ok(footer)
    }

    /// Where a position is to be looked for; absent behind the end.
    pub(super) fn place(&mut self, disk: &dyn Disk, position: Position) -> Result<Option<Place>, JournalError> {
        if position >= self.tail.next {
            return Ok(None);
        }
        if let Some(stub) = self.stub.as_ref().filter(|stub| position <= stub.end().position) {
            return Err(stub.archived(position));
        }
        let Some(index) = self.sealed_at(position) else { return Ok(self.place_in_tail(position)) };
        let footer = self.footer(disk, index)?;
        let path = self.sealed[index].name.path.clone();
        let file = disk.open(&path, Mode::Read).map_err(|error| JournalError::io("open", &path, error))?;
        let offset = sparse_offset(&footer.sparse, position).unwrap_or(segment::HEADER_BYTES as u64);
        Ok(Some(Place { path, file, offset, end: footer.offset }))
    }

    fn place_in_tail(&self, position: Position) -> Option<Place> {
        // Without a segment from the journal's beginning there is no place for what was before.
        if position < self.tail.name.first {
            return None;
        }
        let Tail { name, file, offset: end, sparse, .. } = &self.tail;
        let offset = sparse_offset(sparse, position).unwrap_or(segment::HEADER_BYTES as u64);
        Some(Place { path: name.path.clone(), file: file.clone(), offset, end: *end })
    }

    /// The end of a run's history.
    pub(super) fn run_head(&mut self, disk: &dyn Disk, run: RunId) -> Result<Option<RunHead>, JournalError> {
        let Self { stub, sealed, tail } = self;
        if let Some(head) = tail.run(run, |run| run_before(disk, stub.as_deref(), sealed, run))? {
            return Ok(Some(head));
        }
        run_before(disk, stub.as_deref(), sealed, run)
    }

    /// Looks whether a writer has archived segments since this view was opened; then they are gone, and the stub stands
    /// for them. Whether it has.
    pub(super) fn archived_since(&mut self, disk: &dyn Disk, journal_dir: &Path) -> Result<bool, JournalError> {
        let end = |stub: &Option<Arc<Stub>>| stub.as_ref().map_or(Position::ZERO, |stub| stub.end().position);
        let Layout { stub, .. } = Layout::read(disk, journal_dir)?;
        if end(&stub) <= end(&self.stub) {
            return Ok(false);
        }
        let last = end(&stub);
        if last >= self.tail.next {
            // The tail is gone too, and more than was read of it: what stays begins anew.
            *self = Self::open(disk, journal_dir.parent().unwrap_or(journal_dir), journal_dir)?;
            return Ok(true);
        }
        self.stub = stub;
        self.sealed.retain(|segment| segment.name.first > last);
        Ok(true)
    }
}

/// A sealed segment ends where the next one begins.
fn check_next(name: &SegmentName, footer: &Footer, next: Position) -> Result<(), JournalError> {
    if footer.last.next() == next {
        return Ok(());
    }
    let why = format!("it ends at entry {}, and the next segment begins at {next}", footer.last);
    Err(JournalError::Damaged { file: name.path.clone(), offset: footer.offset, why })
}

/// The end of a run in the newest segment that knows it, else in the stub.
fn run_before(
    disk: &dyn Disk,
    stub: Option<&Stub>,
    sealed: &[Sealed],
    run: RunId,
) -> Result<Option<RunHead>, JournalError> {
    for segment in sealed.iter().rev() {
        if let Some(head) = sealed_footer(disk, &segment.name)?.run(run) {
            return Ok(Some(head));
        }
    }
    stub.map_or(Ok(None), |stub| stub.run_head(run))
}
