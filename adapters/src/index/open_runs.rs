//! Runs that have not ended: what memory is bounded by.

use std::collections::HashMap;

use tachograph_engine::domain::{CommandId, Entry, EntryBody, Event, Position, RunId, Version};
use tachograph_engine::ports::RunHead;

use super::row::Answers;

/// A run that has not ended.
#[derive(Debug, Clone)]
pub(super) struct OpenRun {
    pub(super) head: RunHead,
    pub(super) name: Option<String>,
    pub(super) answers: Answers,
    /// Whether the store has a row of it, from before it was created or from an end before.
    pub(super) older: bool,
    /// Whether some of its commands have rows of their own.
    pub(super) spilled: bool,
}

impl OpenRun {
    /// A run without history, known to the store or not.
    pub(super) fn begin(name: Option<String>, older: bool, spilled: bool) -> Self {
        let head = RunHead { version: Version::ZERO, last: Position::ZERO };
        Self { head, name, answers: Answers::default(), older, spilled }
    }

    /// Takes in one more entry and returns the commands that there is no more room for.
    pub(super) fn extend(&mut self, entry: &Entry, command: CommandId) -> Vec<(Position, CommandId)> {
        self.head.last = entry.position;
        if let EntryBody::Committed(committed) = &entry.body {
            self.head.version = committed.version;
        }
        self.answers.add(command, entry.position);
        let spilled = self.answers.spill();
        self.spilled |= !spilled.is_empty();
        spilled
    }
}

/// Ids are looked up several times per command, so their hash should cost little; it is seeded all the same.
type FastHash = foldhash::fast::RandomState;

/// All of them, and the names that they hold.
#[derive(Debug, Default)]
pub(super) struct OpenRuns {
    pub(super) runs: HashMap<RunId, OpenRun, FastHash>,
    pub(super) names: HashMap<String, RunId, FastHash>,
}

impl OpenRuns {
    /// Forgets a run, and its name if no other run took it since.
    pub(super) fn remove(&mut self, run: RunId) {
        if let Some(OpenRun { name: Some(name), .. }) = self.runs.remove(&run)
            && self.names.get(&name) == Some(&run)
        {
            self.names.remove(&name);
        }
    }
}

/// What an entry means for the place where its run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The run is open from here on.
    Opens,
    /// The run has ended.
    Ends,
    /// It stays as it was.
    Stays,
}

impl Turn {
    pub(super) fn of(entry: &Entry) -> Self {
        match entry.events().iter().rev().find_map(Event::leads_to) {
            Some(status) if status.is_ended() => Self::Ends,
            Some(_) => Self::Opens,
            None => Self::Stays,
        }
    }
}

/// The name that a run is created with.
pub(super) fn created_name(entry: &Entry) -> Option<&str> {
    entry.events().iter().find_map(|event| match event {
        Event::Created { spec, .. } => spec.name.as_deref(),
        _ => None,
    })
}

/// Whether the run takes its name with this entry: so does every creation and every start.
pub(super) fn takes_name(entry: &Entry) -> bool {
    entry.events().iter().any(|event| matches!(event, Event::Created { .. } | Event::Started { .. }))
}
