//! Why not.

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{
    ActionName, AttemptId, Outcome, Refusal, RunId, RunnerId, SnapshotId, StatusName, Timestamp, Version,
};

use super::scalar;
use super::spec::boxed_outcome;

#[derive(Serialize, Deserialize)]
#[serde(remote = "Refusal", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RefusalDef {
    UnknownRun,
    RunExists,
    RunDestroyed,
    StaleAttempt {
        #[serde(with = "scalar::text::option")]
        current: Option<AttemptId>,
    },
    WrongRunner {
        #[serde(with = "scalar::shared")]
        holder: RunnerId,
    },
    IllegalTransition {
        #[serde(with = "scalar::name")]
        from: StatusName,
        #[serde(with = "scalar::name")]
        action: ActionName,
    },
    ConflictingTerminal {
        #[serde(with = "boxed_outcome")]
        recorded: Box<Outcome>,
    },
    VersionConflict {
        #[serde(with = "scalar::count")]
        actual: Version,
    },
    InvalidInput {
        field: String,
        why: String,
    },
    NameHeld {
        name: String,
        #[serde(with = "scalar::text")]
        holder: RunId,
    },
    ForceRequired {
        #[serde(with = "scalar::name")]
        from: StatusName,
    },
    NothingPending,
    NotOwner {
        #[serde(with = "scalar::shared")]
        armed_by: RunnerId,
    },
    AlreadyDispatched {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
    },
    SnapshotGone {
        #[serde(with = "scalar::text::option")]
        armed: Option<SnapshotId>,
    },
    NotDue {
        #[serde(with = "scalar::text")]
        due: Timestamp,
    },
    AlreadyDisconnected,
    NotAmendable {
        #[serde(with = "boxed_outcome")]
        recorded: Box<Outcome>,
    },
    AttemptsExhausted {
        limit: u32,
    },
}
