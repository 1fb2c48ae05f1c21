//! Why a runner did not do what it was asked.

use tachograph_engine::domain::{AttemptId, Refusal, RunId};
use tachograph_engine::ports::JournalError;
use tachograph_engine::shell::SubmitError;

use super::ready::ReadyCheckError;

/// Why a runner did not do what it was asked. Nothing was spawned then.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The engine refused; the refusal is recorded.
    #[error("{refusal}; {}", refusal.remedy())]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The engine gave no answer.
    #[error(transparent)]
    NotSubmitted(#[from] SubmitError),
    /// The run could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run's workload is no command line, and no container.
    #[error("run {run} has no command line")]
    NoCommand {
        /// Which run.
        run: RunId,
    },
    /// The run is a container, whose first process is a child of its runtime and becomes one of a shim: nobody else sees
    /// its status.
    #[error("run {run} is a container, which needs a shim; this runner has none")]
    NoShim {
        /// Which run.
        run: RunId,
    },
    /// This process ignores the signal CHLD, so that the kernel throws away how its children end.
    #[error(
        "run {run} is not started: its exit code would be lost, because this program ignores SIGCHLD or was started so; \
         call shim::heed_child_exits() first in main"
    )]
    ExitsIgnored {
        /// Which run.
        run: RunId,
    },
    /// The ready check can never be met or is out of its bounds.
    #[error("the ready check cannot be used: {0}")]
    ReadyCheck(#[from] ReadyCheckError),
    /// This very attempt is being started or runs already; it is not started a second time.
    #[error("attempt {attempt} of run {run} is under way; wait for it, or restart the run once it has ended")]
    UnderWay {
        /// The run.
        run: RunId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// The runner is shutting down, or has.
    #[error("the runner is shutting down and starts nothing more")]
    ShuttingDown,
    /// The task that supervised the attempt is gone, and with it what it saw. Recovery will record the attempt's end.
    #[error("attempt {attempt} of run {run} is no longer supervised; open the data again to recover it")]
    Abandoned {
        /// The run.
        run: RunId,
        /// The attempt.
        attempt: AttemptId,
    },
}

impl RunnerError {
    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { refusal } => refusal.code(),
            Self::NotSubmitted(error) => error.code(),
            Self::Journal(error) => error.code(),
            Self::NoCommand { .. } => "no_command",
            Self::NoShim { .. } => "no_shim",
            Self::ExitsIgnored { .. } => "exits_ignored",
            Self::ReadyCheck(_) => "ready_check",
            Self::UnderWay { .. } => "under_way",
            Self::ShuttingDown => "shutting_down",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}
