//! Stopping all processes of an attempt for a while, and letting them go on.
//!
//! An image of files that are written meanwhile is torn. Whoever takes one freezes the attempt, reads, verifies that
//! nothing moved, and thaws.

mod cgroup;
mod contained;
mod error;
mod freezer;
mod limit;
mod marker;
mod members;
mod options;
mod paused;
mod reopen;
mod signals;
mod standing;

pub use error::FreezeError;
pub use freezer::ProcessFreezer;
pub use options::{CgroupUse, FreezerOptions};
pub use reopen::ThawReport;
use tachograph_engine::domain::{AttemptId, Ordinal, RunId};

/// Freezes attempts.
///
/// Blocking; called on a thread that may wait.
pub trait Freezer: Send + Sync + std::fmt::Debug {
    /// Stops every process of the attempt, verified, before it returns. An attempt without a living process is frozen as
    /// it is.
    ///
    /// # Errors
    ///
    /// [`FreezeError`]; what had been stopped until then goes on again.
    fn freeze(&self, target: &FreezeTarget) -> Result<Box<dyn Frozen>, FreezeError>;
}

/// Which attempt is to be frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeTarget {
    /// Of which run.
    pub run: RunId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// Its number within the run.
    pub ordinal: Ordinal,
}

/// An attempt that stands still. Dropping it thaws.
pub trait Frozen: Send {
    /// Whether all of its processes stood still until now, and still do. To be asked after the work and before its result
    /// counts.
    ///
    /// # Errors
    ///
    /// [`FreezeError::Torn`] with the process that went on, ended or came meanwhile.
    fn verify(&self) -> Result<(), FreezeError>;

    /// Lets go on what was stopped here; what had been stopped before stays stopped.
    ///
    /// # Errors
    ///
    /// [`FreezeError::NotThawed`] with what still stands. Opening the freezer again repeats it.
    fn thaw(self: Box<Self>) -> Result<(), FreezeError>;
}
