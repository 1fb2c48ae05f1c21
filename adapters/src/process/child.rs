//! A child of this process, by a descriptor of it.

use std::io;
use std::mem::replace;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::attended::observed;
use crate::lock::lock;

/// How often is looked whether a child has ended for which there is no descriptor.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Children that were let go of while no runtime was there to wait for them. Each new child looks after them.
static UNWATCHED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A child of this process that is reaped by nobody else. Until it is, its pid is its own.
///
/// Dropping one does not end it. It is reaped when it ends, by the runtime that it was dropped in, or with the next child
/// that is made if that one is gone or no descriptor was to be had.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    watch: Watch,
}

/// How the end of a child is noticed.
#[derive(Debug)]
enum Watch {
    /// Its descriptor tells.
    Told(AsyncFd<OwnedFd>),
    /// Descriptors or memory were short when it was made: it is asked for, and for a descriptor as well.
    Asked,
    /// Nobody needs to reap it any more. Without a status it was somebody else who did.
    Over(Option<ExitStatus>),
}

impl Child {
    /// Takes over a child that was just spawned. Its command is executed already, so this cannot fail: a child that was
    /// given up here would be started again, or recorded as never executed. Needs a Tokio runtime with IO and time.
    pub(super) fn of(pid: Pid) -> Self {
        reap_unwatched();
        Self { pid, watch: Watch::over(pid) }
    }

    /// Waits until it has ended, and reaps it. May be dropped and called again, any number of times.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            let ready = match &self.watch {
                Watch::Told(pidfd) => Some(pidfd.readable().await?),
                Watch::Asked => None,
                Watch::Over(ended) => return ended.ok_or_else(|| Errno::CHILD.into()),
            };
            match (waitpid(Some(self.pid), WaitOptions::NOHANG), ready) {
                (Ok(None), Some(mut ready)) => ready.clear_ready(),
                (Ok(None), None) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    self.watch = Watch::over(self.pid);
                }
                (Err(Errno::INTR), _) => {}
                (waited, _) => {
                    self.watch = Watch::Over(None);
                    // Without a status it is nobody's child any more.
                    self.watch = Watch::Over(waited?.map(|(_, status)| ExitStatus::from_raw(status.as_raw())));
                }
            }
        }
    }
}

impl Watch {
    /// Of a child that is not reaped yet.
    fn over(pid: Pid) -> Self {
        match pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from).and_then(observed) {
            Ok(pidfd) => Self::Told(pidfd),
            Err(error) => {
                tracing::debug!(%pid, %error, "a child has no descriptor yet");
                Self::Asked
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let watch = replace(&mut self.watch, Watch::Over(None));
        let unreaped = match watch {
            Watch::Over(_) => return,
            Watch::Asked | Watch::Told(_) => Unreaped(self.pid),
        };
        if let (Watch::Told(pidfd), Ok(runtime)) = (watch, Handle::try_current()) {
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
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

    use super::*;
    use crate::process::identity::ProcessStat;

    #[expect(clippy::zombie_processes, reason = "who reaps it is what is tested")]
    fn spawned(program: &str, argument: &str) -> Pid {
        let child = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
    }

    /// Until it is reaped, something is left of it.
    fn is_there(pid: Pid) -> bool {
        ProcessStat::read(pid.as_raw_nonzero().get().unsigned_abs()).is_ok()
    }

    #[tokio::test]
    async fn an_end_is_told_any_number_of_times() {
        let (mut signalled, mut ended) = (Child::of(spawned("sleep", "600")), Child::of(spawned("false", "")));
        kill_process(signalled.pid, Signal::KILL).unwrap();
        for _ in 0..2 {
            assert_eq!(ended.wait().await.unwrap().code(), Some(1));
            assert_eq!(signalled.wait().await.unwrap().signal(), Some(9));
        }
        assert!(!is_there(ended.pid) && !is_there(signalled.pid), "both are reaped");
    }

    /// Runs in a process of its own, which lowers its limit on open files as it likes.
    #[test]
    fn one_for_which_no_descriptor_was_left_goes_on_and_its_end_is_told() {
        const ALONE: &str = "TACHO_TEST_ALONE";
        let this = "process::child::tests::one_for_which_no_descriptor_was_left_goes_on_and_its_end_is_told";
        if std::env::var_os(ALONE).is_none() {
            let tests = std::env::current_exe().unwrap();
            let alone = Command::new(tests).args(["--exact", this]).env(ALONE, "1").output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pids = [spawned("false", ""), spawned("sleep", "600"), spawned("sleep", "600"), spawned("true", "")];
            let before = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
            let [mut ended, mut signalled, mut pinned, dropped] = pids.map(Child::of);
            let unpinned = [&ended, &signalled, &pinned, &dropped].map(|child| matches!(child.watch, Watch::Asked));
            assert_eq!(unpinned, [true; 4], "there were descriptors");
            assert_eq!(ended.wait().await.unwrap().code(), Some(1));
            assert!(tokio::time::timeout(LOOK_EVERY * 3, signalled.wait()).await.is_err(), "nobody ended it");
            kill_process(signalled.pid, Signal::KILL).unwrap();
            assert_eq!(signalled.wait().await.unwrap().signal(), Some(9));
            setrlimit(Resource::Nofile, before).unwrap();
            assert!(tokio::time::timeout(LOOK_EVERY * 3, pinned.wait()).await.is_err(), "nobody ended it");
            assert!(matches!(pinned.watch, Watch::Told(_)), "there are descriptors again");
            kill_process(pinned.pid, Signal::KILL).unwrap();
            assert_eq!(pinned.wait().await.unwrap().signal(), Some(9));
            let (pid, begun) = (dropped.pid, Instant::now());
            drop(dropped);
            while is_there(pid) {
                assert!(begun.elapsed() < Duration::from_secs(60), "it was not reaped");
                Child::of(spawned("true", "")).wait().await.unwrap();
            }
        });
    }

    #[tokio::test]
    async fn one_that_somebody_else_reaped_has_no_status() {
        let mut child = Child::of(spawned("true", ""));
        waitpid(Some(child.pid), WaitOptions::empty()).unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap_err().raw_os_error(), Some(Errno::CHILD.raw_os_error()));
        }
    }

    #[tokio::test]
    async fn one_that_is_let_go_of_goes_on_and_is_reaped_when_it_ends() {
        let child = Child::of(spawned("sleep", "600"));
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
        let child = first.block_on(async { Child::of(spawned("sleep", "600")) });
        let (pid, begun) = (child.pid, Instant::now());
        drop(first);
        drop(child);
        kill_process(pid, Signal::KILL).unwrap();
        while is_there(pid) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it was not reaped");
            runtime().block_on(async { Child::of(spawned("true", "")).wait().await.unwrap() });
        }
    }
}
