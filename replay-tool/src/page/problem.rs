//! What can be wrong with the file of a page.

use std::io;
use std::path::PathBuf;

use crate::error::exit;

/// Why no page was written. What had the name of its file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PageProblem {
    /// There is a file of that name.
    #[error("{} exists", path.display())]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// Something other than a file has that name.
    #[error("{} is no file", path.display())]
    NotAFile {
        /// The name.
        path: PathBuf,
    },
    /// It would be written among the evidence.
    #[error("{} is within {}, which is read and never changed", path.display(), data.display())]
    AmongEvidence {
        /// The name.
        path: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
    /// The system refused a step.
    #[error("cannot {step} {}: {source}", path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PageProblem {
    /// Stable snake_case code, the one to match on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } | Self::NotAFile { .. } => "occupied",
            Self::AmongEvidence { .. } => "invalid_input",
            Self::Step { source, .. } if is_full(source) => "disk_full",
            Self::Step { .. } => "io",
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists { .. } | Self::NotAFile { .. } | Self::AmongEvidence { .. } => exit::USAGE,
            Self::Step { source, .. } if is_full(source) => exit::WRITE_FAILED,
            Self::Step { .. } => exit::PLACE,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "nothing was written; give another name, or --force to replace it",
            Self::NotAFile { .. } => "nothing was written; give another name",
            Self::AmongEvidence { .. } => "nothing was written; give a place outside of it",
            Self::Step { .. } => "check the place, its permissions and its room; nothing was left half written",
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
