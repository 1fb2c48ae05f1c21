//! A file that appears under its name when it is complete, and not before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tachograph_engine::ports::JournalError;
use ulid::Ulid;

use super::error::BundleError;

/// A file in the making, for its owner alone. Dropped before it is published, it is removed; a crash leaves a file whose
/// name ends in `.tmp`.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    replaces: bool,
    published: bool,
}

impl Target {
    /// Begins a file. Without `replaces`, none may exist under its name.
    pub(super) fn create(path: &Path, replaces: bool) -> Result<Self, BundleError> {
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(BundleError::Occupied { path: path.to_owned() });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", Ulid::new()));
        let temporary = path.with_file_name(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = opened.map_err(|error| JournalError::io("create", &temporary, error))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), temporary, file, replaces, published: false })
    }

    /// The error for a write that failed.
    pub(super) fn error(&self, error: io::Error) -> BundleError {
        JournalError::io("write", &self.temporary, error).into()
    }

    /// Makes it durable, and gives it its name.
    pub(super) fn publish(mut self) -> Result<(), BundleError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| self.error(error))?;
        let published = if self.replaces {
            fs::rename(&self.temporary, &self.path)
        } else {
            // Unlike a rename, a link never takes the place of what somebody else made meanwhile.
            fs::hard_link(&self.temporary, &self.path).and_then(|()| fs::remove_file(&self.temporary))
        };
        match published {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BundleError::Occupied { path: self.path.clone() });
            }
            published => published.map_err(|error| JournalError::io("create", &self.path, error))?,
        }
        self.published = true;
        sync_parent(&self.path)?;
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.published && fs::remove_file(&self.temporary).is_err() {
            tracing::debug!(path = %self.temporary.display(), "the unfinished file could not be removed");
        }
    }
}

/// Makes a name durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), JournalError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(parent).and_then(|parent| parent.sync_all()) {
        // A directory that may not be read cannot be synced either; what is in it is synced all the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(|error| JournalError::io("sync", parent, error)),
    }
}
