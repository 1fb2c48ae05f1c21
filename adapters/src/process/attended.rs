//! A shim that looks after an attempt, as its supervisor sees it.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tachograph_engine::domain::ExitStatus;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, BufReader, Interest, Lines};
use tokio::net::unix::pipe::Receiver;

use super::child::Child;
use super::identity::ProcessIdentity;
use super::ready::Before;
use super::shim::Notice;
use super::shim_spawn::SpawnedShim;
use super::telling::{Untold, tell};

/// Nothing that a shim tells is much longer.
const NOTICE_BYTES: usize = 256;

/// An attempt that a living shim looks after: one that was just spawned, or one that was found alive.
///
/// It tells what happens and never more than what counts on disk: whoever follows it reads the exit record.
#[derive(Debug)]
pub(super) struct Attended {
    shim: Shim,
    /// The process that executes the command, as far as it is known already.
    pub(super) pid: Option<u32>,
    /// How it shows that it is ready; ready as soon as the command is executed if absent.
    pub(super) ready: Option<Before>,
}

#[derive(Debug)]
enum Shim {
    /// A child of this process, reaped by its own handle. Its notices end with it. It may still have to be told what to do.
    Child { child: Child, untold: Option<Untold>, notices: Option<Lines<BufReader<Receiver>>> },
    /// Somebody else's child, pinned before it was verified. So is the run's process, until its end was seen.
    Found { shim: AsyncFd<OwnedFd>, process: Option<AsyncFd<OwnedFd>> },
}

/// What there is to know about an attended attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The command is being executed by this process.
    Started(u32),
    /// The process has ended; output may still be coming. Its status is known only to who saw it.
    Exited(Option<ExitStatus>),
    /// The exit record is complete and in its place. Its shim may still be syncing it.
    Recorded,
    /// The shim has difficulties.
    Trouble(String),
    /// The shim is gone, which happened like this. There is no more news.
    Gone(Parting),
}

/// How a shim went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    Waited(std::process::ExitStatus),
    /// It was not this process's child, so nobody told.
    Unseen,
}

impl std::fmt::Display for Parting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waited(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "ended with code {code}"),
                (None, Some(signal)) => write!(f, "was killed by signal {signal}"),
                (None, None) => write!(f, "ended with wait status {:#x}", status.into_raw()),
            },
            Self::Unseen => f.write_str("is gone"),
        }
    }
}

impl Attended {
    /// By a shim that this process has spawned with its standard output as a pipe, and that has not heard all yet of what it
    /// is to do if something is untold. If this is dropped before it has, it executes nothing.
    pub(super) fn spawned(shim: SpawnedShim, untold: Option<Untold>, ready: Option<Before>) -> Self {
        let SpawnedShim { child, notices } = shim;
        let notices = Some(BufReader::with_capacity(NOTICE_BYTES, notices).lines());
        Self { shim: Shim::Child { child, untold, notices }, pid: None, ready }
    }

    /// By a shim that was found, with the process that executes the command. Absent if exactly this one is not alive any
    /// more.
    ///
    /// # Errors
    ///
    /// If it can be neither pinned nor said to be gone. Needs a Tokio runtime with IO enabled.
    pub(super) fn found(shim: &ProcessIdentity, process: Option<&ProcessIdentity>) -> io::Result<Option<Self>> {
        let Some(shim) = pin(shim)? else { return Ok(None) };
        let pid = process.map(|process| process.pid);
        let process = process.map(pin).transpose()?.flatten();
        Ok(Some(Self { shim: Shim::Found { shim, process }, pid, ready: None }))
    }

    /// Whether it is long under way, whatever is known of its process.
    pub(super) const fn was_found(&self) -> bool {
        matches!(self.shim, Shim::Found { .. })
    }

    /// Sends TERM to the shim itself, which ends the run gracefully; a second one ends it at once. For when its request
    /// pipe is no way any more. None being left is no error.
    ///
    /// # Errors
    ///
    /// If the kernel refuses that.
    pub(super) fn terminate(&self) -> io::Result<()> {
        self.send(Signal::TERM)
    }

    /// Kills the shim, for when it hears nothing. The kernel kills a command that it has begun along with it. None being
    /// left is no error.
    ///
    /// # Errors
    ///
    /// If the kernel refuses that.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.shim {
            Shim::Child { child, .. } => child.signal(signal),
            Shim::Found { shim, .. } => pidfd_send_signal(shim.get_ref(), signal),
        };
        sent.or_else(|error| if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error.into()) })
    }

    /// The next news. May be dropped and called again; not after [`News::Gone`].
    pub(super) async fn news(&mut self) -> News {
        match &mut self.shim {
            Shim::Child { child, untold, notices } => loop {
                tokio::select! {
                    // A shim that is gone has told all before.
                    biased;
                    () = tell(untold) => *untold = None,
                    notice = next_notice(notices) => match notice {
                        Some(news) => return news,
                        None => *notices = None,
                    },
                    waited = child.wait() => return News::Gone(waited.map_or(Parting::Unseen, Parting::Waited)),
                }
            },
            Shim::Found { shim, process } => tokio::select! {
                biased;
                () = ended(process) => {
                    *process = None;
                    News::Exited(None)
                }
                _ = shim.readable() => News::Gone(Parting::Unseen),
            },
        }
    }
}

/// Pins a process, and then verifies that it is the one: from then on its pid cannot change hands unnoticed.
fn pin(process: &ProcessIdentity) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !process.is_alive() {
        return Ok(None);
    }
    observed(pidfd).map(Some)
}

#[expect(deprecated, reason = "an OwnedFd stays open while it lives, which the unsafe successor has callers promise")]
pub(super) fn observed(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

async fn ended(process: &mut Option<AsyncFd<OwnedFd>>) {
    match process {
        Some(process) => drop(process.readable().await),
        None => pending().await,
    }
}

/// Absent once there are no more.
async fn next_notice(notices: &mut Option<Lines<BufReader<Receiver>>>) -> Option<News> {
    let Some(lines) = notices else { return pending().await };
    loop {
        let line = match lines.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%error, "a shim's notices cannot be read");
                return None;
            }
        };
        match Notice::parse(line.as_bytes()) {
            Ok(Notice::Started { pid }) => return Some(News::Started(pid)),
            Ok(Notice::Exited { code, signal }) => {
                return Some(News::Exited(code.map(ExitStatus::Code).or(signal.map(ExitStatus::Signal))));
            }
            Ok(Notice::Recorded {}) => return Some(News::Recorded),
            Ok(Notice::Trouble { why }) => return Some(News::Trouble(why)),
            Err(error) => tracing::warn!(%error, "a shim's notice cannot be understood"),
        }
    }
}
