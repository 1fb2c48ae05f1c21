//! Walking over a segment that may be damaged: what is sound, and what lies between.

use std::io;
use std::sync::Arc;

use super::disk::DiskFile;
use super::scan::{Bad, BadKind, Frame, FrameScan, Look, SEQUENTIAL_BYTES, Trailer, find_frame};
use super::segment;

/// Goes over everything in a segment behind its header, past damage.
#[derive(Debug)]
pub(super) struct Walk {
    file: Arc<dyn DiskFile>,
    end: u64,
    frames: FrameScan,
}

/// A part of a segment.
#[derive(Debug)]
pub(super) enum Unit<'a> {
    /// A frame whose checksums are right.
    Frame(Frame<'a>),
    /// Bytes that are no frame, up to the next one or the end; room that was taken for later ones, too.
    Gap {
        /// What is there first.
        bad: Bad,
        /// Offset behind it.
        end: u64,
    },
}

impl Walk {
    pub(super) fn new(file: Arc<dyn DiskFile>, end: u64) -> Self {
        let frames = FrameScan::new(file.clone(), segment::HEADER_BYTES as u64, end, SEQUENTIAL_BYTES);
        Self { file, end, frames }
    }

    /// Where the segment ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where the next unit begins.
    pub(super) fn offset(&self) -> u64 {
        self.frames.offset()
    }

    /// The next unit; absent at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Unit<'_>>> {
        let offset = self.frames.offset();
        match self.frames.look()? {
            Look::End => Ok(None),
            Look::Bad(kind) => {
                let bad = Bad { offset, kind };
                let end = self.sound_again(bad)?;
                self.frames.seek(end);
                Ok(Some(Unit::Gap { bad, end }))
            }
            Look::Frame(header, trailer) => {
                // Nothing can follow a footer: what is there instead of its trailer belongs to it.
                let ends = matches!(trailer, Trailer::Short | Trailer::Invalid);
                let next = if ends { Some(self.end) } else { None };
                Ok(Some(Unit::Frame(self.frames.take(header, trailer, next))))
            }
        }
    }

    /// Whether what is short may be so because a live writer has made the file longer since its end was asked for.
    pub(super) fn has_grown(&self) -> io::Result<bool> {
        Ok(self.file.length()? > self.end)
    }

    /// Goes back to what was no frame, to look whether it is one by now.
    pub(super) fn look_again(&mut self, bad: Bad) {
        self.frames.look_again(bad.offset);
    }

    fn sound_again(&self, bad: Bad) -> io::Result<u64> {
        let from = match bad.kind {
            BadKind::Short | BadKind::Room => return Ok(self.end),
            BadKind::Header => bad.offset + 1,
            BadKind::Payload { end } => end,
        };
        Ok(find_frame(&self.file, from, self.end)?.map_or(self.end, |(offset, _)| offset))
    }
}
