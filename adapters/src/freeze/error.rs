//! Why an attempt was not frozen, did not stay so, or was not thawed.

use std::io;
use std::path::{Path, PathBuf};

/// Why an attempt was not frozen, did not stay so, or was not thawed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// It is not certain which processes are the attempt's. Nobody was signalled.
    #[error("nothing was frozen, since the processes of the attempt cannot be told: {why}")]
    Unidentified {
        /// What is missing or contradicts.
        why: String,
    },
    /// The attempt is frozen already, by this process or by one that is still alive.
    #[error("the attempt is frozen already; wait until {by} has thawed it")]
    Held {
        /// By whom.
        by: String,
    },
    /// Not everything stood still in time. What had been stopped went on again.
    #[error("process {pid} did not stop: {why}; the attempt goes on")]
    NotStopped {
        /// Which process.
        pid: u32,
        /// Why, as far as that is known.
        why: String,
    },
    /// Something moved while the attempt was frozen: what was read meanwhile does not hold together.
    #[error("process {pid} {how} while the attempt was frozen; what was read meanwhile is of no use, try again")]
    Torn {
        /// Which process.
        pid: u32,
        /// What it did.
        how: String,
    },
    /// Something still stands. Opening the freezer again repeats the thaw.
    #[error("not everything goes on again: {why}; open the freezer again, or continue it by hand")]
    NotThawed {
        /// What stands, and why.
        why: String,
    },
    /// A file that is needed could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl FreezeError {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unidentified { .. } => "unidentified",
            Self::Held { .. } => "held",
            Self::NotStopped { .. } => "not_stopped",
            Self::Torn { .. } => "torn",
            Self::NotThawed { .. } => "not_thawed",
            Self::Io { .. } => "io",
        }
    }

    /// An error of this action on this path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
