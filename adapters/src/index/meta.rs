//! What the index says about itself, and the checksum around every row.

use tachograph_engine::domain::{Digest, Position};

use super::row::{Bytes, FORMAT};

/// The key of the record that is written with every batch of rows.
pub(super) const META_KEY: &[u8] = b"m";

/// Up to which point of which history the rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) format: u32,
    pub(super) position: Position,
    /// The journal's hash at that position, which no other history has.
    pub(super) digest: Digest,
    /// The boot of the machine that wrote it.
    pub(super) boot_id: String,
}

impl Meta {
    pub(super) fn now(position: Position, digest: Digest) -> Self {
        Self { format: FORMAT, position, digest, boot_id: boot_id() }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let position = self.position.0.to_le_bytes();
        [&self.format.to_le_bytes(), position.as_slice(), &self.digest.0, self.boot_id.as_bytes()].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, bytes) = bytes.split_first_chunk()?;
        let (position, bytes) = bytes.split_first_chunk()?;
        let (digest, boot_id) = bytes.split_first_chunk()?;
        Some(Self {
            format: u32::from_le_bytes(*format),
            position: Position(u64::from_le_bytes(*position)),
            digest: Digest(*digest),
            boot_id: String::from_utf8(boot_id.to_vec()).ok()?,
        })
    }

    /// Whether rows up to here may be believed.
    ///
    /// sled's own flush does not outlast a power cut. So an index that was not closed, and with that synced, counts
    /// only within the boot that wrote it: then at most its writer was killed, and what it wrote is there.
    pub(super) fn vouch(
        &self,
        closed: Option<&Self>,
        digest_at: impl FnOnce(Position) -> Option<Digest>,
    ) -> Result<(), String> {
        let same_boot = !self.boot_id.is_empty() && self.boot_id == boot_id();
        if self.format != FORMAT {
            return Err(format!("it has format {}", self.format));
        }
        match closed {
            Some(closed) if closed != self => return Err("it is not the one that was closed".to_owned()),
            None if !same_boot => return Err("it was not closed before the machine stopped".to_owned()),
            Some(_) | None => {}
        }
        match digest_at(self.position) {
            Some(digest) if digest == self.digest => Ok(()),
            Some(_) => Err(format!("it belongs to another history at position {}", self.position)),
            None => Err(format!("the journal knows no position {}", self.position)),
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The row with a checksum over its key and itself: a row in another's place is as wrong as a flipped bit.
pub(super) fn sealed(key: &[u8], row: &[u8]) -> Bytes {
    [row, &checksum(key, row).to_le_bytes()].concat()
}

/// The row inside, if the checksum fits.
pub(super) fn unsealed<'row>(key: &[u8], sealed: &'row [u8]) -> Option<&'row [u8]> {
    let (row, found) = sealed.split_last_chunk()?;
    (u32::from_le_bytes(*found) == checksum(key, row)).then_some(row)
}

fn checksum(key: &[u8], row: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta::now(Position(7), Digest([1; 32]))
    }

    #[test]
    fn a_meta_record_survives_its_bytes() {
        assert_eq!(Meta::from_bytes(&meta().to_bytes()), Some(meta()));
        assert_eq!(Meta::from_bytes(&meta().to_bytes()[..43]), None);
    }

    #[test]
    fn only_the_same_history_vouches() {
        let at_seven = |digest| move |position| (position == Position(7)).then_some(Digest([digest; 32]));
        assert_eq!(meta().vouch(Some(&meta()), at_seven(1)), Ok(()));
        assert_eq!(meta().vouch(None, at_seven(1)), Ok(()));
        assert!(meta().vouch(None, at_seven(2)).is_err());
        assert!(meta().vouch(None, |_| None).is_err());
    }

    #[test]
    fn an_unclosed_index_does_not_outlast_its_boot() {
        let same = |_| Some(Digest([1; 32]));
        let before = Meta { boot_id: "another boot".to_owned(), ..meta() };
        assert!(before.vouch(None, same).is_err());
        assert_eq!(before.vouch(Some(&before), same), Ok(()));
        assert!(before.vouch(Some(&meta()), same).is_err());
        let nameless = Meta { boot_id: String::new(), ..meta() };
        assert!(nameless.vouch(None, same).is_err());
    }

    #[test]
    fn another_format_is_not_read() {
        let other = Meta { format: FORMAT + 1, ..meta() };
        assert!(other.vouch(Some(&other), |_| Some(Digest([1; 32]))).is_err());
    }

    #[test]
    fn a_seal_covers_key_and_row() {
        let bytes = sealed(b"k", b"row");
        assert_eq!(unsealed(b"k", &bytes), Some(b"row".as_slice()));
        assert_eq!(unsealed(b"l", &bytes), None);
        assert_eq!(unsealed(b"k", &bytes[1..]), None);
        assert_eq!(unsealed(b"k", b"row"), None);
    }
}
