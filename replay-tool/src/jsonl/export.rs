//! All entries of a journal as JSON Lines.

use std::io::{self, Write};

use tachograph_engine::domain::{Entry, Position};
use ulid::Ulid;

use super::{Header, write_entry};
use crate::dataset::Dataset;
use crate::error::Error;

/// Bytes that are handed on at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes the header and every entry up to the present end, oldest first; returns how many.
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
    let (mut entries, mut written) = (0, Ok(()));
    let visitor = |entry: Entry| {
        write_entry(&entry, &mut lines);
        entries += 1;
        if lines.len() >= CHUNK_BYTES {
            written = out.write_all(&lines);
            lines.clear();
        }
        written.is_ok()
    };
    let visited = dataset.visit(Position::ZERO, head, visitor).await;
    // What could be read is written, also if what follows cannot.
    written.and_then(|()| out.write_all(&lines)).and_then(|()| out.flush()).map_err(failed)?;
    visited?;
    Ok(entries)
}
