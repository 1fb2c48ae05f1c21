//! What the entries themselves say, found the slow way.

use std::collections::HashMap;

use tachograph_engine::domain::{CommandId, Entry, EntryBody, Event, Position, RunId};
use tachograph_engine::ports::RunHead;

/// The answers of a reader, worked out from all entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    /// The end of every run that was created.
    pub heads: HashMap<RunId, RunHead>,
    /// Where every command was answered first.
    pub answers: HashMap<(RunId, CommandId), Position>,
    /// The run that took a name last.
    pub names: HashMap<String, RunId>,
    /// Positions of the entries about every run that was created, from its creation on.
    pub histories: HashMap<RunId, Vec<Position>>,
    /// Back pointers, in the order of the entries.
    pub previous: Vec<Option<Position>>,
    created: HashMap<RunId, Option<String>>,
}

impl Model {
    /// What these entries say; they must be all, from the first one.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut model = Self::default();
        entries.into_iter().for_each(|entry| model.add(entry));
        model
    }

    /// One more entry.
    pub fn add(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else {
            self.previous.push(None);
            return;
        };
        if let Some(command) = entry.command_id() {
            self.answers.entry((run, command)).or_insert(entry.position);
        }
        let before = self.heads.get(&run).copied();
        self.previous.push(before.map(|head| head.last));
        let version = match &entry.body {
            EntryBody::Committed(committed) => Some(committed.version),
            EntryBody::Refused(_) | EntryBody::System(_) => before.map(|head| head.version),
        };
        if let Some(version) = version {
            self.heads.insert(run, RunHead { version, last: entry.position });
            self.histories.entry(run).or_default().push(entry.position);
        }
        entry.events().iter().for_each(|event| self.name(run, event));
    }

    fn name(&mut self, run: RunId, event: &Event) {
        if let Event::Created { spec, .. } = event {
            self.created.insert(run, spec.name.clone());
        }
        let takes = matches!(event, Event::Created { .. } | Event::Started { .. });
        if let (true, Some(Some(name))) = (takes, self.created.get(&run)) {
            self.names.insert(name.clone(), run);
        }
    }
}
