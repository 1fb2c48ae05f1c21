//! Placeholder until the index lands.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tachograph_engine::domain::{CommandId, Digest, Entry, EntryBody, Event, Position, RunId};
use tachograph_engine::ports::{JournalError, RunHead};

#[derive(Debug, Default)]
pub(super) struct Catalog(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    heads: HashMap<RunId, RunHead>,
    answered: HashMap<(RunId, CommandId), Position>,
    names: HashMap<String, RunId>,
    own: HashMap<RunId, String>,
}

impl Catalog {
    pub(super) fn in_memory() -> Self {
        Self::default()
    }
    pub(super) fn observe(&self, entries: &[Entry], _: Digest) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().for_each(|entry| inner.observe(entry));
    }
    pub(super) fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.get(&run).copied())
    }
    pub(super) fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).answered.get(&(run, command)).copied())
    }
    pub(super) fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).names.get(name).copied())
    }
    pub(super) fn close(&self) {}
}

impl Inner {
    fn observe(&mut self, entry: &Entry) {
        if let (Some(run), Some(command)) = (entry.run(), entry.command_id()) {
            self.answered.entry((run, command)).or_insert(entry.position);
        }
        match &entry.body {
            EntryBody::Committed(committed) => {
                let run = committed.command.run;
                self.heads.insert(run, RunHead { version: committed.version, last: entry.position });
                for event in &committed.events {
                    match event {
                        Event::Created { spec, .. } => {
                            if let Some(name) = &spec.name {
                                self.own.insert(run, name.clone());
                                self.names.insert(name.clone(), run);
                            }
                        }
                        Event::Started { .. } => {
                            if let Some(name) = self.own.get(&run) {
                                self.names.insert(name.clone(), run);
                            }
                        }
                        _ => {}
                    }
                }
            }
            EntryBody::Refused(refused) => {
                if let Some(head) = self.heads.get_mut(&refused.command.run()) {
                    head.last = entry.position;
                }
            }
            EntryBody::System(_) => {}
        }
    }
}
