//! What a shim is told, through a pipe that it may not read.

use std::future::pending;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::net::unix::pipe::Sender;

/// So much fits into any empty pipe, however little room its user has left for pipes.
const PIPE_BYTES: usize = 4 * 1_024;

/// What a shim is told, as far as its pipe has not taken it yet. Nothing here waits for the shim.
#[derive(Debug)]
pub(super) struct Telling {
    to: PipeWriter,
    message: Vec<u8>,
    written: usize,
}

impl Telling {
    /// Puts into a pipe what it holds, for a shim that is not there yet: what is all in it is waited for by nobody.
    ///
    /// # Errors
    ///
    /// If there is no pipe to be had.
    pub(super) fn begin(message: Vec<u8>) -> io::Result<(PipeReader, Self)> {
        let (taken, to) = io::pipe()?;
        if message.len() > PIPE_BYTES {
            fcntl_setfl(&to, OFlags::NONBLOCK)?;
        }
        let mut telling = Self { to, message, written: 0 };
        telling.write()?;
        Ok((taken, telling))
    }

    /// The rest of it, if any, for a shim that was spawned meanwhile. Needs a Tokio runtime with IO enabled.
    ///
    /// # Errors
    ///
    /// If the runtime cannot wait for the pipe.
    pub(super) fn go_on(self) -> io::Result<Option<Untold>> {
        if self.written == self.message.len() {
            return Ok(None);
        }
        let to = Sender::from_owned_fd_unchecked(OwnedFd::from(self.to))?;
        Ok(Some(Untold { to, message: self.message, written: self.written }))
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(left @ [_, ..]) = self.message.get(self.written..) {
            match self.to.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a shim has not taken yet of what it is told. Dropping it leaves it with half of it, which is nothing.
#[derive(Debug)]
pub(super) struct Untold {
    to: Sender,
    message: Vec<u8>,
    written: usize,
}

/// Returns once the shim has taken all, or takes no more; never if nothing is untold. May be dropped and called again.
pub(super) async fn tell(untold: &mut Option<Untold>) {
    let Some(Untold { to, message, written }) = untold else { return pending().await };
    while let Some(left @ [_, ..]) = message.get(*written..) {
        match to.try_write(left) {
            Ok(bytes) => *written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if to.writable().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a shim does not take its assignment");
                return;
            }
        }
    }
}
