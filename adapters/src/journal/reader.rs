//! Reading a journal without changing a byte of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tachograph_engine::codec;
use tachograph_engine::domain::{CommandId, Digest, Entry, Position, RunId, RunRecord, Timestamp};
use tachograph_engine::ports::{Head, JournalError, JournalReader, KeptAnswer, RunHead};
use ulid::Ulid;

use super::JOURNAL_DIR;
use super::disk::{Disk, RealDisk};
use super::footer::Footer;
use super::frame::Records;
use super::holder::LastHolder;
use super::scan::{FrameScan, RANDOM_BYTES, SEQUENTIAL_BYTES};
use super::stub::{ArchivedIn, Stub};
use super::tail::next_commit;
use super::view::{Place, View};
use super::writer::Published;

/// Entries fetched at once by what reads everything.
const PAGE: usize = 4_096;
/// So many entries are enough at a time for whoever goes through all: decoded, they stay in the processor's own cache, and the
/// memory of those before is used again before it leaves that. A frame that was begun is decoded whole all the same, as far as
/// the limit goes, so that none is read twice.
const ENOUGH: usize = 512;
/// Bytes that are fetched at once for those.
const ENOUGH_BYTES: usize = 128 << 10;

/// Reads the journal of a data directory: beside a live writer, in a copy, or on a read-only medium.
///
/// It opens files for reading only, takes no lock and makes nothing. An incomplete write at the end is simply not there
/// yet. Beside a writer of another process it sees complete frames, of which the last may not be acknowledged yet; the
/// reader that [`FileJournal`](super::FileJournal) hands out sees exactly what is acknowledged.
///
/// Its calls block on the disk for as long as a read takes, those of [`JournalReader`] too: they read where they are polled
/// and never give way to other tasks. So what the engine answers out of the journal (`Engine::run` and `Engine::resolve` about
/// runs that are not in its memory, and what a subscription catches up on) reads files on the caller's executor. Most
/// answers are one entry or one row of the index; a reader without a writer's index scans for `answered` and `named`. Whoever
/// may not be held up asks from a blocking thread.
#[derive(Debug)]
pub struct FileReader {
    disk: Arc<dyn Disk>,
    journal_dir: PathBuf,
    view: Mutex<View>,
    /// The writer in this process that it belongs to.
    live: Option<Arc<Published>>,
}

impl FileReader {
    /// Opens the journal of a data directory for reading.
    ///
    /// # Errors
    ///
    /// [`JournalError::NoJournal`] if there is none; [`JournalError::Damaged`] if its last segment or the footer
    /// before is; [`JournalError::NewerFormat`] or [`JournalError::Io`].
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(RealDisk), data_dir)
    }

    /// The same on another disk, for tests.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<Self, JournalError> {
        let reader = Self::with(disk, data_dir, None)?;
        drop(reader.refreshed()?);
        Ok(reader)
    }

    /// The reader that belongs to a writer.
    pub(super) fn live(disk: Arc<dyn Disk>, data_dir: &Path, published: Arc<Published>) -> Result<Self, JournalError> {
        Self::with(disk, data_dir, Some(published))
    }

    /// The hash over the history up to a position of a journal that is not opened yet.
    pub(super) fn digest_in(disk: Arc<dyn Disk>, data_dir: &Path, position: Position) -> Option<Digest> {
        Self::with(disk, data_dir, None).ok()?.digest_now(position).ok()?
    }

    fn with(disk: Arc<dyn Disk>, data_dir: &Path, live: Option<Arc<Published>>) -> Result<Self, JournalError> {
        let journal_dir = data_dir.join(JOURNAL_DIR);
        let view = Mutex::new(View::open(&*disk, data_dir, &journal_dir)?);
        Ok(Self { disk, journal_dir, view, live })
    }

    /// The journal's identity, the same in all its segments.
    pub fn id(&self) -> Ulid {
        self.lock().tail.journal
    }

    /// What stands in the place of segments that were archived.
    pub(crate) fn stub(&self) -> Option<Arc<Stub>> {
        self.lock().stub.clone()
    }

    /// The bundles that archived entries are in, oldest first; none if nothing was archived.
    pub fn archived_in(&self) -> Vec<ArchivedIn> {
        self.stub().map(|stub| stub.bundles().to_vec()).unwrap_or_default()
    }

    /// Looks whether a writer archived segments since this reader looked last, which it else does where one of them is
    /// missing. Whether it has; then [`archived_in`](Self::archived_in) and [`JournalReader::archived`] tell of it.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub fn look_for_archive(&self) -> Result<bool, JournalError> {
        self.lock().archived_since(&*self.disk, &self.journal_dir)
    }

    /// The runs that had a name where the archive ends, by when they took it: the last one had it last.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub fn archived_bearers(&self, name: &str) -> Result<Vec<RunId>, JournalError> {
        self.stub().map_or(Ok(Vec::new()), |stub| stub.named(name))
    }

    /// Up to `limit` entries after a position that were recorded at or after `from` and before `to`, in order.
    ///
    /// Segments that hold none are skipped by their footers. Recording times need not ascend with positions.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`]. Archived entries are left out.
    pub fn read_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        self.unless_archived(|| self.between(from, to, after, limit))
    }

    fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let within = |entry: &Entry| from <= entry.recorded_at && entry.recorded_at < to;
        let mut found = Vec::new();
        let mut position = after.max(self.archived()).next();
        while found.len() < limit {
            position = self.skip_segments(position, from, to)?;
            let Some(page) = self.page(position, PAGE, SEQUENTIAL_BYTES)? else { break };
            let Some(last) = page.last() else { break };
            position = last.position.next();
            found.extend(page.into_iter().filter(within));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The first position at or after this one whose segment may hold entries of a time range.
    fn skip_segments(&self, position: Position, from: Timestamp, to: Timestamp) -> Result<Position, JournalError> {
        let mut view = self.lock();
        let mut position = position;
        while let Some(index) = view.sealed_at(position) {
            let footer = view.footer(&*self.disk, index)?;
            let (min, max) = footer.times;
            if max >= from && min < to {
                break;
            }
            position = footer.last.next();
        }
        Ok(position)
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view with all that can be seen by now.
    fn refreshed(&self) -> Result<MutexGuard<'_, View>, JournalError> {
        let bound = self.live.as_ref().map(|live| live.head().position);
        let mut view = self.lock();
        view.refresh(&*self.disk, &self.journal_dir, bound)?;
        Ok(view)
    }

    /// The place of a position, if it can be seen by now.
    pub(super) fn place(&self, position: Position) -> Result<Option<Place>, JournalError> {
        let mut view = self.lock();
        if position >= view.tail.next {
            drop(view);
            view = self.refreshed()?;
        }
        view.place(&*self.disk, position)
    }

    /// Asks, and asks once more if a writer archived segments meanwhile: they are gone, and what is in their place is no
    /// damage.
    pub(super) fn unless_archived<T>(&self, ask: impl Fn() -> Result<T, JournalError>) -> Result<T, JournalError> {
        match ask() {
            Ok(answer) => Ok(answer),
            Err(error @ JournalError::Archived { .. }) => Err(error),
            Err(error) => {
                let archived = self.lock().archived_since(&*self.disk, &self.journal_dir);
                if matches!(archived, Ok(true)) { ask() } else { Err(error) }
            }
        }
    }

    /// Entries from a position on: as many as one place has, up to `limit`. Absent at the end.
    fn page(&self, from: Position, limit: usize, fetch_bytes: usize) -> Result<Option<Vec<Entry>>, JournalError> {
        self.unless_archived(|| self.page_now(from, (limit, limit), fetch_bytes))
    }

    /// The same: no further frame once there are enough.
    fn page_now(
        &self,
        from: Position,
        (enough, limit): (usize, usize),
        fetch_bytes: usize,
    ) -> Result<Option<Vec<Entry>>, JournalError> {
        let Some(place) = self.place(from)? else { return Ok(None) };
        let mut entries = Vec::with_capacity(limit.min(2 * ENOUGH));
        let mut frames = FrameScan::new(place.file.clone(), place.offset, place.end, fetch_bytes);
        while entries.len() < enough {
            let Some(frame) = next_commit(&mut frames, &place.path)? else { break };
            if frame.header.next() <= from {
                continue;
            }
            let damaged = |why: String| JournalError::Damaged { file: place.path.clone(), offset: frame.offset, why };
            let mut records = Records::new(&frame.header, frame.payload());
            records.skip_to(from).map_err(|why| damaged(why.to_owned()))?;
            while entries.len() < limit {
                let Some(entry) = records.entry().map_err(damaged)? else { break };
                entries.push(entry);
            }
        }
        if entries.first().is_none_or(|first| first.position != from) {
            let why = format!("entry {from} is not where the segment's own table says");
            return Err(JournalError::Damaged { file: place.path, offset: place.offset, why });
        }
        Ok(Some(entries))
    }

    fn read_some_now(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        if limit < ENOUGH {
            return self.read_now(after, limit);
        }
        let page = self.unless_archived(|| self.page_now(after.next(), (ENOUGH, limit), ENOUGH_BYTES))?;
        Ok(page.unwrap_or_default())
    }

    fn read_now(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let fetch_bytes = if limit < 16 { RANDOM_BYTES } else { SEQUENTIAL_BYTES };
        let mut entries: Vec<Entry> = Vec::new();
        while entries.len() < limit {
            let from = entries.last().map_or(after, |last| last.position).next();
            match self.page(from, limit - entries.len(), fetch_bytes)? {
                None => break,
                Some(page) if entries.is_empty() => entries = page,
                Some(page) => entries.extend(page),
            }
        }
        Ok(entries)
    }

    pub(crate) fn digest_now(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        let found = self.unless_archived(|| self.digest_from_now(position))?;
        Ok(found.filter(|(at, _)| *at == position).map(|(_, digest)| digest))
    }

    fn digest_from_now(&self, position: Position) -> Result<Option<(Position, Digest)>, JournalError> {
        if position == Position::ZERO {
            return Ok(Some((position, Digest::ZERO)));
        }
        if let Some(stub) = self.stub().filter(|stub| position <= stub.end().position) {
            return Ok(Some((stub.end().position, stub.end().digest)));
        }
        let Some(place) = self.place(position)? else { return Ok(None) };
        let mut frames = FrameScan::new(place.file.clone(), place.offset, place.end, RANDOM_BYTES);
        while let Some(frame) = next_commit(&mut frames, &place.path)? {
            let next = frame.header.next();
            if next > position {
                // A frame that holds entries ends behind its first position, which is at least 1.
                return Ok(next.0.checked_sub(1).map(|last| (Position(last), frame.hash())));
            }
        }
        Ok(None)
    }

    /// The position that a time stands for: that of the last entry that was recorded at or before it; zero if there is
    /// none. Segments that are wholly later or wholly earlier are told by their footers.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub fn position_at(&self, time: Timestamp) -> Result<Position, JournalError> {
        self.unless_archived(|| self.position_now(time))
    }

    fn position_now(&self, time: Timestamp) -> Result<Position, JournalError> {
        let mut end = self.refreshed()?.tail.next;
        let stub = self.stub();
        let begin = stub.as_ref().map_or(Position::ZERO, |stub| stub.end().position);
        while end > begin.next() {
            let last = Position(end.0 - 1);
            let first = match self.sealed_footer_of(last)? {
                Some(footer) if footer.times.1 <= time => return Ok(last),
                Some(footer) if footer.times.0 > time => {
                    end = footer.first;
                    continue;
                }
                Some(footer) => footer.first,
                None => self.lock().tail.name.first.min(last),
            };
            if let Some(found) = self.last_recorded_by(time, first, last)? {
                return Ok(found);
            }
            end = first;
        }
        match stub {
            Some(stub) if stub.head.recorded_at > time => Err(stub.archived(Position::ZERO.next())),
            _ => Ok(begin),
        }
    }

    /// A position up to which every entry was recorded before a time: the end of the segments that are wholly earlier, as their
    /// footers tell, before the first one that is not. What is archived does not count.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub fn before(&self, time: Timestamp) -> Result<Position, JournalError> {
        drop(self.refreshed()?);
        let mut before = self.archived();
        while let Some(footer) = self.sealed_footer_of(before.next())? {
            if footer.times.1 >= time || footer.last <= before {
                break;
            }
            before = footer.last;
        }
        Ok(before)
    }

    /// The footer of the sealed segment that holds a position; absent if the tail does.
    fn sealed_footer_of(&self, position: Position) -> Result<Option<Arc<Footer>>, JournalError> {
        let mut view = self.lock();
        match view.sealed_at(position) {
            Some(index) => view.footer(&*self.disk, index).map(Some),
            None => Ok(None),
        }
    }

    /// The last of some entries that was recorded at or before a time, looked for from the end.
    fn last_recorded_by(
        &self,
        time: Timestamp,
        first: Position,
        last: Position,
    ) -> Result<Option<Position>, JournalError> {
        let mut end = last.next();
        while end > first {
            let start = Position(end.0.saturating_sub(PAGE as u64).max(first.0));
            let before = Position(start.0.saturating_sub(1));
            let within = usize::try_from(end.0 - start.0).unwrap_or(PAGE);
            let entries = self.read_now(before, within)?;
            if let Some(found) = entries.iter().rev().find(|entry| entry.recorded_at <= time) {
                return Ok(Some(found.position));
            }
            end = start;
        }
        Ok(None)
    }

    /// The end of a run's history: out of the writer's catalog if that can answer, else out of the files.
    pub(super) fn run_head_now(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        if let Some(Ok(head)) = self.live.as_ref().map(|live| live.catalog.run_head(run)) {
            return Ok(head);
        }
        self.unless_archived(|| self.refreshed()?.run_head(&*self.disk, run))
    }

    /// Calls `see` with every entry that was not archived, oldest first.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&Entry)) -> Result<(), JournalError> {
        self.find_map::<()>(|entry| {
            see(entry);
            None
        })?;
        Ok(())
    }

    /// The same, up to a position.
    pub(crate) fn for_each_up_to(&self, last: Position, mut see: impl FnMut(&Entry)) -> Result<(), JournalError> {
        self.find_map(|entry| {
            if entry.position <= last {
                see(entry);
            }
            (entry.position >= last).then_some(())
        })?;
        Ok(())
    }

    /// The last position that can be seen by now.
    pub(crate) fn end(&self) -> Position {
        self.head().position
    }

    /// The first answer that `find` gives about an entry that was not archived, oldest entry first.
    fn find_map<T>(&self, mut find: impl FnMut(&Entry) -> Option<T>) -> Result<Option<T>, JournalError> {
        let mut from = self.archived().next();
        while let Some(page) = self.page(from, PAGE, SEQUENTIAL_BYTES)? {
            if let Some(found) = page.iter().find_map(&mut find) {
                return Ok(Some(found));
            }
            from = page.last().map_or(from, |last| last.position).next();
        }
        Ok(None)
    }

    fn scan_for_name(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        let mut holder = LastHolder::of(name);
        if let Some(stub) = self.stub() {
            holder.begin(stub.named(name)?);
        }
        self.for_each(|entry| holder.see(entry))?;
        Ok(holder.found())
    }
}

#[async_trait]
impl JournalReader for FileReader {
    fn head(&self) -> Head {
        if let Some(live) = &self.live {
            return live.head();
        }
        match self.refreshed() {
            Ok(view) => view.tail.head(),
            Err(error) => {
                // The end as far as it is known; whoever reads on meets the error itself.
                tracing::warn!(%error, "the end of the journal cannot be read");
                self.lock().tail.head()
            }
        }
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.read_now(after, limit)
    }

    async fn read_some(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.read_some_now(after, limit)
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let Some(before) = at.0.checked_sub(1) else { return Ok(None) };
        Ok(self.read_now(Position(before), 1)?.pop())
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        self.digest_now(position)
    }

    async fn digest_from(&self, position: Position) -> Result<Option<(Position, Digest)>, JournalError> {
        self.unless_archived(|| self.digest_from_now(position))
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.run_head_now(run)
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        if let Some(Ok(answered)) = self.live.as_ref().map(|live| live.catalog.answered(run, command)) {
            return Ok(answered);
        }
        if let Some(kept) = self.archived_answer(run, command).await? {
            return Ok(Some(kept.position()));
        }
        // Commands that were refused before the run was created are in no history, and first answers all the same.
        self.find_map(|entry| {
            let answers = entry.run() == Some(run) && entry.command_id() == Some(command);
            answers.then_some(entry.position)
        })
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        if let Some(Ok(named)) = self.live.as_ref().map(|live| live.catalog.named(name)) {
            return Ok(named);
        }
        self.scan_for_name(name)
    }

    fn archived(&self) -> Position {
        self.stub().map_or(Position::ZERO, |stub| stub.end().position)
    }

    async fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.stub().map_or(Ok(None), |stub| stub.base(run))
    }

    async fn bases(&self) -> Result<Vec<RunRecord>, JournalError> {
        let mut records = Vec::new();
        if let Some(stub) = self.stub() {
            stub.for_each(|_, kept| {
                records.extend(kept.record);
                Ok::<(), JournalError>(())
            })?;
        }
        Ok(records)
    }

    async fn archived_answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        self.stub().map_or(Ok(None), |stub| stub.answer(run, command))
    }

    async fn facts(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        self.picked(after, up_to, codec::is_fact)
    }

    async fn early_refusals(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        self.picked(after, up_to, codec::is_early_refusal)
    }
}
