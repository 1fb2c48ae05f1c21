//! Attempts that somebody holds still, and that are to end meanwhile.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_engine::domain::{AttemptId, RunId};
use tachograph_engine::ports::Clock;
use tokio::sync::watch;

use super::handle::{Live, Phase};
use super::runner::ProcessRunner;
use super::supervise::until;

/// How long an attempt that is to end waits for whoever holds it still to let go.
const LET_GO_MAX: Duration = Duration::from_secs(2);

impl ProcessRunner {
    /// Says that an attempt is about to be held still, for example for an image of it. Absent if this runner does not have
    /// it under way. A process that stands still hears no polite signal: so an attempt that is to end is asked only once
    /// all of these are dropped, or 2 s later, and its grace begins then.
    pub fn standstill(&self, run: RunId, attempt: AttemptId) -> Option<Standstill> {
        self.registry().get(run, attempt).map(Standstill::of)
    }
}

/// That somebody holds an attempt still, or is about to. Let the attempt go on before this is dropped.
#[derive(Debug)]
pub struct Standstill {
    live: Arc<Live>,
}

impl Standstill {
    fn of(live: Arc<Live>) -> Self {
        live.standstills.send_modify(|count| *count += 1);
        Self { live }
    }

    /// Returns once the attempt is to end, at once if it was before: whoever holds it lets it go on now.
    pub async fn asked_to_end(&self) {
        if self.live.ending.subscribe().wait_for(|ending| *ending).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Returns once its process has ended, whoever ended it.
    pub async fn exited(&self) {
        let over = |phase: &Phase| !matches!(phase, Phase::Starting | Phase::Running);
        if self.live.phase.subscribe().wait_for(over).await.is_err() {
            pending::<()>().await;
        }
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.live.standstills.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// What is between the wish that an attempt ends and the polite signal: that everybody lets it go on.
#[derive(Debug)]
pub(super) struct LettingGo {
    live: Arc<Live>,
    standstills: watch::Receiver<usize>,
    /// When it was asked for, on the monotonic clock; absent if nobody is waited for.
    since: Option<Duration>,
}

impl LettingGo {
    pub(super) fn of(live: &Arc<Live>) -> Self {
        Self { live: live.clone(), standstills: live.standstills.subscribe(), since: None }
    }

    /// Tells all who hold the attempt still. Returns whether they must be waited for.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        self.tell();
        // In this order: whoever holds it later has heard it.
        let is_held = *self.standstills.borrow() > 0;
        self.since = is_held.then_some(now);
        is_held
    }

    /// Tells them that it is to end, and waits for nobody.
    pub(super) fn tell(&self) {
        self.live.ending.send_replace(true);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.since.is_some()
    }

    /// Waits for them no longer.
    pub(super) fn cut_short(&mut self) -> bool {
        self.since.take().is_some()
    }

    /// Returns how long it took once nobody holds the attempt, or once that takes too long; never if nobody is waited for.
    /// May be dropped and called again.
    pub(super) async fn done(&mut self, clock: &dyn Clock) -> Duration {
        let Some(since) = self.since else { return pending().await };
        let left = since.saturating_add(LET_GO_MAX).saturating_sub(clock.monotonic());
        tokio::select! {
            biased;
            // The sender lives as long as this.
            _ = self.standstills.wait_for(|count| *count == 0) => {}
            () = clock.sleep(left) => {
                tracing::warn!(run = %self.live.run, attempt = %self.live.attempt, "an attempt that is to end is still held");
            }
        }
        self.since = None;
        clock.monotonic().saturating_sub(since)
    }
}

/// How an attempt is ended: by the polite signal as soon as nobody holds it still, and by the killing one after the grace.
#[derive(Debug)]
pub(super) struct Termination {
    letting_go: LettingGo,
    begun: bool,
    /// When the group is killed; absent if nobody asked, or if it was.
    kill_at: Option<Duration>,
}

impl Termination {
    pub(super) fn of(live: &Arc<Live>) -> Self {
        Self { letting_go: LettingGo::of(live), begun: false, kill_at: None }
    }

    /// The signal to send now. The polite one goes out once; the time of the other one can only come nearer. Without a
    /// grace nobody is waited for.
    pub(super) fn wish(&mut self, now: Duration, kill_at: Duration) -> Option<Signal> {
        let is_urgent = kill_at <= now;
        let is_polite_due = if self.begun {
            self.kill_at = self.kill_at.map(|present| present.min(kill_at));
            is_urgent && self.letting_go.cut_short()
        } else {
            self.begun = true;
            self.kill_at = Some(kill_at);
            !self.letting_go.begin(now) || (is_urgent && self.letting_go.cut_short())
        };
        is_polite_due.then_some(Signal::TERM)
    }

    /// Whether the group is still to be killed if it does not end.
    pub(super) fn is_pending(&self) -> bool {
        self.kill_at.is_some()
    }

    /// The next signal, when it is time for it. May be dropped and called again.
    pub(super) async fn next(&mut self, clock: &dyn Clock) -> Signal {
        let kill_at = self.kill_at.filter(|_| !self.letting_go.is_under_way());
        tokio::select! {
            waited = self.letting_go.done(clock) => {
                self.kill_at = self.kill_at.map(|kill_at| kill_at.saturating_add(waited));
                Signal::TERM
            }
            () = until(clock, kill_at) => {
                self.kill_at = None;
                Signal::KILL
            }
        }
    }
}
