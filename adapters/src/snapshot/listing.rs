//! What is in a directory at one moment.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Dir, FileType, Stat, fstat, statat};
use rustix::io::Errno;

use super::beneath::Beneath;
use super::error::{TakeError, at};
use super::handover::Handover;

/// A path within the directory; longer ones could not be used after they were unpacked.
const PATH_BYTES_MAX: usize = 4_000;
/// What one name needs in memory besides its bytes.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// One file, directory, link or pipe, as it was when it was listed.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the directory.
    pub(super) path: PathBuf,
    pub(super) what: What,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_s: i64,
    pub(super) mtime_ns: u32,
    /// Device and number, by which a hard link and a replacement are known.
    pub(super) node: (u64, u64),
    /// Names of it, also elsewhere.
    pub(super) names: u64,
}

/// What kind of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File { bytes: u64 },
    Directory,
    Link,
    Pipe,
}

/// Everything in a directory, parents first, siblings by the bytes of their names.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// Sockets and devices, which an image does not hold.
    pub(super) skipped: u64,
    /// Directories where another file system is mounted; their content is not listed.
    pub(super) mounts: u64,
}

/// Lists everything below a directory. Its names may need `bytes_max` bytes of memory.
pub(super) fn list(beneath: &Beneath, bytes_max: usize, handover: &Handover) -> Result<Listing, TakeError> {
    let device = fstat(beneath.root()).map_err(at("examine", &beneath.shown(Path::new(""))))?.st_dev;
    let mut lister = Lister { beneath, bytes_max, bytes: 0, listing: Listing::default(), handover };
    let mut open = lister.children(Path::new(""))?;
    while let Some(entry) = open.pop() {
        if entry.what == What::Directory {
            if entry.node.0 == device {
                open.append(&mut lister.children(&entry.path)?);
            } else {
                lister.listing.mounts += 1;
            }
        }
        lister.listing.entries.push(entry);
    }
    Ok(lister.listing)
}

struct Lister<'a> {
    beneath: &'a Beneath,
    bytes_max: usize,
    bytes: usize,
    listing: Listing,
    handover: &'a Handover,
}

impl Lister<'_> {
    /// The children of a directory, last name first.
    fn children(&mut self, path: &Path) -> Result<Vec<Entry>, TakeError> {
        let shown = self.beneath.shown(path);
        let directory = self.beneath.directory(path)?;
        let mut children = Vec::new();
        for name in Dir::read_from(&directory).map_err(at("list", &shown))? {
            self.handover.check()?;
            let name = OsString::from_vec(name.map_err(at("list", &shown))?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                children.extend(self.child(&directory, path.join(name))?);
            }
        }
        children.sort_unstable_by(|a, b| b.path.as_os_str().as_bytes().cmp(a.path.as_os_str().as_bytes()));
        Ok(children)
    }

    /// What is at this path; nothing if an image does not hold it.
    fn child(&mut self, directory: impl AsFd, path: PathBuf) -> Result<Option<Entry>, TakeError> {
        let shown = || self.beneath.shown(&path);
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(TakeError::NameTooLong { path: shown(), bytes_max: PATH_BYTES_MAX });
        }
        self.bytes += ENTRY_BYTES + path.as_os_str().len();
        if self.bytes > self.bytes_max {
            return Err(TakeError::TooMany { path: self.beneath.shown(Path::new("")), bytes_max: self.bytes_max });
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(TakeError::Changed { path: shown(), how: "vanished" }),
            Err(error) => return Err(at("examine", &shown())(error).into()),
        };
        let what = what(&stat);
        if what.is_none() {
            tracing::debug!(path = ?shown(), "an image holds no sockets and no devices");
            self.listing.skipped += 1;
        }
        Ok(what.map(|what| entry(path, what, &stat)))
    }
}

fn what(stat: &Stat) -> Option<What> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(What::File { bytes: u64::try_from(stat.st_size).unwrap_or(0) }),
        FileType::Directory => Some(What::Directory),
        FileType::Symlink => Some(What::Link),
        FileType::Fifo => Some(What::Pipe),
        _ => None,
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types of these fields differ between the supported platforms")]
fn entry(path: PathBuf, what: What, stat: &Stat) -> Entry {
    Entry {
        path,
        what,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime_s: stat.st_mtime as i64,
        mtime_ns: stat.st_mtime_nsec as u32,
        node: node_of(stat),
        names: stat.st_nlink as u64,
    }
}

/// Device and number.
#[allow(clippy::unnecessary_cast, reason = "the types of these fields differ between the supported platforms")]
pub(super) fn node_of(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
