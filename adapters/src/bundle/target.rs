//! A file that appears under its name when it is complete, and not before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx};
use rustix::io::Errno;
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
        let published = match self.replaces {
            true => fs::rename(&self.temporary, &self.path),
            false => name(&self.temporary, &self.path, &[Way::Rename, Way::Link, Way::Reserve]),
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

/// How a file is given a name that nothing has, without ever taking the place of what somebody else made meanwhile. Not
/// every file system has each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A rename that replaces nothing.
    Rename,
    /// A second name, and the first one is removed.
    Link,
    /// An empty file takes the name, and is replaced. A crash between the two leaves it empty.
    Reserve,
}

impl Way {
    fn go(self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::Rename => Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
            Self::Link => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
            Self::Reserve => {
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
                fs::rename(from, to).inspect_err(|_| drop(fs::remove_file(to)))
            }
        }
    }
}

/// Tries one way after the other, as long as the file system does not have it.
fn name(from: &Path, to: &Path, ways: &[Way]) -> io::Result<()> {
    let mut named = Err(io::ErrorKind::Unsupported.into());
    for way in ways {
        named = way.go(from, to);
        match &named {
            Err(error) if lacks(error) => {}
            _ => break,
        }
    }
    named
}

/// Whether an error says that a file system cannot do this, and not that it may not be done now.
fn lacks(error: &io::Error) -> bool {
    let lacking = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM, Errno::MLINK];
    Errno::from_io_error(error).is_some_and(|errno| lacking.contains(&errno))
}

/// Whether a directory is the root of a mounted file system: nothing can be renamed over it.
pub fn is_mount_point(path: &Path) -> bool {
    let Ok(found) = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS) else { return false };
    if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    // Older kernels do not say so; another file system than above is told by its number.
    let above = path.join("..").metadata();
    let here = path.metadata();
    here.is_ok_and(|here| {
        above.is_ok_and(|above| (here.dev(), here.ino()) == (above.dev(), above.ino()) || here.dev() != above.dev())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_names_a_file_once_and_takes_nobodys_place() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for way in [Way::Rename, Way::Link, Way::Reserve] {
            fs::write(&from, "new").unwrap();
            way.go(&from, &to).unwrap();
            assert_eq!((fs::read_to_string(&to).unwrap().as_str(), from.exists()), ("new", false), "{way:?}");
            fs::write(&to, "old").unwrap();
            fs::write(&from, "new").unwrap();
            let error = name(&from, &to, &[way]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{way:?}");
            assert_eq!(fs::read_to_string(&to).unwrap(), "old", "{way:?}");
            fs::remove_file(&to).unwrap();
        }
    }

    #[test]
    fn what_a_file_system_lacks_is_done_in_another_way() {
        for (errno, goes_on) in [
            (Errno::INVAL, true),
            (Errno::PERM, true),
            (Errno::NOSYS, true),
            (Errno::EXIST, false),
            (Errno::NOSPC, false),
        ] {
            assert_eq!(lacks(&errno.into()), goes_on, "{errno:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        // Directories have no hard links: the kernel says the same as a file system without any.
        fs::create_dir(&from).unwrap();
        assert!(lacks(&Way::Link.go(&from, &to).unwrap_err()));
        name(&from, &to, &[Way::Link, Way::Rename]).unwrap();
        assert!(to.is_dir());
    }

    #[test]
    fn the_root_of_a_file_system_is_a_mount_point_and_a_directory_in_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("within")).unwrap();
        assert!(is_mount_point(Path::new("/proc")) && is_mount_point(Path::new("/")));
        for path in [dir.path().join("within"), dir.path().join("absent"), PathBuf::from("/proc/self")] {
            assert!(!is_mount_point(&path), "{}", path.display());
        }
    }
}
