//! Who writes.

use crate::domain::Session;

/// The process and machine that the engine runs in, for the journal's system facts.
pub trait Host: Send + Sync {
    /// The present session, with both clocks read now.
    fn session(&self) -> Session;
}
