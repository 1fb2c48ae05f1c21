//! `tacho supervise`: the jobs of a file, recorded.

pub mod progress;
pub mod schedule;

use crate::cli::SuperviseArgs;
use crate::error::Error;
use crate::output::Context;

/// Runs the jobs and returns the exit code for the process: 0 if each ended as expected, else 1.
///
/// # Errors
///
/// [`Error`] if the file or the journal cannot be used.
pub async fn execute(_context: &Context, _args: SuperviseArgs) -> Result<u8, Error> {
    Err(Error::internal("`tacho supervise` is not available in this build"))
}
