//! The last bytes of a bundle, by which its manifest is found.

use tachograph_engine::domain::Digest;

use crate::journal::fields::Fields;

/// Bytes of the trailer.
pub(super) const BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"TACHOBEN";
const CRC_AT: usize = BYTES - 4;

/// Where the manifest is, and the hash that stands for the whole bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Offset of the manifest.
    pub(super) manifest_at: u64,
    /// Its length.
    pub(super) manifest_bytes: u64,
    /// Hash over header and manifest.
    pub(super) root: Digest,
    /// Bytes of the seal between manifest and trailer; zero without one.
    pub(super) seal_bytes: u32,
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.manifest_at.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.manifest_bytes.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.root.0);
        bytes[48..52].copy_from_slice(&self.seal_bytes.to_le_bytes());
        bytes[52..60].copy_from_slice(MAGIC);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The trailer, if the bytes are one as it was written.
    pub(super) fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_at(CRC_AT);
        if !body.ends_with(MAGIC) || crc != crc32c::crc32c(body).to_le_bytes() {
            return None;
        }
        let mut fields = Fields(body);
        Some(Self {
            manifest_at: fields.u64()?,
            manifest_bytes: fields.u64()?,
            root: fields.digest()?,
            seal_bytes: fields.u32()?,
        })
    }
}
