//! A journal to compare a catalog with.

use std::collections::HashMap;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Digest, Entry, Event, Position};
use tachograph_engine::ports::Draft;

use super::super::Catalog;
use crate::contract::{Model, Scribe};

const NAMES: [&str; 3] = ["build", "test", "deploy"];

/// A journal in a list, with the answers found the slow way.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pub(super) entries: Vec<Entry>,
    /// Ends of batches, with their hashes.
    pub(super) ends: Vec<(Position, Digest)>,
    pub(super) model: Model,
}

impl Reference {
    pub(super) fn append(&mut self, drafts: Vec<Draft>) {
        for draft in drafts {
            let position = Position(self.entries.len() as u64 + 1);
            let Draft { id, recorded_at, body } = draft;
            let mut entry = Entry { id, position, recorded_at, previous: None, body };
            self.model.add(&entry);
            entry.previous = self.model.previous.last().copied().flatten();
            self.entries.push(entry);
        }
        let digest = blake3::hash(format!("{:?} {:?}", self.ends.last(), self.entries).as_bytes());
        self.ends.push((Position(self.entries.len() as u64), Digest(*digest.as_bytes())));
    }

    /// The journal as it was after so many batches.
    pub(super) fn cut(&self, batches: usize) -> Self {
        let entries = self.entries[..self.ends[batches - 1].0.0 as usize].to_vec();
        Self { model: Model::of(&entries), entries, ends: self.ends[..batches].to_vec() }
    }

    pub(super) fn digest_at(&self, position: Position) -> Option<Digest> {
        self.ends.iter().find(|(end, _)| *end == position).map(|(_, digest)| *digest)
    }

    /// Feeds batch by batch, those that end after a position.
    pub(super) fn feed(&self, catalog: &Catalog, after: Position) {
        let mut begin = 0;
        for (end, digest) in &self.ends {
            let batch = &self.entries[begin..end.0 as usize];
            begin = end.0 as usize;
            if *end > after {
                catalog.observe(batch, *digest);
            }
        }
    }

    #[track_caller]
    pub(super) fn check(&self, catalog: &Catalog, runs: u64) {
        for run in (0..=runs).map(ids::run) {
            assert_eq!(catalog.run_head(run).unwrap(), self.model.heads.get(&run).copied(), "head of {run}");
            assert_eq!(catalog.answered(run, ids::command(u64::MAX)).unwrap(), None);
        }
        for ((run, command), position) in &self.model.answers {
            assert_eq!(catalog.answered(*run, *command).unwrap(), Some(*position), "{run} {command}");
        }
        for name in NAMES {
            assert_eq!(catalog.named(name).unwrap(), self.model.names.get(name).copied(), "{name}");
        }
        assert_eq!(catalog.open_runs(), self.open_runs());
    }

    /// The same for a catalog that may have lost some answers, but must not give wrong ones.
    #[track_caller]
    pub(super) fn check_known(&self, catalog: &Catalog, runs: u64) {
        for run in (0..=runs).map(ids::run) {
            if let Ok(head) = catalog.run_head(run) {
                assert_eq!(head, self.model.heads.get(&run).copied(), "head of {run}");
            }
        }
        for ((run, command), position) in &self.model.answers {
            if let Ok(found) = catalog.answered(*run, *command) {
                assert_eq!(found, Some(*position), "{run} {command}");
            }
        }
        for name in NAMES {
            if let Ok(found) = catalog.named(name) {
                assert_eq!(found, self.model.names.get(name).copied(), "{name}");
            }
        }
    }

    pub(super) fn open_runs(&self) -> usize {
        let mut statuses = HashMap::new();
        for entry in &self.entries {
            for status in entry.events().iter().filter_map(Event::leads_to) {
                statuses.insert(entry.run(), status);
            }
        }
        statuses.values().filter(|status| !status.is_ended()).count()
    }
}

/// One thing that happens to a run.
pub(super) fn act(scribe: &mut Scribe, what: u8, number: u64) -> Option<Draft> {
    let run = ids::run(number);
    let command = match what {
        0 => Scribe::create(run, None),
        1 => Scribe::create(run, Some(NAMES[number as usize % NAMES.len()])),
        2..=4 => scribe.start(run, if what == 4 { "other" } else { "runner" }),
        5 => scribe.wait(run),
        6 | 7 => scribe.exit(run, i32::from(what)),
        8 => scribe.fail(run, "no such place"),
        9 => scribe.reconcile(run),
        _ => Scribe::destroy(run),
    };
    scribe.draft(command)
}
