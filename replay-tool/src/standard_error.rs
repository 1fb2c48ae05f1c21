//! Standard error, written so that no terminal holds this process up.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, fstat, major, open};
use rustix::stdio::stderr;
use rustix::termios::isatty;

/// Standard error, past the lock of the standard library: whoever is held up by a reader may hold that.
///
/// A pipe takes a small piece at once if it says that it takes something. A terminal may take a part of it and have the writer wait for
/// whoever looks at it, for as long as that stands still. So it is opened once more, to write without waiting: set on what
/// was inherited, that would hold for everybody who shares it, the shell above all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StandardError;

impl AsFd for StandardError {
    fn as_fd(&self) -> BorrowedFd<'_> {
        terminal().map_or_else(stderr, AsFd::as_fd)
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.as_fd(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether it is a terminal that is waited for all the same: one that cannot be opened again, as another user's.
pub(crate) fn waits_for_its_terminal() -> bool {
    isatty(stderr()) && terminal().is_none()
}

/// The terminal that standard error is, opened so that nobody waits for it.
fn terminal() -> Option<&'static OwnedFd> {
    static TERMINAL: OnceLock<Option<OwnedFd>> = OnceLock::new();
    TERMINAL.get_or_init(|| if isatty(stderr()) { opened_again().ok().flatten() } else { None }).as_ref()
}

/// The major number of files that lead to another terminal each time that they are opened, or for each who opens them: `/dev/tty`,
/// `/dev/console`, and `/dev/ptmx`, whose open files are the other sides of terminals.
const ALIASES: u32 = 5;

/// Absent if that would be another one.
fn opened_again() -> io::Result<Option<OwnedFd>> {
    let this = fstat(stderr())?;
    if major(this.st_rdev) == ALIASES {
        return Ok(None);
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let again = open("/proc/self/fd/2", flags, Mode::empty())?;
    let that = fstat(&again)?;
    let is_same = (this.st_dev, this.st_ino, this.st_rdev) == (that.st_dev, that.st_ino, that.st_rdev);
    Ok((is_same && isatty(&again)).then_some(again))
}
