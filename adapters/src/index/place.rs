//! The directory of the index.
//!
//! `sled/` belongs to sled. `closed` exists as long as the index is closed: it repeats the last [`Meta`] record, and is
//! written after everything else is synced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::INDEX_DIR;
use super::meta::{Meta, sealed, unsealed};

const CLOSED: &str = "closed";

/// Where the index lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    /// The index of the journal in this data directory.
    pub(super) fn within(data: &Path) -> Self {
        Self { dir: data.join(INDEX_DIR) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    pub(super) fn sled(&self) -> PathBuf {
        self.dir.join("sled")
    }

    pub(super) fn exists(&self) -> bool {
        self.dir.symlink_metadata().is_ok()
    }

    /// Makes the directory, for its owner only, if it is not there.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).recursive(true).create(&self.dir)
    }

    /// Takes away from others what sled lets them read.
    pub(super) fn protect(&self) -> io::Result<()> {
        protect_all_under(&self.sled())
    }

    /// Deletes the index, or whatever is in its place.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self.dir.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&self.dir),
            Ok(_) => fs::remove_file(&self.dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the index was closed with, if it was. From here on it counts as open.
    pub(super) fn unseal(&self) -> io::Result<Option<Meta>> {
        let path = self.dir.join(CLOSED);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        fs::remove_file(&path)?;
        sync(&self.dir)?;
        let meta = unsealed(CLOSED.as_bytes(), &bytes).and_then(Meta::from_bytes);
        meta.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its seal is damaged"))
    }

    /// Syncs what sled wrote and marks the index as closed. A crash before the end leaves it open.
    pub(super) fn seal(&self, meta: &Meta) -> io::Result<()> {
        sync_all_under(&self.dir)?;
        let path = self.dir.join(CLOSED);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&sealed(CLOSED.as_bytes(), &meta.to_bytes()))?;
        file.sync_all()?;
        sync(&self.dir)
    }
}

fn protect_all_under(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for found in fs::read_dir(dir)? {
        let found = found?;
        if found.file_type()?.is_dir() {
            protect_all_under(&found.path())?;
        } else {
            fs::set_permissions(found.path(), Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_all_under(dir: &Path) -> io::Result<()> {
    for found in fs::read_dir(dir)? {
        let found = found?;
        if found.file_type()?.is_dir() {
            sync_all_under(&found.path())?;
        } else {
            sync(&found.path())?;
        }
    }
    sync(dir)
}
