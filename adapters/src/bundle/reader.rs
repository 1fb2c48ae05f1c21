//! A bundle as a journal that is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_engine::domain::{CommandId, Digest, Entry, Position, RunId};
use tachograph_engine::ports::{Head, JournalError, JournalReader, RunHead};
use ulid::Ulid;

use super::claims;
use super::header::{self, Header};
use super::manifest::{Compression, Manifest};
use super::seal::{self, PublicKey, Seal};
use super::stream::BlockStream;
use super::trailer::{self, Trailer};
use super::units::{Unit, Units};
use crate::journal::footer::{Footer, sparse_offset};
use crate::journal::holder::LastHolder;

/// The greatest manifest that is read: blocks of some hundred gigabytes, or some ten million runs.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// Reads the entries of a bundle. Opening checks all but the blocks; each block is checked when it is read, so that no
/// entry is ever handed out that is not as it was written.
///
/// What is asked about one run is found through the index. `answered` and `named` go through all entries.
#[derive(Debug)]
pub struct BundleReader {
    journal: Ulid,
    manifest: Manifest,
    root: Digest,
    sealed_by: Option<PublicKey>,
    index: Option<Footer>,
    stream: Arc<BlockStream>,
    bytes: u64,
}

/// The parts of a bundle beside its blocks, as they are in the file.
struct Parts {
    file: File,
    path: PathBuf,
    length: u64,
}

impl BundleReader {
    /// Opens a bundle for reading; changes nothing and takes no lock.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoJournal`] if the file is no bundle, [`JournalError::Damaged`] if its header, manifest, seal or
    /// trailer is not as it was written, [`JournalError::NewerFormat`], or [`JournalError::Io`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        // Opening a pipe would wait for whoever writes into it, and what comes out of one can be read only once.
        let kind = std::fs::metadata(path).map_err(|error| JournalError::io("open", path, error))?;
        if !kind.is_file() {
            let why = "a bundle is read in parts, from a file: write it to one first".to_owned();
            return Err(JournalError::NoJournal { path: path.to_owned(), why });
        }
        let file = File::open(path).map_err(|error| JournalError::io("open", path, error))?;
        let length = file.metadata().map_err(|error| JournalError::io("read", path, error))?.len();
        Parts { file, path: path.to_owned(), length }.read()
    }

    /// Identity of the journal that it was made from.
    pub fn journal(&self) -> Ulid {
        self.journal
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash that stands for every byte of it but the seal.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// Whose key sealed it, if one did. The signature was checked.
    pub fn sealed_by(&self) -> Option<PublicKey> {
        self.sealed_by
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.stream.path()
    }

    pub(super) fn stream(&self) -> Arc<BlockStream> {
        self.stream.clone()
    }

    pub(super) fn units(&self) -> Units {
        Units::new(self.stream.clone(), 0, self.manifest.stream_bytes)
    }

    /// The units from the last frame on of which the index knows that it begins at or before a position.
    fn units_from(&self, position: Position) -> Units {
        let offset = self.index.as_ref().and_then(|index| sparse_offset(&index.sparse, position));
        Units::new(self.stream.clone(), offset.unwrap_or(0), self.manifest.stream_bytes)
    }

    fn read_now(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let mut found = Vec::new();
        if after >= self.manifest.tip.position {
            return Ok(found);
        }
        let mut units = self.units_from(after.next());
        while found.len() < limit {
            match units.advance()? {
                Some(Unit::Commit(header)) if header.next() > after.next() => {
                    found.extend(units.entries(&header)?.into_iter().filter(|entry| entry.position > after));
                }
                Some(Unit::Commit(_) | Unit::Segment(_) | Unit::Footer(_)) => {}
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Hands over every entry, oldest first, until there is an answer.
    fn find_map<T>(&self, mut find: impl FnMut(&Entry) -> Option<T>) -> Result<Option<T>, JournalError> {
        let mut units = self.units();
        while let Some(unit) = units.advance()? {
            let Unit::Commit(header) = unit else { continue };
            if let Some(found) = units.entries(&header)?.iter().find_map(&mut find) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Parts {
    fn read(self) -> Result<BundleReader, JournalError> {
        let (header, trailer) = self.ends()?;
        let read_header = self.at::<{ header::BYTES }>(0)?;
        let manifest_bytes = usize::try_from(trailer.manifest_bytes).unwrap_or_default();
        let mut bytes = vec![0; manifest_bytes];
        self.fill(&mut bytes, trailer.manifest_at)?;
        let root = seal::root(&read_header, &bytes);
        if root != trailer.root {
            let why = "the manifest (what it is, the hashes of its blocks, the index) is not as it was written";
            return Err(self.damaged(trailer.manifest_at, why));
        }
        let malformed = || self.damaged(trailer.manifest_at, "the manifest contradicts itself");
        let mut manifest = Manifest::decode(&bytes).ok_or_else(malformed)?;
        drop(bytes);
        let index = Footer::decode(&manifest.index, 0, Digest::ZERO);
        let sound = is_coherent(&manifest, header.block_bytes, trailer.manifest_at)
            && (index.is_some() || (manifest.index.is_empty() && manifest.entries == 0));
        if !sound {
            return Err(malformed());
        }
        if let Some(why) = claims::contradiction(&manifest) {
            return Err(self.damaged(trailer.manifest_at, &format!("the manifest contradicts itself: {why}")));
        }
        let sealed_by = self.seal(&trailer)?;
        let (rows, length, last) = (std::mem::take(&mut manifest.blocks), manifest.stream_bytes, manifest.tip.position);
        let first_at = header::BYTES as u64;
        let Self { file, path, length: bytes } = self;
        let stream = Arc::new(BlockStream::new(file, path, header.block_bytes, length, last, rows, first_at));
        Ok(BundleReader { journal: header.journal, manifest, root, sealed_by, index, stream, bytes })
    }

    /// Header and trailer, and whether they fit the file.
    fn ends(&self) -> Result<(Header, Trailer), JournalError> {
        let ends = (header::BYTES + trailer::BYTES) as u64;
        let begins = self.length >= header::BYTES as u64 && self.at::<8>(0)? == *header::MAGIC;
        let trailer = match self.length.checked_sub(trailer::BYTES as u64).filter(|_| self.length >= ends) {
            Some(at) => Trailer::decode(&self.at(at)?),
            None => None,
        };
        if !begins && trailer.is_none() {
            let why = "it is a file, and no bundle".to_owned();
            return Err(JournalError::NoJournal { path: self.path.clone(), why });
        }
        if self.length < header::BYTES as u64 {
            return Err(self.damaged(0, "the file ends within the header of the bundle"));
        }
        let header = Header::decode(&self.at(0)?, &self.path)?;
        let end = self.length.saturating_sub(trailer::BYTES as u64);
        let trailer = trailer.ok_or_else(|| {
            self.damaged(end, "the file does not end in the trailer of a bundle: it was cut off, added to or altered")
        })?;
        let lengths = [trailer.manifest_at, trailer.manifest_bytes, trailer.seal_bytes.into()];
        let total = lengths.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length));
        if total != Some(end) || trailer.manifest_bytes > MANIFEST_BYTES_MAX {
            return Err(self.damaged(end, "the trailer does not fit the length of the file"));
        }
        Ok((header, trailer))
    }

    fn seal(&self, trailer: &Trailer) -> Result<Option<PublicKey>, JournalError> {
        if trailer.seal_bytes == 0 {
            return Ok(None);
        }
        let at = trailer.manifest_at + trailer.manifest_bytes;
        if trailer.seal_bytes as usize != seal::BYTES {
            return Err(self.damaged(at, "the seal has a length that no seal has"));
        }
        let seal = Seal::decode(&self.at(at)?);
        match seal.is_over(trailer.root) {
            true => Ok(Some(seal.public_key)),
            false => Err(self.damaged(at, "the seal is not a signature over this bundle")),
        }
    }

    fn at<const N: usize>(&self, offset: u64) -> Result<[u8; N], JournalError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8], offset: u64) -> Result<(), JournalError> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|error| JournalError::io("read", &self.path, error))
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        JournalError::Damaged { file: self.path.clone(), offset, why: why.to_owned() }
    }
}

/// Whether a manifest fits its file: what everything that reads blocks relies on.
fn is_coherent(manifest: &Manifest, block_bytes: u32, manifest_at: u64) -> bool {
    let rows = &manifest.blocks;
    let raw: u64 = rows.iter().map(|row| u64::from(row.raw)).sum();
    let stored: u64 = rows.iter().map(|row| u64::from(row.stored)).sum();
    let whole = rows.len().saturating_sub(1);
    let full = rows.iter().take(whole).all(|row| row.raw == block_bytes);
    let sizes = rows.iter().all(|row| 0 < row.stored && row.stored <= row.raw && row.raw <= block_bytes);
    let as_they_are = manifest.compression == Compression::Zstd || rows.iter().all(|row| row.stored == row.raw);
    // The writer's own blocks are a quarter of a megabyte; a reader takes any that it can hold.
    let bounded = block_bytes <= 16 << 20;
    bounded
        && full
        && sizes
        && as_they_are
        && raw == manifest.stream_bytes
        && header::BYTES as u64 + stored == manifest_at
        && manifest.first <= manifest.tip.position
}

#[async_trait]
impl JournalReader for BundleReader {
    fn head(&self) -> Head {
        self.manifest.tip
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.read_now(after, limit)
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let Some(before) = at.0.checked_sub(1) else { return Ok(None) };
        Ok(self.read_now(Position(before), 1)?.pop().filter(|entry| entry.position == at))
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        if position == Position::ZERO {
            return Ok(Some(Digest::ZERO));
        }
        let mut units = self.units_from(position);
        while let Some(unit) = units.advance()? {
            if let Unit::Commit(header) = unit
                && header.next() > position
            {
                return Ok((header.next() == position.next()).then(|| units.hash()));
            }
        }
        Ok(None)
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        Ok(self.index.as_ref().and_then(|index| index.run(run)))
    }

    async fn facts(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        let (mut units, mut facts) = (self.units_from(after.next()), Vec::new());
        while let Some(unit) = units.advance()? {
            match unit {
                Unit::Commit(header) if header.first > up_to => break,
                Unit::Commit(header) if header.next() > after.next() => facts.extend(units.facts(&header)?),
                Unit::Commit(_) | Unit::Segment(_) | Unit::Footer(_) => {}
            }
        }
        facts.retain(|fact| after < fact.position && fact.position <= up_to);
        Ok(facts)
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        self.find_map(|entry| {
            let answers = entry.run() == Some(run) && entry.command_id() == Some(command);
            answers.then_some(entry.position)
        })
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        let mut holder = LastHolder::of(name);
        self.find_map::<()>(|entry| {
            holder.see(entry);
            None
        })?;
        Ok(holder.found())
    }
}
