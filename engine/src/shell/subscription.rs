//! Entries as they become durable, from any position on.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::domain::{Entry, Position};
use crate::ports::{JournalError, JournalReader};

/// Entries that are read at a time while catching up.
const CHUNK: usize = 256;

/// A subscriber's place in the journal: first catches up from the files, then follows live.
///
/// It never blocks the committer. A subscriber that falls behind by more than the engine's buffer is told so once by
/// [`SubscriptionError::Lagged`], and then catches up from the files: nothing is skipped.
pub struct Subscription {
    reader: Arc<dyn JournalReader>,
    feed: broadcast::WeakSender<Arc<Entry>>,
    last: Position,
    ahead: VecDeque<Arc<Entry>>,
    live: Option<broadcast::Receiver<Arc<Entry>>>,
    ended: bool,
}

/// Why a subscription did not give the next entry.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubscriptionError {
    /// The subscriber was too slow for the live feed. The next call goes on after the last entry that it got.
    #[error("the subscriber fell {missed} entries behind; it goes on from the files")]
    Lagged {
        /// How many entries the live feed dropped.
        missed: u64,
    },
    /// The engine was closed, and everything before was delivered.
    #[error("the engine is closed")]
    Closed,
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Subscription {
    pub(super) fn new(
        reader: Arc<dyn JournalReader>,
        feed: broadcast::WeakSender<Arc<Entry>>,
        after: Position,
    ) -> Self {
        Self { reader, feed, last: after, ahead: VecDeque::new(), live: None, ended: false }
    }

    /// The position of the last entry that was delivered, or the one that it began after.
    pub const fn position(&self) -> Position {
        self.last
    }

    /// The next entry, as soon as it is durable. Cancel-safe: dropping the future loses no entry.
    ///
    /// # Errors
    ///
    /// See [`SubscriptionError`]; after `Lagged` the subscription goes on, after `Closed` it is over.
    pub async fn next(&mut self) -> Result<Arc<Entry>, SubscriptionError> {
        loop {
            if let Some(entry) = self.ahead.pop_front() {
                self.last = entry.position;
                return Ok(entry);
            }
            match &mut self.live {
                None => self.catch_up().await?,
                Some(live) => match live.recv().await {
                    // Read from the files already, between subscribing and reaching the end.
                    Ok(entry) if entry.position <= self.last => {}
                    Ok(entry) if entry.position == self.last.next() => self.ahead.push_back(entry),
                    // The engine's own system facts do not pass the feed: the files have them.
                    Ok(_) => self.live = None,
                    Err(RecvError::Lagged(missed)) => {
                        self.live = None;
                        return Err(SubscriptionError::Lagged { missed });
                    }
                    Err(RecvError::Closed) => {
                        self.live = None;
                        self.ended = true;
                    }
                },
            }
        }
    }

    /// The same as an endless stream; it ends after an error other than `Lagged`.
    pub fn into_stream(self) -> impl Stream<Item = Result<Arc<Entry>, SubscriptionError>> + Send {
        futures::stream::unfold(Some(self), async |subscription| {
            let mut subscription = subscription?;
            let item = subscription.next().await;
            let over = matches!(item, Err(SubscriptionError::Closed | SubscriptionError::Journal(_)));
            Some((item, (!over).then_some(subscription)))
        })
    }

    /// Reads the next entries from the files; at their end, joins the live feed.
    async fn catch_up(&mut self) -> Result<(), SubscriptionError> {
        // The feed is joined before the files are read, so that no entry falls between the two.
        let live = match self.feed.upgrade() {
            Some(feed) if !self.ended => Some(feed.subscribe()),
            _ => None,
        };
        self.ahead = self.reader.read(self.last, CHUNK).await?.into_iter().map(Arc::new).collect();
        if self.ahead.is_empty() {
            self.live = Some(live.ok_or(SubscriptionError::Closed)?);
        }
        Ok(())
    }
}
