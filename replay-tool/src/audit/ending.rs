//! What columns say about how an attempt ended.

use tachograph_engine::domain::{Drain, Exit, ExitStatus};

use super::column::integer;

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

/// 1 if the output is complete, 0 if it is not; absent if none was captured.
pub(super) fn drained(exit: &Exit) -> Option<i64> {
    exit.output.as_ref().map(|output| match output.drain {
        Drain::Drained => 1,
        Drain::DrainTimedOut { .. } => 0,
    })
}
