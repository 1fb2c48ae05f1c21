//! What shows that a run is ready, and by when it must.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tachograph_engine::domain::Stream;
use tachograph_engine::domain::limits::PATH_BYTES_MAX;

/// Bytes in a text that is looked for.
const TEXT_BYTES_MAX: usize = 1_024;

/// How a run shows that it is ready, and by when it must.
///
/// An attempt that is not ready in time is ended, politely first, and recorded as failed with
/// [`FailureKind::StartTimeout`](tachograph_engine::domain::FailureKind::StartTimeout) and what was seen: what was alive,
/// how much it had printed, what became of the check, its last lines. One that ends before is recorded as it ended.
///
/// Everything is seen from outside, several times a second at most: in the attempt's directory, in the file system, on
/// the loopback interface. What was there before the process was spawned does not count. After a crash of the supervisor
/// nobody looks any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyCheck {
    /// What shows it.
    pub probe: ReadyProbe,
    /// By when, from the spawn on; whole milliseconds, and more than none. On the monotonic clock.
    pub within: Duration,
}

/// What shows that a run is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyProbe {
    /// A file of any kind, a socket or a link too. A relative path begins in the attempt's directory, which its processes
    /// know as `TACHO_RUN_DIR`, and does not leave it.
    ///
    /// One that was there before the spawn counts once it was made or written anew.
    File(PathBuf),
    /// A text in the output: exactly these bytes, within a line. There are no patterns. What is not kept, because of
    /// `limits.output_bytes`, is not found.
    Line {
        /// On which stream; on either if absent.
        stream: Option<Stream>,
        /// The text, 1 to 1024 bytes without a line break.
        text: String,
    },
    /// Somebody accepts TCP connections at this port of the loopback interface, of IPv4 or IPv6. Looking makes a connection
    /// and closes it at once.
    ///
    /// A port that was open before the spawn is somebody else's: it counts only after it was seen closed. Who opens it
    /// later cannot be told.
    Port(u16),
}

/// Why a ready check cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadyCheckError {
    /// The path is empty, too long, or leads out of the attempt's directory.
    #[error("the file {path:?} {why}")]
    File {
        /// Which path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The text cannot be part of one line, or is too long.
    #[error("the text {why}")]
    Line {
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no port 0.
    #[error("there is no port 0; 1 to 65535")]
    Port,
    /// There is no time to become ready in.
    #[error("the time to become ready in must be at least 1 ms")]
    Within,
}

impl ReadyCheck {
    /// Checks that it can be met at all; a start does the same.
    ///
    /// # Errors
    ///
    /// [`ReadyCheckError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), ReadyCheckError> {
        self.probe.check()?;
        if self.within < Duration::from_millis(1) { Err(ReadyCheckError::Within) } else { Ok(()) }
    }

    pub(super) fn within_ms(&self) -> u64 {
        u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX)
    }
}

impl ReadyProbe {
    /// Checks that it can be met at all.
    ///
    /// # Errors
    ///
    /// [`ReadyCheckError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), ReadyCheckError> {
        match self {
            Self::File(path) => check_path(path),
            Self::Line { text, .. } => check_text(text).map_err(|why| ReadyCheckError::Line { why }),
            Self::Port(0) => Err(ReadyCheckError::Port),
            Self::Port(_) => Ok(()),
        }
    }

    /// Stable name, for facts.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Line { .. } => "line",
            Self::Port(_) => "port",
        }
    }
}

impl fmt::Display for ReadyProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {path:?}"),
            Self::Line { stream: Some(stream), text } => write!(f, "line {text:?} on {}", stream.name()),
            Self::Line { stream: None, text } => write!(f, "line {text:?}"),
            Self::Port(port) => write!(f, "port {port}"),
        }
    }
}

fn check_path(path: &Path) -> Result<(), ReadyCheckError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let why = if bytes.is_empty() {
        "is empty"
    } else if bytes.len() > PATH_BYTES_MAX {
        "is longer than 4096 bytes"
    } else if bytes.contains(&0) {
        "contains a NUL"
    } else if !path.is_absolute() && path.components().any(|part| part == Component::ParentDir) {
        "leads out of the attempt's directory; give an absolute path"
    } else {
        return Ok(());
    };
    Err(ReadyCheckError::File { path: path.to_owned(), why })
}

fn check_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("is empty")
    } else if text.len() > TEXT_BYTES_MAX {
        Err("is longer than 1024 bytes")
    } else if text.contains('\n') {
        Err("contains a line break; it is looked for within one line")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> ReadyProbe {
        ReadyProbe::Line { stream: None, text: text.to_owned() }
    }

    #[test]
    fn what_can_never_be_met_is_refused() {
        let long = "x".repeat(5_000);
        for (probe, why) in [
            (ReadyProbe::File("".into()), "the file \"\" is empty"),
            (ReadyProbe::File("../other/ready".into()), "leads out of the attempt's directory"),
            (ReadyProbe::File("a/../../b".into()), "leads out of the attempt's directory"),
            (ReadyProbe::File("a\0b".into()), "contains a NUL"),
            (ReadyProbe::File(long.clone().into()), "longer than 4096 bytes"),
            (line(""), "the text is empty"),
            (line("a\nb"), "line break"),
            (line(&long), "longer than 1024 bytes"),
            (ReadyProbe::Port(0), "no port 0"),
        ] {
            let told = probe.check().unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
        for probe in [ReadyProbe::File("sub/ready".into()), ReadyProbe::File("/a/../b".into()), line("ready")] {
            assert_eq!(probe.check(), Ok(()), "{probe}");
        }
        let check = ReadyCheck { probe: line("ready"), within: Duration::ZERO };
        assert_eq!(check.check(), Err(ReadyCheckError::Within));
    }
}
