//! What an export is made of: which journal, and up to where.

use std::path::{Path, PathBuf};

use tachograph_adapters::bundle::BundleReader;
use tachograph_engine::domain::{Digest, Position, RunId, Timestamp};
use ulid::Ulid;

use super::super::loading::Scope;
use super::problem::ExportProblem;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::export::identity;

/// A journal up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The identity of the journal, if its files can be read that far.
    pub journal: Option<Ulid>,
    /// The last position that is exported; zero for none.
    pub position: Position,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The first position at or after it at which a hash over the history is kept, with that hash.
    pub chain: Option<(Position, Digest)>,
    /// The only run, if there is but one.
    pub run: Option<RunId>,
    /// What is held, in words, if that is not the whole journal.
    pub part: Option<String>,
    /// A directory in which bundles of what was archived are looked for before they are where they were put.
    pub bundles: Option<PathBuf>,
}

impl Source {
    /// The journal of a dataset up to a position.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn of(dataset: &Dataset, position: Position, run: Option<RunId>) -> Result<Self, Error> {
        let chain = match position {
            Position::ZERO => Some((Position::ZERO, Digest::ZERO)),
            position => dataset.reader().digest_from(position).await?,
        };
        Ok(Self {
            journal: identity(dataset.data()),
            position,
            recorded_at: dataset.recorded_at(position).await?,
            chain,
            run,
            part: dataset.held().words().or_else(|| redacted(dataset.data())),
            bundles: None,
        })
    }

    /// The rows that are exported: of entries after a position.
    pub(super) fn scope(&self, after: Position) -> Scope {
        Scope { at: self.position, after, run: self.run }
    }
}

/// Who writes.
pub(super) const WRITTEN_BY: &str = concat!("tacho ", env!("CARGO_PKG_VERSION"));

/// What a bundle says about itself that makes it less than the journal.
fn redacted(data: &Path) -> Option<String> {
    if !data.is_file() {
        return None;
    }
    let bundle = BundleReader::open(data).ok()?;
    bundle.manifest().is_redacted().then(|| "values in it are redacted".to_owned())
}

/// Refuses a place within the data directory: evidence is read and never changed.
///
/// # Errors
///
/// [`ExportProblem::AmongEvidence`].
pub(super) fn outside(path: &Path, data: &Path) -> Result<(), ExportProblem> {
    let Ok(data) = data.canonicalize() else { return Ok(()) };
    // What is not there yet is looked at from where it would be made.
    let mut there = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    while there.symlink_metadata().is_err() && there.pop() {}
    // Nor in the place of a bundle.
    if there.canonicalize().is_ok_and(|there| there.starts_with(&data)) {
        return Err(ExportProblem::AmongEvidence { path: path.to_owned(), data });
    }
    Ok(())
}
