//! Reading a segment frame by frame, and finding the next frame behind one that is bad.

use std::io;
use std::sync::Arc;

use tachograph_engine::domain::Digest;

use super::disk::DiskFile;
use super::footer::{self, TRAILER_BYTES};
use super::frame::{self, FrameHeader, FrameKind, HEADER_BYTES};
use super::read_up_to;

/// Bytes fetched at once by a reader of everything.
pub(super) const SEQUENTIAL_BYTES: usize = 1 << 20;
/// Bytes that are compared with zeros at once.
const ROOM_CHUNK_BYTES: usize = 64 << 10;
/// Bytes fetched at once by a reader of one entry.
pub(super) const RANDOM_BYTES: usize = 16 << 10;

/// Walks over the frames of one segment, from an offset to an end.
#[derive(Debug)]
pub(super) struct FrameScan {
    file: Arc<dyn DiskFile>,
    end: u64,
    offset: u64,
    fetch_bytes: usize,
    /// What `fetch_bytes` may grow to.
    fetch_bytes_max: usize,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    buffer_at: u64,
}

/// What is at the scan's offset.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// The end, exactly.
    End,
    /// A frame whose checksums are right. The scan has gone on behind it.
    Frame(Frame<'a>),
    /// Something else. The scan stays there.
    Bad(Bad),
}

/// A frame whose checksums are right; its place in the chain is not checked yet.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) offset: u64,
    pub(super) header: FrameHeader,
    pub(super) bytes: &'a [u8],
    /// For a footer: whether the trailer behind it is complete and right, and where the segment ends then.
    pub(super) trailer: Trailer,
}

/// What follows a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trailer {
    /// The frame is no footer.
    None,
    /// It is as it was written.
    Sound,
    /// The file ends within it.
    Short,
    /// It is not as it was written.
    Invalid,
}

impl<'a> Frame<'a> {
    pub(super) fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    pub(super) fn hash(&self) -> Digest {
        frame::hash(self.bytes)
    }

    /// Offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) offset: u64,
    pub(super) kind: BadKind,
}

/// How much is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadKind {
    /// Nothing but zeros up to the end of the file: room that was taken for what comes next.
    Room,
    /// The file ends within the frame: what a write that did not complete looks like.
    Short,
    /// The frame's header is not as it was written, so that its length is not known.
    Header,
    /// The header is right and all bytes are there, and they are not as they were written.
    Payload {
        /// Offset behind the frame.
        end: u64,
    },
}

impl BadKind {
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Room => "nothing but zeros follow",
            Self::Short => "the file ends within a frame",
            Self::Header => "a frame's header is not as it was written",
            Self::Payload { .. } => "a frame's content is not as it was written",
        }
    }
}

impl FrameScan {
    pub(super) fn new(file: Arc<dyn DiskFile>, offset: u64, end: u64, fetch_bytes: usize) -> Self {
        Self { file, end, offset, fetch_bytes, fetch_bytes_max: fetch_bytes, buffer: Vec::new(), buffer_at: 0 }
    }

    /// For whoever finds little as a rule, and sometimes a lot: fetches more from time to time.
    pub(super) fn growing(file: Arc<dyn DiskFile>, offset: u64, end: u64) -> Self {
        Self { fetch_bytes_max: SEQUENTIAL_BYTES, ..Self::new(file, offset, end, RANDOM_BYTES) }
    }

    /// Where the next frame is expected.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame, or what is there instead.
    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        let offset = self.offset;
        match self.look()? {
            Look::End => Ok(Found::End),
            Look::Bad(kind) => Ok(Found::Bad(Bad { offset, kind })),
            Look::Frame(header, trailer) => Ok(Found::Frame(self.take(header, trailer, None))),
        }
    }

    /// Hands out the frame that was just looked at, and goes on behind it, or at another offset.
    pub(super) fn take(&mut self, header: FrameHeader, trailer: Trailer, next: Option<u64>) -> Frame<'_> {
        let offset = self.offset;
        let frame_end = offset + header.frame_bytes();
        let behind = if trailer == Trailer::Sound { frame_end + TRAILER_BYTES as u64 } else { frame_end };
        self.offset = next.unwrap_or(behind);
        let bytes = self.buffered(offset, header.frame_bytes() as usize);
        Frame { offset, header, bytes, trailer }
    }

    /// Goes on at another offset.
    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Goes back to an offset, and fetches anew what is there.
    pub(super) fn look_again(&mut self, offset: u64) {
        self.buffer.clear();
        self.offset = offset;
    }

    /// The header at the offset, if there is a sound one, whatever follows it; without going on.
    pub(super) fn header(&mut self) -> io::Result<Option<FrameHeader>> {
        if self.offset >= self.end {
            return Ok(None);
        }
        self.fetch(self.offset, HEADER_BYTES)?;
        Ok(self.buffered(self.offset, HEADER_BYTES).first_chunk().and_then(FrameHeader::decode))
    }

    /// What is at the offset, without going on. A live writer may have completed since it was fetched what seems not to be.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let was_fetched = !self.buffer.is_empty();
        let found = self.look_at_fetched()?;
        if was_fetched && matches!(found, Look::Bad(_) | Look::Frame(_, Trailer::Invalid)) {
            self.buffer.clear();
            return self.look_at_fetched();
        }
        Ok(found)
    }

    fn look_at_fetched(&mut self) -> io::Result<Look> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(Look::End);
        }
        self.fetch(offset, HEADER_BYTES)?;
        // No frame begins with a zero.
        if is_zero(self.buffered(offset, HEADER_BYTES)) && self.is_room(offset)? {
            return Ok(Look::Bad(BadKind::Room));
        }
        let Some(head) = self.buffered(offset, HEADER_BYTES).first_chunk::<HEADER_BYTES>() else {
            return Ok(Look::Bad(BadKind::Short));
        };
        let Some(header) = FrameHeader::decode(head) else { return Ok(Look::Bad(BadKind::Header)) };
        let frame_end = offset + header.frame_bytes();
        if frame_end > self.end {
            return Ok(Look::Bad(BadKind::Short));
        }
        let bytes = header.frame_bytes() as usize;
        self.fetch(offset, bytes)?;
        let Some(payload) = self.buffered(offset, bytes).get(HEADER_BYTES..) else {
            return Ok(Look::Bad(BadKind::Short));
        };
        if payload.len() != bytes - HEADER_BYTES {
            return Ok(Look::Bad(BadKind::Short));
        }
        if crc32c::crc32c(payload) != header.payload_crc {
            return Ok(Look::Bad(BadKind::Payload { end: frame_end }));
        }
        let trailer = self.trailer(&header, frame_end)?;
        Ok(Look::Frame(header, trailer))
    }

    /// Whether everything from here on is zeros.
    fn is_room(&self, from: u64) -> io::Result<bool> {
        let (mut chunk, mut at) = (vec![0; ROOM_CHUNK_BYTES], from);
        while at < self.end {
            let wanted = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(chunk.len());
            let read = read_up_to(&*self.file, &mut chunk[..wanted], at)?;
            if !is_zero(&chunk[..read]) {
                return Ok(false);
            }
            if read < wanted {
                break;
            }
            at += read as u64;
        }
        Ok(true)
    }

    fn trailer(&self, header: &FrameHeader, frame_end: u64) -> io::Result<Trailer> {
        if header.kind == FrameKind::Commit {
            return Ok(Trailer::None);
        }
        if self.end - frame_end < TRAILER_BYTES as u64 {
            return Ok(Trailer::Short);
        }
        let mut bytes = [0; TRAILER_BYTES];
        read_up_to(&*self.file, &mut bytes, frame_end)?;
        let sound = footer::decode_trailer(&bytes) == Some(self.offset);
        Ok(if sound { Trailer::Sound } else { Trailer::Invalid })
    }

    /// Sees to it that these bytes are in the buffer, as far as the file has them.
    fn fetch(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        let held_end = self.buffer_at + self.buffer.len() as u64;
        if offset >= self.buffer_at && offset + bytes as u64 <= held_end {
            return Ok(());
        }
        let kept = if offset >= self.buffer_at && offset < held_end {
            let from = (offset - self.buffer_at) as usize;
            self.buffer.copy_within(from.., 0);
            self.buffer.len() - from
        } else {
            0
        };
        let left = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        let wanted = bytes.max(self.fetch_bytes).min(left);
        // A buffer that already has the size is not zeroed again.
        self.buffer.resize(wanted.max(kept), 0);
        let read = read_up_to(&*self.file, &mut self.buffer[kept..], offset + kept as u64)?;
        self.buffer.truncate(kept + read);
        self.buffer_at = offset;
        self.fetch_bytes = self.fetch_bytes.saturating_mul(2).min(self.fetch_bytes_max);
        Ok(())
    }

    fn buffered(&self, offset: u64, bytes: usize) -> &[u8] {
        let from = offset.checked_sub(self.buffer_at).map_or(usize::MAX, |from| from as usize);
        let held = self.buffer.get(from..).unwrap_or_default();
        held.get(..bytes).unwrap_or(held)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// What is at a scan's offset, without its bytes.
#[derive(Debug)]
pub(super) enum Look {
    End,
    Bad(BadKind),
    Frame(FrameHeader, Trailer),
}

/// The first frame with right checksums at or after an offset: how reading goes on behind damage.
///
/// Bytes within a damaged frame may imitate one; whoever trusts what is found checks its place in the chain.
pub(super) fn find_frame(file: &Arc<dyn DiskFile>, from: u64, end: u64) -> io::Result<Option<(u64, FrameHeader)>> {
    let mut chunk = vec![0; SEQUENTIAL_BYTES];
    let mut at = from;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
        let read = read_up_to(&**file, &mut chunk[..wanted], at)?;
        let held = &chunk[..read];
        for index in magic_places(held) {
            if let Some(header) = sound_frame(file, at + index as u64, end)? {
                return Ok(Some((at + index as u64, header)));
            }
        }
        if read < wanted || at + read as u64 >= end {
            break;
        }
        // The last bytes again: a magic may lie across two chunks.
        at += (read - (frame::MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}

fn magic_places(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.windows(frame::MAGIC.len()).enumerate().filter(|(_, window)| window == frame::MAGIC).map(|(index, _)| index)
}

fn sound_frame(file: &Arc<dyn DiskFile>, offset: u64, end: u64) -> io::Result<Option<FrameHeader>> {
    let mut scan = FrameScan::new(file.clone(), offset, end, HEADER_BYTES);
    match scan.next()? {
        Found::Frame(frame) => Ok(Some(frame.header)),
        Found::End | Found::Bad(_) => Ok(None),
    }
}
