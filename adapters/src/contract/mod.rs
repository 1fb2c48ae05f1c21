//! What every implementation of the journal port must do, as functions that a test runs against it.

mod scribe;

pub use scribe::Scribe;
