//! Why nothing was archived, or not all that was archived is removed.

use std::path::PathBuf;

use tachograph_engine::ports::JournalError;

use crate::bundle::BundleError;

/// Why nothing was archived. Unless it says otherwise, all entries are where they were.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// The journal or its place.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The bundle was not made.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle must not be where it is asked for.
    #[error("{}: {why}; nothing was archived", path.display())]
    Misplaced {
        /// The place.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is another file where the bundle should come to be.
    #[error("{} exists, and is not the bundle of what is to be archived: {why}", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
        /// How it was told.
        why: String,
    },
    /// The bundle that was made does not hold what the journal does.
    #[error("{} is not what the journal holds: {why}; nothing was removed", path.display())]
    Unfaithful {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The archiving has happened, and not all segments are removed that the stub stands for: readers pass them over, and the next
    /// writer removes them.
    #[error("the entries are archived, in {bundle}, but not all segments that they were in are removed: {source}")]
    Left {
        /// The bundle, as the stub names it.
        bundle: String,
        /// Why a segment is left.
        source: JournalError,
    },
}

impl ArchiveError {
    /// Stable snake_case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Misplaced { .. } => "invalid_input",
            Self::Occupied { .. } => "occupied",
            Self::Unfaithful { .. } => "unfaithful_bundle",
            Self::Left { source, .. } => source.code(),
        }
    }
}
