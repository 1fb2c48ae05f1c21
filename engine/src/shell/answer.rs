//! What a caller is told.

use crate::domain::{Effect, Entry, EntryBody, Position, Refusal, Version};
use crate::ports::JournalError;

/// The answer to a submitted command, and what its submitter should now do in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What became of the command.
    pub outcome: CommandOutcome,
    /// Effects to perform, in order. A repeated command gets those of the first time again, in case that answer was
    /// lost: each is harmless when repeated, but for the taking of a snapshot, which is left out then.
    pub effects: Vec<Effect>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Its events are durable.
    Written {
        /// Position of its entry.
        position: Position,
        /// The run's version after its events.
        version: Version,
    },
    /// It was answered before: the same command id, or the same report about the attempt's end. Nothing was written.
    Duplicate {
        /// The first answer.
        of: FirstAnswer,
    },
    /// It was refused; no state changed.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Position of the recorded refusal; absent if the like of it was recorded so often that it is only counted.
        recorded: Option<Position>,
    },
}

impl CommandOutcome {
    /// Where the command's events are, whether they were written now or before.
    pub const fn written(&self) -> Option<(Position, Version)> {
        match self {
            Self::Written { position, version }
            | Self::Duplicate { of: FirstAnswer::Written { position, version } } => Some((*position, *version)),
            Self::Duplicate { of: FirstAnswer::Refused { .. } } | Self::Refused { .. } => None,
        }
    }

    /// Why the command was refused, now or before.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } | Self::Duplicate { of: FirstAnswer::Refused { refusal, .. } } => {
                Some(refusal)
            }
            Self::Written { .. } | Self::Duplicate { of: FirstAnswer::Written { .. } } => None,
        }
    }
}

/// The answer that a repeated command got the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstAnswer {
    /// Its events are durable.
    Written {
        /// Position of its entry.
        position: Position,
        /// The run's version after its events.
        version: Version,
    },
    /// It was refused.
    Refused {
        /// Position of the recorded refusal.
        position: Position,
        /// Why.
        refusal: Refusal,
    },
}

impl FirstAnswer {
    /// The answer that an entry records; absent for system facts, which answer nobody.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let position = entry.position;
        match &entry.body {
            EntryBody::Committed(committed) => Some(Self::Written { position, version: committed.version }),
            EntryBody::Refused(refused) => Some(Self::Refused { position, refusal: refused.refusal.clone() }),
            EntryBody::System(_) => None,
        }
    }
}

/// Why a command got no answer. All of these are temporary from the caller's point of view: HTTP 503.
///
/// After `Journal`, the command may or may not turn out to be durable once the journal is reopened: submit it again
/// with the same command id.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; only `try_submit` says so, `submit` waits.
    #[error("the queue is full; try again, or wait for a place with submit")]
    QueueFull,
    /// The engine is closed or closing.
    #[error("the engine is closed; open it again")]
    Closed,
    /// Other writers of a shared store changed the run again and again.
    #[error("the run kept changing under the command; submit it again with the same command id")]
    Contended,
    /// The journal failed; nothing is acknowledged any more until it is opened again.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl SubmitError {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Closed => "closed",
            Self::Contended => "contended",
            Self::Journal(error) => error.code(),
        }
    }

    /// The HTTP status that a service in front of the engine answers with.
    pub const fn http_status(&self) -> u16 {
        503
    }
}
