//! Whether entries are a history that the engine could have written: back pointers, versions, order of events.

use std::collections::HashMap;

use tachograph_engine::domain::{Committed, Entry, EntryBody, Position, RunId, RunRecord, StatusName, Version};
use tachograph_engine::ports::RunHead;

/// What is known about each run after the entries so far; a few dozen bytes per run.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    seen: HashMap<RunId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    status: StatusName,
    version: Version,
    last: Position,
}

impl Runs {
    /// The end of a run so far.
    pub(crate) fn head(&self, run: RunId) -> Option<RunHead> {
        self.seen.get(&run).map(|seen| RunHead { version: seen.version, last: seen.last })
    }

    /// Begins with a run as it was before the first entry.
    pub(crate) fn begin(&mut self, record: &RunRecord) {
        let seen = Seen { status: record.run.status.name(), version: record.run.version, last: record.last };
        self.seen.insert(record.run.id, seen);
    }

    /// Takes in the next entry.
    ///
    /// # Errors
    ///
    /// What about it does not follow from the entries before. It is taken in all the same, as far as that makes sense.
    pub(crate) fn observe(&mut self, entry: &Entry) -> Result<(), String> {
        let before = entry.run().and_then(|run| self.seen.get(&run).copied());
        let pointer = check_pointer(entry, before);
        let order = match &entry.body {
            EntryBody::Committed(committed) => self.commit(entry.position, committed, before),
            EntryBody::Refused(refused) => {
                if let Some(seen) = self.seen.get_mut(&refused.command.run()) {
                    seen.last = entry.position;
                }
                Ok(())
            }
            EntryBody::System(_) => Ok(()),
        };
        pointer.and(order)
    }

    fn commit(&mut self, position: Position, committed: &Committed, before: Option<Seen>) -> Result<(), String> {
        let Committed { command, version, events } = committed;
        let start = before.map_or(Version::ZERO, |seen| seen.version);
        let mut status = before.map(|seen| seen.status);
        let mut order = Ok(());
        for event in events {
            let follows = match status {
                None => event.leads_to() == Some(StatusName::Created),
                Some(status) => event.name().follows().contains(&status),
            };
            if !follows && order.is_ok() {
                let found = status.map_or("nothing", StatusName::name);
                order = Err(format!("{} of run {} cannot follow {found}", event.name().name(), command.run));
            }
            status = event.leads_to().or(status);
        }
        if let Some(status) = status {
            self.seen.insert(command.run, Seen { status, version: *version, last: position });
        }
        if start.0.checked_add(events.len() as u64) != Some(version.0) {
            let count = events.len();
            return Err(format!(
                "run {} is at version {version} after {count} events from version {start}",
                command.run
            ));
        }
        order
    }
}

fn check_pointer(entry: &Entry, before: Option<Seen>) -> Result<(), String> {
    let expected = before.map(|seen| seen.last);
    if entry.previous == expected {
        return Ok(());
    }
    let shown =
        |position: Option<Position>| position.map_or("nothing".to_owned(), |position| format!("entry {position}"));
    Err(format!(
        "its back pointer says {}, and the run's entry before it is {}",
        shown(entry.previous),
        shown(expected)
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tachograph_engine::domain::testing::{command, ids, spec};
    use tachograph_engine::domain::{Action, Event, Timestamp};

    use super::*;

    fn created(position: u64, previous: Option<u64>, version: u64) -> Entry {
        let (run, spec) = (ids::run(1), Arc::new(spec("build")));
        let body = EntryBody::Committed(Committed {
            command: command(run, Action::Create { spec: spec.clone() }),
            version: Version(version),
            events: vec![Event::Created { run, spec }],
        });
        let recorded_at = Timestamp::from_micros(0);
        Entry {
            id: ids::entry(position),
            position: Position(position),
            recorded_at,
            previous: previous.map(Position),
            body,
        }
    }

    #[test]
    fn a_first_entry_is_in_order() {
        assert_eq!(Runs::default().observe(&created(5, None, 1)), Ok(()));
    }

    #[test]
    fn a_wrong_pointer_version_or_event_is_named() {
        let pointer = Runs::default().observe(&created(5, Some(4), 1)).unwrap_err();
        assert!(pointer.contains("back pointer says entry 4"), "{pointer}");
        let version = Runs::default().observe(&created(5, None, 2)).unwrap_err();
        assert!(version.contains("version 2 after 1 events"), "{version}");
        let mut runs = Runs::default();
        runs.observe(&created(5, None, 1)).unwrap();
        let again = runs.observe(&created(6, Some(5), 2)).unwrap_err();
        assert!(again.contains("cannot follow Created"), "{again}");
    }
}
