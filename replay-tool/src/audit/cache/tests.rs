use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use clap::Parser;
use tachograph_engine::domain::{CommandId, Digest, Entry, RunId, RunRecord, Timestamp};
use tachograph_engine::ports::{Head, JournalError, JournalReader, KeptAnswer, RunHead};

use super::*;
use crate::cli::{Cli, Command};
use crate::machine::Machine;
use crate::output::Output;
use crate::writer::Writer;

/// A journal whose first entry is archived as soon as somebody has begun to read.
struct Archived(Arc<dyn JournalReader>, AtomicBool);

#[async_trait]
impl JournalReader for Archived {
    fn head(&self) -> Head {
        self.0.head()
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.1.store(true, Ordering::Relaxed);
        self.0.read(after, limit).await
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        self.0.entry(at).await
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        self.0.digest_at(position).await
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.0.run_head(run).await
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        self.0.answered(run, command).await
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.0.named(name).await
    }

    fn archived(&self) -> Position {
        if self.1.load(Ordering::Relaxed) { Position(1) } else { self.0.archived() }
    }

    async fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.0.base(run).await
    }

    async fn bases(&self) -> Result<Vec<RunRecord>, JournalError> {
        self.0.bases().await
    }

    async fn archived_answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        self.0.archived_answer(run, command).await
    }
}

/// Why tables are not used after a question about this journal, which every journal is large enough for.
async fn why_not(dataset: Dataset, cache: &Path) -> String {
    let cache = cache.display().to_string();
    let parsed = Cli::try_parse_from(["tacho", "sql", "SELECT 1", "--cache", &cache]).unwrap();
    let Command::Sql(mut args) = parsed.command else { panic!("no question") };
    args.ask.cached_from = Some(1);
    let machine = Machine::of("here", "boot-1", "/proc");
    let output = Output::into_writer(Box::new(std::io::sink()), false);
    let now = Timestamp::from_micros(0);
    let reading = Reading { dataset, format: parsed.global.format, now, machine, output };
    let mut cached = Cached::of(&reading, &args.ask, Asks::Often, Interrupt::never());
    let desk = Desk::of("SELECT count(*), max(kind) FROM entries").unwrap();
    let scope = Scope { at: reading.dataset.reader().head().position, after: Position::ZERO, run: None };
    let brought = cached.bring_up(&reading.dataset, scope, &desk).await.unwrap();
    let told = cached.told(&reading.dataset).await;
    let used = told.iter().find(|(what, _)| *what == "used");
    if brought.is_some() { "they are".to_owned() } else { used.map(|(_, is)| is.clone()).unwrap() }
}

#[tokio::test]
async fn a_part_that_was_archived_meanwhile_is_not_called_damage() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    for _ in 0..2 {
        Writer::open(&data).await.unwrap().close().await.unwrap();
    }
    let open = || Dataset::open(&data).unwrap();
    assert_eq!(why_not(open(), &place.path().join("cache")).await, "they are");
    let archived = open().reader().clone();
    let archived = open().read_through(Arc::new(Archived(archived, AtomicBool::new(false))));
    assert_eq!(
        why_not(archived, &place.path().join("another")).await,
        "no: entries were archived meanwhile, and the tables begin anew: ask again"
    );
}
