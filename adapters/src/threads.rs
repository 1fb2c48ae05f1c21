//! Threads that this process may have or not.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{Builder, scope};
use std::time::Duration;

use rustix::process::{Resource, geteuid, getrlimit};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::lock::lock;

/// What a runtime has by itself, and the least that does not let one that waits hold up all others.
const BLOCKING_MAX: usize = 512;
const BLOCKING_MIN: usize = 4;
/// Other threads of a supervisor: the runtime's own two, and the journal's.
const OWN: u64 = 6;
/// None of them does anything.
const STACK_BYTES: usize = 64 * 1024;
/// How often, and how long each time, is looked for whether they are gone: together some hundredths of a second.
const LOOKS_MAX: u32 = 200;
const LOOK_PAUSE: Duration = Duration::from_micros(100);
/// Between two looks for a thread that somebody waits for, at first and at last.
const WAIT_PAUSE_MIN: Duration = Duration::from_millis(10);
const WAIT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Starts so many threads at once, which do nothing, and returns when they are gone: whoever is about to start that many
/// learns of a limit as an error, where a library that starts them by itself would panic or wait for ever. Blocks for
/// less than a millisecond unless the machine is busy. It promises nothing for later: others may take the room meanwhile.
///
/// # Errors
///
/// What the system says if they cannot all be there at once: EAGAIN at a limit on processes and threads.
pub fn room_for(count: usize) -> io::Result<()> {
    let before = present();
    let gate = RwLock::new(());
    let made = scope(|scope| {
        let closed = gate.write();
        let waits = || drop(gate.read());
        let start = |_| Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, waits).map(drop);
        let made = (0..count).try_for_each(start);
        drop(closed);
        made
    });
    // One that has ended counts until the kernel has cleared it away.
    for _ in 0..LOOKS_MAX {
        if present() <= before {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    made
}

thread_local! {
    static STARTING: Cell<bool> = const { Cell::new(false) };
}

/// Has a library start threads that panics if the system has none left, and makes an error of that: whoever has looked for room
/// before may find that others took it meanwhile. What the library had begun by then is dropped, so that it must not wait
/// for anything.
///
/// # Errors
///
/// What the library says, as an error of the kind that the system gives.
pub fn started<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let before = STARTING.replace(true);
    let started = catch_unwind(AssertUnwindSafe(start));
    STARTING.set(before);
    started.map_err(|panic| {
        let text = panic.downcast::<String>().map_or_else(|_| "a thread cannot be started".to_owned(), |text| *text);
        io::Error::new(io::ErrorKind::WouldBlock, text)
    })
}

/// Whether this thread is in [`started`]: what panics there is told as an error, and a panic hook needs not tell it.
pub fn is_starting() -> bool {
    STARTING.get()
}

/// Has the present Tokio runtime start the first thread of those that may block. With one of them, it waits for a thread where
/// the system has no more; without any, `spawn_blocking` panics. A runtime lets go of idle threads (`thread_keep_alive`), and is
/// without any again later unless they are [kept](keep_blocking).
///
/// # Errors
///
/// What the system says if there is no thread to be had.
pub fn first_blocking() -> io::Result<()> {
    started(|| drop(spawn_blocking(|| ())))
}

/// The same, and the runtime is never without such a thread again as long as it lives: so often, one of them that is idle is given
/// something to do, so that it is not let go of. That must be well below the runtime's `thread_keep_alive`. All threads but a
/// few are let go of. Needs a Tokio runtime with time enabled.
///
/// # Errors
///
/// As [`first_blocking`].
pub fn keep_blocking(every: Duration) -> io::Result<()> {
    first_blocking()?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = first_blocking() {
                tracing::debug!(%error, "there is no thread for what may block");
            }
        }
    });
    Ok(())
}

/// Does something that may wait for a disk where it holds up nobody: on a thread of the present Tokio runtime, which must have time
/// enabled. Where the runtime has no such thread and the system none to give, it waits until there is one. Absent if the
/// runtime is going away, or what was to be done panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    // Without a bound on its patience it is not refused.
    done(work, None).await.ok().flatten()
}

/// The same, if it begins within about so long.
///
/// # Errors
///
/// What the system says if there was no thread until then. Nothing is done in that case, and nothing will be.
pub(crate) async fn blocking_within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    done(work, Some(patience)).await
}

/// What is to be done, for the first who comes to it, and whom to tell what came of it.
type Work<F, T> = Arc<Mutex<Option<(F, oneshot::Sender<T>)>>>;

async fn done<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    patience: Option<Duration>,
) -> io::Result<Option<T>> {
    let (tell, mut told) = oneshot::channel();
    let work = Arc::new(Mutex::new(Some((work, tell))));
    let (mut waited, mut pause) = (Duration::ZERO, WAIT_PAUSE_MIN);
    let mut asked = ask(&work);
    while let Err(error) = asked {
        if patience.is_some_and(|patience| waited >= patience) && lock(&work).take().is_some() {
            return Err(error);
        }
        tokio::select! {
            biased;
            // The runtime may have kept what it had no thread for.
            told = &mut told => return Ok(told.ok()),
            () = tokio::time::sleep(pause) => {}
        }
        waited += pause;
        pause = pause.saturating_mul(2).min(WAIT_PAUSE_MAX);
        asked = room_for(1).and_then(|()| ask(&work));
    }
    // Who waits is told as well if it is dropped undone.
    drop(work);
    Ok(told.await.ok())
}

fn ask<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(work: &Work<F, T>) -> io::Result<()> {
    let work = work.clone();
    let first_come = move || {
        let taken = lock(&work).take();
        if let Some((work, tell)) = taken {
            // Nobody may wait for it any more.
            let _ = tell.send(work());
        }
    };
    started(|| drop(spawn_blocking(first_come)))
}

/// How many processes and threads the user of this process may have in all (`ulimit -u`), this process's own among them. Absent
/// if there is no such limit, and for root, whom it does not bind.
pub fn limit() -> Option<u64> {
    if geteuid().is_root() { None } else { getrlimit(Resource::Nproc).current }
}

/// How many threads for what may block a runtime beside runs should have at most (`max_blocking_threads`): a quarter of
/// the [limit], which they share with the runs, but four in any case.
pub fn blocking_max() -> usize {
    blocking_max_of(limit())
}

fn blocking_max_of(limit: Option<u64>) -> usize {
    let quarter = limit.map_or(BLOCKING_MAX, |limit| usize::try_from(limit / 4).unwrap_or(BLOCKING_MAX));
    quarter.clamp(BLOCKING_MIN, BLOCKING_MAX)
}

/// How many processes of runs there is room for beside this process's own threads, if that is limited.
pub(crate) fn affordable_processes() -> Option<u64> {
    limit().map(|limit| limit.saturating_sub(OWN + blocking_max_of(Some(limit)) as u64))
}

/// How many threads this process has; none without `/proc`.
fn present() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/task").map_or(0, |tasks| tasks.nlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_block_takes_a_quarter_of_what_a_user_may_have() {
        let limits = [None, Some(u64::MAX), Some(4_096), Some(40), Some(20), Some(0)];
        assert_eq!(limits.map(blocking_max_of), [512, 512, 512, 10, 5, 4]);
    }
}
