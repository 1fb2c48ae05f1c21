//! What can be wrong with a snapshot that is asked for.

use std::path::PathBuf;

use tachograph_engine::domain::{RunId, SnapshotId};

use crate::error::exit;

/// Why a snapshot cannot be told about or restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotProblem {
    /// No snapshot and no run has this id, prefix or name.
    #[error("there is no snapshot and no run {text:?} in {}", data.display())]
    Unknown {
        /// What was asked for, cut to 128 characters.
        text: String,
        /// Where it was looked for.
        data: PathBuf,
        /// A name of a run that is nearly the same.
        similar: Option<String>,
    },
    /// Several snapshots, or snapshots and runs, begin with this prefix.
    #[error("{prefix:?} fits {count} ids: {}{}", candidates.join(", "), if *count > candidates.len() { ", …" } else { "" })]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// How many snapshots and runs fit.
        count: usize,
        /// The first few of them, each with what it is.
        candidates: Vec<String>,
    },
    /// The run never had a snapshot.
    #[error("no snapshot of run {run} was ever armed")]
    NeverArmed {
        /// Which run.
        run: RunId,
    },
    /// The run never had a snapshot taken.
    #[error("no snapshot of run {run} was taken")]
    NoneTaken {
        /// Which run.
        run: RunId,
    },
    /// There is no image of the snapshot, and the journal says why.
    #[error("snapshot {snapshot} was not taken: {why}")]
    NotTaken {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// What became of it.
        why: String,
    },
    /// The image is not where it was taken to.
    #[error("the image of snapshot {snapshot} is not there: {}", path.display())]
    ImageMissing {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The image was made by another program, in a form that only that knows.
    #[error("the image of snapshot {snapshot} is no archive of tacho's: {}", path.display())]
    NotAnArchive {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Where it is.
        path: PathBuf,
    },
}

impl SnapshotProblem {
    /// Stable snake_case code, the one to match on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::NeverArmed { .. } | Self::NoneTaken { .. } => "unknown_snapshot",
            Self::Ambiguous { .. } => "ambiguous_snapshot",
            Self::NotTaken { .. } => "snapshot_not_taken",
            Self::ImageMissing { .. } => "image_missing",
            Self::NotAnArchive { .. } => "not_an_archive",
        }
    }

    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::NeverArmed { .. } | Self::NoneTaken { .. } => exit::UNKNOWN_RUN,
            Self::Ambiguous { .. } => exit::AMBIGUOUS_RUN,
            Self::NotTaken { .. } => exit::REFUSED,
            Self::ImageMissing { .. } => exit::PLACE,
            Self::NotAnArchive { .. } => exit::USAGE,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unknown { similar: Some(name), .. } => {
                format!("did you mean the run {name:?}? `tacho timers` lists what is armed")
            }
            Self::Unknown { similar: None, .. } => {
                "`tacho timers` lists what is armed, `tacho timeline RUN` every snapshot of a run; is --data right?"
                    .to_owned()
            }
            Self::Ambiguous { .. } => "give more characters of the id".to_owned(),
            Self::NeverArmed { run } => format!("`tacho timeline {run}` tells what happened to it"),
            Self::NoneTaken { run } => format!("`tacho why-timer {run}` tells what became of its last snapshot"),
            Self::NotTaken { snapshot, .. } => format!("`tacho why-timer {snapshot}` tells the whole story"),
            Self::ImageMissing { .. } => {
                "images are in `snapshots` in the data directory; bring it back from where it was moved to, or copied"
                    .to_owned()
            }
            Self::NotAnArchive { .. } => {
                "the job's own snapshot command made it: give it to the program that restores what that command makes"
                    .to_owned()
            }
        }
    }
}
