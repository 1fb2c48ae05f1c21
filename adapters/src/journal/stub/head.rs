//! The beginning of a stub: where the archive ends, which bundles hold it, and where the tables are.

use std::io;

use tachograph_engine::domain::{Digest, Position, Timestamp};
use tachograph_engine::ports::Head;

use super::super::disk::DiskFile;
use super::super::fields::Fields;
use super::super::read_up_to;
use super::super::segment::{self, SegmentHeader};
use super::{NAME_ROW_BYTES, RUN_ROW_BYTES, STUB_VERSION};

/// Bytes between the header and the table of bundles.
const FIXED_BYTES: usize = 88;
/// More bundles than anybody archives, and few enough to be held in memory.
const BUNDLES_BYTES_MAX: u64 = 64 << 20;

/// A bundle with archived entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedIn {
    /// The first position in it.
    pub first: Position,
    /// The last one.
    pub last: Position,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The bundle's root, by which it is known wherever it is.
    pub root: Digest,
    /// The journal's digest at the last position.
    pub digest: Digest,
    /// Hash of the last unit of the last segment: the header of the next one names it.
    pub(crate) link: Digest,
    /// Number of the last segment.
    pub(crate) ordinal: u64,
    /// The file, as it was named then: relative to the data directory, or absolute.
    pub bundle: String,
}

/// Everything in a stub but its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StubHead {
    /// Number of the last archived segment, and the hash of its last unit as the previous one.
    pub(crate) header: SegmentHeader,
    /// The last archived position, and the journal's digest there.
    pub(crate) end: Head,
    /// When that entry was recorded.
    pub(crate) recorded_at: Timestamp,
    pub(crate) bundles: Vec<ArchivedIn>,
    pub(super) runs: u64,
    pub(super) names: u64,
    pub(super) blocks_at: u64,
    pub(super) runs_at: u64,
    pub(super) names_at: u64,
}

impl StubHead {
    /// The head of a stub that stands for everything before a segment, and for what `before` stood for.
    ///
    /// `next` is that segment's header, `end` the journal's digest at the last archived position.
    pub(crate) fn up_to(
        next: &SegmentHeader,
        end: Head,
        recorded_at: Timestamp,
        before: &[ArchivedIn],
        archived: (String, Digest, Timestamp),
    ) -> Self {
        let (bundle, root, archived_at) = archived;
        let first = before.last().map_or(Position::ZERO, |last| last.last).next();
        let (ordinal, link) = (next.ordinal.saturating_sub(1), next.previous);
        let mut bundles = before.to_vec();
        let (last, digest) = (end.position, end.digest);
        bundles.push(ArchivedIn { first, last, archived_at, root, digest, link, ordinal, bundle });
        let header = SegmentHeader { journal: next.journal, ordinal, first: Position::ZERO.next(), previous: link };
        Self { header, end, recorded_at, bundles, runs: 0, names: 0, blocks_at: 0, runs_at: 0, names_at: 0 }
    }

    /// The head for a stub with so many bytes and rows behind it.
    pub(super) fn place(&mut self, blocks_bytes: u64, runs: u64, names: u64) {
        let rows: u64 = self.bundles.iter().map(|bundle| row_bytes(bundle) as u64).sum();
        self.blocks_at = (segment::HEADER_BYTES + FIXED_BYTES) as u64 + rows;
        self.runs_at = self.blocks_at + blocks_bytes;
        self.names_at = self.runs_at + runs * RUN_ROW_BYTES;
        (self.runs, self.names) = (runs, names);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.encode_as(STUB_VERSION).to_vec();
        bytes.extend(self.end.position.0.to_le_bytes());
        bytes.extend(self.end.digest.0);
        bytes.extend(self.recorded_at.as_micros().to_le_bytes());
        bytes.extend(self.runs.to_le_bytes());
        bytes.extend(self.names.to_le_bytes());
        bytes.extend(self.runs_at.to_le_bytes());
        bytes.extend(self.names_at.to_le_bytes());
        // At most as many as were ever archived, one by one.
        bytes.extend((self.bundles.len() as u64).to_le_bytes());
        for bundle in &self.bundles {
            bytes.extend(bundle.first.0.to_le_bytes());
            bytes.extend(bundle.last.0.to_le_bytes());
            bytes.extend(bundle.archived_at.as_micros().to_le_bytes());
            bytes.extend(bundle.root.0);
            bytes.extend(bundle.digest.0);
            bytes.extend(bundle.link.0);
            bytes.extend(bundle.ordinal.to_le_bytes());
            bytes.extend((bundle.bundle.len() as u64).to_le_bytes());
            bytes.extend(bundle.bundle.as_bytes());
        }
        bytes
    }

    /// Reads the head of a file that ends there; absent if it cannot be one.
    pub(super) fn read(file: &dyn DiskFile, end: u64) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; segment::HEADER_BYTES + FIXED_BYTES];
        let read = read_up_to(file, &mut bytes, 0)?;
        let Some(mut head) = Self::decode_fixed(&bytes[..read]) else { return Ok(None) };
        let at = bytes.len() as u64;
        let count = head.0;
        // The bundles lie between here and the first block; where that is follows from their rows.
        let limit = head.1.runs_at.min(end).saturating_sub(at).min(BUNDLES_BYTES_MAX);
        let mut rows = vec![0; usize::try_from(limit).unwrap_or_default()];
        let read = read_up_to(file, &mut rows, at)?;
        let mut fields = Fields(&rows[..read]);
        for _ in 0..count {
            let Some(bundle) = decode_row(&mut fields) else { return Ok(None) };
            head.1.bundles.push(bundle);
        }
        let (_, mut head) = head;
        head.blocks_at = at + (read - fields.0.len()) as u64;
        let names_bytes = head.names.checked_mul(NAME_ROW_BYTES);
        let runs_bytes = head.runs.checked_mul(RUN_ROW_BYTES);
        let fits = runs_bytes.and_then(|bytes| head.runs_at.checked_add(bytes)) == Some(head.names_at)
            && names_bytes.and_then(|bytes| head.names_at.checked_add(bytes)) == Some(end)
            && head.blocks_at <= head.runs_at;
        Ok(fits.then_some(head))
    }

    fn decode_fixed(bytes: &[u8]) -> Option<(u64, Self)> {
        let header = SegmentHeader::decode_as(bytes, STUB_VERSION).ok()?;
        let mut fields = Fields(bytes.get(segment::HEADER_BYTES..)?);
        let end = Head { position: fields.position()?, digest: fields.digest()? };
        let recorded_at = Timestamp::from_micros(fields.i64()?);
        let (runs, names) = (fields.u64()?, fields.u64()?);
        let (runs_at, names_at) = (fields.u64()?, fields.u64()?);
        let count = fields.u64()?;
        let bundles = Vec::new();
        Some((count, Self { header, end, recorded_at, bundles, runs, names, blocks_at: 0, runs_at, names_at }))
    }

    /// Whether the bundles follow each other from the first position to the last, and the last one ends where the stub does.
    pub(super) fn is_consistent(&self) -> bool {
        let mut next = Position::ZERO.next();
        let mut ordinal = 0;
        for bundle in &self.bundles {
            if bundle.first != next || bundle.last < bundle.first || bundle.ordinal <= ordinal {
                return false;
            }
            (next, ordinal) = (bundle.last.next(), bundle.ordinal);
        }
        self.bundles.last().is_some_and(|last| {
            last.last == self.end.position
                && last.digest == self.end.digest
                && last.link == self.header.previous
                && last.ordinal == self.header.ordinal
                && self.header.first == Position::ZERO.next()
        })
    }
}

fn row_bytes(bundle: &ArchivedIn) -> usize {
    136 + bundle.bundle.len()
}

fn decode_row(fields: &mut Fields<'_>) -> Option<ArchivedIn> {
    let (first, last) = (fields.position()?, fields.position()?);
    let archived_at = Timestamp::from_micros(fields.i64()?);
    let (root, digest, link) = (fields.digest()?, fields.digest()?, fields.digest()?);
    let ordinal = fields.u64()?;
    let length = usize::try_from(fields.u64()?).ok()?;
    let bundle = std::str::from_utf8(fields.take(length)?).ok()?.to_owned();
    Some(ArchivedIn { first, last, archived_at, root, digest, link, ordinal, bundle })
}
