//! The segment that is appended to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;

use super::disk::{Disk, DiskFile, Mode};
use super::footer::{self, Contents};
use super::segment::{self, SegmentHeader, SegmentName};

/// Room that is taken at once: some hundred short runs.
const ROOM_BYTES: u64 = 1 << 20;

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) path: PathBuf,
    file: Arc<dyn DiskFile>,
    pub(super) first: Position,
    /// Bytes that hold complete frames: where the next one goes.
    pub(super) bytes: u64,
    pub(super) contents: Contents,
    room: Room,
}

/// Zeros behind the frames, in blocks that the file has already: a sync of what is written there has neither a length nor new
/// blocks to make durable.
#[derive(Debug, Clone, Copy)]
enum Room {
    /// None was taken yet.
    NotTaken,
    /// Up to this length of the file.
    UpTo(u64),
    /// None is to be taken any more: the file system has none or does not do that, or it was given back. Frames are written all
    /// the same, if they fit.
    Refused,
}

impl Active {
    /// A segment that is there, up to its last complete frame.
    pub(super) fn found(name: &SegmentName, file: Arc<dyn DiskFile>, bytes: u64, contents: Contents) -> Self {
        Self { path: name.path.clone(), file, first: name.first, bytes, contents, room: Room::NotTaken }
    }

    /// Makes a segment of which a crash leaves nothing, a part of its header, or all of it.
    pub(super) fn create(disk: &dyn Disk, journal_dir: &Path, header: &SegmentHeader) -> Result<Self, JournalError> {
        let name = SegmentName::of(journal_dir, header.first);
        let create = || {
            let file = disk.open(&name.path, Mode::Create)?;
            file.append(&header.encode())?;
            file.sync()?;
            disk.sync_dir(journal_dir)?;
            disk.open(&name.path, Mode::Overwrite)
        };
        let file = create().map_err(|error| JournalError::io("create", &name.path, error))?;
        Ok(Self::found(&name, file, segment::HEADER_BYTES as u64, Contents::default()))
    }

    /// Takes room for so many bytes and more after them, unless there is enough, but not beyond what a segment may have.
    /// What cannot be had is done without.
    pub(super) fn take_room(&mut self, bytes: u64, segment_bytes: u64) {
        let end = self.bytes.saturating_add(bytes);
        let is_there = match self.room {
            Room::NotTaken => false,
            Room::UpTo(length) => end <= length,
            Room::Refused => true,
        };
        let length = end.saturating_add(ROOM_BYTES).min(segment_bytes);
        if is_there || length <= end {
            return;
        }
        self.room = match self.file.take_room(length) {
            Ok(()) => Room::UpTo(length),
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "no room is taken for the journal");
                Room::Refused
            }
        };
        if matches!(self.room, Room::Refused) {
            // A part of it may have been taken, which somebody else needs more. If it stays, it is in nobody's way before the
            // segment is sealed.
            let _ = self.give_back();
        }
    }

    /// Writes behind the last complete frame. After an error a part of it may be there, which the next open recognises as
    /// torn.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_at(bytes, self.bytes).map_err(|error| JournalError::io("write", &self.path, error))
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync().map_err(|error| JournalError::io("sync", &self.path, error))
    }

    /// Gives back the room that was not used, and says whether there was any. Not durable before the next sync; without
    /// one the zeros may be there again. No more is taken afterwards.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`]; the room may still be there then, and it can be tried again.
    pub(super) fn give_back(&mut self) -> Result<bool, JournalError> {
        if matches!(std::mem::replace(&mut self.room, Room::Refused), Room::NotTaken) {
            return Ok(false);
        }
        let shorten = || {
            let is_longer = self.file.length()? > self.bytes;
            if is_longer {
                self.file.truncate(self.bytes)?;
            }
            Ok(is_longer)
        };
        shorten().map_err(|error| JournalError::io("shorten", &self.path, error))
    }

    /// Ends the segment with its footer and trailer, durably, and returns the hash of the footer. `next` is the
    /// position after its last entry.
    pub(super) fn seal(
        &mut self,
        next: Position,
        watermark: Position,
        previous: Digest,
    ) -> Result<Digest, JournalError> {
        let seal = footer::seal(&self.contents, self.first, next, watermark, previous, self.bytes);
        let (bytes, hash) = seal.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "its footer would be greater than 4 GiB");
            JournalError::io("seal", &self.path, error)
        })?;
        self.give_back()?;
        self.append(&bytes)?;
        self.sync()?;
        Ok(hash)
    }
}
