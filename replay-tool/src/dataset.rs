//! A journal that is read: which part of it there is, and its entries.

mod fleet;
mod history;
mod resolving;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tachograph_adapters::bundle::BundleReader;
use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::journal::ArchivedIn;
use tachograph_engine::domain::{Entry, Position, RunId, Timestamp};
use tachograph_engine::ports::{JournalError, JournalReader};
use ulid::Ulid;

use crate::error::Error;
use crate::held::{Held, Stretch};
use crate::machine::LastWriter;
use crate::progress::Bar;
pub(crate) use crate::salvaging::FileMark;
use crate::salvaging::SalvagingReader;
use crate::when::AsOf;

pub(crate) use self::fleet::AllRuns;
pub use self::fleet::Current;
pub use self::history::{Border, History};

/// Directory of the runs' own files in a data directory.
pub(crate) const RUNS_DIR: &str = "runs";
/// Entries that are held at a time at most while the journal is gone through.
const CHUNK_ENTRIES: usize = 4_096;

/// A journal that is read. Nothing in it changes a byte.
#[derive(Clone)]
pub struct Dataset {
    reader: Arc<dyn JournalReader>,
    /// The same reader, if it goes on past damage.
    salvaging: Option<Arc<SalvagingReader>>,
    /// Saved folds, if the files of the journal are read.
    checkpoints: Option<Arc<FileCheckpoints>>,
    data: PathBuf,
    /// Of files, all but what is archived by now.
    held: Held,
    /// Whether a terminal on standard error shows how far a long look through the entries is.
    shows_progress: bool,
    /// What ends a long look through the entries early once it is set.
    stop: Arc<AtomicBool>,
}

impl Dataset {
    /// Opens the journal of a data directory, or of a bundle, for reading: takes no lock, makes nothing, changes nothing.
    ///
    /// Damage in a directory is no obstacle: all that can be read is shown, and [`damage`](Self::damage) tells afterwards
    /// what cannot. Evidence with a damaged part is none: of a bundle nothing is read behind damage.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if there is no journal, or its files cannot be read at all.
    pub fn open(data: &Path) -> Result<Self, JournalError> {
        if data.is_file() {
            let bundle = BundleReader::open(data)?;
            let held = Held::by(bundle.manifest());
            return Ok(Self { held, ..Self::over(Arc::new(bundle), data) });
        }
        let salvaging = Arc::new(SalvagingReader::open(data)?);
        let checkpoints = Some(Arc::new(FileCheckpoints::read_only(data)));
        Ok(Self {
            reader: salvaging.clone(),
            salvaging: Some(salvaging),
            checkpoints,
            data: data.to_owned(),
            held: Held::Whole,
            shows_progress: false,
            stop: Arc::default(),
        })
    }

    /// The journal behind a reader; `data` is where it is said to be in messages. Where that reader meets damage,
    /// reading ends with its error.
    pub fn over(reader: Arc<dyn JournalReader>, data: &Path) -> Self {
        let data = data.to_owned();
        let (salvaging, checkpoints, shows_progress, stop) = (None, None, false, Arc::default());
        Self { reader, salvaging, checkpoints, data, held: Held::Whole, shows_progress, stop }
    }

    /// The same, read through something that has it otherwise.
    #[cfg(test)]
    pub(crate) fn read_through(self, reader: Arc<dyn JournalReader>) -> Self {
        Self { reader, ..self }
    }

    /// The same, and a terminal on standard error shows how far a long look through the entries is.
    #[must_use]
    pub fn showing_progress(self) -> Self {
        Self { shows_progress: true, ..self }
    }

    /// The same, and a long look through the entries ends early once this is set: whoever sets it must ask for it, too.
    #[must_use]
    pub(crate) fn stopped_by(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// How far something over so many entries is, if that is to be shown.
    pub(crate) fn bar(&self, what: &'static str, entries: u64) -> Bar {
        if self.shows_progress { Bar::of_entries(what, entries) } else { Bar::hidden() }
    }

    /// How far something over so many bytes is, if that is to be shown.
    #[cfg(feature = "parquet")]
    pub(crate) fn bar_of_bytes(&self, what: &'static str, bytes: u64) -> Bar {
        if self.shows_progress { Bar::of_bytes(what, Some(bytes)) } else { Bar::hidden() }
    }

    /// The damage that was met so far, with the positions that are missing for it: what was read is not all.
    pub fn damage(&self) -> Option<JournalError> {
        self.salvaging.as_ref().and_then(|salvaging| salvaging.damage())
    }

    /// Whether what is appended can be followed: not if the last segment is damaged.
    pub fn can_follow(&self) -> bool {
        self.salvaging.as_ref().is_none_or(|salvaging| salvaging.can_follow())
    }

    /// The reader underneath.
    pub fn reader(&self) -> &Arc<dyn JournalReader> {
        &self.reader
    }

    /// Which part of a journal it is. Of a data directory that may become less while it is read, by archiving.
    pub fn held(&self) -> Held {
        match self.archived_in().pop() {
            // Read together with what was archived, it is whole.
            Some(archived) if self.reader.archived() > Position::ZERO => {
                let last = self.reader.head().position;
                let stretch = Stretch { first: archived.last.next(), last, of: last };
                Held::Rest { stretch, bundle: archived.bundle }
            }
            _ => self.held.clone(),
        }
    }

    /// Up to here nothing is held.
    fn held_after(&self) -> Position {
        self.held.before().max(self.reader.archived())
    }

    /// Looks whether another process archived entries since this was asked last, and so, whether less is held than before.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub(crate) fn look_for_archive(&self) -> Result<bool, JournalError> {
        self.salvaging.as_ref().map_or(Ok(false), |salvaging| salvaging.look_for_archive())
    }

    /// The identity of the journal, if its own files are read.
    pub(crate) fn journal(&self) -> Option<Ulid> {
        self.salvaging.as_ref().and_then(|salvaging| salvaging.journal())
    }

    /// The files of the journal, in order; none if it is read out of something else.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn journal_files(&self) -> io::Result<Vec<FileMark>> {
        self.salvaging.as_ref().map_or(Ok(Vec::new()), |salvaging| salvaging.files())
    }

    /// The error for what is told by archived entries alone, up to a position.
    pub(crate) fn archived(&self, position: Position) -> Error {
        JournalError::Archived { up_to: self.held_after(), bundle: self.bundle_of(position) }.into()
    }

    /// The bundles that archived entries are in, oldest first.
    pub(crate) fn archived_in(&self) -> Vec<ArchivedIn> {
        self.salvaging.as_ref().map(|salvaging| salvaging.archived_in()).unwrap_or_default()
    }

    /// The same journal, read together with what was archived.
    #[cfg(feature = "parquet")]
    pub(crate) fn rejoined(&self, reader: impl JournalReader + 'static) -> Self {
        Self { reader: Arc::new(reader), checkpoints: None, held: Held::Whole, ..self.clone() }
    }

    /// The bundle with an archived position, as it was named then.
    fn bundle_of(&self, position: Position) -> String {
        let bundles = self.archived_in();
        let holds = |archived: &&ArchivedIn| position <= archived.last;
        bundles.iter().find(holds).or(bundles.last()).map(|archived| archived.bundle.clone()).unwrap_or_default()
    }

    /// The data directory, as messages name it.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The directory with a run's own files, if there is one: its output, by attempt.
    pub fn files_of(&self, run: RunId) -> Option<PathBuf> {
        Some(self.data.join(RUNS_DIR).join(run.to_string())).filter(|path| path.is_dir())
    }

    /// The position that is meant; positions beyond the end stand for the end.
    ///
    /// A time stands for the last entry that was recorded at or before it, so that a clock that stepped back leaves
    /// nothing out that was recorded by then.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if it lies before all that is held, [`Error::Journal`] if the journal cannot be read; the latter
    /// for all that follow.
    pub async fn position(&self, as_of: Option<AsOf>, now: Timestamp) -> Result<Position, Error> {
        let head = self.reader.head().position;
        let (position, asked) = match as_of {
            None => return Ok(head),
            Some(AsOf::Position(position)) => (position.min(head), format!("position {position}")),
            Some(AsOf::Time(when)) => {
                let time = when.resolve(now);
                (self.position_at(time, head).await?, time.to_string())
            }
        };
        let before = self.held_after();
        if before == Position::ZERO || position > before {
            return Ok(position);
        }
        Err(Error::NotHeld { asked, data: self.data.clone(), held: Box::new(self.held()) })
    }

    /// By the footers of the files, if those are read. Else looks backwards from the end: a time that is asked for is more
    /// often recent than not.
    pub(crate) async fn position_at(&self, time: Timestamp, head: Position) -> Result<Position, JournalError> {
        if let Some(salvaging) = &self.salvaging
            && let Some(position) = salvaging.position_at(time)?
        {
            return Ok(position);
        }
        let mut end = head.0;
        while end > 0 {
            let start = end.saturating_sub(CHUNK_ENTRIES as u64);
            let mut found = None;
            let visitor = |entry: Entry| {
                found = if entry.recorded_at <= time { Some(entry.position) } else { found };
                true
            };
            self.visit(Position(start), Position(end), visitor).await?;
            if let Some(position) = found {
                return Ok(position);
            }
            end = start;
        }
        Ok(Position::ZERO)
    }

    /// A position up to which every entry was recorded before a time, by the footers of the files; zero if those are not read.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub(crate) fn before(&self, time: Timestamp) -> Result<Position, JournalError> {
        let before = self.salvaging.as_ref().map(|salvaging| salvaging.before(time)).transpose()?;
        Ok(before.flatten().unwrap_or(Position::ZERO))
    }

    /// Passes every entry after one position and up to another, in order, until the visitor returns false.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the journal cannot be read that far.
    pub async fn visit(
        &self,
        after: Position,
        up_to: Position,
        mut visitor: impl FnMut(Entry) -> bool,
    ) -> Result<(), JournalError> {
        let (begin, mut after) = (after, after);
        let bar = self.bar("reading", up_to.0.saturating_sub(begin.0));
        while after < up_to && !self.stop.load(Ordering::Relaxed) {
            bar.reached(after.0.saturating_sub(begin.0));
            let limit = usize::try_from(up_to.0 - after.0).unwrap_or(usize::MAX).min(CHUNK_ENTRIES);
            let before = after;
            for entry in self.reader.read_some(after, limit).await? {
                after = entry.position;
                if after > up_to || !visitor(entry) {
                    return Ok(());
                }
            }
            // A reader that stops short of its own end must not hang its caller.
            if after <= before {
                match &self.salvaging {
                    Some(salvaging) if salvaging.lacks(after, up_to)? => {}
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Up to so many entries after a position, beyond what is missing if there are any; none at the end.
    pub(crate) async fn some_after(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let entries = self.reader.read(after, limit).await?;
        match &self.salvaging {
            Some(salvaging) if entries.is_empty() && after < self.reader.head().position => {
                if salvaging.lacks(after, after.next())? { self.reader.read(after, limit).await } else { Ok(entries) }
            }
            _ => Ok(entries),
        }
    }

    /// When the last entry up to a position was recorded; absent if there is none that can be read.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub async fn recorded_at(&self, at: Position) -> Result<Option<Timestamp>, Error> {
        if let Some(entry) = self.reader.entry(at).await? {
            return Ok(Some(entry.recorded_at));
        }
        // Of one run's bundle, and beside damage, not every position is there.
        let (mut end, mut found) = (at.0, None);
        while end > self.held_after().0 && found.is_none() {
            let start = end.saturating_sub(CHUNK_ENTRIES as u64);
            self.visit(Position(start), Position(end), |entry| {
                found = Some(entry.recorded_at);
                true
            })
            .await?;
            end = start;
        }
        Ok(found)
    }

    /// The last writer that opened the journal to supervise; else the last one at all. Looks back from the end, as far as
    /// its opening.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub async fn last_writer(&self) -> Result<Option<LastWriter>, Error> {
        Ok(self.last_writer_by(self.reader.head().position).await?)
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("data", &self.data).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tachograph_adapters::process::Launch;
    use tachograph_engine::domain::{RunSpec, Workload};
    use tachograph_projections::Projection;

    use super::*;
    use crate::writer::Writer;

    /// Runs `true` under a name, and saves the fold of all runs on closing.
    async fn run_one(data: &Path, name: &str) {
        let mut writer = Writer::open(data).await.unwrap();
        writer.checkpoint_every = 1;
        let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: None };
        let spec = RunSpec { name: Some(name.to_owned()), workload, ..RunSpec::default() };
        let run = writer.runner.create(spec).await.unwrap();
        writer.runner.start(run, Launch::default()).await.unwrap().wait().await.unwrap();
        writer.close().await.unwrap();
    }

    #[tokio::test]
    async fn all_runs_are_the_same_from_a_checkpoint_and_without_one() {
        let data = tempfile::tempdir().unwrap();
        run_one(data.path(), "first").await;
        run_one(data.path(), "second").await;
        let dataset = Dataset::open(data.path()).unwrap();
        let end = dataset.reader.head().position;
        let saved = dataset.saved(end).await;
        assert!(saved.position() > Position(4), "the second checkpoint is used: {}", saved.position());
        assert_eq!(saved.records().count(), 2);
        let with = dataset.current(end).await.unwrap();
        let early = dataset.current(Position(4)).await.unwrap();
        assert_eq!(early.state.records().count(), 1, "as of before the second run");

        std::fs::remove_dir_all(data.path().join("checkpoints")).unwrap();
        let dataset = Dataset::open(data.path()).unwrap();
        assert_eq!(dataset.saved(end).await.position(), Position::ZERO);
        let without = dataset.current(end).await.unwrap();
        assert_eq!(with.state, without.state);
        assert_eq!((with.recorded_at, with.last_writer), (without.recorded_at, without.last_writer));
    }
}
