//! A reader over entries, and an output that is kept.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tachograph_engine::domain::{CommandId, Digest, Entry, Event, Position, RunId, Timestamp};
use tachograph_engine::ports::{Head, JournalError, JournalReader, RunHead};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::{Format, Output, Reading};

use crate::made::{Made, START};

/// Entries in memory. A damaged position makes every read of it fail, as in a file.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    pub(crate) damaged: Option<Position>,
}

impl Entries {
    fn check(&self, at: Position) -> Result<(), JournalError> {
        if self.damaged == Some(at) {
            return Err(JournalError::Damaged { file: "made.seg".into(), offset: at.0, why: "made so".to_owned() });
        }
        Ok(())
    }
}

#[async_trait]
impl JournalReader for Entries {
    fn head(&self) -> Head {
        Head { position: Position(self.entries.len() as u64), digest: Digest::ZERO }
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        // Shorter than asked for, so that callers must go on.
        let entries: Vec<Entry> = self.entries.iter().skip(after.0 as usize).take(limit.min(7)).cloned().collect();
        entries.iter().try_for_each(|entry| self.check(entry.position))?;
        Ok(entries)
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        self.check(at)?;
        Ok(self.entries.iter().find(|entry| entry.position == at).cloned())
    }

    async fn digest_at(&self, _: Position) -> Result<Option<Digest>, JournalError> {
        Ok(None)
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        let about =
            |entry: &&Entry| entry.run() == Some(run) && (entry.previous.is_some() || !entry.events().is_empty());
        let last = self.entries.iter().rev().find(about);
        let version = self.entries.iter().filter(about).map(|entry| entry.events().len() as u64).sum();
        Ok(last.map(|entry| RunHead { version: tachograph_engine::domain::Version(version), last: entry.position }))
    }

    async fn answered(&self, _: RunId, _: CommandId) -> Result<Option<Position>, JournalError> {
        Ok(None)
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        let takes = |event: &Event| matches!(event, Event::Created { spec, .. } if spec.name.as_deref() == Some(name));
        let taker = self.entries.iter().rev().find(|entry| entry.events().iter().any(takes));
        Ok(taker.and_then(Entry::run))
    }
}

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time at which the made journal is read: an hour after its end.
pub(crate) fn now() -> Timestamp {
    START.plus_millis(3 * 3_600_000)
}

/// The made journal.
pub(crate) fn dataset() -> Dataset {
    damaged(None)
}

/// The made journal with damage at a position.
pub(crate) fn damaged(damaged: Option<Position>) -> Dataset {
    let entries = Entries { entries: Made::journal().entries, damaged };
    Dataset::over(Arc::new(entries), Path::new("made"))
}

/// Runs a read command over the made journal and returns what it printed.
pub(crate) fn printed(
    format: Format,
    command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>,
) -> Result<String, Error> {
    printed_of(dataset(), Machine::of("elsewhere", "another-boot", "made"), format, command)
}

/// Runs a read command over a journal on a machine and returns what it printed.
pub(crate) fn printed_of(
    dataset: Dataset,
    machine: Machine,
    format: Format,
    command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>,
) -> Result<String, Error> {
    printed_at(now(), dataset, machine, format, command)
}

/// The same at another time.
pub(crate) fn printed_at(
    now: Timestamp,
    dataset: Dataset,
    machine: Machine,
    format: Format,
    command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>,
) -> Result<String, Error> {
    let kept = Kept::default();
    let output = Output::into_writer(Box::new(kept.clone()), false);
    let mut reading = Reading { dataset, format, now, machine, output };
    run(async {
        command(&mut reading).await?;
        reading.output.flush()
    })?;
    let bytes = kept.0.lock().unwrap().clone();
    Ok(String::from_utf8(bytes).unwrap())
}

/// Runs a future to its end.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
