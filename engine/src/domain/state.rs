//! What follows from a run's events.

use std::sync::Arc;

use super::{AttemptId, Exit, ExitStatus, Failure, Ordinal, RunId, RunSpec, RunnerId, SnapshotId, Timestamp, Version};

/// The state of one run: nothing, or all that its events say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RunState {
    /// No `Created` was recorded under this id.
    #[default]
    Unknown,
    /// The run exists, or existed and left its tombstone.
    Known(Box<Run>),
}

impl RunState {
    /// The run, if it is known.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Unknown => None,
            Self::Known(run) => Some(run),
        }
    }

    /// Number of events so far.
    pub fn version(&self) -> Version {
        self.run().map_or(Version::ZERO, |run| run.version)
    }
}

/// All that the events of one run say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// Number of events so far.
    pub version: Version,
    /// What it was created as.
    pub spec: Arc<RunSpec>,
    /// Its last transition.
    pub status: Status,
    /// The latest attempt; absent before the first.
    pub attempt: Option<Attempt>,
    /// Earlier attempts, oldest first: their ids can never be opened again. At most
    /// [`ATTEMPTS_MAX`](super::limits::ATTEMPTS_MAX).
    pub spent: Vec<AttemptId>,
    /// Snapshots that were canceled or dispatched, oldest first: their ids cannot be armed again, or one history would
    /// say of one snapshot that it was canceled and that it was taken. The last
    /// [`SNAPSHOTS_REMEMBERED`](super::limits::SNAPSHOTS_REMEMBERED).
    pub spent_snapshots: Vec<SnapshotId>,
    /// The snapshot that is armed and can be canceled.
    pub armed: Option<ArmedSnapshot>,
    /// The snapshot that was dispatched and has no result yet.
    pub in_flight: Option<DispatchedSnapshot>,
}

impl Run {
    /// Whether its latest attempt is over, or it is destroyed: such a run holds no name.
    pub const fn is_ended(&self) -> bool {
        self.status.name().is_ended()
    }

    /// Whether nothing more is expected of it: it has ended, and no snapshot of it is being taken.
    pub const fn is_settled(&self) -> bool {
        // A destroyed run takes in no result any more.
        self.is_ended() && (self.in_flight.is_none() || matches!(self.status, Status::Destroyed { .. }))
    }
}

/// A run's last transition, with what matters as long as it is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Known, nothing started.
    Created,
    /// An attempt is under way.
    Started,
    /// The attempt waits for something outside.
    Waiting {
        /// What it waits on.
        on: String,
        /// Until when at most.
        deadline: Option<Timestamp>,
    },
    /// The attempt ended; its outcome says how.
    Exited,
    /// The attempt failed; its outcome says why.
    Failed,
    /// A tombstone.
    Destroyed {
        /// Why.
        why: String,
    },
}

impl Status {
    /// Its name.
    pub const fn name(&self) -> StatusName {
        match self {
            Self::Created => StatusName::Created,
            Self::Started => StatusName::Started,
            Self::Waiting { .. } => StatusName::Waiting,
            Self::Exited => StatusName::Exited,
            Self::Failed => StatusName::Failed,
            Self::Destroyed { .. } => StatusName::Destroyed,
        }
    }
}

/// The name of a run's last transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is documented at the status of the same name")]
pub enum StatusName {
    Created,
    Started,
    Waiting,
    Exited,
    Failed,
    Destroyed,
}

impl StatusName {
    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Started, Self::Waiting, Self::Exited, Self::Failed, Self::Destroyed];

    /// Stable name, the same as the variant's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Started => "Started",
            Self::Waiting => "Waiting",
            Self::Exited => "Exited",
            Self::Failed => "Failed",
            Self::Destroyed => "Destroyed",
        }
    }

    /// Whether a run in it has ended.
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Created | Self::Started | Self::Waiting => false,
            Self::Exited | Self::Failed | Self::Destroyed => true,
        }
    }
}

impl std::fmt::Display for StatusName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One incarnation of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its identity.
    pub id: AttemptId,
    /// Its number within the run.
    pub ordinal: Ordinal,
    /// Who holds it, or was to hold it.
    pub runner: RunnerId,
    /// Out of which situation it was opened.
    pub cause: StartCause,
    /// Whether `Started` was recorded: a start that failed before is an attempt, too.
    pub started: bool,
    /// Whether its runner is connected, as far as was reported.
    pub connected: bool,
    /// How it ended; absent while it is open.
    pub outcome: Option<Outcome>,
}

/// Out of which situation an attempt was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StartCause {
    /// The first start.
    Fresh,
    /// After waiting.
    Resume,
    /// After an end.
    Restart,
    /// Out of another runner's hands.
    Takeover,
}

impl StartCause {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Takeover => "takeover",
        }
    }
}

/// How an attempt ended: the first terminal report about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It exited.
    Exited {
        /// As it was reported.
        exit: Exit,
        /// What an authentic record filled in later, if the reported status was unknown.
        amended: Option<ExitStatus>,
    },
    /// It failed.
    Failed(Failure),
}

impl Outcome {
    /// The exit status that counts now, if the attempt exited.
    pub fn exit_status(&self) -> Option<&ExitStatus> {
        match self {
            Self::Exited { exit, amended } => Some(amended.as_ref().unwrap_or(&exit.status)),
            Self::Failed(_) => None,
        }
    }

    /// The failure, if the attempt failed.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Exited { .. } => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { exit, amended: None } => write!(f, "Exited with {}", exit.status),
            Self::Exited { exit: _, amended: Some(status) } => write!(f, "Exited with {status} (amended)"),
            Self::Failed(failure) => write!(f, "Failed: {}: {}", failure.kind.name(), failure.message),
        }
    }
}

/// A snapshot that will be taken unless something cancels it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmedSnapshot {
    /// Its identity.
    pub id: SnapshotId,
    /// Who armed it.
    pub runner: RunnerId,
    /// When it is due.
    pub due: Timestamp,
}

/// A snapshot that is being taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchedSnapshot {
    /// Its identity.
    pub id: SnapshotId,
    /// The attempt that it shows.
    pub attempt: AttemptId,
}
