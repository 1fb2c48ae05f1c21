//! Starting a process while the machine is short of something.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// How often it is tried, and how long is waited after the first time; twice as long after each other one. All of it is
/// less than two seconds.
const TRIES_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Starts something, and tries again for a while as long as processes, memory or descriptors are short: another run may be
/// about to end. Blocks.
pub(super) fn despite_scarcity<T>(start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    with_pauses(start, std::thread::sleep)
}

fn with_pauses<T>(mut start: impl FnMut() -> io::Result<T>, mut pause: impl FnMut(Duration)) -> io::Result<T> {
    let mut wait = FIRST_PAUSE;
    for _ in 1..TRIES_MAX {
        match start() {
            Err(error) if is_scarcity(&error) => {
                tracing::debug!(%error, "a process cannot be started yet");
                pause(wait);
                wait = wait.saturating_mul(2);
            }
            result => return result,
        }
    }
    start()
}

fn is_scarcity(error: &io::Error) -> bool {
    let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|errno| scarce.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a start that fails so often like this, and how long it waited.
    fn started(failures: usize, errno: Errno) -> (io::Result<usize>, Vec<u64>) {
        let (mut tries, mut pauses) = (0, Vec::new());
        let start = || {
            tries += 1;
            if tries > failures { Ok(tries) } else { Err(io::Error::from(errno)) }
        };
        let result = with_pauses(start, |pause| pauses.push(pause.as_millis() as u64));
        (result, pauses)
    }

    #[test]
    fn what_is_short_for_a_moment_is_waited_for_and_not_for_ever() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
            let (result, pauses) = started(3, errno);
            assert_eq!((result.unwrap(), pauses), (4, vec![10, 20, 40]), "{errno:?}");
        }
        let (result, pauses) = started(usize::MAX, Errno::AGAIN);
        assert_eq!(Errno::from_io_error(&result.unwrap_err()), Some(Errno::AGAIN));
        assert_eq!((pauses.len(), pauses.iter().sum::<u64>()), (7, 1_270));
    }

    #[test]
    fn what_will_not_change_is_told_at_once() {
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::TOOBIG] {
            let (result, pauses) = started(1, errno);
            assert!(result.is_err() && pauses.is_empty(), "{errno:?}");
        }
    }
}
