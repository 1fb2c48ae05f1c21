//! Why a call got no response.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a call got no response. A response that says `error` is no such error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no socket, or its process is gone. Nothing was asked.
    #[error("nobody listens at {}: {source}", path.display())]
    NobodyListens {
        /// Where.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The socket belongs to another user. Nothing was asked.
    #[error("{} is not for this user", path.display())]
    PeerRefused {
        /// Where.
        path: PathBuf,
    },
    /// The other end does not speak the protocol, or closed before its response. The request may have been carried out.
    #[error("{} gave no response: {why}", path.display())]
    Protocol {
        /// Where.
        path: PathBuf,
        /// What it did instead.
        why: String,
    },
    /// There was no response in time. The request may be carried out all the same.
    #[error("{} gave no response within {} ms", path.display(), after.as_millis())]
    TimedOut {
        /// Where.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// The operating system refused otherwise.
    #[error("cannot speak to {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl ControlError {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NobodyListens { .. } => "nobody_listens",
            Self::PeerRefused { .. } => super::code::PEER_REFUSED,
            Self::Protocol { .. } => "no_response",
            Self::TimedOut { .. } => "response_timed_out",
            Self::Io { .. } => "io",
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NobodyListens { .. } => "check the path; a run's socket exists while an attempt of it is under way",
            Self::PeerRefused { .. } => "speak as the user that the supervisor runs as",
            Self::Protocol { .. } => "send it again with the same command id; use the same version on both sides",
            Self::TimedOut { .. } => "send it again with the same command id",
            Self::Io { .. } => "mend what the message names and send it again with the same command id",
        }
    }
}
