//! Waits that come to their deadline.

use async_trait::async_trait;
use tachograph_engine::domain::{AttemptId, RunId, Status, Timestamp};
use tachograph_engine::ports::Deadlines;

use super::handle::OverdueWait;
use super::outcome::TimeUp;
use super::runner::ProcessRunner;

/// Ends an attempt whose wait came to its deadline, like one that reached its wall-clock limit: the polite signal, the
/// grace, the killing one, and it failed as `TimedOut`, naming what it waited on and until when. A no-op unless this runner
/// has exactly this attempt under way and it still waits until this time. Harmless when repeated.
#[async_trait]
impl Deadlines for ProcessRunner {
    async fn passed(&self, run: RunId, attempt: AttemptId, due: Timestamp) {
        let Some(live) = self.registry().get(run, attempt) else { return };
        let record = match self.engine().run(run).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                // What waits is in memory and always found: only a run that has ended is read from the journal.
                tracing::debug!(%error, %run, "a run whose deadline passed has ended meanwhile");
                return;
            }
        };
        let is_current = record.run.attempt.as_ref().is_some_and(|current| current.id == attempt);
        match &record.run.status {
            Status::Waiting { on, deadline } if is_current && *deadline == Some(due) => {
                live.end_in_time(TimeUp::WaitDeadline(OverdueWait { on: on.clone(), due }));
            }
            _ => tracing::debug!(%run, %attempt, "a deadline passed that nobody waits for any more"),
        }
    }
}
