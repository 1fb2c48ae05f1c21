//! What an archive says about its entries.
//!
//! Headers are read here and nowhere else: there is one meaning of a name and of a size, and whatever could have two is
//! refused.

use std::io::Read;

use tar::{Entry, EntryType};

use super::restore::RestoreError;

const EXTENDED_BYTES_MAX: u64 = 64 * 1_024;
/// An extended header may say these about an entry too, which plain headers say as well.
const SECOND_MEANING: [&str; 3] = ["size", "uid", "gid"];

/// What an entry of an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A further name of a file before it.
    Name,
    Directory,
    Link,
    Pipe,
}

impl Kind {
    const fn of(kind: EntryType) -> Option<Self> {
        match kind {
            EntryType::Regular => Some(Self::File),
            EntryType::Link => Some(Self::Name),
            EntryType::Directory => Some(Self::Directory),
            EntryType::Symlink => Some(Self::Link),
            EntryType::Fifo => Some(Self::Pipe),
            _ => None,
        }
    }
}

/// One entry of an archive, its content not read yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: Kind,
    /// As it stands there; nothing is checked yet.
    pub(super) path: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_s: i64,
    pub(super) mtime_ns: u32,
}

/// What an extended header says about the entry after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    mtime: Option<(i64, u32)>,
}

impl Extended {
    /// Reads an extended header.
    pub(super) fn read(entry: &mut Entry<'_, impl Read>) -> Result<Self, RestoreError> {
        if entry.size() > EXTENDED_BYTES_MAX {
            return Err(malformed(b"extended header", "it is too long"));
        }
        let mut records = Vec::new();
        entry.take(EXTENDED_BYTES_MAX).read_to_end(&mut records).map_err(RestoreError::unreadable)?;
        Self::parse(&records)
    }

    fn parse(mut records: &[u8]) -> Result<Self, RestoreError> {
        let mut extended = Self::default();
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or_else(|| malformed(records, "no extended header"))?;
            extended.take(record)?;
            records = rest;
        }
        Ok(extended)
    }

    fn take(&mut self, (key, value): Record<'_>) -> Result<(), RestoreError> {
        let second = |key: &[u8]| SECOND_MEANING.iter().any(|second| second.as_bytes() == key);
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"mtime" => self.mtime = Some(parse_mtime(value).ok_or_else(|| malformed(value, "no time"))?),
            key if second(key) || key.starts_with(b"GNU.sparse") => {
                return Err(malformed(key, "an image does not say this in an extended header"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Said {
    /// What the header and the extended header before it say.
    pub(super) fn read(entry: &Entry<'_, impl Read>, extended: Extended) -> Result<Self, RestoreError> {
        let header = entry.header();
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let unsupported = || RestoreError::Unsupported { name: shown(&path), kind: header.entry_type() };
        let kind = Kind::of(header.entry_type()).ok_or_else(unsupported)?;
        let target = extended.target.or_else(|| header.link_name_bytes().map(|target| target.into_owned()));
        let bad = |_| malformed(&path, "its header holds no numbers");
        let id = |id: u64| u32::try_from(id).map_err(|_| malformed(&path, "its owner is no number of 32 bits"));
        let whole_seconds = (i64::try_from(header.mtime().map_err(bad)?).unwrap_or(i64::MAX), 0);
        let (mtime_s, mtime_ns) = extended.mtime.unwrap_or(whole_seconds);
        let (bytes, mode) = (header.size().map_err(bad)?, header.mode().map_err(bad)? & 0o7777);
        let (uid, gid) = (id(header.uid().map_err(bad)?)?, id(header.gid().map_err(bad)?)?);
        if kind != Kind::File && bytes > 0 {
            return Err(malformed(&path, "only a file may have content"));
        }
        Ok(Self { kind, path, target: target.unwrap_or_default(), bytes, mode, uid, gid, mtime_s, mtime_ns })
    }
}

/// A key and its value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The key and value of the first record, `<length> <key>=<value>\n`, and what follows it.
fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let pair = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some(((&pair[..equals], &pair[equals + 1..]), rest))
}

/// Seconds and nanoseconds, the latter towards the future.
fn parse_mtime(value: &[u8]) -> Option<(i64, u32)> {
    let value = std::str::from_utf8(value).ok()?;
    let (negative, digits) = value.strip_prefix('-').map_or((false, value), |digits| (true, digits));
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !all_digits(seconds) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let ns: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    match (negative, ns) {
        (false, ns) => Some((seconds, ns)),
        (true, 0) => Some((-seconds, 0)),
        (true, ns) => Some((-seconds - 1, 1_000_000_000 - ns)),
    }
}

pub(super) fn malformed(name: &[u8], why: &'static str) -> RestoreError {
    RestoreError::Malformed { name: shown(name), why }
}

/// A name from an archive, for people: nothing in it reaches a terminal as it is.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 256;
    name[..name.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_told() {
        assert_eq!(parse_mtime(b"5"), Some((5, 0)));
        assert_eq!(parse_mtime(b"5.000000007"), Some((5, 7)));
        assert_eq!(parse_mtime(b"5.5"), Some((5, 500_000_000)));
        assert_eq!(parse_mtime(b"-1.500000000"), Some((-2, 500_000_000)));
        assert_eq!(parse_mtime(b"-0.999999999"), Some((-1, 1)));
        assert_eq!(parse_mtime(b"-3"), Some((-3, 0)));
        for bad in ["", "-", "x", "1.x", "+1", "--1", "99999999999999999999", "1.\u{e9}"] {
            assert_eq!(parse_mtime(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn records_hold_any_bytes_and_are_as_long_as_they_say() {
        let read = Extended::parse(b"12 path=a\nb\n14 linkpath=\xff\n").unwrap();
        assert_eq!((read.path, read.target), (Some(b"a\nb".to_vec()), Some(b"\xff".to_vec())));
        for bad in ["x", "99 path=a\n", "5 path=a\n", "0 path=a\n", " path=a\n", "9 patha\n", "13 size=1000\n"] {
            assert!(Extended::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
