//! Segment files: their names and headers.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use tachograph_engine::codec::ENTRY_FORMAT;
use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use super::disk::{Disk, DiskFile};
use super::fields::Fields;
use super::{FORMAT_VERSION, read_up_to};

/// Bytes of a segment header.
pub(crate) const HEADER_BYTES: usize = 88;
const MAGIC: &[u8; 8] = b"TACHOSEG";
const CRC_AT: usize = HEADER_BYTES - 4;
const DIGITS: usize = 20;
const EXTENSION: &str = "seg";

/// The first bytes of every segment: which journal, which part of it, and what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Identity of the journal, the same in all its segments.
    pub(crate) journal: Ulid,
    /// Number of this segment: 1, 2, 3…
    pub(crate) ordinal: u64,
    /// Position of the first entry that it may hold.
    pub(crate) first: Position,
    /// Hash of the last unit (frame or, in a segment without frames, header) before; zero in the first segment.
    pub(crate) previous: Digest,
}

/// Why the first bytes of a file are no segment header of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// The file ends within it.
    Short,
    /// Its magic or checksum is wrong.
    Invalid,
    /// It is sound, and of a newer version of the files or of the entries in them.
    Newer {
        /// Its version.
        found: u32,
        /// The greatest that can be read.
        supported: u32,
    },
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        self.encode_as(FORMAT_VERSION)
    }

    /// The same of another version of the format.
    pub(super) fn encode_as(&self, version: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..16].copy_from_slice(&ENTRY_FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal.0.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.previous.0);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        Self::decode_as(bytes, FORMAT_VERSION)
    }

    /// Reads a header of this version of the format.
    pub(super) fn decode_as(bytes: &[u8], version: u32) -> Result<Self, BadHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(BadHeader::Short)?;
        let (body, crc) = bytes.split_at(CRC_AT);
        if !bytes.starts_with(MAGIC) || crc != crc32c::crc32c(body).to_le_bytes() {
            return Err(BadHeader::Invalid);
        }
        let mut fields = Fields(&body[8..]);
        for supported in [version, ENTRY_FORMAT] {
            match fields.u32().ok_or(BadHeader::Invalid)? {
                found if found == supported => {}
                found if found > supported => return Err(BadHeader::Newer { found, supported }),
                _ => return Err(BadHeader::Invalid),
            }
        }
        let header = (|| {
            let header = Self {
                journal: Ulid(fields.id()?),
                ordinal: fields.u64()?,
                first: fields.position()?,
                previous: fields.digest()?,
            };
            (fields.u32()? == 0).then_some(header)
        })();
        header.ok_or(BadHeader::Invalid)
    }

    /// The hash by which the first frame of the segment is chained to it.
    pub(crate) fn hash(&self) -> Digest {
        Digest(*blake3::hash(&self.encode()).as_bytes())
    }

    /// Reads the header of an open segment file.
    pub(crate) fn read(file: &dyn DiskFile) -> io::Result<Result<Self, BadHeader>> {
        let mut bytes = [0; HEADER_BYTES];
        let read = read_up_to(file, &mut bytes, 0)?;
        Ok(Self::decode(&bytes[..read]))
    }
}

impl BadHeader {
    /// The error that names the file.
    pub(crate) fn error(self, path: &Path) -> JournalError {
        match self {
            Self::Newer { found, supported } => JournalError::NewerFormat { path: path.to_owned(), found, supported },
            Self::Short | Self::Invalid => {
                JournalError::Damaged { file: path.to_owned(), offset: 0, why: self.why().to_owned() }
            }
        }
    }

    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Short => "the file ends within its segment header",
            Self::Invalid => "the segment header is not as it was written",
            Self::Newer { .. } => "the segment is of a newer format version",
        }
    }
}

/// A segment file as its name tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentName {
    /// The whole path.
    pub(crate) path: PathBuf,
    /// Position of the first entry, out of the name.
    pub(crate) first: Position,
}

impl SegmentName {
    pub(crate) fn of(journal_dir: &Path, first: Position) -> Self {
        Self { path: journal_dir.join(format!("{:0DIGITS$}.{EXTENSION}", first.0)), first }
    }

    /// The name alone, for reports.
    pub(crate) fn file_name(&self) -> String {
        file_name(&self.path)
    }
}

/// The last component of a path, for reports.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
}

/// All segment files of a journal directory, by first position. Other files are none of them.
pub(crate) fn list(disk: &dyn Disk, journal_dir: &Path) -> Result<Vec<SegmentName>, JournalError> {
    let names = disk.list(journal_dir).map_err(|error| JournalError::io("list", journal_dir, error))?;
    let mut segments: Vec<SegmentName> =
        names.iter().filter_map(|name| parse(name)).map(|first| SegmentName::of(journal_dir, first)).collect();
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

fn parse(name: &OsStr) -> Option<Position> {
    let digits = name.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(Position)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { journal: Ulid(7), ordinal: 3, first: Position(41), previous: Digest([9; 32]) }
    }

    #[test]
    fn a_header_survives_and_any_altered_byte_is_found() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for at in 0..bytes.len() {
            let mut altered = bytes;
            altered[at] ^= 1;
            assert_eq!(SegmentHeader::decode(&altered), Err(BadHeader::Invalid), "byte {at}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..87]), Err(BadHeader::Short));
    }

    #[test]
    fn a_sound_header_of_a_newer_version_says_so() {
        for at in [8, 12] {
            let mut bytes = header().encode();
            bytes[at] = 7;
            let crc = crc32c::crc32c(&bytes[..CRC_AT]);
            bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Newer { found: 7, supported: 1 }), "byte {at}");
        }
    }

    #[test]
    fn only_twenty_digits_name_a_segment() {
        assert_eq!(parse(OsStr::new("00000000000000000041.seg")), Some(Position(41)));
        for name in
            ["41.seg", "anchor", "00000000000000000041.seg.tmp", "+0000000000000000041.seg", "99999999999999999999.seg"]
        {
            assert_eq!(parse(OsStr::new(name)), None, "{name}");
        }
    }
}
