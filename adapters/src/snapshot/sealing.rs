//! Counting and hashing the bytes of an image.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tachograph_engine::domain::Digest;

use super::error::{TakeError, at};
use super::handover::Handover;
use crate::sealing::Seal;

/// How much is read at once; between two pieces it is asked whether the image is still wanted.
pub(super) const PIECE_BYTES: usize = 128 * 1_024;

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
