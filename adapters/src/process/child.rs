//! A child of this process, by a descriptor of it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::attended::observed;
use crate::lock::lock;

/// Children that were let go of while no runtime was there to wait for them. Each new child looks after them.
static UNWATCHED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A child of this process that is reaped by nobody else. Until it is, its pid is its own.
///
/// Dropping one does not end it. It is reaped when it ends, by the runtime that it was dropped in, or with the next child
/// that is made if that one is gone.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// Absent once nobody needs to reap it any more.
    pidfd: Option<AsyncFd<OwnedFd>>,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Takes over a child that was just spawned. It is ended and reaped if that fails. Needs a Tokio runtime with IO.
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        reap_unwatched();
        let pinned = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from).and_then(observed);
        match pinned {
            Ok(pidfd) => Ok(Self { pid, pidfd: Some(pidfd), ended: None }),
            Err(error) => {
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitpid(Some(pid), WaitOptions::empty());
                Err(error)
            }
        }
    }

    /// Waits until it has ended, and reaps it. May be dropped and called again, any number of times.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        while let Some(pidfd) = &self.pidfd {
            let mut ready = pidfd.readable().await?;
            match waitpid(Some(self.pid), WaitOptions::NOHANG) {
                Ok(None) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                waited => {
                    self.pidfd = None;
                    // Without a status it is nobody's child any more.
                    self.ended = waited?.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
                }
            }
        }
        self.ended.ok_or_else(|| Errno::CHILD.into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(pidfd) = self.pidfd.take() else { return };
        let unreaped = Unreaped(self.pid);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = pidfd.readable().await;
                drop(unreaped);
            });
        }
    }
}

/// A child that is reaped once this is dropped, or remembered if it is too early for that.
struct Unreaped(Pid);

impl Drop for Unreaped {
    fn drop(&mut self) {
        if is_unended(self.0) {
            lock(&UNWATCHED).push(self.0);
        }
    }
}

fn reap_unwatched() {
    lock(&UNWATCHED).retain(|pid| is_unended(*pid));
}

/// Reaps it if it has ended.
fn is_unended(pid: Pid) -> bool {
    matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None) | Err(Errno::INTR))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::identity::ProcessStat;

    #[expect(clippy::zombie_processes, reason = "who reaps it is what is tested")]
    fn spawned(program: &str, argument: &str) -> Pid {
        let child = Command::new(program).arg(argument).spawn().unwrap();
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
    }

    /// Until it is reaped, something is left of it.
    fn is_there(pid: Pid) -> bool {
        ProcessStat::read(pid.as_raw_nonzero().get().unsigned_abs()).is_ok()
    }

    #[tokio::test]
    async fn an_end_is_told_any_number_of_times() {
        let (mut signalled, mut ended) =
            (Child::of(spawned("sleep", "600")).unwrap(), Child::of(spawned("false", "")).unwrap());
        kill_process(signalled.pid, Signal::KILL).unwrap();
        for _ in 0..2 {
            assert_eq!(ended.wait().await.unwrap().code(), Some(1));
            assert_eq!(signalled.wait().await.unwrap().signal(), Some(9));
        }
        assert!(!is_there(ended.pid) && !is_there(signalled.pid), "both are reaped");
    }

    #[tokio::test]
    async fn one_that_somebody_else_reaped_has_no_status() {
        let mut child = Child::of(spawned("true", "")).unwrap();
        waitpid(Some(child.pid), WaitOptions::empty()).unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap_err().raw_os_error(), Some(Errno::CHILD.raw_os_error()));
        }
    }

    #[tokio::test]
    async fn one_that_is_let_go_of_goes_on_and_is_reaped_when_it_ends() {
        let child = Child::of(spawned("sleep", "600")).unwrap();
        let (pid, begun) = (child.pid, Instant::now());
        drop(child);
        tokio::task::yield_now().await;
        assert!(is_there(pid), "nobody ended it");
        kill_process(pid, Signal::KILL).unwrap();
        while is_there(pid) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it was not reaped");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn one_whose_runtime_is_gone_is_reaped_with_the_next_child() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let child = first.block_on(async { Child::of(spawned("sleep", "600")).unwrap() });
        let (pid, begun) = (child.pid, Instant::now());
        drop(first);
        drop(child);
        kill_process(pid, Signal::KILL).unwrap();
        while is_there(pid) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it was not reaped");
            runtime().block_on(async { Child::of(spawned("true", "")).unwrap().wait().await.unwrap() });
        }
    }
}
