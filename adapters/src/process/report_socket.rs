//! The socket over which the runs of a runner report.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::control::ReportControl;
use super::runner::ProcessRunner;
use super::scarcity::despite_scarcity;
use crate::control::{ConnectionLimits, ControlListener};
use crate::descriptors;
use crate::lock::lock;
use crate::threads::blocking;

/// The name of the socket over which all runs of a runner report, beside the directory of the runs.
pub const REPORT_SOCKET: &str = "report.sock";

/// How long what was found is relied on: that the socket is in its place, or that none can be bound.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The socket over which all runs of a runner report: bound with the first attempt, and held by the runner and by each attempt.
///
/// Its place is the same for every supervisor of these runs, so that those that outlive one find the next one there.
#[derive(Debug, Default)]
pub(super) struct ReportSocket {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bound: Option<Arc<ControlListener>>,
    /// When it was last looked whether it is in its place, and bound if it is not; by the monotonic clock.
    looked_at: Option<Duration>,
    /// Why there is none, which was told.
    problem: Option<Arc<io::Error>>,
    is_closed: bool,
}

impl ReportSocket {
    /// The socket, bound if there is none, or if who connects no longer finds it. It is looked for at most once a second, so that
    /// a storm of starts does not try each time what was in vain just now. What is short for a moment is waited for, as for the
    /// process that is started with it. Blocks.
    fn hold(
        &self,
        now: impl Fn() -> Duration,
        path: &Path,
        bind: impl Fn() -> io::Result<ControlListener>,
    ) -> Option<Arc<ControlListener>> {
        despite_scarcity(|| self.look(now(), &bind)).unwrap_or_else(|error| self.is_without(now(), path, error))
    }

    /// What is known of it, or what a look comes to. A failed one is nobody's answer but this caller's.
    fn look(
        &self,
        now: Duration,
        bind: impl Fn() -> io::Result<ControlListener>,
    ) -> io::Result<Option<Arc<ControlListener>>> {
        // Held while it is bound: whoever starts an attempt meanwhile waits for that.
        let mut state = lock(&self.state);
        let is_known = state.looked_at.is_some_and(|at| now.saturating_sub(at) < LOOK_PAUSE);
        if !is_known && !state.is_closed {
            if !state.bound.as_ref().is_some_and(|bound| bound.is_found()) {
                state.bound = None;
                state.bound = Some(Arc::new(bind()?));
            }
            (state.looked_at, state.problem) = (Some(now), None);
        }
        Ok(state.bound.clone())
    }

    /// Keeps for a while that none can be bound, unless somebody else did meanwhile. It is told once, until one can.
    fn is_without(&self, now: Duration, path: &Path, error: io::Error) -> Option<Arc<ControlListener>> {
        let error = Arc::new(error);
        let mut state = lock(&self.state);
        if state.bound.is_some() || state.is_closed {
            return state.bound.clone();
        }
        state.looked_at = Some(now);
        let is_told = state.problem.replace(error.clone()).is_some();
        drop(state);
        if !is_told {
            let error = descriptors::told(&*error);
            tracing::warn!(error, path = %path.display(), "no report socket: runs are started without one");
        }
        None
    }

    fn problem(&self) -> Option<Arc<io::Error>> {
        lock(&self.state).problem.clone()
    }

    /// Lets go of it, and binds none any more.
    fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.bound = None;
    }
}

impl ProcessRunner {
    /// Listens at [`report.sock`](REPORT_SOCKET) from now on rather than from the first attempt on, if the
    /// [options](super::RunnerOptions::report_socket) want that; for whoever wants to know whether it can. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Why runs are started without the socket. That holds up nothing, and it is tried again with the attempts to come.
    pub async fn listen_for_reports(&self) -> Result<(), Arc<io::Error>> {
        let runner = self.clone();
        match blocking(move || runner.hold_report_socket()).await.flatten() {
            Some(_) => Ok(()),
            None => self.report_socket().problem().map_or(Ok(()), Err),
        }
    }

    /// What an attempt reports over, bound with the first one. An attempt without it runs all the same. Blocks for a few calls of
    /// the file system, once in a while, and longer while descriptors are short; needs a Tokio runtime.
    pub(super) fn hold_report_socket(&self) -> Option<Arc<ControlListener>> {
        if !self.options().report_socket {
            return None;
        }
        let path = report_socket_beside(self.runs_dir());
        let bind = || {
            let limits = ConnectionLimits::of_all_runs(getrlimit(Resource::Nofile).current);
            ControlListener::bind_with(&path, Arc::new(ReportControl::of(self)), limits)
        };
        self.report_socket().hold(|| self.engine().clock().monotonic(), &path, bind)
    }

    /// Whoever reports from now on finds nobody here, unless an attempt that did not end still holds the socket.
    pub(super) fn close_report_socket(&self) {
        self.report_socket().close();
    }
}

fn report_socket_beside(runs: &Path) -> PathBuf {
    runs.with_file_name(REPORT_SOCKET)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use async_trait::async_trait;
    use rustix::io::Errno;

    use super::*;
    use crate::control::{ControlHandler, ControlRequest, ControlResponse, Peer};

    struct Nobody;

    #[async_trait]
    impl ControlHandler for Nobody {
        async fn handle(&self, _: Peer, _: ControlRequest) -> ControlResponse {
            ControlResponse::starting()
        }
    }

    #[tokio::test]
    async fn a_moment_without_descriptors_leaves_no_run_without_it_and_what_stays_in_vain_is_tried_once() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(REPORT_SOCKET);
        let (socket, tries) = (ReportSocket::default(), Cell::new(0));
        let held = |failures: usize, errno: Errno| {
            tries.set(0);
            let bind = || {
                tries.set(tries.get() + 1);
                let fails = tries.get() <= failures;
                if fails { Err(errno.into()) } else { ControlListener::bind(&path, Arc::new(Nobody)) }
            };
            (socket.hold(|| Duration::ZERO, &path, bind).is_some(), tries.get())
        };
        assert_eq!(held(1, Errno::MFILE), (true, 2), "it is waited for");
        assert_eq!(held(1, Errno::MFILE), (true, 0), "it is there");
        *lock(&socket.state) = State::default();
        assert_eq!(held(1, Errno::ADDRINUSE), (false, 1));
        assert_eq!(held(0, Errno::ADDRINUSE), (false, 0), "that was found just now");
        let problem = socket.problem().unwrap();
        assert_eq!(Errno::from_io_error(&problem), Some(Errno::ADDRINUSE));
        *lock(&socket.state) = State::default();
        assert_eq!(held(usize::MAX, Errno::MFILE), (false, 8));
        assert_eq!(held(0, Errno::MFILE), (false, 0), "nobody else waits as long in vain");
    }
}
