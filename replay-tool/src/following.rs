//! A journal that is followed, also past what is archived before it was read.

use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::journal::Follow;
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalError;

use crate::dataset::Dataset;

/// How often a follower looks for more.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a look brings.
pub(crate) enum Seen {
    /// The next entries; none if there are none yet.
    Entries(Vec<Entry>),
    /// The next entries were archived before they were read, as this says in words: the next look goes on behind them.
    Archived(String),
}

/// The entries of a journal as they come.
pub(crate) struct Following {
    dataset: Dataset,
    follow: Follow,
}

impl Following {
    /// From behind a position.
    pub(crate) fn of(dataset: &Dataset, after: Position) -> Self {
        let follow = Follow::new(dataset.reader().clone(), Arc::new(SystemClock), after, LOOK_EVERY);
        Self { dataset: dataset.clone(), follow }
    }

    /// What is there by now.
    ///
    /// # Errors
    ///
    /// As [`Follow::look`], but for what is archived.
    pub(crate) async fn look(&mut self) -> Result<Seen, JournalError> {
        let after = self.follow.after();
        // The reader may have noticed it when it was asked something else, and passes them over then.
        let archived = self.dataset.reader().archived();
        if archived > after {
            *self = Self::of(&self.dataset, archived);
            return Ok(Seen::Archived(self.unread(after, archived)));
        }
        match self.follow.look().await {
            Err(JournalError::Archived { up_to, .. }) if up_to > after => Ok(Seen::Archived(self.unread(after, up_to))),
            entries => entries.map(Seen::Entries),
        }
    }

    /// Says which entries were archived before they were read, and where they are.
    fn unread(&self, after: Position, up_to: Position) -> String {
        let archived = self.dataset.archived_in();
        let bundles = archived.iter().filter(|archived| archived.last > after && archived.first <= up_to);
        let bundles: Vec<&str> = bundles.map(|archived| archived.bundle.as_str()).collect();
        let bundles = bundles.join(", ");
        format!("entries {} to {up_to} were archived before they were read: they are in {bundles}", after.next())
    }
}
