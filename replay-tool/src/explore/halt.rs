//! Reads that may take a while: how far they have come, and why they ended early.

use std::ops::ControlFlow;

use tachograph_engine::ports::JournalError;

use crate::error::Error;

/// How far a read has come, in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries that were read.
    pub done: u64,
    /// Entries that will be read at most.
    pub of: u64,
}

/// Is told now and then how far a read has come, and says whether it shall go on.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Lets every read go on to its end.
pub fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Why a read ended early. What was shown before stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Whoever watched it said so.
    #[error("canceled")]
    Canceled,
    /// The journal cannot be read that far, or an argument means nothing.
    #[error(transparent)]
    Error(#[from] Error),
}

impl From<JournalError> for Halt {
    fn from(error: JournalError) -> Self {
        Self::Error(error.into())
    }
}
