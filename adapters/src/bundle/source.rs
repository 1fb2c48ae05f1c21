//! Where the units come from that a bundle is made of: a data directory, also beside its live writer, or a whole bundle.

use std::path::Path;
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Entry, Position};
use tachograph_engine::ports::{Head, JournalError, JournalReader};
use ulid::Ulid;

use super::error::BundleError;
use super::manifest::{Chain, Scope};
use super::reader::BundleReader;
use super::stream::{SegmentStream, Stream};
use super::units::{Unit, Units};
use crate::journal::disk::{Disk, Mode};
use crate::journal::frame::FrameHeader;
use crate::journal::layout::{Layout, unless_archived_meanwhile};
use crate::journal::stub::Stub;
use crate::journal::{FileReader, JOURNAL_DIR};

/// The units of a journal up to its head at one moment, each of them checked and linked to the one before.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) journal: Ulid,
    pub(super) head: Head,
    streams: Vec<Arc<dyn Stream>>,
    /// Which stream comes next.
    next: usize,
    units: Option<Units>,
    /// What of the journal was archived, and is not among the units.
    pub(super) stub: Option<Arc<Stub>>,
    /// Hash of the present unit.
    link: Digest,
    ended: bool,
    bytes_done: u64,
}

impl Source {
    pub(super) fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<Self, BundleError> {
        if path.is_file() {
            return Self::of_bundle(path);
        }
        // Once its files are open it does not matter whether they are archived.
        let opened = unless_archived_meanwhile(&**disk, &path.join(JOURNAL_DIR), || Self::of_directory(disk, path));
        Ok(opened?)
    }

    fn of_bundle(path: &Path) -> Result<Self, BundleError> {
        let bundle = BundleReader::open(path)?;
        let manifest = bundle.manifest();
        if manifest.scope != Scope::Whole || manifest.chain != Chain::Journal {
            let why = "holds a part of a journal or redacted values, and is no source for another bundle";
            return Err(BundleError::NotWhole { path: path.to_owned(), why });
        }
        Ok(Self::over(bundle.journal(), manifest.tip, vec![bundle.stream()], None))
    }

    fn of_directory(disk: &Arc<dyn Disk>, path: &Path) -> Result<Self, JournalError> {
        let reader = FileReader::open_on(disk.clone(), path)?;
        let (journal, head) = (reader.id(), reader.head());
        let mut streams: Vec<Arc<dyn Stream>> = Vec::new();
        let Layout { stub, segments, .. } = Layout::read(&**disk, &path.join(JOURNAL_DIR))?;
        for name in segments {
            let open = || {
                let file = disk.open(&name.path, Mode::Read)?;
                let length = file.length()?;
                Ok((file, length))
            };
            let (file, length) = { open }().map_err(|error| JournalError::io("open", &name.path, error))?;
            // What begins behind the head was not acknowledged when the reader looked.
            if streams.is_empty() || name.first <= head.position {
                streams.push(Arc::new(SegmentStream::new(file, name.path, length)));
            }
        }
        Ok(Self::over(journal, head, streams, stub))
    }

    fn over(journal: Ulid, head: Head, streams: Vec<Arc<dyn Stream>>, stub: Option<Arc<Stub>>) -> Self {
        let link = stub.as_ref().map_or(Digest::ZERO, |stub| stub.successor().previous);
        Self { journal, head, streams, next: 0, units: None, stub, link, ended: false, bytes_done: 0 }
    }

    /// The same units from the first one on.
    pub(super) fn again(&self) -> Self {
        Self::over(self.journal, self.head, self.streams.clone(), self.stub.clone())
    }

    /// Bytes of all streams.
    pub(super) fn bytes_total(&self) -> u64 {
        self.streams.iter().map(|stream| stream.length()).sum()
    }

    /// Bytes up to the present unit.
    pub(super) fn bytes_done(&self) -> u64 {
        self.bytes_done + self.units.as_ref().map_or(0, Units::at)
    }

    /// Goes on to the next unit; absent behind the head.
    pub(super) fn advance(&mut self) -> Result<Option<Unit>, JournalError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(units) = &mut self.units else {
                match self.streams.get(self.next) {
                    Some(stream) => self.units = Some(Units::new(stream.clone(), 0, stream.length())),
                    None => return Ok(None),
                }
                self.next += 1;
                continue;
            };
            let Some(unit) = units.advance()? else {
                self.close_stream();
                continue;
            };
            if unit.previous() != self.link {
                return Err(units.damaged("a unit does not follow the one before it"));
            }
            self.link = units.hash();
            self.ended = match &unit {
                Unit::Segment(_) => self.head.position == Position::ZERO,
                Unit::Commit(header) => header.next() > self.head.position,
                Unit::Footer(_) => false,
            };
            return Ok(Some(unit));
        }
    }

    /// Nothing follows the footer of a file but its trailer.
    pub(super) fn skip_trailer(&mut self) {
        if self.streams.len() > 1 {
            self.close_stream();
        }
    }

    fn close_stream(&mut self) {
        self.units = None;
        self.bytes_done += self.next.checked_sub(1).and_then(|index| self.streams.get(index)).map_or(0, |s| s.length());
    }

    /// The present unit.
    pub(super) fn bytes(&self) -> &[u8] {
        self.units.as_ref().map_or(&[], Units::bytes)
    }

    /// Hash of the present unit.
    pub(super) fn hash(&self) -> Digest {
        self.link
    }

    /// The entries of the present unit, which is this commit.
    pub(super) fn entries(&self, header: &FrameHeader) -> Result<Vec<Entry>, JournalError> {
        self.units.as_ref().map_or(Ok(Vec::new()), |units| units.entries(header))
    }
}
