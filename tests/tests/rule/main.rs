//! Recorded commands under other rules, against plain models of those rules, over random walks that an engine recorded.
//!
//! | module | what belongs there |
//! | --- | --- |
//! | `model` | ledgers that lack a guard from the beginning, and what each makes of the commands |
//! | `guards` | one guard off: the same as the model |
//! | `commands` | commands dropped, moved, or all as they were |
//!
//! Every property is tried on `TACHO_CASES` walks from `TACHO_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

mod commands;
mod guards;
mod model;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use proptest::test_runner::TestCaseError;
use tachograph_engine::domain::{Command, Entry, EntryBody, RefusedCommand, RunId};
use tachograph_engine::shell::Engine;
use tachograph_replay::dataset::Dataset;
use tachograph_replay::rule::{Ending, Rules, WhatIf, what_if};
use tachograph_tests::Supervisor;
use tachograph_tests::cases::for_all;
use tachograph_tests::place::in_memory;
use tachograph_tests::walk::{Answer, Walk, walks};

const CASES: u32 = 60;
const STEPS: usize = 80;

/// Whether anything came out otherwise than recorded: a property that nothing is put to holds over nothing.
type Checked = Result<bool, TestCaseError>;

/// A journal that an engine wrote.
struct Journal {
    engine: Engine,
    entries: Vec<Entry>,
}

impl Journal {
    async fn of(walk: &Walk, expecting: Expecting) -> Self {
        let engine = in_memory(0).await;
        let supervisor = Supervisor::of(&engine);
        for step in &walk.steps {
            // Whether an engine still knows a first answer depends on more than a walk follows.
            if !matches!(step.answer, Answer::Duplicate(_)) {
                let expected = step.command.expected.filter(|_| expecting == Expecting::Versions);
                supervisor.submit(Command { expected, ..step.command.clone() }).await;
            }
        }
        let entries = supervisor.entries().await;
        Self { engine, entries }
    }

    /// What was recorded as a command, with its content, in order.
    fn commands(&self) -> impl Iterator<Item = (&Entry, &Command)> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            EntryBody::Committed(committed) => Some((entry, &committed.command)),
            EntryBody::Refused(refused) => match &refused.command {
                RefusedCommand::Whole(command) => Some((entry, &**command)),
                RefusedCommand::OutOfBounds { .. } => None,
            },
            EntryBody::System(_) => None,
        })
    }

    async fn what_if(&self, rules: Rules) -> WhatIf {
        let dataset = Dataset::over(self.engine.reader().clone(), Path::new("a walk"));
        what_if(&dataset, rules).await.unwrap()
    }

    /// How every run ends up: as recorded, but for those that come out otherwise.
    async fn endings(&self, rules: Rules) -> BTreeMap<RunId, Ending> {
        let mut endings = model::recorded(&self.entries);
        for flip in self.what_if(rules).await.flips {
            endings.insert(flip.run, flip.would_be);
        }
        endings.retain(|_, ending| ending.status.is_some());
        endings
    }
}

/// What the commands of a walk expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expecting {
    /// Nothing: the models know no timekeeper, whose dispatches count as versions.
    Nothing,
    /// What the walk says.
    Versions,
}

#[track_caller]
fn for_all_journals(expecting: Expecting, property: impl AsyncFn(&Journal) -> Checked) {
    let met = Cell::new(0);
    for_all(CASES, &walks(STEPS), |walk| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let is_otherwise = runtime.block_on(async { property(&Journal::of(&walk, expecting).await).await })?;
        met.set(met.get() + u64::from(is_otherwise));
        Ok(())
    });
    assert!(met.get() > 0, "no walk came out otherwise: the property would hold over nothing");
}
