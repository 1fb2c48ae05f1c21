//! What was there before the spawn, and so does not show that the run is ready.

use std::fs::Metadata;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::directory::AttemptDirectory;
use super::check::{ReadyCheck, ReadyProbe};

/// A connection to the own machine that takes longer is none that shows readiness.
const CONNECT_MAX: Duration = Duration::from_millis(200);

/// A ready check with what was there before the process was spawned.
#[derive(Debug)]
pub(in super::super) struct Before {
    pub(super) check: ReadyCheck,
    pub(super) found: Found,
}

/// What a check looks at, as it was before the spawn.
#[derive(Debug)]
pub(super) enum Found {
    File {
        path: PathBuf,
        before: Option<FileMark>,
    },
    /// Output is the attempt's own from its first byte on.
    Line,
    Port {
        open: bool,
    },
}

impl Before {
    /// Looks, right before the spawn. May wait for the disk, and shortly for a connection.
    pub(in super::super) fn see(check: ReadyCheck, directory: &AttemptDirectory) -> Self {
        let found = match &check.probe {
            ReadyProbe::File(path) => {
                let path = directory.path().join(path);
                Found::File { before: FileMark::of(&path), path }
            }
            ReadyProbe::Line { .. } => Found::Line,
            ReadyProbe::Port(port) => Found::Port { open: accepts(*port) },
        };
        Self { check, found }
    }
}

/// What tells whether a file was made or written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileMark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileMark {
    /// Of the file itself, also if it is a link; absent if there is none or it cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found: io::Result<Metadata> = path.symlink_metadata();
        let metadata = found.ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Whether somebody accepts connections at this port of the loopback interface.
pub(super) fn accepts(port: u16) -> bool {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .into_iter()
        .any(|address| TcpStream::connect_timeout(&SocketAddr::new(address, port), CONNECT_MAX).is_ok())
}
