//! Signals that ask a writing command to end, and one that must not.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use rustix::process::Signal as Number;
use signal_hook::flag::register_conditional_shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that people and service managers end a command with.
const ASKING: [Number; 4] = [Number::HUP, Number::INT, Number::QUIT, Number::TERM];

/// Whether nobody hears them any more, so that they end the process by themselves.
static IS_UNHEARD: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on each signal that was caught ends the process, with 128 + n: all that is left to do is to wait for a reader.
pub(crate) fn end_at_signals() {
    IS_UNHEARD.store(true, Ordering::SeqCst);
}

/// Whether they do.
#[cfg(test)]
pub(crate) fn ends_at_signals() -> bool {
    IS_UNHEARD.load(Ordering::SeqCst)
}

/// The signals that ask for an end, caught as long as this lives and, since they cannot be given back, afterwards too.
///
/// One that was ignored when the process began, as `nohup` and background jobs do, stays ignored.
#[derive(Debug)]
pub struct Interrupts(Vec<(Number, Signal)>);

impl Interrupts {
    /// Begins to catch them. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn install() -> io::Result<Self> {
        let ignored = ignored();
        let asking = ASKING.into_iter().filter(|number| !is_in(ignored, *number));
        asking
            .map(|number| {
                let heard = signal(SignalKind::from_raw(number.as_raw()))?;
                register_conditional_shutdown(number.as_raw(), 128 + number.as_raw(), IS_UNHEARD.clone())?;
                Ok((number, heard))
            })
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Number {
        std::future::poll_fn(|context| {
            let mut caught = self.0.iter_mut();
            caught
                .find_map(|(number, signal)| signal.poll_recv(context).is_ready().then_some(*number))
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }
}

/// Has a write that would make a file longer than is allowed (`ulimit -f`) fail, as on a full disk, and not end the process.
/// The signal is caught and not ignored, so that commands which are executed are ended by it as ever; where it was ignored
/// it stays so, for them too. If that cannot be had, the process ends as any other would.
pub(crate) fn outlive_long_files() {
    if !is_in(ignored(), Number::XFSZ) {
        let _ = signal_hook::flag::register(Number::XFSZ.as_raw(), Arc::default());
    }
}

/// The mask of signals that this process ignores.
fn ignored() -> u64 {
    std::fs::read_to_string("/proc/self/status").map(|status| ignored_mask(&status)).unwrap_or(0)
}

const fn is_in(mask: u64, number: Number) -> bool {
    mask & (1 << (number.as_raw() - 1)) != 0
}

/// The mask of ignored signals in the text of `/proc/self/status`; nothing if it does not say.
fn ignored_mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_kernels_mask() {
        assert_eq!(ignored_mask("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t00\n"), 0x1003);
        assert_eq!(ignored_mask("SigIgn:\tnonsense\n"), 0);
        assert_eq!(ignored_mask(""), 0);
    }
}
