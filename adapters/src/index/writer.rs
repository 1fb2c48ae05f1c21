//! The thread that writes the index.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tachograph_engine::domain::{Digest, Position};

use super::meta::{META_KEY, Meta, sealed};
use super::queue::{Queue, Shared, Stop};
use super::row::Bytes;
use super::sled_ended::{contained, open_sled};
use crate::lock::lock;

/// So many rows are worth writing at once.
pub(super) const ROWS_AT_ONCE: usize = if cfg!(test) { 1_000 } else { 65_536 };
/// So many are written at once as long as nothing is said about what is covered.
const ROWS_OF_FIRST: usize = if cfg!(test) { 64 } else { 16_384 };
/// How long rows wait for more of them: a run that restarts meanwhile is written once, and sled, which is not cheap, is
/// left alone during a burst. They are answered from memory meanwhile, and a crash costs a look at the journal.
const LINGER: Duration = Duration::from_secs(2);

/// Opens sled and reports what it found, then writes until told to stop.
pub(super) fn run(shared: &Shared, opened: &mpsc::Sender<Result<Option<Meta>, String>>) {
    let outcome = open_sled(&shared.place).map(|(db, meta)| {
        *shared.db.write().unwrap_or_else(PoisonError::into_inner) = Some(db);
        meta
    });
    let is_open = outcome.is_ok();
    // Nobody listens if opening took too long; then the stop is set already.
    let _ = opened.send(outcome);
    if is_open {
        while let Some((rows, end)) = take(shared) {
            let result = write(shared, &rows, end);
            put_down(shared, rows, end, result);
        }
        close(shared);
    }
    lock(&shared.queue).stopped = true;
    shared.changed.notify_all();
}

type Rows = Arc<HashMap<Bytes, Bytes>>;
type End = (Position, Digest);

/// Waits for something to write; nothing if it is time to stop.
fn take(shared: &Shared) -> Option<(Rows, End)> {
    let mut queue = lock(&shared.queue);
    loop {
        if queue.has_work() {
            let waited = shared.changed.wait_timeout_while(queue, LINGER, |queue| queue.may_linger());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if queue.has_work() {
                return Some(begin(&mut queue));
            }
        } else if queue.stop.is_some() {
            return None;
        } else {
            queue.idle = true;
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle = false;
        }
    }
}

fn begin(queue: &mut MutexGuard<'_, Queue>) -> (Rows, End) {
    let rows = Arc::new(std::mem::take(&mut queue.pending));
    queue.writing = Arc::clone(&rows);
    queue.urgent = false;
    (rows, queue.end)
}

impl Queue {
    pub(super) fn has_work(&self) -> bool {
        if !self.caught_up && !self.urgent && self.stop.is_none() {
            return false;
        }
        if self.stuck || self.lost.is_some() || self.stop == Some(Stop::Abandon) {
            return false;
        }
        !self.pending.is_empty() || ((self.urgent || self.stop.is_some()) && self.written < self.end.0)
    }

    fn may_linger(&self) -> bool {
        self.has_work() && self.stop.is_none() && !self.urgent && self.pending.len() < ROWS_AT_ONCE
    }
}

/// Writes rows and what they cover, all or none.
fn write(shared: &Shared, rows: &Rows, (position, digest): End) -> Result<(), String> {
    let is_first = lock(&shared.queue).written == Position::ZERO;
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_unstable();
    let db = shared.db.read().unwrap_or_else(PoisonError::into_inner);
    let Some(db) = &*db else { return Err("it is closed".to_owned()) };
    #[cfg(test)]
    if shared.fails_writes.load(std::sync::atomic::Ordering::Relaxed) {
        return Err("a test says so".to_owned());
    }
    // An index that does not say yet what it covers is no use to anybody, so it need not become whole at once: a huge
    // batch takes much memory, and keeps readers out.
    let at_once = if is_first { ROWS_OF_FIRST } else { sorted.len().max(1) };
    let mut parts = sorted.chunks(at_once).peekable();
    contained(|| {
        while let Some(part) = parts.next_if(|part| part.len() == at_once && is_first) {
            db.apply_batch(batch(part))?;
        }
        if is_first {
            db.flush()?;
        }
        let mut last = parts.next().map(batch).unwrap_or_default();
        last.insert(META_KEY, sealed(META_KEY, &Meta::now(position, digest).to_bytes()));
        db.apply_batch(last)?;
        db.flush().map(drop)
    })
}

fn batch(rows: &[(&Bytes, &Bytes)]) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, row) in rows {
        batch.insert(key.as_slice(), sealed(key, row));
    }
    batch
}

fn put_down(shared: &Shared, rows: Rows, (position, _): End, result: Result<(), String>) {
    let mut queue = lock(&shared.queue);
    queue.writing = Arc::default();
    match result {
        Ok(()) => queue.written = position,
        Err(why) => {
            let path = shared.place.path().display();
            tracing::warn!(%path, why, "ended runs are kept in memory: the index cannot be written");
            queue.stuck = true;
            for (key, row) in rows.iter() {
                queue.pending.entry(key.clone()).or_insert_with(|| row.clone());
            }
        }
    }
    shared.changed.notify_all();
}

/// Closes sled. What is written whole is sealed; what is not, is no use to anybody.
fn close(shared: &Shared) {
    let db = shared.db.write().unwrap_or_else(PoisonError::into_inner).take();
    let closed = contained(|| {
        drop(db);
        Ok(())
    });
    let queue = lock(&shared.queue);
    let whole = closed.is_ok() && !queue.stuck && queue.lost.is_none();
    let (stop, (position, digest)) = (queue.stop, queue.end);
    drop(queue);
    let outcome = match (whole, stop) {
        (true, Some(Stop::Close)) => shared.place.seal(&Meta::now(position, digest)),
        (true, _) => Ok(()),
        (false, _) => shared.place.clear(),
    };
    if let Err(error) = outcome {
        tracing::warn!(path = %shared.place.path().display(), %error, "the index is not closed; it may be rebuilt");
    }
}
