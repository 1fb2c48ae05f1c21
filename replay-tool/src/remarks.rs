//! What a process says on standard error beside its work: logs, remarks, and the picture of its progress on a terminal. Nothing
//! waits for whoever reads them while there is work; the rest is said at the end.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::interrupt::end_at_signals;
use crate::standard_error::StandardError;
use crate::unsaid::{Patience, Unsaid};

/// So long at the end, whoever reads the logs may take nothing of them.
const LOGS_PAUSE_MAX: Duration = Duration::from_secs(1);
/// So long at the end the logs are waited for in all.
const LOGS_BUDGET: Duration = Duration::from_secs(5);
/// So much of what is kept is drawn at a time: whoever draws lines fills them up to the width of the terminal.
const DRAWN_BYTES_MAX: usize = 64 * 1_024;
/// How often a terminal that stands still is looked at.
const LOOK: Duration = Duration::from_millis(50);

static REMARKS: Mutex<Remarks> =
    Mutex::new(Remarks { unsaid: Unsaid::to(StandardError), above: None, is_for_people: false });

#[derive(Debug)]
struct Remarks {
    unsaid: Unsaid<StandardError>,
    /// Lines that belong above a picture, as long as there is one: whoever draws it takes them, so that they do not come
    /// into the midst of it.
    above: Option<Unsaid<()>>,
    /// Whether something of what may be unsaid is no log.
    is_for_people: bool,
}

impl Remarks {
    /// Keeps lines, and says what is taken at once.
    fn keep(&mut self, lines: &str) {
        match &mut self.above {
            Some(above) => above.keep(lines),
            None => {
                self.unsaid.keep(lines);
                self.say();
            }
        }
    }

    /// Says what is taken at once.
    fn say(&mut self) {
        self.unsaid.say();
        let is_nothing_above = self.above.as_ref().is_none_or(|above| above.text.is_empty());
        self.is_for_people &= !self.unsaid.text.is_empty() || !is_nothing_above;
    }
}

/// Where logs are written to. Never fails and never waits: what their reader does not take in time is left out, and that is told.
#[derive(Debug)]
pub(crate) struct Logs;

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        remarks().keep(&String::from_utf8_lossy(bytes));
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
    remarks.keep(text);
}

/// From now on lines are kept for whoever draws a picture, which everything else would disturb.
pub(crate) fn begin_picture() {
    remarks().above.get_or_insert(Unsaid::to(()));
}

/// Keeps a line of the picture's own for above it.
pub(crate) fn line_above(line: &str) {
    remarks().keep(&format!("{line}\n"));
}

/// The first lines of those that belong above the picture by now, if the terminal has taken all that was drawn. If it has not, nothing shall be drawn:
/// each drawing begins where the one before it has ended.
pub(crate) fn lines_above() -> Option<String> {
    let mut remarks = remarks();
    remarks.say();
    if !remarks.unsaid.text.is_empty() {
        return None;
    }
    let Some(above) = &mut remarks.above else { return Some(String::new()) };
    if above.text.is_empty() {
        above.tell_left_out();
    }
    let piece = &above.text[..above.text.len().min(DRAWN_BYTES_MAX)];
    let length = piece.iter().rposition(|byte| *byte == b'\n').map_or(piece.len(), |last| last + 1);
    let lines: Vec<u8> = above.text.drain(..length).collect();
    Some(String::from_utf8_lossy(&lines).into_owned())
}

/// Says a drawing without waiting for anybody. What is not taken now is said before anything else is.
pub(crate) fn draw(drawing: &[u8]) {
    let mut remarks = remarks();
    remarks.unsaid.text.extend_from_slice(drawing);
    remarks.say();
}

/// Waits until all that was drawn is taken, or nobody will take it: for as long as it takes, so nobody shall wait for who calls this.
pub(crate) fn until_drawn() {
    loop {
        {
            let mut remarks = remarks();
            remarks.say();
            if remarks.unsaid.text.is_empty() {
                return;
            }
        }
        // The others have something to say meanwhile, and be it that this is over.
        std::thread::sleep(LOOK);
    }
}

/// There is no picture any more.
pub(crate) fn end_picture() {
    let mut remarks = remarks();
    if let Some(mut above) = remarks.above.take() {
        above.tell_left_out();
        remarks.unsaid.text.extend_from_slice(&above.text);
        remarks.say();
    }
}

/// Says what is taken by now of what was not.
pub(crate) fn offer() {
    remarks().say();
}

/// Says the rest when all else is done, and the last of all. Whoever reads it is waited for until he has it all, or is gone, or
/// a signal asks for the end; if there are only logs, for a few seconds at most; if a picture was given up, no longer.
pub(crate) fn say_rest(last: Option<&str>) {
    let mut remarks = match REMARKS.try_lock() {
        // Somebody waits for a terminal that could not be opened not to wait.
        Err(TryLockError::WouldBlock) => {
            end_at_signals();
            remarks()
        }
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Ok(remarks) => remarks,
    };
    // A picture that is still there was given up: its terminal has been waited for.
    let given_up = remarks.above.take();
    let was_given_up = given_up.is_some();
    if let Some(mut above) = given_up.filter(|above| last.is_some() || !above.text.is_empty()) {
        above.tell_left_out();
        remarks.unsaid.text.push(b'\n');
        remarks.unsaid.text.extend_from_slice(&above.text);
    }
    remarks.unsaid.tell_left_out();
    remarks.unsaid.text.extend_from_slice(last.unwrap_or_default().as_bytes());
    if remarks.unsaid.text.is_empty() {
        // Nobody is waited for. A signal that comes this late ends nothing any more, and takes nobody's exit code away.
        return;
    }
    end_at_signals();
    let patience = match last {
        _ if was_given_up => Patience::None,
        None if !remarks.is_for_people => {
            Patience::Until { pause_max: LOGS_PAUSE_MAX, end: Instant::now() + LOGS_BUDGET }
        }
        _ => Patience::Endless,
    };
    remarks.unsaid.say_with(patience);
}

fn remarks() -> MutexGuard<'static, Remarks> {
    // Whoever panicked has at most said something twice.
    REMARKS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::ends_at_signals;

    /// Runs in a process of its own: what it looks at is the whole process's.
    #[test]
    fn signals_end_the_process_only_while_somebody_is_waited_for() {
        const ALONE: &str = "TACHO_TEST_ALONE";
        let this = "remarks::tests::signals_end_the_process_only_while_somebody_is_waited_for";
        if std::env::var_os(ALONE).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let alone = alone.args(["--exact", this]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&alone.stdout);
            assert!(alone.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        say_rest(None);
        assert!(!ends_at_signals(), "there is nothing to say");
        say_rest(Some("the last of all\n"));
        assert!(ends_at_signals());
    }
}
