//! A run with the times and positions of its entries: the read model of one run.

use super::entry::{Entry, EntryBody};
use super::state::{Run, RunState};
use super::{Position, Timestamp, Version, evolve};

/// A run's state with the times and positions that its entries add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its state.
    pub run: Run,
    /// When `Created` was recorded.
    pub created_at: Timestamp,
    /// When the last event was recorded.
    pub updated_at: Timestamp,
    /// Position of the entry that created it.
    pub created: Position,
    /// Position of the last entry with events.
    pub updated: Position,
    /// Position of the last entry about it, refusals included: where reading its history backwards begins.
    pub last: Position,
    /// Where and as which version the current attempt's end was recorded; absent while it is open.
    pub ended: Option<(Position, Version)>,
    /// Refused commands that were recorded about it.
    pub refusals: u64,
}

impl RunRecord {
    /// The record after one more entry about this run; absent as long as the run is not created.
    ///
    /// Entries about other runs must not be passed; system facts change nothing.
    #[must_use]
    pub fn fold(record: Option<Self>, entry: &Entry) -> Option<Self> {
        match (&entry.body, record) {
            (EntryBody::Committed(committed), record) => Self::advance(record, entry, &committed.events),
            (EntryBody::Refused(_), Some(record)) => {
                Some(Self { last: entry.position, refusals: record.refusals + 1, ..record })
            }
            (EntryBody::Refused(_) | EntryBody::System(_), record) => record,
        }
    }

    fn advance(record: Option<Self>, entry: &Entry, events: &[super::Event]) -> Option<Self> {
        let (state, before) = match record {
            Some(record) => {
                let Self { run, created_at, created, ended, refusals, .. } = record;
                (RunState::Known(Box::new(run)), Some((created_at, created, ended, refusals)))
            }
            None => (RunState::Unknown, None),
        };
        let was_ended = state.run().is_some_and(Run::is_ended);
        let RunState::Known(run) = events.iter().fold(state, evolve) else { return None };
        let (created_at, created, ended, refusals) = before.unwrap_or((entry.recorded_at, entry.position, None, 0));
        let ended = match (was_ended, run.is_ended()) {
            (_, false) => None,
            (false, true) => Some((entry.position, run.version)),
            (true, true) => ended,
        };
        Some(Self {
            run: *run,
            created_at,
            updated_at: entry.recorded_at,
            created,
            updated: entry.position,
            last: entry.position,
            ended,
            refusals,
        })
    }
}
