//! One attempt, in the hands of whoever wants to wait for it or end it.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::process::Signal;
use tachograph_engine::domain::{
    AttemptId, Ordinal, Outcome, Position, Refusal, RunId, RunnerId, Stream, Timestamp, Version,
};
use tachograph_engine::shell::SubmitError;
use tokio::sync::{mpsc, watch};

use super::directory::AttemptDirectory;
use super::error::RunnerError;
use super::outcome::TimeUp;
use super::ready::{NotReady, Readiness, Ready, ready};
use crate::lock::lock;

/// Signals of one attempt that may wait to be passed on.
const SIGNALS_MAX: usize = 16;

/// How an attempt ended, and what the engine said about it.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What this runner saw and reported. It is what counts if it was written.
    pub outcome: Outcome,
    /// Whether it was.
    pub record: EndRecord,
}

/// What became of the report of an attempt's end.
#[derive(Debug, Clone)]
pub enum EndRecord {
    /// It is durable, by this report or by an equal one before.
    Written {
        /// Position of its entry.
        position: Position,
        /// The run's version after it.
        version: Version,
    },
    /// Something else counts: the run was destroyed, taken over, or ended otherwise before.
    Refused(Refusal),
    /// The engine gave no answer. The attempt's exit record is on disk, and recovery will find it.
    NotSubmitted(SubmitError),
}

/// How far an attempt is.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// There is no process yet.
    Starting,
    Running,
    /// The exit was seen; output may still be coming.
    Exited,
    Ended(Arc<AttemptEnd>),
    /// Its task is gone without an end.
    Abandoned,
}

/// That an attempt shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// When the group is killed, on the monotonic clock.
    pub(super) kill_at: Duration,
    /// When the drain is given up at the latest, on the monotonic clock.
    pub(super) drain_by: Option<Duration>,
}

impl Stop {
    /// Both wishes: whatever comes first.
    fn and(self, other: Self) -> Self {
        let drain_by = match (self.drain_by, other.drain_by) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        Self { kill_at: self.kill_at.min(other.kill_at), drain_by }
    }
}

/// A wait that came to its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OverdueWait {
    /// What it waited on.
    pub(super) on: String,
    pub(super) due: Timestamp,
}

/// What is known once the attempt is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) ordinal: Ordinal,
    pub(super) directory: AttemptDirectory,
    pub(super) snapshot_delay: OnceLock<Duration>,
    /// Who holds it in the journal, if that is the supervisor that it was adopted from.
    pub(super) adopted_from: Option<RunnerId>,
}

/// The shared part of an attempt that this process runs.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) run: RunId,
    pub(super) attempt: AttemptId,
    pub(super) opened: OnceLock<Opened>,
    pub(super) pid: OnceLock<u32>,
    pub(super) phase: watch::Sender<Phase>,
    /// Whether that is the last one, for those who wait for nothing else: each phase would wake them.
    pub(super) over: watch::Sender<bool>,
    pub(super) stop: watch::Sender<Option<Stop>>,
    /// Why its time is up, if somebody else than its limit says so.
    pub(super) time_up: watch::Sender<Option<TimeUp>>,
    /// Whether it is to end, however it came to that.
    pub(super) ending: watch::Sender<bool>,
    /// How many hold it still now, or are about to.
    pub(super) standstills: watch::Sender<usize>,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Whether all of its output is on file that will ever be.
    pub(super) output_done: watch::Sender<bool>,
    pub(super) signals: SignalQueue,
    /// Streams whose readers have left.
    pub(super) unread: watch::Sender<Unread>,
    /// Streams that are still being passed through.
    pub(super) passing: watch::Sender<usize>,
    /// Whether nobody shall follow it any longer, although it goes on.
    pub(super) released: watch::Sender<bool>,
    /// Whether the task is done with everything, the rest of the group included.
    pub(super) settled: watch::Sender<bool>,
}

impl Live {
    pub(super) fn starting(run: RunId, attempt: AttemptId) -> Self {
        Self {
            run,
            attempt,
            opened: OnceLock::new(),
            pid: OnceLock::new(),
            phase: watch::Sender::new(Phase::Starting),
            over: watch::Sender::new(false),
            stop: watch::Sender::new(None),
            time_up: watch::Sender::new(None),
            ending: watch::Sender::new(false),
            standstills: watch::Sender::new(0),
            readiness: watch::Sender::new(Readiness::Starting),
            output_done: watch::Sender::new(false),
            signals: SignalQueue::default(),
            unread: watch::Sender::new(Unread::default()),
            passing: watch::Sender::new(0),
            released: watch::Sender::new(false),
            settled: watch::Sender::new(false),
        }
    }

    /// Who holds it in the journal, if that is the supervisor that it was adopted from.
    pub(super) fn adopted_from(&self) -> Option<&RunnerId> {
        self.opened.get()?.adopted_from.as_ref()
    }

    pub(super) fn stop(&self, stop: Stop) {
        self.stop.send_modify(|present| *present = Some(present.map_or(stop, |present| present.and(stop))));
    }

    /// Ends it because its time is up.
    pub(super) fn end_in_time(&self, why: TimeUp) {
        self.time_up.send_replace(Some(why));
    }
}

/// Streams that nobody reads any more where they are passed through to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unread {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// Signals that wait to be passed on, in their order.
#[derive(Debug)]
pub(super) struct SignalQueue {
    sender: mpsc::Sender<Signal>,
    receiver: Mutex<Option<mpsc::Receiver<Signal>>>,
}

impl Default for SignalQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(SIGNALS_MAX);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl SignalQueue {
    fn push(&self, signal: Signal) -> bool {
        self.sender.try_send(signal).is_ok()
    }

    /// The end to take signals from; there is one.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<Signal>> {
        lock(&self.receiver).take()
    }
}

/// A handle to one attempt; cheap to clone. Dropping it changes nothing about the attempt.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(super) live: Arc<Live>,
    pub(super) clock: ClockRef,
}

impl RunHandle {
    /// The run.
    pub fn run(&self) -> RunId {
        self.live.run
    }

    /// The attempt.
    pub fn attempt(&self) -> AttemptId {
        self.live.attempt
    }

    /// Its number within the run.
    pub fn ordinal(&self) -> Option<Ordinal> {
        self.live.opened.get().map(|opened| opened.ordinal)
    }

    /// Whether another supervisor started it, and this one follows it to its end.
    pub fn is_adopted(&self) -> bool {
        self.live.adopted_from().is_some()
    }

    /// Says how long after it reported that it waits a snapshot of the run is due, if nobody has said so before, in
    /// [`Launch`](super::Launch) or here.
    pub fn snapshot_after(&self, delay: Duration) {
        if let Some(opened) = self.live.opened.get() {
            let _ = opened.snapshot_delay.set(delay);
        }
    }

    /// Its directory.
    pub fn directory(&self) -> Option<&Path> {
        self.live.opened.get().map(|opened| opened.directory.path())
    }

    /// The pid that its process has or had; absent if none was spawned.
    pub fn pid(&self) -> Option<u32> {
        self.live.pid.get().copied()
    }

    /// Its end, if it is recorded by now.
    pub fn ended(&self) -> Option<Arc<AttemptEnd>> {
        match &*self.live.phase.borrow() {
            Phase::Ended(end) => Some(end.clone()),
            Phase::Starting | Phase::Running | Phase::Exited | Phase::Abandoned => None,
        }
    }

    /// Waits until the end is recorded: after its output is drained, or the deadline for that is named. Any number of
    /// callers get the same answer any number of times, before and after.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Abandoned`] if the supervising task was lost, for example with its runtime.
    pub async fn wait(&self) -> Result<Arc<AttemptEnd>, RunnerError> {
        let _ = self.live.over.subscribe().wait_for(|over| *over).await;
        match &*self.live.phase.borrow() {
            Phase::Ended(end) => Ok(end.clone()),
            Phase::Starting | Phase::Running | Phase::Exited | Phase::Abandoned => {
                Err(RunnerError::Abandoned { run: self.run(), attempt: self.attempt() })
            }
        }
    }

    /// Waits until it is ready, as its [`ReadyCheck`](super::ReadyCheck) says; without one, until it has a process. Any
    /// number of callers get the same answer any number of times. One that did its work and ended was ready if the check
    /// was met by then.
    ///
    /// # Errors
    ///
    /// [`NotReady`], once its end is recorded.
    pub async fn ready(&self) -> Result<Ready, NotReady> {
        ready(self).await
    }

    /// Whether it was [left](super::ProcessRunner::leave) to its shim, or let go of: it goes on by itself.
    pub fn is_left(&self) -> bool {
        *self.live.released.borrow() && self.ended().is_none()
    }

    /// Waits until the exit was seen, which is before its output is drained and its end recorded.
    pub async fn exited(&self) {
        self.phase(|phase| !matches!(phase, Phase::Starting | Phase::Running)).await;
    }

    /// Waits until its output was passed through to where [`Launch`](super::Launch) said, or until that broke. May take
    /// as long as the slowest reader likes; the end of the attempt does not wait for it.
    pub async fn passed_through(&self) {
        let _ = self.live.passing.subscribe().wait_for(|passing| *passing == 0).await;
    }

    /// Asks for its end: the polite signal to the whole process group now, and CONT for those that are stopped, the
    /// killing one after the grace. Whoever holds the attempt [still](super::Standstill) lets it go first. Asking
    /// again can only bring the killing one forward. Output is still captured; [`wait`](Self::wait) tells the end. A shim
    /// that has not come to starting its command two seconds after the time of the killing one is killed, and that is told.
    pub fn terminate(&self, grace: Duration) {
        let kill_at = self.clock.0.monotonic().saturating_add(grace);
        self.live.stop(Stop { kill_at, drain_by: None });
    }

    /// Passes a signal on to the whole process group, as if it had been sent there; the attempt ends only if that makes
    /// it end. HUP, INT, QUIT and TERM are followed by CONT, since a stopped process would not notice them. Before there
    /// is a process, the signal waits for it. Returns whether it was taken: not after the end, nor if too many are
    /// waiting already.
    pub fn signal(&self, signal: Signal) -> bool {
        !matches!(&*self.live.phase.borrow(), Phase::Ended(_) | Phase::Abandoned) && self.live.signals.push(signal)
    }

    /// Says that nobody reads a stream any more where it is passed through to, and lets the processes feel it as in a
    /// pipeline: the group gets PIPE, and then the stream's pipe is closed, so that whoever ignores PIPE fails at its next
    /// write. What the pipe held is captured; nothing after that is, and the receipt names the stream as open, unless
    /// its end was there already.
    pub fn hang_up(&self, stream: Stream) {
        self.live.unread.send_modify(|unread| match stream {
            Stream::Stdout => unread.stdout = true,
            Stream::Stderr => unread.stderr = true,
        });
    }

    async fn phase(&self, is: impl FnMut(&Phase) -> bool) -> Option<Phase> {
        self.live.phase.subscribe().wait_for(is).await.ok().map(|phase| phase.clone())
    }
}

/// A clock that can be named in a derived `Debug`.
#[derive(Clone)]
pub(super) struct ClockRef(pub(super) Arc<dyn tachograph_engine::ports::Clock>);

impl std::fmt::Debug for ClockRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
