//! What a verification found.

use serde::Serialize;
use tachograph_adapters::journal::{ArchivedIn, Loss, VerifyFinding, VerifyReport};
use tachograph_engine::ports::Head;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerificationView {
    /// Whether nothing is damaged and nothing missing; an incomplete last write is sound.
    pub sound: bool,
    /// Identity of the journal; absent if no segment header is sound.
    pub journal: Option<String>,
    /// Segment files.
    pub segments: u64,
    /// Sound frames with entries.
    pub frames: u64,
    /// Entries that could be read.
    pub entries: u64,
    /// Bytes in segment files.
    pub bytes: u64,
    /// The last entry that could be read.
    pub head: Option<HeadView>,
    /// Whether the last entry says that the journal was closed.
    pub closed: bool,
    /// What was archived, oldest first; those bundles are not looked at.
    pub archived: Vec<ArchivedView>,
    /// The latest loss that a writer found and recorded.
    pub lost: Option<LossView>,
    /// What is not as it should be, in the order of the files.
    pub findings: Vec<FindingView>,
    /// Findings beyond those that are listed.
    pub more_findings: u64,
}

/// Entries that are in a bundle instead of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchivedView {
    /// The first of them.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The bundle, as it was named when they were archived: relative to the data directory, or absolute.
    pub bundle: String,
    /// The hash that stands for the bundle.
    pub root: String,
    /// The journal's digest at the last of them.
    pub digest: String,
    /// When they were archived.
    pub archived_at: String,
}

impl From<&ArchivedIn> for ArchivedView {
    fn from(archived: &ArchivedIn) -> Self {
        Self {
            first: archived.first.0,
            last: archived.last.0,
            bundle: archived.bundle.clone(),
            root: archived.root.to_string(),
            digest: archived.digest.to_string(),
            archived_at: archived.archived_at.to_string(),
        }
    }
}

/// Entries that were acknowledged and that a writer found gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossView {
    /// The last of them.
    pub up_to: u64,
    /// The entry that records it.
    pub position: u64,
    /// When that was recorded.
    pub before: String,
}

/// The end of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadView {
    /// Position of its last entry.
    pub position: u64,
    /// Hash over the whole history.
    pub digest: String,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// `damage`, `missing`, `torn` or `note`.
    pub severity: &'static str,
    /// Which file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// Which entry it is about or begins with, if that is known.
    pub position: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

impl From<&VerifyReport> for VerificationView {
    fn from(report: &VerifyReport) -> Self {
        Self {
            sound: report.is_sound(),
            journal: report.journal.map(|journal| journal.to_string()),
            segments: report.segments,
            frames: report.frames,
            entries: report.entries,
            bytes: report.bytes,
            head: report.head.as_ref().map(Into::into),
            closed: report.closed,
            archived: report.archived.iter().map(ArchivedView::from).collect(),
            lost: report.lost.as_ref().map(Into::into),
            findings: report.findings.iter().map(Into::into).collect(),
            more_findings: report.more,
        }
    }
}

impl From<&Loss> for LossView {
    fn from(loss: &Loss) -> Self {
        Self { up_to: loss.up_to.0, position: loss.position.0, before: loss.before.to_string() }
    }
}

impl From<&Head> for HeadView {
    fn from(head: &Head) -> Self {
        Self { position: head.position.0, digest: head.digest.to_string() }
    }
}

impl From<&VerifyFinding> for FindingView {
    fn from(finding: &VerifyFinding) -> Self {
        Self {
            severity: finding.severity.name(),
            file: finding.file.display().to_string(),
            offset: finding.offset,
            position: finding.position.map(|position| position.0),
            what: finding.what.clone(),
        }
    }
}
