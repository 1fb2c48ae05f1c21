//! Name and bytes of a checkpoint file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::Checkpoint;

const MAGIC: &[u8; 8] = b"TACHOCKP";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 68;
const HASH_BYTES: usize = 32;
const FOLD_BYTES_MAX: usize = 32;
/// A length beyond this is not believed, so that a damaged one cannot ask for all memory.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const EXTENSION: &str = ".ckpt";
/// Ends the name of a file that is not written whole yet.
pub(super) const UNFINISHED: &str = ".tmp";

/// The file name of a checkpoint.
pub(super) fn name(fold: &str, fold_version: u32, position: Position) -> String {
    format!("{fold}-v{fold_version}-{:020}{EXTENSION}", position.0)
}

/// The position in the name of a file, if it is one of this fold and version.
pub(super) fn position_in(file_name: &str, fold: &str, fold_version: u32) -> Option<Position> {
    let digits = file_name.strip_prefix(&format!("{fold}-v{fold_version}-"))?.strip_suffix(EXTENSION)?;
    let position = digits.parse().ok().map(Position)?;
    (name(fold, fold_version, position) == file_name).then_some(position)
}

fn is_fold_name(fold: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=FOLD_BYTES_MAX).contains(&fold.len()) && fold.iter().all(fits)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The bytes of a checkpoint file.
///
/// # Errors
///
/// If the fold's name or the payload's length is out of bounds.
pub(super) fn to_bytes(checkpoint: &Checkpoint) -> io::Result<Vec<u8>> {
    let Checkpoint { fold, fold_version, position, digest, payload } = checkpoint;
    if !is_fold_name(fold.as_bytes()) {
        return Err(invalid("a fold is named by 1 to 32 characters out of a-z, 0-9 and '-'"));
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(invalid("a checkpoint holds at most 1 GiB"));
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + fold.len() + payload.len() + HASH_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(fold_version.to_le_bytes());
    bytes.extend(position.0.to_le_bytes());
    bytes.extend(digest.0);
    // Both lengths are within their bounds, far below the ends of their types.
    bytes.extend(u32::try_from(fold.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(fold.as_bytes());
    bytes.extend(payload);
    bytes.extend(blake3::hash(&bytes).as_bytes());
    Ok(bytes)
}

/// Reads and checks a file.
///
/// # Errors
///
/// If it cannot be read, or is not as it was written.
pub(super) fn read(path: &Path) -> io::Result<Checkpoint> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = vec![0; HEADER_BYTES];
    file.read_exact(&mut bytes)?;
    let (_, whole) = Header::parse(&bytes)?;
    if length != whole as u64 {
        return Err(invalid("its length is not what it says"));
    }
    file.take((whole - HEADER_BYTES) as u64).read_to_end(&mut bytes)?;
    parse(&bytes)
}

struct Header {
    fold_version: u32,
    position: Position,
    digest: Digest,
    fold_bytes: usize,
}

impl Header {
    /// The header, and the length of the whole file.
    fn parse(bytes: &[u8]) -> io::Result<(Self, usize)> {
        Self::split(bytes).ok_or_else(|| invalid("its header is not as it was written"))
    }

    fn split(bytes: &[u8]) -> Option<(Self, usize)> {
        let bytes = bytes.strip_prefix(MAGIC)?;
        let (format, bytes) = bytes.split_first_chunk()?;
        let (fold_version, bytes) = bytes.split_first_chunk()?;
        let (position, bytes) = bytes.split_first_chunk()?;
        let (digest, bytes) = bytes.split_first_chunk()?;
        let (fold_bytes, bytes) = bytes.split_first_chunk()?;
        let (payload_bytes, _) = bytes.split_first_chunk()?;
        let fold_bytes = usize::try_from(u32::from_le_bytes(*fold_bytes)).ok()?;
        let payload_bytes = usize::try_from(u64::from_le_bytes(*payload_bytes)).ok()?;
        let fits =
            u32::from_le_bytes(*format) == FORMAT && fold_bytes <= FOLD_BYTES_MAX && payload_bytes <= PAYLOAD_BYTES_MAX;
        let header = Self {
            fold_version: u32::from_le_bytes(*fold_version),
            position: Position(u64::from_le_bytes(*position)),
            digest: Digest(*digest),
            fold_bytes,
        };
        fits.then_some((header, HEADER_BYTES + fold_bytes + payload_bytes + HASH_BYTES))
    }
}

/// Checks the bytes of a file.
///
/// # Errors
///
/// If they are not as they were written.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Checkpoint> {
    let (header, whole) = Header::parse(bytes)?;
    let sound = bytes.split_last_chunk().filter(|(body, hash)| {
        let hash: &[u8; HASH_BYTES] = hash;
        bytes.len() == whole && blake3::hash(body).as_bytes() == hash
    });
    let (body, _) = sound.ok_or_else(|| invalid("its hash does not fit"))?;
    let (fold, payload) = body[HEADER_BYTES..].split_at(header.fold_bytes);
    let fold = std::str::from_utf8(fold).ok().filter(|fold| is_fold_name(fold.as_bytes()));
    let fold = fold.ok_or_else(|| invalid("its fold has no proper name"))?;
    Ok(Checkpoint {
        fold: fold.to_owned(),
        fold_version: header.fold_version,
        position: header.position,
        digest: header.digest,
        payload: payload.to_vec(),
    })
}
