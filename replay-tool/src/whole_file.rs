//! A file that comes to be as a whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
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

    /// Makes it durable, and gives it its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| JournalError::io("sync", &self.beside, error))?;
        // Never over a file that came there meanwhile.
        let flags = if self.replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &self.beside, CWD, &self.place, flags).map_err(|error| match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::AlreadyExists => occupied(&self.place),
            error => JournalError::io("rename", &self.beside, error).into(),
        })?;
        self.is_finished = true;
        Ok(())
    }
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
