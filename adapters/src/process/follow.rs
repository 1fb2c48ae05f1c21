//! From a living shim to the recorded end: one task per attempt.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_engine::domain::{ExitStatus, Stream};
use tachograph_engine::ports::Clock;
use tokio::sync::{mpsc, watch};

use super::attempt::HeldAttempt;
use super::attended::{Attended, News, Parting};
use super::handle::{Phase, Stop, Unread};
use super::last_word::{LastWord, Unended};
use super::open::await_readiness;
use super::outcome::TimeUp;
use super::ready::{Readiness, settle};
use super::shim::{Request, RequestPipe};
use super::standstill::LettingGo;
use super::supervise::{next_signal, next_time_up, until};

/// So long before its wall-clock limit an attempt is held still no longer: by then the shim, which counts by itself, ends
/// it.
const BEFORE_LIMIT: Duration = Duration::from_millis(100);

/// So long after the time to kill it a shim that has not started its command is killed itself, unless somebody gives it less.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Between two TERMs at least: two that are pending together are one. A shim that was kept from running for longer has
/// heard one all the same, so there is another after each pause until it is gone.
const TERM_PAUSE: Duration = Duration::from_millis(50);

/// Follows an attempt through its directory and its shim to the recorded end, and returns when the shim is gone.
///
/// The shim may be a child of this process or one that was found alive. What counts is what it left on disk: the exit
/// record, once it says that it is complete or when it is gone. All that this runner wants of the attempt meanwhile goes
/// through the shim's request pipe, or by TERM to the shim if the pipe is taken away: its directory is the run's own. If this task ends early, with its runtime, the shim goes on and nothing is lost.
///
/// `age` is how long it has been there already, if it was found.
pub(super) async fn follow(held: HeldAttempt, attended: Attended, age: Duration) {
    Follower::new(&held, attended, age).until_gone().await;
}

struct Follower<'held> {
    held: &'held HeldAttempt,
    clock: Arc<dyn Clock>,
    attended: Attended,
    /// Open from the start on, so that nobody can take it away any more.
    requests: Option<RequestPipe>,
    /// Whether the shim has heard that it shall end the group, in whichever way.
    told_to_end: bool,
    /// When it is to hear TERM again, on the monotonic clock.
    term_again_at: Option<Duration>,
    stop: watch::Receiver<Option<Stop>>,
    signals: Option<mpsc::Receiver<Signal>>,
    unread: watch::Receiver<Unread>,
    hung_up: Unread,
    /// Whether the shim was killed because it did not come to a start in time.
    start_given_up: bool,
    /// Why its time is up, if somebody else than its limit says so; absent once the process has ended.
    told: Option<watch::Receiver<Option<TimeUp>>>,
    time_up: Option<TimeUp>,
    /// Whether the shim was asked to end the group.
    ending: bool,
    /// Before it is asked, with the shortest grace that was wished for until then.
    letting_go: LettingGo,
    grace: Duration,
    /// How long it had been there when it was found.
    age: Duration,
    /// Shortly before its wall-clock limit is reached, on the monotonic clock: the shim ends it then.
    limit_at: Option<Duration>,
    /// How the process ended, if the shim has told.
    status: Option<ExitStatus>,
    /// What the shim complained about last.
    trouble: Option<String>,
    recorded: bool,
}

impl<'held> Follower<'held> {
    fn new(held: &'held HeldAttempt, attended: Attended, age: Duration) -> Self {
        let live = held.live();
        // Wishes from before the start count as well.
        let (mut stop, mut told, mut unread) =
            (live.stop.subscribe(), live.time_up.subscribe(), live.unread.subscribe());
        stop.mark_changed();
        told.mark_changed();
        unread.mark_changed();
        let mut this = Self {
            held,
            clock: held.engine.clock().clone(),
            requests: None,
            told_to_end: false,
            term_again_at: None,
            stop,
            signals: live.signals.take(),
            unread,
            hung_up: Unread::default(),
            start_given_up: false,
            told: Some(told),
            time_up: None,
            ending: false,
            letting_go: LettingGo::of(live),
            grace: Duration::MAX,
            age,
            limit_at: None,
            status: None,
            trouble: None,
            recorded: false,
            attended,
        };
        if let Some(pid) = this.attended.pid {
            this.started(pid);
        } else if this.attended.was_found() {
            this.under_way();
        }
        this
    }

    async fn until_gone(mut self) {
        let clock = self.clock.clone();
        loop {
            let can_ask = self.attended.pid.is_some() || self.attended.was_found();
            let stop = self.stop.clone();
            tokio::select! {
                biased;
                news = self.attended.news() => {
                    if let Some(parting) = self.heard(news).await {
                        return self.gone(parting).await;
                    }
                }
                // The senders live as long as the attempt's registration.
                _ = self.stop.changed(), if can_ask => self.stopped(),
                () = start_given_up(&*clock, stop), if !can_ask && !self.start_given_up => self.give_up_start(),
                Some(signal) = next_signal(&mut self.signals), if can_ask => self.ask(Request::Signal(signal)),
                _ = self.unread.changed(), if can_ask => self.hang_up(),
                why = next_time_up(&mut self.told), if can_ask => self.end_in_time(why),
                _ = self.letting_go.done(&*clock) => self.ask_to_end(),
                () = until(&*clock, self.term_again_at) => {
                    self.term_again_at = Some(self.clock.monotonic().saturating_add(TERM_PAUSE));
                    self.term();
                }
                () = until(&*clock, self.limit_at) => {
                    self.limit_at = None;
                    // Whoever holds it still lets it go, so that it moves when the shim's polite signal comes, and no
                    // image is taken of what that does.
                    self.letting_go.tell();
                }
            }
        }
    }

    async fn heard(&mut self, news: News) -> Option<Parting> {
        match news {
            News::Started(pid) => self.started(pid),
            News::Exited(status) => self.exited(status),
            News::Recorded => self.end(None).await,
            News::Trouble(why) => {
                tracing::warn!(run = %self.held.claim.run, attempt = %self.held.claim.attempt, why, "a shim is in trouble");
                self.trouble = Some(why);
            }
            News::Gone(parting) => return Some(parting),
        }
        None
    }

    fn started(&mut self, pid: u32) {
        self.attended.pid = Some(pid);
        let _ = self.held.live().pid.set(pid);
        self.under_way();
    }

    fn under_way(&mut self) {
        self.requests = RequestPipe::open(&self.held.directory).ok();
        let limit = self.held.limits.wall_ms.map(Duration::from_millis);
        let left = limit.map(|limit| limit.saturating_sub(self.age).saturating_sub(BEFORE_LIMIT));
        self.limit_at = left.map(|left| self.clock.monotonic().saturating_add(left));
        self.held.live().phase.send_replace(Phase::Running);
        await_readiness(self.held, self.attended.ready.take());
    }

    fn exited(&mut self, status: Option<ExitStatus>) {
        self.status = status;
        self.told = None;
        self.limit_at = None;
        self.held.live().phase.send_replace(Phase::Exited);
    }

    async fn gone(mut self, parting: Parting) {
        if !self.recorded {
            self.end(Some(parting)).await;
        } else if self.ending && !matches!(parting, Parting::Waited(status) if status.success()) {
            // It was still to end what is left of the group.
            LastWord::end_group(self.held).await;
        }
    }

    /// Reports what the shim has written down. It may still be there, until that is synced and the rest of the group has ended.
    async fn end(&mut self, parting: Option<Parting>) {
        let (status, trouble) = (self.status.take(), self.trouble.take());
        let unended = parting.map(|parting| Unended { parting, status, trouble });
        settle(self.held.live()).await;
        let unready = *self.held.live().readiness.borrow() == Readiness::Never;
        let Some(word) = LastWord::read(self.held, self.time_up.take(), unready, unended).await else { return };
        let LastWord { outcome, contradiction, pid } = word;
        if let Some(pid) = pid {
            let _ = self.held.live().pid.set(pid);
        }
        self.recorded = true;
        self.held.conclude(outcome, contradiction).await;
    }

    /// A shim that has not begun hears nothing, and it may be stopped. What it may have begun is killed along with it.
    fn give_up_start(&mut self) {
        self.start_given_up = true;
        self.trouble
            .get_or_insert_with(|| "it did not start the command before the time to end it was over".to_owned());
        if let Err(error) = self.attended.kill() {
            tracing::warn!(%error, run = %self.held.claim.run, "a shim that does not start its command cannot be killed");
        }
    }

    fn stopped(&mut self) {
        let Some(Stop { kill_at, drain_by }) = *self.stop.borrow_and_update() else { return };
        let now = self.clock.monotonic();
        self.end_within(kill_at.saturating_sub(now));
        if let Some(drain_by) = drain_by {
            self.ask(Request::DrainWithin(drain_by.saturating_sub(now)));
        }
    }

    /// The first reason counts.
    fn end_in_time(&mut self, why: TimeUp) {
        self.time_up.get_or_insert(why);
        self.end_within(Duration::from_millis(self.held.options.grace_ms));
    }

    /// The shim is asked once nobody holds the attempt still. Without a grace nobody is waited for.
    fn end_within(&mut self, grace: Duration) {
        self.grace = self.grace.min(grace);
        let must_wait =
            if self.ending { self.letting_go.is_under_way() } else { self.letting_go.begin(self.clock.monotonic()) };
        self.ending = true;
        if self.grace.is_zero() {
            self.letting_go.cut_short();
        } else if must_wait {
            return;
        }
        self.grace = grace;
        self.ask_to_end();
    }

    fn ask_to_end(&mut self) {
        self.ask(Request::End { grace: self.grace });
    }

    fn hang_up(&mut self) {
        let unread = *self.unread.borrow_and_update();
        for (stream, now, before) in
            [(Stream::Stdout, unread.stdout, self.hung_up.stdout), (Stream::Stderr, unread.stderr, self.hung_up.stderr)]
        {
            if now && !before {
                self.ask(Request::HangUp(stream));
            }
        }
        self.hung_up = unread;
    }

    /// A shim that is gone needs not be asked any more.
    fn ask(&mut self, request: Request) {
        let pipe = match self.requests.take() {
            Some(pipe) => Ok(pipe),
            None => RequestPipe::open(&self.held.directory),
        };
        let sent = pipe.and_then(|pipe| {
            let sent = pipe.send(request);
            self.requests = Some(pipe);
            sent
        });
        let Err(error) = sent else {
            self.told_to_end |= matches!(request, Request::End { .. });
            return;
        };
        tracing::warn!(%error, ?request, run = %self.held.claim.run, "a shim cannot be asked through its pipe");
        if let Request::End { grace } = request {
            self.end_by_signal(grace);
        }
    }

    /// The first TERM that it hears ends the group with the shim's own grace, the next one at once, more change nothing.
    fn end_by_signal(&mut self, grace: Duration) {
        let again_at = self.clock.monotonic().saturating_add(grace.max(TERM_PAUSE));
        self.term_again_at = Some(self.term_again_at.map_or(again_at, |present| present.min(again_at)));
        if !self.told_to_end {
            self.term();
        }
    }

    fn term(&mut self) {
        match self.attended.terminate() {
            Ok(()) => self.told_to_end = true,
            Err(error) => tracing::warn!(%error, run = %self.held.claim.run, "a shim cannot be told to end its run"),
        }
    }
}

/// Returns once nobody waits any longer for a start that is under way: a moment after what it starts would be killed, or
/// when its output would be given up, if that comes first.
async fn start_given_up(clock: &dyn Clock, mut stop: watch::Receiver<Option<Stop>>) {
    loop {
        let last = |Stop { kill_at, drain_by }| {
            let patient = kill_at.saturating_add(START_PATIENCE);
            drain_by.map_or(patient, |drain_by| drain_by.min(patient))
        };
        let by = stop.borrow_and_update().map(last);
        tokio::select! {
            biased;
            () = until(clock, by) => return,
            // The sender lives as long as the attempt's registration.
            _ = stop.changed() => {}
        }
    }
}
