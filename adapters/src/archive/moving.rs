//! Moving segments into a bundle, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::domain::{Digest, Position, Timestamp};
use tachograph_engine::ports::{Head, JournalError};

use super::error::ArchiveError;
use super::place::{Place, check_place};
use super::plan::{Plan, plan_of};
use crate::journal::disk::{Disk, Mode, RealDisk};
use crate::journal::layout::Layout;
use crate::journal::lock::WriterLock;
use crate::journal::segment::SegmentHeader;
use crate::journal::stub::{Gathering, Stub, StubHead};
use crate::journal::{FileReader, JOURNAL_DIR, Progress, Severity, verify};

/// What is to be archived.
#[derive(Debug, Clone)]
pub struct Request {
    /// Only what ended before this goes.
    pub before: Timestamp,
    /// The bundle that it goes to; one in the directory `archive` of the data directory if absent.
    pub bundle: Option<PathBuf>,
    /// The time by which the bundle and the stub say that they were made.
    pub archived_at: Timestamp,
    /// What makes the bundle.
    pub producer: String,
}

/// What was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// What went.
    pub plan: Plan,
    /// The bundle that it went to, with its root; absent if nothing went.
    pub bundle: Option<(PathBuf, Digest)>,
}

/// Archives what may go, in steps of which each is complete and durable before the next:
///
/// 1. the writer's lock is taken, and the whole journal verified; `look` says, from the plan and where the bundle would go, whether
///    `beside` could do its part;
/// 2. the bundle is written, and read back against the journal's digest;
/// 3. `beside` writes what else is wanted of the same positions, from the plan and the bundle;
/// 4. the stub takes the place of the first segment: from here on the segments are archived;
/// 5. the segments are removed.
///
/// A crash before 4 leaves the journal as it was, and perhaps a bundle, which the next archiving of the same segments takes
/// over. A crash after 4 leaves segments that the stub stands for; the next writer removes them, and readers pass them over.
///
/// # Errors
///
/// [`JournalError::Locked`] beside a live writer; [`JournalError::Damaged`] if anything in the journal is, [`ArchiveError::Bundle`] if
/// the bundle is not made, whatever `look` or `beside` fails with, or another [`JournalError`]. After 4 it is [`ArchiveError::Left`].
/// No entry is lost by any of them.
pub async fn archive<E: From<ArchiveError>>(
    data_dir: &Path,
    request: &Request,
    look: impl FnOnce(&Plan, &Path) -> Result<(), E>,
    beside: impl AsyncFnOnce(&Plan, &Path) -> Result<(), E>,
    mut progress: impl FnMut(Progress),
) -> Result<Archived, E> {
    if let Some(bundle) = &request.bundle {
        check_place(data_dir, bundle)?;
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _lock = WriterLock::take(&*disk, data_dir).map_err(ArchiveError::from)?;
    let (reader, layout) = sound(&disk, data_dir, &mut progress)?;
    let plan = plan_of(&*disk, &reader, &layout, request.before, |_, _| ()).map_err(ArchiveError::from)?;
    if plan.is_empty() {
        return Ok(Archived { plan, bundle: None });
    }
    let digest = reader.digest_now(plan.last).map_err(ArchiveError::from)?;
    let digest = digest.ok_or_else(|| lost(data_dir, "a segment does not end with a commit"))?;
    let end = Head { position: plan.last, digest };
    let next = header_behind(&*disk, &layout, plan.last)?;
    look(&plan, &Place::named(data_dir, request.bundle.as_deref(), &plan).map_err(ArchiveError::from)?.path)?;
    let place = Place::of(data_dir, request, &plan).map_err(ArchiveError::from)?;
    let root = place.bundle(data_dir, request, &plan, end, &mut progress)?;
    beside(&plan, &place.path).await?;
    let bytes = stub(&reader, &layout, end, &next, (place.name, root, request.archived_at))?;
    install_on(&*disk, data_dir, &bytes)?;
    Ok(Archived { plan, bundle: Some((place.path, root)) })
}

/// The last two steps, on any disk: puts the bytes of a stub in the place of the segments that it stands for, and removes those.
///
/// # Errors
///
/// [`ArchiveError::Left`] of the last step, and [`JournalError`] of the one before it.
pub fn install_on(disk: &dyn Disk, data_dir: &Path, stub: &[u8]) -> Result<(), ArchiveError> {
    let journal_dir = data_dir.join(JOURNAL_DIR);
    Stub::install(disk, &journal_dir, stub)?;
    let layout = Layout::read(disk, &journal_dir)?;
    layout.clear(disk, &journal_dir).map_err(|source| {
        let bundles = layout.stub.iter().flat_map(|stub| stub.bundles());
        let bundle = bundles.last().map(|archived| archived.bundle.clone()).unwrap_or_default();
        ArchiveError::Left { bundle, source }
    })
}

/// The journal, all of it checked, without what an interrupted archiving left.
fn sound(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    progress: &mut impl FnMut(Progress),
) -> Result<(FileReader, Layout), ArchiveError> {
    let journal_dir = data_dir.join(JOURNAL_DIR);
    let report = verify(data_dir, progress)?;
    let worst = report.findings.iter().find(|finding| finding.severity < Severity::Torn);
    if let Some(finding) = worst {
        let (file, offset, why) = (finding.file.clone(), finding.offset, finding.what.clone());
        return Err(JournalError::Damaged { file, offset, why }.into());
    }
    Layout::read(&**disk, &journal_dir)?.clear(&**disk, &journal_dir)?;
    let reader = FileReader::open_on(disk.clone(), data_dir)?;
    Ok((reader, Layout::read(&**disk, &journal_dir)?))
}

/// The header of the segment that follows the last one that goes: it names the hash by which the chain goes on.
fn header_behind(disk: &dyn Disk, layout: &Layout, last: Position) -> Result<SegmentHeader, ArchiveError> {
    let Some(name) = layout.segments.iter().find(|name| name.first == last.next()) else {
        return Err(lost(Path::new(JOURNAL_DIR), "no segment follows what is to be archived"));
    };
    let header = disk.open(&name.path, Mode::Read).and_then(|file| SegmentHeader::read(&*file));
    let header = header.map_err(|error| JournalError::io("read", &name.path, error))?;
    Ok(header.map_err(|bad| bad.error(&name.path))?)
}

fn lost(path: &Path, why: &str) -> ArchiveError {
    JournalError::Damaged { file: path.to_owned(), offset: 0, why: why.to_owned() }.into()
}

/// The bytes of the stub that stands for everything up to a position.
fn stub(
    reader: &FileReader,
    layout: &Layout,
    end: Head,
    next: &SegmentHeader,
    archived: (String, Digest, Timestamp),
) -> Result<Vec<u8>, ArchiveError> {
    let mut gathering = Gathering::after(layout.stub.as_deref())?;
    let mut recorded_at = Timestamp::default();
    reader.for_each_up_to(end.position, |entry| {
        gathering.see(entry);
        recorded_at = entry.recorded_at;
    })?;
    let before = layout.stub.as_ref().map(|stub| stub.bundles().to_vec()).unwrap_or_default();
    Ok(gathering.encode(StubHead::up_to(next, end, recorded_at, &before, archived)))
}
