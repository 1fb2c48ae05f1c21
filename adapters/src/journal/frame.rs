//! Frames: the units that are written, checked and chained.

use tachograph_engine::codec;
use tachograph_engine::domain::{Digest, Entry, Position};

use super::fields::Fields;

/// Bytes of a frame header.
pub(crate) const HEADER_BYTES: usize = 72;
/// The greatest payload of a commit frame, in bytes; a greater batch becomes several frames.
pub(crate) const COMMIT_BYTES_MAX: usize = 16 << 20;
/// What a frame begins with.
pub(crate) const MAGIC: &[u8; 4] = b"TFRM";
/// The greatest entry, in bytes: what the domain's limits allow, with room, and what the codec decodes again.
pub(crate) const ENTRY_BYTES_MAX: usize = 4 << 20;
const CRC_AT: usize = HEADER_BYTES - 4;
const LENGTH_BYTES: usize = 4;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Entries.
    Commit,
    /// The table of contents of a full segment.
    Footer,
}

/// The first bytes of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    /// Bytes after the header.
    pub(crate) payload_bytes: u32,
    /// Entries in a commit; zero in a footer.
    pub(crate) count: u32,
    /// Position of the first entry; in a footer the position after the segment's last.
    pub(crate) first: Position,
    /// The position that was durable when the frame was written.
    pub(crate) watermark: Position,
    /// Hash of the unit before: frame, or segment header.
    pub(crate) previous: Digest,
    /// CRC32C of the payload.
    pub(crate) payload_crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = match self.kind {
            FrameKind::Commit => 1,
            FrameKind::Footer => 2,
        };
        bytes[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.watermark.0.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.previous.0);
        bytes[64..68].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, if the bytes are one and as they were written.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_at(CRC_AT);
        if !body.starts_with(MAGIC) || crc != crc32c::crc32c(body).to_le_bytes() {
            return None;
        }
        let mut fields = Fields(&body[4..]);
        let kind = match fields.u8()? {
            1 => FrameKind::Commit,
            2 => FrameKind::Footer,
            _ => return None,
        };
        let reserved = fields.take(3)?;
        let header = Self {
            kind,
            payload_bytes: fields.u32()?,
            count: fields.u32()?,
            first: fields.position()?,
            watermark: fields.position()?,
            previous: fields.digest()?,
            payload_crc: fields.u32()?,
        };
        (reserved == [0; 3] && header.is_possible()).then_some(header)
    }

    /// Whether a writer could have written it.
    fn is_possible(&self) -> bool {
        let counted = match self.kind {
            FrameKind::Commit => self.count > 0 && self.payload_bytes as usize <= COMMIT_BYTES_MAX,
            FrameKind::Footer => self.count == 0,
        };
        counted && self.watermark < self.first && self.first.0.checked_add(u64::from(self.count)).is_some()
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// Position after the last entry.
    pub(crate) fn next(&self) -> Position {
        Position(self.first.0.saturating_add(u64::from(self.count)))
    }
}

/// Hash of a whole frame.
pub(crate) fn hash(frame: &[u8]) -> Digest {
    Digest(*blake3::hash(frame).as_bytes())
}

/// One complete frame: header and payload in one piece.
pub(crate) fn assemble(
    kind: FrameKind,
    first: Position,
    watermark: Position,
    previous: Digest,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let header = FrameHeader {
        kind,
        payload_bytes: u32::try_from(payload.len()).ok()?,
        count: 0,
        first,
        watermark,
        previous,
        payload_crc: crc32c::crc32c(payload),
    };
    Some([&header.encode()[..], payload].concat())
}

/// The entries of a commit's payload, one length-prefixed record after the other.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    rest: Fields<'a>,
    left: u32,
    position: Position,
}

impl<'a> Records<'a> {
    /// Of a commit's payload.
    pub(crate) fn new(header: &FrameHeader, payload: &'a [u8]) -> Self {
        Self { rest: Fields(payload), left: header.count, position: header.first }
    }

    /// Skips the records before a position without decoding them.
    pub(crate) fn skip_to(&mut self, position: Position) -> Result<(), &'static str> {
        while self.left > 0 && self.position < position {
            self.record()?;
        }
        Ok(())
    }

    /// The next record's position and bytes; absent after the last, which must end the payload.
    pub(crate) fn record(&mut self) -> Result<Option<(Position, &'a [u8])>, &'static str> {
        if self.left == 0 {
            return if self.rest.0.is_empty() { Ok(None) } else { Err("bytes follow the last entry of the frame") };
        }
        let length = self.rest.u32().ok_or("the frame ends within the length of an entry")?;
        let record = self.rest.take(length as usize).ok_or("an entry is longer than its frame")?;
        let position = self.position;
        self.left -= 1;
        self.position = position.next();
        Ok(Some((position, record)))
    }

    /// The next entry, decoded; it must be at the position that the frame gives it.
    pub(crate) fn entry(&mut self) -> Result<Option<Entry>, String> {
        let Some((position, record)) = self.record()? else { return Ok(None) };
        let entry =
            codec::decode_entry(record).map_err(|error| format!("entry {position} cannot be decoded: {error}"))?;
        if entry.position != position {
            return Err(format!("entry {position} says that it is entry {}", entry.position));
        }
        Ok(Some(entry))
    }
}

/// The frames of one batch, encoded in one buffer that goes to the disk with one write.
#[derive(Debug, Default)]
pub(crate) struct FrameBatch {
    bytes: Vec<u8>,
    frames: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    start: usize,
    first: Position,
    count: u32,
}

/// A frame within the batch, complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// Offset within the batch.
    pub(crate) start: usize,
    /// Position of its first entry.
    pub(crate) first: Position,
}

/// An entry that does not fit into a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TooLarge {
    pub(crate) bytes: usize,
}

impl FrameBatch {
    /// Empties it, keeping its memory.
    pub(crate) fn clear(&mut self) {
        // One huge batch must not hold its memory for ever.
        if self.bytes.capacity() > 4 * COMMIT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.frames.clear();
    }

    /// Adds an entry, in a further frame if the present one is full.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), TooLarge> {
        if self.frames.is_empty() {
            self.begin(entry.position);
        }
        let at = self.record(entry)?;
        let start = self.frames.last().map_or(0, |frame| frame.start);
        if self.bytes.len() - start - HEADER_BYTES > COMMIT_BYTES_MAX {
            // Rare: the entry moves behind the header of a frame of its own.
            self.bytes.truncate(at);
            self.begin(entry.position);
            self.record(entry)?;
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
        }
        Ok(())
    }

    fn begin(&mut self, first: Position) {
        self.frames.push(Pending { start: self.bytes.len(), first, count: 0 });
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
    }

    fn record(&mut self, entry: &Entry) -> Result<usize, TooLarge> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        codec::encode_entry(entry, &mut self.bytes);
        let bytes = self.bytes.len() - at - LENGTH_BYTES;
        match u32::try_from(bytes) {
            Ok(length) if bytes <= ENTRY_BYTES_MAX => {
                self.bytes[at..at + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
                Ok(at)
            }
            _ => Err(TooLarge { bytes }),
        }
    }

    /// Bytes of all frames together.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fills in the headers, chained to the unit before, and returns the hash of the last frame.
    pub(crate) fn finish(&mut self, watermark: Position, mut previous: Digest) -> Digest {
        for index in 0..self.frames.len() {
            let start = self.frames[index].start;
            let end = self.frames.get(index + 1).map_or(self.bytes.len(), |next| next.start);
            let frame = &mut self.bytes[start..end];
            let (head, payload) = frame.split_at_mut(HEADER_BYTES);
            let header = FrameHeader {
                kind: FrameKind::Commit,
                // At most COMMIT_BYTES_MAX, as `push` saw to.
                payload_bytes: payload.len() as u32,
                count: self.frames[index].count,
                first: self.frames[index].first,
                watermark,
                previous,
                payload_crc: crc32c::crc32c(payload),
            };
            head.copy_from_slice(&header.encode());
            previous = hash(frame);
        }
        previous
    }

    /// The bytes to write.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each frame begins.
    pub(crate) fn placed(&self) -> impl Iterator<Item = Placed> + '_ {
        self.frames.iter().map(|frame| Placed { start: frame.start, first: frame.first })
    }
}
