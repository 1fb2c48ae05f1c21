//! What a verification says.

use std::path::PathBuf;

use tachograph_engine::domain::{Position, Timestamp};
use tachograph_engine::ports::Head;
use ulid::Ulid;

use super::stub::ArchivedIn;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The bundles that archived entries are in, oldest first. They are not looked at.
    pub archived: Vec<ArchivedIn>,
    /// The journal's identity; absent if no segment header is sound.
    pub journal: Option<Ulid>,
    /// Segment files.
    pub segments: u64,
    /// Frames with entries whose checksums are right.
    pub frames: u64,
    /// Entries that could be read.
    pub entries: u64,
    /// Bytes in segment files.
    pub bytes: u64,
    /// The last entry that could be read, and the hash over the history up to there.
    pub head: Option<Head>,
    /// Whether the last entry says that the journal was closed.
    pub closed: bool,
    /// The latest loss that a writer found and recorded when it opened the journal.
    pub lost: Option<Loss>,
    /// What is not as it should be, in the order of the files; at most 1,000, of which at most 100 notes.
    pub findings: Vec<VerifyFinding>,
    /// Findings beyond those, notes not counted.
    pub more: u64,
}

/// Entries that were durable, and that the writer of a later entry found gone. Others have their positions now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The last of them.
    pub up_to: Position,
    /// The entry that records it.
    pub position: Position,
    /// When that was recorded.
    pub before: Timestamp,
}

impl VerifyReport {
    /// Whether nothing is damaged and nothing is missing. A torn tail was never acknowledged, and is sound; so is what
    /// follows a [loss](Self::lost) that a writer recorded.
    pub fn is_sound(&self) -> bool {
        self.more == 0 && self.findings.iter().all(|finding| finding.severity >= Severity::Torn)
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFinding {
    /// How bad it is.
    pub severity: Severity,
    /// Which file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Which entry it is about or begins with, as far as that is known.
    pub position: Option<Position>,
    /// What is wrong, in words.
    pub what: String,
}

/// How bad a finding is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Bytes are not as they were written, or contradict each other.
    Damage,
    /// Entries were there and are gone.
    Missing,
    /// A write that did not complete: of a crash, or of a live writer at this moment.
    Torn,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Missing => "missing",
            Self::Torn => "torn",
            Self::Note => "note",
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes checked.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Entries checked.
    pub entries: u64,
}
