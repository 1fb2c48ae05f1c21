//! A journal in memory, for tests and for embedders that want no durability.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tachograph_engine::codec;
use tachograph_engine::domain::{CommandId, Digest, Entry, Position, RunId};
use tachograph_engine::ports::{AppendError, Draft, Head, Journal, JournalError, JournalReader, Opening, RunHead};

use crate::index::{Catalog, place};
use crate::lock::lock;

/// What a journal in memory is written to: it outlives its writers, so that a test can lose one and open it again.
///
/// Clones are the same storage.
#[derive(Debug, Clone)]
pub struct MemoryStorage(Arc<Storage>);

#[derive(Debug)]
struct Storage {
    history: Mutex<History>,
    catalog: Catalog,
}

#[derive(Debug)]
struct History {
    entries: Vec<Entry>,
    head: Head,
    /// The hash at the end of every batch.
    digests: BTreeMap<Position, Digest>,
    /// Whether a writer has it open.
    owned: bool,
    /// Whether the last writer closed it, or there was none.
    clean: bool,
    next_append: Fault,
}

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Lost,
    Unanswered,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        let history = History {
            entries: Vec::new(),
            head: Head { position: Position::ZERO, digest: Digest::ZERO },
            digests: BTreeMap::new(),
            owned: false,
            clean: true,
            next_append: Fault::None,
        };
        Self(Arc::new(Storage { history: Mutex::new(history), catalog: Catalog::in_memory() }))
    }
}

impl MemoryStorage {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it for writing. A writer that is dropped without [`close`](Journal::close) counts as crashed.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] as long as there is a writer.
    pub fn open(&self) -> Result<MemoryJournal, JournalError> {
        let mut history = self.lock();
        if history.owned {
            return Err(JournalError::Locked { path: "memory".into(), holder: "this process".to_owned() });
        }
        Ok(MemoryJournal { opening: history.own(), storage: self.clone(), poisoned: None })
    }

    /// Lets the next append fail with nothing of its batch kept.
    pub fn fail_next_append(&self) {
        self.lock().next_append = Fault::Lost;
    }

    /// Lets the next append fail although all of its batch is kept, as if the crash came right after the sync.
    pub fn leave_next_append_unanswered(&self) {
        self.lock().next_append = Fault::Unanswered;
    }

    /// A reader, also without any writer.
    pub fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(MemoryReader(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        lock(&self.0.history)
    }

    fn write(&self, drafts: Vec<Draft>) -> Result<(Vec<Entry>, Fault), AppendError> {
        let after = self.lock().head.position;
        let entries = place(drafts, after, |run| self.0.catalog.run_head(run))?;
        let mut history = self.lock();
        let fault = std::mem::replace(&mut history.next_append, Fault::None);
        if fault != Fault::Lost && !entries.is_empty() {
            history.extend(&entries);
            // Still locked: whoever sees the entries gets the answers that go with them.
            self.0.catalog.observe(&entries, history.head.digest);
        }
        Ok((entries, fault))
    }
}

impl History {
    /// Gives it to a writer; what it finds.
    fn own(&mut self) -> Opening {
        let opening = Opening { clean: self.clean, ..Opening::default() };
        self.owned = true;
        self.clean = false;
        opening
    }

    fn extend(&mut self, entries: &[Entry]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.head.digest.0);
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.clear();
            codec::encode_entry(entry, &mut bytes);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
            self.head.position = entry.position;
        }
        self.head.digest = Digest(*hasher.finalize().as_bytes());
        self.entries.extend_from_slice(entries);
        self.digests.insert(self.head.position, self.head.digest);
    }
}

/// The writer of a [`MemoryStorage`].
#[derive(Debug)]
pub struct MemoryJournal {
    storage: MemoryStorage,
    opening: Opening,
    poisoned: Option<String>,
}

impl MemoryJournal {
    /// A journal over a storage of its own.
    pub fn new() -> Self {
        let storage = MemoryStorage::new();
        let opening = storage.lock().own();
        Self { storage, opening, poisoned: None }
    }

    /// What it writes to.
    pub fn storage(&self) -> MemoryStorage {
        self.storage.clone()
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.storage.lock().owned = false;
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn opening(&self) -> Opening {
        self.opening.clone()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if let Some(why) = &self.poisoned {
            return Err(JournalError::Poisoned { why: why.clone() }.into());
        }
        let (entries, fault) = self.storage.write(drafts)?;
        if fault == Fault::None {
            return Ok(entries);
        }
        let failed = JournalError::io("write", "memory", io::Error::other("a test asked for it"));
        self.poisoned = Some(failed.to_string());
        Err(failed.into())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.storage.reader()
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.storage.lock().clean = self.poisoned.is_none();
        Ok(())
    }
}

/// Reads a [`MemoryStorage`].
#[derive(Debug, Clone)]
struct MemoryReader(MemoryStorage);

/// The index of a position in a list that begins with position 1.
fn index_of(position: Position) -> usize {
    usize::try_from(position.0).unwrap_or(usize::MAX)
}

#[async_trait]
impl JournalReader for MemoryReader {
    fn head(&self) -> Head {
        self.0.lock().head
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let history = self.0.lock();
        let rest = history.entries.get(index_of(after)..).unwrap_or_default();
        Ok(rest.iter().take(limit).cloned().collect())
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let Some(index) = index_of(at).checked_sub(1) else { return Ok(None) };
        Ok(self.0.lock().entries.get(index).cloned())
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        Ok(self.0.lock().digests.get(&position).copied())
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.0.0.catalog.run_head(run)
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        self.0.0.catalog.answered(run, command)
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.0.0.catalog.named(name)
    }
}
