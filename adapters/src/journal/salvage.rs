//! Reading all that is sound past damage.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalError;

use super::JOURNAL_DIR;
use super::anchor::{Anchor, Found};
use super::disk::{Disk, Mode, RealDisk};
use super::frame::{FrameKind, Records};
use super::layout::Layout;
use super::scan::{Bad, BadKind, Frame};
use super::segment::{self, SegmentHeader, SegmentName};
use super::walk::{Unit, Walk};

/// What a salvage finds, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvaged {
    /// An entry of a frame whose checksums are right.
    Entry(Box<Entry>),
    /// Bytes that cannot be read as what they were.
    Gap(Gap),
}

/// Bytes that cannot be read as what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The segment.
    pub file: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// What is wrong with them.
    pub why: String,
}

/// Iterates over every entry that can still be read, reporting each gap, and changes nothing.
///
/// It never fails and never ends early: what cannot be read is a gap. A frame counts if both of its checksums are
/// right and its positions lie behind those before it; that nothing is missing in between is for
/// [`verify`](super::verify()) to say.
#[derive(Debug)]
pub struct Salvage {
    disk: Arc<dyn Disk>,
    segments: VecDeque<SegmentName>,
    current: Option<(PathBuf, Walk)>,
    found: VecDeque<Salvaged>,
    last: Position,
    archived: Position,
}

impl Salvage {
    /// Begins with the first segment of a data directory.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if its journal cannot be listed.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(RealDisk), data_dir)
    }

    /// The same on another disk, for tests.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<Self, JournalError> {
        let journal_dir = data_dir.join(JOURNAL_DIR);
        let (segments, last) = match Layout::read(&*disk, &journal_dir) {
            Ok(layout) => (layout.segments.clone(), layout.archived()),
            // Its damaged stub is a gap like any other.
            Err(JournalError::Damaged { .. }) => (segment::list(&*disk, &journal_dir)?, Position::ZERO),
            Err(error) => return Err(error),
        };
        Ok(Self { disk, segments: segments.into(), current: None, found: VecDeque::new(), last, archived: last })
    }

    /// Leaves out the segments that lie before an entry as a whole, by their names alone.
    #[must_use]
    pub fn after(mut self, position: Position) -> Self {
        while self.segments.get(1).is_some_and(|later| later.first <= position.next()) {
            self.segments.pop_front();
        }
        self
    }

    /// The last position that was archived; a salvage begins behind it. Zero if nothing was, or if what tells it is
    /// damaged.
    pub fn archived(&self) -> Position {
        self.archived
    }

    /// The last position that the anchor proves to have been durable; absent if there is no sound anchor.
    pub fn anchored(data_dir: &Path) -> Option<Position> {
        match Anchor::find(&RealDisk, &data_dir.join(JOURNAL_DIR)) {
            Ok(Found::Sound(anchor)) => Some(anchor.head.position),
            Ok(Found::Absent | Found::Bad | Found::Newer(_)) | Err(_) => None,
        }
    }

    fn begin(&mut self, name: SegmentName) {
        let begin = || {
            let file = self.disk.open(&name.path, Mode::Read)?;
            let end = file.length()?;
            Ok((SegmentHeader::read(&*file)?, Walk::new(file, end), end))
        };
        let (header, walk, end) = match begin() {
            Ok(begun) => begun,
            Err(error) => return self.gap(name.path, 0, 0, io_text(&error)),
        };
        if let Err(bad) = header {
            self.gap(name.path.clone(), 0, end.min(segment::HEADER_BYTES as u64), bad.why().to_owned());
        }
        self.current = Some((name.path, walk));
    }

    fn gap(&mut self, file: PathBuf, offset: u64, bytes: u64, why: String) {
        self.found.push_back(Salvaged::Gap(Gap { file, offset, bytes, why }));
    }

    /// Reads one unit of the present segment; whether there was one.
    fn step(&mut self) -> bool {
        let Some((path, mut walk)) = self.current.take() else { return false };
        let offset = walk.offset();
        let gap = match walk.next() {
            Ok(None) => return true,
            Ok(Some(Unit::Gap { bad, end })) => Some((bad, end)),
            Ok(Some(Unit::Frame(frame))) => {
                self.frame(&path, &frame);
                None
            }
            // The rest of this segment is out of reach; the others may not be.
            Err(error) => {
                self.gap(path, offset, walk.end().saturating_sub(offset), io_text(&error));
                return true;
            }
        };
        if let Some((bad, end)) = gap.filter(|(bad, _)| !self.is_end(&walk, *bad)) {
            self.gap(path.clone(), bad.offset, end - bad.offset, bad.kind.why().to_owned());
        }
        self.current = Some((path, walk));
        true
    }

    /// Whether the journal simply ends there: in room for what was to come, or in what a live writer has written since the end
    /// of this segment was asked for. If more was there once, the anchor knows.
    fn is_end(&self, walk: &Walk, bad: Bad) -> bool {
        let may_be = match bad.kind {
            BadKind::Room => true,
            BadKind::Short => walk.has_grown().unwrap_or(false),
            BadKind::Header | BadKind::Payload { .. } => false,
        };
        may_be && self.segments.is_empty()
    }

    fn frame(&mut self, path: &Path, frame: &Frame<'_>) {
        if frame.header.kind == FrameKind::Footer {
            return;
        }
        let bytes = frame.bytes.len() as u64;
        if frame.header.first <= self.last {
            let why = format!("the frame repeats entry {}", frame.header.first);
            return self.gap(path.to_owned(), frame.offset, bytes, why);
        }
        let mut records = Records::new(&frame.header, frame.payload());
        loop {
            match records.entry() {
                Ok(Some(entry)) => {
                    self.last = entry.position;
                    self.found.push_back(Salvaged::Entry(Box::new(entry)));
                }
                Ok(None) => return,
                Err(why) => return self.gap(path.to_owned(), frame.offset, bytes, why),
            }
        }
    }
}

impl Iterator for Salvage {
    type Item = Salvaged;

    fn next(&mut self) -> Option<Salvaged> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            if !self.step() {
                let name = self.segments.pop_front()?;
                self.begin(name);
            }
        }
    }
}

fn io_text(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}
