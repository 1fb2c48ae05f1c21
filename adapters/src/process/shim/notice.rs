//! What a shim tells the supervisor that started it, as long as there is one.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::ExitStatus;

/// Nothing that a shim tells is longer.
const NOTICE_BYTES_MAX: u64 = 4 * 1_024;

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
    /// The exit record is complete on disk.
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

    /// Tells it. Nobody listening is no error: the supervisor may be gone.
    pub(super) fn tell(&self, mut to: impl Write) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            let _ = to.write_all(&line);
        }
    }
}
