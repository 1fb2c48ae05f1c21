//! Every journal of these tests is decided again: what the engine wrote must be what it would write once more.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{AppendError, Draft, Journal, JournalError, JournalReader, Opening};
use tachograph_projections::{Projection, Recheck};

/// A journal whose entries are decided again as they are appended.
///
/// A difference panics in the committer, so that nothing more is answered, and the test fails that asks.
pub struct Again {
    journal: Box<dyn Journal>,
    recheck: Recheck,
}

impl Again {
    /// Begins with what a journal holds already. What cannot be read at once counts as missing, and nothing is claimed about
    /// what follows from it.
    pub fn over(journal: Box<dyn Journal>, held: &dyn JournalReader) -> Box<dyn Journal> {
        let held = held.read(Position::ZERO, usize::MAX).now_or_never();
        let mut this = Self { journal, recheck: Recheck::default() };
        this.check(&held.and_then(Result::ok).unwrap_or_default());
        Box::new(this)
    }

    #[track_caller]
    fn check(&mut self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.recheck.apply(entry));
        assert_eq!(self.recheck.differences(), [], "decided again, they come out otherwise");
    }
}

/// All of these entries are decided again.
///
/// # Panics
///
/// If one comes out otherwise.
#[track_caller]
pub fn assert_decided_again(entries: &[Entry]) -> Recheck {
    let mut recheck = Recheck::default();
    entries.iter().for_each(|entry| recheck.apply(entry));
    assert_eq!(recheck.differences(), [], "decided again, they come out otherwise");
    recheck
}

#[async_trait]
impl Journal for Again {
    fn opening(&self) -> Opening {
        self.journal.opening()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        let entries = self.journal.append(drafts).await?;
        self.check(&entries);
        Ok(entries)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.journal.close().await
    }
}
