//! The first bytes of a bundle.

use std::path::Path;

use tachograph_engine::codec::ENTRY_FORMAT;
use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use super::FORMAT_VERSION;
use crate::journal::fields::Fields;

/// Bytes of the header.
pub(super) const BYTES: usize = 48;
/// What a bundle begins with.
pub(super) const MAGIC: &[u8; 8] = b"TACHOBND";
const CRC_AT: usize = BYTES - 4;

/// The header of a bundle of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Identity of the journal that it was made from.
    pub(super) journal: Ulid,
    /// Bytes of the stream in every block but the last.
    pub(super) block_bytes: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&ENTRY_FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.block_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] or, if it is sound, [`JournalError::NewerFormat`].
    pub(super) fn decode(bytes: &[u8; BYTES], path: &Path) -> Result<Self, JournalError> {
        let (body, crc) = bytes.split_at(CRC_AT);
        let damaged = || JournalError::Damaged {
            file: path.to_owned(),
            offset: 0,
            why: "the header of the bundle is not as it was written".to_owned(),
        };
        if !body.starts_with(MAGIC) || crc != crc32c::crc32c(body).to_le_bytes() {
            return Err(damaged());
        }
        let mut fields = Fields(&body[MAGIC.len()..]);
        for supported in [FORMAT_VERSION, ENTRY_FORMAT] {
            match fields.u32().ok_or_else(damaged)? {
                found if found > supported => {
                    return Err(JournalError::NewerFormat { path: path.to_owned(), found, supported });
                }
                found if found < supported => return Err(damaged()),
                _ => {}
            }
        }
        let header = (|| {
            let header = Self { journal: Ulid(fields.id()?), block_bytes: fields.u32()? };
            (header.block_bytes > 0 && fields.u64()? == 0).then_some(header)
        })();
        header.ok_or_else(damaged)
    }
}
