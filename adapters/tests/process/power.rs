//! What a run leaves after a power cut: nothing of its directory is synced but the exit record of a shim, that only once the
//! shim has gone, and each file in it may be there, be empty or torn, or be gone.

use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::memory::MemoryStorage;
use tachograph_adapters::process::{AttemptDirectory, Conclusion, ProcessRunner, RunnerOptions, Shim, foresee};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, ExitStatus, FailureKind, Ordinal, RunId, RunnerId, Session, StartMode,
};
use tachograph_engine::ports::Host;
use tachograph_engine::shell::{Engine, Options, Parts};

use crate::support::sh;

const HOLDER: &str = "process/host/1/former";
const ANOTHER: &str = "00000000-0000-0000-0000-000000000000";

/// This host in another boot.
struct Before(LocalHost);

impl Host for Before {
    fn session(&self) -> Session {
        Session { boot_id: ANOTHER.to_owned(), ..self.0.session() }
    }
}

async fn open(storage: &MemoryStorage, is_before: bool) -> Engine {
    let clock = Arc::new(SystemClock);
    let host = LocalHost::new(clock.clone());
    let host: Arc<dyn Host> = if is_before { Arc::new(Before(host)) } else { Arc::new(host) };
    let journal = Box::new(storage.open().unwrap());
    let parts = Parts { journal, clock, ids: Arc::new(UlidSource::new()), host, checkpoints: None };
    Engine::open(parts, Options::default()).await.unwrap().0
}

/// A run that was started and is open when its supervisor goes; with what is left of its directory.
async fn start(engine: &Engine, runs: &Path, left: [Left; 4], by: Parent) -> RunId {
    let (run, attempt) = (RunId::from_ulid(engine.mint()), AttemptId::from_ulid(engine.mint()));
    let actor = Actor::new(ActorKind::Supervisor, HOLDER);
    let create = engine.command(run, actor.clone(), Action::Create { spec: Arc::new(sh("exit 3")) });
    let start = Action::Start { attempt, runner: RunnerId::from(HOLDER), mode: StartMode::Fresh };
    let (_, started) = engine.submit_both(create, engine.command(run, actor, start)).await.unwrap();
    assert!(started.outcome.written().is_some(), "{started:?}");
    let directory = AttemptDirectory::of(runs, run, Ordinal(1));
    let gone = serde_json::json!({ "pid": 1, "start_ticks": 1, "boot_id": ANOTHER });
    let mut identity = serde_json::json!({
        "format": 1, "run": run.to_string(), "attempt": attempt.to_string(), "ordinal": 1, "runner": HOLDER,
        "supervisor": gone, "argv_blake3": "0".repeat(64), "process": gone,
    });
    let exit = serde_json::json!({
        "format": 1, "run": run.to_string(), "attempt": attempt.to_string(), "runner": HOLDER, "status": { "code": 3 },
    });
    if by == Parent::Shim {
        identity["shim"] = serde_json::json!({ "pid": 1, "start_ticks": 1, "boot_id": ANOTHER });
    }
    let [itself, output, identified, exited] = left;
    if itself == Left::Nothing {
        return run;
    }
    std::fs::create_dir_all(directory.path()).unwrap();
    let files = [("stdout", output, String::new()), ("identity.json", identified, identity.to_string())];
    if by == Parent::Shim && output != Left::Nothing {
        std::fs::write(directory.path().join("exit.room"), "").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.path().join("requests"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
    }
    for (name, left, content) in files.into_iter().chain([("exit.json", exited, exit.to_string())]) {
        match left {
            Left::Nothing => {}
            Left::Empty => std::fs::write(directory.path().join(name), "").unwrap(),
            Left::Torn => {
                // A block that was never written reads as zeroes.
                let torn = [&content.as_bytes()[..content.len() / 2], &[0; 64]].concat();
                std::fs::write(directory.path().join(name), torn).unwrap();
            }
            Left::Whole => std::fs::write(directory.path().join(name), content).unwrap(),
        }
    }
    run
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Empty,
    Torn,
    Whole,
}

/// Who was the parent of the run's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Supervisor,
    Shim,
}

/// Directory, output, identity, exit record: every way in which they can be left.
fn all_ways() -> Vec<[Left; 4]> {
    let each = [Left::Nothing, Left::Empty, Left::Torn, Left::Whole];
    let files = || each.into_iter().flat_map(move |one| each.into_iter().map(move |another| (one, another)));
    let with_directory = files().flat_map(|(one, another)| {
        [Left::Nothing, Left::Empty].map(|output| [Left::Whole, output, one, another]).into_iter()
    });
    with_directory.chain([[Left::Nothing; 4]]).collect()
}

#[tokio::test]
async fn after_a_power_cut_nothing_follows_from_what_is_missing() {
    nothing_follows_from_what_is_missing(Parent::Supervisor).await;
}

#[tokio::test]
async fn after_a_power_cut_a_run_under_a_shim_is_concluded_alike() {
    nothing_follows_from_what_is_missing(Parent::Shim).await;
}

async fn nothing_follows_from_what_is_missing(by: Parent) {
    let (data, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::default());
    let runs = data.path().join("runs");
    let before = open(&storage, true).await;
    let mut started = Vec::new();
    for left in all_ways() {
        started.push((start(&before, &runs, left, by).await, left));
    }
    before.close().await.unwrap();
    let engine = open(&storage, false).await;
    let records: Vec<_> = engine.live();
    let mut foresight = foresee(&runs, records.iter().map(|record| &record.run), &Default::default());
    foresight.in_view_of_the_boot(&**engine.reader()).await.unwrap();
    let runner = ProcessRunner::with_shim(engine.clone(), &runs, RunnerOptions::default(), Shim::Off);
    let report = runner.recover().await.unwrap();
    assert_eq!(started.len(), 33);
    for (run, left) in started {
        let record = engine.run(run).await.unwrap().unwrap();
        let outcome = record.run.attempt.as_ref().unwrap().outcome.clone().unwrap();
        let told = ExitStatus::Unknown { cause: "the machine was started anew while it was open".to_owned() };
        let (expected, name) = if left[3] == Left::Whole { (ExitStatus::Code(3), "record") } else { (told, "unknown") };
        assert_eq!(outcome.exit_status(), Some(&expected), "{left:?}");
        let foreseen = foresight.open.iter().find(|foreseen| foreseen.run == run).unwrap();
        assert_eq!(foreseen.conclusion.name(), name, "{left:?}");
        if let Conclusion::Unknown { cause } = &foreseen.conclusion {
            assert_eq!(expected, ExitStatus::Unknown { cause: cause.clone() }, "{left:?}");
        }
    }
    assert!(report.failed.is_empty() && report.orphans.is_empty() && report.adopted.is_empty(), "{report:?}");
    engine.close().await.unwrap();
}

/// What may be left of a file whose name was on disk before its content; and what nobody ever wrote.
fn torn_from(whole: &[u8]) -> Vec<Vec<u8>> {
    let zeros = |bytes| vec![0; bytes];
    let mut torn = vec![whole[..whole.len() - 1].to_vec(), [whole, &zeros(64)].concat(), [whole, b"}"].concat()];
    for cut in (0..8).map(|eighths| whole.len() * eighths / 8) {
        torn.push(whole[..cut].to_vec());
        torn.push([&whole[..cut], &zeros(whole.len() - cut)].concat());
    }
    torn
}

/// A record that was named and not yet synced when the power was cut, in every way in which that can be left, is none: for
/// whoever asks before, for opening, and for whoever looks later whether one has come to light.
#[tokio::test]
async fn after_a_power_cut_half_an_exit_record_is_none() {
    let (data, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::default());
    let runs = data.path().join("runs");
    let before = open(&storage, true).await;
    let mut started: Vec<(RunId, Vec<u8>)> = Vec::new();
    for nth in 0..torn_from(b"{}").len() {
        let run = start(&before, &runs, [Left::Whole; 4], Parent::Shim).await;
        let path = AttemptDirectory::of(&runs, run, Ordinal(1)).exit_record();
        let torn = torn_from(&std::fs::read(&path).unwrap()).swap_remove(nth);
        std::fs::write(path, &torn).unwrap();
        started.push((run, torn));
    }
    before.close().await.unwrap();
    let engine = open(&storage, false).await;
    let records: Vec<_> = engine.live();
    let mut foresight = foresee(&runs, records.iter().map(|record| &record.run), &Default::default());
    foresight.in_view_of_the_boot(&**engine.reader()).await.unwrap();
    let told = "the machine was started anew while it was open".to_owned();
    for time in 0..2 {
        let runner = ProcessRunner::with_shim(engine.clone(), &runs, RunnerOptions::default(), Shim::Off);
        let report = runner.recover().await.unwrap();
        assert_eq!(report.unknown.len(), if time == 0 { started.len() } else { 0 });
        assert!(report.exited.is_empty() && report.failed.is_empty() && report.amended.is_empty(), "{report:?}");
        assert!(report.left_alone.is_empty() && report.orphans.is_empty(), "{report:?}");
        for (run, torn) in &started {
            let record = engine.run(*run).await.unwrap().unwrap();
            let outcome = record.run.attempt.as_ref().unwrap().outcome.clone().unwrap();
            let torn = String::from_utf8_lossy(torn);
            assert_eq!(outcome.exit_status(), Some(&ExitStatus::Unknown { cause: told.clone() }), "{torn:?}");
            let foreseen = foresight.open.iter().find(|foreseen| foreseen.run == *run).unwrap();
            assert_eq!(foreseen.conclusion, Conclusion::Unknown { cause: told.clone() }, "{torn:?}");
        }
    }
    for (run, _) in started {
        let record = engine.run(run).await.unwrap().unwrap();
        assert!(foresee(&runs, [&record.run], &Default::default()).amended.is_empty());
    }
    engine.close().await.unwrap();
}

/// In the boot that an attempt was started in, a kill takes no file away that was written.
#[tokio::test]
async fn in_the_same_boot_an_empty_directory_still_shows_that_nothing_was_executed() {
    let (data, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::default());
    let runs = data.path().join("runs");
    // An older boot in the journal says nothing about what was started since.
    open(&storage, true).await.close().await.unwrap();
    let before = open(&storage, false).await;
    let nothing = Left::Nothing;
    let mut abandoned = Vec::new();
    for by in [Parent::Supervisor, Parent::Shim] {
        let run = start(&before, &runs, [Left::Whole, nothing, nothing, nothing], by).await;
        abandoned.push((run, FailureKind::StartAbandoned));
    }
    // What a shim makes before it writes the identity, and a damaged one, which no kill leaves.
    let mut unknown = Vec::new();
    for (identified, cause) in [
        (nothing, "there is no identity in its directory: it may have been executed"),
        (Left::Empty, "its identity on disk does not count"),
        (Left::Torn, "its identity on disk does not count"),
    ] {
        unknown
            .push((start(&before, &runs, [Left::Whole, Left::Empty, identified, nothing], Parent::Shim).await, cause));
    }
    before.close().await.unwrap();
    let engine = open(&storage, false).await;
    let runner = ProcessRunner::with_shim(engine.clone(), &runs, RunnerOptions::default(), Shim::Off);
    let report = runner.recover().await.unwrap();
    abandoned.sort_by_key(|(run, _)| *run);
    assert_eq!(report.failed, abandoned);
    for (run, cause) in unknown {
        let told = report.unknown.iter().find(|(found, _)| *found == run).map(|(_, cause)| cause.clone());
        assert!(told.as_ref().is_some_and(|told| told.ends_with(cause)), "{cause}: {told:?}");
    }
    engine.close().await.unwrap();
}
