//! What a run is asked to be, and how an attempt ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tachograph_engine::domain::{
    Diagnostics, Digest, Drain, Exit, ExitStatus, Failure, FailureKind, Outcome, OutputReceipt, ResourceLimits, RunId,
    RunSpec, Stream, StreamReceipt, Witness, Workload,
};

use super::scalar;

#[derive(Serialize, Deserialize)]
#[serde(remote = "RunSpec", deny_unknown_fields)]
struct SpecDef {
    name: Option<String>,
    #[serde(deserialize_with = "scalar::unique")]
    labels: BTreeMap<String, String>,
    #[serde(with = "WorkloadDef")]
    workload: Workload,
    #[serde(with = "LimitsDef")]
    limits: ResourceLimits,
    #[serde(with = "scalar::text::option")]
    parent: Option<RunId>,
}

/// A spec that is shared in memory.
pub(super) mod shared_spec {
    use super::*;

    pub(in crate::jsonl) fn serialize<S: Serializer>(spec: &Arc<RunSpec>, to: S) -> Result<S::Ok, S::Error> {
        SpecDef::serialize(spec, to)
    }

    pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<RunSpec>, D::Error> {
        SpecDef::deserialize(from).map(Arc::new)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Workload", rename_all = "snake_case", deny_unknown_fields)]
enum WorkloadDef {
    Command { argv: Vec<String>, cwd: Option<String> },
    Image { reference: String, argv: Vec<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ResourceLimits", deny_unknown_fields)]
struct LimitsDef {
    wall_ms: Option<u64>,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ExitStatus", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum StatusDef {
    Code(i32),
    Signal(i32),
    Unknown { cause: String },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exit", deny_unknown_fields)]
pub(super) struct ExitDef {
    #[serde(with = "StatusDef")]
    status: ExitStatus,
    #[serde(with = "scalar::name")]
    witness: Witness,
    #[serde(with = "output")]
    output: Option<OutputReceipt>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OutputReceipt", deny_unknown_fields)]
struct OutputDef {
    #[serde(with = "StreamDef")]
    stdout: StreamReceipt,
    #[serde(with = "StreamDef")]
    stderr: StreamReceipt,
    #[serde(with = "DrainDef")]
    drain: Drain,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StreamReceipt", deny_unknown_fields)]
struct StreamDef {
    bytes: u64,
    #[serde(with = "scalar::hex")]
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Drain", rename_all = "snake_case", deny_unknown_fields)]
enum DrainDef {
    Drained,
    DrainTimedOut {
        waited_ms: u64,
        #[serde(with = "scalar::name::list")]
        open: Vec<Stream>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Failure", deny_unknown_fields)]
pub(super) struct FailureDef {
    #[serde(with = "KindDef")]
    kind: FailureKind,
    message: String,
    #[serde(with = "DiagnosticsDef")]
    diagnostics: Diagnostics,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureKind", rename_all = "snake_case", deny_unknown_fields)]
enum KindDef {
    NotFound,
    NotExecutable,
    SpawnFailed,
    StartTimeout,
    TimedOut,
    SupervisorLost,
    RunnerLost,
    StartAbandoned,
    OutputLost,
    Other(String),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Diagnostics", deny_unknown_fields)]
struct DiagnosticsDef {
    alive: Vec<String>,
    last_output: Vec<String>,
    likely_cause: Option<String>,
    #[serde(deserialize_with = "scalar::unique")]
    facts: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", rename_all = "snake_case", deny_unknown_fields)]
enum OutcomeDef {
    Exited {
        #[serde(with = "ExitDef")]
        exit: Exit,
        #[serde(with = "amended")]
        amended: Option<ExitStatus>,
    },
    Failed(#[serde(with = "FailureDef")] Failure),
}

/// An outcome behind a pointer.
pub(super) mod boxed_outcome {
    use super::*;

    // The signature is serde's: it hands out the field as it is.
    #[expect(clippy::borrowed_box, reason = "a remote field is passed as a reference to its own type")]
    pub(in crate::jsonl) fn serialize<S: Serializer>(outcome: &Box<Outcome>, to: S) -> Result<S::Ok, S::Error> {
        OutcomeDef::serialize(outcome, to)
    }

    pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Outcome>, D::Error> {
        OutcomeDef::deserialize(from).map(Box::new)
    }
}

/// Mirrors what may be absent.
macro_rules! optional {
    ($module:ident: $domain:ident as $def:literal) => {
        pub(super) mod $module {
            use super::*;

            #[derive(Serialize)]
            struct Borrowed<'a>(#[serde(with = $def)] &'a $domain);

            #[derive(Deserialize)]
            struct Owned(#[serde(with = $def)] $domain);

            pub(in crate::jsonl) fn serialize<S: Serializer>(
                value: &Option<$domain>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                value.as_ref().map(Borrowed).serialize(to)
            }

            pub(in crate::jsonl) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$domain>, D::Error> {
                Ok(Option::<Owned>::deserialize(from)?.map(|Owned(value)| value))
            }
        }
    };
}

optional!(output: OutputReceipt as "OutputDef");
optional!(amended: ExitStatus as "StatusDef");
