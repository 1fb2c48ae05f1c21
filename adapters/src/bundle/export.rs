//! Making a bundle out of a journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Entry, EntryBody, Position, RunId, Timestamp};
use tachograph_engine::ports::{Head, JournalError};
use ulid::Ulid;

use super::error::BundleError;
use super::imported_history::ImportedHistory;
use super::manifest::{Chain, Compression, Manifest, Scope};
use super::redaction::{Redactor, Search, Selector, commit};
use super::reveal::SaltsWriter;
use super::rewriting::Rewriter;
use super::seal::{PublicKey, SealKey};
use super::source::Source;
use super::units::Unit;
use super::writer::BundleWriter;
use crate::journal::Progress;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::frame::FrameHeader;
use crate::journal::stub::Stub;

/// Bytes between two calls of the progress callback, about.
const PROGRESS_BYTES: u64 = 4 << 20;

/// Which entries are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those between two positions, ends included. From the first position of the journal on, all that proves them is in
    /// the bundle. Without redaction whole commits are taken, so that there may be a few entries more at both ends.
    Positions {
        /// The first.
        first: Position,
        /// The last; any position behind the end stands for the end.
        last: Position,
    },
    /// Those about one run, and the facts about the journal between the first and the last of them.
    Run(RunId),
}

impl Selection {
    /// All entries.
    pub const WHOLE: Self = Self::Positions { first: Position(1), last: Position(u64::MAX) };

    fn is_whole(self) -> bool {
        matches!(self, Self::Positions { first, .. } if first <= Position(1))
    }

    /// Whether an entry may be among them; system facts of a run's time are sorted out later.
    fn may_take(self, entry: &Entry) -> bool {
        match self {
            Self::Positions { first, last } => first <= entry.position && entry.position <= last,
            Self::Run(run) => entry.run().is_none_or(|of| of == run),
        }
    }
}

/// How a bundle is made.
#[derive(Debug)]
pub struct Request {
    /// Which entries.
    pub selection: Selection,
    /// How blocks are kept.
    pub compression: Compression,
    /// The key that seals it.
    pub seal: Option<SealKey>,
    /// Which values are left out.
    pub redact: Vec<Selector>,
    /// The file for the salts of what is left out.
    pub salts: Option<PathBuf>,
    /// Whether values are left out although the journal's ids follow from its content, and show whether a guess is right.
    pub guessable_ids: bool,
    /// Whether files that exist are replaced.
    pub replaces: bool,
    /// When it is made.
    pub exported_at: Timestamp,
    /// What makes it.
    pub producer: String,
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Identity of the journal.
    pub journal: Ulid,
    /// What the bundle says about itself.
    pub manifest: Manifest,
    /// The hash that stands for it.
    pub root: Digest,
    /// Whose key sealed it.
    pub sealed_by: Option<PublicKey>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a bundle of the journal in `from`, a data directory or a whole bundle, to a new file. Works beside a live
/// writer, and then takes what was there when it began. Changes nothing of the journal.
///
/// Memory does not grow with the entries but for a few dozen bytes per run; redaction also holds the different values.
/// A crash leaves at most files whose names end in `.tmp`.
///
/// # Errors
///
/// [`BundleError::Occupied`] if there is such a file, [`BundleError::Nothing`] if no entry was selected, what stands in
/// the way of the redaction (as [`BundleError::GuessableIds`]), or [`BundleError::Journal`]: a damaged journal is no source of evidence.
pub fn export(
    from: &Path,
    out: &Path,
    request: &Request,
    progress: impl FnMut(Progress),
) -> Result<Exported, BundleError> {
    export_on(Arc::new(RealDisk), from, out, request, progress)
}

/// The same of a journal on another disk, for tests. The bundle is written to the real one.
///
/// # Errors
///
/// As [`export`].
pub fn export_on(
    disk: Arc<dyn Disk>,
    from: &Path,
    out: &Path,
    request: &Request,
    mut progress: impl FnMut(Progress),
) -> Result<Exported, BundleError> {
    let mut source = Source::open(&disk, from)?;
    if let Some(stub) = &source.stub {
        held(stub, request.selection)?;
    }
    let passes = if request.redact.is_empty() { 1 } else { 2 };
    let mut told = Told { passes, before: 0, at: 0, progress: &mut progress };
    let redactor = match passes {
        1 => None,
        _ => Some(search(&source, request, &mut told)?),
    };
    told.before = source.bytes_total() * (passes - 1);
    let writer = BundleWriter::create(out, request.replaces, source.journal, request.compression)?;
    let mut making = Making::begin(writer, out, request, redactor)?;
    while let Some(unit) = source.advance()? {
        let is_footer = matches!(unit, Unit::Footer(_));
        if !making.take(&source, unit)? {
            break;
        }
        if is_footer {
            source.skip_trailer();
        }
        told.tell(&source, making.writer.entries());
    }
    making.finish(&source, request)
}

/// What was archived is no source: the bundle that it is in is the evidence of it.
fn held(stub: &Stub, selection: Selection) -> Result<(), JournalError> {
    match selection {
        Selection::Positions { first, .. } if first <= stub.end().position => Err(stub.archived(first)),
        Selection::Run(run) => match stub.run_head(run)? {
            Some(head) => Err(stub.archived(head.last)),
            None => Ok(()),
        },
        Selection::Positions { .. } => Ok(()),
    }
}

/// How far it is, over one or two passes.
struct Told<'a> {
    passes: u64,
    before: u64,
    at: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Told<'_> {
    fn tell(&mut self, source: &Source, entries: u64) {
        let bytes = self.before + source.bytes_done();
        if bytes >= self.at + PROGRESS_BYTES {
            self.at = bytes;
            (self.progress)(Progress { bytes, bytes_total: source.bytes_total() * self.passes, entries });
        }
    }
}

/// Gathers the values that are to be left out.
fn search(source: &Source, request: &Request, told: &mut Told<'_>) -> Result<Redactor, BundleError> {
    let mut search = Search::new(&request.redact);
    let mut imported = ImportedHistory::default();
    if let Some(stub) = &source.stub {
        stub.for_each(|_, kept| {
            kept.record.iter().for_each(|record| imported.see_archived(record));
            Ok::<(), JournalError>(())
        })?;
    }
    let mut source = source.again();
    while let Some(unit) = source.advance()? {
        match unit {
            Unit::Commit(header) => {
                let entries = source.entries(&header)?;
                // Of all entries: the journal's own id is one of those.
                entries.iter().for_each(|entry| imported.see(entry));
                let taken = entries.into_iter().filter(|entry| request.selection.may_take(entry));
                for mut entry in taken {
                    search.see(&mut entry)?;
                }
            }
            Unit::Footer(_) => source.skip_trailer(),
            Unit::Segment(_) => {}
        }
        told.tell(&source, 0);
    }
    match imported.host() {
        Some(host) if !request.guessable_ids => Err(BundleError::GuessableIds { host }),
        _ => search.redactor(),
    }
}

/// A bundle in the making.
struct Making<'a> {
    writer: BundleWriter,
    out: &'a Path,
    selection: Selection,
    redactor: Option<Redactor>,
    salts: Option<SaltsWriter>,
    /// Absent if units are taken as they are.
    rewriter: Option<Rewriter>,
    /// Units without entries, until a commit follows them.
    pending: Vec<Vec<u8>>,
    /// Facts about the journal, until an entry about the run follows them.
    facts: Vec<Entry>,
    /// Hash of the unit before the first one.
    previous: Digest,
    /// The journal's hash at the last entry that was taken.
    digest: Digest,
}

impl<'a> Making<'a> {
    fn begin(
        writer: BundleWriter,
        out: &'a Path,
        request: &Request,
        redactor: Option<Redactor>,
    ) -> Result<Self, BundleError> {
        let selection = request.selection;
        let is_own = redactor.is_some() || matches!(selection, Selection::Run(_));
        let salts = match (&request.salts, &redactor) {
            (Some(path), Some(_)) => Some(SaltsWriter::create(path, request.replaces)?),
            _ => None,
        };
        let rewriter = is_own.then(|| Rewriter::behind(Digest::ZERO));
        let (pending, facts) = (Vec::new(), Vec::new());
        let (previous, digest) = (Digest::ZERO, Digest::ZERO);
        Ok(Self { writer, out, selection, redactor, salts, rewriter, pending, facts, previous, digest })
    }

    /// Takes a unit in; false behind the last one that is wanted.
    fn take(&mut self, source: &Source, unit: Unit) -> Result<bool, BundleError> {
        match (self.selection, unit) {
            (Selection::Positions { last, .. }, Unit::Commit(header)) if header.first > last => return Ok(false),
            (Selection::Positions { .. }, Unit::Commit(header)) => self.positions(source, &header)?,
            (Selection::Run(run), Unit::Commit(header)) => {
                for entry in source.entries(&header)? {
                    self.about(run, entry)?;
                }
            }
            (selection, Unit::Segment(header)) => {
                if selection.is_whole() {
                    let rewritten = self.rewriter.as_mut().map(|rewriter| rewriter.segment(&header));
                    self.pending.push(rewritten.unwrap_or_else(|| source.bytes().to_vec()));
                } else if self.is_verbatim_and_begun() {
                    self.pending.push(source.bytes().to_vec());
                }
            }
            (selection, Unit::Footer(header)) => {
                if selection.is_whole() {
                    let rewritten = self.rewriter.as_mut().map(|rewriter| rewriter.footer(&header)).transpose()?;
                    self.pending.push(rewritten.unwrap_or_else(|| source.bytes().to_vec()));
                } else if self.is_verbatim_and_begun() {
                    self.pending.push(source.bytes().to_vec());
                }
            }
        }
        Ok(true)
    }

    fn is_verbatim_and_begun(&self) -> bool {
        self.rewriter.is_none() && self.writer.entries() > 0
    }

    /// A commit of which some entries may be between two positions.
    fn positions(&mut self, source: &Source, header: &FrameHeader) -> Result<(), BundleError> {
        let entries = source.entries(header)?;
        if !entries.iter().any(|entry| self.selection.may_take(entry)) {
            return Ok(());
        }
        if self.rewriter.is_none() {
            if self.writer.entries() == 0 && !self.selection.is_whole() {
                self.previous = header.previous;
            }
            self.digest = source.hash();
            self.write_pending()?;
            return self.writer.commit(source.bytes(), source.hash(), &entries, self.out);
        }
        if !self.selection.is_whole() {
            let taken = entries.into_iter().filter(|entry| self.selection.may_take(entry)).collect::<Vec<_>>();
            return taken.into_iter().try_for_each(|entry| self.single(entry));
        }
        self.digest = source.hash();
        self.write_pending()?;
        self.rewritten(header, entries)
    }

    /// A commit with the values in it replaced.
    fn rewritten(&mut self, header: &FrameHeader, mut entries: Vec<Entry>) -> Result<(), BundleError> {
        entries.iter_mut().try_for_each(|entry| self.redact(entry))?;
        let Some(rewriter) = &mut self.rewriter else { return Ok(()) };
        let bytes = rewriter.commit(header, &entries)?;
        self.writer.commit(&bytes, rewriter.link(), &entries, self.out)
    }

    /// An entry that may be about the run.
    fn about(&mut self, run: RunId, entry: Entry) -> Result<(), BundleError> {
        match &entry.body {
            EntryBody::System(_) => {
                if self.writer.entries() > 0 {
                    self.facts.push(entry);
                }
            }
            EntryBody::Committed(_) | EntryBody::Refused(_) if entry.run() == Some(run) => {
                for fact in std::mem::take(&mut self.facts) {
                    self.single(fact)?;
                }
                self.single(entry)?;
            }
            EntryBody::Committed(_) | EntryBody::Refused(_) => {}
        }
        Ok(())
    }

    /// An entry in a commit of its own.
    fn single(&mut self, mut entry: Entry) -> Result<(), BundleError> {
        self.redact(&mut entry)?;
        let Some(rewriter) = &mut self.rewriter else { return Ok(()) };
        let bytes = rewriter.single(&entry)?;
        self.writer.commit(&bytes, rewriter.link(), &[entry], self.out)
    }

    fn redact(&mut self, entry: &mut Entry) -> Result<(), BundleError> {
        let Some(redactor) = &mut self.redactor else { return Ok(()) };
        redactor.redact(entry)?;
        let replaced = redactor.take_replaced();
        match &mut self.salts {
            Some(salts) => salts.add(replaced),
            None => Ok(()),
        }
    }

    fn write_pending(&mut self) -> Result<(), BundleError> {
        for unit in std::mem::take(&mut self.pending) {
            self.writer.unit(&unit, self.out)?;
        }
        Ok(())
    }

    fn finish(mut self, source: &Source, request: &Request) -> Result<Exported, BundleError> {
        if self.writer.entries() == 0 {
            if !self.selection.is_whole() || source.head.position > Position::ZERO {
                return Err(BundleError::Nothing { why: nothing(self.selection) });
            }
            // A journal without entries is its first segment's header.
            self.write_pending()?;
        }
        let scope = match self.selection {
            Selection::Run(run) => Scope::Run(run),
            Selection::Positions { .. } if self.selection.is_whole() => Scope::Whole,
            Selection::Positions { .. } => Scope::Range,
        };
        let chain = if self.rewriter.is_some() { Chain::Own } else { Chain::Journal };
        let journal_head = self.journal_head(source)?;
        let manifest = Manifest {
            scope,
            chain,
            compression: request.compression,
            first: Position::ZERO,
            tip: Head { position: Position::ZERO, digest: Digest::ZERO },
            entries: 0,
            previous: self.previous,
            journal_head,
            exported_at: request.exported_at,
            producer: request.producer.clone(),
            redacted: self.redactor.as_ref().map(Redactor::counts).unwrap_or_default(),
            stream_bytes: 0,
            blocks: Vec::new(),
            index: Vec::new(),
        };
        // The salts first: without them the values of a bundle that is there could never be proved.
        if let Some(salts) = self.salts.take() {
            salts.publish()?;
        }
        self.writer.finish(manifest, request.seal.as_ref(), self.out)
    }

    /// The journal's head as the bundle tells it. Its hash depends on the values that are left out, and everything else
    /// in it is known: told plainly, it would show whether a guess of a value is right.
    fn journal_head(&mut self, source: &Source) -> Result<Head, BundleError> {
        let Some(redactor) = &self.redactor else { return Ok(source.head) };
        if !self.selection.is_whole() {
            return Ok(Head { position: source.head.position, digest: Digest::ZERO });
        }
        let salt = redactor.salt("head", &self.digest.0);
        if let Some(salts) = &mut self.salts {
            salts.head(salt)?;
        }
        Ok(Head { position: source.head.position, digest: commit(salt, &self.digest.0) })
    }
}

fn nothing(selection: Selection) -> String {
    match selection {
        Selection::Run(run) => format!("none is about run {run}"),
        Selection::Positions { first, last: Position(u64::MAX) } => format!("none is at position {first} or later"),
        Selection::Positions { first, last } => format!("none is between positions {first} and {last}"),
    }
}
