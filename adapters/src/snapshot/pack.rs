//! Writing a listing as tar.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, fstat};
use tar::{Builder, EntryType, Header};

use super::beneath::Beneath;
use super::error::{StepError, TakeError, at};
use super::handover::Handover;
use super::listing::{Entry, What, node_of};
use super::sealing::PIECE_BYTES;

const BLOCK_BYTES: usize = 512;
/// A longer name or target is told in an extended header; the fields are 100 bytes long and end in a NUL.
const FIELD_BYTES_MAX: usize = 99;
const NANOSECONDS: u32 = 1_000_000_000;

/// Writes entries below a directory to a sink. `image` is how that is called in errors.
pub(super) struct Packer<'a, W: Write> {
    tar: Builder<W>,
    beneath: Beneath,
    image: &'a Path,
    handover: &'a Handover,
    /// The first name of every file that has several.
    linked: BTreeMap<(u64, u64), PathBuf>,
    piece: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(super) fn new(sink: W, beneath: Beneath, image: &'a Path, handover: &'a Handover) -> Self {
        let piece = vec![0; PIECE_BYTES];
        Self { tar: Builder::new(sink), beneath, image, handover, linked: BTreeMap::new(), piece }
    }

    /// Writes one entry; of a file exactly as many bytes as were listed, although it may have more by now.
    pub(super) fn pack(&mut self, entry: &Entry) -> Result<(), TakeError> {
        self.handover.check()?;
        match entry.what {
            What::Directory => Ok(self.head(entry, EntryType::Directory, 0, b"")?),
            What::Pipe => Ok(self.head(entry, EntryType::Fifo, 0, b"")?),
            What::Link => {
                let target = self.beneath.link(&entry.path)?;
                Ok(self.head(entry, EntryType::Symlink, 0, &target)?)
            }
            What::File { bytes } => match self.earlier_name(entry) {
                Some(earlier) => Ok(self.head(entry, EntryType::Link, 0, earlier.as_os_str().as_bytes())?),
                None => self.file(entry, bytes),
            },
        }
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<W, StepError> {
        self.tar.into_inner().map_err(at("write", self.image))
    }

    fn earlier_name(&mut self, entry: &Entry) -> Option<PathBuf> {
        if entry.names < 2 {
            return None;
        }
        let earlier = self.linked.get(&entry.node).cloned();
        if earlier.is_none() {
            self.linked.insert(entry.node, entry.path.clone());
        }
        earlier
    }

    fn file(&mut self, entry: &Entry, bytes: u64) -> Result<(), TakeError> {
        let shown = self.beneath.shown(&entry.path);
        let file = self.beneath.file(&entry.path)?;
        let stat = fstat(&file).map_err(at("examine", &shown))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || node_of(&stat) != entry.node {
            return Err(TakeError::Changed { path: shown, how: "was replaced" });
        }
        self.head(entry, EntryType::Regular, bytes, b"")?;
        self.content(&file, &shown, bytes)?;
        let padding = bytes.next_multiple_of(BLOCK_BYTES as u64) - bytes;
        Ok(self.write(&[0; BLOCK_BYTES][..usize::try_from(padding).unwrap_or(0)])?)
    }

    fn content(&mut self, file: &OwnedFd, shown: &Path, bytes: u64) -> Result<(), TakeError> {
        let mut left = bytes;
        while left > 0 {
            self.handover.check()?;
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let read = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut self.piece[..wanted]))
                .map_err(at("read", shown))?;
            if read == 0 {
                return Err(TakeError::Changed { path: shown.to_owned(), how: "got shorter" });
            }
            self.tar.get_mut().write_all(&self.piece[..read]).map_err(at("write", self.image))?;
            left -= read as u64;
        }
        Ok(())
    }

    /// Writes the headers of an entry.
    fn head(&mut self, entry: &Entry, kind: EntryType, bytes: u64, target: &[u8]) -> Result<(), StepError> {
        let path = entry.path.as_os_str().as_bytes();
        let mtime = exact_mtime(entry);
        let long =
            |name: &'static str, value: &'_ [u8]| (value.len() > FIELD_BYTES_MAX).then(|| (name, value.to_vec()));
        let extended = [long("path", path), long("linkpath", target), mtime.map(|mtime| ("mtime", mtime.into_bytes()))];
        let extended = extended.iter().flatten().map(|(name, value)| (*name, value.as_slice()));
        self.tar.append_pax_extensions(extended).map_err(at("write", self.image))?;
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid));
        header.set_gid(u64::from(entry.gid));
        header.set_mtime(u64::try_from(entry.mtime_s).unwrap_or(0));
        header.set_size(bytes);
        fill(&mut header.as_old_mut().name, path);
        fill(&mut header.as_old_mut().linkname, target);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        self.tar.get_mut().write_all(bytes).map_err(at("write", self.image))
    }
}

fn fill(field: &mut [u8], value: &[u8]) {
    let bytes = value.len().min(FIELD_BYTES_MAX);
    field[..bytes].copy_from_slice(&value[..bytes]);
}

/// The time as an extended header tells it; none if whole seconds since 1970 tell all of it.
fn exact_mtime(entry: &Entry) -> Option<String> {
    match (entry.mtime_s, entry.mtime_ns) {
        (0.., 0) => None,
        // Fractions count away from zero, nanoseconds towards the future.
        (seconds @ ..0, ns @ 1..) => Some(format!("-{}.{:09}", -(seconds + 1), NANOSECONDS - ns)),
        (seconds, ns) => Some(format!("{seconds}.{ns:09}")),
    }
}

/// Ends a compressed image and gives its file back.
pub(super) fn finish_compressed<W: Write>(sink: zstd::Encoder<'_, W>, image: &Path) -> Result<W, StepError> {
    sink.finish().map_err(at("write", image))
}

/// A sink that compresses; its memory does not depend on what is written.
pub(super) fn compressed<'a, W: Write>(sink: W, level: i32) -> io::Result<zstd::Encoder<'a, W>> {
    let mut encoder = zstd::Encoder::new(sink, level)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mknodat};

    use super::super::listing::list;
    use super::*;

    /// Packs a directory with one file, `stdout`, that is changed after it was listed.
    fn pack_changed(change: impl FnOnce(&Path)) -> Result<Vec<u8>, TakeError> {
        let directory = tempfile::tempdir().unwrap();
        let stdout = directory.path().join("stdout");
        std::fs::write(&stdout, "hello").unwrap();
        let handover = Handover::default();
        let beneath = Beneath::open(directory.path(), &[])?;
        let listing = list(&beneath, usize::MAX, &handover)?;
        change(&stdout);
        let mut packer = Packer::new(Vec::new(), beneath, Path::new("image"), &handover);
        listing.entries.iter().try_for_each(|entry| packer.pack(entry))?;
        Ok(packer.finish()?)
    }

    fn told(changed: Result<Vec<u8>, TakeError>) -> String {
        changed.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_grows_is_packed_as_it_was_listed() {
        let grow = |stdout: &Path| {
            OpenOptions::new().append(true).open(stdout).unwrap().write_all(b", world").unwrap();
        };
        let bytes = pack_changed(grow).unwrap();
        let mut content = String::new();
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
    }

    #[test]
    fn a_file_that_got_shorter_or_vanished_is_an_error() {
        let shorter = told(pack_changed(|stdout| {
            OpenOptions::new().write(true).open(stdout).unwrap().set_len(2).unwrap();
        }));
        assert!(shorter.contains("stdout\" got shorter"), "{shorter}");
        let gone = told(pack_changed(|stdout| std::fs::remove_file(stdout).unwrap()));
        assert!(gone.contains("stdout\": No such file"), "{gone}");
    }

    #[test]
    fn what_replaced_a_file_is_neither_followed_nor_waited_for() {
        let replaced = |put: fn(&Path)| {
            told(pack_changed(move |stdout| {
                std::fs::rename(stdout, stdout.with_file_name("away")).unwrap();
                put(stdout);
            }))
        };
        // Without a writer, opening a pipe waits for ever; a link could name what only the supervisor may read.
        let pipe = replaced(|stdout| mknodat(CWD, stdout, FileType::Fifo, 0o600.into(), 0).unwrap());
        assert!(pipe.contains("was replaced"), "{pipe}");
        let link = replaced(|stdout| symlink("away", stdout).unwrap());
        assert!(link.contains("cannot open"), "{link}");
        let file = replaced(|stdout| drop(File::create(stdout).unwrap()));
        assert!(file.contains("was replaced"), "{file}");
    }

    #[test]
    fn a_directory_that_became_a_link_leads_nowhere() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let inner = directory.path().join("inner");
        for place in [&inner, elsewhere.path()] {
            std::fs::create_dir_all(place).unwrap();
            std::fs::write(place.join("file"), "secret").unwrap();
        }
        let handover = Handover::default();
        let beneath = Beneath::open(directory.path(), &[]).unwrap();
        let listing = list(&beneath, usize::MAX, &handover).unwrap();
        std::fs::rename(&inner, directory.path().join("away")).unwrap();
        symlink(elsewhere.path(), &inner).unwrap();
        let mut packer = Packer::new(Vec::new(), beneath, Path::new("image"), &handover);
        let packed = listing.entries.iter().try_for_each(|entry| packer.pack(entry));
        let error = packed.unwrap_err().to_string();
        assert!(error.starts_with("cannot open"), "{error}");
    }

    #[test]
    fn times_before_1970_and_between_seconds_are_told_exactly() {
        let listed = |mtime_s, mtime_ns| {
            let (path, what, node) = (PathBuf::from("a"), What::Pipe, (0, 0));
            exact_mtime(&Entry { path, what, mode: 0, uid: 0, gid: 0, mtime_s, mtime_ns, node, names: 1 })
        };
        assert_eq!(listed(5, 0), None);
        assert_eq!(listed(5, 7).as_deref(), Some("5.000000007"));
        assert_eq!(listed(-2, 500_000_000).as_deref(), Some("-1.500000000"));
        assert_eq!(listed(-1, 1).as_deref(), Some("-0.999999999"));
        assert_eq!(listed(-3, 0).as_deref(), Some("-3.000000000"));
    }
}
