//! What columns say about how an attempt ended.

use tachograph_engine::domain::{Drain, Exit, ExitStatus, ResourceLimits};

use super::column::integer;

/// What the column of [`left_out_bytes_min`] says.
pub(super) const LEFT_OUT: &str =
    "at least so many bytes of both were left out, as more came than the run's limit keeps";

/// The code, if that is how it ended.
pub(super) fn code(status: &ExitStatus) -> Option<i64> {
    match status {
        ExitStatus::Code(code) => Some(i64::from(*code)),
        ExitStatus::Signal(_) | ExitStatus::Unknown { .. } => None,
    }
}

/// The signal, if that is how it ended.
pub(super) fn signal(status: &ExitStatus) -> Option<i64> {
    match status {
        ExitStatus::Signal(signal) => Some(i64::from(*signal)),
        ExitStatus::Code(_) | ExitStatus::Unknown { .. } => None,
    }
}

/// Why nobody knows how it ended, if that is so.
pub(super) fn unknown(status: &ExitStatus) -> Option<String> {
    match status {
        ExitStatus::Unknown { cause } => Some(cause.clone()),
        ExitStatus::Code(_) | ExitStatus::Signal(_) => None,
    }
}

/// Bytes of standard output, if it was captured.
pub(super) fn stdout_bytes(exit: &Exit) -> Option<i64> {
    exit.output.as_ref().map(|output| integer(output.stdout.bytes))
}

/// Bytes of standard error, if it was captured.
pub(super) fn stderr_bytes(exit: &Exit) -> Option<i64> {
    exit.output.as_ref().map(|output| integer(output.stderr.bytes))
}

/// Bytes that were left out at least, of a run with these limits; absent if no output was captured.
pub(super) fn left_out_bytes_min(exit: &Exit, limits: &ResourceLimits) -> Option<i64> {
    exit.output.as_ref().map(|output| integer(output.left_out_at_least(limits)))
}

/// 1 if both streams were read to their end, 0 if not; absent if none was captured.
pub(super) fn drained(exit: &Exit) -> Option<i64> {
    exit.output.as_ref().map(|output| match output.drain {
        Drain::Drained => 1,
        Drain::DrainTimedOut { .. } => 0,
    })
}
