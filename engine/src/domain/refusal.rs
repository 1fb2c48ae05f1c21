//! Every reason why a command can be refused.

use super::{ActionName, AttemptId, Outcome, RunId, RunnerId, SnapshotId, StatusName, Timestamp, Version};

/// Why a command was refused. A refusal changes no state and advances no version; it is recorded as evidence.
///
/// [`code`](Self::code) is stable and meant to be matched by machines, [`http_status`](Self::http_status) maps it for
/// services, the text says what is wrong, and [`remedy`](Self::remedy) what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No run was ever created under this id in this journal.
    #[error("the run is unknown")]
    UnknownRun,
    /// The id to create is already in use.
    #[error("the run exists already")]
    RunExists,
    /// The run was destroyed; only its history remains.
    #[error("the run was destroyed")]
    RunDestroyed,
    /// The command speaks about an attempt that is not the current one.
    #[error("the attempt is stale; current is {}", current.map_or_else(|| "none".to_owned(), |id| id.to_string()))]
    StaleAttempt {
        /// The current attempt; absent before the first.
        current: Option<AttemptId>,
    },
    /// The attempt is current, but another runner holds it.
    #[error("the attempt is held by runner {holder:?}", holder = holder.as_str())]
    WrongRunner {
        /// Who holds it.
        holder: RunnerId,
    },
    /// The action is not possible in the run's status.
    #[error("{} is not possible in status {from}", action.name())]
    IllegalTransition {
        /// The run's status.
        from: StatusName,
        /// What was asked.
        action: ActionName,
    },
    /// The attempt's end is already recorded, differently. The first report wins.
    #[error("the attempt's end is already recorded: {recorded}")]
    ConflictingTerminal {
        /// The end that counts.
        recorded: Box<Outcome>,
    },
    /// The run is not at the version that the command expects.
    #[error("the run is at version {actual}")]
    VersionConflict {
        /// The version that it is at.
        actual: Version,
    },
    /// A field of the command is out of its bounds.
    #[error("{field}: {why}")]
    InvalidInput {
        /// Which field, as a path, for example `spec.labels`.
        field: String,
        /// What is wrong, with the bound.
        why: String,
    },
    /// Another run that has not ended holds the name.
    #[error("the name {name:?} is held by run {holder}")]
    NameHeld {
        /// The name.
        name: String,
        /// Who holds it.
        holder: RunId,
    },
    /// The run has not ended, and destroying it was not forced.
    #[error("the run is {from}; destroying it now needs force")]
    ForceRequired {
        /// The run's status.
        from: StatusName,
    },
    /// No snapshot is armed.
    #[error("no snapshot is armed")]
    NothingPending,
    /// The armed snapshot belongs to another runner.
    #[error("the snapshot was armed by runner {armed_by:?}", armed_by = armed_by.as_str())]
    NotOwner {
        /// Who armed it.
        armed_by: RunnerId,
    },
    /// The snapshot is being taken and can no longer be canceled.
    #[error("snapshot {snapshot} is already dispatched")]
    AlreadyDispatched {
        /// Which one.
        snapshot: SnapshotId,
    },
    /// The run is not on the snapshot that the command names.
    #[error("the run is not on this snapshot{}", armed.map_or_else(String::new, |id| format!("; armed is {id}")))]
    SnapshotGone {
        /// The one that is armed instead, if any.
        armed: Option<SnapshotId>,
    },
    /// The armed snapshot is not due yet by the command's own time.
    #[error("the snapshot is due at {due}")]
    NotDue {
        /// When it is.
        due: Timestamp,
    },
    /// The holder's disconnect is already recorded.
    #[error("the runner is already disconnected")]
    AlreadyDisconnected,
    /// The recorded exit status is known, or was amended before.
    #[error("the recorded exit is not open to amendment: {recorded}")]
    NotAmendable {
        /// The end that counts.
        recorded: Box<Outcome>,
    },
    /// The run has used up its attempts.
    #[error("the run has used all of its {limit} attempts")]
    AttemptsExhausted {
        /// How many a run may have.
        limit: u32,
    },
}

impl Refusal {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownRun => "unknown_run",
            Self::RunExists => "run_exists",
            Self::RunDestroyed => "run_destroyed",
            Self::StaleAttempt { .. } => "stale_attempt",
            Self::WrongRunner { .. } => "wrong_runner",
            Self::IllegalTransition { .. } => "illegal_transition",
            Self::ConflictingTerminal { .. } => "conflicting_terminal",
            Self::VersionConflict { .. } => "version_conflict",
            Self::InvalidInput { .. } => "invalid_input",
            Self::NameHeld { .. } => "name_held",
            Self::ForceRequired { .. } => "force_required",
            Self::NothingPending => "nothing_pending",
            Self::NotOwner { .. } => "not_owner",
            Self::AlreadyDispatched { .. } => "already_dispatched",
            Self::SnapshotGone { .. } => "snapshot_gone",
            Self::NotDue { .. } => "not_due",
            Self::AlreadyDisconnected => "already_disconnected",
            Self::NotAmendable { .. } => "not_amendable",
            Self::AttemptsExhausted { .. } => "attempts_exhausted",
        }
    }

    /// The HTTP status that a service in front of the engine answers with.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::InvalidInput { .. } => 400,
            Self::UnknownRun => 404,
            Self::RunDestroyed => 410,
            Self::IllegalTransition { .. }
            | Self::ForceRequired { .. }
            | Self::NotDue { .. }
            | Self::NotAmendable { .. }
            | Self::AttemptsExhausted { .. } => 422,
            Self::RunExists
            | Self::StaleAttempt { .. }
            | Self::WrongRunner { .. }
            | Self::ConflictingTerminal { .. }
            | Self::VersionConflict { .. }
            | Self::NameHeld { .. }
            | Self::NothingPending
            | Self::NotOwner { .. }
            | Self::AlreadyDispatched { .. }
            | Self::SnapshotGone { .. }
            | Self::AlreadyDisconnected => 409,
        }
    }

    /// What the issuer should do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::UnknownRun => "check the run id and the data directory; reports are accepted after Create only",
            Self::RunExists => "mint a new run id",
            Self::RunDestroyed => "stop reporting about this run and clean up what is left of it",
            Self::StaleAttempt { .. } => "stop: another attempt is current and this one cannot change the run any more",
            Self::WrongRunner { .. } => "stop: the attempt is held by another runner",
            Self::IllegalTransition { .. } => "read the run's state and decide again",
            Self::ConflictingTerminal { .. } => "nothing: the first report counts, this one is kept as evidence",
            Self::VersionConflict { .. } => "reload the run and decide again",
            Self::InvalidInput { .. } => "correct the field and issue a new command",
            Self::NameHeld { .. } => "choose another name, or wait until its holder has ended",
            Self::ForceRequired { .. } => "end the run first, or destroy it with force",
            Self::NothingPending => "nothing: there is no snapshot to cancel",
            Self::NotOwner { .. } => "let its own runner cancel it, or cancel it unconditionally by name",
            Self::AlreadyDispatched { .. } => "wait for the result of the snapshot",
            Self::SnapshotGone { .. } => "nothing: this snapshot was canceled, replaced or has its result",
            Self::NotDue { .. } => "dispatch it when it is due",
            Self::AlreadyDisconnected => "nothing: it is recorded",
            Self::NotAmendable { .. } => "nothing: the recorded status counts, this one is kept as evidence",
            Self::AttemptsExhausted { .. } => "create a new run with this one as its parent",
        }
    }
}
