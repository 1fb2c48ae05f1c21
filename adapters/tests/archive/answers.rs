//! Commands to archived runs, one by one beside a journal that was not archived.

use std::path::Path;

use tachograph_adapters::journal::verify;
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, Command, Guard, Position, RunId, RunRecord, StartMode};
use tachograph_engine::ports::JournalReader;
use tachograph_engine::shell::Answer;

use crate::support::{Writer, archive_before, at, copy, entries, exit_with, numbered, wait, write};

const RUNS: u64 = 40;

/// Late reports about a run, repeated and new commands to it, and one that starts it again if it may be.
fn late(number: u64, first: u64) -> Vec<Command> {
    let run = ids::run(number);
    let stale = claim(run, number * 10, "r1");
    let actions = vec![
        Action::Wait { claim: stale.clone(), on: "more".to_owned(), deadline: None },
        Action::Exit { claim: stale.clone(), exit: exit_with(5) },
        Action::Exit { claim: claim(run, number * 10 + 1, "r1"), exit: exit_with(0) },
        Action::Exit { claim: claim(run, number * 10, "r2"), exit: exit_with(0) },
        Action::ScheduleSnapshot { claim: stale, snapshot: ids::snapshot(number), due: at(1 << 30) },
        Action::CancelSnapshot { guard: Guard::Unconditional },
        Action::Create { spec: std::sync::Arc::new(spec("again")) },
        // An attempt id that was spent, and a new one.
        Action::Start {
            attempt: ids::attempt(number * 10),
            runner: "r1".into(),
            mode: StartMode::Restart { previous: ids::attempt(number * 10) },
        },
        Action::Start {
            attempt: ids::attempt(number * 10 + 7),
            runner: "r1".into(),
            mode: StartMode::Restart { previous: ids::attempt(number * 10 + number.is_multiple_of(2) as u64) },
        },
        Action::Exit { claim: claim(run, number * 10 + 7, "r1"), exit: exit_with(0) },
        Action::Destroy { force: false, why: "late".to_owned() },
        Action::Destroy { force: false, why: "later".to_owned() },
    ];
    let count = actions.len() as u64;
    actions
        .into_iter()
        .enumerate()
        .map(|(index, action)| numbered(first + number * count + index as u64, run, action))
        .collect()
}

/// What a journal answers, and what it says then.
fn answers(data: &Path, commands: &[Command]) -> (Vec<Answer>, Vec<Option<RunRecord>>, Vec<Option<RunId>>) {
    wait(async {
        let writer = Writer::open(data, 1 << 16).await;
        let mut answers = Vec::new();
        for command in commands {
            answers.push(writer.submit(command).await);
        }
        let mut runs = Vec::new();
        for number in 0..=RUNS + 1 {
            let run = writer.engine.run(ids::run(number)).await.unwrap();
            runs.push(run.map(|record| RunRecord::clone(&record)));
        }
        let mut named = Vec::new();
        for number in 0..6 {
            named.push(writer.engine.resolve(&format!("job-{number}")).await.unwrap());
        }
        writer.close().await;
        (answers, runs, named)
    })
}

fn compare(archived: &Path, plain: &Path, commands: &[Command]) {
    let before = entries(plain, Position::ZERO).last().unwrap().position;
    let ours = answers(archived, commands);
    let theirs = answers(plain, commands);
    for (command, (ours, theirs)) in commands.iter().zip(ours.0.iter().zip(&theirs.0)) {
        assert_eq!(ours, theirs, "{command:?}");
    }
    assert_eq!(ours.1, theirs.1, "the same runs");
    assert_eq!(ours.2, theirs.2, "the same holders of names");
    assert_eq!(entries(archived, before), entries(plain, before), "what was recorded, back pointers included");
    let report = verify(archived, |_| ()).unwrap();
    assert_eq!(report.findings, vec![], "a footer, back pointer or version that does not fit");
    assert!(!report.archived.is_empty());
}

#[test]
fn every_command_to_an_archived_run_is_answered_as_if_nothing_was_archived() {
    let dir = tempfile::tempdir().unwrap();
    let (archived, plain) = (dir.path().join("archived"), dir.path().join("plain"));
    let mut commands = write(&archived, RUNS);
    copy(&archived, &plain);
    let done = archive_before(&archived, 1 << 20).unwrap();
    assert!(done.plan.segments > 4, "{:?}", done.plan);
    commands.extend((0..=RUNS + 1).flat_map(|number| late(number, 10_000)));
    compare(&archived, &plain, &commands);
}

#[test]
fn so_it_is_without_an_index_and_after_archiving_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (archived, plain) = (dir.path().join("archived"), dir.path().join("plain"));
    let mut commands = write(&archived, RUNS);
    copy(&archived, &plain);
    archive_before(&archived, 150).unwrap();
    let first: Vec<Command> = (0..=RUNS / 2).flat_map(|number| late(number, 10_000)).collect();
    for data in [&archived, &plain] {
        answers(data, &first);
        std::fs::remove_dir_all(data.join("index")).unwrap();
    }
    let done = archive_before(&archived, 1 << 20).unwrap();
    assert!(done.plan.segments > 2, "{:?}", done.plan);
    commands.extend((0..=RUNS + 1).flat_map(|number| late(number, 20_000)));
    compare(&archived, &plain, &commands);
}

#[test]
fn a_reader_without_a_writer_knows_of_archived_runs_what_a_writer_does() {
    let dir = tempfile::tempdir().unwrap();
    let (archived, plain) = (dir.path().join("archived"), dir.path().join("plain"));
    let commands = write(&archived, RUNS);
    copy(&archived, &plain);
    archive_before(&archived, 1 << 20).unwrap();
    let ours = tachograph_adapters::journal::FileReader::open(&archived).unwrap();
    let theirs = tachograph_adapters::journal::FileReader::open(&plain).unwrap();
    wait(async {
        for number in 0..=RUNS + 1 {
            let run = ids::run(number);
            assert_eq!(ours.run_head(run).await.unwrap(), theirs.run_head(run).await.unwrap());
            assert_eq!(ours.record(run).await.unwrap(), theirs.record(run).await.unwrap());
        }
        for command in &commands {
            let (ours, theirs) = (ours.answered(command.run, command.id), theirs.answered(command.run, command.id));
            assert_eq!(ours.await.unwrap(), theirs.await.unwrap(), "{command:?}");
        }
        for number in 0..6 {
            let name = format!("job-{number}");
            assert_eq!(ours.named(&name).await.unwrap(), theirs.named(&name).await.unwrap());
        }
        let up_to = ours.archived();
        for asked in [Position::ZERO, Position(up_to.0 - 1)] {
            let error = ours.read(asked, 1).await.unwrap_err();
            assert_eq!(error.code(), "archived", "never an empty history: {error}");
        }
        assert_eq!(ours.entry(up_to).await.unwrap_err().code(), "archived");
        assert_eq!(ours.read(up_to, usize::MAX).await.unwrap(), theirs.read(up_to, usize::MAX).await.unwrap());
        assert_eq!(ours.digest_at(up_to).await.unwrap(), theirs.digest_at(up_to).await.unwrap());
    });
}
