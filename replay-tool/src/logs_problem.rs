//! Why the output of a run cannot be shown.

use tachograph_adapters::process::DirectoryError;
use tachograph_engine::domain::{RunId, Stream};

use crate::error::exit;

/// Why the output of a run cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogsProblem {
    /// The run has no attempt of this number.
    #[error("run {run} has no attempt {asked}; it has {}", attempts(*latest))]
    UnknownAttempt {
        /// Which run.
        run: RunId,
        /// What was asked for.
        asked: u32,
        /// Its latest attempt; 0 if it has none.
        latest: u32,
    },
    /// The run was not started yet.
    #[error("run {run} was not started yet, so that it has no output")]
    NotStarted {
        /// Which run.
        run: RunId,
    },
    /// There is no file with the output.
    #[error("no {} of attempt {attempt} of run {run} was kept: {source}", stream.name())]
    Missing {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// Which stream.
        stream: Stream,
        /// Where it would be, and the operating system's answer.
        source: DirectoryError,
    },
    /// The file cannot be read, or is none.
    #[error(transparent)]
    Unreadable(#[from] DirectoryError),
}

fn attempts(latest: u32) -> String {
    match latest {
        0 => "none".to_owned(),
        1 => "attempt 1 only".to_owned(),
        latest => format!("attempts 1 to {latest}"),
    }
}

impl LogsProblem {
    /// Stable snake_case code, the one to match on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownAttempt { .. } => "unknown_attempt",
            Self::NotStarted { .. } => "not_started",
            Self::Missing { .. } => "output_missing",
            Self::Unreadable(_) => "io",
        }
    }

    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownAttempt { .. } | Self::NotStarted { .. } => exit::UNKNOWN_RUN,
            Self::Missing { .. } | Self::Unreadable(_) => exit::PLACE,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::UnknownAttempt { .. } => "leave out --attempt for the latest one; `tacho timeline` tells all",
            Self::NotStarted { .. } => "give --follow to wait for it",
            Self::Missing { .. } => "`tacho show` tells how it ended, and who kept its output if not this supervisor",
            Self::Unreadable(_) => "check the place and its permissions; nothing was changed",
        }
    }
}
