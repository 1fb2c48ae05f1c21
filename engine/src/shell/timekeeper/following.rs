//! What entries change about what waits.

use std::sync::Arc;

use tracing::{debug, warn};

use super::{Timekeeper, TimekeeperEnd};
use crate::domain::{ArmedTimer, Entry, Event, RunId, TimerKey};
use crate::shell::SubscriptionError;

impl Timekeeper {
    /// Takes in what the subscription gave.
    pub(super) fn fold(&mut self, entry: Result<Arc<Entry>, SubscriptionError>) {
        match entry {
            Ok(entry) => self.follow(&entry),
            Err(error @ SubscriptionError::Lagged { .. }) => debug!(%error, "the timekeeper is behind"),
            Err(SubscriptionError::Closed) => self.end = Some(TimekeeperEnd::EngineClosed),
            Err(SubscriptionError::Journal(error)) => {
                warn!(%error, "the timekeeper cannot follow the journal, and ends");
                self.end = Some(TimekeeperEnd::Journal(error));
            }
        }
    }

    fn follow(&mut self, entry: &Entry) {
        self.queue.apply(entry);
        let Some(run) = entry.run().filter(|_| !entry.events().is_empty()) else { return };
        self.drop_disarmed(run);
        if entry.events().iter().any(is_result) {
            self.release(run);
        }
    }

    /// The run's snapshot has its result: the one behind it gets its turn.
    fn release(&mut self, run: RunId) {
        if let Some(timer) = self.behind.remove(&run) {
            self.due.insert(timer);
        }
    }

    /// What was canceled leaves every list that it waits in.
    fn drop_disarmed(&mut self, run: RunId) {
        for waiting in [&mut self.due, &mut self.passed] {
            for timer in waiting.of_run(run) {
                if !is_armed(self.queue.armed(timer.key), &timer) {
                    waiting.remove(timer.key);
                }
            }
        }
        if self.behind.get(&run).is_some_and(|timer| !self.is_armed(timer.key)) {
            self.behind.remove(&run);
        }
    }

    /// Whether a timer is armed as far as entries were taken in.
    pub(super) fn is_armed(&self, key: TimerKey) -> bool {
        self.queue.armed(key).is_some()
    }
}

fn is_armed(armed: Option<ArmedTimer>, timer: &ArmedTimer) -> bool {
    armed.is_some_and(|armed| armed.due == timer.due)
}

/// Whether a run is free for another snapshot after this.
fn is_result(event: &Event) -> bool {
    match event {
        Event::SnapshotTaken { .. } | Event::SnapshotFailed { .. } => true,
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::Failed { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::RunnerDisconnected { .. }
        | Event::ExitAmended { .. }
        | Event::Reconciled { .. } => false,
    }
}
