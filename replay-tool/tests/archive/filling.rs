//! A question whose tables are filled while a part is archived is answered as if it had been asked afterwards.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clap::Parser;
use tachograph_engine::domain::{CommandId, Digest, Entry, Position, RunId, RunRecord};
use tachograph_engine::ports::{Head, JournalError, JournalReader, KeptAnswer, RunHead};
use tachograph_replay::audit::command;
use tachograph_replay::cli::{Cli, Command};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::{Output, Reading};

use crate::support::{at, copy, go_on, told};

/// How often there is something to be archived.
const TIMES: u64 = 4;

/// Runs that ended at [`TIMES`] times, and some that did later.
fn write(data: &Path) {
    for time in 0..=TIMES {
        go_on(data, time * 1_000, time * 12 + 1..=time * 12 + 12);
    }
}

/// The journal of a directory, of which another process archives a part whenever somebody has begun to read entries, so many
/// times.
struct Archiving {
    inner: Arc<dyn JournalReader>,
    data: PathBuf,
    times: u64,
    done: AtomicU64,
}

impl Archiving {
    fn of(data: &Path, times: u64) -> Arc<Self> {
        let inner = Dataset::open(data).unwrap().reader().clone();
        Arc::new(Self { inner, data: data.to_owned(), times, done: AtomicU64::new(0) })
    }

    fn is_begun(&self) {
        if self.done.load(Ordering::Relaxed) < self.times {
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            let before = at(done * 1_000).to_string();
            told(&self.data, &["archive", "--before", &before, "--apply", "--no-parquet"]);
        }
    }
}

#[async_trait]
impl JournalReader for Archiving {
    fn head(&self) -> Head {
        self.inner.head()
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.is_begun();
        self.inner.read(after, limit).await
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        self.inner.entry(at).await
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        self.inner.digest_at(position).await
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.inner.run_head(run).await
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        self.inner.answered(run, command).await
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.inner.named(name).await
    }

    fn archived(&self) -> Position {
        self.inner.archived()
    }

    async fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.inner.base(run).await
    }

    async fn bases(&self) -> Result<Vec<RunRecord>, JournalError> {
        self.inner.bases().await
    }

    async fn archived_answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        self.inner.archived_answer(run, command).await
    }
}

/// An output that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a question prints.
fn asked(dataset: Dataset, question: &[&str]) -> Result<String, Error> {
    let cli = Cli::try_parse_from([&["tacho"], question, &["--output", "csv"]].concat()).unwrap();
    let kept = Kept::default();
    let output = Output::into_writer(Box::new(kept.clone()), false);
    let machine = Machine::of("elsewhere", "another-boot", "made");
    let mut reading = Reading { dataset, format: cli.global.format, now: at(100_000), machine, output };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match &cli.command {
            Command::Sql(args) => command::sql(&mut reading, args).await?,
            Command::Audit(args) => command::audit(&mut reading, args).await?,
            other => panic!("{other:?} is no question"),
        }
        reading.output.flush()
    })?;
    let bytes = kept.0.lock().unwrap().clone();
    Ok(String::from_utf8(bytes).unwrap())
}

/// Of all runs, of their labels with them, and of entries with the runs.
const QUESTIONS: [&[&str]; 3] = [
    &["sql", "SELECT count(*), sum(version), max(created_position) FROM runs"],
    &["sql", "SELECT count(*), count(DISTINCT events.run) FROM runs LEFT JOIN events USING (run)"],
    &["audit", "exit-codes"],
];

#[test]
fn what_was_archived_while_tables_were_filled_is_in_none_of_them_by_halves() {
    let written = tempfile::tempdir().unwrap();
    write(written.path());
    for question in QUESTIONS {
        for times in [1, 2] {
            let dir = tempfile::tempdir().unwrap();
            copy(written.path(), dir.path());
            let archiving = Archiving::of(dir.path(), times);
            let answer = asked(Dataset::over(archiving.clone(), dir.path()), question);
            assert_eq!(archiving.done.load(Ordering::Relaxed), times, "{question:?}");
            let afterwards = asked(Dataset::open(dir.path()).unwrap(), question).unwrap();
            assert_eq!(answer.unwrap(), afterwards, "{question:?}, {times}");
        }
    }
}

#[test]
fn tables_are_not_filled_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let archiving = Archiving::of(dir.path(), TIMES);
    let error = asked(Dataset::over(archiving.clone(), dir.path()), QUESTIONS[0]).unwrap_err();
    assert_eq!(error.code(), "archived");
    assert_eq!(archiving.done.load(Ordering::Relaxed), 3);
}
