//! From the spawn to the recorded end: one task per attempt.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_engine::domain::{Drain, ExitStatus, Stream, limits};
use tachograph_engine::ports::Clock;
use tokio::sync::{mpsc, watch};

use super::attempt::{HeldAttempt, Noted};
use super::child::Child;
use super::drain::{Drained, Pumps};
use super::group::ProcessGroup;
use super::handle::{Phase, Stop, Unread};
use super::outcome::{Seen, TimeUp, exit_status};
use super::pump::PipeCloser;
use super::ready::{Readiness, settle};
use super::standstill::Termination;
use crate::threads::blocking;

/// Output that is not at its end so long after the exit may keep the runner waiting: the exit is noted on disk.
const NOTE_AFTER: Duration = Duration::from_millis(20);

/// How often is looked whether a group that was asked to end is gone; nobody tells when a grandchild ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Signals that stay pending while a process is stopped, for example because it read from a terminal that is not its
/// own; so CONT follows each.
const ASKING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Follows one child to its recorded end.
///
/// The exit comes from the child's own handle and from nothing else. The pumps are tasks of their own: nothing that
/// this task waits for, gives up or is asked meanwhile can lose a byte.
pub(super) async fn supervise(held: HeldAttempt, mut child: Child, group: ProcessGroup, pumps: Pumps) {
    let mut guard = Guard::new(&held, group, &pumps);
    let waited = guard.until_exit(&mut child).await;
    let exited_at = guard.clock.monotonic();
    guard.leader_was_reaped();
    held.live().phase.send_replace(Phase::Exited);
    if held.options.kill_lingering {
        guard.signal(Signal::KILL).await;
    }
    let (status, witness) = exit_status(&waited);
    let (drained, lingering, noted) = guard.until_drained(&held, &status, exited_at, pumps).await;
    let time_up = guard.time_up.take();
    settle(held.live()).await;
    let unready = *held.live().readiness.borrow() == Readiness::Never;
    held.end(Seen { status, witness, drained, time_up, unready, lingering }, noted).await;
    guard.until_group_is_dealt_with().await;
}

/// Ends the attempt when it is asked to, or when its time is up.
struct Guard {
    clock: Arc<dyn Clock>,
    group: ProcessGroup,
    stop: watch::Receiver<Option<Stop>>,
    signals: Option<mpsc::Receiver<Signal>>,
    unread: watch::Receiver<Unread>,
    stdout: PipeCloser,
    stderr: PipeCloser,
    grace: Duration,
    drain_deadline: Duration,
    /// When its wall-clock limit is reached, on the monotonic clock; absent if it has none or has exited.
    limit_at: Option<Duration>,
    limit_ms: u64,
    /// Why its time is up, if somebody else says so; absent once the leader has exited.
    told: Option<watch::Receiver<Option<TimeUp>>>,
    time_up: Option<TimeUp>,
    termination: Termination,
}

impl Guard {
    fn new(held: &HeldAttempt, group: ProcessGroup, pumps: &Pumps) -> Self {
        let clock = held.engine.clock().clone();
        let mut stop = held.live().stop.subscribe();
        // A wish from before the spawn counts as well.
        stop.mark_changed();
        let mut told = held.live().time_up.subscribe();
        told.mark_changed();
        let mut unread = held.live().unread.subscribe();
        unread.mark_changed();
        let limit_at = held.limits.wall_ms.map(|ms| clock.monotonic().saturating_add(Duration::from_millis(ms)));
        Self {
            group,
            stop,
            signals: held.live().signals.take(),
            unread,
            stdout: pumps.closer(Stream::Stdout),
            stderr: pumps.closer(Stream::Stderr),
            grace: Duration::from_millis(held.options.grace_ms),
            drain_deadline: Duration::from_millis(held.options.drain_deadline_ms),
            limit_at,
            limit_ms: held.limits.wall_ms.unwrap_or_default(),
            told: Some(told),
            time_up: None,
            termination: Termination::of(held.live()),
            clock,
        }
    }

    async fn until_exit(&mut self, child: &mut Child) -> io::Result<std::process::ExitStatus> {
        loop {
            tokio::select! {
                biased;
                waited = child.wait() => return waited,
                () = self.step() => {}
            }
        }
    }

    /// A failed wait says nothing about whether the leader is still there, so the careful way is right for both.
    fn leader_was_reaped(&mut self) {
        self.group.leader_was_reaped();
        self.limit_at = None;
        self.told = None;
    }

    /// Waits for both streams to end, or for the one absolute deadline; then the members of the group that are left are
    /// told as well.
    async fn until_drained(
        &mut self,
        held: &HeldAttempt,
        status: &ExitStatus,
        exited_at: Duration,
        mut pumps: Pumps,
    ) -> (Drained, Vec<u32>, Option<Noted>) {
        let clock = self.clock.clone();
        let mut noted = None;
        let mut note_at = Some(exited_at.saturating_add(NOTE_AFTER));
        let mut lingering = loop {
            let wished = self.stop.borrow().and_then(|stop| stop.drain_by);
            let own = exited_at.saturating_add(self.drain_deadline);
            let deadline = wished.map_or(own, |wished| wished.min(own));
            tokio::select! {
                biased;
                () = pumps.finished() => break Vec::new(),
                // Those who write end when their pipe is closed, so they are looked up before.
                () = until(&*clock, Some(deadline)) => break self.members().await,
                () = until(&*clock, note_at) => {
                    note_at = None;
                    noted = held.note_exit(status).await;
                }
                () = self.step() => {}
            }
        };
        // More than that is no record any more.
        lingering.truncate(limits::DIAGNOSTICS_MAX);
        let drained = pumps.close(clock.monotonic().saturating_sub(exited_at)).await;
        if matches!(drained.receipt.drain, Drain::Drained) {
            lingering.clear();
        }
        (drained, lingering, noted)
    }

    /// Stays until a group that was asked to end has ended or was killed.
    async fn until_group_is_dealt_with(&mut self) {
        let clock = self.clock.clone();
        while self.termination.is_pending() && !self.members().await.is_empty() {
            tokio::select! {
                () = self.step() => {}
                () = clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Waits for the next thing that this guard has to do, and does it.
    async fn step(&mut self) {
        let clock = self.clock.clone();
        let signal = tokio::select! {
            // The sender lives as long as the attempt's registration.
            _ = self.stop.changed() => self.asked(),
            passed_on = next_signal(&mut self.signals) => passed_on,
            _ = self.unread.changed() => return self.hang_up().await,
            why = next_time_up(&mut self.told) => self.end_in_time(why),
            signal = self.termination.next(&*clock) => Some(signal),
            () = until(&*clock, self.limit_at) => {
                self.limit_at = None;
                let limit_ms = self.limit_ms;
                self.end_in_time(TimeUp::WallLimit { limit_ms })
            }
        };
        if let Some(signal) = signal {
            self.signal(signal).await;
            if ASKING.contains(&signal) {
                self.signal(Signal::CONT).await;
            }
        }
    }

    /// The signal comes first, so that a process that does not ignore it ends by it and not by its failed write.
    async fn hang_up(&mut self) {
        let unread = *self.unread.borrow_and_update();
        if unread != Unread::default() {
            self.signal(Signal::PIPE).await;
        }
        if unread.stdout {
            self.stdout.close();
        }
        if unread.stderr {
            self.stderr.close();
        }
    }

    fn asked(&mut self) -> Option<Signal> {
        let stop = *self.stop.borrow_and_update();
        let now = self.clock.monotonic();
        stop.and_then(|stop| self.termination.wish(now, stop.kill_at))
    }

    /// The first reason counts.
    fn end_in_time(&mut self, why: TimeUp) -> Option<Signal> {
        self.time_up.get_or_insert(why);
        let now = self.clock.monotonic();
        self.termination.wish(now, now.saturating_add(self.grace))
    }

    /// Before the leader is reaped that is one call, and must not be put off to where the leader may be reaped;
    /// afterwards it looks through `/proc`.
    async fn signal(&self, signal: Signal) {
        if self.group.is_led() {
            self.group.signal(signal);
        } else {
            let group = self.group.clone();
            blocking(move || group.signal(signal)).await;
        }
    }

    async fn members(&self) -> Vec<u32> {
        let group = self.group.clone();
        blocking(move || group.members()).await.unwrap_or_default()
    }
}

/// Why its time is up, once somebody says so, or never.
pub(super) async fn next_time_up(told: &mut Option<watch::Receiver<Option<TimeUp>>>) -> TimeUp {
    let Some(reasons) = told else { return pending().await };
    while reasons.changed().await.is_ok() {
        if let Some(why) = reasons.borrow_and_update().clone() {
            return why;
        }
    }
    pending().await
}

/// The next signal to pass on, or never.
pub(super) async fn next_signal(signals: &mut Option<mpsc::Receiver<Signal>>) -> Option<Signal> {
    match signals {
        Some(signals) => match signals.recv().await {
            Some(signal) => Some(signal),
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Returns at this time of the monotonic clock, or never.
pub(super) async fn until(clock: &dyn Clock, at: Option<Duration>) {
    match at {
        Some(at) => {
            let left = at.saturating_sub(clock.monotonic());
            if !left.is_zero() {
                clock.sleep(left).await;
            }
        }
        None => pending().await,
    }
}
