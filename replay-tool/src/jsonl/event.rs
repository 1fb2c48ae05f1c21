//! What happened.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tachograph_engine::domain::{
    AttemptId, CancelCause, Digest, Event, Events, Exit, ExitStatus, Failure, Finding, Guard, Ordinal, RunId, RunSpec,
    RunnerId, SnapshotId, StartCause, Timestamp,
};

use super::command::GuardDef;
use super::scalar;
use super::spec::{ExitDef, FailureDef, StatusDef, shared_spec};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Event", deny_unknown_fields)]
enum EventDef {
    Created {
        #[serde(with = "scalar::text")]
        run: RunId,
        #[serde(with = "shared_spec")]
        spec: Arc<RunSpec>,
    },
    Started {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::count")]
        ordinal: Ordinal,
        #[serde(with = "scalar::shared")]
        runner: RunnerId,
        #[serde(with = "scalar::name")]
        cause: StartCause,
        #[serde(with = "scalar::text::option")]
        previous: Option<AttemptId>,
    },
    Waiting {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        on: String,
        #[serde(with = "scalar::text::option")]
        deadline: Option<Timestamp>,
    },
    Exited {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "ExitDef")]
        exit: Exit,
    },
    Failed {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::count")]
        ordinal: Ordinal,
        #[serde(with = "scalar::shared")]
        runner: RunnerId,
        #[serde(with = "FailureDef")]
        failure: Failure,
    },
    Destroyed {
        why: String,
        forced: bool,
    },
    SnapshotScheduled {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        #[serde(with = "scalar::shared")]
        runner: RunnerId,
        #[serde(with = "scalar::text")]
        due: Timestamp,
    },
    SnapshotCanceled {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        #[serde(with = "CauseDef")]
        cause: CancelCause,
    },
    SnapshotDispatched {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
    },
    SnapshotTaken {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        location: String,
        bytes: u64,
        #[serde(with = "scalar::hex")]
        digest: Digest,
    },
    SnapshotFailed {
        #[serde(with = "scalar::text")]
        snapshot: SnapshotId,
        message: String,
    },
    RunnerDisconnected {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::shared")]
        runner: RunnerId,
    },
    ExitAmended {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "StatusDef")]
        status: ExitStatus,
        source: String,
    },
    Reconciled {
        #[serde(with = "scalar::text")]
        attempt: AttemptId,
        #[serde(with = "scalar::name")]
        finding: Finding,
        detail: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CancelCause", rename_all = "snake_case", deny_unknown_fields)]
enum CauseDef {
    Asked(#[serde(with = "GuardDef")] Guard),
    RunEnded,
    RunnerDisconnected,
    Superseded,
    Resumed,
    TakenOver,
    Destroyed,
}

/// The events of one command.
pub(super) mod list {
    use super::*;

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(with = "EventDef")] &'a Event);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "EventDef")] Event);

    pub(in crate::jsonl) fn serialize<S: Serializer>(events: &Events, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(events.iter().map(Borrowed))
    }

    pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Events, D::Error> {
        Ok(Vec::<Owned>::deserialize(from)?.into_iter().map(|Owned(event)| event).collect())
    }
}
