//! What is looked for.

use std::collections::HashSet;

use tachograph_engine::domain::{Entry, EntryBody, Event, EventName, RunId, RunRecord, RunSpec, SystemFact, Timestamp};

use super::line;
use super::machine::{Direction, Machine};
use crate::words;

/// A kind of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command that was refused.
    Refused,
    /// An entry with an event of this name.
    Event(EventName),
    /// A writer opened the journal.
    Opened,
    /// A writer found that the one before did not close it.
    Recovered,
    /// A writer closed it.
    Closed,
}

impl Kind {
    /// All of them, in the order of the list that people choose from.
    pub const ALL: [Self; 18] = [
        Self::Refused,
        Self::Event(EventName::Created),
        Self::Event(EventName::Started),
        Self::Event(EventName::Waiting),
        Self::Event(EventName::Exited),
        Self::Event(EventName::Failed),
        Self::Event(EventName::Destroyed),
        Self::Event(EventName::SnapshotScheduled),
        Self::Event(EventName::SnapshotCanceled),
        Self::Event(EventName::SnapshotDispatched),
        Self::Event(EventName::SnapshotTaken),
        Self::Event(EventName::SnapshotFailed),
        Self::Event(EventName::RunnerDisconnected),
        Self::Event(EventName::ExitAmended),
        Self::Event(EventName::Reconciled),
        Self::Opened,
        Self::Recovered,
        Self::Closed,
    ];

    /// Its name, that of the event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "Refused",
            Self::Event(name) => name.name(),
            Self::Opened => "Opened",
            Self::Recovered => "Recovered",
            Self::Closed => "Closed",
        }
    }

    /// Whether an entry is of this kind.
    pub fn fits(self, entry: &Entry) -> bool {
        match &entry.body {
            EntryBody::Refused(_) => self == Self::Refused,
            EntryBody::Committed(committed) => committed.events.iter().any(|event| Self::Event(event.name()) == self),
            EntryBody::System(SystemFact::Opened(_)) => self == Self::Opened,
            EntryBody::System(SystemFact::Recovered { .. }) => self == Self::Recovered,
            EntryBody::System(SystemFact::Closed(_)) => self == Self::Closed,
        }
    }
}

/// Which entry is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One of a kind.
    Kind(Kind),
    /// One with this text: in the name, id or labels of its run, or in what it says.
    Text(String),
    /// One so far away in time: forward the first that was recorded then or later, backward the last then or before.
    Time(Timestamp),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind(kind) => f.write_str(kind.name()),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

/// Looks at entries, one after the other, on the way from a cursor in a direction.
pub(crate) struct Sieve<'a> {
    wanted: &'a Wanted,
    direction: Direction,
    needle: Needle,
    /// The runs that fit by what they are; those that are created on the way are added.
    runs: HashSet<RunId>,
}

impl<'a> Sieve<'a> {
    pub(crate) fn of(wanted: &'a Wanted, direction: Direction, machine: &Machine) -> Self {
        let needle = Needle::of(match wanted {
            Wanted::Text(text) => text,
            Wanted::Kind(_) | Wanted::Time(_) => "",
        });
        let fitting = machine.runs().filter(|record| needle.is_in_run(record.run.id, &record.run.spec));
        // Whoever was created earlier than the cursor is known there, so that going back adds none.
        let runs = if needle.is_empty() { HashSet::new() } else { fitting.map(|record| record.run.id).collect() };
        Self { wanted, direction, needle, runs }
    }

    pub(crate) fn fits(&mut self, entry: &Entry) -> bool {
        match self.wanted {
            Wanted::Kind(kind) => kind.fits(entry),
            Wanted::Time(time) => match self.direction {
                Direction::Forward => entry.recorded_at >= *time,
                Direction::Backward => entry.recorded_at <= *time,
            },
            Wanted::Text(_) => self.has_text(entry),
        }
    }

    fn has_text(&mut self, entry: &Entry) -> bool {
        for event in entry.events() {
            if let Event::Created { run, spec } = event
                && self.needle.is_in_run(*run, spec)
            {
                self.runs.insert(*run);
            }
        }
        let about = entry.run();
        about.is_some_and(|run| self.runs.contains(&run) || self.needle.begins(run))
            || self.needle.is_in(&line::who(entry))
            || self.needle.is_in(&line::what(entry))
    }
}

/// A text that is looked for, upper and lower case alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    lower: String,
    upper: String,
}

impl Needle {
    pub(crate) fn of(text: &str) -> Self {
        Self { lower: text.to_lowercase(), upper: text.to_ascii_uppercase() }
    }

    fn is_empty(&self) -> bool {
        self.lower.is_empty()
    }

    /// Whether a run fits by its id, name, labels or command.
    pub(crate) fn is_in_record(&self, record: &RunRecord) -> bool {
        self.is_in_run(record.run.id, &record.run.spec) || self.is_in(&words::workload(&record.run.spec.workload))
    }

    fn is_in_run(&self, run: RunId, spec: &RunSpec) -> bool {
        let label = |(key, value): (&String, &String)| self.is_in(&format!("{key}={value}"));
        spec.name.as_deref().is_some_and(|name| self.is_in(name)) || spec.labels.iter().any(label) || self.begins(run)
    }

    /// Whether it is the beginning of a run id; one or two characters are that of nearly all.
    fn begins(&self, run: RunId) -> bool {
        self.upper.len() >= crate::search::PREFIX_CHARS_MIN && run.to_string().starts_with(&self.upper)
    }

    fn is_in(&self, text: &str) -> bool {
        !self.is_empty() && text.to_lowercase().contains(&self.lower)
    }
}
