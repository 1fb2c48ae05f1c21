//! The story of one snapshot: armed by whom, kept over which restarts, and what became of it.

use tachograph_engine::domain::{
    ActionName, Actor, AttemptId, CancelCause, Committed, Digest, Entry, EntryBody, Event, EventName, Ordinal,
    Position, Refusal, Refused, RefusedCommand, RunId, RunnerId, Session, SnapshotId, SystemFact, Timestamp,
};

use crate::projection::Projection;

/// The story of one snapshot: its arming, its result, and what happened to it between.
///
/// Fed with all entries from the creation of its run, it also tells at which openings of the journal it was armed again,
/// and whether the writer was away when it was due. Fed with the run's own entries alone, it tells the rest.
///
/// A refused cancel names no snapshot. It belongs to the one that was armed last by then, also after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerStory {
    run: RunId,
    snapshot: SnapshotId,
    position: Position,
    steps: Vec<TimerStep>,
    fate: Option<TimerFate>,
    due: Option<Timestamp>,
    dispatched_at: Option<Timestamp>,
    /// Whether another was armed after it.
    followed: bool,
    /// Attempts by their ids: arming names the id only.
    ordinals: Vec<(AttemptId, Ordinal)>,
    /// The last entry about the run.
    last: Option<Position>,
    /// The last entry of all: its position, its time, and whether it closed the journal.
    before: Option<(Position, Timestamp, bool)>,
    /// When the writer was away since it was armed.
    absences: Vec<Absence>,
}

/// What became of an armed snapshot by the last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerFate {
    /// It will be taken when it is due, unless something cancels it.
    Armed,
    /// It was dispatched, and no result is recorded.
    Dispatched,
    /// It was canceled before it was dispatched.
    Canceled,
    /// It was taken.
    Taken,
    /// It was dispatched and not taken.
    Failed,
}

impl TimerFate {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Dispatched => "dispatched",
            Self::Canceled => "canceled",
            Self::Taken => "taken",
            Self::Failed => "failed",
        }
    }

    /// Whether something more can happen to it.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Armed | Self::Dispatched => true,
            Self::Canceled | Self::Taken | Self::Failed => false,
        }
    }
}

/// One step of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerStep {
    /// Position of its entry.
    pub position: Position,
    /// When it was recorded, by the writer's wall clock.
    pub recorded_at: Timestamp,
    /// Who issued the command behind it; absent for facts about the journal.
    pub actor: Option<Actor>,
    /// What happened.
    pub body: TimerStepBody,
}

/// What happened to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerStepBody {
    /// It was armed.
    Armed {
        /// For which attempt.
        attempt: AttemptId,
        /// Its number within the run; absent if its start was not read.
        ordinal: Option<Ordinal>,
        /// By which runner.
        runner: RunnerId,
        /// When it is due.
        due: Timestamp,
        /// How long that is after the command was issued, by its issuer's clock, in microseconds.
        delay_us: i64,
    },
    /// A writer opened the journal, and had it again as the one before left it.
    Opened {
        /// Who.
        session: Session,
        /// Whether it was dispatched by then, so that not its timer but its result was open.
        dispatched: bool,
        /// Whether the writer before had closed the journal; absent if what came before was not read.
        was_closed: Option<bool>,
    },
    /// The writer closed the journal while it was armed or being taken.
    Closed {
        /// Who.
        session: Session,
    },
    /// A command that would have canceled it, dispatched it or given its result was refused.
    Refused {
        /// The command, as far as it was kept.
        command: RefusedCommand,
        /// Why.
        refusal: Refusal,
        /// How often that actor had been refused like this by then.
        count: u64,
    },
    /// It was canceled.
    Canceled {
        /// Why.
        cause: CancelCause,
        /// By a command that asked what.
        action: ActionName,
        /// The transition that it was canceled with, if one was.
        transition: Option<EventName>,
        /// The snapshot that was armed in its place.
        replaced_by: Option<SnapshotId>,
    },
    /// It was dispatched.
    Dispatched {
        /// How long after it was due, in microseconds of the wall clock; absent if its arming was not read. Negative
        /// if that clock stepped back.
        late_us: Option<i64>,
        /// When the writer was away between.
        absences: Vec<Absence>,
    },
    /// It was taken.
    Taken {
        /// Where it is.
        location: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its content.
        digest: Digest,
        /// Microseconds since it was dispatched, by the wall clock; absent if that was not read.
        took_us: Option<i64>,
    },
    /// It was not taken.
    Failed {
        /// Why.
        message: String,
        /// Microseconds since it was dispatched, by the wall clock; absent if that was not read.
        took_us: Option<i64>,
    },
    /// Entries about the run lie before the next step and were not read.
    Missing {
        /// The last of those entries.
        up_to: Position,
    },
}

/// A stretch of time in which a writer was gone and the next one was not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// When the writer recorded its last entry: if it closed the journal, that was its end; else it ended at some time
    /// after.
    pub since: Timestamp,
    /// When the next one opened the journal.
    pub until: Timestamp,
    /// Position of that opening.
    pub opened: Position,
    /// Whether the writer had closed the journal.
    pub was_closed: bool,
}

impl Absence {
    /// Whether a time lies within.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.since <= time && time < self.until
    }
}

impl TimerStory {
    /// The story of a snapshot before its first entry.
    pub fn of(run: RunId, snapshot: SnapshotId) -> Self {
        Self {
            run,
            snapshot,
            position: Position::ZERO,
            steps: Vec::new(),
            fate: None,
            due: None,
            dispatched_at: None,
            followed: false,
            ordinals: Vec::new(),
            last: None,
            before: None,
            absences: Vec::new(),
        }
    }

    /// The story after these entries, which are given in the order of positions.
    #[must_use]
    pub fn folded<'a>(mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        entries.into_iter().for_each(|entry| self.apply(entry));
        self
    }

    /// Whose snapshot it is.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Which snapshot it is.
    pub fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }

    /// What happened, in the order of positions.
    pub fn steps(&self) -> &[TimerStep] {
        &self.steps
    }

    /// What became of it; absent as long as nothing about it was read.
    pub fn fate(&self) -> Option<TimerFate> {
        self.fate
    }

    /// When it is or was due; absent if its arming was not read.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// How late it was dispatched, in microseconds; absent if it was not, or its arming was not read.
    pub fn late_us(&self) -> Option<i64> {
        self.steps.iter().find_map(|step| match step.body {
            TimerStepBody::Dispatched { late_us, .. } => late_us,
            _ => None,
        })
    }

    fn is_open(&self) -> bool {
        self.fate.is_some_and(TimerFate::is_open)
    }

    fn push(&mut self, entry: &Entry, body: TimerStepBody) {
        let actor = match &entry.body {
            EntryBody::Committed(committed) => Some(committed.command.actor.clone()),
            EntryBody::Refused(refused) => Some(refused.command.actor().clone()),
            EntryBody::System(_) => None,
        };
        self.steps.push(TimerStep { position: entry.position, recorded_at: entry.recorded_at, actor, body });
    }

    fn system(&mut self, entry: &Entry, fact: &SystemFact) {
        if !self.is_open() {
            return;
        }
        match fact {
            SystemFact::Opened(session) => {
                let before = self.before.filter(|(position, ..)| position.next() == entry.position);
                if let Some((_, since, was_closed)) = before {
                    let until = entry.recorded_at;
                    self.absences.push(Absence { since, until, opened: entry.position, was_closed });
                }
                let dispatched = self.fate == Some(TimerFate::Dispatched);
                let was_closed = before.map(|(_, _, was_closed)| was_closed);
                self.push(entry, TimerStepBody::Opened { session: session.clone(), dispatched, was_closed });
            }
            SystemFact::Closed(session) => self.push(entry, TimerStepBody::Closed { session: session.clone() }),
            // Its opening, which is the entry before it, has said that the writer before was gone.
            SystemFact::Recovered { .. } => {}
        }
    }

    fn refused(&mut self, entry: &Entry, refused: &Refused) {
        let RefusedCommand::Whole(command) = &refused.command else {
            // Of what was out of bounds only the kind is known, and that it was no other snapshot's.
            if refused.command.action() == ActionName::CancelSnapshot && self.is_latest() {
                self.push_refused(entry, refused);
            }
            return;
        };
        use tachograph_engine::domain::Action;
        let is_of_it = match &command.action {
            Action::CancelSnapshot { .. } => self.is_latest(),
            Action::ScheduleSnapshot { snapshot, .. }
            | Action::DispatchSnapshot { snapshot }
            | Action::CompleteSnapshot { snapshot, .. }
            | Action::FailSnapshot { snapshot, .. } => *snapshot == self.snapshot,
            Action::Create { .. }
            | Action::Start { .. }
            | Action::Wait { .. }
            | Action::Exit { .. }
            | Action::Fail { .. }
            | Action::Destroy { .. }
            | Action::DisconnectRunner { .. }
            | Action::AmendExit { .. }
            | Action::Reconcile { .. } => false,
        };
        if is_of_it {
            self.push_refused(entry, refused);
        }
    }

    fn is_latest(&self) -> bool {
        self.fate.is_some() && !self.followed
    }

    fn push_refused(&mut self, entry: &Entry, refused: &Refused) {
        let Refused { command, refusal, count } = refused.clone();
        self.push(entry, TimerStepBody::Refused { command, refusal, count });
    }

    fn committed(&mut self, entry: &Entry, committed: &Committed) {
        for event in &committed.events {
            match event {
                Event::Started { attempt, ordinal, .. } | Event::Failed { attempt, ordinal, .. } => {
                    self.ordinals.push((*attempt, *ordinal));
                }
                Event::SnapshotScheduled { snapshot, runner, due } if *snapshot == self.snapshot => {
                    self.armed(entry, committed, runner, *due);
                }
                Event::SnapshotScheduled { .. } => self.followed = self.fate.is_some(),
                Event::SnapshotCanceled { snapshot, cause } if *snapshot == self.snapshot => {
                    self.canceled(entry, committed, cause);
                }
                Event::SnapshotDispatched { snapshot } if *snapshot == self.snapshot => self.dispatched(entry),
                Event::SnapshotTaken { snapshot, location, bytes, digest } if *snapshot == self.snapshot => {
                    self.fate = Some(TimerFate::Taken);
                    let (location, took_us) = (location.clone(), self.took_us(entry));
                    self.push(entry, TimerStepBody::Taken { location, bytes: *bytes, digest: *digest, took_us });
                }
                Event::SnapshotFailed { snapshot, message } if *snapshot == self.snapshot => {
                    self.fate = Some(TimerFate::Failed);
                    let (message, took_us) = (message.clone(), self.took_us(entry));
                    self.push(entry, TimerStepBody::Failed { message, took_us });
                }
                Event::SnapshotCanceled { .. }
                | Event::SnapshotDispatched { .. }
                | Event::SnapshotTaken { .. }
                | Event::SnapshotFailed { .. }
                | Event::Created { .. }
                | Event::Waiting { .. }
                | Event::Exited { .. }
                | Event::Destroyed { .. }
                | Event::RunnerDisconnected { .. }
                | Event::ExitAmended { .. }
                | Event::Reconciled { .. } => {}
            }
        }
    }

    fn armed(&mut self, entry: &Entry, committed: &Committed, runner: &RunnerId, due: Timestamp) {
        // Only a claim arms; an entry that says otherwise was not written by this engine, and names no attempt.
        let Some(claim) = committed.command.action.claim() else { return };
        self.fate = Some(TimerFate::Armed);
        self.due = Some(due);
        let of_attempt = self.ordinals.iter().rev().find(|(attempt, _)| *attempt == claim.attempt);
        let body = TimerStepBody::Armed {
            attempt: claim.attempt,
            ordinal: of_attempt.map(|(_, ordinal)| *ordinal),
            runner: runner.clone(),
            due,
            delay_us: due.as_micros() - committed.command.issued_at.as_micros(),
        };
        self.push(entry, body);
    }

    fn canceled(&mut self, entry: &Entry, committed: &Committed, cause: &CancelCause) {
        self.fate = Some(TimerFate::Canceled);
        let replaced_by = committed.events.iter().find_map(|event| match event {
            Event::SnapshotScheduled { snapshot, .. } => Some(*snapshot),
            _ => None,
        });
        let transition = committed.events.iter().find(|event| event.leads_to().is_some()).map(Event::name);
        let action = committed.command.action.name();
        self.push(entry, TimerStepBody::Canceled { cause: cause.clone(), action, transition, replaced_by });
    }

    fn dispatched(&mut self, entry: &Entry) {
        self.fate = Some(TimerFate::Dispatched);
        self.dispatched_at = Some(entry.recorded_at);
        let late_us = self.due.map(|due| entry.recorded_at.as_micros() - due.as_micros());
        let matters = |absence: &&Absence| self.due.is_some_and(|due| absence.until > due);
        let absences = self.absences.iter().filter(matters).copied().collect();
        self.push(entry, TimerStepBody::Dispatched { late_us, absences });
    }

    fn took_us(&self, entry: &Entry) -> Option<i64> {
        self.dispatched_at.map(|dispatched_at| entry.recorded_at.as_micros() - dispatched_at.as_micros())
    }

    /// Before an entry about the run: a note if something about it was not read since it was armed.
    fn go_on(&mut self, entry: &Entry) {
        let missing = entry.previous.filter(|previous| Some(*previous) > self.last);
        if let Some(up_to) = missing.filter(|_| self.fate.is_some()) {
            self.steps.push(TimerStep {
                position: entry.position,
                recorded_at: entry.recorded_at,
                actor: None,
                body: TimerStepBody::Missing { up_to },
            });
        }
        self.last = Some(entry.position);
    }
}

impl Projection for TimerStory {
    const NAME: &'static str = "timer-story";
    const VERSION: u32 = 1;

    fn apply(&mut self, entry: &Entry) {
        if entry.position <= self.position {
            return;
        }
        self.position = entry.position;
        if let EntryBody::System(fact) = &entry.body {
            self.system(entry, fact);
        } else if entry.run() == Some(self.run) {
            self.go_on(entry);
            match &entry.body {
                EntryBody::Committed(committed) => self.committed(entry, committed),
                EntryBody::Refused(refused) => self.refused(entry, refused),
                EntryBody::System(_) => {}
            }
        }
        let closed = matches!(&entry.body, EntryBody::System(SystemFact::Closed(_)));
        self.before = Some((entry.position, entry.recorded_at, closed));
    }

    fn position(&self) -> Position {
        self.position
    }
}
