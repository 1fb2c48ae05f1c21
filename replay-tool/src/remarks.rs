//! What a process says on standard error beside its work: logs and remarks. Nothing waits for whoever reads them while there
//! is work; the rest is said at the end.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::stdio::stderr;

use crate::interrupt::end_at_signals;
use crate::unsaid::{Patience, Unsaid};

/// So long at the end, whoever reads the logs may take nothing of them.
const LOGS_PAUSE_MAX: Duration = Duration::from_secs(1);
/// So long at the end the logs are waited for in all.
const LOGS_BUDGET: Duration = Duration::from_secs(5);

static REMARKS: Mutex<Remarks> = Mutex::new(Remarks { unsaid: Unsaid::to(StandardError), is_for_people: false });

#[derive(Debug)]
struct Remarks {
    unsaid: Unsaid<StandardError>,
    /// Whether something of what may be unsaid is no log.
    is_for_people: bool,
}

impl Remarks {
    /// Says what is taken at once.
    fn say(&mut self) {
        self.unsaid.say();
        self.is_for_people &= !self.unsaid.text.is_empty();
    }
}

/// Standard error, past the lock of the standard library: whoever is held up by a reader may hold that.
#[derive(Debug)]
struct StandardError;

impl AsFd for StandardError {
    fn as_fd(&self) -> BorrowedFd<'_> {
        stderr()
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where logs are written to. Never fails and never waits: what their reader does not take in time is left out, and that is told.
#[derive(Debug)]
pub(crate) struct Logs;

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut remarks = remarks();
        remarks.unsaid.keep(&String::from_utf8_lossy(bytes));
        remarks.say();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says it without waiting for anybody. What is not taken now is said at the end.
pub(crate) fn remark(text: &str) {
    let mut remarks = remarks();
    remarks.is_for_people = true;
    remarks.unsaid.keep(text);
    remarks.say();
}

/// Says what is taken by now of what was not.
pub(crate) fn offer() {
    remarks().say();
}

/// Says the rest when all else is done, and the last of all. Whoever reads it is waited for until he has it all, or is gone, or
/// a signal asks for the end; if there are only logs, for a few seconds at most.
pub(crate) fn say_rest(last: Option<&str>) {
    end_at_signals();
    let mut remarks = remarks();
    remarks.unsaid.tell_left_out();
    let patience = match last {
        None if !remarks.is_for_people => {
            Patience::Until { pause_max: LOGS_PAUSE_MAX, end: Instant::now() + LOGS_BUDGET }
        }
        _ => Patience::Endless,
    };
    // However much is unsaid already, this is why all of it is waited for.
    remarks.unsaid.text.extend_from_slice(last.unwrap_or_default().as_bytes());
    remarks.unsaid.say_with(patience);
}

fn remarks() -> MutexGuard<'static, Remarks> {
    // Whoever panicked has at most said something twice.
    REMARKS.lock().unwrap_or_else(PoisonError::into_inner)
}
