//! What is wrong with a jobs file, and where.

use std::fmt;
use std::path::PathBuf;

/// How many problems of one file are shown.
pub const PROBLEMS_SHOWN_MAX: usize = 20;

/// One thing that is wrong in a jobs file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why a jobs file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// It cannot be read.
    #[error("cannot read the jobs file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than any jobs file should be.
    #[error("the jobs file {} is longer than {bytes_max} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// Its content is not as it should be.
    #[error("{}", Listing { path, problems })]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// All that is wrong, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// Problems one per line, each with the file, line and column before it, as compilers do.
struct Listing<'error> {
    path: &'error std::path::Path,
    problems: &'error [Problem],
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, message }) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}:{column}: {message}", self.path.display())?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.path.display()),
        }
    }
}

/// Finds lines and columns in a text, and collects problems.
pub(super) struct Problems<'text> {
    text: &'text str,
    /// Offsets at which lines begin.
    lines: Vec<usize>,
    found: Vec<(usize, Problem)>,
}

impl<'text> Problems<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(after_breaks).collect(), found: Vec::new() }
    }

    /// Notes a problem at a byte offset.
    pub(super) fn note(&mut self, offset: usize, message: String) {
        let (line, column) = self.place(offset);
        self.found.push((offset, Problem { line, column, message }));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(begin..offset.min(self.text.len())).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// All that was noted, in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(offset, _)| *offset);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// `; did you mean "command"?` for the candidate that is closest to a word, if one is close.
pub(super) fn suggestion<'word>(word: &str, candidates: impl IntoIterator<Item = &'word str>) -> String {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean {candidate:?}?"))
}
