//! Requests to a shim, through a named pipe in its attempt's directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use tachograph_engine::domain::Stream;

use super::super::directory::AttemptDirectory;

const PIPE_MODE: u32 = 0o600;
/// Every request has this length: written in one piece, so that those of several writers cannot mix.
const REQUEST_BYTES: usize = 8;
/// Requests that are taken from the pipe at once.
const BATCH: usize = 32;

/// What a shim may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Sends a signal to the whole process group.
    Signal(Signal),
    /// Ends the group: TERM now, KILL after the grace. Asking again can only bring the latter forward.
    End {
        /// Between the two.
        grace: Duration,
    },
    /// Nobody reads this stream any more: the group gets PIPE, then the stream's pipe is closed.
    HangUp(Stream),
    /// Gives up waiting for output this long from now at the latest.
    DrainWithin(Duration),
}

impl Request {
    fn encode(self) -> [u8; REQUEST_BYTES] {
        let (kind, argument, time) = match self {
            Self::Signal(signal) => (1, u8::try_from(signal.as_raw()).unwrap_or(0), Duration::ZERO),
            Self::End { grace } => (2, 0, grace),
            Self::HangUp(Stream::Stdout) => (3, 1, Duration::ZERO),
            Self::HangUp(Stream::Stderr) => (3, 2, Duration::ZERO),
            Self::DrainWithin(time) => (4, 0, time),
        };
        let [a, b, c, d] = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).to_le_bytes();
        [kind, argument, 0, 0, a, b, c, d]
    }

    /// Absent for what no version knows, which is no reason to give anything up.
    fn decode(bytes: [u8; REQUEST_BYTES]) -> Option<Self> {
        let [kind, argument, _, _, a, b, c, d] = bytes;
        let time = Duration::from_millis(u64::from(u32::from_le_bytes([a, b, c, d])));
        match (kind, argument) {
            (1, number) => Signal::from_named_raw(i32::from(number)).map(Self::Signal),
            (2, _) => Some(Self::End { grace: time }),
            (3, 1) => Some(Self::HangUp(Stream::Stdout)),
            (3, 2) => Some(Self::HangUp(Stream::Stderr)),
            (4, _) => Some(Self::DrainWithin(time)),
            _ => None,
        }
    }
}

/// The way to ask a shim, for the supervisor that started it as well as for one that came later.
#[derive(Debug)]
pub struct RequestPipe(File);

impl RequestPipe {
    /// Opens the way to the shim of an attempt.
    ///
    /// # Errors
    ///
    /// If there is no shim: not yet, or not any more.
    pub fn open(directory: &AttemptDirectory) -> io::Result<Self> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let path = path(directory);
        let pipe = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(&path)?;
        if !pipe.metadata()?.file_type().is_fifo() {
            return Err(io::Error::other(format!("{} is no named pipe", path.display())));
        }
        Ok(Self(pipe))
    }

    /// Asks. The shim does it soon; that it has done it shows in what becomes of the processes.
    ///
    /// # Errors
    ///
    /// If the shim is gone, or has not answered to hundreds of requests.
    pub fn send(&self, request: Request) -> io::Result<()> {
        (&self.0).write_all(&request.encode())
    }
}

/// The shim's own end of the pipe.
#[derive(Debug)]
pub(super) struct Requests(pub(super) File);

impl Requests {
    /// Makes the pipe. It is open for both directions, so that it stays when those who ask come and go.
    pub(super) fn create(directory: &AttemptDirectory) -> io::Result<Self> {
        let path = path(directory);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(PIPE_MODE), 0)?;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(Self(OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(path)?))
    }

    /// What was asked since the last time, in its order.
    pub(super) fn take(&mut self) -> Vec<Request> {
        let mut bytes = [0; REQUEST_BYTES * BATCH];
        let read = self.0.read(&mut bytes).unwrap_or(0);
        let (requests, _) = bytes[..read].as_chunks::<REQUEST_BYTES>();
        requests.iter().filter_map(|request| Request::decode(*request)).collect()
    }
}

/// Takes the pipe away, so that nobody asks a shim that is gone.
pub(in super::super) fn remove(directory: &AttemptDirectory) {
    let _ = std::fs::remove_file(path(directory));
}

fn path(directory: &AttemptDirectory) -> std::path::PathBuf {
    directory.requests()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_arrives_as_it_was_meant() {
        for request in [
            Request::Signal(Signal::USR1),
            Request::Signal(Signal::KILL),
            Request::End { grace: Duration::from_millis(70_000) },
            Request::HangUp(Stream::Stdout),
            Request::HangUp(Stream::Stderr),
            Request::DrainWithin(Duration::ZERO),
        ] {
            assert_eq!(Request::decode(request.encode()), Some(request));
        }
        assert_eq!(Request::decode([9; REQUEST_BYTES]), None);
        assert_eq!(Request::decode([1, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
