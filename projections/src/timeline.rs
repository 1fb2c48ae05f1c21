//! One run's history.

use tachograph_engine::domain::{
    ActionName, Actor, CommandId, Committed, Entry, EntryBody, Event, Position, Refusal, RunId, RunRecord, RunState,
    SystemFact, Timestamp, Version, evolve,
};

use crate::projection::Projection;

/// One run's history: its events with their causes, the refused commands beside them, and the facts about the journal
/// that fall within it.
///
/// Fed with all entries of a journal, it also shows what happened to the writer meanwhile: every
/// opening, recovery and close while the run was open, and those after its end that something else about the run still
/// follows. Fed with the run's own entries alone, as found through their back pointers, it shows those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    run: RunId,
    position: Position,
    items: Vec<Item>,
    /// System facts while the run was not open: part of its history only if it goes on.
    trailing: Vec<Item>,
    /// The last entry about the run.
    last: Option<Position>,
    state: RunState,
}

/// One thing that happened. Several events of one command are items of their own, at the same position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Position of its entry.
    pub position: Position,
    /// When it was recorded, by the writer's wall clock.
    pub recorded_at: Timestamp,
    /// Microseconds since the item before, by that clock; negative if the clock stepped back. Absent for the first.
    pub delta_us: Option<i64>,
    /// What happened.
    pub body: ItemBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemBody {
    /// An event of the run.
    Event {
        /// What happened.
        event: Event,
        /// The run's version after it.
        version: Version,
        /// Whether the state changed by it. It always does, unless the history is damaged or incomplete.
        applied: bool,
        /// The command that led to it.
        cause: Cause,
    },
    /// A command to the run was refused.
    Refused {
        /// Why.
        refusal: Refusal,
        /// How often this actor had been refused like this by then. More than one above the count before it means
        /// that the refusals between were counted, not recorded.
        count: u64,
        /// The command that was refused.
        cause: Cause,
    },
    /// A fact about the journal and its writer.
    System(SystemFact),
    /// Entries about the run lie before the next item and were not read: its back pointer names a later entry than
    /// the last that was. A damaged stretch was skipped, or the entries were picked by hand.
    Missing {
        /// The last of those entries.
        up_to: Position,
    },
}

/// Which command it was, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Its id.
    pub command: CommandId,
    /// What it asked or observed.
    pub action: ActionName,
    /// Who issued it.
    pub actor: Actor,
    /// When, by the issuer's own clock.
    pub issued_at: Timestamp,
}

/// A stretch of time in which nothing was recorded about the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Position of the item before it.
    pub after: Position,
    /// Position of the item after it.
    pub before: Position,
    /// How long it was, in microseconds of the writer's wall clock.
    pub micros: i64,
}

impl ItemBody {
    /// Stable name of what happened: that of the event, or `Refused`, `Opened`, `Recovered`, `Closed`, `Missing`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event { event, .. } => event.name().name(),
            Self::Refused { .. } => "Refused",
            Self::System(SystemFact::Opened(_)) => "Opened",
            Self::System(SystemFact::Recovered { .. }) => "Recovered",
            Self::System(SystemFact::Closed(_)) => "Closed",
            Self::Missing { .. } => "Missing",
        }
    }

    /// The command behind it, if one is.
    pub const fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Event { cause, .. } | Self::Refused { cause, .. } => Some(cause),
            Self::System(_) | Self::Missing { .. } => None,
        }
    }
}

impl Timeline {
    /// The timeline of a run before its first entry.
    pub fn of(run: RunId) -> Self {
        Self {
            run,
            position: Position::ZERO,
            items: Vec::new(),
            trailing: Vec::new(),
            last: None,
            state: RunState::Unknown,
        }
    }

    /// The timeline of what happened to a run after it was like this: of one whose earlier entries are known to be elsewhere.
    pub fn continuing(base: &RunRecord) -> Self {
        let state = RunState::Known(Box::new(base.run.clone()));
        Self { state, last: Some(base.last), ..Self::of(base.run.id) }
    }

    /// Which run's it is.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// What happened, in the order of positions.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The run's state after the last item.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The stretches of at least this many milliseconds in which nothing was recorded, in their order.
    pub fn silences(&self, millis_min: u64) -> impl Iterator<Item = Silence> {
        let micros_min = i64::try_from(millis_min.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.items.windows(2).filter_map(move |pair| match pair {
            [before, after] => {
                let micros = after.delta_us.filter(|micros| *micros > 0 && *micros >= micros_min)?;
                Some(Silence { after: before.position, before: after.position, micros })
            }
            _ => None,
        })
    }

    fn committed(&mut self, entry: &Entry, committed: &Committed) {
        let command = &committed.command;
        let cause = Cause {
            command: command.id,
            action: command.action.name(),
            actor: command.actor.clone(),
            issued_at: command.issued_at,
        };
        // The entry carries the version after its last event.
        let first = committed.version.0.saturating_sub(committed.events.len() as u64);
        for (event, nth) in committed.events.iter().zip(1..) {
            let applied = event.may_follow(&self.state);
            self.state = evolve(std::mem::take(&mut self.state), event);
            let version = Version(first.saturating_add(nth));
            let body = ItemBody::Event { event: event.clone(), version, applied, cause: cause.clone() };
            self.place(item(entry, body));
        }
    }

    fn system(&mut self, entry: &Entry, fact: &SystemFact) {
        let item = item(entry, ItemBody::System(fact.clone()));
        if self.state.run().is_some_and(|run| !run.is_ended()) {
            self.place(item);
        } else if self.last.is_some() {
            self.trailing.push(item);
        }
    }

    /// Before an item about the run: what was held back, and a note if something between was not read.
    fn go_on(&mut self, entry: &Entry) {
        for held in std::mem::take(&mut self.trailing) {
            self.place(held);
        }
        if let Some(up_to) = entry.previous.filter(|previous| Some(*previous) > self.last) {
            self.place(item(entry, ItemBody::Missing { up_to }));
        }
        self.last = Some(entry.position);
    }

    fn place(&mut self, item: Item) {
        let delta_us = self.items.last().map(|last| item.recorded_at.as_micros() - last.recorded_at.as_micros());
        self.items.push(Item { delta_us, ..item });
    }
}

fn item(entry: &Entry, body: ItemBody) -> Item {
    Item { position: entry.position, recorded_at: entry.recorded_at, delta_us: None, body }
}

impl Projection for Timeline {
    const NAME: &'static str = "timeline";
    const VERSION: u32 = 1;

    fn apply(&mut self, entry: &Entry) {
        if entry.position <= self.position {
            return;
        }
        self.position = entry.position;
        if let EntryBody::System(fact) = &entry.body {
            return self.system(entry, fact);
        }
        if entry.run() != Some(self.run) {
            return;
        }
        self.go_on(entry);
        match &entry.body {
            EntryBody::Committed(committed) => self.committed(entry, committed),
            EntryBody::Refused(refused) => {
                let command = &refused.command;
                let cause = Cause {
                    command: command.id(),
                    action: command.action(),
                    actor: command.actor().clone(),
                    issued_at: command.issued_at(),
                };
                let body = ItemBody::Refused { refusal: refused.refusal.clone(), count: refused.count, cause };
                self.place(item(entry, body));
            }
            EntryBody::System(_) => {}
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}
