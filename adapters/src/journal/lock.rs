//! The writer's lock on a data directory.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{io, process};

use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::JournalError;

use super::disk::{Disk, Held, Locking};

const FILE: &str = "LOCK";

/// Held by the one writer of a data directory; the kernel takes it back with the process.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _held: Box<dyn Held>,
}

impl WriterLock {
    /// Takes the lock.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] with the holder's own words, [`JournalError::ReadOnly`] if the directory cannot be
    /// written, or [`JournalError::Io`].
    pub(crate) fn take(disk: &dyn Disk, data_dir: &Path) -> Result<Self, JournalError> {
        let path: PathBuf = data_dir.join(FILE);
        match disk.lock(&path, &holder()) {
            Ok(Locking::Held(held)) => Ok(Self { _held: held }),
            Ok(Locking::Busy(text)) => Err(JournalError::Locked { path: data_dir.to_owned(), holder: readable(&text) }),
            Err(error) if is_read_only(&error) => Err(JournalError::ReadOnly { path: data_dir.to_owned() }),
            Err(error) => Err(JournalError::io("lock", path, error)),
        }
    }
}

/// Whether the answer means that the place cannot be written by this user.
pub(super) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let since = Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    format!("pid {} on host {host} since {since}\n", process::id())
}

fn readable(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|char| !char.is_control()).collect();
    if line.is_empty() { "a writer that has not said who it is".to_owned() } else { line }
}
