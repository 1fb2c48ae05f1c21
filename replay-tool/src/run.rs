//! `tacho run`: one command, recorded.

use crate::cli::RunArgs;
use crate::error::Error;
use crate::output::Context;

/// Runs the command and returns the exit code for the process: the command's own, or 128 + n for signal n.
///
/// # Errors
///
/// [`Error`] if Tachograph itself failed; the caller turns it into 125.
pub async fn execute(_context: &Context, _args: RunArgs) -> Result<u8, Error> {
    Err(Error::internal("`tacho run` is not available in this build"))
}
