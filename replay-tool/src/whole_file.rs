//! A file that comes to be as a whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tachograph_engine::ports::JournalError;

use crate::error::Error;
use crate::import::ImportProblem;

/// A file that is beside its place until it is whole.
pub(crate) struct WholeFile {
    place: PathBuf,
    beside: PathBuf,
    file: File,
    replaces: bool,
    is_finished: bool,
}

impl WholeFile {
    /// Begins a file. Unless it `replaces` what has the name, nothing may have it.
    ///
    /// # Errors
    ///
    /// [`Error`] if it cannot be made; the same holds for [`finish`](Self::finish).
    pub(crate) fn create(place: &Path, replaces: bool) -> Result<Self, Error> {
        let is_free = |_: &&OsStr| replaces || place.symlink_metadata().is_err();
        let name = place.file_name().filter(is_free).ok_or_else(|| occupied(place))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".exporting-{}", std::process::id()));
        let beside = place.with_file_name(hidden);
        // Evidence may hold what is nobody else's business.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| JournalError::io("create", &beside, error))?;
        Ok(Self { place: place.to_owned(), beside, file, replaces, is_finished: false })
    }

    /// The file in the making.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is until then.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// Makes it durable, gives it its name, and makes that durable.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.finish_by(sync_names)
    }

    /// The same, with what makes the names in a directory durable.
    fn finish_by(mut self, sync_names: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| JournalError::io("sync", &self.beside, error))?;
        // Never over a file that came there meanwhile.
        let flags = if self.replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &self.beside, CWD, &self.place, flags).map_err(|error| match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::AlreadyExists => occupied(&self.place),
            error => JournalError::io("rename", &self.beside, error).into(),
        })?;
        self.is_finished = true;
        let directory = self.place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        kept(sync_names(directory)).map_err(|error| JournalError::io("sync", directory, error).into())
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// What that came to: a directory that may not be read cannot be synced either, and there are file systems that sync none. What
/// was asked for is there all the same.
pub(crate) fn kept(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || syncs_none(&error) => Ok(()),
        synced => synced,
    }
}

/// Whether a file system says that it does not sync directories.
fn syncs_none(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn occupied(place: &Path) -> Error {
    ImportProblem::Occupied { path: place.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn begun(place: &Path) -> WholeFile {
        let mut file = WholeFile::create(place, false).unwrap();
        file.file().write_all(b"all").unwrap();
        file
    }

    #[test]
    fn the_name_of_a_whole_file_is_made_durable_once_it_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("whole");
        let mut synced = None;
        let finished = begun(&place).finish_by(|directory| {
            synced = Some((directory.to_owned(), fs::read_dir(directory)?.count()));
            assert_eq!(fs::read(&place)?, b"all");
            Ok(())
        });
        finished.unwrap();
        assert_eq!(synced, Some((dir.path().to_owned(), 1)));
    }

    #[test]
    fn a_name_that_may_not_be_durable_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("whole");
        let error = begun(&place).finish_by(|_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(error.to_string().contains("sync") || error.code() == "disk_full", "{error}");
        assert!(place.is_file(), "it may be there all the same");
        for errno in [Errno::IO, Errno::NOSPC] {
            begun(&dir.path().join(errno.raw_os_error().to_string())).finish_by(|_| Err(errno.into())).unwrap_err();
        }
    }

    #[test]
    fn where_no_directory_can_be_synced_a_file_is_finished_without() {
        let dir = tempfile::tempdir().unwrap();
        for errno in [Errno::ACCESS, Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS] {
            let place = dir.path().join(errno.raw_os_error().to_string());
            begun(&place).finish_by(|_| Err(errno.into())).unwrap_or_else(|error| panic!("{errno:?}: {error}"));
            assert_eq!(fs::read(&place).unwrap(), b"all");
            fs::remove_file(&place).unwrap();
        }
        begun(&dir.path().join("synced")).finish().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
