//! A journal as JSON Lines, and back, without loss.
//!
//! The first line is a [`Header`], the last one an [`End`]; every other one is an entry with all that is recorded in it. `docs/import.md` describes
//! the fields. [`EntryView`](crate::view::EntryView) is for people and leaves things out; this is for programs that want
//! all of it, and for archives that must be readable without this program.
//!
//! The types in here mirror the domain's in JSON, as the codec's do in bytes: a field or variant more in the domain
//! does not compile until it has its place here. Reading is strict: a field that is not known, a time or id that is not
//! in the one form that is written, or a value of another type is an error, so that nothing is lost silently.
//!
//! | file | is |
//! | --- | --- |
//! | `entry`, `command`, `event`, `refusal`, `spec` | the mirror |
//! | `end` | the last line |
//! | `scalar` | ids, times, digests, names |
//! | [`export`], [`import`] | all of a journal, in both directions |

mod command;
mod end;
mod entry;
mod event;
pub mod export;
pub mod import;
mod refusal;
mod scalar;
mod spec;

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::Entry;
use ulid::Ulid;

pub use self::end::End;
use self::entry::EntryLine;

/// What the field `format` of the first line says.
pub const FORMAT: &str = "tachograph-jsonl";
/// The version that is written, and the greatest that is read.
pub const VERSION: u32 = 1;
/// Bytes of a line at most: far above what one entry can have, refusals with what they refuse included.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The version of the form of all lines.
    pub version: u32,
    /// The identity of the journal; absent if it could not be read.
    #[serde(with = "scalar::text::option")]
    pub journal: Option<Ulid>,
}

impl Header {
    /// The header of a journal in the version that is written.
    pub fn of(journal: Option<Ulid>) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, journal }
    }

    /// Reads the first line of a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming a version that is not known.
    pub fn read(line: &[u8]) -> Result<Self, LineError> {
        /// Looked at before everything else, since a newer version may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format: String,
            version: u32,
        }
        let none = |why: String| LineError { column: 1, why };
        let version: Version = serde_json::from_slice(line)
            .map_err(|_| none(format!("is no header: expected {{\"format\":\"{FORMAT}\",\"version\":{VERSION},…}}")))?;
        if version.format != FORMAT {
            return Err(none(format!("has the format {:?}; expected {FORMAT:?}", cut(&version.format))));
        }
        if version.version != VERSION {
            let found = version.version;
            return Err(none(format!("has version {found} of {FORMAT}; this program reads version {VERSION}")));
        }
        serde_json::from_slice(line).map_err(|error| LineError::of(&error))
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct LineError {
    /// The byte of the line at which that was noticed, from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

impl LineError {
    /// The same as the parser says it, without its own line number.
    pub(crate) fn of(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
        Self { column: error.column().max(1), why: cut(why) }
    }
}

/// Appends the line of an entry, newline included.
pub fn write_entry(entry: &Entry, out: &mut Vec<u8>) {
    // Neither the sink nor any value of the mirror can fail.
    let written = serde_json::to_writer(&mut *out, &EntryLine::of(entry));
    debug_assert!(written.is_ok(), "{written:?}");
    out.push(b'\n');
}

/// Reads one line back, with or without its newline.
///
/// # Errors
///
/// Where it is no entry, and why.
pub fn read_entry(line: &[u8]) -> Result<Entry, LineError> {
    serde_json::from_slice(line).map(EntryLine::into_entry).map_err(|error| LineError::of(&error))
}

/// A bounded part of a text that somebody else wrote.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
