//! Room on disk for the end of an attempt, taken before its command is executed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::directory::{AttemptDirectory, sync_directory};

/// What an exit record may take. Those that carry many lines of evidence can be longer, and are shortened where the disk
/// has no more than this.
pub(super) const ROOM_BYTES: usize = 16 * 1_024;
const FILE_MODE: u32 = 0o600;

/// A file that has its blocks already, and whose name is already in the directory: what is written to it needs no room
/// that a run could have filled. It is empty to look at.
///
/// It needs no sync before it is used: a crash of the machine ends whoever holds it, too.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    path: PathBuf,
}

impl Room {
    /// Takes the room.
    ///
    /// # Errors
    ///
    /// If there is none, or the directory is none.
    pub(super) fn take(directory: &AttemptDirectory) -> io::Result<Self> {
        let path = directory.room();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM_BYTES as u64) {
            // Where blocks cannot be asked for, bytes take them.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.write_all(&[b' '; ROOM_BYTES])?,
            taken => taken?,
        }
        Ok(Self { file, path })
    }

    /// Fills it and moves it to where it belongs. From then on it is there, whole, for everybody in this boot, whoever is
    /// killed. A power cut may leave its name with any part of its content until [`settle`](Self::settle) has returned. May be
    /// repeated if it failed.
    ///
    /// # Errors
    ///
    /// If the content is longer than the room, if somebody took the file away, or if the disk refuses all the same. What
    /// was in the place of `to` is still there then.
    pub(super) fn become_file(&self, to: &Path, content: &[u8]) -> io::Result<()> {
        self.fill(content)?;
        self.move_to(to)
    }

    /// The same, durably: what was in the place of `to` before, or this, also after a power cut.
    ///
    /// # Errors
    ///
    /// The same, or if it cannot be synced.
    pub(super) fn become_durable_file(&self, to: &Path, content: &[u8]) -> io::Result<()> {
        self.fill(content)?;
        self.file.sync_all()?;
        self.move_to(to)?;
        sync_parent(to)
    }

    /// Makes what it [became](Self::become_file) durable, content and name.
    ///
    /// # Errors
    ///
    /// If it cannot be synced. What was not written then may never be, whatever a repetition says.
    pub(super) fn settle(&self, at: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        sync_parent(at)
    }

    fn fill(&self, content: &[u8]) -> io::Result<()> {
        if content.len() > ROOM_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is longer than the room that was taken for it",
            ));
        }
        self.file.write_all_at(content, 0)?;
        // What is left of the room is given back.
        self.file.set_len(content.len() as u64)
    }

    fn move_to(&self, to: &Path) -> io::Result<()> {
        let (own, there) = (self.file.metadata()?, self.path.symlink_metadata()?);
        if (own.dev(), own.ino()) != (there.dev(), there.ino()) {
            return Err(io::Error::other("somebody put another file in its place"));
        }
        std::fs::rename(&self.path, to)
    }
}

fn sync_parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| sync_directory(directory).map_err(|error| error.source))
}

/// Gives back what a shim took that is gone.
pub(super) fn give_back(directory: &AttemptDirectory) {
    let _ = std::fs::remove_file(directory.room());
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn room_is_taken_before_and_given_back_with_the_end() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let room = Room::take(&directory).unwrap();
        let blocks = |path: &Path| path.metadata().unwrap().blocks() * 512;
        assert!(blocks(&directory.room()) >= ROOM_BYTES as u64, "nothing is taken");
        std::fs::write(directory.exit_record(), "before").unwrap();
        assert!(room.become_file(&directory.exit_record(), &[b'x'; ROOM_BYTES + 1]).is_err());
        assert_eq!(std::fs::read(directory.exit_record()).unwrap(), b"before");
        room.become_file(&directory.exit_record(), b"the end").unwrap();
        assert_eq!(std::fs::read(directory.exit_record()).unwrap(), b"the end");
        room.settle(&directory.exit_record()).unwrap();
        assert!(blocks(&directory.exit_record()) <= 4_096, "what is left is not given back");
        assert!(!directory.room().exists());
    }

    #[test]
    fn a_file_that_somebody_put_there_does_not_become_the_end() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let room = Room::take(&directory).unwrap();
        std::fs::remove_file(directory.room()).unwrap();
        assert!(room.become_file(&directory.exit_record(), b"the end").is_err());
        std::fs::write(directory.room(), "another's").unwrap();
        assert!(room.become_file(&directory.exit_record(), b"the end").is_err());
        assert!(room.become_durable_file(&directory.exit_record(), b"the end").is_err());
        assert!(!directory.exit_record().exists());
    }
}
