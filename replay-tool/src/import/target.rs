//! A data directory in the making: beside its place until it is whole, and there at once.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tachograph_adapters::bundle::{BundleError, is_mount_point};
use tachograph_engine::ports::JournalError;

use super::ImportProblem;
use crate::error::Error;

/// Names that are tried, in case a crash left some behind.
const TRIES: u32 = 64;

/// A directory beside the place of a new data directory. Unless it is [finished](Self::finish) it is removed when this is
/// dropped; a crash leaves it under its own name, `.NAME.importing-…`, which may be deleted, and nothing at the place itself.
#[derive(Debug)]
pub struct Target {
    place: PathBuf,
    building: PathBuf,
    is_finished: bool,
}

impl Target {
    /// Makes the directory beside a place that does not exist or is an empty directory.
    ///
    /// # Errors
    ///
    /// [`ImportProblem::Occupied`] if there is something at the place; [`BundleError::MountPoint`]; [`Error::Journal`] if the system refuses.
    pub fn begin(place: &Path) -> Result<Self, Error> {
        let place = settled(place)?;
        let name = place.file_name().ok_or_else(|| occupied(&place))?.to_owned();
        for number in 0..TRIES {
            let mut hidden = OsString::from(".");
            hidden.push(&name);
            hidden.push(format!(".importing-{}-{number}", std::process::id()));
            let building = place.with_file_name(hidden);
            match DirBuilder::new().mode(0o700).create(&building) {
                Ok(()) => return Ok(Self { place, building, is_finished: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(JournalError::io("create", building, error).into()),
            }
        }
        Err(occupied(&place))
    }

    /// Where to build.
    pub fn path(&self) -> &Path {
        &self.building
    }

    /// Puts what was built at its place, in one step and durably.
    ///
    /// # Errors
    ///
    /// [`ImportProblem::Occupied`] if something came there meanwhile; [`Error::Journal`] if the system refuses.
    pub fn finish(mut self) -> Result<(), Error> {
        let sync = |path: &Path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(|error| JournalError::io("sync", path, error))
        };
        sync(&self.building)?;
        // Over an empty directory, too; never over one with something in it, nor over a file.
        fs::rename(&self.building, &self.place).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                occupied(&self.place)
            }
            _ => JournalError::io("rename", &self.building, error).into(),
        })?;
        self.is_finished = true;
        Ok(sync(parent(&self.place))?)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_dir_all(&self.building)
        {
            tracing::warn!(%error, path = %self.building.display(), "what was half made is still there");
        }
    }
}

/// The place itself, if it is free: behind links, since a rename would replace the link.
fn settled(place: &Path) -> Result<PathBuf, Error> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = fs::canonicalize(parent(place));
            let above = above.map_err(|error| JournalError::io("open", parent(place), error))?;
            let name = place.file_name().ok_or_else(|| occupied(place))?;
            return Ok(above.join(name));
        }
        Err(error) => return Err(JournalError::io("open", place, error).into()),
        Ok(_) => {}
    }
    let is_empty = fs::read_dir(place).and_then(|mut entries| entries.next().transpose()).map(|entry| entry.is_none());
    match is_empty {
        Ok(true) if is_mount_point(place) => Err(BundleError::MountPoint { path: place.to_owned() }.into()),
        Ok(true) => fs::canonicalize(place).map_err(|error| JournalError::io("open", place, error).into()),
        Ok(false) => Err(occupied(place)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(occupied(place)),
        Err(error) => Err(JournalError::io("read", place, error).into()),
    }
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn occupied(place: &Path) -> Error {
    ImportProblem::Occupied { path: place.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_finished_is_at_its_place_and_nothing_is_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        for (name, exists) in [("absent", false), ("empty", true)] {
            let place = dir.path().join(name);
            if exists {
                fs::create_dir(&place).unwrap();
            }
            let target = Target::begin(&place).unwrap();
            fs::write(target.path().join("file"), "x").unwrap();
            assert_eq!(names(dir.path()).iter().filter(|name| name.contains(".importing-")).count(), 1);
            target.finish().unwrap();
            assert_eq!(names(&place), ["file"]);
        }
        assert_eq!(names(dir.path()), ["absent", "empty"]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::begin(&dir.path().join("data")).unwrap();
        fs::write(target.path().join("file"), "x").unwrap();
        drop(target);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_place_with_something_in_it_is_refused_also_if_that_came_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("data");
        let target = Target::begin(&place).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join("other"), "x").unwrap();
        assert_eq!(target.finish().unwrap_err().code(), "occupied");
        assert_eq!(names(dir.path()), ["data"]);
        for taken in [place, dir.path().join("data/other")] {
            assert_eq!(Target::begin(&taken).unwrap_err().code(), "occupied", "{}", taken.display());
        }
        assert_eq!(names(&dir.path().join("data")), ["other"]);
    }

    #[test]
    fn a_link_to_an_empty_directory_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let target = Target::begin(&dir.path().join("link")).unwrap();
        fs::write(target.path().join("file"), "x").unwrap();
        target.finish().unwrap();
        assert_eq!(names(dir.path()), ["link", "real"]);
        assert_eq!(names(&dir.path().join("real")), ["file"]);
    }
}
