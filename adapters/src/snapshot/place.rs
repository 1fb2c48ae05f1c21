//! Where images are.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use tachograph_engine::ports::{SnapshotImage, WantedSnapshot};

use super::error::{StepError, TakeError, at};
use super::handover::Handover;
use super::sealing::seal_of;
use crate::sealing::Seal;

const FOLDER: &str = "snapshots";
const PARTIAL: &str = ".partial";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Numbers the parts, so that one that was given up and its successor never share a file.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// Where the image of one snapshot is: `<data>/snapshots/<RunId>/<SnapshotId><extension>`. What is not complete is beside
/// it and ends in `.partial`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    data: PathBuf,
    folder: PathBuf,
    name: String,
    extension: &'static str,
}

impl Place {
    /// Names the place; touches nothing. Nothing else than two ids reaches the path.
    pub(super) fn of(data: &Path, wanted: &WantedSnapshot, extension: &'static str) -> Self {
        let folder = data.join(FOLDER).join(wanted.run.to_string());
        Self { data: data.to_owned(), folder, name: wanted.snapshot.to_string(), extension }
    }

    /// The image.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join(format!("{}{}", self.name, self.extension))
    }

    /// A file for an image that is being made; no other call gets the same.
    pub(super) fn partial(&self) -> PathBuf {
        let (pid, part) = (std::process::id(), PARTS.fetch_add(1, Ordering::Relaxed));
        self.folder.join(format!("{}{}.{pid}-{part}{PARTIAL}", self.name, self.extension))
    }

    /// What an event says about the image: its location is relative to the data directory, which may be moved.
    pub(super) fn told(&self, seal: Seal) -> SnapshotImage {
        let image = self.image();
        let location = image.strip_prefix(&self.data).unwrap_or(&image).display().to_string();
        SnapshotImage { location, bytes: seal.bytes, digest: seal.digest }
    }

    /// Makes the directories, durably, and keeps them until the answer is dropped.
    pub(super) fn occupy(&self) -> Result<Occupied, StepError> {
        let all = self.data.join(FOLDER);
        make_directory(&all)?;
        let occupied = Occupied::enter(&self.folder)?;
        // Also if they were there: whoever made them may have crashed before they were durable.
        sync_directory(&all)?;
        sync_directory(&self.data)?;
        Ok(occupied)
    }

    /// Makes an empty file that nobody else may read.
    pub(super) fn create(partial: &Path) -> Result<File, StepError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE).open(partial).map_err(at("create", partial))
    }

    /// Makes what was renamed or removed here durable.
    pub(super) fn sync(&self) -> Result<(), StepError> {
        sync_directory(&self.folder)
    }

    /// The complete image, if there is one. Parts that a crash left are removed.
    pub(super) fn find(&self, handover: &Handover) -> Result<Option<SnapshotImage>, TakeError> {
        self.remove_partials()?;
        let image = self.image();
        let Some(mut file) = absent(open_image(&image)).map_err(at("open", &image))? else {
            leave(&self.folder);
            return Ok(None);
        };
        let seal = seal_of(&mut file, &image, handover)?;
        // Whoever renamed it may have crashed before it was durable.
        file.sync_all().map_err(at("sync", &image))?;
        self.sync()?;
        Ok(Some(self.told(seal)))
    }

    /// Removes the image and its parts; none being there is no error.
    pub(super) fn discard(&self) -> Result<(), StepError> {
        self.remove_partials()?;
        let image = self.image();
        let removed = absent(std::fs::remove_file(&image)).map_err(at("remove", &image))?;
        if removed.is_some() {
            self.sync()?;
        }
        leave(&self.folder);
        Ok(())
    }

    fn remove_partials(&self) -> Result<(), StepError> {
        let Some(entries) = absent(std::fs::read_dir(&self.folder)).map_err(at("list", &self.folder))? else {
            return Ok(());
        };
        for entry in entries {
            let name = entry.map_err(at("list", &self.folder))?.file_name();
            let ours = name.to_str().is_some_and(|name| name.starts_with(&self.name) && name.ends_with(PARTIAL));
            if ours {
                let path = self.folder.join(name);
                remove_partial(&path)?;
                tracing::info!(path = %path.display(), "removed the part of an image that was never completed");
            }
        }
        Ok(())
    }
}

/// How many images are being made in each folder. One that was given up may end while its successor begins, and must not
/// remove the folder under it.
static OCCUPIED: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

fn occupied() -> MutexGuard<'static, BTreeMap<PathBuf, u32>> {
    OCCUPIED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a folder if nothing is in it, and nothing is about to be.
pub(super) fn leave(folder: &Path) {
    let occupied = occupied();
    if !occupied.contains_key(folder) {
        // Fails unless it is empty, and then it is to stay.
        let _ = std::fs::remove_dir(folder);
    }
}

/// A folder that stays; when the last one is dropped it is removed if it is empty.
pub(super) struct Occupied(PathBuf);

impl Occupied {
    fn enter(folder: &Path) -> Result<Self, StepError> {
        let mut occupied = occupied();
        make_directory(folder)?;
        *occupied.entry(folder.to_owned()).or_default() += 1;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut occupied = occupied();
        if let Some(count) = occupied.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                occupied.remove(&self.0);
            }
        }
        drop(occupied);
        leave(&self.0);
    }
}

/// Removes what is in the place of a part, a directory too.
pub(super) fn remove_partial(path: &Path) -> Result<(), StepError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    absent(removed).map(|_| ()).map_err(at("remove", path))
}

/// Removes a part when it is dropped; after it was renamed there is none.
pub(super) struct Partial(pub(super) PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = remove_partial(&self.0) {
            tracing::warn!(%error, "the part of an image is still there");
        }
    }
}

pub(super) fn open_image(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_directory(path: &Path) -> Result<(), StepError> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at("create", path)(error)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), StepError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(at("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_as_long_as_anybody_is_about_to_write_there() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("run");
        let (first, second) = (Occupied::enter(&folder).unwrap(), Occupied::enter(&folder).unwrap());
        drop(first);
        leave(&folder);
        assert!(folder.exists());
        drop(second);
        assert!(!folder.exists());
    }
}
