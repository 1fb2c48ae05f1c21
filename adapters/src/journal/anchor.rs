//! The anchor: the last durable position and hash, kept outside the segments, so that a tail that was cut off cleanly
//! is noticed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::{Head, JournalError};
use ulid::Ulid;

use super::disk::{Disk, Mode};
use super::fields::Fields;
use super::{FORMAT_VERSION, read_up_to};

/// Bytes of the anchor file.
pub(crate) const BYTES: usize = 120;
/// Its name in the journal directory.
pub(crate) const FILE: &str = "anchor";
const TEMPORARY: &str = "anchor.tmp";
const MAGIC: &[u8; 8] = b"TACHOANC";
const CRC_AT: usize = BYTES - 4;

/// What the anchor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Which journal.
    pub(crate) journal: Ulid,
    /// A durable end of it.
    pub(crate) head: Head,
    /// Entries up to here were found to be gone when the journal was opened at `head`, and nothing was appended since.
    pub(crate) missing_up_to: Option<(Position, Digest)>,
}

/// The anchor file as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none: a journal in its first second, or somebody removed it.
    Absent,
    /// As it was written.
    Sound(Anchor),
    /// Not as it was written. It is replaced atomically, so a crash cannot have done it.
    Bad,
    /// Sound, of a newer format version.
    Newer(u32),
}

impl Anchor {
    fn encode(&self) -> [u8; BYTES] {
        let (missing, digest) = self.missing_up_to.unwrap_or((Position::ZERO, Digest::ZERO));
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal.0.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.head.position.0.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.head.digest.0);
        bytes[72..80].copy_from_slice(&missing.0.to_le_bytes());
        bytes[80..112].copy_from_slice(&digest.0);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Found {
        Self::decode_fields(bytes).unwrap_or(Found::Bad)
    }

    fn decode_fields(bytes: &[u8]) -> Option<Found> {
        let (body, crc) = bytes.split_at_checked(CRC_AT)?;
        if bytes.len() != BYTES || !body.starts_with(MAGIC) || crc != crc32c::crc32c(body).to_le_bytes() {
            return None;
        }
        let mut fields = Fields(&body[8..]);
        let version = fields.u32()?;
        if version > FORMAT_VERSION {
            return Some(Found::Newer(version));
        }
        let reserved = fields.u32()?;
        let journal = Ulid(fields.id()?);
        let head = Head { position: fields.position()?, digest: fields.digest()? };
        let missing = (fields.position()?, fields.digest()?);
        let sound = version == FORMAT_VERSION && reserved == 0 && fields.u32()? == 0;
        let missing_up_to = (missing.0 > Position::ZERO).then_some(missing);
        sound.then_some(Found::Sound(Self { journal, head, missing_up_to }))
    }

    /// Reads the anchor of a journal directory.
    pub(crate) fn find(disk: &dyn Disk, journal_dir: &Path) -> Result<Found, JournalError> {
        let path = journal_dir.join(FILE);
        let file = match disk.open(&path, Mode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(JournalError::io("open", path, error)),
        };
        // One byte more than it has, so that a longer file is noticed.
        let mut bytes = [0; BYTES + 1];
        let read = read_up_to(&*file, &mut bytes, 0).map_err(|error| JournalError::io("read", path, error))?;
        Ok(Self::decode(&bytes[..read]))
    }

    /// Replaces the anchor of a journal directory; a crash leaves the old or the new one whole.
    pub(crate) fn write(&self, disk: &dyn Disk, journal_dir: &Path) -> Result<(), JournalError> {
        let temporary = journal_dir.join(TEMPORARY);
        let write = || {
            match disk.remove(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.open(&temporary, Mode::Create)?;
            file.append(&self.encode())?;
            file.sync()?;
            disk.rename(&temporary, &journal_dir.join(FILE))?;
            disk.sync_dir(journal_dir)
        };
        write().map_err(|error| JournalError::io("replace", journal_dir.join(FILE), error))
    }
}

/// Why an anchor that is not as it was written stops everything: what it would have shown is unknown.
pub(crate) const BAD: &str =
    "the anchor is not as it was written; without it a cut tail cannot be noticed: move it away to go on without it";

/// What follows for a verification if there is none.
pub(crate) const ABSENT: &str =
    "there is no anchor: unless the journal is younger than a second, it was removed; a cut tail cannot be noticed";

impl Found {
    /// The anchor, if there is one.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] or [`JournalError::NewerFormat`].
    pub(crate) fn sound(self, journal_dir: &Path) -> Result<Option<Anchor>, JournalError> {
        let file = journal_dir.join(FILE);
        match self {
            Self::Absent => Ok(None),
            Self::Sound(anchor) => Ok(Some(anchor)),
            Self::Bad => Err(JournalError::Damaged { file, offset: 0, why: BAD.to_owned() }),
            Self::Newer(found) => Err(JournalError::NewerFormat { path: file, found, supported: FORMAT_VERSION }),
        }
    }
}

/// Replaces the anchor in a thread of its own, at most once per interval, so that no append waits for it.
#[derive(Debug)]
pub(crate) struct AnchorKeeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    journal_dir: PathBuf,
    journal: Ulid,
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    head: Option<Head>,
    stop: bool,
    /// Whether the thread waits for work rather than for its interval to pass.
    idle: bool,
}

impl AnchorKeeper {
    /// Starts the thread; without an interval there is none, and the anchor is written on close alone.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        journal_dir: PathBuf,
        journal: Ulid,
        interval: Option<Duration>,
    ) -> Result<Self, JournalError> {
        let wanted = Mutex::new(Wanted::default());
        let shared = Arc::new(Shared { disk, journal_dir, journal, wanted, changed: Condvar::new() });
        let Some(interval) = interval else { return Ok(Self { shared, thread: None }) };
        let keeper = shared.clone();
        let thread = thread::Builder::new()
            .name("tacho-anchor".to_owned())
            .spawn(move || keeper.keep(interval))
            .map_err(|error| JournalError::io("start the anchor thread of", &shared.journal_dir, error))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes a new durable end.
    pub(crate) fn note(&self, head: Head) {
        if self.thread.is_none() {
            return;
        }
        let mut wanted = self.shared.lock();
        wanted.head = Some(head);
        if wanted.idle {
            self.shared.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.lock().stop = true;
            self.shared.changed.notify_one();
            if thread.join().is_err() {
                tracing::error!("the anchor thread panicked");
            }
        }
    }
}

impl Drop for AnchorKeeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, interval: Duration) {
        while let Some(head) = self.next() {
            let anchor = Anchor { journal: self.journal, head, missing_up_to: None };
            if let Err(error) = anchor.write(&*self.disk, &self.journal_dir) {
                // The entries are durable all the same; the anchor on close reports a failure that lasts.
                tracing::warn!(%error, "the anchor could not be replaced");
            }
            let wanted = self.lock();
            drop(self.changed.wait_timeout_while(wanted, interval, |wanted| !wanted.stop));
        }
    }

    /// The next head to write, once there is one; absent when the keeper stops.
    fn next(&self) -> Option<Head> {
        let mut wanted = self.lock();
        loop {
            if wanted.stop {
                return None;
            }
            if let Some(head) = wanted.head.take() {
                return Some(head);
            }
            wanted.idle = true;
            wanted = self.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner);
            wanted.idle = false;
        }
    }
}
