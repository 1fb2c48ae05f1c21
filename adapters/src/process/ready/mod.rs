//! When a run is ready: seen from outside, within a limited time.

mod before;
mod check;
mod looking;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tachograph_engine::domain::{AttemptId, FailureKind, RunId};

use super::handle::{AttemptEnd, RunHandle};

pub(super) use before::Before;
pub use check::{ReadyCheck, ReadyCheckError, ReadyProbe};
pub(super) use watch::{settle, watch};

/// An attempt is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// How long after its process was spawned that was seen; zero without a check. Later than it happened by at most the
    /// interval of looking, a tenth of a second.
    pub after: Duration,
}

/// An attempt did not become ready.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// Its time was up. It was ended, and is recorded as failed with what was seen.
    #[error("{}", .end.outcome)]
    TimedOut {
        /// Its recorded end.
        end: Arc<AttemptEnd>,
    },
    /// It ended before it was ready, as recorded: an exit is an exit.
    #[error("it ended before it was ready: {}", .end.outcome)]
    Ended {
        /// Its recorded end.
        end: Arc<AttemptEnd>,
    },
    /// The task that supervised the attempt is gone.
    #[error("attempt {attempt} of run {run} is no longer supervised; open the data again to recover it")]
    Abandoned {
        /// The run.
        run: RunId,
        /// The attempt.
        attempt: AttemptId,
    },
}

/// How far an attempt is on the way to being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// There is no process yet.
    Starting,
    /// Somebody looks for it.
    Awaited,
    Ready(Ready),
    Never,
}

/// Waits until it is known whether an attempt is ready.
pub(super) async fn ready(handle: &RunHandle) -> Result<Ready, NotReady> {
    let mut readiness = handle.live.readiness.subscribe();
    let seen = async {
        // The sender is part of what the handle holds.
        let known = readiness.wait_for(|readiness| matches!(readiness, Readiness::Ready(_) | Readiness::Never)).await;
        known.map_or(Readiness::Never, |known| *known)
    };
    let ready = tokio::select! {
        biased;
        Readiness::Ready(ready) = seen => Some(ready),
        // Before the end is told, the looking is over.
        _ = handle.wait() => None,
    };
    let last = *handle.live.readiness.borrow();
    match (ready, last) {
        (Some(ready), _) | (None, Readiness::Ready(ready)) => Ok(ready),
        (None, Readiness::Starting | Readiness::Awaited | Readiness::Never) => Err(not_ready(handle).await),
    }
}

async fn not_ready(handle: &RunHandle) -> NotReady {
    match handle.wait().await {
        Ok(end) if end.outcome.failure().is_some_and(|failure| failure.kind == FailureKind::StartTimeout) => {
            NotReady::TimedOut { end }
        }
        Ok(end) => NotReady::Ended { end },
        Err(_) => NotReady::Abandoned { run: handle.run(), attempt: handle.attempt() },
    }
}
