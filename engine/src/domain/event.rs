//! What can have happened to a run: past-tense facts, the only things that change its state.

use std::sync::Arc;

use super::state::{RunState, StatusName};
use super::{
    AttemptId, Digest, Exit, ExitStatus, Failure, Guard, Ordinal, RunId, RunSpec, RunnerId, SnapshotId, StartCause,
    Timestamp,
};

/// The events of one command, in order; never empty, and appended all or none.
pub type Events = Vec<Event>;

/// A fact about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Transition: the run exists.
    Created {
        /// Its identity.
        run: RunId,
        /// What it is.
        spec: Arc<RunSpec>,
    },
    /// Transition: an attempt began, or its holder went on after waiting.
    Started {
        /// The attempt that is now current.
        attempt: AttemptId,
        /// Its number within the run.
        ordinal: Ordinal,
        /// Who holds it.
        runner: RunnerId,
        /// Out of which situation.
        cause: StartCause,
        /// The attempt before it; for a resume by its holder, the attempt itself.
        previous: Option<AttemptId>,
    },
    /// Transition: the run waits for something outside.
    Waiting {
        /// The current attempt.
        attempt: AttemptId,
        /// What it waits on.
        on: String,
        /// Until when at most.
        deadline: Option<Timestamp>,
    },
    /// Transition: the attempt ended.
    Exited {
        /// Which one.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    },
    /// Transition: the attempt could not start or go on.
    Failed {
        /// Which one.
        attempt: AttemptId,
        /// Its number within the run.
        ordinal: Ordinal,
        /// Who held it or was to hold it.
        runner: RunnerId,
        /// Why.
        failure: Failure,
    },
    /// Transition: the run's life is over. Nothing follows.
    Destroyed {
        /// Why.
        why: String,
        /// Whether it was still open.
        forced: bool,
    },
    /// A snapshot was armed.
    SnapshotScheduled {
        /// Which one.
        snapshot: SnapshotId,
        /// Who armed it.
        runner: RunnerId,
        /// When it is due.
        due: Timestamp,
    },
    /// The armed snapshot will not be taken.
    SnapshotCanceled {
        /// Which one.
        snapshot: SnapshotId,
        /// Why.
        cause: CancelCause,
    },
    /// The armed snapshot is being taken and can no longer be canceled.
    SnapshotDispatched {
        /// Which one.
        snapshot: SnapshotId,
    },
    /// The dispatched snapshot exists.
    SnapshotTaken {
        /// Which one.
        snapshot: SnapshotId,
        /// Where it is.
        location: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its content.
        digest: Digest,
    },
    /// The dispatched snapshot does not exist.
    SnapshotFailed {
        /// Which one.
        snapshot: SnapshotId,
        /// Why.
        message: String,
    },
    /// The holder's connection was lost.
    RunnerDisconnected {
        /// The attempt that it holds.
        attempt: AttemptId,
        /// Who it was.
        runner: RunnerId,
    },
    /// An authentic record filled an unknown exit status, once.
    ExitAmended {
        /// Which attempt's.
        attempt: AttemptId,
        /// What the record says.
        status: ExitStatus,
        /// Where it was found.
        source: String,
    },
    /// Recovery compared the record with the world.
    Reconciled {
        /// The attempt that was looked for.
        attempt: AttemptId,
        /// What was found.
        finding: Finding,
        /// The evidence.
        detail: String,
    },
}

/// Why an armed snapshot was canceled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelCause {
    /// Somebody asked for it, in this right.
    Asked(Guard),
    /// The run exited or failed.
    RunEnded,
    /// The runner that armed it lost its connection.
    RunnerDisconnected,
    /// Another snapshot was armed in its place.
    Superseded,
    /// The holder went on before it was due.
    Resumed,
    /// Another runner took the run over.
    TakenOver,
    /// The run was destroyed.
    Destroyed,
}

impl CancelCause {
    /// Stable snake_case name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Asked(Guard::Runner(_)) => "asked_by_runner",
            Self::Asked(Guard::Unconditional) => "asked_unconditionally",
            Self::RunEnded => "run_ended",
            Self::RunnerDisconnected => "runner_disconnected",
            Self::Superseded => "superseded",
            Self::Resumed => "resumed",
            Self::TakenOver => "taken_over",
            Self::Destroyed => "destroyed",
        }
    }
}

/// What recovery found in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// Alive with its identity verified; followed from here on.
    Adopted,
    /// Gone, without a witness of its end.
    Lost,
    /// Alive, but its identity is not verified, or its run does not want it any more.
    Orphan,
}

impl Finding {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Lost => "lost",
            Self::Orphan => "orphan",
        }
    }
}

/// The name of an [`Event`], without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is documented at the event of the same name")]
pub enum EventName {
    Created,
    Started,
    Waiting,
    Exited,
    Failed,
    Destroyed,
    SnapshotScheduled,
    SnapshotCanceled,
    SnapshotDispatched,
    SnapshotTaken,
    SnapshotFailed,
    RunnerDisconnected,
    ExitAmended,
    Reconciled,
}

impl EventName {
    /// Stable name, the same as the variant's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Started => "Started",
            Self::Waiting => "Waiting",
            Self::Exited => "Exited",
            Self::Failed => "Failed",
            Self::Destroyed => "Destroyed",
            Self::SnapshotScheduled => "SnapshotScheduled",
            Self::SnapshotCanceled => "SnapshotCanceled",
            Self::SnapshotDispatched => "SnapshotDispatched",
            Self::SnapshotTaken => "SnapshotTaken",
            Self::SnapshotFailed => "SnapshotFailed",
            Self::RunnerDisconnected => "RunnerDisconnected",
            Self::ExitAmended => "ExitAmended",
            Self::Reconciled => "Reconciled",
        }
    }

    /// The statuses in which the event may follow; empty for the one that makes the run.
    pub const fn follows(self) -> &'static [StatusName] {
        use StatusName::{Created, Exited, Failed, Started, Waiting};
        match self {
            Self::Created => &[],
            Self::Started => &[Created, Started, Waiting, Exited, Failed],
            Self::Waiting => &[Started],
            Self::Exited => &[Started, Waiting],
            Self::Failed => &[Created, Started, Waiting],
            Self::Destroyed => &[Created, Started, Waiting, Exited, Failed],
            Self::SnapshotScheduled => &[Waiting],
            // A snapshot is armed in `Waiting` only: whatever leaves that status cancels it first.
            Self::SnapshotCanceled | Self::SnapshotDispatched => &[Waiting],
            // The result of a dispatched snapshot may come after the run went on or ended.
            Self::SnapshotTaken | Self::SnapshotFailed => &[Started, Waiting, Exited, Failed],
            Self::RunnerDisconnected => &[Started, Waiting],
            Self::ExitAmended => &[Exited],
            // Recovery looks for an attempt, and a created run has none.
            Self::Reconciled => &[Started, Waiting, Exited, Failed],
        }
    }
}

impl Event {
    /// Its name.
    pub const fn name(&self) -> EventName {
        match self {
            Self::Created { .. } => EventName::Created,
            Self::Started { .. } => EventName::Started,
            Self::Waiting { .. } => EventName::Waiting,
            Self::Exited { .. } => EventName::Exited,
            Self::Failed { .. } => EventName::Failed,
            Self::Destroyed { .. } => EventName::Destroyed,
            Self::SnapshotScheduled { .. } => EventName::SnapshotScheduled,
            Self::SnapshotCanceled { .. } => EventName::SnapshotCanceled,
            Self::SnapshotDispatched { .. } => EventName::SnapshotDispatched,
            Self::SnapshotTaken { .. } => EventName::SnapshotTaken,
            Self::SnapshotFailed { .. } => EventName::SnapshotFailed,
            Self::RunnerDisconnected { .. } => EventName::RunnerDisconnected,
            Self::ExitAmended { .. } => EventName::ExitAmended,
            Self::Reconciled { .. } => EventName::Reconciled,
        }
    }

    /// The status that it leads to, if it is a transition.
    pub const fn leads_to(&self) -> Option<StatusName> {
        match self {
            Self::Created { .. } => Some(StatusName::Created),
            Self::Started { .. } => Some(StatusName::Started),
            Self::Waiting { .. } => Some(StatusName::Waiting),
            Self::Exited { .. } => Some(StatusName::Exited),
            Self::Failed { .. } => Some(StatusName::Failed),
            Self::Destroyed { .. } => Some(StatusName::Destroyed),
            Self::SnapshotScheduled { .. }
            | Self::SnapshotCanceled { .. }
            | Self::SnapshotDispatched { .. }
            | Self::SnapshotTaken { .. }
            | Self::SnapshotFailed { .. }
            | Self::RunnerDisconnected { .. }
            | Self::ExitAmended { .. }
            | Self::Reconciled { .. } => None,
        }
    }

    /// Whether the event may follow in this state, by status alone.
    ///
    /// A journal in which an event does not is damaged or was written by something else; `decide` never makes one.
    pub fn may_follow(&self, state: &RunState) -> bool {
        match state {
            RunState::Unknown => matches!(self, Self::Created { .. }),
            RunState::Known(run) => self.may_follow_status(run.status.name()),
        }
    }

    /// Whether the event may follow in a run with this status.
    pub(super) fn may_follow_status(&self, status: StatusName) -> bool {
        self.name().follows().contains(&status)
    }
}
