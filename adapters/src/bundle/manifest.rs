//! What a bundle says about itself: its scope, what its chain is, the hashes of its blocks, and an index.

use tachograph_engine::domain::{Digest, Position, RunId, Timestamp};
use tachograph_engine::ports::Head;

use crate::journal::fields::Fields;

const MAGIC: &[u8; 8] = b"TACHOMAN";
const BLOCK_ROW_BYTES: usize = 48;

/// Which entries of the journal a bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All from the journal's first byte up to a position.
    Whole,
    /// Whole commits between two positions.
    Range,
    /// The entries about one run, and the facts about the journal between them.
    Run(RunId),
}

impl Scope {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Range => "range",
            Self::Run(_) => "run",
        }
    }
}

/// Whose hashes link the frames of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// The journal's: the frames are its own, byte by byte.
    Journal,
    /// The bundle's own: it was made when the bundle was.
    Own,
}

impl Chain {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Own => "own",
        }
    }
}

/// How blocks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// By zstd, each for itself.
    Zstd,
}

/// Values of one kind that were replaced by commitments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedPath {
    /// Which values, for example `label.secret`.
    pub path: String,
    /// How many times one was replaced.
    pub values: u64,
}

/// One block of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRow {
    /// Bytes in the file; as many as of the stream if it is kept as it is.
    pub(super) stored: u32,
    /// Bytes of the stream.
    pub(super) raw: u32,
    /// First position of the unit that the block begins in.
    pub(super) first: Position,
    /// Hash of the bytes in the file.
    pub(super) hash: Digest,
}

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Which entries it holds.
    pub scope: Scope,
    /// Whose chain links them.
    pub chain: Chain,
    /// How its blocks are kept.
    pub compression: Compression,
    /// Position of the first entry in it; zero if it has none.
    pub first: Position,
    /// The last entry in it, and the hash of the last commit.
    pub tip: Head,
    /// Entries in it.
    pub entries: u64,
    /// Hash of the unit before the first one in it, of which it holds nothing; zero if there is none.
    pub previous: Digest,
    /// The journal's head when it was made. In a redacted bundle the hash is a salted commitment of it, or zero.
    pub journal_head: Head,
    /// When it was made.
    pub exported_at: Timestamp,
    /// What made it.
    pub producer: String,
    /// What was redacted.
    pub redacted: Vec<RedactedPath>,
    /// Bytes of the stream.
    pub(super) stream_bytes: u64,
    pub(super) blocks: Vec<BlockRow>,
    /// The payload of a footer, with offsets in the stream; empty without entries.
    pub(super) index: Vec<u8>,
}

impl Manifest {
    /// Whether values were replaced in it.
    pub fn is_redacted(&self) -> bool {
        !self.redacted.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let (scope, run) = match self.scope {
            Scope::Whole => (1, 0),
            Scope::Range => (2, 0),
            Scope::Run(run) => (3, run.to_u128()),
        };
        let chain = match self.chain {
            Chain::Journal => 1,
            Chain::Own => 2,
        };
        let compression = match self.compression {
            Compression::None => 0,
            Compression::Zstd => 1,
        };
        bytes.extend_from_slice(&[scope, chain, compression, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&u128::to_be_bytes(run));
        for number in [self.first.0, self.tip.position.0, self.entries, self.journal_head.position.0, self.stream_bytes]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.exported_at.as_micros().to_le_bytes());
        for digest in [self.previous, self.tip.digest, self.journal_head.digest] {
            bytes.extend_from_slice(&digest.0);
        }
        text(&mut bytes, &self.producer);
        count(&mut bytes, self.redacted.len());
        for redacted in &self.redacted {
            text(&mut bytes, &redacted.path);
            bytes.extend_from_slice(&redacted.values.to_le_bytes());
        }
        count(&mut bytes, self.blocks.len());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.stored.to_le_bytes());
            bytes.extend_from_slice(&block.raw.to_le_bytes());
            bytes.extend_from_slice(&block.first.0.to_le_bytes());
            bytes.extend_from_slice(&block.hash.0);
        }
        bytes.extend_from_slice(&self.index);
        bytes
    }

    /// Reads a manifest; absent if the bytes are none. Takes no more memory than the bytes have.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let (scope, chain, compression, reserved) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.take(5)?);
        let run = fields.id()?;
        let scope = match (scope, run) {
            (1, 0) => Scope::Whole,
            (2, 0) => Scope::Range,
            (3, run) => Scope::Run(RunId::from_u128(run)),
            _ => return None,
        };
        let chain = match chain {
            1 => Chain::Journal,
            2 => Chain::Own,
            _ => return None,
        };
        let compression = match compression {
            0 => Compression::None,
            1 => Compression::Zstd,
            _ => return None,
        };
        let (first, last, entries) = (fields.position()?, fields.position()?, fields.u64()?);
        let (head, stream_bytes) = (fields.position()?, fields.u64()?);
        let exported_at = Timestamp::from_micros(fields.i64()?);
        let (previous, tip, digest) = (fields.digest()?, fields.digest()?, fields.digest()?);
        let producer = read_text(&mut fields)?;
        let mut redacted = Vec::new();
        for _ in 0..fields.u32()? {
            redacted.push(RedactedPath { path: read_text(&mut fields)?, values: fields.u64()? });
        }
        let blocks = read_blocks(&mut fields)?;
        (reserved == [0; 5]).then(|| Self {
            scope,
            chain,
            compression,
            first,
            tip: Head { position: last, digest: tip },
            entries,
            previous,
            journal_head: Head { position: head, digest },
            exported_at,
            producer,
            redacted,
            stream_bytes,
            blocks,
            index: fields.0.to_vec(),
        })
    }
}

fn read_blocks(fields: &mut Fields<'_>) -> Option<Vec<BlockRow>> {
    let rows = fields.u32()? as usize;
    let mut table = Fields(fields.take(rows.checked_mul(BLOCK_ROW_BYTES)?)?);
    let mut blocks = Vec::with_capacity(rows);
    for _ in 0..rows {
        blocks.push(BlockRow {
            stored: table.u32()?,
            raw: table.u32()?,
            first: table.position()?,
            hash: table.digest()?,
        });
    }
    Some(blocks)
}

fn count(bytes: &mut Vec<u8>, count: usize) {
    // Neither blocks of 256 KiB nor names of fields come to 4 billion.
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn read_text(fields: &mut Fields<'_>) -> Option<String> {
    let length = fields.u32()? as usize;
    String::from_utf8(fields.take(length)?.to_vec()).ok()
}
