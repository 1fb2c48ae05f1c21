//! The one writer of a data directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tachograph_engine::domain::{Digest, Entry};
use tachograph_engine::ports::{AppendError, Draft, Head, Journal, JournalError, JournalReader, Opening};
use ulid::Ulid;

use super::active::Active;
use super::anchor::{Anchor, AnchorKeeper};
use super::disk::{Disk, RealDisk};
use super::frame::{ENTRY_BYTES_MAX, FrameBatch};
use super::lock::{WriterLock, is_read_only};
use super::recover::Recovered;
use super::segment::SegmentHeader;
use super::{Durability, FileReader, JOURNAL_DIR, JournalOptions};
use crate::index::{Catalog, place};

/// What the writer shares with the readers of its own process.
#[derive(Debug)]
pub(super) struct Published {
    head: Mutex<Head>,
    /// What is known about the runs up to there.
    pub(super) catalog: Catalog,
}

impl Published {
    /// The end of what is acknowledged.
    pub(super) fn head(&self) -> Head {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal in a data directory, opened for writing.
///
/// Its calls block on the disk: they belong on a thread of their own. Dropping it without
/// [`close`](Journal::close) leaves what a crash would leave, and loses nothing acknowledged.
#[derive(Debug)]
pub struct FileJournal {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    journal_dir: PathBuf,
    options: JournalOptions,
    journal: Ulid,
    opening: Opening,
    ordinal: u64,
    link: Digest,
    head: Head,
    /// The end of what is synced; behind `head` with [`Durability::Buffered`] alone.
    durable: Head,
    active: Active,
    batch: FrameBatch,
    published: Arc<Published>,
    reader: Arc<FileReader>,
    anchors: AnchorKeeper,
    /// Whether something was appended since it was opened.
    appended: bool,
    poison: Option<JournalError>,
    /// Given back last.
    _lock: WriterLock,
}

impl FileJournal {
    /// Opens the journal of a data directory for writing, and makes both if there is nothing.
    ///
    /// Everything in it is checked first. A torn tail is cut off; damage is refused, and then nothing is changed.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another writer has it; [`JournalError::ReadOnly`], [`JournalError::NoJournal`] if
    /// the place cannot hold one; [`JournalError::Damaged`] with file and offset; [`JournalError::NewerFormat`];
    /// [`JournalError::Full`] or [`JournalError::Io`].
    pub fn open(data_dir: &Path, options: JournalOptions) -> Result<Self, JournalError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let files = disk.clone();
        Self::open_with(disk, data_dir, options, || {
            Catalog::open(data_dir, |position| FileReader::digest_in(files.clone(), data_dir, position))
        })
    }

    /// The same on another disk, for tests of faults and power cuts. What is known about ended runs is kept in memory,
    /// not in the index.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, data_dir: &Path, options: JournalOptions) -> Result<Self, JournalError> {
        Self::open_with(disk, data_dir, options, Catalog::in_memory)
    }

    fn open_with(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        options: JournalOptions,
        catalog: impl Fn() -> Catalog,
    ) -> Result<Self, JournalError> {
        make_dir(&*disk, data_dir)?;
        let lock = WriterLock::take(&*disk, data_dir)?;
        let journal_dir = data_dir.join(JOURNAL_DIR);
        make_dir(&*disk, &journal_dir)?;
        let mut known = catalog();
        let mut found = Recovered::scan(&*disk, &journal_dir, &known);
        if !known.is_sound() {
            // It was taken for this journal's and proved wrong: by now it is deleted, and the next one begins empty.
            known = catalog();
            found = Recovered::scan(&*disk, &journal_dir, &known);
        }
        let (found, catalog) = (found?, known);
        found.settle(&*disk, &journal_dir)?;
        catalog.caught_up();
        let journal = found.journal.or(options.journal).unwrap_or_else(Ulid::new);
        let (mut ordinal, mut link) = (found.ordinal, found.link);
        let active = match found.active {
            Some(active) => active,
            None => {
                ordinal += 1;
                let first = found.head.position.next();
                let header = SegmentHeader { journal, ordinal, first, previous: link };
                link = header.hash();
                Active::create(&*disk, &journal_dir, &header)?
            }
        };
        let head = found.head;
        let published = Arc::new(Published { head: Mutex::new(head), catalog });
        let reader = Arc::new(FileReader::live(disk.clone(), data_dir, published.clone())?);
        let anchors = AnchorKeeper::start(disk.clone(), journal_dir.clone(), journal, options.anchor_interval)?;
        Ok(Self {
            disk,
            data_dir: data_dir.to_owned(),
            journal_dir,
            options,
            journal,
            opening: found.opening,
            ordinal,
            link,
            head,
            durable: head,
            active,
            batch: FrameBatch::default(),
            published,
            reader,
            anchors,
            appended: false,
            poison: None,
            _lock: lock,
        })
    }

    /// The journal's identity, the same in all its segments.
    pub fn id(&self) -> Ulid {
        self.journal
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn append_now(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone().into());
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        if !self.published.catalog.is_sound() {
            // Without it every answer is looked for in the files. Memory has to do until the next open.
            self.published.catalog.rebuild(|see| self.reader.for_each(see))?;
        }
        let entries = place(drafts, self.head.position, |run| self.reader.run_head_now(run))?;
        match self.write(&entries).and_then(|()| self.publish(&entries)) {
            Ok(()) => Ok(entries),
            Err(error) => {
                self.poison = Some(match &error {
                    JournalError::Full { path } => JournalError::Full { path: path.clone() },
                    other => JournalError::Poisoned { why: other.to_string() },
                });
                Err(error.into())
            }
        }
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.batch.clear();
        for entry in entries {
            self.batch.push(entry).map_err(|large| self.too_large(entry, large.bytes))?;
        }
        self.keep_missing()?;
        let full = self.active.bytes + self.batch.len() as u64 > self.options.segment_bytes;
        if full && self.active.first <= self.head.position {
            self.roll()?;
        }
        let link = self.batch.finish(self.durable.position, self.link);
        let is_synced = self.options.durability == Durability::Synced;
        if is_synced {
            self.active.take_room(self.batch.len() as u64, self.options.segment_bytes);
        }
        self.active.append(self.batch.bytes())?;
        if is_synced {
            self.active.sync()?;
        }
        self.link = link;
        self.appended = true;
        Ok(())
    }

    /// Before the first append over a gap that the anchor alone knows of, the anchor is replaced by one that keeps that
    /// knowledge: the old one would contradict what is appended now.
    fn keep_missing(&mut self) -> Result<(), JournalError> {
        if self.appended || self.opening.missing_up_to.is_none() {
            return Ok(());
        }
        let missing_up_to = self.opening.missing_up_to;
        Anchor { journal: self.journal, head: self.durable, missing_up_to }.write(&*self.disk, &self.journal_dir)
    }

    /// Makes what was written visible. Reached only when it is as durable as was promised.
    fn publish(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        for placed in self.batch.placed() {
            self.active.contents.frame(placed.first, self.active.bytes + placed.start as u64);
        }
        let (catalog, reader) = (&self.published.catalog, &self.reader);
        for entry in entries {
            self.active.contents.entry(entry, |run| reader.run_head_now(run))?;
            self.head.position = entry.position;
        }
        self.active.bytes += self.batch.len() as u64;
        self.head.digest = self.link;
        // The head first: what the catalog points to can always be read.
        *self.published.lock() = self.head;
        catalog.observe(entries, self.head.digest);
        if self.options.durability == Durability::Synced {
            self.durable = self.head;
            self.anchors.note(self.durable);
        }
        Ok(())
    }

    /// Seals the full segment and begins the next.
    fn roll(&mut self) -> Result<(), JournalError> {
        let next = self.head.position.next();
        let previous = self.active.seal(next, self.durable.position, self.link)?;
        self.durable = self.head;
        self.anchors.note(self.durable);
        let header = SegmentHeader { journal: self.journal, ordinal: self.ordinal + 1, first: next, previous };
        self.active = Active::create(&*self.disk, &self.journal_dir, &header)?;
        self.ordinal = header.ordinal;
        self.link = header.hash();
        Ok(())
    }

    fn too_large(&self, entry: &Entry, bytes: usize) -> JournalError {
        let why = format!("entry {} has {bytes} bytes; at most {ENTRY_BYTES_MAX}", entry.position);
        JournalError::io("append to", &self.active.path, io::Error::new(io::ErrorKind::InvalidInput, why))
    }

    fn close_now(mut self) -> Result<(), JournalError> {
        self.anchors.stop();
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        let was_given_back = self.active.give_back().unwrap_or_else(|error| {
            // The next open cuts it off; nothing of what was acknowledged depends on it.
            tracing::debug!(%error, "the journal keeps the room that it did not use");
            false
        });
        if was_given_back || self.durable != self.head {
            self.active.sync()?;
            self.durable = self.head;
        }
        if self.opening.missing_up_to.is_some() && !self.appended {
            // The old anchor is the only witness of what is missing.
            return Ok(());
        }
        Anchor { journal: self.journal, head: self.durable, missing_up_to: None }.write(&*self.disk, &self.journal_dir)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        // Readers may live on; the index must not stay open with them.
        self.published.catalog.close();
    }
}

#[async_trait]
impl Journal for FileJournal {
    fn opening(&self) -> Opening {
        self.opening.clone()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        self.append_now(drafts)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.reader.clone()
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        self.close_now()
    }
}

/// Makes a directory durably, unless it exists.
fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
    disk.create_dir(dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            JournalError::NoJournal { path: dir.to_owned(), why: "it is a file, not a directory".to_owned() }
        }
        _ if is_read_only(&error) => JournalError::ReadOnly { path: dir.to_owned() },
        _ => JournalError::io("create", dir, error),
    })
}
