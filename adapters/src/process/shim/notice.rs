//! What a shim tells the supervisor that started it, as long as there is one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::ExitStatus;

use super::super::text::cut;

/// Nothing that a shim tells is longer.
const NOTICE_BYTES_MAX: u64 = 4 * 1_024;
const TROUBLE_BYTES_MAX: usize = 1_024;

/// What a shim tells the supervisor that started it. All of it is news; what counts is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// The command is being executed.
    Started {
        /// Its pid.
        pid: u32,
    },
    /// The process has ended; output may still be coming. Neither of the two if nobody knows how.
    Exited {
        /// With this code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// By this signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// The exit record is complete and in its place: whoever reads it in this boot finds all of it, also if the shim is killed
    /// now. A power cut may still take it; the shim goes once that is not so any more.
    Recorded {},
    /// The attempt could not be begun, or its end not be written down.
    Trouble {
        /// What failed.
        why: String,
    },
}

/// Why there is no next notice.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// The pipe cannot be read.
    #[error("cannot read the shim's notices: {0}")]
    Unreadable(#[from] io::Error),
    /// It is no notice: the shim is of another version, or no shim.
    #[error("the shim's notice cannot be understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Reads the notices of one shim.
#[derive(Debug)]
pub struct Notices<R>(BufReader<R>);

impl<R: Read> Notices<R> {
    /// From the standard output of the shim.
    pub fn from(pipe: R) -> Self {
        Self(BufReader::with_capacity(512, pipe))
    }

    /// Waits for the next notice; absent once the shim is gone.
    ///
    /// # Errors
    ///
    /// [`NoticeError`]; the shim may still be there.
    pub fn read(&mut self) -> Result<Option<Notice>, NoticeError> {
        let mut line = Vec::new();
        (&mut self.0).take(NOTICE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() { Ok(None) } else { Ok(Some(Notice::parse(&line)?)) }
    }
}

impl Notice {
    /// Reads one line of a shim's standard output.
    ///
    /// # Errors
    ///
    /// If it is no notice.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// That the process has ended like this.
    pub(super) const fn exited(status: &ExitStatus) -> Self {
        let (code, signal) = match status {
            ExitStatus::Code(code) => (Some(*code), None),
            ExitStatus::Signal(signal) => (None, Some(*signal)),
            ExitStatus::Unknown { .. } => (None, None),
        };
        Self::Exited { code, signal }
    }
}

/// The shim's own end: each piece that goes out wakes the supervisor, so what comes together is told together.
#[derive(Debug)]
pub(super) struct Teller {
    to: File,
    /// Lines that are still to be told.
    held: Vec<u8>,
}

impl Teller {
    pub(super) const fn through(to: File) -> Self {
        Self { to, held: Vec::new() }
    }

    /// Keeps a notice until the next one is told, or until [`release`](Self::release).
    pub(super) fn hold(&mut self, notice: &Notice) {
        if serde_json::to_writer(&mut self.held, notice).is_ok() {
            self.held.push(b'\n');
        }
    }

    /// Tells it, after all that was held. Returns whether somebody may hear it: the supervisor may be gone, which is no
    /// error.
    pub(super) fn tell(&mut self, notice: &Notice) -> bool {
        self.hold(notice);
        self.release()
    }

    /// Tells of something that failed.
    pub(super) fn trouble(&mut self, why: &str) {
        self.tell(&Notice::Trouble { why: cut(why, TROUBLE_BYTES_MAX).to_owned() });
    }

    /// Tells what was held, if anything.
    pub(super) fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        held.is_empty() || self.to.write_all(&held).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// Through a pipe that gives each piece by itself.
    fn teller() -> (File, Teller) {
        let (reader, writer) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
        (reader.into(), Teller::through(writer.into()))
    }

    #[test]
    fn what_is_held_goes_out_with_the_next_in_one_piece_or_by_itself() {
        let (mut reader, mut teller) = teller();
        let exited = Notice::Exited { code: Some(3), signal: None };
        teller.hold(&exited);
        assert!(teller.tell(&Notice::Recorded {}));
        let mut piece = [0; 256];
        let bytes = reader.read(&mut piece).unwrap();
        let told: Vec<_> = piece[..bytes].split_inclusive(|byte| *byte == b'\n').map(Notice::parse).collect();
        assert!(matches!(&told[..], [Ok(first), Ok(Notice::Recorded {})] if *first == exited), "{told:?}");
        teller.hold(&exited);
        assert!(teller.release() && teller.release());
        drop(teller);
        let mut notices = Notices::from(reader);
        assert_eq!(notices.read().unwrap(), Some(exited));
        assert_eq!(notices.read().unwrap(), None, "it is told once");
    }

    #[test]
    fn it_shows_that_nobody_listens() {
        let (reader, mut teller) = teller();
        drop(reader);
        assert!(!teller.tell(&Notice::Recorded {}));
        assert!(teller.release(), "nothing is left to be told");
    }
}
