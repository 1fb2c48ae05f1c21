//! A second process out of this one, and what it must not inherit: the system's calls for that have no safe form.
#![expect(unsafe_code, reason = "clone, signal, sigaction and close_range have no safe form; decision 22")]

use std::io;
use std::mem::zeroed;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use nix::libc;
use nix::sched::{CloneFlags, clone, unshare};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Received, signal};
use rustix::process::Pid;

use super::handover::invalid;
use crate::lock::lock;

/// More than the child needs by far. What it does not touch is no memory.
const STACK_BYTES: usize = 256 * 1_024;

/// What the child stands on. It is there with the program: mapping it for a child, and taking it away again, would cost
/// more than all else that is done to make one.
static STACK: Mutex<[u8; STACK_BYTES]> = Mutex::new([0; STACK_BYTES]);

/// Makes a child of this process that calls `child`, which executes a program or returns; then the child is gone with the
/// code that it returned, or with `if_it_panics`. Waits for either. Nothing else of this process goes on in the child: no
/// destructor and no handler for the end of the program. A broken pipe ends it, as it does any program, and all signals
/// are blocked in it until it says otherwise.
///
/// The child is in this process's own memory meanwhile, which is not copied, with a stack of its own; files, signals and
/// the working directory are its own.
///
/// # Errors
///
/// If the system refuses a process, or if this one has more than one thread, which no shim has.
pub(super) fn fork(if_it_panics: u8, child: impl Fn() -> u8) -> io::Result<Pid> {
    if threads()? != 1 {
        return Err(invalid("a shim must be started by a program that has no second thread yet"));
    }
    let mut stack = lock(&STACK);
    let body = || {
        // SAFETY: it takes a handler away, if there is one, and sets none, and that of the child alone. Every Rust program
        // ignores PIPE, and what is executed would go on ignoring it.
        let _ = unsafe { signal(Received::SIGPIPE, SigHandler::SigDfl) };
        isize::from(catch_unwind(AssertUnwindSafe(&child)).unwrap_or(if_it_panics))
    };
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: parent and child never run at the same time: the kernel lets this call return only when the child has
    // executed a program or is gone, and there is no other thread, as was just seen. So the child uses memory, locks and
    // the allocator as a function does that is called here, but for its stack, which outlives it. It cannot be
    // interrupted in that, since all signals are blocked; what kills it all the same, KILL, comes from whoever may do
    // anything to this process as well. It leaves by the system's own exit, so that no frame of this process goes on in it.
    let made = unsafe { clone(Box::new(body), &mut stack[..], flags, Some(libc::SIGCHLD)) };
    before.thread_set_mask()?;
    Pid::from_raw(made?.as_raw()).ok_or_else(|| invalid("an impossible pid"))
}

/// Closes every descriptor from this one on. Says whether the system knows how to.
pub(super) fn close_from(first: u32) -> bool {
    // SAFETY: to be called before anything was opened here: nobody in this process holds what is closed.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) == 0 }
}

/// Whether the kernel throws away how a child of this process ends, because the signal CHLD is ignored or this process has
/// asked for that. An ignored signal stays ignored through an exec.
pub(in super::super) fn child_exits_are_ignored() -> bool {
    let present = on_child_exit();
    present.sa_sigaction == libc::SIG_IGN || present.sa_flags & libc::SA_NOCLDWAIT != 0
}

/// Makes the kernel keep how a child of this process ends, if it was told not to: the signal CHLD, if it is ignored, has its
/// default from then on, here and in whatever this process executes. A handler stays.
///
/// A run's exit code is lost where CHLD is ignored, and who executes a program may leave that to it. So a program that has
/// a [`ProcessRunner`](crate::process::ProcessRunner) calls this before it starts a thread; a shim does so by itself.
pub fn heed_child_exits() {
    if !child_exits_are_ignored() {
        return;
    }
    let mut heeded = on_child_exit();
    heeded.sa_flags &= !libc::SA_NOCLDWAIT;
    if heeded.sa_sigaction == libc::SIG_IGN {
        heeded.sa_sigaction = libc::SIG_DFL;
    }
    // SAFETY: it sets no handler but the one that is there. It cannot fail: the signal exists, and the action is whole.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const heeded, null_mut()) };
}

/// What this process does with CHLD.
fn on_child_exit() -> libc::sigaction {
    // SAFETY: of numbers, a set of bits and an optional function, which all may be zero: the default. The call changes
    // nothing and writes no more than that; if it cannot, it stays the default.
    unsafe {
        let mut present = zeroed();
        libc::sigaction(libc::SIGCHLD, null(), &raw mut present);
        present
    }
}

/// How many threads this process has. The kernel grants a thread a memory of its own if it has that already, and changes
/// nothing then; where it does not, the threads are counted.
fn threads() -> io::Result<usize> {
    if unshare(CloneFlags::CLONE_VM).is_ok() { Ok(1) } else { Ok(std::fs::read_dir("/proc/self/task")?.count()) }
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
