//! The wire form of what is kept: journal entries, and run records for checkpoints.
//!
//! The types in here mirror the domain's, so that a change to a domain type cannot change a byte on disk: it breaks a
//! conversion, and the compiler says so. They stay private; whoever stores bytes knows these functions only.
//!
//! The rules of the form:
//!
//! - bincode 2.0.1 in its standard configuration: little-endian varints, zigzag for signed numbers, a length before
//!   every text and list, no names, no padding.
//! - Ids are 16 bytes in the order of their text form, digests 32 bytes, times `i64` microseconds since the Unix epoch.
//! - A variant is its place among the variants, from 0, as a varint. The number beside each is that place, for the
//!   reader; a test compares the two. Variants and fields are never reordered or removed; a new variant comes last.
//! - Any change at all, a new variant too, is a new [`ENTRY_FORMAT`]: a reader that does not know it must say that the
//!   entries are newer, not that they are damaged.
//! - A committed `Create` refers to the spec in its own `Created` event instead of repeating it.

mod command;
mod entry;
mod event;
mod outcome;
mod record;
mod refusal;
#[cfg(test)]
mod samples;
mod scalar;
mod spec;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};

use crate::domain::{Entry, RunRecord};

/// Version of the wire form. Stored by whoever stores entries; a reader refuses a greater one.
pub const ENTRY_FORMAT: u32 = 1;

/// What decoding one entry or record may take, in memory as well: far above what the limits of the domain allow, far
/// below what a corrupt length could ask for.
const DECODED_BYTES_MAX: usize = 8 << 20;

type Wire = Configuration<LittleEndian, Varint, Limit<DECODED_BYTES_MAX>>;

const WIRE: Wire = bincode::config::standard().with_limit::<DECODED_BYTES_MAX>();

/// The place of a refusal among the bodies of an entry.
const PLACE_OF_REFUSED: u32 = 1;

/// The place of a fact about the journal among the bodies of an entry.
const PLACE_OF_SYSTEM: u32 = 2;

/// Bytes that are no entry or record of this format.
///
/// Whoever knows the file and offset of the bytes adds them; the bytes themselves are damaged, or were written by
/// something else, and reading them again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end within a field.
    #[error("the bytes end before the {what} does")]
    Truncated {
        /// What was being read, `entry` or `record`.
        what: &'static str,
    },
    /// A length in the bytes asks for more than anything valid can have.
    #[error("the {what} claims to be larger than {DECODED_BYTES_MAX} bytes")]
    TooLarge {
        /// What was being read, `entry` or `record`.
        what: &'static str,
    },
    /// The bytes go on after the end.
    #[error("{bytes} bytes follow the end of the {what}")]
    TrailingBytes {
        /// What was being read, `entry` or `records`.
        what: &'static str,
        /// How many bytes follow.
        bytes: usize,
    },
    /// A field has a value that it cannot have.
    #[error("the {what} is malformed: {why}")]
    Malformed {
        /// What was being read, `entry` or `record`.
        what: &'static str,
        /// Which value it was.
        why: String,
    },
}

/// Appends the wire form of an entry.
///
/// Every entry has one; at most [the limits of the domain](crate::domain::limits) twice over, about 2 MiB, if the
/// entry came out of a decision.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    append(&entry::Entry::from(entry), out);
}

/// Reads an entry back from exactly these bytes.
///
/// Never panics, whatever the bytes are, and never takes more than a few times 8 MiB of memory for them.
///
/// # Errors
///
/// [`CodecError`], if the bytes are not exactly one entry.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let what = "entry";
    let (wire, used): (entry::Entry<'_>, usize) = read(bytes, what)?;
    nothing_after(bytes, used, what)?;
    wire.into_domain().map_err(|why| CodecError::Malformed { what, why: why.to_owned() })
}

/// Whether these bytes are an entry that records a fact about the journal and its writer, by the fields that an entry
/// begins with: nothing is allocated, and what follows is not looked at.
///
/// # Errors
///
/// [`CodecError`], if the bytes do not begin as an entry does.
pub fn is_fact(bytes: &[u8]) -> Result<bool, CodecError> {
    read::<entry::Beginning>(bytes, "entry").map(|(beginning, _)| beginning.is_of_fact())
}

/// Whether these bytes are an entry that records a refusal, with no entry about its run before it, by the fields that an entry
/// begins with, as [`is_fact`] tells.
///
/// # Errors
///
/// As [`is_fact`].
pub fn is_early_refusal(bytes: &[u8]) -> Result<bool, CodecError> {
    read::<entry::Beginning>(bytes, "entry").map(|(beginning, _)| beginning.is_of_early_refusal())
}

/// The wire form of run records, as checkpoints keep them: their count, then one after the other.
pub fn encode_records(records: &[RunRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    append(&(records.len() as u64), &mut out);
    records.iter().for_each(|record| append(&record::RunRecord::from(record), &mut out));
    out
}

/// Reads run records back from exactly these bytes.
///
/// # Errors
///
/// [`CodecError`], if the bytes are not exactly what [`encode_records`] makes.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<RunRecord>, CodecError> {
    let (count, mut used): (u64, usize) = read(bytes, "records")?;
    // Grown as records are read: the count is not trusted with an allocation.
    let mut records = Vec::new();
    for _ in 0..count {
        let (wire, length): (record::RunRecord<'_>, usize) = read(&bytes[used..], "record")?;
        used += length;
        records.push(wire.into());
    }
    nothing_after(bytes, used, "records")?;
    Ok(records)
}

fn read<'bytes, T: BorrowDecode<'bytes, ()>>(
    bytes: &'bytes [u8],
    what: &'static str,
) -> Result<(T, usize), CodecError> {
    bincode::borrow_decode_from_slice(bytes, WIRE).map_err(|error| match error {
        DecodeError::UnexpectedEnd { .. } => CodecError::Truncated { what },
        DecodeError::LimitExceeded => CodecError::TooLarge { what },
        other => CodecError::Malformed { what, why: other.to_string() },
    })
}

fn nothing_after(bytes: &[u8], used: usize, what: &'static str) -> Result<(), CodecError> {
    match bytes.len() - used {
        0 => Ok(()),
        bytes => Err(CodecError::TrailingBytes { what, bytes }),
    }
}

fn append(wire: &impl Encode, out: &mut Vec<u8>) {
    // No wire type has a value that cannot be encoded, and the sink takes everything.
    let encoded = bincode::encode_into_writer(wire, Sink(out), WIRE);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
}

/// Writes to the end of the caller's bytes.
struct Sink<'out>(&'out mut Vec<u8>);

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
