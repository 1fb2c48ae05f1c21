//! Where the rows go of runs that are not open.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::JournalError;

use super::row::Bytes;
use crate::lock::lock;

/// Keeps rows by key, beside the journal and never before it.
///
/// # Contract
///
/// - `get` sees every `put`, at once.
/// - What a store still has after a crash are all rows that were put up to some `advance`, and `covered` says which.
/// - Rows are lost all together or not at all: a store that cannot answer says so, and has nothing when opened again.
pub(super) trait EndedStore: Send + Sync {
    /// The row of a key.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the row cannot be known any more, [`JournalError::Closed`] after `close`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, JournalError>;

    /// Puts a row in place of what was there. Returns at once and never fails; it does nothing in a store that failed.
    fn put(&self, key: Bytes, row: Bytes);

    /// Everything up to this end of a batch is put. Returns at once, as `put` does.
    fn advance(&self, position: Position, digest: Digest);

    /// Everything that the journal has is put: from now on rows may be written, which would only slow down those who
    /// bring so many of them.
    fn caught_up(&self);

    /// The position up to which rows were there when it was opened.
    fn covered(&self) -> Position;

    /// Gives the store up because a row is not readable, and says so.
    fn give_up(&self, why: &str) -> JournalError;

    /// Whether it can still answer.
    fn is_sound(&self) -> bool;

    /// Returns once everything put is written, if it can be written at all.
    fn flush(&self);

    /// Writes what is left and closes the files.
    fn close(&self);
}

/// Rows in memory: begins empty every time.
#[derive(Debug, Default)]
pub(super) struct MemoryEnded {
    rows: Mutex<HashMap<Bytes, Bytes>>,
}

impl EndedStore for MemoryEnded {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, JournalError> {
        Ok(lock(&self.rows).get(key).cloned())
    }

    fn put(&self, key: Bytes, row: Bytes) {
        lock(&self.rows).insert(key, row);
    }

    fn advance(&self, _: Position, _: Digest) {}

    fn caught_up(&self) {}

    fn covered(&self) -> Position {
        Position::ZERO
    }

    fn give_up(&self, why: &str) -> JournalError {
        JournalError::io("read the index of ended runs", "memory", io::Error::other(why.to_owned()))
    }

    fn is_sound(&self) -> bool {
        true
    }

    fn flush(&self) {}

    fn close(&self) {}
}
