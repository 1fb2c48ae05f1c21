//! Opening for writing: every byte is checked, a torn tail is told from damage, and nothing is changed before all of
//! it is understood.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Entry, EntryBody, Position, SystemFact, TornTail};
use tachograph_engine::ports::{Head, JournalError, Opening};
use ulid::Ulid;

use super::active::Active;
use super::anchor::Anchor;
use super::disk::{Disk, DiskFile, Mode};
use super::evidence::Evidence;
use super::footer::{self, Contents};
use super::frame::{FrameKind, HEADER_BYTES, Records};
use super::layout::{self, Layout};
use super::scan::{Bad, BadKind, Found, Frame, FrameScan, Look, SEQUENTIAL_BYTES, Trailer};
use super::segment::{self, BadHeader, SegmentHeader, SegmentName};
use super::stub::Stub;
use super::unproved::Unproved;
use crate::index::Catalog;

/// What the files say, all of it checked.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) journal: Option<Ulid>,
    pub(super) head: Head,
    /// Hash of the last unit.
    pub(super) link: Digest,
    /// Number of the last segment; zero without segments.
    pub(super) ordinal: u64,
    /// The last segment, if it is to be appended to.
    pub(super) active: Option<Active>,
    pub(super) opening: Opening,
    /// The end of the last complete segment; absent without segments.
    unproved: Option<Unproved>,
    /// A segment whose creation did not complete; it holds nothing.
    leftover: Option<SegmentName>,
    /// What an interrupted archiving left; the stub stands for it.
    archived: Vec<PathBuf>,
}

impl Recovered {
    /// Reads and checks all segments in order, shows each entry to the catalog, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`], [`JournalError::NewerFormat`] or [`JournalError::Io`].
    pub(super) fn scan(disk: &dyn Disk, journal_dir: &Path, catalog: &Catalog) -> Result<Self, JournalError> {
        let Layout { stub, mut segments, leftovers } = Layout::read(disk, journal_dir)?;
        let anchor = Anchor::find(disk, journal_dir)?.sound(journal_dir)?;
        let leftover = leftover(disk, segments.last())?;
        if leftover.is_some() {
            segments.pop();
        }
        let mut scan = Scan::new(anchor, catalog);
        if let Some(stub) = stub {
            scan.archived(stub)?;
        }
        for (index, name) in segments.iter().enumerate() {
            scan.segment(disk, name, index + 1 < segments.len() || leftover.is_some())?;
        }
        Ok(Self { archived: leftovers, ..scan.finish(leftover)? })
    }

    /// Cuts a torn tail off, removes a segment that was never completed, and makes everything durable that is about to
    /// be built upon: what a killed writer left in the page cache, names of files included.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] and its kin; it can be tried again by opening again.
    pub(super) fn settle(&self, disk: &dyn Disk, journal_dir: &Path) -> Result<(), JournalError> {
        if let Some(SegmentName { path, .. }) = &self.leftover {
            disk.remove(path).map_err(|error| JournalError::io("remove", path, error))?;
        }
        layout::remove(disk, journal_dir, &self.archived)?;
        disk.sync_dir(journal_dir).map_err(|error| JournalError::io("sync", journal_dir, error))?;
        match &self.unproved {
            Some(unproved) => unproved.settle(disk),
            None => Ok(()),
        }
    }
}

/// The last segment, if its creation did not complete: it is created and synced before anything is written behind its
/// header.
fn leftover(disk: &dyn Disk, last: Option<&SegmentName>) -> Result<Option<(SegmentName, TornTail)>, JournalError> {
    let Some(name) = last else { return Ok(None) };
    let read = || {
        let file = disk.open(&name.path, Mode::Read)?;
        Ok((file.length()?, SegmentHeader::read(&*file)?))
    };
    let (bytes, header) = read().map_err(|error| JournalError::io("read", &name.path, error))?;
    let unfinished = matches!(header, Err(BadHeader::Short | BadHeader::Invalid));
    if !unfinished || bytes > segment::HEADER_BYTES as u64 {
        return Ok(None);
    }
    Ok(Some((name.clone(), TornTail { file: name.file_name(), offset: 0, bytes, position: name.first })))
}

/// The state between two units.
struct Scan<'a> {
    catalog: &'a Catalog,
    anchor: Option<Anchor>,
    journal: Option<Ulid>,
    ordinal: u64,
    next: Position,
    link: Digest,
    digest: Digest,
    closed: bool,
    torn: Option<TornTail>,
    active: Option<Active>,
    /// Of the segment that was read last.
    unproved: Option<Unproved>,
    /// The entries of one frame, kept for their memory.
    entries: Vec<Entry>,
}

impl<'a> Scan<'a> {
    fn new(anchor: Option<Anchor>, catalog: &'a Catalog) -> Self {
        let next = Position::ZERO.next();
        let (link, digest) = (Digest::ZERO, Digest::ZERO);
        Self {
            catalog,
            anchor,
            journal: None,
            ordinal: 0,
            next,
            link,
            digest,
            closed: true,
            torn: None,
            active: None,
            unproved: None,
            entries: Vec::new(),
        }
    }

    /// Begins where the archive ends.
    fn archived(&mut self, stub: Arc<Stub>) -> Result<(), JournalError> {
        let next = stub.successor();
        self.journal = Some(next.journal);
        self.ordinal = next.ordinal.saturating_sub(1);
        (self.next, self.link, self.digest) = (next.first, next.previous, stub.end().digest);
        self.catalog.inherit(stub)
    }

    fn segment(&mut self, disk: &dyn Disk, name: &SegmentName, has_later: bool) -> Result<(), JournalError> {
        // The last one will be appended to; opening it so changes nothing.
        let mode = if has_later { Mode::Read } else { Mode::Overwrite };
        let here = Here::open(disk, name, mode, has_later)?;
        self.header(&here)?;
        let anchored = self.anchor.as_ref().map_or(Position::ZERO, |anchor| anchor.head.position);
        let mut unproved = Unproved::new(name.path.clone(), anchored);
        let mut contents = Contents::default();
        let mut frames = FrameScan::new(here.file.clone(), segment::HEADER_BYTES as u64, here.end, SEQUENTIAL_BYTES);
        let bytes = loop {
            match frames.next().map_err(|error| here.io(error))? {
                Found::End => break here.end,
                Found::Bad(bad) => {
                    self.bad(&here, bad)?;
                    break bad.offset;
                }
                Found::Frame(frame) if frame.header.kind == FrameKind::Commit => {
                    unproved.take_in(&frame.header, frame.offset);
                    self.commit(&here, &frame, &mut contents)?;
                }
                Found::Frame(frame) => {
                    if self.footer(&here, &frame)? {
                        unproved.take_in(&frame.header, frame.offset);
                        self.unproved = Some(unproved);
                        return Ok(());
                    }
                    break frame.offset;
                }
            }
        };
        self.unproved = Some(unproved);
        if here.has_later {
            return Err(here.damaged(bytes, "it ends without a footer, and a later segment exists"));
        }
        self.active = Some(Active::found(name, here.file, bytes, contents));
        Ok(())
    }

    fn header(&mut self, here: &Here<'_>) -> Result<(), JournalError> {
        let header = SegmentHeader::read(&*here.file)
            .map_err(|error| here.io(error))?
            .map_err(|bad| bad.error(&here.name.path))?;
        let journal = self.journal.or(self.anchor.as_ref().map(|anchor| anchor.journal));
        if journal.is_some_and(|journal| journal != header.journal) {
            return Err(here.damaged(0, "it belongs to another journal than the anchor or the segment before"));
        }
        if header.first != here.name.first {
            return Err(here.damaged(0, "its name is not the first position in its header"));
        }
        if header.first != self.next || header.ordinal != self.ordinal.saturating_add(1) || header.previous != self.link
        {
            let why = format!("it does not follow what is before it: position {} was expected", self.next);
            return Err(here.damaged(0, &why));
        }
        self.journal = Some(header.journal);
        self.ordinal = header.ordinal;
        self.link = header.hash();
        Ok(())
    }

    fn commit(&mut self, here: &Here<'_>, frame: &Frame<'_>, contents: &mut Contents) -> Result<(), JournalError> {
        self.follows(here, frame)?;
        contents.frame(frame.header.first, frame.offset);
        let mut records = Records::new(&frame.header, frame.payload());
        self.entries.clear();
        while let Some(entry) = records.entry().map_err(|why| here.damaged(frame.offset, &why))? {
            contents.entry(&entry, |run| self.catalog.run_head(run))?;
            self.entries.push(entry);
        }
        self.next = frame.header.next();
        self.link = frame.hash();
        self.digest = self.link;
        self.catalog.observe(&self.entries, self.digest);
        let closes = |entry: &Entry| matches!(entry.body, EntryBody::System(SystemFact::Closed(_)));
        self.closed = self.entries.last().is_some_and(closes);
        self.anchored(here, frame)
    }

    /// Whether the frame is the unit that was written after the one before.
    fn follows(&self, here: &Here<'_>, frame: &Frame<'_>) -> Result<(), JournalError> {
        let header = &frame.header;
        if header.first == self.next && header.previous == self.link {
            return Ok(());
        }
        Err(here.damaged(frame.offset, "the frame is sound but does not follow the one before it"))
    }

    /// Where the anchor speaks about this frame, both must say the same.
    fn anchored(&self, here: &Here<'_>, frame: &Frame<'_>) -> Result<(), JournalError> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        let Head { position, digest } = anchor.head;
        if position < frame.header.first || position >= self.next {
            return Ok(());
        }
        if position.next() == self.next && digest == self.digest {
            return Ok(());
        }
        Err(here.damaged(frame.offset, "the history up to here is not the one that the anchor tells"))
    }

    /// Whether the footer and what follows it are complete; if not, it is the torn tail.
    fn footer(&mut self, here: &Here<'_>, frame: &Frame<'_>) -> Result<bool, JournalError> {
        self.follows(here, frame)?;
        let end = frame.end() + footer::TRAILER_BYTES as u64;
        let kind = match frame.trailer {
            Trailer::Sound if end == here.end || (!here.has_later && is_room(here, end)?) => {
                self.link = frame.hash();
                return Ok(true);
            }
            Trailer::Sound => return Err(here.damaged(end, "bytes follow the segment's trailer")),
            Trailer::Short => BadKind::Short,
            Trailer::None | Trailer::Invalid => BadKind::Payload { end },
        };
        self.bad(here, Bad { offset: frame.offset, kind })?;
        Ok(false)
    }

    /// Notes a torn tail, or refuses damage. Room that was not used is neither.
    fn bad(&mut self, here: &Here<'_>, bad: Bad) -> Result<(), JournalError> {
        let anchor = self.anchor.as_ref().map(|anchor| anchor.head.position);
        let evidence = Evidence { next: self.next, anchor, has_later: here.has_later };
        if let Some(proof) = evidence.of_damage(&here.file, bad, here.end).map_err(|error| here.io(error))? {
            return Err(here.damaged(bad.offset, &format!("{}, and {proof}", bad.kind.why())));
        }
        if bad.kind == BadKind::Room {
            return Ok(());
        }
        self.torn = Some(TornTail {
            file: here.name.file_name(),
            offset: bad.offset,
            bytes: here.end - bad.offset,
            position: self.next,
        });
        Ok(())
    }

    fn finish(self, leftover: Option<(SegmentName, TornTail)>) -> Result<Recovered, JournalError> {
        let head = Head { position: Position(self.next.0.saturating_sub(1)), digest: self.digest };
        let (leftover, creation) = leftover.unzip();
        let torn = self.torn.or(creation);
        let missing_up_to = self.anchor.as_ref().and_then(|anchor| missing(anchor, head));
        let clean = self.closed && torn.is_none() && missing_up_to.is_none();
        Ok(Recovered {
            journal: self.journal.or(self.anchor.map(|anchor| anchor.journal)),
            head,
            link: self.link,
            ordinal: self.ordinal,
            active: self.active,
            unproved: self.unproved,
            opening: Opening { clean, torn, missing_up_to },
            leftover,
            archived: Vec::new(),
        })
    }
}

/// Whether nothing but room is behind the trailer: a segment is shortened before it is sealed, and a power cut may undo the
/// one and not the other.
fn is_room(here: &Here<'_>, from: u64) -> Result<bool, JournalError> {
    let behind = FrameScan::new(here.file.clone(), from, here.end, HEADER_BYTES).look();
    Ok(matches!(behind.map_err(|error| here.io(error))?, Look::Bad(BadKind::Room)))
}

/// What the anchor proves to have been there and is gone.
fn missing(anchor: &Anchor, head: Head) -> Option<(Position, Digest)> {
    if anchor.head.position > head.position {
        return Some((anchor.head.position, anchor.head.digest));
    }
    // Noticed before, and nothing was appended since: it is still to be recorded.
    anchor.missing_up_to.filter(|_| anchor.head.position == head.position)
}

/// The segment that is being read.
struct Here<'a> {
    name: &'a SegmentName,
    file: Arc<dyn DiskFile>,
    end: u64,
    has_later: bool,
}

impl<'a> Here<'a> {
    fn open(disk: &dyn Disk, name: &'a SegmentName, mode: Mode, has_later: bool) -> Result<Self, JournalError> {
        let file = disk.open(&name.path, mode).map_err(|error| JournalError::io("open", &name.path, error))?;
        let end = file.length().map_err(|error| JournalError::io("read", &name.path, error))?;
        Ok(Self { name, file, end, has_later })
    }

    fn io(&self, error: std::io::Error) -> JournalError {
        JournalError::io("read", &self.name.path, error)
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        JournalError::Damaged { file: self.name.path.clone(), offset, why: why.to_owned() }
    }
}
