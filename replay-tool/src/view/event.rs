//! One event.

use serde::Serialize;
use tachograph_engine::domain::{CancelCause, Event, Failure, Guard, ResourceLimits};

use super::run::{DiagnosticsView, ExitView, OutputView, SpecView};

/// One event: `type` is its name, the other fields belong to that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the fields are those of the domain's event of the same name")]
pub enum EventView {
    Created {
        run: String,
        #[serde(flatten)]
        spec: SpecView,
    },
    Started {
        attempt: u32,
        attempt_id: String,
        runner: String,
        cause: &'static str,
        previous_attempt_id: Option<String>,
    },
    Waiting {
        attempt_id: String,
        on: String,
        deadline: Option<String>,
    },
    Exited {
        attempt_id: String,
        exit: ExitView,
        witness: &'static str,
        output: Option<OutputView>,
    },
    Failed {
        attempt: u32,
        attempt_id: String,
        runner: String,
        failure: FailureView,
    },
    Destroyed {
        why: String,
        forced: bool,
    },
    SnapshotScheduled {
        snapshot: String,
        runner: String,
        due: String,
    },
    SnapshotCanceled {
        snapshot: String,
        cause: &'static str,
        guard: Option<GuardView>,
    },
    SnapshotDispatched {
        snapshot: String,
    },
    SnapshotTaken {
        snapshot: String,
        location: String,
        bytes: u64,
        digest: String,
    },
    SnapshotFailed {
        snapshot: String,
        message: String,
    },
    RunnerDisconnected {
        attempt_id: String,
        runner: String,
    },
    ExitAmended {
        attempt_id: String,
        exit: ExitView,
        source: String,
    },
    Reconciled {
        attempt_id: String,
        finding: &'static str,
        detail: String,
    },
}

/// Why an attempt failed, with what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureView {
    /// What to match on.
    pub kind: String,
    /// One sentence for people.
    pub message: String,
    /// What was seen.
    pub diagnostics: DiagnosticsView,
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind.name().to_owned(),
            message: failure.message.clone(),
            diagnostics: (&failure.diagnostics).into(),
        }
    }
}

/// In whose right a snapshot was canceled: an object with exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardView {
    /// Only if this runner armed it.
    Runner(String),
    /// Whoever armed it; always `true`.
    Unconditional(bool),
}

impl GuardView {
    /// The right, if the snapshot was canceled because somebody asked for it.
    pub fn of(cause: &CancelCause) -> Option<Self> {
        match cause {
            CancelCause::Asked(Guard::Runner(runner)) => Some(Self::Runner(runner.to_string())),
            CancelCause::Asked(Guard::Unconditional) => Some(Self::Unconditional(true)),
            CancelCause::RunEnded
            | CancelCause::RunnerDisconnected
            | CancelCause::Superseded
            | CancelCause::Resumed
            | CancelCause::TakenOver
            | CancelCause::Destroyed => None,
        }
    }
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self::of(event, None)
    }
}

impl EventView {
    /// An event of a run with these limits; absent where the event is looked at alone.
    pub fn of(event: &Event, limits: Option<&ResourceLimits>) -> Self {
        match event {
            Event::Created { run, spec } => Self::Created { run: run.to_string(), spec: spec.as_ref().into() },
            Event::Started { attempt, ordinal, runner, cause, previous } => Self::Started {
                attempt: ordinal.0,
                attempt_id: attempt.to_string(),
                runner: runner.to_string(),
                cause: cause.name(),
                previous_attempt_id: previous.map(|attempt| attempt.to_string()),
            },
            Event::Waiting { attempt, on, deadline } => Self::Waiting {
                attempt_id: attempt.to_string(),
                on: on.clone(),
                deadline: deadline.map(|time| time.to_string()),
            },
            Event::Exited { attempt, exit } => Self::Exited {
                attempt_id: attempt.to_string(),
                exit: (&exit.status).into(),
                witness: exit.witness.name(),
                output: exit.output.as_ref().map(|output| OutputView::of(output, limits)),
            },
            Event::Failed { attempt, ordinal, runner, failure } => Self::Failed {
                attempt: ordinal.0,
                attempt_id: attempt.to_string(),
                runner: runner.to_string(),
                failure: failure.into(),
            },
            Event::Destroyed { why, forced } => Self::Destroyed { why: why.clone(), forced: *forced },
            Event::RunnerDisconnected { attempt, runner } => {
                Self::RunnerDisconnected { attempt_id: attempt.to_string(), runner: runner.to_string() }
            }
            Event::ExitAmended { attempt, status, source } => {
                Self::ExitAmended { attempt_id: attempt.to_string(), exit: status.into(), source: source.clone() }
            }
            Event::Reconciled { attempt, finding, detail } => {
                Self::Reconciled { attempt_id: attempt.to_string(), finding: finding.name(), detail: detail.clone() }
            }
            Event::SnapshotScheduled { snapshot, runner, due } => Self::SnapshotScheduled {
                snapshot: snapshot.to_string(),
                runner: runner.to_string(),
                due: due.to_string(),
            },
            Event::SnapshotCanceled { snapshot, cause } => Self::SnapshotCanceled {
                snapshot: snapshot.to_string(),
                cause: cause.name(),
                guard: GuardView::of(cause),
            },
            Event::SnapshotDispatched { snapshot } => Self::SnapshotDispatched { snapshot: snapshot.to_string() },
            Event::SnapshotTaken { snapshot, location, bytes, digest } => Self::SnapshotTaken {
                snapshot: snapshot.to_string(),
                location: location.clone(),
                bytes: *bytes,
                digest: digest.to_string(),
            },
            Event::SnapshotFailed { snapshot, message } => {
                Self::SnapshotFailed { snapshot: snapshot.to_string(), message: message.clone() }
            }
        }
    }
}
