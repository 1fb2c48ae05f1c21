//! A journal whose appends a test can hold, let go and break.
//!
//! It forgets at once that it was broken: that nothing more is acknowledged then must be the engine's own doing.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_engine::domain::{CommandId, Digest, Entry, EntryBody, Position, RunId};
use tachograph_engine::ports::{AppendError, Draft, Head, Journal, JournalError, JournalReader, Opening, RunHead};
use tokio::sync::watch;

/// When a broken append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Before anything is written.
    Before,
    /// After all of it is durable: the writer cannot tell the two apart.
    After,
    /// Before anything is written, for want of room.
    Full,
}

/// Stands before a journal's append, and behind its reads. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    held: bool,
    waiting: bool,
    ends_held: bool,
    end_waiting: bool,
    broken: Option<Break>,
    /// Appends of events that meet another writer from now on.
    conflicts: usize,
    /// Size of every batch that was let through.
    batches: Vec<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }
}

impl Gate {
    /// Puts the gate before a journal.
    pub fn before(&self, journal: Box<dyn Journal>) -> Box<dyn Journal> {
        Box::new(Gated { journal, gate: self.clone() })
    }

    /// From now on appends wait.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.held = true);
    }

    /// Lets appends through again.
    pub fn release(&self) {
        self.state.send_modify(|state| state.held = false);
    }

    /// From now on reads that found the end of the journal wait before they say so.
    pub fn hold_ends(&self) {
        self.state.send_modify(|state| state.ends_held = true);
    }

    /// Lets them say so.
    pub fn release_ends(&self) {
        self.state.send_modify(|state| state.ends_held = false);
    }

    /// Returns once a read has found the end, and waits.
    pub async fn until_end_waiting(&self) {
        self.state.subscribe().wait_for(|state| state.end_waiting).await.expect("the gate is alive");
    }

    /// The next append that passes fails.
    pub fn break_next(&self, when: Break) {
        self.state.send_modify(|state| state.broken = Some(when));
    }

    /// So many appends from now on that bring events find that another writer of a shared store was faster.
    pub fn conflict(&self, times: usize) {
        self.state.send_modify(|state| state.conflicts = times);
    }

    /// The conflict that an append meets, if it does.
    fn conflict_with(&self, drafts: &[Draft]) -> Option<AppendError> {
        let conflict = drafts.iter().find_map(|draft| match &draft.body {
            EntryBody::Committed(committed) => {
                Some(AppendError::Conflict { run: committed.command.run, actual: committed.version })
            }
            EntryBody::Refused(_) | EntryBody::System(_) => None,
        })?;
        let mut is_met = false;
        self.state.send_modify(|state| {
            is_met = state.conflicts > 0;
            state.conflicts = state.conflicts.saturating_sub(1);
        });
        is_met.then_some(conflict)
    }

    /// Returns once an append waits at the held gate.
    pub async fn until_waiting(&self) {
        self.state.subscribe().wait_for(|state| state.waiting).await.expect("the gate is alive");
    }

    /// Sizes of the batches that were let through so far, in entries.
    pub fn batches(&self) -> Vec<usize> {
        self.state.borrow().batches.clone()
    }

    async fn end_found(&self) {
        let mut changes = self.state.subscribe();
        self.state.send_modify(|state| state.end_waiting = state.ends_held);
        changes.wait_for(|state| !state.ends_held).await.expect("the gate is alive");
        self.state.send_modify(|state| state.end_waiting = false);
    }

    async fn pass(&self, entries: usize) -> Option<Break> {
        let mut changes = self.state.subscribe();
        self.state.send_modify(|state| state.waiting = state.held);
        changes.wait_for(|state| !state.held).await.expect("the gate is alive");
        let mut broken = None;
        self.state.send_modify(|state| {
            state.waiting = false;
            state.batches.push(entries);
            broken = state.broken.take();
        });
        broken
    }
}

struct Gated {
    journal: Box<dyn Journal>,
    gate: Gate,
}

#[async_trait]
impl Journal for Gated {
    fn opening(&self) -> Opening {
        self.journal.opening()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if let Some(conflict) = self.gate.conflict_with(&drafts) {
            return Err(conflict);
        }
        let broken = self.gate.pass(drafts.len()).await;
        if broken == Some(Break::Full) {
            return Err(JournalError::Full { path: "a full disk".into() }.into());
        }
        if broken == Some(Break::After) {
            self.journal.append(drafts).await?;
        } else if broken.is_none() {
            return self.journal.append(drafts).await;
        }
        Err(JournalError::io("sync", "a broken disk", io::Error::other("broken by the test")).into())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(GatedReader { reader: self.journal.reader(), gate: self.gate.clone() })
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.journal.close().await
    }
}

struct GatedReader {
    reader: Arc<dyn JournalReader>,
    gate: Gate,
}

#[async_trait]
impl JournalReader for GatedReader {
    fn head(&self) -> Head {
        self.reader.head()
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let entries = self.reader.read(after, limit).await?;
        if entries.is_empty() {
            self.gate.end_found().await;
        }
        Ok(entries)
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        self.reader.entry(at).await
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        self.reader.digest_at(position).await
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.reader.run_head(run).await
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        self.reader.answered(run, command).await
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.reader.named(name).await
    }
}
