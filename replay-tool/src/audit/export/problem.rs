//! What can be wrong with an export of the tables.

use std::io;
use std::path::PathBuf;

use tachograph_engine::domain::Position;

#[cfg(feature = "parquet")]
use super::rejoined::Absent;
use crate::error::exit;

/// Why no tables were exported. Unless it says otherwise, what was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ExportProblem {
    /// There is something else where a new export should come to be.
    #[error("{} exists and is {}", path.display(), if *is_directory { "no export, and not empty" } else { "in the way" })]
    Occupied {
        /// The place.
        path: PathBuf,
        /// Whether a directory was asked for.
        is_directory: bool,
    },
    /// It would be written among the evidence.
    #[error("{} is within {}, which is read and never changed", path.display(), data.display())]
    AmongEvidence {
        /// The place.
        path: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
    /// Another export writes there at this moment.
    #[error("another export into {} is under way", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds the tables of another journal.
    #[error("{} holds an export of journal {theirs}, and this is journal {ours}", path.display())]
    OtherJournal {
        /// The directory.
        path: PathBuf,
        /// The journal that it was made of.
        theirs: String,
        /// The journal that was to be exported.
        ours: String,
    },
    /// The journal is not the continuation of what was exported.
    #[error("the journal has another history up to position {position} than the one that {} was made of", path.display())]
    Parted {
        /// The directory.
        path: PathBuf,
        /// The last position up to which they are compared.
        position: Position,
    },
    /// More was exported than is asked for.
    #[error("{} holds entries up to position {exported}, and {asked} is before that", path.display())]
    Ahead {
        /// The directory.
        path: PathBuf,
        /// The last position that it holds.
        exported: Position,
        /// The end of the journal, or the position that was asked for.
        asked: Position,
    },
    /// What comes next was archived before it was exported, and cannot be read.
    #[cfg(feature = "parquet")]
    #[error(
        "{} {}, and positions {} to {} are archived, in {}: {}",
        path.display(), reach(*exported), absent.first.max(exported.next()), absent.last, absent.bundle, absent.why
    )]
    Unexported {
        /// The directory.
        path: PathBuf,
        /// The last position that it holds; zero for a new one.
        exported: Position,
        /// The bundle.
        absent: Absent,
    },
    /// The export is of a part of a journal, or of a damaged one: what came after cannot just be added.
    #[error("{} cannot be added to: {why}", path.display())]
    NotContinuable {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file of the export is not as it was written.
    #[error("{} {how}", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// In what way.
        how: &'static str,
    },
    /// The file that says what was exported cannot be understood.
    #[error("{} does not say what was exported: {why}", path.display())]
    BadManifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The export was written by a newer version.
    #[error("{} is of format version {found}; this version writes {known}", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The greatest version that is known here.
        known: u64,
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
    /// The database could not be written.
    #[error("cannot write {}: {why}", path.display())]
    Database {
        /// The file in the making.
        path: PathBuf,
        /// What SQLite said.
        why: String,
        /// Whether there is no room.
        is_full: bool,
    },
    /// A file could not be encoded.
    #[error("cannot write {}: {why}", path.display())]
    Encoding {
        /// The file in the making.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// This program was built without the feature `parquet`.
    #[error("this tacho was built without Parquet")]
    NotBuilt,
}

impl ExportProblem {
    /// Stable snake_case code, the one to match on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "occupied",
            Self::AmongEvidence { .. } => "invalid_input",
            Self::Busy { .. } => "locked",
            Self::OtherJournal { .. } => "other_journal",
            Self::Parted { .. } => "parted_history",
            Self::Ahead { .. } => "export_ahead",
            #[cfg(feature = "parquet")]
            Self::Unexported { .. } => "archived",
            Self::NotContinuable { .. } => "not_continuable",
            Self::Altered { .. } | Self::BadManifest { .. } => "export_altered",
            Self::NewerFormat { .. } => "newer_format",
            Self::Step { source, .. } if is_full(source) => "disk_full",
            Self::Database { is_full: true, .. } => "disk_full",
            Self::Step { .. } | Self::Database { .. } => "io",
            Self::Encoding { .. } => "internal",
            Self::NotBuilt => "not_built",
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Occupied { .. }
            | Self::AmongEvidence { .. }
            | Self::OtherJournal { .. }
            | Self::Parted { .. }
            | Self::Ahead { .. }
            | Self::NotContinuable { .. }
            | Self::NotBuilt => exit::USAGE,
            #[cfg(feature = "parquet")]
            Self::Unexported { .. } => exit::USAGE,
            Self::Busy { .. } => exit::LOCKED,
            Self::Altered { .. } | Self::BadManifest { .. } => exit::DAMAGED,
            Self::NewerFormat { .. } => exit::NEWER_FORMAT,
            Self::Step { source, .. } if is_full(source) => exit::WRITE_FAILED,
            Self::Database { is_full: true, .. } => exit::WRITE_FAILED,
            Self::Step { .. } | Self::Database { .. } => exit::PLACE,
            Self::Encoding { .. } => exit::FAILED,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Occupied { is_directory: true, .. } => "nothing was written; give an empty directory, or a new one",
            Self::Occupied { .. } => "nothing was written; give another name, or --force to replace a file",
            Self::AmongEvidence { .. } => "nothing was written; give a place outside of it",
            Self::Busy { .. } => "wait until it is done",
            Self::OtherJournal { .. } => "nothing was written; give another directory: each journal has its own",
            Self::Parted { .. } => {
                "nothing was written; one of the two is not the journal that it was: `tacho verify` it, and export into an \
                 empty directory"
            }
            Self::Ahead { .. } => {
                "nothing was written; is --data an older copy? Else ask for a later --to, or give an empty directory"
            }
            #[cfg(feature = "parquet")]
            Self::Unexported { .. } => {
                "nothing was written; put the bundle back where it was, or name with --bundles the directory that it is in, \
                 under the name that it was made with"
            }
            Self::NotContinuable { .. } => "nothing was written; export into an empty directory",
            Self::Altered { .. } => {
                "nothing was written; put the file back as it was, or export into an empty directory"
            }
            Self::BadManifest { .. } => "nothing was written; put it back as it was, or export into an empty directory",
            Self::NewerFormat { .. } => "nothing was written; use a newer tacho, or export into an empty directory",
            Self::Step { .. } | Self::Database { .. } => {
                "check the place, its permissions and its room, and export again"
            }
            Self::Encoding { .. } => "run it again with -v, and report it",
            Self::NotBuilt => "build it with the feature `parquet`, which is one of the default ones, or use --sqlite",
        }
    }
}

/// How far an export has come that the next entries are wanted for.
#[cfg(feature = "parquet")]
fn reach(exported: Position) -> String {
    match exported {
        Position::ZERO => "is to hold all".to_owned(),
        exported => format!("ends at position {exported}"),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
