//! The rows of ended runs in sled, written by a thread of their own.
//!
//! sled is contained: whatever it does, wait, fail or panic, the journal goes on. Its writes happen in the thread
//! `tacho-index`, many rows at a time; what is not written yet is answered from memory.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;

use super::meta::{META_KEY, Meta, unsealed};
use super::place::Place;
use super::queue::{PATIENCE, Queue, Shared, Stop};
use super::row::Bytes;
use super::store::EndedStore;
use super::writer;
use crate::lock::lock;
use crate::threads::room_for;

/// sled's own bound is a gigabyte.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Its own thread and those of sled; and those of journal and engine, which come after it: without them it would have to
/// be closed again at once.
const THREADS: usize = 6;

/// Rows in sled.
pub(super) struct SledEnded {
    shared: Arc<Shared>,
    covered: Position,
}

/// Why an index was not opened.
enum Failure {
    /// It may be deleted.
    Unusable(String),
    /// sled is still at it, so that its directory must not be touched.
    Stalled,
}

impl Failure {
    fn why(self) -> String {
        match self {
            Self::Unusable(why) => why,
            Self::Stalled => "sled does not open it in time".to_owned(),
        }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Unusable(why)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl SledEnded {
    /// Opens the index, or a new one in its place if it is not the index of this journal, or cannot be used.
    ///
    /// # Errors
    ///
    /// Why no index can be kept there.
    pub(super) fn open(data: &Path, digest_at: impl FnOnce(Position) -> Option<Digest>) -> Result<Self, String> {
        // sled waits without end for threads that it could not start.
        room_for(THREADS).map_err(|error| format!("there is no room for its threads: {error}"))?;
        let place = Place::within(data);
        if place.exists() {
            match Self::reopen(&place, digest_at) {
                Ok(store) => return Ok(store),
                Err(Failure::Stalled) => return Err(Failure::Stalled.why()),
                Err(Failure::Unusable(why)) => {
                    tracing::info!(path = %place.path().display(), why, "rebuilding the index of ended runs");
                }
            }
        }
        place.clear().map_err(|error| format!("cannot delete what is in its place: {error}"))?;
        Self::start(&place).map(|(store, _)| store).map_err(Failure::why)
    }

    fn reopen(place: &Place, digest_at: impl FnOnce(Position) -> Option<Digest>) -> Result<Self, Failure> {
        let closed = place.unseal()?;
        let (mut store, meta) = Self::start(place)?;
        let meta = meta.ok_or("it does not say what it covers".to_owned())?;
        meta.vouch(closed.as_ref(), digest_at)?;
        let mut queue = lock(&store.shared.queue);
        queue.end = (meta.position, meta.digest);
        queue.written = meta.position;
        drop(queue);
        store.covered = meta.position;
        Ok(store)
    }

    fn start(place: &Place) -> Result<(Self, Option<Meta>), Failure> {
        place.create()?;
        let shared = Arc::new(Shared {
            place: place.clone(),
            queue: Mutex::new(Queue::empty()),
            changed: Condvar::new(),
            db: RwLock::new(None),
            #[cfg(test)]
            fails_writes: false.into(),
        });
        let (opened, outcome) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("tacho-index".to_owned()).spawn(move || writer::run(&theirs, &opened))?;
        match outcome.recv_timeout(PATIENCE) {
            Ok(outcome) => Ok((Self { shared, covered: Position::ZERO }, outcome?)),
            Err(RecvTimeoutError::Timeout) => {
                lock(&shared.queue).stop = Some(Stop::Abandon);
                Err(Failure::Stalled)
            }
            Err(RecvTimeoutError::Disconnected) => Err("the thread that opens it ended".to_owned().into()),
        }
    }

    #[cfg(test)]
    pub(super) fn rows_in_memory(&self) -> usize {
        let queue = lock(&self.shared.queue);
        queue.staged.len() + queue.pending.len() + queue.writing.len()
    }

    /// Leaves a row where it is while it is written.
    #[cfg(test)]
    pub(super) fn be_writing(&self, key: &[u8]) {
        let mut queue = lock(&self.shared.queue);
        let row = queue.staged.remove_entry(key);
        queue.writing = Arc::new(row.into_iter().collect());
    }

    #[cfg(test)]
    pub(super) fn fail_writes(&self) {
        self.shared.fails_writes.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Tells the thread to end, and waits for it as long as it makes sense.
    fn stop(&self, stop: Stop) {
        let mut queue = lock(&self.shared.queue);
        queue.stop.get_or_insert(stop);
        self.shared.changed.notify_all();
        let mut queue = self.shared.wait_while(queue, |queue| !queue.stopped && !queue.overdue);
        if !queue.stopped && !queue.overdue {
            queue.overdue = true;
            tracing::warn!(path = %self.shared.place.path().display(), "the index of ended runs does not close in time");
        }
    }
}

impl EndedStore for SledEnded {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, JournalError> {
        {
            let queue = lock(&self.shared.queue);
            if let Some(why) = &queue.lost {
                return Err(self.shared.lost_error(why));
            }
            if queue.stop.is_some() {
                return Err(JournalError::Closed);
            }
            if let Some(row) = queue.waiting(key) {
                return Ok(Some(row.clone()));
            }
        }
        let db = self.shared.db.read().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = &*db else { return Err(JournalError::Closed) };
        match contained(|| db.get(key)) {
            Ok(None) => Ok(None),
            Ok(Some(sealed)) => match unsealed(key, &sealed) {
                Some(row) => Ok(Some(row.to_vec())),
                None => Err(self.give_up("a row does not fit its checksum")),
            },
            Err(why) => Err(self.give_up(&why)),
        }
    }

    fn put(&self, key: Bytes, row: Bytes) {
        let mut queue = lock(&self.shared.queue);
        if queue.lost.is_none() {
            queue.staged.insert(key, row);
        }
    }

    fn advance(&self, position: Position, digest: Digest) {
        if position <= self.covered {
            return;
        }
        let mut queue = lock(&self.shared.queue);
        let Queue { staged, pending, .. } = &mut *queue;
        pending.extend(staged.drain());
        queue.end = (position, digest);
        if queue.lags() {
            let path = self.shared.place.path().display();
            tracing::warn!(%path, "the index of ended runs is slower than the journal; its rows wait in memory");
        }
        if queue.idle && queue.has_work() || queue.caught_up && queue.pending.len() >= writer::ROWS_AT_ONCE {
            queue.idle = false;
            self.shared.changed.notify_all();
        }
    }

    fn caught_up(&self) {
        lock(&self.shared.queue).caught_up = true;
        self.shared.changed.notify_all();
    }

    fn covered(&self) -> Position {
        self.covered
    }

    fn give_up(&self, why: &str) -> JournalError {
        let mut queue = lock(&self.shared.queue);
        if queue.lost.is_none() {
            let path = self.shared.place.path().display();
            tracing::warn!(%path, why, "the index of ended runs is lost; it is rebuilt when the journal is opened");
            queue.lost = Some(why.to_owned());
            queue.staged.clear();
            queue.pending.clear();
            // What cannot be deleted now is found out again by the next reader of that row.
            let _ = self.shared.place.clear();
        }
        self.shared.lost_error(why)
    }

    fn is_sound(&self) -> bool {
        lock(&self.shared.queue).lost.is_none()
    }

    fn flush(&self) {
        let mut queue = lock(&self.shared.queue);
        let end = queue.end.0;
        queue.urgent = queue.written < end && queue.can_shrink();
        self.shared.changed.notify_all();
        drop(self.shared.wait_while(queue, |queue| queue.written < end && queue.can_shrink()));
    }

    fn close(&self) {
        self.stop(Stop::Close);
    }
}

impl Drop for SledEnded {
    fn drop(&mut self) {
        self.stop(Stop::Abandon);
    }
}

/// Runs something of sled's, and makes a message of its error or panic.
pub(super) fn contained<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    // Whatever state a panic leaves behind is sled's own, and sled is not asked again after one.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("sled panicked".to_owned()),
    }
}

/// Opens sled where the index lies, and what it says about itself.
pub(super) fn open_sled(place: &Place) -> Result<(sled::Db, Option<Meta>), String> {
    contained(|| {
        let db = sled::Config::new()
            .path(place.sled())
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None)
            .open()?;
        place.protect()?;
        let meta = db.get(META_KEY)?.and_then(|bytes| Meta::from_bytes(unsealed(META_KEY, &bytes)?));
        Ok((db, meta))
    })
}
