//! The wish to stop, told to everybody who is at work.

use std::sync::Arc;

use tokio::sync::watch;

/// How urgently to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Not at all.
    #[default]
    None,
    /// Begin nothing, end what runs within its budget.
    Soon,
    /// End what runs at once.
    Now,
    /// Everything was tried: do not even wait.
    GivenUp,
}

/// A wish to stop; cheap to clone, all clones are one. It only ever becomes more urgent.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<watch::Sender<Urgency>>);

impl Stop {
    /// Wishes it, unless it is wished as urgently already.
    pub fn request(&self, urgency: Urgency) {
        self.0.send_if_modified(|wished| {
            let more = urgency > *wished;
            *wished = urgency.max(*wished);
            more
        });
    }

    /// How urgently it is wished now.
    pub fn urgency(&self) -> Urgency {
        *self.0.borrow()
    }

    /// Whether it is wished at all.
    pub fn is_requested(&self) -> bool {
        self.urgency() > Urgency::None
    }

    /// Returns once it is wished at least this urgently.
    pub async fn reached(&self, urgency: Urgency) {
        // The sender lives as long as this handle, so that waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|wished| *wished >= urgency).await;
    }
}
