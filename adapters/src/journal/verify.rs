//! Checking a whole journal: every byte, every link, every statement about another part of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Entry, EntryBody, Position, SystemFact};
use tachograph_engine::ports::{Head, JournalError};

use super::JOURNAL_DIR;
use super::anchor::{self, Anchor, Found as FoundAnchor};
use super::disk::{Disk, DiskFile, Mode, RealDisk};
use super::evidence::Evidence;
use super::footer::{Contents, TRAILER_BYTES};
use super::frame::{FrameKind, Records};
use super::layout::Layout;
use super::report::{Loss, Progress, Severity, VerifyFinding, VerifyReport};
use super::runs::Runs;
use super::scan::{Bad, BadKind, Frame, Trailer};
use super::segment::{self, BadHeader, SegmentHeader, SegmentName};
use super::stub::{STUB_VERSION, Stub};
use super::view::UNCREATED;
use super::walk::{Unit, Walk};

/// Findings that are kept; more are counted.
const FINDINGS_MAX: usize = 1_000;
/// Notes among them, so that they leave room for what is worse.
const NOTES_MAX: usize = 100;
/// Bytes between two calls of the progress callback, about.
const PROGRESS_BYTES: u64 = 4 << 20;

/// Checks the journal of a data directory and changes nothing. `progress` is called every few megabytes.
///
/// Checked are every segment header, frame, checksum, link of the chain and position; that every entry can be decoded,
/// points back to the entry before it about its run, has the version that follows, and holds events that may follow;
/// every footer and trailer against its segment; and the anchor against the history.
///
/// # Errors
///
/// [`JournalError::NoJournal`] if there is nothing to check, [`JournalError::NewerFormat`], or [`JournalError::Io`] if
/// a file cannot be read. Damage is no error here but a finding.
pub fn verify(data_dir: &Path, progress: impl FnMut(Progress)) -> Result<VerifyReport, JournalError> {
    verify_on(Arc::new(RealDisk), data_dir, progress)
}

/// The same on another disk, for tests.
///
/// # Errors
///
/// As [`verify()`].
pub fn verify_on(
    disk: Arc<dyn Disk>,
    data_dir: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<VerifyReport, JournalError> {
    let journal_dir = data_dir.join(JOURNAL_DIR);
    // The anchor first: a live writer may replace it, and make a segment, meanwhile.
    let found = match Anchor::find(&*disk, &journal_dir) {
        Err(JournalError::Io { source, .. }) if is_nothing(&source) => FoundAnchor::Absent,
        found => found?,
    };
    let (Listed { layout, bad_stub }, files) = Listed::opened(&*disk, &journal_dir)?;
    let Layout { stub, segments, leftovers } = layout;
    if segments.is_empty() && found == FoundAnchor::Absent {
        let why = "there are no segments in its directory `journal`".to_owned();
        return Err(JournalError::NoJournal { path: data_dir.to_owned(), why });
    }
    let unanchored = found == FoundAnchor::Absent;
    let mut verifier = Verifier::new(journal_dir, &mut progress);
    verifier.anchor(found)?;
    if let Some((file, offset, why)) = bad_stub {
        verifier.note(Severity::Damage, &file, offset, None, &why);
    }
    if let Some(stub) = stub {
        verifier.stub(&stub)?;
    }
    // An archiving that is under way removes them meanwhile.
    let is_gone = |path: &PathBuf| disk.open(path, Mode::Read).is_err_and(|error| is_nothing(&error));
    for path in leftovers.into_iter().filter(|path| !is_gone(path)) {
        let what = "an archiving that was interrupted left it; the next writer removes it";
        verifier.note(Severity::Note, &path, 0, None, what);
    }
    let opened: Vec<Opened<'_>> =
        segments.iter().zip(files).map(|(name, (file, end))| Opened { name, file, end }).collect();
    if let ([only], true) = (&opened[..], unanchored)
        && only.name.first == Position::ZERO.next()
        && only.end <= segment::HEADER_BYTES as u64
        && matches!(read_header(only)?, Err(BadHeader::Short | BadHeader::Invalid))
    {
        return Err(JournalError::NoJournal { path: data_dir.to_owned(), why: UNCREATED.to_owned() });
    }
    verifier.bytes_total = opened.iter().map(|segment| segment.end).sum();
    for (index, segment) in opened.iter().enumerate() {
        verifier.segment(segment, index + 1 < opened.len())?;
    }
    Ok(verifier.finish())
}

fn read_header(opened: &Opened<'_>) -> Result<Result<SegmentHeader, BadHeader>, JournalError> {
    SegmentHeader::read(&*opened.file).map_err(|error| opened.io(error))
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// An open segment file, and its length when it was opened.
type OpenedFile = (Arc<dyn DiskFile>, u64);

/// The files that are to be checked.
struct Listed {
    layout: Layout,
    /// Where and how the stub is damaged, if it is.
    bad_stub: Option<(PathBuf, u64, String)>,
}

impl Listed {
    /// Lists the files and opens the segments; once more whenever segments were archived between the two.
    fn opened(disk: &dyn Disk, journal_dir: &Path) -> Result<(Self, Vec<OpenedFile>), JournalError> {
        let mut listed = Self::read(disk, journal_dir)?;
        loop {
            let files = listed.open(disk);
            if matches!(&files, Ok(files) if !listed.is_replaced(files)) {
                return files.map(|files| (listed, files));
            }
            let again = Self::read(disk, journal_dir)?;
            if again.layout.archived() <= listed.layout.archived() {
                return files.map(|files| (listed, files));
            }
            listed = again;
        }
    }

    fn read(disk: &dyn Disk, journal_dir: &Path) -> Result<Self, JournalError> {
        let nothing = || Layout { stub: None, segments: Vec::new(), leftovers: Vec::new() };
        let (layout, bad_stub) = match Layout::read(disk, journal_dir) {
            Ok(layout) => (layout, None),
            Err(JournalError::Io { source, .. }) if is_nothing(&source) => (nothing(), None),
            Err(JournalError::Damaged { file, offset, why }) => {
                let segments = segment::list(disk, journal_dir)?.into_iter().skip(1).collect();
                (Layout { segments, ..nothing() }, Some((file, offset, why)))
            }
            Err(error) => return Err(error),
        };
        Ok(Self { layout, bad_stub })
    }

    fn open(&self, disk: &dyn Disk) -> Result<Vec<OpenedFile>, JournalError> {
        let open = |name: &SegmentName| {
            let file = disk.open(&name.path, Mode::Read)?;
            let end = file.length()?;
            Ok((file, end))
        };
        let opened = |name| open(name).map_err(|error| JournalError::io("read", &name.path, error));
        self.layout.segments.iter().map(opened).collect()
    }

    /// Whether a stub took the place of the first segment before that was opened.
    fn is_replaced(&self, files: &[OpenedFile]) -> bool {
        let header = files.first().map(|(file, _)| SegmentHeader::read(&**file));
        self.layout.stub.is_none() && matches!(header, Some(Ok(Err(BadHeader::Newer { found: STUB_VERSION, .. }))))
    }
}

/// A segment file and its length at the beginning: what a live writer adds meanwhile is not looked at.
struct Opened<'a> {
    name: &'a SegmentName,
    file: Arc<dyn DiskFile>,
    end: u64,
}

impl Opened<'_> {
    fn io(&self, error: std::io::Error) -> JournalError {
        JournalError::io("read", &self.name.path, error)
    }
}

/// Whether a live writer has made the file longer since its end was asked for: what lies across that end is not looked at.
fn has_grown(opened: &Opened<'_>) -> Result<bool, JournalError> {
    Ok(opened.file.length().map_err(|error| opened.io(error))? > opened.end)
}

/// The state between two units.
struct Verifier<'a> {
    journal_dir: PathBuf,
    progress: &'a mut dyn FnMut(Progress),
    report: VerifyReport,
    anchor: Option<Anchor>,
    bytes_total: u64,
    /// Bytes of segments that are done, and how many were told.
    bytes_done: u64,
    bytes_told: u64,
    /// Position that is expected next.
    next: Position,
    ordinal: u64,
    /// Hash that the next unit must name; unknown behind damage.
    link: Option<Digest>,
    runs: Runs,
    /// Whether everything so far could be read: only then do entries have to follow from what was read.
    whole: bool,
    notes: usize,
    /// Whether there is no anchor at all.
    is_unanchored: bool,
}

/// What is known about the present segment.
struct Present<'a> {
    opened: &'a Opened<'a>,
    has_later: bool,
    contents: Contents,
    /// Whether all of it so far could be read, so that its footer can be compared.
    whole: bool,
    sealed: bool,
}

impl<'a> Verifier<'a> {
    fn new(journal_dir: PathBuf, progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            journal_dir,
            progress,
            report: VerifyReport::default(),
            anchor: None,
            bytes_total: 0,
            bytes_done: 0,
            bytes_told: 0,
            next: Position::ZERO.next(),
            ordinal: 0,
            link: Some(Digest::ZERO),
            runs: Runs::default(),
            whole: true,
            notes: 0,
            is_unanchored: false,
        }
    }

    fn note(&mut self, severity: Severity, file: &Path, offset: u64, position: Option<Position>, what: &str) {
        if severity == Severity::Note {
            self.notes += 1;
            if self.notes > NOTES_MAX {
                return;
            }
        }
        if self.report.findings.len() >= FINDINGS_MAX {
            self.report.more += 1;
            return;
        }
        let (file, what) = (file.to_owned(), what.to_owned());
        self.report.findings.push(VerifyFinding { severity, file, offset, position, what });
    }

    fn damage(&mut self, opened: &Opened<'_>, offset: u64, what: &str) {
        self.note(Severity::Damage, &opened.name.path, offset, Some(self.next), what);
    }

    fn anchor(&mut self, found: FoundAnchor) -> Result<(), JournalError> {
        if found == FoundAnchor::Bad {
            let file = self.journal_dir.join(anchor::FILE);
            self.note(Severity::Damage, &file, 0, None, anchor::BAD);
            return Ok(());
        }
        self.anchor = found.sound(&self.journal_dir)?;
        self.is_unanchored = self.anchor.is_none();
        Ok(())
    }

    /// Begins where the archive ends.
    fn stub(&mut self, stub: &Stub) -> Result<(), JournalError> {
        self.report.bytes += stub.bytes();
        match stub.check() {
            Err(JournalError::Damaged { file, offset, why }) => {
                self.note(Severity::Damage, &file, offset, None, &why);
                self.whole = false;
            }
            checked => {
                checked?;
                stub.for_each(|_, kept| {
                    kept.record.iter().for_each(|record| self.runs.begin(record));
                    Ok::<(), JournalError>(())
                })?;
            }
        }
        let next = stub.successor();
        self.report.journal = Some(next.journal);
        self.report.archived = stub.bundles().to_vec();
        self.report.head = Some(stub.end());
        (self.next, self.ordinal) = (next.first, next.ordinal.saturating_sub(1));
        self.link = Some(next.previous);
        Ok(())
    }

    fn segment(&mut self, opened: &Opened<'_>, has_later: bool) -> Result<(), JournalError> {
        self.report.segments += 1;
        self.report.bytes += opened.end;
        let mut present = Present { opened, has_later, contents: Contents::default(), whole: true, sealed: false };
        if !self.header(&mut present)? {
            return Ok(());
        }
        let mut walk = Walk::new(opened.file.clone(), opened.end);
        let mut looked_again = None;
        loop {
            self.tell(walk.offset(), false);
            match walk.next().map_err(|error| opened.io(error))? {
                None => break,
                Some(Unit::Frame(frame)) if frame.header.kind == FrameKind::Commit => self.commit(&mut present, &frame),
                Some(Unit::Frame(frame)) => self.footer(&mut present, &frame)?,
                // It was not there yet when the end was asked for.
                Some(Unit::Gap { bad: Bad { kind: BadKind::Short, .. }, .. }) if !has_later && has_grown(opened)? => {
                    break;
                }
                Some(Unit::Gap { bad, end }) => {
                    let proof = self.proof(&present, bad)?;
                    // It may have been on its way when it was read, and durable when the proof was.
                    if proof.is_some() && looked_again != Some(bad) {
                        looked_again = Some(bad);
                        walk.look_again(bad);
                    } else if self.gap(&mut present, bad, end, proof) {
                        break;
                    }
                }
            }
        }
        if !present.sealed && has_later && present.whole {
            self.damage(opened, opened.end, "it ends without a footer, and a later segment exists");
        }
        self.bytes_done += opened.end;
        self.tell(0, !has_later);
        Ok(())
    }

    fn tell(&mut self, offset: u64, now: bool) {
        let bytes = self.bytes_done + offset;
        if now || bytes >= self.bytes_told + PROGRESS_BYTES {
            self.bytes_told = bytes;
            (self.progress)(Progress { bytes, bytes_total: self.bytes_total, entries: self.report.entries });
        }
    }

    /// Whether there is anything behind the header to be checked.
    fn header(&mut self, present: &mut Present<'_>) -> Result<bool, JournalError> {
        let opened = present.opened;
        match SegmentHeader::read(&*opened.file).map_err(|error| opened.io(error))? {
            Ok(header) => self.sound_header(opened, &header),
            Err(newer @ BadHeader::Newer { .. }) => return Err(newer.error(&opened.name.path)),
            Err(_) if !present.has_later && opened.end <= segment::HEADER_BYTES as u64 => {
                let what = "the creation of the segment did not complete";
                self.note(Severity::Torn, &opened.name.path, 0, Some(opened.name.first), what);
                return Ok(false);
            }
            Err(bad) => {
                self.damage(opened, 0, bad.why());
                self.link = None;
            }
        }
        self.ordinal = self.ordinal.saturating_add(1);
        Ok(true)
    }

    fn sound_header(&mut self, opened: &Opened<'_>, header: &SegmentHeader) {
        let journal = self.report.journal.or(self.anchor.as_ref().map(|anchor| anchor.journal));
        if journal.is_some_and(|journal| journal != header.journal) {
            self.damage(opened, 0, "it belongs to another journal than the anchor or the segment before");
        }
        self.report.journal.get_or_insert(header.journal);
        if header.first != opened.name.first {
            self.damage(opened, 0, "its name is not the first position in its header");
        }
        self.reach(opened, 0, header.first);
        if self.link.is_some_and(|link| link != header.previous || header.ordinal != self.ordinal.saturating_add(1)) {
            self.damage(opened, 0, "it does not follow the segment before it");
        }
        self.ordinal = header.ordinal.saturating_sub(1);
        self.link = Some(header.hash());
    }

    /// Notes what is missing before a position, or that it was there before.
    fn reach(&mut self, opened: &Opened<'_>, offset: u64, first: Position) {
        if first > self.next {
            let what = format!("entries {} to {} are missing before it", self.next, first.0 - 1);
            self.note(Severity::Missing, &opened.name.path, offset, Some(self.next), &what);
            self.whole = false;
            self.link = None;
        } else if first < self.next {
            self.damage(opened, offset, &format!("it begins with entry {first} again"));
            self.whole = false;
        }
        self.next = first;
    }

    fn linked(&mut self, present: &Present<'_>, frame: &Frame<'_>) {
        self.reach(present.opened, frame.offset, frame.header.first);
        if self.link.is_some_and(|link| link != frame.header.previous) {
            self.damage(present.opened, frame.offset, "the frame is sound but does not follow the one before it");
        }
        self.link = Some(frame.hash());
    }

    fn commit(&mut self, present: &mut Present<'_>, frame: &Frame<'_>) {
        if present.sealed {
            self.damage(present.opened, frame.offset, "bytes follow the segment's trailer");
        }
        self.linked(present, frame);
        self.report.frames += 1;
        present.contents.frame(frame.header.first, frame.offset);
        let mut records = Records::new(&frame.header, frame.payload());
        loop {
            match records.entry() {
                Ok(Some(entry)) => {
                    let runs = &self.runs;
                    let noted: Result<(), std::convert::Infallible> =
                        present.contents.entry(&entry, |run| Ok(runs.head(run)));
                    debug_assert!(noted.is_ok());
                    let follows = self.runs.observe(&entry);
                    if let (Err(what), true) = (follows, self.whole) {
                        let path = &present.opened.name.path;
                        self.note(Severity::Damage, path, frame.offset, Some(entry.position), &what);
                    }
                    self.report.entries += 1;
                    self.recorded_loss(&present.opened.name.path, frame.offset, &entry);
                    self.report.closed = matches!(entry.body, EntryBody::System(SystemFact::Closed(_)));
                    self.next = entry.position.next();
                }
                Ok(None) => break,
                Err(what) => {
                    self.damage(present.opened, frame.offset, &what);
                    (present.whole, self.whole) = (false, false);
                    break;
                }
            }
        }
        self.next = frame.header.next();
        let head = Head { position: Position(self.next.0.saturating_sub(1)), digest: frame.hash() };
        self.report.head = Some(head);
        self.anchored(present, frame, head);
    }

    /// Notes what a writer found to be gone: what is there is sound, and yet not all that was acknowledged.
    fn recorded_loss(&mut self, path: &Path, offset: u64, entry: &Entry) {
        let EntryBody::System(SystemFact::Recovered { missing_up_to: Some((up_to, _)), .. }) = &entry.body else {
            return;
        };
        let loss = Loss { up_to: *up_to, position: entry.position, before: entry.recorded_at };
        let Loss { up_to, before, .. } = loss;
        let what = format!("acknowledged entries up to {up_to} were gone when the journal was opened at {before}");
        self.note(Severity::Note, path, offset, Some(entry.position), &what);
        self.report.lost = Some(loss);
    }

    fn anchored(&mut self, present: &Present<'_>, frame: &Frame<'_>, head: Head) {
        let Some(anchor) = self.anchor.as_ref().map(|anchor| anchor.head) else { return };
        let here = frame.header.first <= anchor.position && anchor.position <= head.position;
        if here && anchor != head {
            self.damage(present.opened, frame.offset, "the history up to here is not the one that the anchor tells");
        }
    }

    fn footer(&mut self, present: &mut Present<'_>, frame: &Frame<'_>) -> Result<(), JournalError> {
        let opened = present.opened;
        self.linked(present, frame);
        let told = present.contents.encode(opened.name.first, self.next);
        if present.whole && told != frame.payload() {
            self.damage(opened, frame.offset, "the footer does not describe its segment");
        }
        present.sealed = true;
        match frame.trailer {
            Trailer::Sound => {}
            Trailer::Short if !present.has_later && has_grown(opened)? => {}
            Trailer::Short | Trailer::Invalid | Trailer::None => {
                let kind = BadKind::Payload { end: frame.end() + TRAILER_BYTES as u64 };
                if self.proof(present, Bad { offset: frame.offset, kind })?.is_some() {
                    self.damage(opened, frame.end(), "the segment's trailer is not as it was written");
                } else {
                    let what = "the segment's trailer is not there as it was to be written";
                    self.note(Severity::Torn, &opened.name.path, frame.offset, Some(self.next), what);
                }
            }
        }
        Ok(())
    }

    /// Why bytes that are no frame must once have been one, if that is certain.
    fn proof(&self, present: &Present<'_>, bad: Bad) -> Result<Option<&'static str>, JournalError> {
        let opened = present.opened;
        let anchor = self.anchor.as_ref().map(|anchor| anchor.head.position);
        let evidence = Evidence { next: self.next, anchor, has_later: present.has_later };
        evidence.of_damage(&opened.file, bad, opened.end).map_err(|error| opened.io(error))
    }

    /// Notes bytes that are no frame; whether they are the end of the journal, which may be torn.
    fn gap(&mut self, present: &mut Present<'_>, bad: Bad, end: u64, proof: Option<&'static str>) -> bool {
        let opened = present.opened;
        let is_room = bad.kind == BadKind::Room && !present.has_later;
        if present.sealed && !is_room {
            self.damage(opened, bad.offset, "bytes follow the segment's trailer");
            return false;
        }
        match proof {
            Some(proof) if !present.sealed => {
                let what = format!("{}, and {proof}; {} bytes cannot be read", bad.kind.why(), end - bad.offset);
                self.damage(opened, bad.offset, &what);
                (present.whole, self.whole, self.link) = (false, false, None);
                false
            }
            _ if is_room => {
                self.report.bytes = self.report.bytes.saturating_sub(opened.end - bad.offset);
                true
            }
            _ => {
                let what = format!("{} bytes of a write that did not complete", opened.end - bad.offset);
                self.note(Severity::Torn, &opened.name.path, bad.offset, Some(self.next), &what);
                true
            }
        }
    }

    fn finish(mut self) -> VerifyReport {
        let head = self.report.head.map_or(Position::ZERO, |head| head.position);
        let file = self.journal_dir.join(anchor::FILE);
        if let Some(anchor) = self.anchor.take() {
            self.report.journal.get_or_insert(anchor.journal);
            if anchor.head.position > head {
                let what = format!("entries up to {} were durable and are gone", anchor.head.position);
                self.note(Severity::Missing, &file, 0, Some(head.next()), &what);
            }
            if let Some((missing, _)) = anchor.missing_up_to.filter(|_| anchor.head.position == head) {
                let what = format!("entries up to {missing} were durable and were gone when it was last opened");
                self.note(Severity::Missing, &file, 0, Some(head.next()), &what);
            }
        }
        if self.is_unanchored && self.report.head.is_some() {
            self.note(Severity::Note, &file, 0, None, anchor::ABSENT);
        }
        self.report
    }
}
