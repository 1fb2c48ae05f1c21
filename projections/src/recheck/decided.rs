//! What became of a command.

use tachograph_engine::domain::{Decision, Events, Refusal, Version};

/// What became of a command, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// These events.
    Written {
        /// What happened.
        events: Events,
        /// The run's version after them.
        version: Version,
    },
    /// Nothing: the same end was recorded before.
    AlreadyRecorded,
    /// It was refused.
    Refused(Refusal),
}

impl From<Result<Decision, Refusal>> for Decided {
    /// The version is not known yet.
    fn from(decided: Result<Decision, Refusal>) -> Self {
        match decided {
            Ok(Decision::Append(events)) => Self::Written { events, version: Version::ZERO },
            Ok(Decision::AlreadyRecorded) => Self::AlreadyRecorded,
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

impl Decided {
    /// Stable snake_case name; for a refusal its code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Written { .. } => "written",
            Self::AlreadyRecorded => "already_recorded",
            Self::Refused(refusal) => refusal.code(),
        }
    }

    /// Whether it was not refused.
    pub const fn is_accepted(&self) -> bool {
        match self {
            Self::Written { .. } | Self::AlreadyRecorded => true,
            Self::Refused(_) => false,
        }
    }

    /// Whether it depends on who holds a name.
    pub(super) const fn is_about_names(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NameHeld { .. }))
    }
}
