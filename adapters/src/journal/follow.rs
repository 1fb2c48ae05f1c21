//! Following a journal as it grows.

use std::sync::Arc;
use std::time::Duration;

use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{Clock, JournalError, JournalReader};

/// Entries handed out at once.
const PAGE: usize = 1_024;

/// Hands out the entries of a journal as they come, across segments, from files alone: the writer may be wedged or dead.
#[derive(Clone)]
pub struct Follow {
    reader: Arc<dyn JournalReader>,
    clock: Arc<dyn Clock>,
    after: Position,
    interval: Duration,
}

impl Follow {
    /// Follows from behind a position, looking again after each interval while there is nothing new.
    pub fn new(reader: Arc<dyn JournalReader>, clock: Arc<dyn Clock>, after: Position, interval: Duration) -> Self {
        Self { reader, clock, after, interval }
    }

    /// The position of the last entry that was handed out.
    pub fn after(&self) -> Position {
        self.after
    }

    /// The next entries, at least one, in order, none left out; waits until there are some. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`look`](Self::look).
    pub async fn next(&mut self) -> Result<Vec<Entry>, JournalError> {
        loop {
            let entries = self.look().await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            self.clock.sleep(self.interval).await;
        }
    }

    /// The next entries, in order, none left out; none if there are none yet. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`JournalError::Archived`] if the entries that come next were archived before they were handed out. It is told once:
    /// those from behind [`after`](Self::after), as it was before, up to `up_to` are left out, and calling again goes on
    /// with what follows them. All else as [`JournalReader::read`]; calling again tries again from the same position.
    pub async fn look(&mut self) -> Result<Vec<Entry>, JournalError> {
        let read = self.reader.read(self.after, PAGE).await;
        match &read {
            Ok(entries) => self.after = entries.last().map_or(self.after, |last| last.position),
            Err(JournalError::Archived { up_to, .. }) => self.after = self.after.max(*up_to),
            Err(_) => {}
        }
        read
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("after", &self.after).field("interval", &self.interval).finish_non_exhaustive()
    }
}
