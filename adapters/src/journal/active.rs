//! The segment that is appended to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;

use super::disk::{Disk, DiskFile, Mode};
use super::footer::{self, Contents};
use super::segment::{self, SegmentHeader, SegmentName};

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) first: Position,
    /// Bytes that hold complete frames: where the next one goes.
    pub(super) bytes: u64,
    pub(super) contents: Contents,
}

impl Active {
    /// Makes a segment of which a crash leaves nothing, a part of its header, or all of it.
    pub(super) fn create(disk: &dyn Disk, journal_dir: &Path, header: &SegmentHeader) -> Result<Self, JournalError> {
        let SegmentName { path, first } = SegmentName::of(journal_dir, header.first);
        let create = || {
            let file = disk.open(&path, Mode::Create)?;
            file.append(&header.encode())?;
            file.sync()?;
            disk.sync_dir(journal_dir)?;
            Ok(file)
        };
        let file = create().map_err(|error| JournalError::io("create", &path, error))?;
        Ok(Self { path, file, first, bytes: segment::HEADER_BYTES as u64, contents: Contents::default() })
    }

    /// Writes at the end. After an error a part of it may be there, which the next open recognises as torn.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.append(bytes).map_err(|error| JournalError::io("write", &self.path, error))
    }

    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync().map_err(|error| JournalError::io("sync", &self.path, error))
    }

    /// Ends the segment with its footer and trailer, durably, and returns the hash of the footer. `next` is the
    /// position after its last entry.
    pub(super) fn seal(&self, next: Position, watermark: Position, previous: Digest) -> Result<Digest, JournalError> {
        let seal = footer::seal(&self.contents, self.first, next, watermark, previous, self.bytes);
        let (bytes, hash) = seal.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "its footer would be greater than 4 GiB");
            JournalError::io("seal", &self.path, error)
        })?;
        self.append(&bytes)?;
        self.sync()?;
        Ok(hash)
    }
}
