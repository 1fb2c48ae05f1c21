//! Lets armed snapshots happen when they are due, and tells of deadlines that have passed.
//!
//! ```text
//! entries → queue → due → waiting for a place → a place is taken → dispatch, durable → take → result, durable
//!                         └────── can be canceled ──────┘
//! ```
//!
//! It decides nothing: it submits commands as every actor does, and a snapshot that was canceled a moment before is
//! refused by the same decision as everywhere. Nor does it write down anything of its own: which timers are armed
//! follows from the runs, also after a crash.

mod beginning;
mod following;
mod guarded;
mod report;
mod taker;
mod turn;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

pub use self::report::{TimekeeperEnd, TimekeeperHandle, TimekeeperReport};
use self::taker::{Counts, Fired, Taker};
use self::waiting::Waiting;
use super::engine::Engine;
use super::meter;
use super::subscription::{Subscription, SubscriptionError};
use super::weak::WeakEngine;
use crate::domain::{ArmedTimer, Entry, RunId, TimerQueue, Timestamp, timers_of};
use crate::ports::{Deadlines, Snapshotter, WantedSnapshot};

/// Entries that are folded, and timers that are popped or begun, before others get their turn.
const TURN_MAX: usize = 256;
/// Deadlines that are told of at a time.
const TOLD_MAX: usize = 16;
/// How long the telling of one deadline may take.
const TELL_MAX: Duration = Duration::from_secs(30);
/// The shortest sleep: a queue that is wrong about its next wake keeps no processor busy.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// Bounds of a timekeeper.
#[derive(Debug, Clone, Copy)]
pub struct TimekeeperOptions {
    /// Snapshots that are taken at a time, at least 1; others wait for a place, and can be canceled while they do.
    pub places: usize,
    /// The longest sleep while anything is armed: how late a step of the wall clock or a suspend is noticed at most.
    pub sleep_max: Duration,
    /// How long a snapshot may take before it is given up and recorded as failed; also how long it may take to find or
    /// discard an image.
    pub take_max: Duration,
}

impl Default for TimekeeperOptions {
    fn default() -> Self {
        Self { places: 4, sleep_max: Duration::from_millis(500), take_max: Duration::from_secs(600) }
    }
}

/// Watches over all timers of an engine, from [`run`](Self::run) on.
///
/// An engine has one at a time: a second one would take the snapshots that the first has under way for lost. It keeps
/// no engine open: when the last handle is dropped or the engine is closed, it ends.
pub struct Timekeeper {
    engine: WeakEngine,
    queue: Box<dyn TimerQueue>,
    deadlines: Option<Arc<dyn Deadlines>>,
    options: TimekeeperOptions,
    stop: watch::Receiver<bool>,
    taker: Arc<Taker>,
    /// Due snapshots that wait for a place.
    due: Waiting,
    /// Deadlines that have passed and are to be told.
    passed: Waiting,
    /// Due snapshots of runs of which another one is being taken.
    behind: BTreeMap<RunId, ArmedTimer>,
    /// Snapshots whose outcome a crash left open.
    lost: VecDeque<WantedSnapshot>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    taking: usize,
    resolving: usize,
    telling: usize,
    told: u64,
    /// Why it is ending, once it is.
    end: Option<TimekeeperEnd>,
}

/// What was finished.
enum Done {
    /// What waits behind it gets its turn by the entry of its result.
    Fired(Fired),
    Resolved,
    Told,
}

/// What a turn left to be done.
enum Left {
    /// More of it, at once.
    More,
    /// All of it, as soon as the runs are shown as the entries say.
    Unshown,
    /// Nothing before the next timer.
    Nothing,
}

/// What the timekeeper woke up for.
enum Woken {
    Stopped,
    Done(Done),
    Entry(Result<Arc<Entry>, SubscriptionError>),
    /// The runs are shown as the entries say.
    Shown,
    Time,
}

impl Timekeeper {
    /// A timekeeper over this engine, and the handle that stops it. The queue is empty: it is filled from the engine
    /// when the timekeeper [runs](Self::run).
    pub fn new(
        engine: &Engine,
        queue: Box<dyn TimerQueue>,
        snapshotter: Arc<dyn Snapshotter>,
        options: TimekeeperOptions,
    ) -> (Self, TimekeeperHandle) {
        let engine = WeakEngine::of(engine);
        let (stop, stopped) = watch::channel(false);
        let taker =
            Taker { engine: engine.clone(), snapshotter, take_max: options.take_max, counts: Counts::default() };
        let timekeeper = Self {
            engine,
            queue,
            deadlines: None,
            options,
            stop: stopped,
            taker: Arc::new(taker),
            due: Waiting::default(),
            passed: Waiting::default(),
            behind: BTreeMap::new(),
            lost: VecDeque::new(),
            work: FuturesUnordered::new(),
            taking: 0,
            resolving: 0,
            telling: 0,
            told: 0,
            end: None,
        };
        (timekeeper, TimekeeperHandle { stop: Arc::new(stop) })
    }

    /// Tells of deadlines that have passed; otherwise they are only traced.
    #[must_use]
    pub fn on_deadline(mut self, deadlines: Arc<dyn Deadlines>) -> Self {
        self.deadlines = Some(deadlines);
        self
    }

    /// First decides the snapshots whose outcome a crash left open, then lets everything happen when it is due, until
    /// it is stopped or the engine closes.
    ///
    /// A plain future for any executor; it starts no thread and no task of its own. Dropping it gives up the snapshots
    /// that it has under way, as a crash does: the next timekeeper decides them.
    pub async fn run(mut self) -> TimekeeperReport {
        if let Some(mut entries) = self.catch_up().await {
            self.watch(&mut entries).await;
        }
        self.report()
    }

    /// Arms what is armed, and collects what a crash left open. Nothing if the engine is closed already.
    async fn catch_up(&mut self) -> Option<Subscription> {
        let Some(engine) = self.engine.upgrade() else {
            self.end = Some(TimekeeperEnd::EngineClosed);
            return None;
        };
        // From where the runs below are at least, not from the end of the journal: what is just being written they may not
        // show. Entries between the two are folded once more, which is harmless.
        let mut entries = engine.subscribe(self.engine.view().shown(engine.head().position));
        self.lost = engine.in_flight().iter().filter_map(|record| beginning::in_flight(&record.run)).collect();
        engine.live().iter().flat_map(|record| timers_of(record)).for_each(|timer| self.queue.arm(timer));
        let seen = engine.head().position;
        drop(engine);
        // What was seen is folded before anything is handed out, so that nothing is handed out a second time by it.
        while entries.position() < seen && self.end.is_none() {
            let entry = entries.next().await;
            self.fold(entry);
        }
        Some(entries)
    }

    async fn watch(&mut self, entries: &mut Subscription) {
        loop {
            let left = self.take_turn(entries);
            let is_over = match &self.end {
                None => false,
                Some(TimekeeperEnd::EngineClosed) => true,
                Some(TimekeeperEnd::Stopped | TimekeeperEnd::Journal(_)) => self.work.is_empty(),
            };
            if is_over {
                return;
            }
            match self.wake(entries, left).await {
                Woken::Stopped => self.end = Some(TimekeeperEnd::Stopped),
                Woken::Done(done) => self.finish(done),
                Woken::Entry(entry) => self.fold(entry),
                Woken::Shown | Woken::Time => {}
            }
            turn::yield_now().await;
        }
    }

    /// Does a bounded part of what can be done now.
    fn take_turn(&mut self, entries: &mut Subscription) -> Left {
        for _ in 0..TURN_MAX {
            if self.is_deaf() {
                break;
            }
            let Some(entry) = entries.next().now_or_never() else { break };
            self.fold(entry);
        }
        // What waits is judged by the runs as they are shown. Shown as they were before its entry, it would be put aside,
        // and no other entry would bring it back.
        let is_behind = self.engine.view().is_behind(entries.position());
        let is_more = self.end.is_none() && !is_behind && self.begin(self.engine.clock().now());
        meter::timers(self.queue.len(), self.taking);
        match (is_behind, is_more) {
            (true, _) => Left::Unshown,
            (false, true) => Left::More,
            (false, false) => Left::Nothing,
        }
    }

    /// Whether no more entries come.
    fn is_deaf(&self) -> bool {
        matches!(self.end, Some(TimekeeperEnd::EngineClosed | TimekeeperEnd::Journal(_)))
    }

    async fn wake(&mut self, entries: &mut Subscription, left: Left) -> Woken {
        let pause = match left {
            Left::More => Some(Duration::ZERO),
            Left::Unshown => None,
            Left::Nothing => self.pause(),
        };
        let (is_deaf, is_ending) = (self.is_deaf(), self.end.is_some());
        let (engine, folded) = (self.engine.clone(), entries.position());
        tokio::select! {
            biased;
            () = turn::stopped(&mut self.stop), if !is_ending => Woken::Stopped,
            Some(done) = self.work.next() => Woken::Done(done),
            entry = entries.next(), if !is_deaf => Woken::Entry(entry),
            () = engine.view().caught_up(folded), if matches!(left, Left::Unshown) => Woken::Shown,
            () = turn::sleep(self.taker.engine.clock(), pause) => Woken::Time,
        }
    }

    /// How long there is nothing to do by time; absent if nothing is armed that was not handed out.
    fn pause(&self) -> Option<Duration> {
        if self.end.is_some() {
            return None;
        }
        let micros = self.queue.next_wake()?.as_micros().saturating_sub(self.engine.clock().now().as_micros());
        match u64::try_from(micros) {
            Ok(micros @ 1..) => Some(Duration::from_micros(micros).min(self.options.sleep_max.max(SLEEP_MIN))),
            Ok(0) | Err(_) => Some(SLEEP_MIN),
        }
    }

    fn report(mut self) -> TimekeeperReport {
        let mut pending: Vec<ArmedTimer> = std::mem::take(&mut self.behind).into_values().collect();
        pending.extend(std::iter::from_fn(|| self.due.next()));
        pending.extend(std::iter::from_fn(|| self.passed.next()));
        pending.extend(std::iter::from_fn(|| self.queue.pop_due(Timestamp::MAX)));
        pending.sort_unstable_by_key(|timer| (timer.due, timer.key));
        let counts = &self.taker.counts;
        TimekeeperReport {
            end: self.end.unwrap_or(TimekeeperEnd::EngineClosed),
            dispatched: Counts::read(&counts.dispatched),
            taken: Counts::read(&counts.taken),
            failed: Counts::read(&counts.failed),
            passed: self.told,
            pending,
        }
    }
}
