//! The end of the journal that may be in the page cache alone: what a killed writer, or one whose sync failed, has left
//! there. It is written again before anything is built upon it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use tachograph_engine::domain::Position;
use tachograph_engine::ports::JournalError;

use super::disk::{Disk, DiskFile, Mode};
use super::footer;
use super::frame::{FrameHeader, FrameKind};
use super::scan::{Found, Frame, FrameScan, SEQUENTIAL_BYTES};
use super::segment::{HEADER_BYTES, SegmentHeader};

/// The last segment, and what of it nothing proves to be on the disk.
///
/// A frame's watermark proves what is before it, and the anchor what it names. Reading back proves nothing: after a failed
/// sync the system shows bytes that it has given up, and a further sync succeeds without them.
#[derive(Debug)]
pub(super) struct Unproved {
    path: PathBuf,
    /// Whatever is behind is no complete unit.
    end: u64,
    /// The last position that is proved.
    proved: Position,
    /// Offset of each unit that is not proved, and the position after it. A footer is proved by a later segment alone.
    units: VecDeque<(u64, Option<Position>)>,
    /// Whether there is any frame: a segment's header is durable before.
    has_frames: bool,
}

impl Unproved {
    /// Of a segment whose header alone was read. `proved` is what the anchor names.
    pub(super) fn new(path: PathBuf, proved: Position) -> Self {
        Self { path, end: HEADER_BYTES as u64, proved, units: VecDeque::new(), has_frames: false }
    }

    /// Takes in the next frame; a footer together with its trailer.
    pub(super) fn take_in(&mut self, header: &FrameHeader, offset: u64) {
        self.has_frames = true;
        self.proved = self.proved.max(header.watermark);
        let frame_end = offset + header.frame_bytes();
        let (next, end) = match header.kind {
            FrameKind::Commit => (Some(header.next()), frame_end),
            FrameKind::Footer => (None, frame_end + footer::TRAILER_BYTES as u64),
        };
        self.units.push_back((offset, next));
        self.end = end;
        while self.units.front().is_some_and(|(_, next)| next.is_some_and(|next| next <= self.proved.next())) {
            self.units.pop_front();
        }
    }

    /// Cuts off what is no complete unit, writes again what is not proved, and syncs.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] and its kin; it can be tried again by opening again.
    pub(super) fn settle(&self, disk: &dyn Disk) -> Result<(), JournalError> {
        self.write_again(disk).map_err(|error| JournalError::io("settle the end of", &self.path, error))
    }

    fn write_again(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = disk.open(&self.path, Mode::Overwrite)?;
        if file.length()? > self.end {
            file.truncate(self.end)?;
        }
        if !self.has_frames {
            let header = SegmentHeader::read(&*file)?.map_err(|_| changed())?;
            file.write_at(&header.encode(), 0)?;
        }
        let from = self.units.front().map_or(self.end, |(offset, _)| *offset);
        let mut frames = FrameScan::new(file.clone(), from, self.end, SEQUENTIAL_BYTES);
        loop {
            match frames.next()? {
                Found::End => break,
                Found::Frame(frame) => rewrite(&*file, &frame)?,
                Found::Bad(_) => return Err(changed()),
            }
        }
        file.sync()
    }
}

fn rewrite(file: &dyn DiskFile, frame: &Frame<'_>) -> io::Result<()> {
    file.write_at(frame.bytes, frame.offset)?;
    match frame.header.kind {
        FrameKind::Commit => Ok(()),
        FrameKind::Footer => file.write_at(&footer::encode_trailer(frame.offset), frame.end()),
    }
}

/// The page cache may forget what it could not write.
fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it changed while it was opened; open it again")
}
