//! Who wrote a journal last, found among the facts about it.

use tachograph_engine::domain::{Actor, ActorKind, Entry, EntryBody, Position, Session, SystemFact};
use tachograph_engine::ports::JournalError;

use crate::dataset::Dataset;
use crate::machine::LastWriter;

/// Entries at the end among which the last opening is looked for first.
const WINDOW_ENTRIES: u64 = 16_384;

/// From one opening to the next.
struct Sitting {
    /// The opening; before the first entry if that could not be read.
    opened: Position,
    /// The last entry before the next opening.
    last: Position,
    session: Session,
    has_closed: bool,
}

impl Dataset {
    /// The last writer by a position that opened the journal to supervise; else the last one at all.
    ///
    /// Facts tell who it was. Of a writer that closed the journal some entries are read, too: one that did nothing but to
    /// obey an operator says nothing about whether anybody goes on with what is open.
    pub(crate) async fn last_writer_by(&self, end: Position) -> Result<Option<LastWriter>, JournalError> {
        let mut entries = WINDOW_ENTRIES;
        loop {
            // Past damage every look begins anew, so that there is only one.
            let start = if self.damage().is_some() { 0 } else { end.0.saturating_sub(entries) };
            let facts = self.reader().facts(Position(start), end).await?;
            let mut passing = None;
            for sitting in sittings(&facts, Position(start), end).into_iter().rev() {
                let Sitting { opened, last, session, has_closed } = sitting;
                let writer = LastWriter { session, has_closed };
                if !has_closed || !self.only_obeyed(opened, last).await? {
                    return Ok(Some(writer));
                }
                passing.get_or_insert(writer);
            }
            if start == 0 {
                return Ok(passing);
            }
            entries = entries.saturating_mul(4);
        }
    }

    /// Whether all that was done in between, and something was, is what an operator asked for.
    async fn only_obeyed(&self, opened: Position, last: Position) -> Result<bool, JournalError> {
        let (mut obeyed, mut did_more) = (false, false);
        self.visit(opened, last, |entry| {
            let actor: Option<&Actor> = match &entry.body {
                EntryBody::Committed(committed) => Some(&committed.command.actor),
                EntryBody::Refused(refused) => Some(refused.command.actor()),
                EntryBody::System(_) => None,
            };
            match actor.map(|actor| actor.kind) {
                Some(ActorKind::Operator) => obeyed = true,
                Some(ActorKind::Runner | ActorKind::Supervisor | ActorKind::Timer | ActorKind::Recovery) => {
                    did_more = true;
                }
                None => {}
            }
            !did_more
        })
        .await?;
        Ok(obeyed && !did_more)
    }
}

/// The sittings whose opening is among these facts; if all facts are given, also one whose opening could not be read.
fn sittings(facts: &[Entry], start: Position, end: Position) -> Vec<Sitting> {
    let mut sittings: Vec<Sitting> = Vec::new();
    for entry in facts {
        match &entry.body {
            EntryBody::System(SystemFact::Opened(session)) => {
                if let Some(before) = sittings.last_mut() {
                    before.last = Position(entry.position.0.saturating_sub(1));
                }
                let (opened, session) = (entry.position, session.clone());
                sittings.push(Sitting { opened, last: end, session, has_closed: false });
            }
            EntryBody::System(SystemFact::Closed(session)) => match sittings.last_mut() {
                Some(sitting) => {
                    sitting.session = session.clone();
                    sitting.has_closed = true;
                }
                None if start == Position::ZERO => {
                    let (opened, session) = (Position::ZERO, session.clone());
                    sittings.push(Sitting { opened, last: end, session, has_closed: true });
                }
                None => {}
            },
            EntryBody::System(SystemFact::Recovered { .. }) | EntryBody::Committed(_) | EntryBody::Refused(_) => {}
        }
    }
    sittings
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use tachograph_adapters::memory::MemoryStorage;
    use tachograph_engine::domain::testing::{command, ids, spec};
    use tachograph_engine::domain::{Action, Committed, Event, Timestamp, Version};
    use tachograph_engine::ports::{Draft, Journal};

    use super::*;
    use crate::machine::WriterSearch;

    fn body(what: u8, number: u64) -> EntryBody {
        let session = Session {
            host: "host".to_owned(),
            boot_id: String::new(),
            pid: u32::try_from(number).unwrap_or(0),
            version: "0.1.0".to_owned(),
            wall: Timestamp::from_micros(0),
            monotonic_us: 0,
        };
        match what {
            0 => EntryBody::System(SystemFact::Opened(session)),
            1 => EntryBody::System(SystemFact::Closed(session)),
            2 => EntryBody::System(SystemFact::Recovered { torn: None, missing_up_to: None, open_runs: 0 }),
            _ => {
                let (run, spec) = (ids::run(number), Arc::new(spec("build")));
                let kind = if what == 3 { ActorKind::Supervisor } else { ActorKind::Operator };
                let mut command = command(run, Action::Create { spec: spec.clone() });
                command.actor = Actor::new(kind, "a");
                EntryBody::Committed(Committed {
                    command,
                    version: Version(1),
                    events: vec![Event::Created { run, spec }],
                })
            }
        }
    }

    /// Always the same journals: `TACHO_CASES` is how many, `TACHO_SEED` the number that they are made from.
    fn cases() -> ProptestConfig {
        let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
        let cases = number("TACHO_CASES").map_or(200, |cases: u64| u32::try_from(cases).unwrap_or(u32::MAX));
        let rng_seed = RngSeed::Fixed(number("TACHO_SEED").unwrap_or(1));
        ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]

        /// Whoever looks at every entry finds the same one.
        #[test]
        fn the_last_writer_is_the_one_that_all_entries_tell(
            whats in prop::collection::vec(0..6_u8, 0..40),
            by in 0..45_u64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (found, wanted) = runtime.block_on(async {
                let storage = MemoryStorage::default();
                let mut journal = storage.open().unwrap();
                for (what, number) in whats.iter().zip(1..) {
                    let recorded_at = Timestamp::from_micros(0);
                    let draft = Draft { id: ids::entry(number), recorded_at, body: body(*what, number) };
                    journal.append(vec![draft]).await.unwrap();
                }
                let dataset = Dataset::over(storage.reader(), Path::new("made"));
                let mut search = WriterSearch::default();
                let see = |entry: Entry| {
                    search.see(&entry);
                    true
                };
                dataset.visit(Position::ZERO, Position(by), see).await.unwrap();
                (dataset.last_writer_by(Position(by)).await.unwrap(), search.found_or_any())
            });
            prop_assert_eq!(found, wanted, "{:?} by {}", whats, by);
        }
    }
}
