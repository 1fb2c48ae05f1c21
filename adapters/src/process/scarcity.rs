//! Starting a process, or opening what tells of one, while the machine is short of something.

use std::error::Error;
use std::time::Duration;

use rustix::io::Errno;

use crate::descriptors::errno;

/// How often it is tried, and how long is waited after the first time; twice as long after each other one. All of it is
/// less than two seconds.
const TRIES_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// So long is waited for a thread to start one on: another run may be about to end.
pub(super) const THREAD_PATIENCE: Duration = Duration::from_secs(2);

/// Starts something, and tries again for a while as long as processes, memory or descriptors are short: another run may be
/// about to end. Blocks.
pub(super) fn despite_scarcity<T, E: Error + 'static>(start: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    with_pauses(start, std::thread::sleep)
}

fn with_pauses<T, E: Error + 'static>(
    mut start: impl FnMut() -> Result<T, E>,
    mut pause: impl FnMut(Duration),
) -> Result<T, E> {
    let mut wait = FIRST_PAUSE;
    for _ in 1..TRIES_MAX {
        match start() {
            Err(error) if is_scarcity(&error) => {
                tracing::debug!(%error, "there is too little of something yet");
                pause(wait);
                wait = wait.saturating_mul(2);
            }
            result => return result,
        }
    }
    start()
}

fn is_scarcity(error: &(dyn Error + 'static)) -> bool {
    let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    errno(error).is_some_and(|errno| scarce.contains(&errno))
}

#[cfg(test)]
pub(super) mod testing {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use tracing::span;

    /// Lets this process open files again once something was told to be short.
    struct Relief(Rlimit);

    impl tracing::Subscriber for Relief {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            if event.metadata().target().ends_with("scarcity") {
                setrlimit(Resource::Nofile, self.0).unwrap();
            }
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// Whether this test has a process of its own, in which nobody else needs to open files. If not, it runs in one now, and
    /// fails as it does there.
    pub(in super::super) fn is_alone(test: &str) -> bool {
        const ALONE: &str = "TACHO_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return true;
        }
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let alone = alone.args(["--exact", test]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && said.contains("1 passed"), "{said}");
        false
    }

    /// Does something while no file can be opened until that was waited for once.
    pub(in super::super) fn without_files_at_first<T>(does: impl FnOnce() -> T) -> T {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
        let done = tracing::subscriber::with_default(Relief(before), does);
        setrlimit(Resource::Nofile, before).unwrap();
        done
    }
}

#[cfg(test)]
mod tests {
    use std::io;

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
