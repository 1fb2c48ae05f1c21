//! What a full segment ends in: a table of its contents, and a trailer by which the table is found from the file's end.

use std::collections::HashMap;

use tachograph_engine::domain::{Digest, Entry, EntryBody, Position, RunId, Timestamp, Version};
use tachograph_engine::ports::RunHead;

use super::fields::Fields;
use super::frame::{self, FrameHeader, FrameKind};
use super::{disk::DiskFile, read_up_to};

/// Bytes of a trailer.
pub(crate) const TRAILER_BYTES: usize = 24;
/// Bytes between two rows of the sparse table, at least.
pub(crate) const SPARSE_BYTES: u64 = 64 << 10;
const TRAILER_MAGIC: &[u8; 8] = b"TACHOEND";
const RUN_ROW_BYTES: usize = 32;
const SPARSE_ROW_BYTES: usize = 16;
const FIXED_BYTES: usize = 48;

/// The contents of a segment, gathered while its entries pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    times: Option<(Timestamp, Timestamp)>,
    runs: HashMap<RunId, RunHead, foldhash::fast::RandomState>,
    sparse: Vec<(Position, u64)>,
}

impl Contents {
    /// Notes where a frame begins.
    pub(crate) fn frame(&mut self, first: Position, offset: u64) {
        note_frame(&mut self.sparse, first, offset);
    }

    /// Notes an entry. `before` is its run's end before it, asked for only if this segment does not know it.
    pub(crate) fn entry<E>(
        &mut self,
        entry: &Entry,
        before: impl FnOnce(RunId) -> Result<Option<RunHead>, E>,
    ) -> Result<(), E> {
        let time = entry.recorded_at;
        self.times = Some(self.times.map_or((time, time), |(min, max)| (min.min(time), max.max(time))));
        match &entry.body {
            EntryBody::Committed(committed) => {
                let head = RunHead { version: committed.version, last: entry.position };
                self.runs.insert(committed.command.run, head);
            }
            // Only an entry with a back pointer belongs to a run's history.
            EntryBody::Refused(refused) if entry.previous.is_some() => {
                let run = refused.command.run();
                let known = match self.runs.get(&run) {
                    Some(head) => Some(*head),
                    None => before(run)?,
                };
                let version = known.map_or(Version::ZERO, |head| head.version);
                self.runs.insert(run, RunHead { version, last: entry.position });
            }
            EntryBody::Refused(_) | EntryBody::System(_) => {}
        }
        Ok(())
    }

    /// The end of a run within this segment.
    pub(crate) fn run(&self, run: RunId) -> Option<RunHead> {
        self.runs.get(&run).copied()
    }

    /// The payload of a footer. `first` is the segment's first position, `next` the one after its last.
    pub(crate) fn encode(&self, first: Position, next: Position) -> Vec<u8> {
        let mut runs: Vec<(RunId, RunHead)> = self.runs.iter().map(|(run, head)| (*run, *head)).collect();
        runs.sort_unstable_by_key(|(run, _)| *run);
        let (min, max) = self.times.unwrap_or_default();
        let rows = runs.len() * RUN_ROW_BYTES + self.sparse.len() * SPARSE_ROW_BYTES;
        let mut bytes = Vec::with_capacity(FIXED_BYTES + rows);
        bytes.extend_from_slice(&min.as_micros().to_le_bytes());
        bytes.extend_from_slice(&max.as_micros().to_le_bytes());
        bytes.extend_from_slice(&first.0.to_le_bytes());
        bytes.extend_from_slice(&next.0.saturating_sub(1).to_le_bytes());
        bytes.extend_from_slice(&next.0.saturating_sub(first.0).to_le_bytes());
        // A segment has fewer rows than bytes; `frame::assemble` refuses a payload beyond 4 GiB.
        bytes.extend_from_slice(&(runs.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.sparse.len() as u32).to_le_bytes());
        for (run, head) in &runs {
            bytes.extend_from_slice(&run.to_u128().to_be_bytes());
            bytes.extend_from_slice(&head.last.0.to_le_bytes());
            bytes.extend_from_slice(&head.version.0.to_le_bytes());
        }
        for (position, offset) in &self.sparse {
            bytes.extend_from_slice(&position.0.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes
    }
}

/// Adds a frame to a sparse table, unless the row before is near enough.
pub(crate) fn note_frame(sparse: &mut Vec<(Position, u64)>, first: Position, offset: u64) {
    if sparse.last().is_none_or(|(_, before)| offset - before >= SPARSE_BYTES) {
        sparse.push((first, offset));
    }
}

/// The offset in a sparse table from which a position is to be looked for.
pub(crate) fn sparse_offset(sparse: &[(Position, u64)], position: Position) -> Option<u64> {
    let after = sparse.partition_point(|(first, _)| *first <= position);
    sparse.get(after.checked_sub(1)?).map(|(_, offset)| *offset)
}

/// A footer as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Earliest and latest `recorded_at`.
    pub(crate) times: (Timestamp, Timestamp),
    /// First position.
    pub(crate) first: Position,
    /// Last position.
    pub(crate) last: Position,
    /// Positions with the offsets of their frames.
    pub(crate) sparse: Vec<(Position, u64)>,
    /// Where the footer's frame begins.
    pub(crate) offset: u64,
    /// Hash of the commit before it.
    pub(crate) previous: Digest,
    rows: Vec<u8>,
}

impl Footer {
    /// Reads the payload of a footer's frame.
    pub(crate) fn decode(payload: &[u8], offset: u64, previous: Digest) -> Option<Self> {
        let mut fields = Fields(payload);
        let times = (Timestamp::from_micros(fields.i64()?), Timestamp::from_micros(fields.i64()?));
        let (first, last, count) = (fields.position()?, fields.position()?, fields.u64()?);
        let (runs, places) = (fields.u32()? as usize, fields.u32()? as usize);
        let rows = fields.take(runs.checked_mul(RUN_ROW_BYTES)?)?.to_vec();
        let mut table = Fields(fields.take(places.checked_mul(SPARSE_ROW_BYTES)?)?);
        let mut sparse = Vec::with_capacity(places);
        for _ in 0..places {
            sparse.push((table.position()?, table.u64()?));
        }
        let sound = fields.0.is_empty() && last.0.checked_sub(first.0)?.checked_add(1)? == count;
        sound.then_some(Self { times, first, last, sparse, offset, previous, rows })
    }

    /// The end of a run within this segment.
    pub(crate) fn run(&self, run: RunId) -> Option<RunHead> {
        let (rows, _) = self.rows.as_chunks::<RUN_ROW_BYTES>();
        let found = rows.binary_search_by_key(&Some(run), |row| Fields(row).id().map(RunId::from_u128)).ok()?;
        let mut fields = Fields(rows.get(found)?.get(16..)?);
        let last = fields.position()?;
        Some(RunHead { version: Version(fields.u64()?), last })
    }

    /// The runs that entries of this segment are about, by id.
    pub(crate) fn runs(&self) -> impl Iterator<Item = RunId> {
        let (rows, _) = self.rows.as_chunks::<RUN_ROW_BYTES>();
        rows.iter().filter_map(|row| Fields(row).id().map(RunId::from_u128))
    }

    /// Gives up the table of runs, for those who keep only places and times.
    pub(crate) fn without_runs(mut self) -> Self {
        self.rows = Vec::new();
        self
    }

    /// Reads the footer of an open segment from the file's end; absent if the segment does not end in one.
    pub(crate) fn read(file: &dyn DiskFile) -> std::io::Result<Option<Self>> {
        let length = file.length()?;
        let mut trailer = [0; TRAILER_BYTES];
        let Some(at) = length.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        read_up_to(file, &mut trailer, at)?;
        let Some(offset) = decode_trailer(&trailer).filter(|offset| *offset < at) else { return Ok(None) };
        // As much as the file has, whatever the trailer says.
        let Ok(bytes) = usize::try_from(at - offset) else { return Ok(None) };
        let mut frame = vec![0; bytes];
        if read_up_to(file, &mut frame, offset)? != bytes {
            return Ok(None);
        }
        Ok(Self::from_frame(&frame, offset))
    }

    fn from_frame(frame: &[u8], offset: u64) -> Option<Self> {
        let (head, payload) = frame.split_first_chunk::<{ frame::HEADER_BYTES }>()?;
        let header = FrameHeader::decode(head)?;
        let sound = header.kind == FrameKind::Footer
            && header.payload_bytes as usize == payload.len()
            && header.payload_crc == crc32c::crc32c(payload);
        sound.then(|| Self::decode(payload, offset, header.previous)).flatten()
    }
}

/// The last bytes of a sealed segment whose footer's frame begins at an offset.
pub(crate) fn encode_trailer(footer_offset: u64) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..8].copy_from_slice(&footer_offset.to_le_bytes());
    bytes[12..20].copy_from_slice(TRAILER_MAGIC);
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The footer's offset, if the bytes are a trailer as it was written.
pub(crate) fn decode_trailer(bytes: &[u8; TRAILER_BYTES]) -> Option<u64> {
    let (body, crc) = bytes.split_at(20);
    let sound = body.ends_with(TRAILER_MAGIC) && body[8..12] == [0; 4] && crc == crc32c::crc32c(body).to_le_bytes();
    sound.then(|| Fields(body).u64()).flatten()
}

/// Footer and trailer of a segment that is full, in one piece, and the hash of the footer's frame.
pub(crate) fn seal(
    contents: &Contents,
    segment_first: Position,
    next: Position,
    watermark: Position,
    previous: Digest,
    offset: u64,
) -> Option<(Vec<u8>, Digest)> {
    let payload = contents.encode(segment_first, next);
    let mut bytes = frame::assemble(FrameKind::Footer, next, watermark, previous, &payload)?;
    let digest = frame::hash(&bytes);
    bytes.extend_from_slice(&encode_trailer(offset));
    Some((bytes, digest))
}
