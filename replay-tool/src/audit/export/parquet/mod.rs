//! The tables as a directory of Parquet files, to which each export adds what is new.
//!
//! | file | is |
//! | --- | --- |
//! | `part` | one Parquet file in the making |
//! | `drafts` | the files of one export: by day, or whole |
//! | `manifest` | what was exported, and every file with its digest |
//! | `directory` | how what is new appears as a whole |
//! | `origin` | where the rows come from if a part of the journal is archived |

mod directory;
mod drafts;
mod manifest;
mod origin;
mod part;

use std::path::{Path, PathBuf};

use tachograph_engine::domain::{Digest, Position, Timestamp};
use ulid::Ulid;

use self::directory::Directory;
use self::drafts::Drafts;
use self::origin::Origin;
use super::super::loading::LoadedTable;
use super::passes::write_all;
use super::problem::ExportProblem;
use super::rejoined::Absent;
use super::source::{Source, outside};
use crate::dataset::Dataset;
use crate::error::Error;

pub use self::directory::{Change, Watch};
pub use self::manifest::{Chain, FileLine, MANIFEST, Manifest};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetExport {
    /// The directory.
    pub path: PathBuf,
    /// What it was made of.
    pub source: Source,
    /// The first position that it holds.
    pub first: Position,
    /// The last position that it held before; absent if it is new.
    pub before: Option<Position>,
    /// Whether an export before it was cut off, and was completed first.
    pub completed: bool,
    /// The tables with the rows that were written; none if there was nothing new.
    pub tables: Vec<LoadedTable>,
    /// The files that were written.
    pub files: Vec<FileLine>,
    /// How many files there are now.
    pub files_total: usize,
    /// How many bytes they have.
    pub bytes_total: u64,
    /// Whether it holds all of the journal up to there, whatever is archived by now.
    pub is_whole: bool,
    /// The bundle for want of which the tables that say how things stand tell only what stayed in the journal; absent if they
    /// tell all that the export holds, or if nothing was written.
    pub absent: Option<Absent>,
}

/// Writes all tables into a directory, or adds to it what is new since the last time.
///
/// Rows of `entries`, `events` and `refusals` go into files by day, which are never touched again; the other tables say how things
/// stand at the exported position, and each is replaced. A crash leaves an export that readers count as it was, or with
/// some of the new files; the next export completes it.
///
/// Of a damaged journal all that can be read is written into a new directory; the dataset tells of it, and so does the manifest.
/// An existing export is not added to then.
///
/// What was archived since the last time is read out of its bundles. What was archived before the first time is so only if
/// `source` names a directory with bundles: without, the export begins with what stayed.
///
/// # Errors
///
/// [`Error::Export`] if it cannot be written there or added to, [`Error::Journal`] if the journal cannot be read.
pub async fn write_parquet(
    dataset: &Dataset,
    mut source: Source,
    path: &Path,
    watch: Watch<'_>,
) -> Result<ParquetExport, Error> {
    outside(path, dataset.data())?;
    let (directory, completed) = Directory::open(path, watch)?;
    let before = Manifest::read(path)?;
    let origin = match &before {
        None if directory.is_empty()? => Origin::new(dataset, &source, path)?,
        None => return Err(ExportProblem::Occupied { path: path.to_owned(), is_directory: true }.into()),
        Some(before) => {
            let origin = continues(path, dataset, &source, before).await?;
            before.check(path, &dataset.bar_of_bytes("checking", before.bytes()))?;
            origin
        }
    };
    if origin.by_day.reader().archived() < dataset.reader().archived() {
        // Read together with the bundles it is no part.
        source.part = None;
    }
    let after = before.as_ref().map(Manifest::position);
    let mut export = ParquetExport {
        path: path.to_owned(),
        source,
        first: origin.begins(),
        before: after,
        completed,
        tables: Vec::new(),
        files: Vec::new(),
        files_total: 0,
        bytes_total: 0,
        is_whole: false,
        absent: None,
    };
    // How things stand can be told better once a bundle is back.
    let is_better = |before: &Manifest| before.standing_after.is_some() && origin.standing_after().is_none();
    let now = match before {
        Some(before) if after == Some(export.source.position) && !is_better(&before) => before,
        before => {
            let added = add(&directory, &origin, &mut export, before).await;
            if added.is_err() {
                // What could not be written whole is of no use; if it cannot be removed either, the error says enough.
                let _ = directory.abandon();
            }
            let now = added?;
            export.absent = origin.absent;
            now
        }
    };
    export.source.part.clone_from(&now.part);
    export.is_whole = now.part.is_none() && now.standing_after.is_none();
    (export.files_total, export.bytes_total) = (now.files.len(), now.bytes());
    Ok(export)
}

/// Whether a directory holds an export of just this, all files of it as they were written.
///
/// # Errors
///
/// [`Error::Export`] if it holds one that was altered, or cannot be read.
pub fn is_export_of(path: &Path, source: &Source) -> Result<bool, Error> {
    let Some(made) = Manifest::read(path)? else { return Ok(false) };
    let journal = source.journal.map(|id| id.to_string());
    let chain = source.chain.map(|(position, digest)| Chain { position: position.0, digest: digest.to_string() });
    if made.journal != journal || made.position() != source.position || made.chain != chain || made.part != source.part
    {
        return Ok(false);
    }
    made.check(path, &crate::progress::Bar::hidden())?;
    Ok(true)
}

/// Looks whether the tables of a journal up to a position could be written into a directory, as far as that shows, and changes
/// nothing. Whether it holds another history shows only when they are.
///
/// # Errors
///
/// [`ExportProblem`] as [`write_parquet`]'s: it may not be written to, or holds something else, or an export that was altered.
pub fn look_at_directory(path: &Path, journal: Ulid, last: Position) -> Result<(), ExportProblem> {
    // It will be made, or what was cut off be completed before anything else.
    if !directory::may_be_written(path)? || directory::is_ready(path) {
        return Ok(());
    }
    let Some(made) = Manifest::read(path)? else {
        let occupied = ExportProblem::Occupied { path: path.to_owned(), is_directory: true };
        return if directory::has_drafts_alone(path)? { Ok(()) } else { Err(occupied) };
    };
    let ours = journal.to_string();
    match made.journal.clone() {
        Some(theirs) if theirs != ours => {
            return Err(ExportProblem::OtherJournal { path: path.to_owned(), theirs, ours });
        }
        _ if made.position() > last => {
            return Err(ExportProblem::Ahead { path: path.to_owned(), exported: made.position(), asked: last });
        }
        _ => {}
    }
    made.check(path, &crate::progress::Bar::hidden())
}

/// Writes what is new, and returns the manifest of all.
async fn add(
    directory: &Directory<'_>,
    origin: &Origin,
    export: &mut ParquetExport,
    before: Option<Manifest>,
) -> Result<Manifest, Error> {
    let source = &export.source;
    let begun = before.iter().flat_map(|before| before.files.iter().map(|file| file.table.clone())).collect();
    let day = source.recorded_at.unwrap_or(Timestamp::from_micros(0));
    let drafts = Drafts::within(directory, directory.begin()?, facts(source), begun, day);
    let after = export.before.unwrap_or(Position::ZERO);
    export.tables = write_all(&drafts, (&origin.by_day, &origin.standing), source.scope(after)).await?;
    let damage = origin.by_day.damage();
    if let (Some(damage), Some(_)) = (&damage, &before) {
        return Err(damage.clone().into());
    }
    let made = drafts.into_made();
    export.files = made.iter().map(|draft| draft.file.clone()).collect();
    let manifest = before.unwrap_or_else(|| Manifest::of(source));
    let manifest = manifest.with(source, origin, damage.map(|damage| damage.to_string()), export.files.clone());
    directory.commit(&made, &manifest)?;
    Ok(manifest)
}

/// What the footer of every file says about where it comes from.
fn facts(source: &Source) -> Vec<(&'static str, String)> {
    let journal = source.journal.map(|id| ("tachograph.journal", id.to_string()));
    journal.into_iter().chain([("tachograph.position", source.position.to_string())]).collect()
}

/// Where the rows come from that continue what was exported; refuses to add what is no continuation of it.
async fn continues(path: &Path, dataset: &Dataset, source: &Source, before: &Manifest) -> Result<Origin, Error> {
    let path = path.to_owned();
    // What was before is archived: that is no obstacle, if only what comes next is there.
    let theirs = before.part.as_ref().filter(|_| before.first.is_none());
    let ours = source.part.as_ref().filter(|_| dataset.reader().archived() == Position::ZERO);
    if let Some(part) = theirs.or(ours) {
        let why = format!("a part of a journal was exported: {part}");
        return Err(ExportProblem::NotContinuable { path, why }.into());
    }
    if let Some(damage) = &before.damage {
        let why = format!("it was made of a damaged journal: {damage}");
        return Err(ExportProblem::NotContinuable { path, why }.into());
    }
    let ours = source.journal.map(|id| id.to_string());
    if ours != before.journal {
        let named = |id: Option<String>| id.unwrap_or_else(|| "that does not say which".to_owned());
        return Err(damaged_or(
            dataset,
            ExportProblem::OtherJournal { path, theirs: named(before.journal.clone()), ours: named(ours) },
        ));
    }
    if before.position() > source.position {
        return Err(damaged_or(
            dataset,
            ExportProblem::Ahead { path, exported: before.position(), asked: source.position },
        ));
    }
    let Some(chain) = &before.chain else {
        let why = "it does not say by which hash the journal is known again".to_owned();
        return Err(ExportProblem::NotContinuable { path, why }.into());
    };
    let origin = Origin::behind(before, dataset, source, &path)?;
    let position = Position(chain.position);
    let kept: Option<Digest> = origin.by_day.reader().digest_at(position).await?;
    if kept.is_some_and(|kept| kept.to_string() == chain.digest) {
        return Ok(origin);
    }
    // Where there is damage, no hash is known; reading there finds it.
    origin.by_day.reader().entry(position).await?;
    Err(damaged_or(dataset, ExportProblem::Parted { path, position }))
}

/// The damage that was met, if that is why something looks otherwise.
fn damaged_or(dataset: &Dataset, problem: ExportProblem) -> Error {
    dataset.damage().map_or_else(|| problem.into(), Error::from)
}
