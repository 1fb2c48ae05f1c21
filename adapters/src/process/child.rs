//! A child of this process, by a descriptor of it.

use std::io;
use std::mem::replace;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::attended::observed;
use crate::lock::lock;

/// How often is looked whether a child has ended for which there is no descriptor.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// In a wait status, beside the signal.
const CORE_DUMPED: i32 = 0x80;

/// Children that were let go of while no runtime was there to wait for them. Each new child looks after them.
static UNWATCHED: Mutex<Vec<(Pid, Option<OwnedFd>)>> = Mutex::new(Vec::new());

/// A child of this process that nobody else should reap. Until it is reaped, its pid is its own.
///
/// If somebody else reaps it all the same, as a program does that waits for any child, it has no status, and none is made up:
/// a descriptor never stands for another process, whoever has the pid by then.
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
            let pidfd = ready.as_ref().map(|ready| ready.get_inner().as_fd());
            match (status_of(self.pid, pidfd), ready) {
                (Ok(None), Some(mut ready)) => ready.clear_ready(),
                (Ok(None), None) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    self.watch = Watch::over(self.pid);
                }
                (Err(Errno::INTR), _) => {}
                (waited, _) => {
                    self.watch = Watch::Over(None);
                    // Without a status it is nobody's child any more.
                    self.watch = Watch::Over(waited?);
                }
            }
        }
    }
}

impl Child {
    /// Sends it a signal. As long as it is not reaped its pid is its own, and afterwards nobody gets it.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        match &self.watch {
            Watch::Told(pidfd) => match pidfd_send_signal(pidfd.get_ref(), signal) {
                // Not every kernel knows how.
                Err(Errno::NOSYS) => kill_process(self.pid, signal),
                sent => sent,
            },
            Watch::Asked => kill_process(self.pid, signal),
            Watch::Over(_) => Ok(()),
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
        let pidfd = match replace(&mut self.watch, Watch::Over(None)) {
            Watch::Over(_) => return,
            Watch::Asked => None,
            Watch::Told(pidfd) => Some(pidfd),
        };
        let unreaped = Unreaped { pid: self.pid, pidfd };
        if let (Some(_), Ok(runtime)) = (&unreaped.pidfd, Handle::try_current()) {
            runtime.spawn(async move { unreaped.ended().await });
        }
    }
}

/// A child that is reaped once this is dropped, or remembered if it is too early for that.
struct Unreaped {
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl Unreaped {
    async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = pidfd.readable().await;
        }
    }
}

impl Drop for Unreaped {
    fn drop(&mut self) {
        let pidfd = self.pidfd.take().map(AsyncFd::into_inner);
        if is_unended(self.pid, pidfd.as_ref()) {
            lock(&UNWATCHED).push((self.pid, pidfd));
        }
    }
}

fn reap_unwatched() {
    lock(&UNWATCHED).retain(|(pid, pidfd)| is_unended(*pid, pidfd.as_ref()));
}

/// Reaps it if it has ended.
fn is_unended(pid: Pid, pidfd: Option<&OwnedFd>) -> bool {
    matches!(status_of(pid, pidfd.map(AsFd::as_fd)), Ok(None) | Err(Errno::INTR))
}

/// How a child has ended, which reaps it; absent if it has not. By its descriptor it is that child and no other. By its pid
/// alone it could be one that has this pid since somebody else reaped the first: a kernel older than 5.4 knows no better.
fn status_of(pid: Pid, pidfd: Option<BorrowedFd<'_>>) -> Result<Option<ExitStatus>, Errno> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = match pidfd.map(|pidfd| waitid(WaitId::PidFd(pidfd), options)) {
        None | Some(Err(Errno::INVAL)) => waitid(WaitId::Pid(pid), options),
        // What a descriptor says that never waits.
        Some(Err(Errno::AGAIN)) => Ok(None),
        Some(status) => status,
    };
    status?.map(|status| told(&status).ok_or(Errno::CHILD)).transpose()
}

/// As a wait for one child puts it.
fn told(status: &WaitIdStatus) -> Option<ExitStatus> {
    let by_signal = |signal: i32| signal | if status.dumped() { CORE_DUMPED } else { 0 };
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    code.or_else(|| status.terminating_signal().map(by_signal)).map(ExitStatus::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, waitpid};

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
    async fn whoever_has_the_pid_of_one_that_somebody_else_reaped_is_not_taken_for_it() {
        let mut child = Child::of(spawned("true", ""));
        waitpid(Some(child.pid), WaitOptions::empty()).unwrap();
        // As if its pid were given to the next child at once.
        let stranger = spawned("sleep", "600");
        child.pid = stranger;
        let waited = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
        let waited = waited.expect("it waits for the stranger").unwrap_err();
        assert_eq!(waited.raw_os_error(), Some(Errno::CHILD.raw_os_error()));
        let mut dropped = Child::of(spawned("true", ""));
        let Watch::Told(pidfd) = &dropped.watch else { panic!("no descriptor") };
        assert!(pidfd.readable().await.is_ok());
        let ended = replace(&mut dropped.pid, stranger);
        kill_process(stranger, Signal::KILL).unwrap();
        drop(dropped);
        let begun = Instant::now();
        while is_there(ended) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it was not reaped");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (_, status) = waitpid(Some(stranger), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(9), "it is left to its own parent");
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
