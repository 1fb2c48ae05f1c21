//! What every implementation of the journal port must do, as clauses that run against it.
//!
//! ```
//! use tachograph_adapters::contract::{self, Journals};
//! use tachograph_adapters::memory::MemoryStorage;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let breaches = contract::run(|| Box::new(MemoryStorage::new()) as Box<dyn Journals>).await;
//! assert!(breaches.is_empty(), "{breaches:#?}");
//! # });
//! ```

mod durable;
mod lookups;
mod model;
mod order;
mod scribe;
#[cfg(test)]
mod tests;

use std::pin::Pin;

use async_trait::async_trait;
use tachograph_engine::ports::{AppendError, Draft, Head, Journal, JournalError, JournalReader};

pub use model::Model;
pub use scribe::Scribe;

/// One place that holds one journal, empty at first.
#[async_trait]
pub trait Journals: Send + Sync {
    /// Opens it for writing.
    ///
    /// # Errors
    ///
    /// As the implementation under test.
    async fn open(&self) -> Result<Box<dyn Journal>, JournalError>;

    /// Whether what was written is there when it is opened again. Clauses about that are left out otherwise.
    fn reopens(&self) -> bool;

    /// Whether a second writer must be turned away while the first has it open.
    fn is_local(&self) -> bool;

    /// Lets the next append fail, if this implementation can be made to.
    fn fail_next_append(&self) -> bool;
}

#[async_trait]
impl Journals for crate::memory::MemoryStorage {
    async fn open(&self) -> Result<Box<dyn Journal>, JournalError> {
        Ok(Box::new(Self::open(self)?))
    }

    fn reopens(&self) -> bool {
        true
    }

    fn is_local(&self) -> bool {
        true
    }

    fn fail_next_append(&self) -> bool {
        Self::fail_next_append(self);
        true
    }
}

/// A clause that an implementation does not keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{clause}: {found}")]
pub struct Breach {
    /// Which one.
    pub clause: &'static str,
    /// What happened instead.
    pub found: String,
}

/// Kept, or what happened instead.
type Kept = Result<(), String>;
type Running<'a> = Pin<Box<dyn Future<Output = Kept> + Send + 'a>>;
type Clause = (&'static str, for<'a> fn(&'a dyn Journals) -> Running<'a>);

/// Goes on only if the condition holds.
macro_rules! ensure {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err(format!($($otherwise)+));
        }
    };
}
use ensure;

/// Goes on only if both are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($what:tt)+) => {
        let (found, wanted) = (&$found, &$wanted);
        if found != wanted {
            return Err(format!("{}: found {found:?}, wanted {wanted:?}", format_args!($($what)+)));
        }
    };
}
use ensure_eq;

/// Runs every clause, each on a place of its own, and returns those that are not kept.
pub async fn run(place: impl Fn() -> Box<dyn Journals>) -> Vec<Breach> {
    run_some(place, |_| true).await
}

async fn run_some(place: impl Fn() -> Box<dyn Journals>, wanted: impl Fn(&str) -> bool) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut note = |clause, kept: Kept| breaches.extend(kept.err().map(|found| Breach { clause, found }));
    for (clause, check) in [order::CLAUSES, lookups::CLAUSES, durable::CLAUSES].concat() {
        if wanted(clause) {
            note(clause, check(&*place()).await);
        }
    }
    if wanted(lookups::DIGEST_OF_CONTENT) {
        note(lookups::DIGEST_OF_CONTENT, lookups::digest_of_content([&*place(), &*place()]).await);
    }
    breaches
}

/// The error of a call that should have succeeded.
fn failed(error: impl std::error::Error) -> String {
    format!("failed: {error}")
}

/// Ends a session the way an engine does: with the fact recorded, then closed.
async fn close(mut journal: Box<dyn Journal>, scribe: &mut Scribe) -> Result<(), String> {
    append(&mut *journal, vec![scribe.closed()]).await?;
    journal.close().await.map_err(failed)
}

async fn append(journal: &mut dyn Journal, drafts: Vec<Draft>) -> Result<(), String> {
    journal.append(drafts).await.map(drop).map_err(failed)
}

/// Checks that an append is refused with a conflict, and that nothing has changed.
async fn conflicts(journal: &mut dyn Journal, drafts: Vec<Draft>) -> Result<AppendError, String> {
    let reader = journal.reader();
    let before = reader.head();
    let conflict = match journal.append(drafts).await {
        Err(conflict @ AppendError::Conflict { .. }) => conflict,
        Err(other) => return Err(format!("wanted a conflict, failed: {other}")),
        Ok(_) => return Err("wanted a conflict, was appended".to_owned()),
    };
    if reader.head() == before { Ok(conflict) } else { Err("the head moved with a conflict".to_owned()) }
}

/// Everything a reader tells, so that two readers can be compared.
async fn all(reader: &dyn JournalReader) -> Result<(Head, Vec<tachograph_engine::domain::Entry>), String> {
    let head = reader.head();
    let limit = usize::try_from(head.position.0).unwrap_or(usize::MAX).saturating_add(1);
    let entries = reader.read(tachograph_engine::domain::Position::ZERO, limit).await.map_err(failed)?;
    Ok((head, entries))
}
