//! Every table, one fold at a time: going through the entries once more is cheaper than two folds in memory.

use super::super::destination::Destination;
use super::super::loading::{Asked, LoadedTable, Scope, load};
use super::super::wanted::Wanted;
use crate::dataset::Dataset;
use crate::error::Error;

/// The tables whose rows are made of one entry each, and never change.
pub(super) const BY_ENTRY: [&str; 3] = ["entries", "events", "refusals"];

/// The tables that say how things stand, in groups that are made in one pass.
const STANDING: [&[&str]; 4] = [&["labels", "snapshots", "timers"], &["attempts"], &["runs"], &["sessions"]];

/// Writes the tables of entries after one position and up to another, then those of how things stand at the latter. They are
/// told by datasets of their own.
///
/// # Errors
///
/// [`Error::Journal`] if the journal cannot be read, and whatever the destination fails with.
pub(super) async fn write_all(
    to: &dyn Destination,
    (by_entry, standing): (&Dataset, &Dataset),
    scope: Scope,
) -> Result<Vec<LoadedTable>, Error> {
    let mut written = load(to, by_entry, scope, Asked::whole(&Wanted::all_of(&BY_ENTRY))).await?.tables;
    for names in STANDING {
        written.extend(load(to, standing, scope, Asked::whole(&Wanted::all_of(names))).await?.tables);
    }
    Ok(written)
}
