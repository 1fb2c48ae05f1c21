//! Why a bundle was not made, read or imported.

use std::path::PathBuf;

use tachograph_engine::domain::Position;
use tachograph_engine::ports::JournalError;

use super::seal::PublicKey;

/// Why nothing came of it. Nothing is left half made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BundleError {
    /// The journal, the bundle or their place.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something is there already.
    #[error("{} exists already", path.display())]
    Occupied {
        /// The file, or the directory that is not empty.
        path: PathBuf,
    },
    /// A file system is mounted just there.
    #[error("{} is the root of a mounted file system, and no directory can take its place", path.display())]
    MountPoint {
        /// The directory.
        path: PathBuf,
    },
    /// No entry fits what was asked for.
    #[error("no entry is to be exported: {why}")]
    Nothing {
        /// What was asked for.
        why: String,
    },
    /// Only a part of a journal is in it, or not its own bytes.
    #[error("{} {why}", path.display())]
    NotWhole {
        /// The bundle.
        path: PathBuf,
        /// What it is instead.
        why: &'static str,
    },
    /// A file with a key or with salts cannot be used.
    #[error("{}: {why}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The salts are of another bundle.
    #[error("{} has salts that do not fit {}, which is sound", path.display(), bundle.display())]
    OtherSalts {
        /// The file of salts.
        path: PathBuf,
        /// The bundle.
        bundle: PathBuf,
    },
    /// It is not sealed as it must be.
    #[error("{} is {}, not by {expected}", path.display(), sealed(found.as_ref()))]
    WrongSeal {
        /// The bundle.
        path: PathBuf,
        /// The key that was demanded.
        expected: PublicKey,
        /// The key that sealed it.
        found: Option<PublicKey>,
    },
    /// A value cannot be left out.
    #[error("entry {position}: {why}")]
    NotRedactable {
        /// Where.
        position: Position,
        /// What stands in the way.
        why: String,
    },
    /// The journal's ids follow from its content.
    #[error(
        "this journal was made of a foreign history ({host:?}), and its ids are hashes of what they name, without salts: \
         whoever has the bundle can try guesses of redacted values"
    )]
    GuessableIds {
        /// What its session says.
        host: String,
    },
    /// There are more values than can be looked for in the other texts.
    #[error("there are more than {max} different values to be redacted, or they are too long together")]
    TooManyValues {
        /// How many there may be.
        max: usize,
    },
}

fn sealed(by: Option<&PublicKey>) -> String {
    by.map_or("not sealed".to_owned(), |key| format!("sealed by {key}"))
}

impl BundleError {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Occupied { .. } => "occupied",
            Self::MountPoint { .. } => "mount_point",
            Self::Nothing { .. } => "nothing_to_export",
            Self::NotWhole { .. } => "not_whole",
            Self::Secret { .. } => "unusable_secret",
            Self::OtherSalts { .. } => "other_salts",
            Self::WrongSeal { .. } => "wrong_seal",
            Self::NotRedactable { .. } => "not_redactable",
            Self::GuessableIds { .. } => "guessable_ids",
            Self::TooManyValues { .. } => "too_many_values",
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Journal(_) => "see what it says about the journal",
            Self::Occupied { .. } => "choose another place; nothing was written",
            Self::MountPoint { .. } => "choose a directory in it that does not exist yet; nothing was written",
            Self::Nothing { .. } => "`tacho runs` and `tacho tail` show what there is",
            Self::NotWhole { .. } => "read it in place with --data FILE, or use the journal or a whole bundle of it",
            Self::Secret { .. } => "correct the file or its permissions; `tacho seal-key --create FILE` makes a key",
            Self::OtherSalts { .. } => "use the salts of the same export; without redacted values there are none",
            Self::WrongSeal { .. } => "trust it no more than whoever gave it to you; is the public key right?",
            Self::NotRedactable { .. } => {
                "export another part (--run, --from, --to), or without the path in --redact that has this value"
            }
            Self::GuessableIds { .. } => {
                "leave the values out of the history before it is imported, or accept that with --guessable-ids"
            }
            Self::TooManyValues { .. } => "export fewer entries at a time: --run, or --from and --to",
        }
    }
}
