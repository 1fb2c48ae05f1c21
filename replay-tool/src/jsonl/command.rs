//! What was asked, by whom.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, CommandId, Digest, Exit, ExitStatus, Failure, Finding, Guard,
    RunId, RunSpec, RunnerId, SnapshotId, StartMode, Timestamp, Version,
};

use super::scalar;
use super::spec::{ExitDef, FailureDef, StatusDef, shared_spec};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Command", deny_unknown_fields)]
pub(super) struct CommandDef {
    #[serde(with = "scalar::text")]
    id: CommandId,
    #[serde(with = "scalar::text")]
    run: RunId,
    #[serde(with = "ActorDef")]
    actor: Actor,
    #[serde(with = "scalar::text")]
    issued_at: Timestamp,
    #[serde(with = "scalar::count::option")]
    expected: Option<Version>,
    #[serde(with = "ActionDef")]
    action: Action,
}

/// A command behind a pointer.
pub(super) mod boxed {
    use super::*;

    #[expect(clippy::borrowed_box, reason = "a remote field is passed as a reference to its own type")]
    pub(in crate::jsonl) fn serialize<S: Serializer>(command: &Box<Command>, to: S) -> Result<S::Ok, S::Error> {
        CommandDef::serialize(command, to)
    }

    pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Command>, D::Error> {
        CommandDef::deserialize(from).map(Box::new)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Actor", deny_unknown_fields)]
pub(super) struct ActorDef {
    #[serde(with = "scalar::name")]
    kind: ActorKind,
    #[serde(with = "scalar::shared")]
    id: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Claim", deny_unknown_fields)]
struct ClaimDef {
    #[serde(with = "scalar::text")]
    run: RunId,
    #[serde(with = "scalar::text")]
    attempt: AttemptId,
    #[serde(with = "scalar::shared")]
    runner: RunnerId,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Action", rename_all = "snake_case", deny_unknown_fields)]
enum ActionDef {
    Create {
        #[serde(with = "shared_spec")]
        spec: Arc<RunSpec>,
    },
    Start {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::shared")]
        runner: RunnerId,
        #[serde(with = "ModeDef")]
        mode: StartMode,
    },
    Wait {
        #[serde(with = "ClaimDef")]
        claim: Claim,
        on: String,
        #[serde(with = "scalar::text::option")]
        deadline: Option<Timestamp>,
    },
    Exit {
        #[serde(with = "ClaimDef")]
        claim: Claim,
        #[serde(with = "ExitDef")]
        exit: Exit,
    },
    Fail {
        #[serde(with = "ClaimDef")]
        claim: Claim,
        #[serde(with = "FailureDef")]
        failure: Failure,
    },
    Destroy {
        force: bool,
        why: String,
    },
    ScheduleSnapshot {
        #[serde(with = "ClaimDef")]
        claim: Claim,
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        #[serde(with = "scalar::text")]
        due: Timestamp,
    },
    CancelSnapshot {
        #[serde(with = "GuardDef")]
        guard: Guard,
    },
    DispatchSnapshot {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
    },
    CompleteSnapshot {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        location: String,
        bytes: u64,
        #[serde(with = "scalar::hex")]
        digest: Digest,
    },
    FailSnapshot {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        message: String,
    },
    DisconnectRunner {
        #[serde(with = "ClaimDef")]
        claim: Claim,
    },
    AmendExit {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "StatusDef")]
        status: ExitStatus,
        source: String,
    },
    Reconcile {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::name")]
        finding: Finding,
        detail: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StartMode", rename_all = "snake_case", deny_unknown_fields)]
enum ModeDef {
    Fresh,
    Resume {
        #[serde(with = "scalar::text")]
        previous: AttemptId,
    },
    Restart {
        #[serde(with = "scalar::text")]
        previous: AttemptId,
    },
    Takeover {
        #[serde(with = "scalar::text")]
        expected: AttemptId,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Guard", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum GuardDef {
    Runner(#[serde(with = "scalar::shared")] RunnerId),
    Unconditional,
}
