//! What is asked over a control socket, and what is answered.

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{
    AttemptId, CommandId, Guard, Position, Refusal, RunId, RunnerId, SnapshotId, Timestamp,
};
use tachograph_engine::shell::{CommandOutcome, FirstAnswer, SubmitError};

use super::text;
use super::wire::code;

/// A request: one line.
///
/// A field that is not known is an error, so that a misspelt deadline is not a wait without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ControlRequest {
    /// A run's own process reports about it.
    Report {
        /// Chosen by the issuer, once per intention: a repeated report with the same id is harmless.
        #[serde(with = "text")]
        command: CommandId,
        /// The run that it is about.
        #[serde(with = "text")]
        run: RunId,
        /// The attempt that it speaks about, which is the fence.
        #[serde(with = "text")]
        attempt: AttemptId,
        /// What is reported.
        report: RunReport,
    },
    /// Cancel the armed snapshot of a run.
    CancelSnapshot {
        /// Chosen by the issuer, once per intention.
        #[serde(with = "text")]
        command: CommandId,
        /// The run.
        #[serde(with = "text")]
        run: RunId,
        /// In whose right. There is no default.
        guard: ControlGuard,
    },
    /// End an attempt: the polite signal to its whole process group now, the killing one after the grace. Asking again
    /// can only bring the latter forward, so that it needs no command id.
    Kill {
        /// The run.
        #[serde(with = "text")]
        run: RunId,
        /// Exactly this attempt, which is the fence.
        #[serde(with = "text")]
        attempt: AttemptId,
        /// The grace in milliseconds.
        grace_ms: u64,
    },
    /// Destroy a run: its history stays, nothing follows.
    Destroy {
        /// Chosen by the issuer, once per intention.
        #[serde(with = "text")]
        command: CommandId,
        /// The run.
        #[serde(with = "text")]
        run: RunId,
        /// Whether also while an attempt is under way, which is then ended. There is no default.
        force: bool,
        /// Why: at most 4,096 bytes.
        why: String,
    },
    /// Ask who listens.
    Ping,
}

/// What a run reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RunReport {
    /// It waits for something outside.
    Waiting {
        /// What it waits on: 1 to 4,096 bytes.
        on: String,
        /// How long at most, in milliseconds from now; its attempt is ended then. For ever if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline_in_ms: Option<u64>,
    },
    /// It no longer waits.
    Resume,
    /// Arm a snapshot while it waits, in place of one that is armed.
    Snapshot {
        /// In how many milliseconds; if absent, after the delay that the attempt was started with, else at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    },
}

/// In whose right a snapshot is canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlGuard {
    /// Only if this runner armed it.
    Runner {
        /// Which one.
        runner: String,
    },
    /// Whoever armed it.
    Unconditional,
}

impl From<ControlGuard> for Guard {
    fn from(guard: ControlGuard) -> Self {
        match guard {
            ControlGuard::Runner { runner } => Self::Runner(RunnerId::new(runner)),
            ControlGuard::Unconditional => Self::Unconditional,
        }
    }
}

/// A response: one line. A field that is not known is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ControlResponse {
    /// What became of the command. A refusal is an answer, too.
    Answer {
        /// Of the command itself.
        outcome: ControlOutcome,
        /// The snapshot that is armed because of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<SnapshotArmed>,
        /// Why the snapshot that should have followed from it is not armed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot_refused: Option<RefusedOutcome>,
    },
    /// Whether an attempt is being ended.
    Killing {
        /// Whether it was under way, and got the polite signal; its end follows in the journal.
        under_way: bool,
    },
    /// Who listens.
    Pong {
        /// Its pid.
        pid: u32,
        /// Its version.
        version: String,
    },
    /// The request got no answer.
    Error {
        /// Stable snake_case code, the one to match on.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ControlOutcome {
    /// It is durable.
    Written {
        /// Position of its entry.
        position: u64,
        /// The run's version after it.
        version: u64,
    },
    /// It was answered before. Nothing was written.
    Duplicate {
        /// The first answer.
        of: FirstOutcome,
    },
    /// It was refused; no state changed.
    Refused(RefusedOutcome),
}

/// The answer that a repeated command got the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FirstOutcome {
    /// It is durable.
    Written {
        /// Position of its entry.
        position: u64,
        /// The run's version after it.
        version: u64,
    },
    /// It was refused.
    Refused(RefusedOutcome),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOutcome {
    /// Stable snake_case code of the refusal, the one to match on.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Position of the recorded refusal; absent if the like of it was recorded so often that it is only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
}

/// A snapshot that is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotArmed {
    /// Its identity.
    #[serde(with = "text")]
    pub id: SnapshotId,
    /// When it is due.
    #[serde(with = "text")]
    pub due: Timestamp,
}

impl ControlResponse {
    /// The answer to a command that nothing else follows from.
    pub fn answer(outcome: &CommandOutcome) -> Self {
        Self::Answer { outcome: outcome.into(), snapshot: None, snapshot_refused: None }
    }

    /// An error.
    pub fn error(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Error { code: code.to_owned(), message: message.into(), remedy: remedy.into() }
    }

    /// That whoever listens still finds out what became of the runs before it; nothing was carried out.
    pub fn starting() -> Self {
        let message = "the supervisor is starting: it finds out what became of the runs that were left open";
        Self::error(code::STARTING, message, "try again in a moment")
    }

    /// That the engine gave no answer.
    pub fn not_submitted(error: &SubmitError) -> Self {
        let remedy = match error {
            SubmitError::QueueFull | SubmitError::Contended => "send it again with the same command id",
            SubmitError::Closed => "send it again with the same command id once the supervisor runs again",
            SubmitError::Journal(_) => "mend what the message names and start the supervisor again; then send it again",
        };
        Self::error(error.code(), error.to_string(), remedy)
    }
}

impl ControlOutcome {
    /// Why the command was refused, now or before.
    pub const fn refusal(&self) -> Option<&RefusedOutcome> {
        match self {
            Self::Refused(refused) | Self::Duplicate { of: FirstOutcome::Refused(refused) } => Some(refused),
            Self::Written { .. } | Self::Duplicate { of: FirstOutcome::Written { .. } } => None,
        }
    }
}

impl RefusedOutcome {
    /// A refusal, and where it is recorded.
    pub fn of(refusal: &Refusal, recorded: Option<Position>) -> Self {
        Self {
            code: refusal.code().to_owned(),
            message: refusal.to_string(),
            remedy: refusal.remedy().to_owned(),
            recorded: recorded.map(|position| position.0),
        }
    }
}

impl From<&CommandOutcome> for ControlOutcome {
    fn from(outcome: &CommandOutcome) -> Self {
        match outcome {
            CommandOutcome::Written { position, version } => Self::Written { position: position.0, version: version.0 },
            CommandOutcome::Duplicate { of } => Self::Duplicate { of: of.into() },
            CommandOutcome::Refused { refusal, recorded } => Self::Refused(RefusedOutcome::of(refusal, *recorded)),
        }
    }
}

impl From<&FirstAnswer> for FirstOutcome {
    fn from(first: &FirstAnswer) -> Self {
        match first {
            FirstAnswer::Written { position, version } => Self::Written { position: position.0, version: version.0 },
            FirstAnswer::Refused { position, refusal } => Self::Refused(RefusedOutcome::of(refusal, Some(*position))),
        }
    }
}
