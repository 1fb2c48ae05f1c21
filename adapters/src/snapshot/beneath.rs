//! Paths that a guest may have changed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat, readlinkat};

use super::error::{StepError, at};

/// Opens things below a directory one name at a time and never through a link, so that nothing leads out of it.
pub(super) struct Beneath {
    root: OwnedFd,
    shown: PathBuf,
    parent: Option<(PathBuf, OwnedFd)>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A pipe in a file's place is not waited for, and a terminal does not become this process's.
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

impl Beneath {
    /// `<base>/<names>`; only `base` itself may be reached through links.
    pub(super) fn open(base: &Path, names: &[&OsStr]) -> Result<Self, StepError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut root = rustix::fs::open(base, flags, Mode::empty()).map_err(at("open", base))?;
        let mut shown = base.to_owned();
        for name in names {
            shown.push(name);
            root = openat(&root, *name, DIRECTORY, Mode::empty()).map_err(at("open", &shown))?;
        }
        Ok(Self { root, shown, parent: None })
    }

    /// What is at this path, opened; not followed, and not waited for.
    pub(super) fn file(&mut self, path: &Path) -> Result<OwnedFd, StepError> {
        let shown = self.shown(path);
        let (parent, name) = self.parent_of(path)?;
        openat(parent, name, FILE, Mode::empty()).map_err(at("open", &shown))
    }

    /// Where the link at this path leads.
    pub(super) fn link(&mut self, path: &Path) -> Result<Vec<u8>, StepError> {
        let shown = self.shown(path);
        let (parent, name) = self.parent_of(path)?;
        Ok(readlinkat(parent, name, Vec::new()).map_err(at("read the link", &shown))?.into_bytes())
    }

    /// The path for people.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { self.shown.clone() } else { self.shown.join(path) }
    }

    /// The directory itself.
    pub(super) const fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The directory at this path.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd, StepError> {
        let mut directory = openat(&self.root, ".", DIRECTORY, Mode::empty());
        for name in path {
            directory = directory.and_then(|directory| openat(&directory, name, DIRECTORY, Mode::empty()));
        }
        directory.map_err(at("open", &self.shown(path)))
    }

    /// The directory that holds this path, and the name there. Siblings follow each other, so the last one is kept open.
    pub(super) fn parent_of<'a>(&mut self, path: &'a Path) -> Result<(&OwnedFd, &'a OsStr), StepError> {
        let (above, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or(path.as_os_str()));
        let parent = match self.parent.take() {
            Some(parent) if parent.0 == above => parent,
            _ => (above.to_owned(), self.directory(above)?),
        };
        Ok((&self.parent.insert(parent).1, name))
    }
}
