//! Checking a whole bundle: every byte against its hash, every entry against the ones before it.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::{Digest, Entry, EntryBody, Position, SystemFact};
use tachograph_engine::ports::{Head, JournalError};
use ulid::Ulid;

use super::claims::Claims;
use super::header;
use super::manifest::{Chain, Manifest, Scope};
use super::reader::BundleReader;
use super::rewriting::SegmentContents;
use super::seal::PublicKey;
use super::stream::{BlockStream, entries_text};
use super::units::{Unit, Units};
use crate::journal::footer::{Contents, Footer, sparse_offset};
use crate::journal::frame::{self, FrameHeader};
use crate::journal::segment::{self, SegmentHeader};
use crate::journal::{Progress, Severity, VerifyFinding};

/// How far before a block the unit may begin that reaches into it: the greatest commit, and a row of the sparse table.
const REACH_BYTES_MAX: u64 = 20 << 20;
/// Findings that are kept.
const FINDINGS_MAX: usize = 1_000;

/// What the bytes of a sound bundle prove by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// All entries from the journal's first byte on hash to the journal's digest at the last of them.
    Journal,
    /// The entries are the journal's own frames and hash, together with the named hash of the history before them, to
    /// the journal's digest at the last of them.
    JournalRange,
    /// The entries hash to the bundle's own root, and to nothing that the journal has.
    Root,
}

impl Proof {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal_digest",
            Self::JournalRange => "journal_digest_of_range",
            Self::Root => "own_root",
        }
    }
}

/// What a verification of a bundle found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleReport {
    /// Identity of the journal that it was made from.
    pub journal: Ulid,
    /// What the bundle says about itself.
    pub manifest: Manifest,
    /// The hash that stands for it.
    pub root: Digest,
    /// Whose key sealed it; the signature is right.
    pub sealed_by: Option<PublicKey>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Entries that were checked.
    pub entries: u64,
    /// Whether the last entry says that the journal was closed.
    pub closed: bool,
    /// What is not as it should be; at most 1,000.
    pub findings: Vec<VerifyFinding>,
}

impl BundleReport {
    /// Whether every byte is as it was written, and the entries follow from each other.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// What is proved by that; absent unless it is sound.
    pub fn proof(&self) -> Option<Proof> {
        let proof = match (self.manifest.chain, self.manifest.scope) {
            (Chain::Journal, Scope::Whole) => Proof::Journal,
            (Chain::Journal, Scope::Range | Scope::Run(_)) => Proof::JournalRange,
            (Chain::Own, _) => Proof::Root,
        };
        self.is_sound().then_some(proof)
    }
}

/// Checks a bundle and changes nothing. `progress` is called for every block.
///
/// First every block against its hash; if all are right, every unit, link and position, that every entry can be decoded
/// and follows from those before it, the index against the entries, and what else the manifest claims: that a bundle of one run
/// has nothing of others, that a whole one begins at the beginning, that so many values are redacted.
///
/// # Errors
///
/// As [`BundleReader::open`]. Damage behind the header and before the manifest is no error here but a finding.
pub fn verify(path: &Path, mut progress: impl FnMut(Progress)) -> Result<BundleReport, JournalError> {
    check(&BundleReader::open(path)?, &mut progress)
}

/// Checks a bundle that is open already.
pub(super) fn check(bundle: &BundleReader, progress: &mut dyn FnMut(Progress)) -> Result<BundleReport, JournalError> {
    let mut report = BundleReport {
        journal: bundle.journal(),
        manifest: bundle.manifest().clone(),
        root: bundle.root(),
        sealed_by: bundle.sealed_by(),
        bytes: bundle.bytes(),
        entries: 0,
        closed: false,
        findings: Vec::new(),
    };
    let index = Footer::decode(&report.manifest.index, 0, Digest::ZERO);
    let stream = bundle.stream();
    // Blocks are read twice: a bundle with damage is told block by block, whatever its units say.
    let bytes_total = 2 * bundle.bytes();
    for block in 0..stream.blocks() {
        match stream.block(block) {
            Ok(_) => {}
            Err(JournalError::Damaged { .. }) => report.damage(damage(&stream, index.as_ref(), block)),
            Err(error) => return Err(error),
        }
        let (at, length) = stream.place(block);
        progress(Progress { bytes: at + length, bytes_total, entries: 0 });
    }
    if report.is_sound() {
        let mut check = Check::new(bundle, &mut report);
        let checked = check.units(&mut |bytes, entries| {
            progress(Progress { bytes: bundle.bytes() + bytes.min(bundle.bytes()), bytes_total, entries });
        });
        match checked {
            Err(JournalError::Damaged { offset, why, .. }) => report.finding(bundle.path(), offset, None, &why),
            checked => checked?,
        }
    }
    Ok(report)
}

impl BundleReport {
    fn damage(&mut self, finding: VerifyFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    fn finding(&mut self, path: &Path, offset: u64, position: Option<Position>, what: &str) {
        let (file, what) = (path.to_owned(), what.to_owned());
        self.damage(VerifyFinding { severity: Severity::Damage, file, offset, position, what });
    }
}

/// The finding about a block that is not as it was written, with the commit named that the damage begins in.
fn damage(stream: &BlockStream, index: Option<&Footer>, block: usize) -> VerifyFinding {
    let (first, last) = stream.entries(block);
    let (position, what) = match index.and_then(|index| locate(stream, index, block)) {
        Some(Located::Commit(first, last)) if first < last => {
            let commit = entries_text(first, last);
            (first, format!("one of {commit}, which were committed together, is not as it was written"))
        }
        Some(Located::Commit(first, _)) => (first, format!("entry {first} is not as it was written")),
        Some(Located::Between(next)) => {
            (next, format!("what stands between entry {} and entry {next} is not as it was written", next.0 - 1))
        }
        None => (first, format!("{} are not as they were written, or one of them", entries_text(first, last))),
    };
    let rest = format!("; the block that it is in holds {} and is out of reach", entries_text(first, last));
    let (file, offset) = (stream.path().to_owned(), stream.place(block).0);
    VerifyFinding { severity: Severity::Damage, file, offset, position: Some(position), what: what + &rest }
}

/// Where damage begins.
enum Located {
    /// In a commit of these entries.
    Commit(Position, Position),
    /// Outside of commits, before this entry.
    Between(Position),
}

/// Goes over the units of a damaged block, and of those before it that reach into it, up to the first bad one.
fn locate(stream: &BlockStream, index: &Footer, block: usize) -> Option<Located> {
    let (first, _) = stream.entries(block);
    let at = stream.stream_at(block);
    let begin = sparse_offset(&index.sparse, first).unwrap_or(0);
    // The index may be somebody's who wants much memory to be used.
    if at.saturating_sub(begin) > REACH_BYTES_MAX {
        return None;
    }
    let from = stream.index_of(begin).min(block);
    let mut bytes = Vec::new();
    for before in from..block {
        bytes.extend_from_slice(&stream.block(before).ok()?);
    }
    bytes.extend_from_slice(&legible(stream, block)?);
    let begin = usize::try_from(begin.checked_sub(stream.stream_at(from))?).ok()?;
    Some(first_bad(bytes.get(begin..)?, index.first.max(Position(1))))
}

/// As much of a damaged block as can be made of it.
fn legible(stream: &BlockStream, block: usize) -> Option<Vec<u8>> {
    let stored = stream.stored(block).ok()?;
    if stream.is_plain(block) {
        return Some(stored);
    }
    let mut bytes = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(&stored[..]).ok()?;
    // No block is longer, so none needs more to look back at.
    decoder.window_log_max(24).ok()?;
    // What comes out before the damage is kept; the rest is an error.
    let _ = decoder.take(stream.raw_bytes(block)).read_to_end(&mut bytes);
    Some(bytes)
}

/// The first unit that is not sound.
fn first_bad(bytes: &[u8], first: Position) -> Located {
    let mut rest = bytes;
    let mut next = first;
    loop {
        if let Some(header) = rest.first_chunk::<{ frame::HEADER_BYTES }>().and_then(FrameHeader::decode) {
            next = header.first;
            let length = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
            let payload = rest.get(frame::HEADER_BYTES..length).map(crc32c::crc32c);
            if payload != Some(header.payload_crc) {
                return match header.count {
                    0 => Located::Between(next),
                    _ => Located::Commit(next, Position(header.next().0 - 1)),
                };
            }
            next = header.next();
            rest = rest.get(length..).unwrap_or_default();
        } else if SegmentHeader::decode(rest).is_ok() {
            rest = rest.get(segment::HEADER_BYTES..).unwrap_or_default();
        } else if rest.starts_with(b"TACHO") {
            return Located::Between(next);
        } else {
            return Located::Commit(next, next);
        }
    }
}

/// The check of units and entries.
struct Check<'a> {
    report: &'a mut BundleReport,
    units: Units,
    /// Hash of the unit before.
    link: Digest,
    last: Position,
    claims: Claims,
    segment: SegmentContents,
    contents: Contents,
    first: Position,
    tip: Digest,
    /// Whether the beginnings of runs may not be in the bundle.
    is_part: bool,
}

impl<'a> Check<'a> {
    fn new(bundle: &BundleReader, report: &'a mut BundleReport) -> Self {
        let is_part = report.manifest.scope == Scope::Range;
        let link = report.manifest.previous;
        Self {
            report,
            units: bundle.units(),
            link,
            last: Position::ZERO,
            claims: Claims::default(),
            segment: SegmentContents::default(),
            contents: Contents::default(),
            first: Position::ZERO,
            tip: Digest::ZERO,
            is_part,
        }
    }

    fn units(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), JournalError> {
        while let Some(unit) = self.units.advance()? {
            if unit.previous() != self.link {
                return Err(self.units.damaged("a unit does not follow the one before it"));
            }
            self.link = self.units.hash();
            self.claims.unit(&self.report.manifest, &unit).map_err(|why| self.units.damaged(why))?;
            match unit {
                Unit::Segment(header) => self.segment(&header)?,
                Unit::Commit(header) => self.commit(&header)?,
                Unit::Footer(header) => self.footer(&header)?,
            }
            progress(self.units.at(), self.report.entries);
        }
        self.finish()
    }

    fn segment(&mut self, header: &SegmentHeader) -> Result<(), JournalError> {
        if header.journal != self.report.journal {
            return Err(self.units.damaged("a segment belongs to another journal"));
        }
        if header.first != self.last.next() && self.report.manifest.scope == Scope::Whole {
            return Err(self.units.damaged("a segment begins with another entry than the next"));
        }
        self.segment.segment(header);
        Ok(())
    }

    fn commit(&mut self, header: &FrameHeader) -> Result<(), JournalError> {
        let mut entries = self.units.entries(header)?;
        let begins = header.first > self.last && (self.has_gaps() || header.first == self.last.next());
        let begins = begins || (self.report.entries == 0 && self.report.manifest.scope != Scope::Whole);
        if !begins {
            return Err(self.units.damaged("a commit begins with another entry than the next"));
        }
        self.contents.frame(header.first, self.units.at());
        for entry in &entries {
            let Ok(()) = self.contents.entry(entry, |_| Ok::<_, Infallible>(None));
            self.about(entry);
        }
        if let Err((position, why)) = self.segment.commit(&entries, self.units.bytes().len())
            && !self.is_part
        {
            return Err(self.units.damaged(&format!("entry {position}: {why}")));
        }
        if self.report.entries == 0 {
            self.first = header.first;
        }
        self.claims.entries(&self.report.manifest, &mut entries).map_err(|why| self.units.damaged(&why))?;
        self.report.entries += entries.len() as u64;
        self.last = Position(header.next().0.saturating_sub(1));
        self.tip = self.link;
        Ok(())
    }

    fn has_gaps(&self) -> bool {
        matches!(self.report.manifest.scope, Scope::Run(_))
    }

    fn about(&mut self, entry: &Entry) {
        self.report.closed = matches!(entry.body, EntryBody::System(SystemFact::Closed(_)));
    }

    fn footer(&mut self, header: &FrameHeader) -> Result<(), JournalError> {
        let told = self.units.bytes().get(frame::HEADER_BYTES..).unwrap_or_default();
        if !self.is_part && self.segment.footer(header.first) != told {
            return Err(self.units.damaged("a footer does not describe its segment"));
        }
        Ok(())
    }

    /// What the manifest says, against what is there.
    fn finish(&mut self) -> Result<(), JournalError> {
        let Manifest { first, tip, entries, index, .. } = &self.report.manifest;
        let told = (*first, *tip, *entries);
        let found = (self.first, Head { position: self.last, digest: self.tip }, self.report.entries);
        let expected =
            if self.report.entries == 0 { Vec::new() } else { self.contents.encode(self.first, self.last.next()) };
        let differs = (told != found || *index != expected).then_some("it does not describe the entries");
        match differs.or_else(|| self.claims.finish(&self.report.manifest)) {
            None => Ok(()),
            Some(why) => {
                let (why, offset) = (format!("the manifest is not right: {why}"), header::BYTES as u64);
                Err(JournalError::Damaged { file: PathBuf::new(), offset, why })
            }
        }
    }
}
