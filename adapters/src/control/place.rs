//! The file of a socket: made for its owner only, at any length of path, and taken away by nobody else.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixSocket};

/// What fits into a socket address with its closing zero.
const ADDRESS_BYTES_MAX: usize = 107;
const SOCKET_MODE: u32 = 0o600;
/// Connections that the kernel keeps until they are accepted: all runs of a supervisor may report at once.
const BACKLOG: u32 = 1_024;
/// How a draft of a socket is called: this, the pid of who made it, a dot and a number.
const DRAFT: &str = ".control.";
/// More than there are listeners that begin in one directory at the same moment.
const TRIES: usize = 16;

/// The address of a path. A path that is too long for one is reached by way of its directory, held open meanwhile; only its
/// last part must be short, of 80 bytes at most.
pub(super) struct Address {
    pub(super) path: PathBuf,
    _directory: Option<File>,
}

impl Address {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        let name = path.file_name().ok_or_else(no_name)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = File::from(rustix::fs::open(parent, flags, Mode::empty())?);
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}

/// The file of a bound socket. Dropping it removes the file, if that is still the one.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is there and the one that was made.
    pub(super) fn is_own(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_own() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket at a path that nobody listens at. Needs a Tokio runtime with IO.
///
/// The socket's own mode is narrowed before it is bound, and the file is made with that: there is no instant in which
/// another user could connect, whatever the umask and the directory allow. It listens before it is moved to its place,
/// so that whoever finds it there is served. What a dead process left there is replaced; what is no socket is not. Drafts
/// that dead processes left beside it are removed.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Place)> {
    check_vacant(path)?;
    remove_left_drafts(path);
    let mut again = 1..TRIES;
    loop {
        match bind_by_draft(path) {
            // Before it was listened at, somebody else took the draft for one that was left.
            Err(error) if error.kind() == io::ErrorKind::NotFound && again.next().is_some() => {}
            bound => return bound,
        }
    }
}

fn bind_by_draft(path: &Path) -> io::Result<(UnixListener, Place)> {
    let draft = draft(path);
    let (listener, mut place) = bind_at(&draft)?;
    // Should it not get there, its present place is cleared.
    std::fs::rename(&draft, path)?;
    path.clone_into(&mut place.path);
    Ok((listener, place))
}

/// Removes the drafts beside the path at which nobody listens: those of processes that were killed before they had moved
/// them to their place. A pid would prove nothing: whoever has it may be in another namespace, or be somebody else. One that
/// lives and does not listen yet loses its draft as well, and makes another. What cannot be removed is in nobody's way.
fn remove_left_drafts(path: &Path) {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
        if !is_socket || !entry.file_name().to_str().is_some_and(is_draft) {
            continue;
        }
        let draft = parent.join(entry.file_name());
        if probe(&draft).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = std::fs::remove_file(draft);
        }
    }
}

/// Binds a socket at a path where nothing is; `AddrInUse` if something is.
fn bind_at(path: &Path) -> io::Result<(UnixListener, Place)> {
    let socket = UnixSocket::new_stream()?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(SOCKET_MODE))?;
    let address = Address::of(path)?;
    socket.bind(&address.path)?;
    let placed = || -> io::Result<(UnixListener, Place)> {
        let listener = socket.listen(BACKLOG)?;
        Ok((listener, Place { path: path.to_owned(), identity: identity(path)? }))
    };
    placed().inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// A name beside the path that no other draft has or had, also none of a process with the same pid in another namespace; a
/// short one, since it must fit as well.
fn draft(path: &Path) -> PathBuf {
    let number = RandomState::new().hash_one(());
    path.with_file_name(format!("{DRAFT}{}.{number}", std::process::id()))
}

fn is_draft(name: &str) -> bool {
    let numbers = name.strip_prefix(DRAFT).and_then(|numbers| numbers.split_once('.'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(pid, number)| is_number(pid) && is_number(number))
}

/// An error unless there is nothing at the path, or a socket that nobody listens at.
fn check_vacant(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket; remove it"));
    }
    match probe(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        // A full queue has an owner as well.
        Ok(()) => Err(in_use()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
        Err(error) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens there; stop it first")
}

/// Connects without ever waiting for a place in the queue.
fn probe(path: &Path) -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let address = Address::of(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(&address.path)?)?;
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_place_is_taken_where_nothing_is_and_cleared_by_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("control.sock");
        let (_listener, place) = bind_at(&path).unwrap();
        assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        probe(&path).unwrap();
        assert_eq!(bind_at(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(place);
        assert!(path.symlink_metadata().is_err());
        std::fs::write(&path, "").unwrap();
        assert_eq!(bind_at(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.is_file(), "what is somebody else's stays");
    }

    #[test]
    fn a_draft_is_known_by_its_name_and_no_two_have_the_same() {
        let data = Path::new("/data/control.sock");
        let [one, other] = [draft(data), draft(data)];
        assert_ne!(one, other);
        for path in [one, other] {
            assert_eq!(path.parent(), data.parent());
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(is_draft(name) && name.len() < 80, "{name}");
        }
        assert!(is_draft(".control.4711.0"), "as they were called before");
        for name in
            ["control.sock", ".control.", ".control.7", ".control.7.", ".control..7", ".control.a.7", ".control.7.x"]
        {
            assert!(!is_draft(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_place_that_was_moved_is_cleared_where_it_is() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("control.sock");
        let (_listener, place) = bind(&path).unwrap();
        assert_eq!(place.path(), path);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1, "no draft is left");
        drop(place);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
