//! Which attempts stand still now.

use std::collections::BTreeSet;
use std::sync::Arc;

use tachograph_adapters::freeze::{FreezeError, FreezeTarget, Freezer, Frozen};
use tachograph_engine::domain::AttemptId;
use tokio::sync::watch;

/// The attempts that stand still now; all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing(Arc<watch::Sender<BTreeSet<AttemptId>>>);

impl Standing {
    /// Whether it stands still now.
    pub(super) fn stands(&self, attempt: AttemptId) -> bool {
        self.0.borrow().contains(&attempt)
    }

    /// Returns once the attempt does not stand still.
    pub(super) async fn gone_on(&self, attempt: AttemptId) {
        // The sender lives as long as this, so that waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|standing| !standing.contains(&attempt)).await;
    }
}

/// A freezer of which is known what it has frozen.
#[derive(Debug)]
pub(super) struct WatchedFreezer<F> {
    pub(super) freezer: F,
    pub(super) standing: Standing,
}

impl<F: Freezer> Freezer for WatchedFreezer<F> {
    fn freeze(&self, target: &FreezeTarget) -> Result<Box<dyn Frozen>, FreezeError> {
        // Before it is: whoever looks meanwhile waits for what is to come.
        self.standing.0.send_modify(|standing| {
            standing.insert(target.attempt);
        });
        let mark = Mark { standing: self.standing.clone(), attempt: target.attempt };
        let frozen = self.freezer.freeze(target)?;
        Ok(Box::new(WatchedAttempt { frozen, _mark: mark }))
    }
}

/// Fields are dropped in their order: it goes on, and then that is known.
struct WatchedAttempt {
    frozen: Box<dyn Frozen>,
    _mark: Mark,
}

impl Frozen for WatchedAttempt {
    fn verify(&self) -> Result<(), FreezeError> {
        self.frozen.verify()
    }

    fn thaw(self: Box<Self>) -> Result<(), FreezeError> {
        let Self { frozen, _mark } = *self;
        frozen.thaw()
    }
}

struct Mark {
    standing: Standing,
    attempt: AttemptId,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.standing.0.send_modify(|standing| {
            standing.remove(&self.attempt);
        });
    }
}
