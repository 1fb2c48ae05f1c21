//! Counting and hashing the bytes of an image.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use tachograph_engine::domain::Digest;

use super::error::{TakeError, at};
use super::handover::Handover;

/// How much is read at once; between two pieces it is asked whether the image is still wanted.
pub(super) const PIECE_BYTES: usize = 128 * 1_024;

/// Size and BLAKE3 of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// A file that is counted and hashed while it is written.
pub(super) struct Sealing {
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Sealing {
    pub(super) fn of(file: File) -> Self {
        Self { file, bytes: 0, hasher: blake3::Hasher::new() }
    }

    /// The file, and what was written to it.
    pub(super) fn finish(self) -> (File, Seal) {
        let seal = Seal { bytes: self.bytes, digest: Digest(*self.hasher.finalize().as_bytes()) };
        (self.file, seal)
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Counts and hashes what a file holds, from where it stands.
pub(super) fn seal_of(file: &mut File, path: &Path, handover: &Handover) -> Result<Seal, TakeError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    loop {
        handover.check()?;
        match file.read(&mut piece) {
            Ok(0) => return Ok(Seal { bytes, digest: Digest(*hasher.finalize().as_bytes()) }),
            Ok(read) => {
                hasher.update(&piece[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(at("read", path)(error).into()),
        }
    }
}
