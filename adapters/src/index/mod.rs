//! What a writer knows about runs without reading their history.
//!
//! Runs that have not ended are kept in memory, ended ones in sled, in `<data>/index`. The journal is the truth: the
//! index may be deleted at any time, is never trusted unless the journal's own hash vouches for it, and is otherwise
//! rebuilt from the entries that the journal feeds through [`Catalog::observe`] when it is opened.

mod filter;
mod meta;
mod open_runs;
mod place;
mod placing;
mod queue;
mod row;
mod sled_ended;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tachograph_engine::domain::{CommandId, Digest, Entry, EntryBody, Position, RunId};
use tachograph_engine::ports::{JournalError, RunHead};

pub(crate) use self::placing::place;

use self::filter::RunFilter;
use self::open_runs::{OpenRun, OpenRuns, Turn, created_name, takes_name};
use self::row::{Answers, RunRow, command_key, name_key, name_row, position_row, read_name, read_position, run_key};
use self::sled_ended::SledEnded;
use self::store::{EndedStore, MemoryEnded};
use crate::journal::stub::{KeptRun, Stub};
use crate::lock::lock;

/// Name of the directory with the index, within the data directory.
pub(crate) const INDEX_DIR: &str = "index";

/// Knows the end of every run's history, every answered command and the last holder of every name.
///
/// One writer feeds it; any thread may ask. A writer that opens a journal feeds it all entries from the first one,
/// then every batch once it is durable. It waits for the index at no time: what is not written yet is kept in memory, which
/// else holds the runs that have not ended. So after opening without a usable index memory holds all ended runs for a while
/// (about 200 bytes each and their names), and under a load that outruns the index what it lags behind; a warning says so.
pub struct Catalog {
    open: Mutex<OpenRuns>,
    store: RwLock<Arc<dyn EndedStore>>,
    /// Every run that any entry was about: the store is asked about no other.
    seen: RunFilter,
    /// What is known of runs whose entries were archived.
    base: RwLock<Option<Arc<Stub>>>,
}

impl Catalog {
    /// A catalog without files, empty.
    pub fn in_memory() -> Self {
        Self::over(Arc::<MemoryEnded>::default())
    }

    /// The catalog of the journal in this data directory, empty until it is fed. `digest_at` is asked once for the hash
    /// over the journal's history up to a position: an index that has another one there is not this journal's.
    ///
    /// Never fails: an index that cannot be used is deleted and rebuilt, and if that is not possible either, the
    /// catalog works in memory.
    pub fn open(data: &Path, digest_at: impl FnOnce(Position) -> Option<Digest>) -> Self {
        match SledEnded::open(data, digest_at) {
            Ok(store) => Self::over(Arc::new(store)),
            Err(why) => {
                let path = data.join(INDEX_DIR);
                tracing::warn!(path = %path.display(), why, "ended runs are kept in memory: no index can be kept there");
                Self::in_memory()
            }
        }
    }

    fn over(store: Arc<dyn EndedStore>) -> Self {
        let (open, base) = (Mutex::default(), RwLock::default());
        Self { open, store: RwLock::new(store), seen: RunFilter::default(), base }
    }

    /// Begins where the entries before were archived, and a stub stands for them. To be called before anything is fed.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] or [`JournalError::Io`] of the stub.
    pub(crate) fn inherit(&self, stub: Arc<Stub>) -> Result<(), JournalError> {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = Some(stub.clone());
        let mut open = lock(&self.open);
        stub.for_each_id(|run, kept| {
            self.seen.add(run);
            let Some(KeptRun { record: Some(record), last, version, .. }) = kept else { return };
            let mut known = OpenRun::begin(record.run.spec.name.clone(), true, true);
            known.head = RunHead { version, last };
            if let Some(name) = known.name.clone() {
                open.names.insert(name, run);
            }
            open.runs.insert(run, known);
        })
    }

    /// Takes in a durable batch, or one frame of a journal that is being opened: consecutive entries, and the hash
    /// over the history up to the last of them.
    ///
    /// Never fails: if the index is lost on the way, the answers that need it are errors from then on.
    pub fn observe(&self, entries: &[Entry], digest: Digest) {
        for entry in entries {
            if let (Some(run), Some(command)) = (entry.run(), entry.command_id()) {
                // The store has noted its failure and answers with it.
                let _ = self.observe_one(entry, run, command);
                // Afterwards, so that a run's first entry need not ask the store either.
                self.seen.add(run);
            }
        }
        if let Some(last) = entries.last() {
            self.store().advance(last.position, digest);
        }
    }

    /// Tells that the journal is open and everything in it was fed: the index is written from now on, in the background.
    /// Without it, rows stay in memory until the catalog is flushed or closed.
    pub fn caught_up(&self) {
        self.store().caught_up();
    }

    /// The end of a run's history; absent for a run that was never created.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the index was lost while it was in use: open the journal again.
    /// [`JournalError::Closed`] after [`close`](Self::close), for what is not in memory.
    pub fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        if let Some(open) = lock(&self.open).runs.get(&run) {
            return Ok(Some(open.head));
        }
        Ok(self.row(run)?.and_then(|row| row.head()))
    }

    /// Where a command to this run was answered first.
    ///
    /// # Errors
    ///
    /// As [`run_head`](Self::run_head).
    pub fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        let mut spilled = false;
        if let Some(open) = lock(&self.open).runs.get(&run) {
            let answered = open.answers.find(command);
            if answered.is_some() || !(open.older || open.spilled) {
                return Ok(answered);
            }
            spilled = open.spilled;
        }
        if let Some(row) = self.row(run)? {
            if let Some(position) = row.answers.find(command) {
                return Ok(Some(position));
            }
            spilled |= row.spilled;
        }
        if !spilled {
            return Ok(None);
        }
        match (self.read(&command_key(run, command), read_position)?, self.base()) {
            (None, Some(base)) => Ok(base.answer(run, command)?.map(|kept| kept.position())),
            (found, _) => Ok(found),
        }
    }

    /// The run that took a name last, ended or not.
    ///
    /// # Errors
    ///
    /// As [`run_head`](Self::run_head).
    pub fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        if let Some(run) = lock(&self.open).names.get(name) {
            return Ok(Some(*run));
        }
        match (self.read(&name_key(name), read_name)?, self.base()) {
            (None, Some(base)) => Ok(base.named(name)?.last().copied()),
            (found, _) => Ok(found),
        }
    }

    /// How many runs have not ended.
    pub fn open_runs(&self) -> usize {
        lock(&self.open).runs.len()
    }

    /// Whether the index can answer. One that proves wrong is deleted at once, and rebuilt when the journal is opened
    /// again; until then, [`rebuild`](Self::rebuild) helps.
    pub fn is_sound(&self) -> bool {
        self.store().is_sound()
    }

    /// Begins again in memory, out of all entries so far, oldest first. What is observed later is kept there as well.
    ///
    /// # Errors
    ///
    /// That of the feed; then nothing has changed.
    pub fn rebuild<E>(&self, feed: impl FnOnce(&mut dyn FnMut(&Entry)) -> Result<(), E>) -> Result<(), E> {
        let rebuilt = Self::in_memory();
        if let Some(base) = self.base()
            && let Err(error) = rebuilt.inherit(base)
        {
            tracing::warn!(%error, "runs that were open where the archive ends are not in memory");
        }
        feed(&mut |entry| rebuilt.observe(std::slice::from_ref(entry), Digest::ZERO))?;
        let mut open = lock(&self.open);
        *open = std::mem::take(&mut lock(&rebuilt.open));
        let before =
            std::mem::replace(&mut *self.store.write().unwrap_or_else(PoisonError::into_inner), rebuilt.store());
        drop(open);
        before.close();
        Ok(())
    }

    /// Waits until the index has everything observed so far, if it can be written at all. Nothing needs that but
    /// whoever copies the directory.
    pub fn flush(&self) {
        self.store().flush();
    }

    /// Writes what is left and closes the index. Runs in memory are still answered for; everything else is
    /// [`JournalError::Closed`].
    pub fn close(&self) {
        self.store().close();
    }

    fn store(&self) -> Arc<dyn EndedStore> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn observe_one(&self, entry: &Entry, run: RunId, command: CommandId) -> Result<(), JournalError> {
        let turn = Turn::of(entry);
        // The store has the rows of these already, and maybe newer ones.
        let settled = entry.position <= self.store().covered();
        if !lock(&self.open).runs.contains_key(&run) {
            match (turn, settled) {
                (Turn::Opens, _) => self.bring_in(entry, run, settled)?,
                (Turn::Ends | Turn::Stays, true) => return Ok(()),
                (Turn::Ends | Turn::Stays, false) => return self.extend_row(entry, run, command),
            }
        }
        let spilled = self.extend_open(entry, run, command);
        if !settled {
            self.put_spilled(run, spilled);
        }
        if turn != Turn::Ends {
            return Ok(());
        }
        let sent = if settled { Ok(()) } else { self.send_out(run) };
        // Also if it got nowhere: an ended run in memory would hold on to a name that others may take.
        lock(&self.open).remove(run);
        sent
    }

    /// Makes room in memory for a run that opens: a new one, or one that ended before.
    fn bring_in(&self, entry: &Entry, run: RunId, settled: bool) -> Result<(), JournalError> {
        let created = created_name(entry).map(str::to_owned);
        let is_new = entry.previous.is_none();
        let opened = if settled && is_new {
            // Whether it has a row is not worth a look for each run of a long history; a later question looks.
            OpenRun::begin(created, true, false)
        } else {
            let row = self.row(run)?;
            if settled && row.is_none() {
                return Err(self.store().give_up("the row of an ended run is missing"));
            }
            let (older, spilled) = (row.is_some(), row.as_ref().is_some_and(|row| row.spilled));
            OpenRun::begin(created.or_else(|| row.and_then(|row| row.name)), older, spilled)
        };
        lock(&self.open).runs.insert(run, opened);
        Ok(())
    }

    fn extend_open(&self, entry: &Entry, run: RunId, command: CommandId) -> Vec<(Position, CommandId)> {
        let mut open = lock(&self.open);
        let OpenRuns { runs, names } = &mut *open;
        let Some(known) = runs.get_mut(&run) else { return Vec::new() };
        if let (Some(name), true) = (&known.name, takes_name(entry)) {
            names.insert(name.clone(), run);
        }
        known.extend(entry, command)
    }

    /// Writes the row of a run that has ended. It stays in memory meanwhile, so that whoever asks finds it somewhere.
    fn send_out(&self, run: RunId) -> Result<(), JournalError> {
        let (ended, holds_name) = {
            let open = lock(&self.open);
            let Some(ended) = open.runs.get(&run) else { return Ok(()) };
            let holds_name = ended.name.as_ref().is_some_and(|name| open.names.get(name) == Some(&run));
            (ended.clone(), holds_name)
        };
        let mut row = if ended.older { self.row(run)?.unwrap_or_default() } else { RunRow::default() };
        row.version = ended.head.version;
        row.last = ended.head.last;
        row.spilled |= ended.spilled;
        row.answers.merge(&ended.answers);
        row.name = ended.name;
        if let (Some(name), true) = (&row.name, holds_name) {
            self.store().put(name_key(name), name_row(run));
        }
        self.put_row(run, row);
        Ok(())
    }

    /// Takes in an entry about a run that is not open, and stays so: a late command, or one to an unknown run.
    fn extend_row(&self, entry: &Entry, run: RunId, command: CommandId) -> Result<(), JournalError> {
        let mut row = self.row(run)?.unwrap_or_default();
        row.last = entry.position;
        if let EntryBody::Committed(committed) = &entry.body {
            row.version = committed.version;
        }
        if let Some(name) = created_name(entry) {
            row.name = Some(name.to_owned());
        }
        if let (Some(name), true) = (&row.name, takes_name(entry)) {
            self.store().put(name_key(name), name_row(run));
        }
        row.answers.add(command, entry.position);
        self.put_row(run, row);
        Ok(())
    }

    fn put_row(&self, run: RunId, mut row: RunRow) {
        let spilled = row.answers.spill();
        row.spilled |= !spilled.is_empty();
        self.put_spilled(run, spilled);
        self.store().put(run_key(run), row.to_bytes());
    }

    fn put_spilled(&self, run: RunId, spilled: Vec<(Position, CommandId)>) {
        for (position, command) in spilled {
            self.store().put(command_key(run, command), position_row(position));
        }
    }

    fn row(&self, run: RunId) -> Result<Option<RunRow>, JournalError> {
        if !self.seen.may_contain(run) {
            return Ok(None);
        }
        match (self.read(&run_key(run), RunRow::from_bytes)?, self.base()) {
            (None, Some(base)) => Ok(base.run(run)?.map(inherited)),
            (found, _) => Ok(found),
        }
    }

    fn base(&self) -> Option<Arc<Stub>> {
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read<T>(&self, key: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, JournalError> {
        let Some(row) = self.store().get(key)? else { return Ok(None) };
        decode(&row).map(Some).ok_or_else(|| self.store().give_up("a row is not as it was written"))
    }
}

/// The row of a run as it was where the archive ends. Its commands have rows of their own: they stay in the stub.
fn inherited(kept: KeptRun) -> RunRow {
    let name = kept.record.and_then(|record| record.run.spec.name.clone());
    RunRow { version: kept.version, last: kept.last, name, spilled: true, answers: Answers::default() }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("open_runs", &self.open_runs()).finish_non_exhaustive()
    }
}
