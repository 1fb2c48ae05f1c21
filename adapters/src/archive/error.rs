//! Why nothing was archived.

use std::path::PathBuf;

use tachograph_engine::ports::JournalError;

use crate::bundle::BundleError;

/// Why nothing was archived. All entries are where they were.
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
        }
    }
}
