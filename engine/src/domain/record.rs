//! A run with the times and positions of its entries: the read model of one run.

use super::entry::{Entry, EntryBody};
use super::evolve::follow;
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
        match record {
            Some(mut record) => {
                record.advance(entry);
                Some(record)
            }
            None => Self::begun_by(entry),
        }
    }

    /// The record of the run that an entry creates; absent if it creates none.
    pub fn begun_by(entry: &Entry) -> Option<Self> {
        let RunState::Known(run) = entry.events().iter().fold(RunState::Unknown, evolve) else { return None };
        let ended = run.is_ended().then_some((entry.position, run.version));
        Some(Self {
            run: *run,
            created_at: entry.recorded_at,
            updated_at: entry.recorded_at,
            created: entry.position,
            updated: entry.position,
            last: entry.position,
            ended,
            refusals: 0,
        })
    }

    /// Folds one more entry about this run in, as [`fold`](Self::fold) does, in place.
    pub fn advance(&mut self, entry: &Entry) {
        match &entry.body {
            EntryBody::Committed(committed) => {
                let was_ended = self.run.is_ended();
                committed.events.iter().for_each(|event| follow(&mut self.run, event));
                self.ended = match (was_ended, self.run.is_ended()) {
                    (_, false) => None,
                    (false, true) => Some((entry.position, self.run.version)),
                    (true, true) => self.ended,
                };
                self.updated_at = entry.recorded_at;
                self.updated = entry.position;
                self.last = entry.position;
            }
            EntryBody::Refused(_) => {
                self.last = entry.position;
                self.refusals += 1;
            }
            EntryBody::System(_) => {}
        }
    }
}
