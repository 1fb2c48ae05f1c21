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
    /// After all of it is durable: a shared store that met its own write when it repeated it says that another writer was
    /// faster.
    Twice,
}

/// What becomes of reads of many entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reads {
    #[default]
    Open,
    Held,
    Broken,
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
    reads: Reads,
    answers_held: bool,
    answer_waiting: bool,
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

    /// From now on appends wait once they are durable: whoever reads the journal knows of them before the engine does.
    pub fn hold_answers(&self) {
        self.state.send_modify(|state| state.answers_held = true);
    }

    /// Lets them say that they are durable.
    pub fn release_answers(&self) {
        self.state.send_modify(|state| state.answers_held = false);
    }

    /// Returns once an append is durable, and waits.
    pub async fn until_answer_waiting(&self) {
        self.state.subscribe().wait_for(|state| state.answer_waiting).await.expect("the gate is alive");
    }

    async fn written(&self) {
        let mut changes = self.state.subscribe();
        self.state.send_modify(|state| state.answer_waiting = state.answers_held);
        changes.wait_for(|state| !state.answers_held).await.expect("the gate is alive");
        self.state.send_modify(|state| state.answer_waiting = false);
    }

    /// From now on reads of many entries wait: whoever follows the journal learns nothing.
    pub fn hold_reads(&self) {
        self.state.send_modify(|state| state.reads = Reads::Held);
    }

    /// From now on they fail.
    pub fn break_reads(&self) {
        self.state.send_modify(|state| state.reads = Reads::Broken);
    }

    /// Lets them through again.
    pub fn release_reads(&self) {
        self.state.send_modify(|state| state.reads = Reads::Open);
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
        let conflict = written(drafts)?;
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

    async fn read(&self) -> Result<(), JournalError> {
        let state = self.state.subscribe().wait_for(|state| state.reads != Reads::Held).await.expect("alive").clone();
        match state.reads {
            Reads::Open | Reads::Held => Ok(()),
            Reads::Broken => Err(JournalError::io("read", "a broken disk", io::Error::other("broken by the test"))),
        }
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

/// What somebody is told whose events another writer's went before.
fn written(drafts: &[Draft]) -> Option<AppendError> {
    drafts.iter().find_map(|draft| match &draft.body {
        EntryBody::Committed(committed) => {
            Some(AppendError::Conflict { run: committed.command.run, actual: committed.version })
        }
        EntryBody::Refused(_) | EntryBody::System(_) => None,
    })
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
        if let (Some(Break::Twice), Some(conflict)) = (broken, written(&drafts)) {
            self.journal.append(drafts).await?;
            return Err(conflict);
        }
        if broken == Some(Break::Full) {
            return Err(JournalError::Full { path: "a full disk".into() }.into());
        }
        if broken == Some(Break::After) {
            self.journal.append(drafts).await?;
        } else if broken.is_none() {
            let entries = self.journal.append(drafts).await?;
            self.gate.written().await;
            return Ok(entries);
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
        self.gate.read().await?;
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
