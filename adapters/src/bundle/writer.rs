//! Writing a bundle: units in, a file out.

use std::convert::Infallible;
use std::io::Write;
use std::path::Path;

use tachograph_engine::domain::{Digest, Entry, Position};
use tachograph_engine::ports::Head;
use ulid::Ulid;

use super::blocks::{BLOCK_BYTES, BlockWriter};
use super::error::BundleError;
use super::header::Header;
use super::manifest::{Compression, Manifest};
use super::seal::{self, SealKey};
use super::target::Target;
use super::trailer::Trailer;
use super::{export::Exported, header};
use crate::journal::footer::Contents;

/// A bundle in the making. Dropped, it leaves nothing.
pub(super) struct BundleWriter {
    header: Header,
    blocks: BlockWriter<Target>,
    contents: Contents,
    first: Position,
    tip: Head,
    entries: u64,
}

impl BundleWriter {
    pub(super) fn create(
        out: &Path,
        replaces: bool,
        journal: Ulid,
        compression: Compression,
    ) -> Result<Self, BundleError> {
        let mut target = Target::create(out, replaces)?;
        let header = Header { journal, block_bytes: BLOCK_BYTES };
        let begun = target.write_all(&header.encode()).map_err(|error| target.error(error));
        begun?;
        let blocks = BlockWriter::new(target, compression)
            .map_err(|error| tachograph_engine::ports::JournalError::io("compress", out, error))?;
        let tip = Head { position: Position::ZERO, digest: Digest::ZERO };
        Ok(Self { header, blocks, contents: Contents::default(), first: Position::ZERO, tip, entries: 0 })
    }

    /// Entries so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Adds a unit without entries.
    pub(super) fn unit(&mut self, bytes: &[u8], out: &Path) -> Result<(), BundleError> {
        let first = self.tip.position.next();
        self.push(bytes, first, out)
    }

    /// Adds a commit of these entries, whose hash this is.
    pub(super) fn commit(
        &mut self,
        bytes: &[u8],
        hash: Digest,
        entries: &[Entry],
        out: &Path,
    ) -> Result<(), BundleError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        if self.entries == 0 {
            self.first = first.position;
        }
        self.contents.frame(first.position, self.blocks.stream_bytes());
        for entry in entries {
            let Ok(()) = self.contents.entry(entry, |_| Ok::<_, Infallible>(None));
        }
        self.push(bytes, first.position, out)?;
        self.entries += entries.len() as u64;
        self.tip = Head { position: last.position, digest: hash };
        Ok(())
    }

    fn push(&mut self, bytes: &[u8], first: Position, out: &Path) -> Result<(), BundleError> {
        let pushed = self.blocks.push(bytes, first);
        pushed.map_err(|error| tachograph_engine::ports::JournalError::io("write", out, error).into())
    }

    /// Writes manifest, seal and trailer, makes the file durable and gives it its name. What `manifest` says about
    /// contents is filled in.
    pub(super) fn finish(self, manifest: Manifest, key: Option<&SealKey>, out: &Path) -> Result<Exported, BundleError> {
        let Self { header, blocks, contents, first, tip, entries } = self;
        let failed = |error| tachograph_engine::ports::JournalError::io("write", out, error);
        let blocks = blocks.finish().map_err(failed)?;
        let mut target = blocks.out;
        let index = if entries == 0 { Vec::new() } else { contents.encode(first, tip.position.next()) };
        let stream_bytes = blocks.stream_bytes;
        let manifest = Manifest { first, tip, entries, stream_bytes, blocks: blocks.rows, index, ..manifest };
        let encoded = manifest.encode();
        let root = seal::root(&header.encode(), &encoded);
        let seal = key.map(|key| key.seal(root).encode()).map(Vec::from).unwrap_or_default();
        let trailer = Trailer {
            manifest_at: header::BYTES as u64 + blocks.stored_bytes,
            manifest_bytes: encoded.len() as u64,
            root,
            // None or one seal.
            seal_bytes: seal.len() as u32,
        };
        for part in [&encoded[..], &seal, &trailer.encode()] {
            target.write_all(part).map_err(failed)?;
        }
        target.publish()?;
        let bytes = trailer.manifest_at + (encoded.len() + seal.len() + super::trailer::BYTES) as u64;
        let manifest = Manifest { blocks: Vec::new(), index: Vec::new(), ..manifest };
        Ok(Exported { journal: header.journal, manifest, root, sealed_by: key.map(SealKey::public_key), bytes })
    }
}
