//! A history of many runs over small segments, written by an engine, always the same.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::archive::{self, ArchiveError, Archived, Request};
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Command, Entry, Exit, ExitStatus, Position, RunId, RunSpec, Session, StartMode,
    Timestamp, Witness,
};
use tachograph_engine::ports::{Host, JournalReader};
use tachograph_engine::shell::{Answer, Engine, Options, Parts};
use ulid::Ulid;

/// Runs that are under way at a time.
const ABREAST: u64 = 3;

/// Waits for a future.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// So many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000)
}

/// A session on a host of that name.
struct Named(&'static str);

impl Host for Named {
    fn session(&self) -> Session {
        Session {
            host: self.0.to_owned(),
            boot_id: "boot".to_owned(),
            pid: 1,
            version: "test".to_owned(),
            wall: at(0),
            monotonic_us: 0,
        }
    }
}

/// An engine over the files of a data directory.
pub(crate) struct Writer {
    pub(crate) engine: Engine,
    clock: Arc<ManualClock>,
}

impl Writer {
    /// Opens it, with a clock that goes on behind the last entry.
    pub(crate) async fn open(data: &Path, seconds: u64) -> Self {
        Self::open_at(data, seconds, "build-3").await
    }

    /// The same, with another name of the host in its session.
    pub(crate) async fn open_at(data: &Path, seconds: u64, host: &'static str) -> Self {
        let options = JournalOptions {
            segment_bytes: 2 << 10,
            anchor_interval: None,
            journal: Some(Ulid(7)),
            ..Default::default()
        };
        let clock = Arc::new(ManualClock::new(at(seconds)));
        let parts = Parts {
            journal: Box::new(FileJournal::open(data, options).unwrap()),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(seconds)),
            host: Arc::new(Named(host)),
            checkpoints: None,
        };
        Self { engine: Engine::open(parts, Options::default()).await.unwrap().0, clock }
    }

    /// Submits a command, a second after the one before.
    pub(crate) async fn submit(&self, command: &Command) -> Answer {
        self.clock.advance(Duration::from_secs(1));
        self.engine.submit(command.clone()).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.engine.close().await.unwrap();
    }
}

/// A command whose id follows from a number.
pub(crate) fn numbered(number: u64, run: RunId, action: Action) -> Command {
    let actor = Actor::new(ActorKind::Supervisor, "test");
    Command { id: ids::command(number), run, actor, issued_at: at(0), expected: None, action }
}

pub(crate) fn exit_with(code: i32) -> Exit {
    Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None }
}

/// All that happens to one run, in order: some are refused, taken over, restarted, failed or destroyed on the way.
fn life(number: u64) -> Vec<Action> {
    let run = ids::run(number);
    let mine = claim(run, number * 10, "r1");
    let start = |of: u64, mode| Action::Start { attempt: ids::attempt(number * 10 + of), runner: "r1".into(), mode };
    let mut spec =
        RunSpec { labels: [("team".to_owned(), "infra".to_owned())].into(), ..spec(&format!("job-{}", number % 5)) };
    spec.parent = (number % 4 == 3).then(|| ids::run(number - 1));
    let exit = |of: u64, code| Action::Exit { claim: claim(run, number * 10 + of, "r1"), exit: exit_with(code) };
    let snapshot = ids::snapshot(number);
    let mut life = vec![
        // Refused before there is such a run.
        Action::Destroy { force: false, why: "too early".to_owned() },
        Action::Create { spec: Arc::new(spec) },
        start(0, StartMode::Fresh),
    ];
    // A takeover and a forced destroy end what is running, which is told again to whoever repeats them.
    let taken_over = number.is_multiple_of(5);
    life.extend(taken_over.then(|| start(2, StartMode::Takeover { expected: mine.attempt })));
    life.push(Action::Wait { claim: mine.clone(), on: "input".to_owned(), deadline: None });
    life.push(Action::ScheduleSnapshot { claim: mine.clone(), snapshot, due: at(1 << 30) });
    life.extend(taken_over.then(|| exit(2, 0)));
    life.extend(number.is_multiple_of(7).then(|| Action::Destroy { force: true, why: "stuck".to_owned() }));
    // Told again, and told otherwise.
    life.extend([exit(0, (number % 3) as i32), exit(0, (number % 3) as i32), exit(0, 9)]);
    if number.is_multiple_of(2) {
        life.push(start(1, StartMode::Restart { previous: ids::attempt(number * 10) }));
        life.push(exit(0, 0));
        life.push(exit(1, 0));
    }
    if number.is_multiple_of(3) {
        life.push(Action::Destroy { force: false, why: "done with".to_owned() });
        life.push(exit(1, 7));
    }
    life
}

/// The commands of so many runs, a few of them abreast.
pub(crate) fn commands(runs: u64) -> Vec<Command> {
    let mut lives: Vec<(u64, std::vec::IntoIter<Action>)> = Vec::new();
    let (mut commands, mut next) = (Vec::new(), 1);
    loop {
        while lives.len() < ABREAST as usize && next <= runs {
            lives.push((next, life(next).into_iter()));
            next += 1;
        }
        if lives.is_empty() {
            return commands;
        }
        lives.retain_mut(|(number, life)| match life.next() {
            Some(action) => {
                commands.push(numbered(commands.len() as u64 + 1, ids::run(*number), action));
                true
            }
            None => false,
        });
    }
}

/// Writes a history of so many runs, and returns its commands. A second passes with each.
pub(crate) fn write(data: &Path, runs: u64) -> Vec<Command> {
    let commands = commands(runs);
    submit(data, 0, &commands);
    commands
}

/// Opens an engine with a clock that stands at so many seconds, submits commands, and closes it.
pub(crate) fn submit(data: &Path, seconds: u64, commands: &[Command]) {
    wait(async {
        let writer = Writer::open(data, seconds).await;
        for command in commands {
            writer.submit(command).await;
        }
        writer.close().await;
    });
}

/// What archives everything that ended before so many seconds.
pub(crate) fn request(seconds: u64) -> Request {
    Request { before: at(seconds), bundle: None, archived_at: at(1 << 20), producer: "test".to_owned() }
}

pub(crate) fn archive_before(data: &Path, seconds: u64) -> Result<Archived, ArchiveError> {
    wait(archive::archive(data, &request(seconds), |_, _| Ok(()), async |_, _| Ok(()), |_| ()))
}

/// All entries after a position.
pub(crate) fn entries(data: &Path, after: Position) -> Vec<Entry> {
    wait(FileReader::open(data).unwrap().read(after, usize::MAX)).unwrap()
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
