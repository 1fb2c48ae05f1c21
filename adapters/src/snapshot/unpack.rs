//! Making files out of the entries of an archive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat, chownat, fchmod, fchown,
    futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::beneath::Beneath;
use super::error::{StepError, at};
use super::restore::{Hashing, RestoreError, Restored};
use super::sealing::PIECE_BYTES;
use super::tarball::{Extended, Kind, Said, malformed, shown};

/// Bits of a mode that give away what an owner may do.
const SET_IDS: u32 = 0o6000;

/// Unpacks into a directory that nobody else writes to.
pub(super) struct Unpacker {
    beneath: Beneath,
    /// Directories get their modes and times last: they may be closed, and every entry in them changes their time.
    directories: Vec<(PathBuf, Said)>,
    /// Only root may give files to their owners.
    is_root: bool,
    restored: Restored,
}

impl Unpacker {
    pub(super) fn new(beneath: Beneath) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self { beneath, directories: Vec::new(), is_root, restored: Restored::default() }
    }

    /// Unpacks everything, and gives the source back.
    pub(super) fn unpack<'a>(&mut self, source: Hashing<'a>) -> Result<Hashing<'a>, RestoreError> {
        let plain = zstd::Decoder::new(source).map_err(RestoreError::unreadable)?;
        let mut archive = tar::Archive::new(plain);
        let mut extended = None;
        for entry in archive.entries().map_err(RestoreError::unreadable)?.raw(true) {
            let mut entry = entry.map_err(RestoreError::unreadable)?;
            if entry.header().entry_type() == EntryType::XHeader {
                if extended.replace(Extended::read(&mut entry)?).is_some() {
                    return Err(malformed(b"extended header", "another one follows it"));
                }
                continue;
            }
            let said = Said::read(&entry, extended.take().unwrap_or_default())?;
            self.make(said, &mut entry)?;
        }
        match extended {
            Some(_) => Err(malformed(b"extended header", "no entry follows it")),
            None => Ok(archive.into_inner().finish().into_inner()),
        }
    }

    /// Gives directories what they get last.
    pub(super) fn finish(self) -> Result<Restored, RestoreError> {
        for (path, said) in self.directories.iter().rev() {
            let directory = self.beneath.directory(path)?;
            self.complete(directory, said).map_err(at("restore the mode of", &self.beneath.shown(path)))?;
        }
        Ok(self.restored)
    }

    fn make(&mut self, said: Said, content: &mut impl Read) -> Result<(), RestoreError> {
        let Some(path) = inside(&said.path)? else {
            // The directory itself.
            return if said.kind == Kind::Directory { Ok(()) } else { Err(malformed(&said.path, "it has no name")) };
        };
        match said.kind {
            Kind::File => self.file(&path, &said, content),
            Kind::Name => self.hard_link(&path, &said),
            Kind::Directory => self.directory(path, said),
            Kind::Link | Kind::Pipe => self.special(&path, &said),
        }
    }

    fn file(&mut self, path: &Path, said: &Said, content: &mut impl Read) -> Result<(), RestoreError> {
        let shown = self.beneath.shown(path);
        let (parent, name) = parent_of(&mut self.beneath, path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(made.map_err(|error| not_made(error, &said.path, &shown))?);
        copy(content, &mut file, said.bytes, &shown)?;
        self.complete(OwnedFd::from(file), said).map_err(at("restore the mode of", &shown))?;
        self.restored.files += 1;
        self.restored.bytes += said.bytes;
        Ok(())
    }

    /// A further name of a file that was unpacked before.
    fn hard_link(&mut self, path: &Path, said: &Said) -> Result<(), RestoreError> {
        let shown = self.beneath.shown(path);
        let target = inside(&said.target)?.ok_or_else(|| malformed(&said.path, "it links to nothing"))?;
        let (above, target_name) = split(&target);
        let target_parent = self.beneath.directory(above).map_err(|error| leads_out(error, &said.target))?;
        let stat = statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW);
        let is_file = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if !is_file {
            return Err(malformed(&said.path, "it links to no file before it"));
        }
        let (parent, name) = parent_of(&mut self.beneath, path)?;
        linkat(&target_parent, target_name, parent, name, AtFlags::empty())
            .map_err(|error| not_made(error, &said.path, &shown))?;
        self.restored.links += 1;
        Ok(())
    }

    fn directory(&mut self, path: PathBuf, said: Said) -> Result<(), RestoreError> {
        let shown = self.beneath.shown(&path);
        let (parent, name) = parent_of(&mut self.beneath, &path)?;
        mkdirat(parent, name, Mode::RWXU).map_err(|error| not_made(error, &said.path, &shown))?;
        self.restored.directories += 1;
        self.directories.push((path, said));
        Ok(())
    }

    fn special(&mut self, path: &Path, said: &Said) -> Result<(), RestoreError> {
        let shown = self.beneath.shown(path);
        let (parent, name) = parent_of(&mut self.beneath, path)?;
        let (made, counted) = match said.kind {
            Kind::Link => (symlinkat(OsStr::from_bytes(&said.target), parent, name), &mut self.restored.links),
            _ => (mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0), &mut self.restored.pipes),
        };
        made.map_err(|error| not_made(error, &said.path, &shown))?;
        *counted += 1;
        Ok(complete_at(parent, name, said, self.is_root).map_err(at("restore the mode of", &shown))?)
    }

    /// Owner before mode, since a new owner takes bits away, and the time last.
    fn complete(&self, made: OwnedFd, said: &Said) -> rustix::io::Result<()> {
        if self.is_root {
            fchown(&made, Some(Uid::from_raw(said.uid)), Some(Gid::from_raw(said.gid)))?;
        }
        fchmod(&made, mode_of(said, self.is_root))?;
        futimens(&made, &times_of(said))
    }
}

/// The same for a link or a pipe, which is not opened.
fn complete_at(parent: impl AsFd, name: &OsStr, said: &Said, is_root: bool) -> rustix::io::Result<()> {
    if is_root {
        let (uid, gid) = (Some(Uid::from_raw(said.uid)), Some(Gid::from_raw(said.gid)));
        chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if said.kind == Kind::Pipe {
        chmodat(&parent, name, mode_of(said, is_root), AtFlags::empty())?;
    }
    utimensat(&parent, name, &times_of(said), AtFlags::SYMLINK_NOFOLLOW)
}

fn mode_of(said: &Said, is_root: bool) -> Mode {
    Mode::from_bits_truncate(if is_root { said.mode } else { said.mode & !SET_IDS })
}

fn times_of(said: &Said) -> Timestamps {
    let untouched = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps {
        last_access: untouched,
        last_modification: Timespec { tv_sec: said.mtime_s, tv_nsec: said.mtime_ns.into() },
    }
}

/// The path within the directory that a name in an archive means; none for the directory itself.
fn inside(name: &[u8]) -> Result<Option<PathBuf>, RestoreError> {
    let escapes = |how| RestoreError::Escapes { name: shown(name), how };
    if name.starts_with(b"/") {
        return Err(escapes("is an absolute path"));
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(escapes("leads upwards")),
            part if part.contains(&0) => return Err(malformed(name, "it contains a NUL")),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}

fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or(path.as_os_str()))
}

fn parent_of<'a>(beneath: &'a mut Beneath, path: &'a Path) -> Result<(&'a OwnedFd, &'a OsStr), RestoreError> {
    beneath.parent_of(path).map_err(|error| leads_out(error, path.as_os_str().as_bytes()))
}

/// Directories are opened one by one and never through links: what is none of them was to lead elsewhere.
fn leads_out(error: StepError, name: &[u8]) -> RestoreError {
    match error.source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NOTDIR) => {
            RestoreError::Escapes { name: shown(name), how: "leads through something that is no directory" }
        }
        Some(Errno::NOENT) => malformed(name, "its directory does not come before it"),
        _ => error.into(),
    }
}

fn not_made(error: Errno, name: &[u8], shown: &Path) -> RestoreError {
    match error {
        Errno::EXIST => malformed(name, "it is there twice"),
        error => at("create", shown)(error).into(),
    }
}

/// Writes exactly as many bytes as the header says.
fn copy(content: &mut impl Read, file: &mut File, bytes: u64, shown: &Path) -> Result<(), RestoreError> {
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(PIECE_BYTES))];
    let mut left = bytes;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        match content.read(&mut piece[..wanted]) {
            Ok(0) => return Err(RestoreError::unreadable(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                file.write_all(&piece[..read]).map_err(at("write", shown))?;
                left -= read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(RestoreError::unreadable(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where the tests are run by root, who restores owners.
    #[test]
    fn nobody_but_root_gets_bits_that_give_away_what_an_owner_may_do() {
        let (path, target, bytes) = (b"a".to_vec(), Vec::new(), 0);
        let kind = Kind::File;
        let said = Said { kind, path, target, bytes, mode: 0o6755, uid: 1, gid: 1, mtime_s: 0, mtime_ns: 0 };
        assert_eq!(mode_of(&said, false), Mode::from_bits_truncate(0o755));
        assert_eq!(mode_of(&said, true), Mode::from_bits_truncate(0o6755));
    }
}
