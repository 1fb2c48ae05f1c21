//! What tells damage from a write that did not complete.

use std::io;
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position};

use super::disk::DiskFile;
use super::footer::Footer;
use super::frame::{FrameHeader, FrameKind, Records};
use super::scan::{Bad, BadKind, Found, Frame, FrameScan, SEQUENTIAL_BYTES, Trailer, find_frame};

/// Fewer bytes than any entry takes in a frame: its length, its id, and something in it.
const RECORD_BYTES_MIN: u64 = 4 + 16 + 1;

/// What is known about a bad unit, apart from itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// Position that the bad unit should begin with.
    pub(super) next: Position,
    /// Position that the anchor names as durable.
    pub(super) anchor: Option<Position>,
    /// Whether a later segment exists.
    pub(super) has_later: bool,
}

impl Evidence {
    /// Why a bad unit must once have been whole, if that is certain.
    pub(super) fn of_damage(&self, file: &Arc<dyn DiskFile>, bad: Bad, end: u64) -> io::Result<Option<&'static str>> {
        if self.has_later {
            return Ok(Some("a later segment exists"));
        }
        let behind = match bad.kind {
            // The bytes are not there: a cut, which the anchor turns into a report of what is missing.
            BadKind::Short | BadKind::Room => return Ok(None),
            BadKind::Header => bad.offset + 1,
            BadKind::Payload { end } => end,
        };
        if self.anchor.is_some_and(|anchor| anchor >= self.next) {
            return Ok(Some("the anchor shows that it was durable"));
        }
        let mut from = behind;
        while let Some((offset, header)) = find_frame(file, from, end)? {
            let chain = self.chain(file, offset, end)?;
            if chain.is_complete && chain.proves && self.may_be_at(bad.offset, offset, &header) {
                return Ok(Some("a later frame shows that it was durable"));
            }
            // Nothing within a frame with right checksums is a frame of the journal's.
            from = chain.end.max(offset + header.frame_bytes());
        }
        Ok(None)
    }

    /// Whether the bytes between hold at least the entries between.
    fn may_be_at(&self, bad_offset: u64, offset: u64, header: &FrameHeader) -> bool {
        let entries = header.first.0.checked_sub(self.next.0);
        entries.is_some_and(|entries| entries <= (offset - bad_offset) / RECORD_BYTES_MIN)
    }

    /// The frames from here on that continue each other.
    ///
    /// What was recorded is not all the recorder's own: a guest's output may contain what looks like a frame, and would turn
    /// a torn write that contains it into damage. So one frame with right checksums is not enough: it must hold
    /// entries, in order, and all that follows it must be chained to it, up to the end of the file or a write that
    /// did not complete.
    fn chain(&self, file: &Arc<dyn DiskFile>, offset: u64, end: u64) -> io::Result<Chain> {
        let mut frames = FrameScan::new(file.clone(), offset, end, SEQUENTIAL_BYTES);
        let mut chain = Chain { last: None, end: offset, proves: false, is_complete: false };
        loop {
            match frames.next()? {
                Found::End => chain.is_complete = true,
                Found::Frame(frame) if chain.goes_on_with(&frame.header) && is_whole(&frame) => {
                    chain.proves |= frame.header.watermark >= self.next;
                    chain.last = Some((frame.header.next(), frame.hash()));
                    chain.end = frame.end();
                    if frame.trailer != Trailer::Short {
                        continue;
                    }
                    chain.is_complete = true;
                }
                Found::Frame(_) => {}
                Found::Bad(Bad { kind: BadKind::Room, .. }) => chain.is_complete = true,
                // The header of a write that did not complete continues the chain all the same.
                Found::Bad(_) => {
                    chain.is_complete = frames.header()?.is_some_and(|header| chain.goes_on_with(&header));
                }
            }
            return Ok(chain);
        }
    }
}

/// Frames that continue each other.
struct Chain {
    /// Position after the last, and its hash.
    last: Option<(Position, Digest)>,
    /// Offset behind it.
    end: u64,
    /// Whether one of them was written when the bad unit was durable.
    proves: bool,
    /// Whether they go to where the journal ends.
    is_complete: bool,
}

impl Chain {
    fn goes_on_with(&self, header: &FrameHeader) -> bool {
        self.last.is_none_or(|last| last == (header.first, header.previous))
    }
}

/// Whether the payload is what the header says, so that a writer may have written it.
fn is_whole(frame: &Frame<'_>) -> bool {
    let header = &frame.header;
    match header.kind {
        FrameKind::Commit => {
            let mut records = Records::new(header, frame.payload());
            loop {
                match records.entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        }
        FrameKind::Footer => {
            let footer = Footer::decode(frame.payload(), frame.offset, header.previous);
            frame.trailer != Trailer::Invalid && footer.is_some_and(|footer| footer.last.next() == header.first)
        }
    }
}
