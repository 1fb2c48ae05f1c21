//! The last segment as a reader follows it: frame by frame, each checked once, while a writer may append to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position, RunId};
use tachograph_engine::ports::{Head, JournalError, RunHead};
use ulid::Ulid;

use super::anchor::{Anchor, Found as FoundAnchor};
use super::disk::{Disk, DiskFile, Mode};
use super::evidence::Evidence;
use super::footer::{self, Contents, Footer};
use super::frame::{FrameKind, HEADER_BYTES, Records};
use super::read_up_to;
use super::scan::{Bad, BadKind, Found, Frame, FrameScan, SEQUENTIAL_BYTES, Trailer};
use super::segment::{self, BadHeader, SegmentHeader, SegmentName};

/// How often a bad frame is looked at again: a live writer may have completed it meanwhile.
const LOOKS: u32 = 3;

/// The last segment, as far as it was read.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) name: SegmentName,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) journal: Ulid,
    pub(super) ordinal: u64,
    /// Offset behind the last checked commit.
    pub(super) offset: u64,
    /// Position after the last checked entry.
    pub(super) next: Position,
    /// Hash of the last commit, in whichever segment.
    pub(super) digest: Digest,
    /// Hash of the last unit.
    link: Digest,
    /// Whether its footer was reached: nothing more comes in this segment.
    pub(super) sealed: bool,
    pub(super) sparse: Vec<(Position, u64)>,
    runs: Contents,
    /// Up to where the entries are in `runs`.
    runs_offset: u64,
    /// From where to where there was nothing but room.
    room: Option<(u64, u64)>,
}

impl Tail {
    /// Opens a segment to follow it; absent if its creation did not complete. `digest` is the hash of the last commit
    /// before it.
    pub(super) fn open(disk: &dyn Disk, name: &SegmentName, digest: Digest) -> Result<Option<Self>, JournalError> {
        let error = |error| JournalError::io("read", &name.path, error);
        let file = disk.open(&name.path, Mode::Read).map_err(error)?;
        let header = match SegmentHeader::read(&*file).map_err(error)? {
            Ok(header) => header,
            Err(BadHeader::Short | BadHeader::Invalid)
                if file.length().map_err(error)? <= segment::HEADER_BYTES as u64 =>
            {
                return Ok(None);
            }
            Err(bad) => return Err(bad.error(&name.path)),
        };
        if header.first != name.first {
            let why = "its name is not the first position in its header".to_owned();
            return Err(JournalError::Damaged { file: name.path.clone(), offset: 0, why });
        }
        let offset = segment::HEADER_BYTES as u64;
        Ok(Some(Self {
            name: name.clone(),
            file,
            journal: header.journal,
            ordinal: header.ordinal,
            offset,
            next: header.first,
            digest,
            link: header.hash(),
            sealed: false,
            sparse: Vec::new(),
            runs: Contents::default(),
            runs_offset: offset,
            room: None,
        }))
    }

    /// The segment after this sealed one, if it exists by now.
    pub(super) fn successor(&self, disk: &dyn Disk, journal_dir: &Path) -> Result<Option<Self>, JournalError> {
        let name = SegmentName::of(journal_dir, self.next);
        let tail = match Self::open(disk, &name, self.digest) {
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            tail => tail?,
        };
        let Some(tail) = tail else { return Ok(None) };
        let expected = SegmentHeader {
            journal: self.journal,
            ordinal: self.ordinal.saturating_add(1),
            first: self.next,
            previous: self.link,
        };
        if tail.link != expected.hash() {
            return Err(tail.damaged(0, "it does not follow the segment before it"));
        }
        Ok(Some(tail))
    }

    pub(super) fn head(&self) -> Head {
        Head { position: Position(self.next.0.saturating_sub(1)), digest: self.digest }
    }

    /// Reads on as far as there are complete frames that begin at or before `bound`.
    pub(super) fn advance(
        &mut self,
        disk: &dyn Disk,
        journal_dir: &Path,
        bound: Position,
        has_later: bool,
    ) -> Result<(), JournalError> {
        let Some(bad) = self.walk(bound)? else { return Ok(()) };
        if matches!(bad.kind, BadKind::Short | BadKind::Room) && !has_later {
            return Ok(());
        }
        for look in 1..=LOOKS {
            // Before the bytes that are judged by it: a live writer replaces it when it has written them.
            let anchor = match Anchor::find(disk, journal_dir)? {
                FoundAnchor::Sound(anchor) => Some(anchor.head.position),
                FoundAnchor::Absent | FoundAnchor::Bad | FoundAnchor::Newer(_) => None,
            };
            let Some(bad) = self.walk(bound)? else { return Ok(()) };
            let end = self.length()?;
            let evidence = Evidence { next: self.next, anchor, has_later };
            let proof = evidence.of_damage(&self.file, bad, end).map_err(|error| self.io(error))?;
            match proof {
                None => return Ok(()),
                Some(proof) if look == LOOKS => {
                    return Err(self.damaged(bad.offset, &format!("{}, and {proof}", bad.kind.why())));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Takes in complete frames; what is there instead of the next, if that is not simply the end.
    fn walk(&mut self, bound: Position) -> Result<Option<Bad>, JournalError> {
        let end = self.length()?;
        if end < self.offset {
            return Err(self.damaged(end, "it became shorter while it was read"));
        }
        if self.is_still_room(end)? {
            return Ok(None);
        }
        // Most of what is left of the file may be room.
        let mut frames = FrameScan::growing(self.file.clone(), self.offset, end);
        while !self.sealed && self.next <= bound {
            match frames.next().map_err(|error| self.io(error))? {
                Found::End => return Ok(None),
                Found::Bad(bad) => {
                    self.room = (bad.kind == BadKind::Room).then_some((bad.offset, end));
                    return Ok(Some(bad));
                }
                Found::Frame(frame) => {
                    if let Some(bad) = self.take(&frame)? {
                        return Ok(Some(bad));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether there was room only when it was last looked through, and nothing was written at its beginning since: that is
    /// where a writer goes on.
    fn is_still_room(&self, end: u64) -> Result<bool, JournalError> {
        if self.room != Some((self.offset, end)) {
            return Ok(false);
        }
        let mut head = [0; HEADER_BYTES];
        read_up_to(&*self.file, &mut head, self.offset).map_err(|error| self.io(error))?;
        Ok(head.iter().all(|byte| *byte == 0))
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<Option<Bad>, JournalError> {
        if frame.header.first != self.next || frame.header.previous != self.link {
            return Err(self.damaged(frame.offset, "the frame is sound but does not follow the one before it"));
        }
        let kind = match (frame.header.kind, frame.trailer) {
            (FrameKind::Commit, _) => {
                footer::note_frame(&mut self.sparse, frame.header.first, frame.offset);
                self.offset = frame.end();
                self.next = frame.header.next();
                self.link = frame.hash();
                self.digest = self.link;
                return Ok(None);
            }
            (FrameKind::Footer, Trailer::Sound) => {
                self.link = frame.hash();
                self.sealed = true;
                return Ok(None);
            }
            (FrameKind::Footer, Trailer::Short) => BadKind::Short,
            (FrameKind::Footer, Trailer::Invalid | Trailer::None) => {
                BadKind::Payload { end: frame.end() + footer::TRAILER_BYTES as u64 }
            }
        };
        Ok(Some(Bad { offset: frame.offset, kind }))
    }

    /// The end of a run within this segment. `before` gives its end in the segments before.
    pub(super) fn run(
        &mut self,
        run: RunId,
        mut before: impl FnMut(RunId) -> Result<Option<RunHead>, JournalError>,
    ) -> Result<Option<RunHead>, JournalError> {
        let mut frames = FrameScan::new(self.file.clone(), self.runs_offset, self.offset, SEQUENTIAL_BYTES);
        while let Some(frame) = next_commit(&mut frames, &self.name.path)? {
            let mut records = Records::new(&frame.header, frame.payload());
            while let Some(entry) = records.entry().map_err(|why| self.damaged(frame.offset, &why))? {
                self.runs.entry(&entry, &mut before)?;
            }
            self.runs_offset = frame.end();
        }
        Ok(self.runs.run(run))
    }

    fn length(&self) -> Result<u64, JournalError> {
        self.file.length().map_err(|error| self.io(error))
    }

    fn io(&self, error: io::Error) -> JournalError {
        JournalError::io("read", &self.name.path, error)
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        JournalError::Damaged { file: self.name.path.clone(), offset, why: why.to_owned() }
    }
}

/// The next commit in a part of a segment that holds nothing else; absent at its end.
pub(super) fn next_commit<'s>(frames: &'s mut FrameScan, path: &Path) -> Result<Option<Frame<'s>>, JournalError> {
    let offset = frames.offset();
    let damaged = |why: &str| JournalError::Damaged { file: path.to_owned(), offset, why: why.to_owned() };
    match frames.next().map_err(|error| JournalError::io("read", path, error))? {
        Found::End => Ok(None),
        Found::Bad(bad) => Err(damaged(bad.kind.why())),
        Found::Frame(frame) if frame.header.kind == FrameKind::Commit => Ok(Some(frame)),
        Found::Frame(_) => Err(damaged("a footer lies between commits")),
    }
}

/// Reads the footer of a segment that another one follows.
pub(crate) fn sealed_footer(disk: &dyn Disk, name: &SegmentName) -> Result<Footer, JournalError> {
    let error = |error| JournalError::io("read", &name.path, error);
    let file = disk.open(&name.path, Mode::Read).map_err(error)?;
    if let Err(bad) = SegmentHeader::read(&*file).map_err(error)? {
        return Err(bad.error(&name.path));
    }
    let footer = Footer::read(&*file).map_err(error)?.filter(|footer| footer.first == name.first);
    match footer {
        Some(footer) => Ok(footer),
        None => {
            let offset = file.length().map_err(error)?.saturating_sub(footer::TRAILER_BYTES as u64);
            let why = "it does not end in a sound footer, and a later segment exists".to_owned();
            Err(JournalError::Damaged { file: name.path.clone(), offset, why })
        }
    }
}
