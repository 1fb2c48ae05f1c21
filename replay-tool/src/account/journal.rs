//! What the facts about the journal mean for a run.

use tachograph_engine::domain::{Entry, EntryBody, Position, Session, SystemFact, Timestamp};
use tachograph_projections::Absence;

use super::sentence::ClockMoved;

/// So many microseconds may the clocks of a machine differ before it is worth a word: clocks are disciplined all the time.
const CLOCK_MOVED_US_MIN: u64 = 1_000_000;

/// The journal while its entries go by.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The entry before: its position, its time, and whether it closed the journal.
    before: Option<(Position, Timestamp, bool)>,
    /// The last session that said what its clocks are, and where.
    session: Option<(Position, Session)>,
}

/// What a fact tells beside itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// Of an opening, whether the writer before had closed the journal.
    pub(super) was_closed: Option<bool>,
    /// Of an opening, the last entry before it and how long nobody was there.
    pub(super) absence: Option<(Position, Absence)>,
    /// That the clock was moved since the fact before.
    pub(super) moved: Option<ClockMoved>,
}

impl Journal {
    /// Takes in the next entry, whosoever it is. Of entries that were not given nothing is known.
    pub(super) fn see(&mut self, entry: &Entry) -> Beside {
        let beside = match &entry.body {
            EntryBody::System(SystemFact::Opened(session)) => {
                let before = self.before.filter(|(position, ..)| position.next() == entry.position);
                let absence = before.map(|(from, since, was_closed)| {
                    (from, Absence { since, until: entry.recorded_at, opened: entry.position, was_closed })
                });
                let was_closed = before.map(|(_, _, was_closed)| was_closed);
                Beside { was_closed, absence, moved: self.moved(entry, session) }
            }
            EntryBody::System(SystemFact::Closed(session)) => {
                Beside { moved: self.moved(entry, session), ..Beside::default() }
            }
            EntryBody::System(SystemFact::Recovered { .. }) | EntryBody::Committed(_) | EntryBody::Refused(_) => {
                Beside::default()
            }
        };
        let closed = matches!(&entry.body, EntryBody::System(SystemFact::Closed(_)));
        self.before = Some((entry.position, entry.recorded_at, closed));
        beside
    }

    /// How differently the two clocks of one machine went since the session before.
    fn moved(&mut self, entry: &Entry, session: &Session) -> Option<ClockMoved> {
        let before = self.session.replace((entry.position, session.clone()));
        let (from, before) = before?;
        let same = !session.boot_id.is_empty() && (&session.host, &session.boot_id) == (&before.host, &before.boot_id);
        let wall = session.wall.as_micros().saturating_sub(before.wall.as_micros());
        let monotonic = i128::from(session.monotonic_us) - i128::from(before.monotonic_us);
        // Under one boot the monotonic clock never goes back; where it seems to, the entries are no evidence.
        let further = i64::try_from(i128::from(wall) - monotonic).ok().filter(|_| same && monotonic >= 0)?;
        let moved = further.unsigned_abs() > CLOCK_MOVED_US_MIN;
        moved.then_some(ClockMoved { from, since: before.wall, until: session.wall, micros: further })
    }
}
