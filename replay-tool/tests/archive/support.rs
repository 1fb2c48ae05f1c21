//! A history over small segments, and the tool.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Command, Exit, ExitStatus, RunId, Session, StartMode, Timestamp, Witness,
};
use tachograph_engine::ports::Host;
use tachograph_engine::shell::{Answer, Engine, Options, Parts};
use ulid::Ulid;

struct NoHost;

impl Host for NoHost {
    fn session(&self) -> Session {
        Session {
            host: "build-3".to_owned(),
            boot_id: "boot".to_owned(),
            pid: 1,
            version: "test".to_owned(),
            wall: at(0),
            monotonic_us: 0,
        }
    }
}

/// So many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000)
}

pub(crate) fn numbered(number: u64, run: RunId, action: Action) -> Command {
    let actor = Actor::new(ActorKind::Supervisor, "test");
    Command { id: ids::command(number), run, actor, issued_at: at(0), expected: None, action }
}

pub(crate) fn exit(run: u64, attempt: u64, code: i32) -> Action {
    let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
    Action::Exit { claim: claim(ids::run(run), attempt, "r1"), exit }
}

/// What happens to a run: it starts, waits for a moment and exits; every third one is destroyed.
fn life(number: u64) -> Vec<Action> {
    let mine = claim(ids::run(number), number, "r1");
    let start = Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh };
    let mut life = vec![
        Action::Create { spec: Arc::new(spec(&format!("job-{}", number % 7))) },
        start,
        Action::Wait { claim: mine, on: "input".to_owned(), deadline: None },
        exit(number, number, 0),
        exit(number, number, 9),
    ];
    if number.is_multiple_of(3) {
        life.push(Action::Destroy { force: false, why: "done with".to_owned() });
    }
    life
}

/// Submits commands one by one, a second apart, and returns the answers.
pub(crate) fn submit(data: &Path, seconds: u64, commands: &[Command]) -> Vec<Answer> {
    written(data, seconds, async |engine, clock| {
        let mut answers = Vec::new();
        for command in commands {
            clock.advance(Duration::from_secs(1));
            answers.push(engine.submit(command.clone()).await.unwrap());
        }
        answers
    })
}

/// Submits commands at once: they are answered in the same order, and the disk is waited for a few times alone.
pub(crate) fn submit_at_once(data: &Path, seconds: u64, commands: &[Command]) -> Vec<Answer> {
    written(data, seconds, async |engine, _| {
        let pending = commands.iter().map(|command| engine.try_submit(command.clone()).unwrap());
        futures::future::try_join_all(pending.collect::<Vec<_>>()).await.unwrap()
    })
}

/// What a writer does, and that it closes the journal.
fn written<T>(data: &Path, seconds: u64, does: impl AsyncFnOnce(&Engine, &ManualClock) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = JournalOptions {
            segment_bytes: 4 << 10,
            anchor_interval: None,
            journal: Some(Ulid(7)),
            ..Default::default()
        };
        let clock = Arc::new(ManualClock::new(at(seconds)));
        let parts = Parts {
            journal: Box::new(FileJournal::open(data, options).unwrap()),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(seconds)),
            host: Arc::new(NoHost),
            checkpoints: None,
        };
        let engine = Engine::open(parts, Options::default()).await.unwrap().0;
        let done = does(&engine, &clock).await;
        engine.close().await.unwrap();
        done
    })
}

/// Writes a history of so many runs, one after the other, and returns its commands.
pub(crate) fn write(data: &Path, runs: u64) -> Vec<Command> {
    go_on(data, 0, 1..=runs)
}

/// The same of other runs, later.
pub(crate) fn go_on(data: &Path, seconds: u64, runs: RangeInclusive<u64>) -> Vec<Command> {
    let lives = runs.flat_map(|run| life(run).into_iter().map(move |action| (run, action)));
    let numbered = |(number, (run, action))| numbered(seconds + number as u64 + 1, ids::run(run), action);
    let commands: Vec<Command> = lives.enumerate().map(numbered).collect();
    submit(data, seconds, &commands);
    commands
}

/// A copy of a data directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &to)
        } else {
            _ = fs::copy(item.path(), to).unwrap()
        }
    }
}

/// The tool over a data directory or bundle.
pub(crate) fn tacho(data: &Path, arguments: &[&str]) -> Process {
    let mut tacho = Process::new(env!("CARGO_BIN_EXE_tacho"));
    for variable in ["TACHO_LOG", "TACHO_LOCK_WAIT", "NO_COLOR", "TERM"] {
        tacho.env_remove(variable);
    }
    tacho.env("TACHO_DATA", data).args(arguments).stdin(Stdio::null());
    tacho
}

pub(crate) fn ran(data: &Path, arguments: &[&str]) -> Output {
    tacho(data, arguments).output().unwrap()
}

/// What is printed, of a command that succeeds.
pub(crate) fn told(data: &Path, arguments: &[&str]) -> String {
    let output = ran(data, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(data: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(data, &[&["--format", "json"], arguments].concat())).unwrap()
}

/// Exit code, stable code, and message with remedy.
pub(crate) fn failure(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = ran(data, &[&["--format", "json"], arguments].concat());
    let printed = String::from_utf8(output.stderr).unwrap();
    let error: Value = serde_json::from_str(printed.lines().last().unwrap_or_default()).unwrap();
    let text = |name: &str| error["error"][name].as_str().unwrap_or_default().to_owned();
    (output.status.code().unwrap(), text("code"), format!("{}; {}", text("message"), text("remedy")))
}

/// The files of the journal, with their bytes.
pub(crate) fn files(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(data.join("journal")).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}
