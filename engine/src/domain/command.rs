//! What can be asked of a run: requests and observations, in the imperative.

use std::fmt;
use std::sync::Arc;

use super::event::Finding;
use super::{
    AttemptId, CommandId, Digest, Exit, ExitStatus, Failure, RunId, RunSpec, RunnerId, SnapshotId, Timestamp, Version,
};

/// A request or an observation about one run.
///
/// Its id makes a retry harmless: the same id is written at most once, also across restarts. A retry must repeat the
/// command unchanged; only the id is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Chosen by the issuer, once per intention.
    pub id: CommandId,
    /// The run that it is about.
    pub run: RunId,
    /// Who asks.
    pub actor: Actor,
    /// When the issuer issued it, by the issuer's clock. Evidence, and the 'now' of [`Action::DispatchSnapshot`] and
    /// [`Action::ScheduleSnapshot`]; it orders nothing.
    pub issued_at: Timestamp,
    /// If given, the command is refused unless the run is at exactly this version.
    pub expected: Option<Version>,
    /// What is asked or observed.
    pub action: Action,
}

/// Who issued a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// In which role.
    pub kind: ActorKind,
    /// Which one: an opaque text of 1 to 256 bytes, shared by all commands that the actor clones itself into.
    pub id: Arc<str>,
}

impl Actor {
    /// An actor of this kind with this id.
    pub fn new(kind: ActorKind, id: impl Into<Arc<str>>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.id)
    }
}

/// The role in which an actor speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKind {
    /// Holds an attempt and reports about it.
    Runner,
    /// Starts, watches and ends runs.
    Supervisor,
    /// A person, or a tool in a person's hand.
    Operator,
    /// The engine's own timekeeper.
    Timer,
    /// The engine's own recovery after a crash.
    Recovery,
}

impl ActorKind {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Supervisor => "supervisor",
            Self::Operator => "operator",
            Self::Timer => "timer",
            Self::Recovery => "recovery",
        }
    }
}

/// What a runner must present with every report: the run, the attempt and itself.
///
/// This is the fence. Pids, names, clocks and live status queries never are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The run that the report is about.
    pub run: RunId,
    /// The attempt that it speaks about.
    pub attempt: AttemptId,
    /// The runner that holds this attempt.
    pub runner: RunnerId,
}

/// What is asked of a run, or was observed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the run known. Durable before any side effect of it.
    Create {
        /// What it is.
        spec: Arc<RunSpec>,
    },
    /// Open an attempt, or resume the present one. Durable before the process is spawned.
    Start {
        /// The attempt to open; for a resume by its holder, the present one.
        attempt: AttemptId,
        /// Who will hold it.
        runner: RunnerId,
        /// Out of which situation, naming the attempt that it follows.
        mode: StartMode,
    },
    /// The run waits for something outside.
    Wait {
        /// Who says so.
        claim: Claim,
        /// What it waits on.
        on: String,
        /// Until when at most.
        deadline: Option<Timestamp>,
    },
    /// The attempt ended; its output is drained, or the drain's deadline passed.
    Exit {
        /// Who says so.
        claim: Claim,
        /// How it ended.
        exit: Exit,
    },
    /// The attempt could not start or go on. From `Created`, the claim names the attempt that never started.
    Fail {
        /// Who says so.
        claim: Claim,
        /// Why.
        failure: Failure,
    },
    /// End the run's life; what remains is a tombstone with its history.
    Destroy {
        /// Required while the run is `Started` or `Waiting`.
        force: bool,
        /// Why.
        why: String,
    },
    /// Arm a snapshot while the run waits; replaces an armed one.
    ScheduleSnapshot {
        /// Who arms it.
        claim: Claim,
        /// A new id.
        snapshot: SnapshotId,
        /// When to take it: 0 to 30 days after the command was issued.
        due: Timestamp,
    },
    /// Cancel the armed snapshot.
    CancelSnapshot {
        /// In whose right.
        guard: Guard,
    },
    /// The armed snapshot is due and has its place: from here on it can no longer be canceled.
    DispatchSnapshot {
        /// Exactly the one that was armed.
        snapshot: SnapshotId,
    },
    /// The dispatched snapshot was taken.
    CompleteSnapshot {
        /// Which one.
        snapshot: SnapshotId,
        /// Where it is.
        location: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its content.
        digest: Digest,
    },
    /// The dispatched snapshot was not taken.
    FailSnapshot {
        /// Which one.
        snapshot: SnapshotId,
        /// Why.
        message: String,
    },
    /// The holder of the attempt is no longer connected. Its armed snapshot is canceled.
    DisconnectRunner {
        /// Whose connection was lost.
        claim: Claim,
    },
    /// An authentic record of an exit that was recorded as unknown turned up.
    AmendExit {
        /// The attempt that the record names.
        attempt: AttemptId,
        /// What the record says; a code or a signal.
        status: ExitStatus,
        /// Where the record was found.
        source: String,
    },
    /// Recovery compared the record with the world.
    Reconcile {
        /// The attempt that was looked for.
        attempt: AttemptId,
        /// What was found.
        finding: Finding,
        /// The evidence.
        detail: String,
    },
}

/// Out of which situation an attempt is opened. Each but the first names the attempt that it follows, so that of two
/// actors with the same intention only one succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// The first attempt of a created run.
    Fresh,
    /// Go on after waiting: by the holder within its attempt, by another runner as a new one.
    Resume {
        /// The attempt that waits.
        previous: AttemptId,
    },
    /// Once more after an end.
    Restart {
        /// The attempt that ended.
        previous: AttemptId,
    },
    /// Take a started run from its holder.
    Takeover {
        /// The attempt that is taken over.
        expected: AttemptId,
    },
}

/// In whose right a snapshot is canceled. There is no default: a missing runner is an error, never 'unconditional'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// Only if this runner armed it.
    Runner(RunnerId),
    /// Whoever armed it.
    Unconditional,
}

/// The name of an [`Action`], without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is documented at the action of the same name")]
pub enum ActionName {
    Create,
    Start,
    Wait,
    Exit,
    Fail,
    Destroy,
    ScheduleSnapshot,
    CancelSnapshot,
    DispatchSnapshot,
    CompleteSnapshot,
    FailSnapshot,
    DisconnectRunner,
    AmendExit,
    Reconcile,
}

impl ActionName {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Wait => "wait",
            Self::Exit => "exit",
            Self::Fail => "fail",
            Self::Destroy => "destroy",
            Self::ScheduleSnapshot => "schedule_snapshot",
            Self::CancelSnapshot => "cancel_snapshot",
            Self::DispatchSnapshot => "dispatch_snapshot",
            Self::CompleteSnapshot => "complete_snapshot",
            Self::FailSnapshot => "fail_snapshot",
            Self::DisconnectRunner => "disconnect_runner",
            Self::AmendExit => "amend_exit",
            Self::Reconcile => "reconcile",
        }
    }
}

impl Action {
    /// Its name.
    pub const fn name(&self) -> ActionName {
        match self {
            Self::Create { .. } => ActionName::Create,
            Self::Start { .. } => ActionName::Start,
            Self::Wait { .. } => ActionName::Wait,
            Self::Exit { .. } => ActionName::Exit,
            Self::Fail { .. } => ActionName::Fail,
            Self::Destroy { .. } => ActionName::Destroy,
            Self::ScheduleSnapshot { .. } => ActionName::ScheduleSnapshot,
            Self::CancelSnapshot { .. } => ActionName::CancelSnapshot,
            Self::DispatchSnapshot { .. } => ActionName::DispatchSnapshot,
            Self::CompleteSnapshot { .. } => ActionName::CompleteSnapshot,
            Self::FailSnapshot { .. } => ActionName::FailSnapshot,
            Self::DisconnectRunner { .. } => ActionName::DisconnectRunner,
            Self::AmendExit { .. } => ActionName::AmendExit,
            Self::Reconcile { .. } => ActionName::Reconcile,
        }
    }

    /// The claim that it presents, if it is a runner's report.
    pub const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Wait { claim, .. }
            | Self::Exit { claim, .. }
            | Self::Fail { claim, .. }
            | Self::ScheduleSnapshot { claim, .. }
            | Self::DisconnectRunner { claim } => Some(claim),
            Self::Create { .. }
            | Self::Start { .. }
            | Self::Destroy { .. }
            | Self::CancelSnapshot { .. }
            | Self::DispatchSnapshot { .. }
            | Self::CompleteSnapshot { .. }
            | Self::FailSnapshot { .. }
            | Self::AmendExit { .. }
            | Self::Reconcile { .. } => None,
        }
    }

    /// The attempt that it names, if any; for a start, the attempt to open.
    pub const fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Start { attempt, .. } | Self::AmendExit { attempt, .. } | Self::Reconcile { attempt, .. } => {
                Some(*attempt)
            }
            Self::Wait { claim, .. }
            | Self::Exit { claim, .. }
            | Self::Fail { claim, .. }
            | Self::ScheduleSnapshot { claim, .. }
            | Self::DisconnectRunner { claim } => Some(claim.attempt),
            Self::Create { .. }
            | Self::Destroy { .. }
            | Self::CancelSnapshot { .. }
            | Self::DispatchSnapshot { .. }
            | Self::CompleteSnapshot { .. }
            | Self::FailSnapshot { .. } => None,
        }
    }
}
