//! What happens while jobs run, a line per step, for a reader who may be slow.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::progress::{Progress, Step, line};
use crate::standard_error::StandardError;
use crate::unsaid::{Patience, Unsaid};

/// One line per step, on standard error unless it is told otherwise.
///
/// Nothing waits for whoever reads them: what is not taken yet is kept, up to a bound, and offered again with the next step
/// or tick. At last, when all is over, the rest is waited for. If nobody reads it, the jobs go on all the same.
#[derive(Debug)]
pub(super) struct Lines<To: AsFd + Write + Send = StandardError> {
    unsaid: Mutex<Unsaid<To>>,
}

impl Default for Lines {
    fn default() -> Self {
        Self::on(StandardError)
    }
}

impl<To: AsFd + Write + Send> Lines<To> {
    fn on(to: To) -> Self {
        Self { unsaid: Mutex::new(Unsaid::to(to)) }
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
            unsaid.keep(&format!("{line}\n"));
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
        unsaid.say_with(Patience::Endless);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Read};

    use super::*;
    use crate::unsaid::KEPT_BYTES_MAX;

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
    fn whoever_gave_an_end_that_does_not_wait_gets_all_of_it_too() {
        let (mut from, lines) = pipe();
        rustix::fs::fcntl_setfl(&lines.unsaid().to, rustix::fs::OFlags::NONBLOCK).unwrap();
        let text = "x".repeat(1_000);
        let count = 200;
        for _ in 0..count {
            remark(&lines, &text);
        }
        let kept = lines.unsaid().text.len();
        assert!(kept > 100_000, "{kept} bytes are kept");
        let last = std::thread::spawn(move || drop(lines));
        let mut read = Vec::new();
        from.read_to_end(&mut read).unwrap();
        last.join().unwrap();
        assert!(read == format!("{text}\n").repeat(count).as_bytes(), "{} bytes came", read.len());
    }

    /// Looks as if it took something, and does not.
    struct Reluctant(File, Vec<u8>, u32);

    impl AsFd for Reluctant {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.2 += 1;
            match self.2 % 3 {
                1 => Err(ErrorKind::WouldBlock.into()),
                2 => Err(ErrorKind::Interrupted.into()),
                _ => self.1.write(bytes.get(..1).unwrap_or_default()),
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_not_taken_is_offered_again() {
        let lines = Lines::on(Reluctant(File::options().write(true).open("/dev/null").unwrap(), Vec::new(), 0));
        lines.show(&Step::Remark { text: "one" });
        let line = lines.unsaid().text.clone();
        assert!(!line.is_empty(), "it was thrown away");
        for _ in 0..line.len() {
            assert!(!lines.unsaid().text.is_empty());
            lines.tick();
        }
        let unsaid = lines.unsaid();
        assert_eq!((&unsaid.to.1, unsaid.text.len()), (&line, 0));
    }

    #[test]
    fn nobody_who_reads_is_no_reason_to_stop() {
        let (from, lines) = pipe();
        drop(from);
        remark(&lines, "alone");
        assert!(lines.unsaid().text.is_empty());
    }
}
