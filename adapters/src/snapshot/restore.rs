//! Getting back what is in an image.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use tachograph_engine::domain::Digest;

use super::beneath::Beneath;
use super::error::{StepError, at};
use super::unpack::Unpacker;

/// Numbers the drafts of this process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// What was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, each counted once, however many names it has.
    pub files: u64,
    /// Directories, the target itself not among them.
    pub directories: u64,
    /// Symbolic links, and further names of files.
    pub links: u64,
    /// Named pipes.
    pub pipes: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Why nothing was restored. There is no target then, or it is empty as before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A file could not be used.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Something is in the way.
    #[error("{path:?} exists and is no empty directory; name one that is empty, or does not exist yet")]
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// The file is not the one that was recorded.
    #[error("{path:?} has {actual} bytes, but {expected} were recorded; find the image as it was taken")]
    WrongSize {
        /// The image.
        path: PathBuf,
        /// What was recorded.
        expected: u64,
        /// What it has.
        actual: u64,
    },
    /// The file is not the one that was recorded.
    #[error(
        "{path:?} was altered: its BLAKE3 is {actual}, but {expected} was recorded; find the image as it was taken"
    )]
    WrongDigest {
        /// The image.
        path: PathBuf,
        /// What was recorded.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// An entry leads out of the target. No snapshot writes such an archive: do not trust it.
    #[error("the entry \"{name}\" {how}; no snapshot writes that, so do not trust this archive")]
    Escapes {
        /// The entry's name, escaped.
        name: String,
        /// How it leads out.
        how: &'static str,
    },
    /// An entry is of a kind that no image holds.
    #[error("the entry \"{name}\" is {kind:?}, which no image holds; unpack it with tar if you trust it")]
    Unsupported {
        /// The entry's name, escaped.
        name: String,
        /// Its kind.
        kind: tar::EntryType,
    },
    /// It is no such archive, or one that contradicts itself.
    #[error("\"{name}\" is not as a snapshot writes it: {why}; unpack it with tar if you trust it")]
    Malformed {
        /// The entry's name, escaped, or what is wrong.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It cannot be read as a compressed archive.
    #[error("this is no readable tar archive compressed by zstd: {source}; see what wrote the image")]
    Unreadable {
        /// What the reader says.
        source: io::Error,
    },
}

impl RestoreError {
    pub(super) fn unreadable(source: io::Error) -> Self {
        Self::Unreadable { source }
    }

    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Step(_) => "io",
            Self::Occupied { .. } => "occupied",
            Self::WrongSize { .. } => "wrong_size",
            Self::WrongDigest { .. } => "wrong_digest",
            Self::Escapes { .. } => "escapes",
            Self::Unsupported { .. } => "unsupported",
            Self::Malformed { .. } => "malformed",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// Unpacks an image into a directory that is empty or does not exist yet; the one above it must exist. Blocking.
///
/// Size and digest are those that the snapshot's event tells. They are checked before anything is written, and what is
/// unpacked is checked again. Everything is unpacked beside the target and renamed into place, durably: a failure leaves
/// nothing. A crash may leave a directory `.<name>.<number>.restoring` beside the target, which can be deleted.
///
/// Nothing is written outside of that directory, whatever the archive says. Modes and times are as they were. Owners are
/// restored only for root; for anybody else files become their own and lose their set-user-id and set-group-id bits.
///
/// # Errors
///
/// [`RestoreError`]; the target is as it was then.
pub fn restore(
    archive: &Path,
    expected_bytes: u64,
    expected_digest: Digest,
    into: &Path,
) -> Result<Restored, RestoreError> {
    let target = Target::of(into)?;
    let mut file = open_archive(archive)?;
    let actual = file.metadata().map_err(at("examine", archive))?.len();
    if actual != expected_bytes {
        return Err(RestoreError::WrongSize { path: archive.to_owned(), expected: expected_bytes, actual });
    }
    let check = |actual: Digest| {
        let (path, expected) = (archive.to_owned(), expected_digest);
        if actual == expected { Ok(()) } else { Err(RestoreError::WrongDigest { path, expected, actual }) }
    };
    check(rest_of(Hashing::of(&mut file)).map_err(at("read", archive))?)?;
    file.rewind().map_err(at("read", archive))?;
    let draft = Draft::beside(&target)?;
    let mut unpacker = Unpacker::new(Beneath::open(&draft.path, &[])?);
    let read = unpacker.unpack(Hashing::of(&mut file))?;
    // What was unpacked is what was checked, although somebody may have written to the file in between.
    check(rest_of(read).map_err(at("read", archive))?)?;
    let restored = unpacker.finish()?;
    draft.put_in_place(&target)?;
    Ok(restored)
}

fn open_archive(path: &Path) -> Result<File, StepError> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(at("open", path))?;
    if file.metadata().map_err(at("examine", path))?.is_file() {
        Ok(file)
    } else {
        Err(at("open", path)(io::Error::other("it is no regular file")))
    }
}

/// Hashes what is read.
pub(super) struct Hashing<'a> {
    file: &'a mut File,
    hasher: blake3::Hasher,
}

impl<'a> Hashing<'a> {
    fn of(file: &'a mut File) -> Self {
        Self { file, hasher: blake3::Hasher::new() }
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(piece)?;
        self.hasher.update(&piece[..read]);
        Ok(read)
    }
}

/// Reads what is left, and tells the hash of everything.
fn rest_of(mut read: Hashing<'_>) -> io::Result<Digest> {
    let mut piece = vec![0; super::sealing::PIECE_BYTES];
    loop {
        match read.read(&mut piece) {
            Ok(0) => return Ok(Digest(*read.hasher.finalize().as_bytes())),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

/// Where the restored directory comes into place.
struct Target {
    above: PathBuf,
    path: PathBuf,
    name: std::ffi::OsString,
}

impl Target {
    fn of(into: &Path) -> Result<Self, RestoreError> {
        let path = match into.symlink_metadata() {
            Ok(_) => Self::empty(into)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(into).map_err(at("find", into))?
            }
            Err(error) => return Err(at("examine", into)(error).into()),
        };
        let occupied = || RestoreError::Occupied { path: into.to_owned() };
        let above = path.parent().ok_or_else(occupied)?.to_owned();
        let name = path.file_name().ok_or_else(occupied)?.to_owned();
        Ok(Self { above, path, name })
    }

    fn empty(into: &Path) -> Result<PathBuf, RestoreError> {
        let path = into.canonicalize().map_err(at("find", into))?;
        let is_empty = path.is_dir() && path.read_dir().map_err(at("list", into))?.next().is_none();
        if is_empty { Ok(path) } else { Err(RestoreError::Occupied { path: into.to_owned() }) }
    }
}

/// A directory beside the target that is removed unless it comes into place.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn beside(target: &Target) -> Result<Self, StepError> {
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let mut name = std::ffi::OsString::from(".");
        name.push(&target.name);
        name.push(format!(".{}-{number}.restoring", std::process::id()));
        let path = target.above.join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(at("create", &path))?;
        Ok(Self { path })
    }

    /// Makes everything durable, and renames it.
    fn put_in_place(self, target: &Target) -> Result<(), RestoreError> {
        let opened = File::open(&self.path).map_err(at("open", &self.path))?;
        rustix::fs::syncfs(&opened).map_err(at("sync", &self.path))?;
        match std::fs::rename(&self.path, &target.path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => {
                return Err(RestoreError::Occupied { path: target.path.clone() });
            }
            Err(error) => return Err(at("rename into place", &target.path)(error).into()),
        }
        let above = File::open(&target.above).and_then(|above| above.sync_all());
        if above.is_err() {
            // Back, so that it is removed like after any other failure.
            let _ = std::fs::rename(&target.path, &self.path);
        }
        Ok(above.map_err(at("sync", &target.above))?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_err() {
            return;
        }
        let removed = std::fs::remove_dir_all(&self.path).or_else(|_| {
            open_up(&self.path)?;
            std::fs::remove_dir_all(&self.path)
        });
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "what was unpacked in vain is still there; delete it");
        }
    }
}

/// Directories that got their restored modes may be closed to their own owner.
fn open_up(path: &Path) -> io::Result<()> {
    let mut closed = vec![path.to_owned()];
    while let Some(directory) = closed.pop() {
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                closed.push(entry.path());
            }
        }
    }
    Ok(())
}
