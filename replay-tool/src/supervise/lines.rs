//! What happens while jobs run, a line per step, for a reader who may be slow.

use std::io::{Stderr, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::progress::{Progress, Step, line};

/// What any pipe that takes something takes at once.
const PIECE_BYTES_MAX: usize = 4_096;
/// What is kept of lines that nobody takes.
const KEPT_BYTES_MAX: usize = 1_024 * 1_024;

/// One line per step, on standard error unless it is told otherwise.
///
/// Nothing waits for whoever reads them: what is not taken yet is kept, up to a bound, and offered again with the next step
/// or tick. At last, when all is over, the rest is waited for. If nobody reads it, the jobs go on all the same.
#[derive(Debug)]
pub(super) struct Lines<To: AsFd + Write + Send = Stderr> {
    unsaid: Mutex<Unsaid<To>>,
}

#[derive(Debug)]
struct Unsaid<To> {
    to: To,
    text: Vec<u8>,
    /// Lines that there was no room for any more.
    left_out: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self::on(std::io::stderr())
    }
}

impl<To: AsFd + Write + Send> Lines<To> {
    fn on(to: To) -> Self {
        Self { unsaid: Mutex::new(Unsaid { to, text: Vec::new(), left_out: 0 }) }
    }

    fn unsaid(&self) -> MutexGuard<'_, Unsaid<To>> {
        // Whoever panicked has at most said something twice.
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<To: AsFd + Write + Send> Progress for Lines<To> {
    fn show(&self, step: &Step<'_>) {
        if let Some(line) = line(step) {
            let mut unsaid = self.unsaid();
            unsaid.keep(&line);
            unsaid.say();
        }
    }

    fn tick(&self) {
        self.unsaid().say();
    }
}

impl<To: AsFd + Write + Send> Drop for Lines<To> {
    fn drop(&mut self) {
        let mut unsaid = self.unsaid();
        unsaid.tell_left_out();
        let Unsaid { to, text, .. } = &mut *unsaid;
        let _ = to.write_all(text);
    }
}

impl<To: AsFd + Write> Unsaid<To> {
    fn keep(&mut self, line: &str) {
        if self.left_out > 0 || self.text.len() + line.len() >= KEPT_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
    }

    fn say(&mut self) {
        while !self.text.is_empty() && self.is_taken() {
            match self.to.write(&self.text[..self.text.len().min(PIECE_BYTES_MAX)]) {
                Ok(said) => drop(self.text.drain(..said)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.text.clear(),
            }
            if self.text.is_empty() {
                self.tell_left_out();
            }
        }
    }

    /// That there is a gap, where it is.
    fn tell_left_out(&mut self) {
        if self.left_out > 0 {
            let told = format!("{} lines that nobody read in time are left out\n", self.left_out);
            self.text.extend_from_slice(told.as_bytes());
            self.left_out = 0;
        }
    }

    /// Whether a piece would be taken without waiting, or not be taken at all.
    fn is_taken(&self) -> bool {
        let mut to = [PollFd::new(&self.to, PollFlags::OUT)];
        poll(&mut to, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    fn pipe() -> (File, Lines<File>) {
        let (from, to) = std::io::pipe().unwrap();
        let [from, to] = [std::os::fd::OwnedFd::from(from), std::os::fd::OwnedFd::from(to)].map(File::from);
        (from, Lines::on(to))
    }

    fn remark(lines: &Lines<File>, text: &str) {
        lines.show(&Step::Remark { text });
    }

    #[test]
    fn a_reader_who_takes_his_time_holds_up_nobody_and_gets_all_of_it() {
        let (mut from, lines) = pipe();
        // More than any pipe holds by default.
        let text = "x".repeat(1_000);
        let count = 200;
        for _ in 0..count {
            remark(&lines, &text);
        }
        let mut read = vec![0; 20_000];
        from.read_exact(&mut read).unwrap();
        lines.tick();
        let last = std::thread::spawn(move || drop(lines));
        from.read_to_end(&mut read).unwrap();
        last.join().unwrap();
        assert!(read == format!("{text}\n").repeat(count).as_bytes(), "{} bytes came", read.len());
    }

    #[test]
    fn what_is_kept_for_a_reader_is_bounded_and_a_gap_is_told() {
        let (mut from, lines) = pipe();
        let text = "x".repeat(100_000);
        for _ in 0..30 {
            remark(&lines, &text);
        }
        assert!(lines.unsaid().text.len() <= KEPT_BYTES_MAX);
        let last = std::thread::spawn(move || drop(lines));
        let mut read = String::new();
        from.read_to_string(&mut read).unwrap();
        last.join().unwrap();
        let whole = read.lines().filter(|line| **line == text).count();
        assert!((10..30).contains(&whole), "{whole}");
        assert_eq!(read.lines().last(), Some(&*format!("{} lines that nobody read in time are left out", 30 - whole)));
    }

    #[test]
    fn nobody_who_reads_is_no_reason_to_stop() {
        let (from, lines) = pipe();
        drop(from);
        remark(&lines, "alone");
        assert!(lines.unsaid().text.is_empty());
    }
}
