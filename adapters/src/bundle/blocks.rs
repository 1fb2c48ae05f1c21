//! The stream of a bundle, cut into blocks: each hashed, and compressed if that makes it smaller.

use std::io::{self, Write};

use tachograph_engine::domain::{Digest, Position};
use zstd::bulk::Compressor;

use super::manifest::{BlockRow, Compression};

/// Bytes of the stream in a block: what one entry costs to be looked up, and what damage to one byte takes with it.
pub(super) const BLOCK_BYTES: u32 = 256 << 10;
/// Higher levels gain a few percent and cost several times as much.
const LEVEL: i32 = 3;

/// Cuts a stream into blocks, and writes them one after the other.
pub(super) struct BlockWriter<W> {
    out: W,
    block: Vec<u8>,
    /// First position of the unit that the block begins in.
    first: Position,
    rows: Vec<BlockRow>,
    compressor: Option<Compressor<'static>>,
    stream_bytes: u64,
    stored_bytes: u64,
}

/// All blocks, when they are written.
pub(super) struct Blocks<W> {
    pub(super) out: W,
    pub(super) rows: Vec<BlockRow>,
    pub(super) stream_bytes: u64,
    /// Bytes in the file.
    pub(super) stored_bytes: u64,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn new(out: W, compression: Compression) -> io::Result<Self> {
        let compressor = match compression {
            Compression::None => None,
            Compression::Zstd => Some(Compressor::new(LEVEL)?),
        };
        let block = Vec::with_capacity(BLOCK_BYTES as usize);
        let first = Position::ZERO;
        Ok(Self { out, block, first, rows: Vec::new(), compressor, stream_bytes: 0, stored_bytes: 0 })
    }

    /// Length of the stream so far.
    pub(super) fn stream_bytes(&self) -> u64 {
        self.stream_bytes
    }

    /// Appends a unit to the stream.
    pub(super) fn push(&mut self, unit: &[u8], first: Position) -> io::Result<()> {
        let mut rest = unit;
        while !rest.is_empty() {
            if self.block.is_empty() {
                self.first = first;
            }
            let room = BLOCK_BYTES as usize - self.block.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.block.extend_from_slice(now);
            rest = later;
            if self.block.len() == BLOCK_BYTES as usize {
                self.flush()?;
            }
        }
        self.stream_bytes += unit.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let smaller = match &mut self.compressor {
            None => None,
            Some(compressor) => Some(compressor.compress(&self.block)?).filter(|small| small.len() < self.block.len()),
        };
        let stored = smaller.as_deref().unwrap_or(&self.block);
        self.out.write_all(stored)?;
        self.stored_bytes += stored.len() as u64;
        // Both are at most `BLOCK_BYTES`.
        let (stored_len, raw) = (stored.len() as u32, self.block.len() as u32);
        let hash = Digest(*blake3::hash(stored).as_bytes());
        self.rows.push(BlockRow { stored: stored_len, raw, first: self.first, hash });
        self.block.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<Blocks<W>> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        let Self { out, rows, stream_bytes, stored_bytes, .. } = self;
        Ok(Blocks { out, rows, stream_bytes, stored_bytes })
    }
}
