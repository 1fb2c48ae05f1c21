//! Whether a journal was made of a foreign history.
//!
//! Such a journal's ids are hashes of what they name, so that the same input gives the same journal. Whoever has them can
//! try guesses of a value that was left out, whatever salts there are.

use tachograph_engine::domain::{Entry, EntryBody, Event, RunRecord, SystemFact};

use super::redaction::MARKER;

/// What the host of an import's session begins with.
const HOST: &str = "import of ";
/// A label of every run of an import.
const LABEL: &str = "import.source";

/// What entries say of it.
#[derive(Debug, Default)]
pub(super) struct ImportedHistory {
    host: Option<String>,
    /// Hosts were left out before; the labels' keys were not.
    hidden_host: Option<String>,
    is_labeled: bool,
    /// What the label of an archived run says: the session of its import is archived too.
    archived: Option<String>,
}

impl ImportedHistory {
    pub(super) fn see(&mut self, entry: &Entry) {
        match &entry.body {
            EntryBody::System(SystemFact::Opened(session) | SystemFact::Closed(session)) => {
                if session.host.starts_with(HOST) {
                    self.host.get_or_insert_with(|| session.host.clone());
                } else if session.host.starts_with(MARKER) {
                    self.hidden_host.get_or_insert_with(|| session.host.clone());
                }
            }
            EntryBody::Committed(committed) => {
                self.is_labeled |= committed.events.iter().any(|event| match event {
                    Event::Created { spec, .. } => spec.labels.contains_key(LABEL),
                    _ => false,
                });
            }
            EntryBody::System(SystemFact::Recovered { .. }) | EntryBody::Refused(_) => {}
        }
    }

    /// The same of an archived run, as the stub has it.
    pub(super) fn see_archived(&mut self, record: &RunRecord) {
        if let Some(source) = record.run.spec.labels.get(LABEL) {
            self.is_labeled = true;
            self.archived.get_or_insert_with(|| format!("{HOST}{source}"));
        }
    }

    /// The host of the import, if the journal is of one.
    pub(super) fn host(self) -> Option<String> {
        self.host.or(self.hidden_host.filter(|_| self.is_labeled)).or(self.archived)
    }
}
