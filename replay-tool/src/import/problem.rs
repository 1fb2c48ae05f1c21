//! What can go wrong with an import or an export as JSON Lines.

use std::io;
use std::path::PathBuf;

use crate::error::exit;

/// Why something was not imported or exported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportProblem {
    /// There is something where the result should come to be.
    #[error("{} exists and is not an empty directory", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// The input cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// Its path, or `standard input`.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A line of a journal is not as it was exported; nothing was imported.
    #[error("{file}, line {line}, column {column}: {why}")]
    BadLine {
        /// Its path, or `standard input`.
        file: String,
        /// The number of the line, from 1.
        line: u64,
        /// The byte of the line, from 1.
        column: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is not one event in the input; nothing was imported.
    #[error("{file} has no events")]
    Empty {
        /// Its path, or `standard input`.
        file: String,
    },
    /// Events of a foreign history could not be read.
    #[error("{count} of {events} events of {file} could not be read, the first at line {first}")]
    BadLines {
        /// Its path, or `standard input`.
        file: String,
        /// How many.
        count: u64,
        /// Events, those included.
        events: u64,
        /// The number of the first one.
        first: u64,
        /// Whether the others were imported.
        imported: bool,
    },
}

impl ImportProblem {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "occupied",
            Self::Unreadable { .. } => "io",
            Self::BadLine { .. } => "bad_line",
            Self::Empty { .. } => "empty_input",
            Self::BadLines { .. } => "bad_lines",
        }
    }

    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } => exit::PLACE,
            Self::Occupied { .. } | Self::BadLine { .. } | Self::Empty { .. } | Self::BadLines { .. } => exit::USAGE,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "nothing was written; choose another place",
            Self::Unreadable { .. } => "check the path and its permissions; nothing was imported",
            Self::BadLine { .. } => {
                "nothing was imported; export the journal again, or import from what it was made of"
            }
            Self::Empty { .. } => "nothing was imported; is --from right?",
            Self::BadLines { imported: true, .. } => {
                "all other lines are imported; foreign/lines.jsonl in the data directory says what is wrong with each"
            }
            Self::BadLines { imported: false, .. } => "nothing was imported; correct them, or leave out --strict",
        }
    }
}
