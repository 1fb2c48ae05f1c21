use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::journal::disk::{Disk, DiskFile, Locking, Mode, RealDisk};

/// The disk, which tells a test of what it wants to know and passes each call on.
pub(crate) struct Watched<W>(pub(crate) Arc<W>);

/// What a test wants to know; nothing, unless it says so.
pub(crate) trait Watch: Send + Sync + 'static {
    /// A file is about to be opened, or a directory listed.
    fn looks(&self) {}

    /// So much was read from a file.
    fn read(&self, _bytes: u64) {}
}

struct WatchedFile<W>(Arc<dyn DiskFile>, Arc<W>);

impl<W> fmt::Debug for Watched<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl<W> fmt::Debug for WatchedFile<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({:?})", self.0)
    }
}

impl<W: Watch> Disk for Watched<W> {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        self.0.looks();
        Ok(Arc::new(WatchedFile(RealDisk.open(path, mode)?, self.0.clone())))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.0.looks();
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        RealDisk.lock(path, holder)
    }
}

impl<W: Watch> DiskFile for WatchedFile<W> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        self.1.read(read as u64);
        Ok(read)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn take_room(&self, length: u64) -> io::Result<()> {
        self.0.take_room(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}
