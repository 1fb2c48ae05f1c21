//! All entries of a journal as JSON Lines.

use std::io::{self, Write};

use tachograph_engine::domain::{Entry, Position};
use ulid::Ulid;

use super::{End, Header, write_entry};
use crate::dataset::Dataset;
use crate::error::Error;

/// Bytes that are handed on at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes the header, every entry up to the present end, oldest first, and how many these are; returns that number.
///
/// Whatever keeps it from coming to the end leaves a file without the last line, which tells that it is cut.
///
/// What cannot be read because the journal is damaged is left out: the dataset tells of it, and the positions show the
/// gap.
///
/// # Errors
///
/// [`Error::Journal`] if the journal cannot be read, and what `failed` makes of a failed write.
pub async fn export(
    dataset: &Dataset,
    journal: Option<Ulid>,
    out: &mut impl Write,
    failed: impl Fn(io::Error) -> Error,
) -> Result<u64, Error> {
    let mut lines = serde_json::to_vec(&Header::of(journal)).map_err(|error| Error::internal(error.to_string()))?;
    lines.push(b'\n');
    let head = dataset.reader().head().position;
    let (mut end, mut written) = (End::default(), Ok(()));
    let visitor = |entry: Entry| {
        write_entry(&entry, &mut lines);
        end = End { entries: end.entries + 1, position: entry.position.0 };
        if lines.len() >= CHUNK_BYTES {
            written = out.write_all(&lines);
            lines.clear();
        }
        written.is_ok()
    };
    let visited = dataset.visit(Position::ZERO, head, visitor).await;
    // What could be read is written, also if what follows cannot.
    written.and_then(|()| out.write_all(&lines)).and_then(|()| out.flush()).map_err(&failed)?;
    visited?;
    lines.clear();
    end.write(&mut lines);
    out.write_all(&lines).and_then(|()| out.flush()).map_err(failed)?;
    Ok(end.entries)
}
