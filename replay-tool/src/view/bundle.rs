//! What a bundle is, and what a verification of one found.

use serde::Serialize;
use tachograph_adapters::bundle::reveal::Revealed;
use tachograph_adapters::bundle::seal::PublicKey;
use tachograph_adapters::bundle::{BundleReport, Manifest, Scope};
use tachograph_engine::domain::Digest;
use ulid::Ulid;

use super::{FindingView, HeadView};

/// What a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleView {
    /// Identity of the journal.
    pub journal: String,
    /// `whole`, `range` or `run`.
    pub scope: &'static str,
    /// The run, if its scope is one.
    pub run: Option<String>,
    /// `journal` if its frames are the journal's own; `own` if they were made for the bundle.
    pub chain: &'static str,
    /// Position of the first entry; zero without entries.
    pub first: u64,
    /// The last entry, and the hash of the chain there.
    pub last: HeadView,
    /// Entries in it.
    pub entries: u64,
    /// Where the journal ended when it was exported.
    pub journal_end: u64,
    /// When it was exported.
    pub exported_at: String,
    /// What made it.
    pub producer: String,
    /// The hash that stands for every byte but the seal.
    pub root: String,
    /// The public key that sealed it.
    pub sealed_by: Option<String>,
    /// What was redacted.
    pub redacted: Vec<RedactedView>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Values of one kind that were replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedactedView {
    /// Which values, for example `label.secret`.
    pub path: String,
    /// How many.
    pub values: u64,
}

/// What a verification of a bundle found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleVerificationView {
    /// Whether every byte is as it was written.
    pub sound: bool,
    /// What that proves; absent unless it is sound.
    pub proof: Option<&'static str>,
    /// What it is.
    pub bundle: BundleView,
    /// Whether the last entry says that the journal was closed.
    pub closed: bool,
    /// What the salts prove, if there were any.
    pub revealed: Option<RevealedView>,
    /// What is not as it was written.
    pub findings: Vec<FindingView>,
}

/// What salts prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevealedView {
    /// Replaced values in the bundle.
    pub replaced: u64,
    /// Those that fit their commitments.
    pub revealed: u64,
    /// The journal's digest, proved by putting all of them back.
    pub digest: Option<HeadView>,
}

impl BundleView {
    /// Of a manifest and what is around it.
    pub fn of(manifest: &Manifest, journal: Ulid, root: Digest, sealed_by: Option<PublicKey>, bytes: u64) -> Self {
        let run = match manifest.scope {
            Scope::Run(run) => Some(run.to_string()),
            Scope::Whole | Scope::Range => None,
        };
        let redacted = manifest.redacted.iter();
        Self {
            journal: journal.to_string(),
            scope: manifest.scope.name(),
            run,
            chain: manifest.chain.name(),
            first: manifest.first.0,
            last: (&manifest.tip).into(),
            entries: manifest.entries,
            journal_end: manifest.journal_head.position.0,
            exported_at: manifest.exported_at.to_string(),
            producer: manifest.producer.clone(),
            root: root.to_string(),
            sealed_by: sealed_by.map(|key| key.to_string()),
            redacted: redacted.map(|of| RedactedView { path: of.path.clone(), values: of.values }).collect(),
            bytes,
        }
    }
}

impl BundleVerificationView {
    /// Of a report, and of what salts proved.
    pub fn of(report: &BundleReport, revealed: Option<&Revealed>) -> Self {
        Self {
            sound: report.is_sound(),
            proof: report.proof().map(|proof| proof.name()),
            bundle: BundleView::of(&report.manifest, report.journal, report.root, report.sealed_by, report.bytes),
            closed: report.closed,
            revealed: revealed.map(|revealed| RevealedView {
                replaced: revealed.replaced,
                revealed: revealed.revealed,
                digest: revealed.digest.as_ref().map(Into::into),
            }),
            findings: report.findings.iter().map(Into::into).collect(),
        }
    }
}
