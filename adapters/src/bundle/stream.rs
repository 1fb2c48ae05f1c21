//! Bytes in which units follow each other: a segment file, or the blocks of a bundle.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tachograph_engine::domain::Position;
use tachograph_engine::ports::JournalError;

use super::manifest::BlockRow;
use crate::journal::disk::DiskFile;
use crate::journal::read_up_to;

/// Bytes fetched at once from a segment file.
const WINDOW_BYTES: usize = 1 << 20;
/// Blocks that are kept after they were read; a reader of everything needs one, a run's history a few.
const CACHED_BLOCKS_MAX: usize = 8;

/// Bytes that can be read at any offset.
pub(super) trait Stream: Send + Sync + std::fmt::Debug {
    /// How many there are.
    fn length(&self) -> u64;

    /// Fills the buffer from an offset.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if the stream ends before, or is not as it was written; [`JournalError::Io`].
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), JournalError>;

    /// The error that says what is wrong at an offset.
    fn damaged(&self, offset: u64, why: &str) -> JournalError;
}

/// A segment file up to an end.
#[derive(Debug)]
pub(super) struct SegmentStream {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    length: u64,
    window: Mutex<(u64, Vec<u8>)>,
}

impl SegmentStream {
    pub(super) fn new(file: Arc<dyn DiskFile>, path: PathBuf, length: u64) -> Self {
        Self { file, path, length, window: Mutex::default() }
    }
}

impl Stream for SegmentStream {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), JournalError> {
        let mut window = lock(&self.window);
        let (at, bytes) = &mut *window;
        let end = offset.saturating_add(buffer.len() as u64);
        if offset < *at || end > *at + bytes.len() as u64 {
            bytes.resize(WINDOW_BYTES.max(buffer.len()), 0);
            let read = read_up_to(&*self.file, bytes, offset);
            bytes.truncate(*read.as_ref().unwrap_or(&0));
            *at = offset;
            read.map_err(|error| JournalError::io("read", &self.path, error))?;
        }
        let from = usize::try_from(offset - *at).unwrap_or(usize::MAX);
        let found = bytes.get(from..).and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or_else(|| self.damaged(offset, "the file ends within a unit"))?);
        Ok(())
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        JournalError::Damaged { file: self.path.clone(), offset, why: why.to_owned() }
    }
}

/// The blocks of a bundle, each checked against its hash whenever it is read from the file.
#[derive(Debug)]
pub(super) struct BlockStream {
    file: File,
    path: PathBuf,
    block_bytes: u64,
    length: u64,
    /// The last entry in the bundle.
    last: Position,
    rows: Vec<BlockRow>,
    /// Offset in the file of every block.
    places: Vec<u64>,
    cache: Mutex<Vec<(usize, Arc<[u8]>)>>,
}

impl BlockStream {
    /// `rows` cover `length` bytes of stream, in blocks of `block_bytes` but for the last, which the caller has checked.
    pub(super) fn new(
        file: File,
        path: PathBuf,
        block_bytes: u32,
        length: u64,
        last: Position,
        rows: Vec<BlockRow>,
        first_at: u64,
    ) -> Self {
        let mut at = first_at;
        let mut places = Vec::with_capacity(rows.len());
        for row in &rows {
            places.push(at);
            at += u64::from(row.stored);
        }
        Self { file, path, block_bytes: u64::from(block_bytes), length, last, rows, places, cache: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn blocks(&self) -> usize {
        self.rows.len()
    }

    /// Where a block begins in the file, and how many bytes it has there.
    pub(super) fn place(&self, index: usize) -> (u64, u64) {
        let stored = self.rows.get(index).map_or(0, |row| row.stored);
        (self.places.get(index).copied().unwrap_or_default(), u64::from(stored))
    }

    /// Where a block begins in the stream.
    pub(super) fn stream_at(&self, index: usize) -> u64 {
        index as u64 * self.block_bytes
    }

    /// Which block holds an offset of the stream.
    pub(super) fn index_of(&self, offset: u64) -> usize {
        usize::try_from(offset / self.block_bytes).unwrap_or(usize::MAX)
    }

    /// The entries that a block holds bytes of.
    pub(super) fn entries(&self, index: usize) -> (Position, Position) {
        let first = self.rows.get(index).map_or(Position::ZERO, |row| row.first);
        let last = self.rows.get(index + 1).map_or(self.last, |row| row.first);
        (first, last.max(first))
    }

    /// A block of the stream, as its hash says that it was written.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] that names the entries in it, or [`JournalError::Io`].
    pub(super) fn block(&self, index: usize) -> Result<Arc<[u8]>, JournalError> {
        if let Some(found) = self.cached(index) {
            return Ok(found);
        }
        let stored = self.stored(index)?;
        let row = self.rows.get(index).ok_or_else(|| self.bad(index))?;
        if *blake3::hash(&stored).as_bytes() != row.hash.0 {
            return Err(self.bad(index));
        }
        let bytes: Arc<[u8]> = match row.stored == row.raw {
            true => stored.into(),
            // Never more than the block says, and that is never more than `block_bytes`.
            false => zstd::bulk::decompress(&stored, row.raw as usize).map_err(|_| self.bad(index))?.into(),
        };
        if bytes.len() != row.raw as usize {
            return Err(self.bad(index));
        }
        let mut cache = lock(&self.cache);
        cache.truncate(CACHED_BLOCKS_MAX - 1);
        cache.insert(0, (index, bytes.clone()));
        Ok(bytes)
    }

    fn cached(&self, index: usize) -> Option<Arc<[u8]>> {
        let mut cache = lock(&self.cache);
        let at = cache.iter().position(|(cached, _)| *cached == index)?;
        cache.get_mut(..=at)?.rotate_right(1);
        cache.first().map(|(_, bytes)| bytes.clone())
    }

    /// The bytes of a block in the file, whatever they are.
    pub(super) fn stored(&self, index: usize) -> Result<Vec<u8>, JournalError> {
        let (at, length) = self.place(index);
        let mut stored = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut stored, at);
        read.map_err(|error| JournalError::io("read", &self.path, error))?;
        Ok(stored)
    }

    /// Whether a block is kept as it is.
    pub(super) fn is_plain(&self, index: usize) -> bool {
        self.rows.get(index).is_none_or(|row| row.stored == row.raw)
    }

    /// Bytes of the stream in a block.
    pub(super) fn raw_bytes(&self, index: usize) -> u64 {
        self.rows.get(index).map_or(0, |row| u64::from(row.raw))
    }

    fn bad(&self, index: usize) -> JournalError {
        let (first, last) = self.entries(index);
        let why = format!("a block that holds {} is not as it was written", entries_text(first, last));
        JournalError::Damaged { file: self.path.clone(), offset: self.place(index).0, why }
    }
}

/// Entries by their positions, in words.
pub(super) fn entries_text(first: Position, last: Position) -> String {
    if first >= last { format!("entry {first}") } else { format!("entries {first} to {last}") }
}

impl Stream for BlockStream {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), JournalError> {
        let mut offset = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let index = self.index_of(offset);
            if index >= self.rows.len() {
                return Err(self.damaged(offset, "the bundle ends within a unit"));
            }
            let block = self.block(index)?;
            let from = (offset % self.block_bytes) as usize;
            let bytes = block.get(from..).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| self.damaged(offset, "the bundle ends within a unit"))?;
            let now = bytes.len().min(rest.len());
            let (head, tail) = rest.split_at_mut(now);
            head.copy_from_slice(&bytes[..now]);
            offset += now as u64;
            rest = tail;
        }
        Ok(())
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        let index = self.index_of(offset).min(self.rows.len().max(1) - 1);
        let (first, last) = self.entries(index);
        let why = format!("{why}, near {}", entries_text(first, last));
        JournalError::Damaged { file: self.path.clone(), offset: self.place(index).0, why }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
