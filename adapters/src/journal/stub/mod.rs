//! What stands in the place of segments that were archived: where the chain goes on, which bundles the entries are in, and
//! what is to be known of the runs that they were about, so that every command to one of them is answered as before.
//!
//! A stub has the name of the journal's first segment, and a header of a later format: whoever knows no stubs refuses to
//! read the journal, and does not take it for one that begins later.

mod gathering;
mod head;
mod kept;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tachograph_engine::domain::{CommandId, Position, RunId, RunRecord};
use tachograph_engine::ports::{Head, JournalError, KeptAnswer, RunHead};

pub(crate) use self::gathering::Gathering;
pub use self::head::ArchivedIn;
pub(crate) use self::head::StubHead;
pub(crate) use self::kept::KeptRun;
use self::kept::{AnswerAt, name_hash};
use super::disk::{Disk, DiskFile, Mode};
use super::fields::Fields;
use super::read_up_to;
use super::segment::{BadHeader, SegmentHeader, SegmentName};

/// The version of the format that a stub has in its header.
pub const STUB_VERSION: u32 = 2;
/// The file that a stub is written to before it takes its place.
pub(super) const TEMPORARY: &str = "stub.tmp";

const HASH_BYTES: u64 = 32;
const RUN_ROW_BYTES: u64 = 32;
const NAME_ROW_BYTES: u64 = 40;
/// Runs of which it is known where their answers are: those that were asked about last.
const RUNS_KEPT_MAX: usize = 64;
/// Answers of these runs at most, beyond those of the last one that still fits: some 2 MiB.
const ANSWERS_KEPT_MAX: usize = 1 << 16;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A stub, all of whose bytes were compared with their hash when it was opened.
#[derive(Debug)]
pub(crate) struct Stub {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    pub(super) head: StubHead,
    bytes: u64,
    /// Where the answers are of the runs that were read last, the latest first: being asked about again keeps none.
    asked: Mutex<VecDeque<(RunId, Arc<[AnswerAt]>)>>,
}

impl Stub {
    /// Opens the stub that stands in the place of a journal's first segment; absent if an ordinary segment does, sound
    /// or not.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if a byte is not as it was written, or [`JournalError::Io`].
    pub(super) fn find(disk: &dyn Disk, first: &SegmentName) -> Result<Option<Self>, JournalError> {
        if first.first != Position::ZERO.next() {
            return Ok(None);
        }
        let error = |error| JournalError::io("read", &first.path, error);
        let file = disk.open(&first.path, Mode::Read).map_err(error)?;
        match SegmentHeader::read(&*file).map_err(error)? {
            Err(BadHeader::Newer { found: STUB_VERSION, .. }) => Self::open(file, &first.path).map(Some),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn open(file: Arc<dyn DiskFile>, path: &Path) -> Result<Self, JournalError> {
        let damaged = |offset: u64, why: &str| JournalError::Damaged {
            file: path.to_owned(),
            offset,
            why: format!("the stub of what was archived {why}"),
        };
        let bytes = file.length().map_err(|error| JournalError::io("read", path, error))?;
        let Some(end) = bytes.checked_sub(HASH_BYTES) else { return Err(damaged(0, "is cut off")) };
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let read = read_up_to(&*file, &mut buffer[..wanted], at);
            if read.map_err(|error| JournalError::io("read", path, error))? < wanted {
                return Err(damaged(at, "became shorter while it was read"));
            }
            hasher.update(&buffer[..wanted]);
            at += wanted as u64;
        }
        let mut hash = [0; HASH_BYTES as usize];
        let read = read_up_to(&*file, &mut hash, end).map_err(|error| JournalError::io("read", path, error))?;
        if read < hash.len() || *hasher.finalize().as_bytes() != hash {
            return Err(damaged(0, "is not as it was written"));
        }
        let head = StubHead::read(&*file, end).map_err(|error| JournalError::io("read", path, error))?;
        let head = head.filter(StubHead::is_consistent).ok_or_else(|| damaged(0, "contradicts itself"))?;
        Ok(Self { path: path.to_owned(), file, head, bytes, asked: Mutex::default() })
    }

    /// Puts a stub in the place of the segments that it stands for. The rename is the moment from which they are archived:
    /// a crash before leaves all of them as they were, a crash after leaves files that the stub stands for, which the
    /// next writer removes.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if what was written is not what is read back, [`JournalError::Full`] or
    /// [`JournalError::Io`]. The journal is as before, unless the sync behind the rename failed: then it is either.
    pub(crate) fn install(disk: &dyn Disk, journal_dir: &Path, bytes: &[u8]) -> Result<(), JournalError> {
        let temporary = journal_dir.join(TEMPORARY);
        if let Err(error) = Self::place(disk, journal_dir, &temporary, bytes) {
            // Most often there is no room: what is of no use must not keep it. The next writer removes it otherwise.
            let _ = disk.remove(&temporary);
            return Err(error);
        }
        disk.sync_dir(journal_dir).map_err(|error| JournalError::io("sync", journal_dir, error))
    }

    /// Writes a stub, reads it back, and gives it its name.
    fn place(disk: &dyn Disk, journal_dir: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), JournalError> {
        let error = |action| move |error| JournalError::io(action, temporary, error);
        let file = disk.open(temporary, Mode::Create).map_err(error("create"))?;
        file.append(bytes).and_then(|()| file.sync()).map_err(error("write"))?;
        let file = disk.open(temporary, Mode::Read).map_err(error("read"))?;
        Self::open(file, temporary)?.check()?;
        let place = SegmentName::of(journal_dir, Position::ZERO.next()).path;
        disk.rename(temporary, &place).map_err(error("rename"))
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last archived position, and the journal's digest there.
    pub(crate) fn end(&self) -> Head {
        self.head.end
    }

    /// The header of the segment that follows: by its hash the chain goes on.
    pub(crate) fn successor(&self) -> SegmentHeader {
        let SegmentHeader { journal, ordinal, previous, .. } = self.head.header;
        SegmentHeader { journal, ordinal: ordinal.saturating_add(1), first: self.head.end.position.next(), previous }
    }

    /// The bundles that hold what was archived, oldest first.
    pub(crate) fn bundles(&self) -> &[ArchivedIn] {
        &self.head.bundles
    }

    /// The answer to whoever asks for an entry that was archived.
    pub(crate) fn archived(&self, position: Position) -> JournalError {
        let holds = |bundle: &&ArchivedIn| position <= bundle.last;
        let bundle = self.head.bundles.iter().find(holds).or(self.head.bundles.last());
        let bundle = bundle.map(|bundle| bundle.bundle.clone()).unwrap_or_default();
        JournalError::Archived { up_to: self.head.end.position, bundle }
    }

    /// What is kept of a run; absent if no archived entry is about it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] or [`JournalError::Io`].
    pub(crate) fn run(&self, run: RunId) -> Result<Option<KeptRun>, JournalError> {
        self.row_of(run)?.map(|row| self.kept(row)).transpose()
    }

    /// Where a run is; absent if no archived entry is about it.
    fn row_of(&self, run: RunId) -> Result<Option<RunRow>, JournalError> {
        let (mut low, mut high) = (0, self.head.runs);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.run_row(middle)?;
            match row.run.cmp(&run) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(row)),
            }
        }
        Ok(None)
    }

    /// The end of a run's archived history; absent if it was created later or never.
    pub(crate) fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        Ok(self.run(run)?.and_then(|kept| kept.head()))
    }

    /// A run as it was where the archive ends.
    pub(super) fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        Ok(self.run(run)?.and_then(|kept| kept.record))
    }

    /// How a command was answered.
    pub(crate) fn answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        let Some(row) = self.row_of(run)? else { return Ok(None) };
        let Some(found) = kept::answer_to(&self.answers_of(row)?, command) else { return Ok(None) };
        let bytes = self.read(row.at.saturating_add(u64::from(found.at)), u64::from(found.length))?;
        kept::decode(&bytes).map(Some).ok_or_else(|| self.undecodable(row))
    }

    /// Where the answers of a run are. All of its bytes are read for that, and not again for the next late report to it.
    fn answers_of(&self, row: RunRow) -> Result<Arc<[AnswerAt]>, JournalError> {
        let kept = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answers)) = kept().iter().find(|(run, _)| *run == row.run) {
            return Ok(answers.clone());
        }
        let answers = kept::answers_in(&self.block(row)?).ok_or_else(|| self.undecodable(row))?;
        let answers: Arc<[AnswerAt]> = answers.into();
        let mut kept = kept();
        kept.push_front((row.run, answers.clone()));
        let mut left = ANSWERS_KEPT_MAX;
        let fits = |(_, answers): &(RunId, Arc<[AnswerAt]>)| {
            let had = left;
            left = left.saturating_sub(answers.len());
            had > 0
        };
        let last = kept.iter().map(fits).take_while(|fits| *fits).count();
        kept.truncate(last.min(RUNS_KEPT_MAX));
        Ok(answers)
    }

    /// The runs that had a name, by when they took it: the last one had it last.
    pub(crate) fn named(&self, name: &str) -> Result<Vec<RunId>, JournalError> {
        let hash = name_hash(name);
        let (mut low, mut high) = (0, self.head.names);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.name_row(middle)?.0 < hash { low = middle + 1 } else { high = middle }
        }
        let mut runs = Vec::new();
        while low < self.head.names {
            let (found, _, run) = self.name_row(low)?;
            if found != hash {
                break;
            }
            runs.push(run);
            low += 1;
        }
        Ok(runs)
    }

    /// Calls `see` for every run that an archived entry is about, by id.
    pub(crate) fn for_each<E: From<JournalError>>(
        &self,
        mut see: impl FnMut(RunId, KeptRun) -> Result<(), E>,
    ) -> Result<(), E> {
        for index in 0..self.head.runs {
            let row = self.run_row(index)?;
            see(row.run, self.kept(row)?)?;
        }
        Ok(())
    }

    /// Checks all that opening it did not: that the tables ascend, and that all in it can be read and fits together.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] with what is wrong, or [`JournalError::Io`].
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let mut before = None;
        let mut at = self.head.blocks_at;
        for index in 0..self.head.runs {
            let row = self.run_row(index)?;
            if before.is_some_and(|before| before >= row.run) || row.at != at {
                return Err(self.damaged(row.at, "has a table of runs that is not in order"));
            }
            let kept = self.kept(row)?;
            let is_own = kept.record.as_ref().is_none_or(|record| {
                record.run.id == row.run && record.run.version == kept.version && record.last == kept.last
            });
            if !is_own || kept.is_open() != row.is_open || kept.last > self.head.end.position {
                return Err(self.damaged(row.at, "tells of a run what cannot be"));
            }
            before = Some(row.run);
            at = row.at.saturating_add(u64::from(row.length));
        }
        let mut before = None;
        for index in 0..self.head.names {
            let row = self.name_row(index)?;
            if before.is_some_and(|before| before >= row) {
                return Err(self.damaged(self.head.names_at, "has a table of names that is not in order"));
            }
            before = Some(row);
        }
        if at != self.head.runs_at {
            return Err(self.damaged(at, "has bytes that belong to no run"));
        }
        Ok(())
    }

    fn run_row(&self, index: u64) -> Result<RunRow, JournalError> {
        let at = self.head.runs_at.saturating_add(index.saturating_mul(RUN_ROW_BYTES));
        let bytes = self.read(at, RUN_ROW_BYTES)?;
        RunRow::decode(&bytes).ok_or_else(|| self.damaged(at, "ends within its table of runs"))
    }

    /// Calls `see` for every run that an archived entry is about, by id, and with what is kept of those that were open where
    /// the archive ends.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub(crate) fn for_each_id(&self, mut see: impl FnMut(RunId, Option<KeptRun>)) -> Result<(), JournalError> {
        let mut index = 0;
        while index < self.head.runs {
            let rows = (self.head.runs - index).min(CHUNK_BYTES as u64 / RUN_ROW_BYTES);
            let at = self.head.runs_at.saturating_add(index.saturating_mul(RUN_ROW_BYTES));
            let bytes = self.read(at, rows * RUN_ROW_BYTES)?;
            for row in bytes.chunks_exact(RUN_ROW_BYTES as usize).filter_map(RunRow::decode) {
                see(row.run, if row.is_open { Some(self.kept(row)?) } else { None });
            }
            index += rows;
        }
        Ok(())
    }

    fn name_row(&self, index: u64) -> Result<(u128, Position, RunId), JournalError> {
        let at = self.head.names_at.saturating_add(index.saturating_mul(NAME_ROW_BYTES));
        let bytes = self.read(at, NAME_ROW_BYTES)?;
        let mut fields = Fields(&bytes);
        let row = (|| Some((fields.id()?, fields.position()?, RunId::from_u128(fields.id()?))))();
        row.ok_or_else(|| self.damaged(at, "ends within its table of names"))
    }

    fn kept(&self, row: RunRow) -> Result<KeptRun, JournalError> {
        let bytes = self.block(row)?;
        KeptRun::decode(&bytes).ok_or_else(|| self.undecodable(row))
    }

    fn block(&self, row: RunRow) -> Result<Vec<u8>, JournalError> {
        self.read(row.at, u64::from(row.length))
    }

    fn undecodable(&self, row: RunRow) -> JournalError {
        self.damaged(row.at, "has a run that cannot be decoded")
    }

    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, JournalError> {
        let within = at.checked_add(length).is_some_and(|end| end <= self.bytes - HASH_BYTES);
        if !within {
            return Err(self.damaged(at, "points behind its own end"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = read_up_to(&*self.file, &mut bytes, at);
        let read = read.map_err(|error| JournalError::io("read", &self.path, error))?;
        if read == bytes.len() { Ok(bytes) } else { Err(self.damaged(at, "became shorter while it was read")) }
    }

    fn damaged(&self, offset: u64, why: &str) -> JournalError {
        let why = format!("the stub of what was archived {why}");
        JournalError::Damaged { file: self.path.clone(), offset, why }
    }
}

/// Where a run is in a stub.
#[derive(Debug, Clone, Copy)]
struct RunRow {
    run: RunId,
    at: u64,
    length: u32,
    /// Whether it was open where the archive ends; it has ended since.
    is_open: bool,
}

impl RunRow {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (run, at, length) = (RunId::from_u128(fields.id()?), fields.u64()?, fields.u32()?);
        let is_open = match fields.u32()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { run, at, length, is_open })
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend(self.run.to_u128().to_be_bytes());
        out.extend(self.at.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(u32::from(self.is_open).to_le_bytes());
    }
}
