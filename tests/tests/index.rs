//! The writer's index may vanish, rot or be older than the journal between two runs: same answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

use tachograph_engine::domain::{Action, Command, EntryBody, FailureKind, RunId, RunRecord, StartMode};
use tachograph_engine::ports::RunHead;
use tachograph_engine::shell::CommandOutcome;
use tachograph_tests::place::copy;
use tachograph_tests::random::Numbers;
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

/// All that the index has a part in.
#[derive(Debug, PartialEq)]
struct Answers {
    runs: Vec<Option<RunRecord>>,
    heads: Vec<Option<RunHead>>,
    names: Vec<Option<RunId>>,
    retries: Vec<CommandOutcome>,
    histories: Vec<usize>,
}

/// What was asked for in the life of a place, to be asked again.
#[derive(Default)]
struct Asked {
    runs: Vec<RunId>,
    commands: Vec<Command>,
}

const NAMES: [&str; 4] = ["build", "deploy", "test", "never"];

impl Asked {
    async fn submit(&mut self, supervisor: &Supervisor, command: Command) {
        supervisor.submit(command.clone()).await;
        self.commands.push(command);
    }

    /// A few runs that end, some that do not, and a refusal.
    async fn life(&mut self, supervisor: &Supervisor, rounds: u64) {
        for round in 0..rounds {
            let name = NAMES[usize::try_from(round % 3).unwrap()];
            let creation = supervisor.creation((round % 2 == 0).then_some(name));
            let claim = supervisor.claim(creation.run, "r1");
            self.runs.push(creation.run);
            self.submit(supervisor, creation).await;
            self.submit(supervisor, supervisor.starting(&claim, StartMode::Fresh)).await;
            match round % 5 {
                0 => {
                    let lost = failure(FailureKind::RunnerLost, "gone");
                    let action = Action::Fail { claim: claim.clone(), failure: lost };
                    let failing = supervisor.command(tachograph_tests::supervisor::holder(&claim), claim.run, action);
                    self.submit(supervisor, failing).await;
                }
                // Left open, without a name.
                1 if round % 10 == 1 => {}
                _ => {
                    self.submit(supervisor, supervisor.exiting(&claim, code(0))).await;
                    self.submit(supervisor, supervisor.exiting(&claim, code(9))).await;
                }
            }
        }
    }

    async fn answers(&self, supervisor: &Supervisor) -> Answers {
        let engine = &supervisor.engine;
        let mut answers = Answers { runs: vec![], heads: vec![], names: vec![], retries: vec![], histories: vec![] };
        for run in self.runs.iter().chain([&RunId::from_u128(0)]) {
            answers.runs.push(engine.run(*run).await.unwrap().map(|record| RunRecord::clone(&record)));
            answers.heads.push(engine.reader().run_head(*run).await.unwrap());
            answers.histories.push(supervisor.history(*run).await.len());
        }
        for name in NAMES {
            answers.names.push(engine.resolve(name).await.unwrap());
        }
        for command in &self.commands {
            answers.retries.push(supervisor.submit(command.clone()).await.outcome);
        }
        answers
    }
}

fn fill_with_garbage(directory: &Path, numbers: &mut Numbers) {
    for item in fs::read_dir(directory).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            fill_with_garbage(&path, numbers);
        } else {
            let bytes: Vec<u8> = (0..4_096).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Closes, or crashes, and does something to the index before opening again.
async fn survives(seed: u64, crash: bool, harm: impl AsyncFn(&Place, &Path)) {
    let place = Place::new(seed);
    let (engine, _) = place.open().await;
    let mut asked = Asked::default();
    asked.life(&Supervisor::of(&engine), 20).await;
    engine.close().await.unwrap();
    let older = tempfile::TempDir::new().unwrap();
    copy(&place.index(), older.path()).unwrap();
    assert!(fs::read_dir(older.path()).unwrap().next().is_some(), "there is an index");
    let (engine, _) = place.open().await;
    asked.life(&Supervisor::of(&engine), 20).await;
    let expected = asked.answers(&Supervisor::of(&engine)).await;
    assert!(expected.retries.iter().all(|outcome| matches!(outcome, CommandOutcome::Duplicate { .. })));
    let crashed = crash.then(|| place.crashed());
    engine.close().await.unwrap();
    let place = crashed.unwrap_or(place);
    harm(&place, older.path()).await;
    for opening in 0..2 {
        let (engine, _) = place.open().await;
        let answers = asked.answers(&Supervisor::of(&engine)).await;
        assert_eq!(answers, expected, "seed {seed}, opening {opening}");
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn deleted() {
    for crash in [false, true] {
        survives(80, crash, async |place, _| fs::remove_dir_all(place.index()).unwrap()).await;
    }
}

#[tokio::test]
async fn emptied() {
    survives(81, false, async |place, _| {
        fs::remove_dir_all(place.index()).unwrap();
        fs::create_dir(place.index()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn filled_with_garbage() {
    for seed in 82..86 {
        survives(seed, false, async |place, _| fill_with_garbage(&place.index(), &mut Numbers::new(seed))).await;
    }
}

#[tokio::test]
async fn every_file_cut_short() {
    survives(86, false, async |place, _| {
        for item in fs::read_dir(place.index()).unwrap() {
            let path = item.unwrap().path();
            if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn replaced_by_an_older_copy() {
    for crash in [false, true] {
        survives(87, crash, async |place, older| {
            fs::remove_dir_all(place.index()).unwrap();
            copy(older, &place.index()).unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn replaced_by_that_of_another_journal() {
    let foreign = Place::new(88);
    let (engine, _) = foreign.open().await;
    Asked::default().life(&Supervisor::of(&engine), 40).await;
    engine.close().await.unwrap();
    survives(89, false, async |place, _| {
        fs::remove_dir_all(place.index()).unwrap();
        copy(&foreign.index(), &place.index()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_where_the_directory_was() {
    survives(90, false, async |place, _| {
        fs::remove_dir_all(place.index()).unwrap();
        fs::write(place.index(), b"not a directory").unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_crash_with_the_index_as_it_happened_to_be() {
    survives(91, true, async |_, _| {}).await;
}

#[tokio::test]
async fn the_refusals_that_are_answered_from_the_journal_are_recorded_ones() {
    let place = Place::new(92);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    supervisor.exit(&claim, code(0)).await.expect_written();
    let position = supervisor.exit(&claim, code(1)).await.expect_refused("conflicting_terminal");
    let entry = engine.reader().entry(position).await.unwrap().unwrap();
    assert!(matches!(entry.body, EntryBody::Refused(_)));
    engine.close().await.unwrap();
}
