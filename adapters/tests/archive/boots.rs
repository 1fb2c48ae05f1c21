use std::fs;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_adapters::process::{AdoptionReport, AttemptDirectory, ProcessRunner, RunnerOptions, Shim, foresee};
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Action, EntryBody, Ordinal, Position, RunSpec, StartMode, SystemFact, Workload};
use tachograph_engine::ports::JournalReader;
use tachograph_engine::shell::{Engine, Options, Parts};

use crate::support::{Writer, archive_before, commands, entries, numbered, wait, write};

/// Of the run that is open; [`write`] makes fewer.
const OPEN: u64 = 500;
/// More runs than fit into the first segments.
const RUNS: u64 = 20;

/// An engine of this boot.
async fn open_here(data: &Path) -> Engine {
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        journal: Box::new(FileJournal::open(data, JournalOptions::default()).unwrap()),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: None,
    };
    Engine::open(parts, Options::default()).await.unwrap().0
}

/// Creates and starts a run under a supervisor that has gone, and makes its directory: nothing else is on disk.
async fn leave_open(data: &Path, engine: &Engine) {
    let run = ids::run(OPEN);
    let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: None };
    let spec = Arc::new(RunSpec { workload, ..RunSpec::default() });
    let start = Action::Start {
        attempt: ids::attempt(OPEN * 10),
        runner: "process/host/1/former".into(),
        mode: StartMode::Fresh,
    };
    for (number, action) in [(900_001, Action::Create { spec }), (900_002, start)] {
        engine.submit(numbered(number, run, action)).await.unwrap();
    }
    fs::create_dir_all(AttemptDirectory::of(&data.join("runs"), run, Ordinal(1)).path()).unwrap();
}

/// What an opening does about it, in this boot, after the same was foreseen.
async fn recover_here(data: &Path) -> AdoptionReport {
    let engine = open_here(data).await;
    let runs_dir = data.join("runs");
    let records = engine.live();
    let mut foresight = foresee(&runs_dir, records.iter().map(|record| &record.run), &Default::default());
    foresight.in_view_of_the_boot(&**engine.reader()).await.unwrap();
    assert_eq!(foresight.open.len(), 1);
    let runner = ProcessRunner::with_shim(engine.clone(), &runs_dir, RunnerOptions::default(), Shim::Off);
    let report = runner.recover().await.unwrap();
    assert!(runner.recover().await.unwrap().is_empty(), "nothing is left to do");
    engine.close().await.unwrap();
    report
}

/// No opening but those after this position is in the journal any more.
fn assert_openings_only_after(data: &Path, after: Position) {
    let archived = wait(async { FileReader::open(data).unwrap().archived() });
    let opened = |body: &EntryBody| matches!(body, EntryBody::System(SystemFact::Opened(_)));
    let first = entries(data, archived).into_iter().find(|entry| opened(&entry.body));
    assert!(first.is_none_or(|first| first.position > after), "an opening before {after} is left");
}

#[test]
fn a_start_of_this_boot_is_known_for_one_behind_an_archive() {
    let data = tempfile::tempdir().unwrap();
    write(data.path(), RUNS);
    archive_before(data.path(), 1 << 19).unwrap();
    let end = wait(async { FileReader::open(data.path()).unwrap().head().position });
    assert_openings_only_after(data.path(), end);
    wait(async {
        let engine = open_here(data.path()).await;
        leave_open(data.path(), &engine).await;
        engine.close().await.unwrap();
    });
    let report = wait(recover_here(data.path()));
    assert_eq!(report.failed.len(), 1, "a directory of this boot that says nothing was never used: {report:?}");
    assert!(report.unknown.is_empty(), "{report:?}");
}

#[test]
fn a_start_of_another_boot_is_not_taken_for_one_of_this_when_its_opening_is_archived() {
    let data = tempfile::tempdir().unwrap();
    wait(async {
        let writer = Writer::open(data.path(), 0).await;
        for command in commands(RUNS) {
            writer.submit(&command).await;
        }
        // Behind what will be archived, and in the same session, whose boot has another id.
        leave_open(data.path(), &writer.engine).await;
        writer.close().await;
    });
    archive_before(data.path(), 1 << 19).unwrap();
    let end = wait(async { FileReader::open(data.path()).unwrap().head().position });
    assert_openings_only_after(data.path(), end);
    let report = wait(recover_here(data.path()));
    let [(run, cause)] = &report.unknown[..] else { panic!("one end is not known: {report:?}") };
    assert_eq!(*run, ids::run(OPEN));
    assert!(cause.contains("started anew"), "{cause}");
    assert!(report.failed.is_empty(), "{report:?}");
}
