//! What an account is made of.

use tachograph_engine::domain::{
    Actor, AttemptId, Claim, Command, Event, ExitStatus, Position, Refusal, RefusedCommand, ResourceLimits, RunId,
    RunRecord, SnapshotId, StatusName, SystemFact, Timestamp, Version,
};
use tachograph_projections::Absence;

use crate::dataset::Border;
use crate::machine::{LastWriter, WriterState};

/// An account of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Of which run.
    pub run: RunId,
    /// The run after its last entry that is told; absent if none says that it was created.
    pub record: Option<RunRecord>,
    /// As of which position, if it is not told up to the end.
    pub as_of: Option<Position>,
    /// What is to be said: how the run stands, then what happened, in the order of positions.
    pub sentences: Vec<Sentence>,
}

impl Account {
    /// What bounds the run; absent if none of the entries says that it was created.
    pub fn limits(&self) -> Option<&ResourceLimits> {
        self.record.as_ref().map(|record| &record.run.spec.limits)
    }

    /// Only what is missing, silent or out of step.
    pub fn gaps(&self) -> impl Iterator<Item = (&Sentence, &Gap)> {
        self.sentences.iter().filter_map(|sentence| match &sentence.told {
            Told::Gap(gap) => Some((sentence, gap)),
            _ => None,
        })
    }
}

/// One sentence, with the entry that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Position of that entry: of a gap the entry that ends or shows it.
    pub position: Position,
    /// When that entry was recorded, by the writer's clock.
    pub recorded_at: Timestamp,
    /// What is said.
    pub told: Told,
}

/// What a sentence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// How the run came to its status: its last transition.
    State(Box<Standing>),
    /// Only refused commands name the run.
    NeverCreated,
    /// Entries of the run are there, and its creation is not among what can be read.
    StateUnknown,
    /// What happened to the run before is archived.
    Archived(Box<Border>),
    /// Something happened to the run.
    Event(Box<EventTold>),
    /// A command to the run was refused.
    Refused(Box<RefusedTold>),
    /// Something happened to the journal while the run was open.
    Fact {
        /// What.
        fact: SystemFact,
        /// Of an opening, whether the writer before had closed the journal; absent if that is not known.
        was_closed: Option<bool>,
    },
    /// The writer that opened the journal had a timer of the run again.
    Rearmed(TimerRearmed),
    /// Something is missing, silent or out of step.
    Gap(Gap),
    /// The run has not ended.
    Still(Box<Still>),
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: StatusName,
    /// The transition that led to it.
    pub event: Event,
    /// The command behind it.
    pub command: Command,
    /// The exit status that counts, if the latest attempt's was unknown first and filled in later.
    pub amended: Option<ExitStatus>,
    /// How many attempts there were.
    pub attempts: u32,
    /// How many refusals are recorded about it.
    pub refusals: u64,
}

/// An event with what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTold {
    /// What happened.
    pub event: Event,
    /// All events of the same entry, in order.
    pub beside: Vec<Event>,
    /// The run's version after it.
    pub version: Version,
    /// Whether the state changed by it; if not, the history is damaged or incomplete.
    pub applied: bool,
    /// The command behind it.
    pub command: Command,
    /// Of the dispatch of a snapshot: how long after it was due, in microseconds; negative if the clock stepped back.
    pub late_us: Option<i64>,
    /// Of a late dispatch: when no writer was there, after the arming and not over before it was due.
    pub absences: Vec<Absence>,
    /// Of the dispatch of a snapshot: when it was due.
    pub due: Option<Timestamp>,
}

/// A refused command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedTold {
    /// The command, as far as it was kept.
    pub command: RefusedCommand,
    /// Why it was refused.
    pub refusal: Refusal,
    /// How often this actor had been refused like this by then.
    pub count: u64,
    /// How many of these came after the one that was recorded before and were counted only; absent if the count is none at
    /// which a refusal is recorded.
    pub counted_only: Option<u64>,
}

/// A timer of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// An armed snapshot.
    Snapshot(SnapshotId),
    /// The time until which an attempt waits at most.
    Deadline(AttemptId),
}

/// A timer that the next writer had again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerRearmed {
    /// Which one.
    pub timer: Timer,
    /// Whether it is a snapshot that was dispatched by then: then its result was open, not its timer.
    pub dispatched: bool,
    /// When it is due; absent if its arming could not be read.
    pub due: Option<Timestamp>,
    /// How long it was overdue by then, in microseconds; absent if it was not, or was dispatched.
    pub overdue_us: Option<u64>,
}

/// What is missing, silent or out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Entries of the run are there and could not be read.
    Missing {
        /// The last of them.
        up_to: Position,
    },
    /// The facts about the journal within the run's life could not be read.
    FactsUnread,
    /// Nothing was recorded about the run for long.
    Silence {
        /// The entry about it before.
        from: Position,
        /// When that was recorded.
        since: Timestamp,
        /// The entry about it after.
        to: Position,
        /// When that was recorded.
        until: Timestamp,
    },
    /// No writer was there.
    SupervisorDown {
        /// The last entry before.
        from: Position,
        /// From when to when.
        absence: Absence,
    },
    /// The wall clock said less than for the sentence before.
    SteppedBack {
        /// The position before.
        from: Position,
        /// What the clock had said there.
        since: Timestamp,
        /// By how many microseconds, at least.
        micros: u64,
    },
    /// Wall clock and monotonic clock of one machine went differently far.
    ClockMoved(ClockMoved),
    /// The run still waited when its deadline came.
    DeadlinePassed {
        /// The entry by which it waited.
        from: Position,
        /// The deadline.
        deadline: Timestamp,
        /// When it went on or ended.
        until: Timestamp,
    },
    /// The run ended, and nothing says that it was destroyed.
    NotDestroyed {
        /// How it stands.
        status: StatusName,
    },
}

/// Between two facts about the journal, written under one boot of one machine, the wall clock was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMoved {
    /// The earlier of the two.
    pub from: Position,
    /// What the wall clock said there.
    pub since: Timestamp,
    /// What it said at the later one.
    pub until: Timestamp,
    /// How many microseconds further than the monotonic clock the wall clock went; negative: less far, so that it was set
    /// back. The monotonic clock stands still while the machine is suspended.
    pub micros: i64,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Its status.
    pub status: StatusName,
    /// For how long nothing was recorded about it, in microseconds.
    pub silent_us: u64,
    /// For how long its deadline has passed, in microseconds; absent if it has not.
    pub overdue_us: Option<u64>,
    /// The journal's last writer, if it was asked for.
    pub writer: Option<(LastWriter, WriterState)>,
}

impl Timer {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Deadline(_) => "deadline",
        }
    }
}

impl Sentence {
    /// Who issued the command behind it, if one is.
    pub fn actor(&self) -> Option<&Actor> {
        match &self.told {
            Told::State(standing) => Some(&standing.command.actor),
            Told::Event(told) => Some(&told.command.actor),
            Told::Refused(told) => Some(told.command.actor()),
            Told::NeverCreated
            | Told::StateUnknown
            | Told::Archived(_)
            | Told::Fact { .. }
            | Told::Rearmed(_)
            | Told::Gap(_)
            | Told::Still(_) => None,
        }
    }

    /// The claim that this command presented, if it did.
    pub fn claim(&self) -> Option<&Claim> {
        match &self.told {
            Told::State(standing) => standing.command.action.claim(),
            Told::Event(told) => told.command.action.claim(),
            Told::Refused(told) => match &told.command {
                RefusedCommand::Whole(command) => command.action.claim(),
                RefusedCommand::OutOfBounds { .. } => None,
            },
            Told::NeverCreated
            | Told::StateUnknown
            | Told::Archived(_)
            | Told::Fact { .. }
            | Told::Rearmed(_)
            | Told::Gap(_)
            | Told::Still(_) => None,
        }
    }

    /// Stable snake_case name of what is said.
    pub const fn kind(&self) -> &'static str {
        match &self.told {
            Told::State(_) => "state",
            Told::NeverCreated => "never_created",
            Told::StateUnknown => "state_unknown",
            Told::Archived(_) => "archived",
            Told::Event(told) => event_kind(&told.event),
            Told::Refused(_) => "refused",
            Told::Fact { fact: SystemFact::Opened(_), .. } => "journal_opened",
            Told::Fact { fact: SystemFact::Recovered { .. }, .. } => "journal_recovered",
            Told::Fact { fact: SystemFact::Closed(_), .. } => "journal_closed",
            Told::Rearmed(_) => "timer_rearmed",
            Told::Gap(gap) => gap.kind(),
            Told::Still(_) => "still_open",
        }
    }
}

impl Gap {
    /// Stable snake_case name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "entries_missing",
            Self::FactsUnread => "facts_unread",
            Self::Silence { .. } => "silence",
            Self::SupervisorDown { .. } => "supervisor_down",
            Self::SteppedBack { .. } => "clock_stepped_back",
            Self::ClockMoved(_) => "clock_moved",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::NotDestroyed { .. } => "not_destroyed",
        }
    }
}

const fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Created { .. } => "created",
        Event::Started { .. } => "started",
        Event::Waiting { .. } => "waiting",
        Event::Exited { .. } => "exited",
        Event::Failed { .. } => "failed",
        Event::Destroyed { .. } => "destroyed",
        Event::SnapshotScheduled { .. } => "snapshot_scheduled",
        Event::SnapshotCanceled { .. } => "snapshot_canceled",
        Event::SnapshotDispatched { .. } => "snapshot_dispatched",
        Event::SnapshotTaken { .. } => "snapshot_taken",
        Event::SnapshotFailed { .. } => "snapshot_failed",
        Event::RunnerDisconnected { .. } => "runner_disconnected",
        Event::ExitAmended { .. } => "exit_amended",
        Event::Reconciled { .. } => "reconciled",
    }
}
