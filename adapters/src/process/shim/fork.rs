//! A second process out of this one: the only place of the project that needs `unsafe`.
#![expect(unsafe_code, reason = "fork, _exit and signal have no safe form; decision 22")]

use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal as Received, signal};
use nix::unistd::ForkResult;
use rustix::process::Pid;

use super::handover::invalid;

/// Links of `/proc/self/task` beside one for each thread.
const LINKS_WITHOUT_THREADS: u64 = 2;

/// Makes a child of this process that calls `child`, and is gone with the code that this returns, or with
/// `if_it_panics`. A broken pipe ends it, as it does any program. Nothing else of this process goes on in it: no destructor and no handler for the end of the program.
///
/// # Errors
///
/// If the system refuses a process, or if this one has more than one thread, which no shim has.
pub(super) fn fork(if_it_panics: u8, child: impl FnOnce() -> u8) -> io::Result<Pid> {
    if threads()? != 1 {
        return Err(invalid("a shim must be started by a program that has no second thread yet"));
    }
    // SAFETY: what makes a fork unsafe is other threads: they are not there in the child, and what they had locked stays
    // locked. This process has exactly one thread, as was just seen; only that one could start another, and it is here.
    // So no lock is held by anybody but this call's own frames, which go on in the child as in the parent: everything
    // that could be called before may be called there, allocating included. The child never returns from this function,
    // so that no frame goes on twice.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Pid::from_raw(child.as_raw()).ok_or_else(|| invalid("an impossible pid")),
        ForkResult::Child => {
            // SAFETY: it takes a handler away, if there is one, and sets none. Every Rust program ignores PIPE, and what
            // is executed would go on ignoring it.
            let _ = unsafe { signal(Received::SIGPIPE, SigHandler::SigDfl) };
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(if_it_panics);
            // SAFETY: it ends this process at once, and runs nothing of it.
            unsafe { libc::_exit(i32::from(code)) }
        }
    }
}

/// How many threads this process has.
fn threads() -> io::Result<u64> {
    let links = std::fs::metadata("/proc/self/task")?.nlink();
    match links.checked_sub(LINKS_WITHOUT_THREADS) {
        Some(1) => Ok(1),
        // More, or a kernel that counts otherwise.
        Some(_) | None => Ok(std::fs::read_dir("/proc/self/task")?.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_several_threads_is_not_forked() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        let refused = fork(1, || 0).unwrap_err();
        drop(go);
        assert!(other.join().unwrap().is_err());
        assert!(refused.to_string().contains("second thread"), "{refused}");
    }
}
