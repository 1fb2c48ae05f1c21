//! The narrow seam through which the journal reaches the disk, so that faults and power cuts can be simulated under the
//! real code.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::retry_on_intr;
use rustix::process::{Resource, getrlimit};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, to be read.
    Read,
    /// An existing file, to be read, truncated and written at offsets.
    Overwrite,
    /// A file that must not exist, for its owner alone, to be read and appended to.
    Create,
}

/// The operations on directories and names that the journal needs. Implementations are handles: cheap to share.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a directory and those above it that are missing, durably, each for its owner alone. An existing one is
    /// left as it is.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a lock that ends with its holder, and writes into its file who that is.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking>;
}

/// What became of an attempt to lock.
#[derive(Debug)]
pub enum Locking {
    /// It is held until this is dropped.
    Held(Box<dyn Held>),
    /// Somebody else holds it; the text that they left.
    Busy(String),
}

/// A held lock; dropping it gives it back.
pub trait Held: Any + Send + Sync + fmt::Debug {}

/// An open file. All operations take `&self`: a file has one appender by the journal's own rules.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn length(&self) -> io::Result<u64>;

    /// Reads at an offset; fewer bytes than asked for, or none, at the end.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it at the end. After an error a part of it may be there.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Writes all of it at an offset of a file opened with [`Mode::Overwrite`], not behind its end; it becomes longer if it
    /// must. The bytes are then to be synced anew, even if they are the same as before: that is how what a failed sync has
    /// given up reaches the disk after all. After an error a part of it may be there.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes its content and length durable.
    ///
    /// # Errors
    ///
    /// As the operating system answers; what is durable then is unknown.
    fn sync(&self) -> io::Result<()>;

    /// Makes a file opened with [`Mode::Overwrite`] this long, with zeros behind what it has, and takes the disk's room for
    /// them: what is written there then changes neither length nor blocks, so that a sync has less to do.
    ///
    /// # Errors
    ///
    /// As the operating system answers; the file may have become longer by then.
    fn take_room(&self, length: u64) -> io::Result<()>;

    /// Cuts it to a length.
    ///
    /// # Errors
    ///
    /// As the operating system answers.
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// The operating system's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match mode {
            Mode::Read => options.read(true),
            Mode::Overwrite => options.read(true).write(true),
            Mode::Create => options.read(true).append(true).create_new(true).mode(0o600),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty() && !above.exists());
        if let Some(above) = above {
            self.create_dir(above)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
        match self.sync_dir(path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))) {
            // A directory that may not be read cannot be synced either; what is in it is synced all the same.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|item| item.map(|item| item.file_name())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(holder.as_bytes())?;
                Ok(Locking::Held(Box::new(RealLock { file })))
            }
            Err(TryLockError::WouldBlock) => {
                let mut bytes = Vec::new();
                file.take(HOLDER_BYTES_MAX).read_to_end(&mut bytes)?;
                Ok(Locking::Busy(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// As much of a lock file as is read: it is shown to people.
const HOLDER_BYTES_MAX: u64 = 512;

/// The kernel drops the lock with the open file, however the process ends.
#[derive(Debug)]
struct RealLock {
    file: File,
}

impl Held for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread is just spawning has it open, too, until it
        // executes its program.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the writer's lock ends with its file");
        }
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn take_room(&self, length: u64) -> io::Result<()> {
        let from = self.length()?;
        let bytes = length.saturating_sub(from);
        // Beyond this limit the process is sent a signal, also for what is only taken.
        if getrlimit(Resource::Fsize).current.is_some_and(|most| length > most) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if bytes > 0 {
            retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), from, bytes))?;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
