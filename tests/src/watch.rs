//! An engine with a timekeeper that runs, under a manual clock.

use std::sync::Arc;
use std::time::Duration;

use tachograph::projections::Timers;
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::memory::MemoryStorage;
use tachograph_engine::domain::{Action, Claim, Entry, Event, Position, RunId, SnapshotId, Timestamp};
use tachograph_engine::ports::{Deadlines, Journal};
use tachograph_engine::shell::{
    Engine, Options, Parts, Subscription, SubscriptionError, Timekeeper, TimekeeperHandle, TimekeeperOptions,
    TimekeeperReport,
};
use tokio::task::JoinHandle;

use crate::again::Again;
use crate::place::BEGIN;
use crate::snapshotter::ScriptedSnapshotter;
use crate::supervisor::{Expect, Supervisor, holder};
use crate::within;

/// What outlives a crash: the journal, the images, the time.
#[derive(Debug, Clone)]
pub struct World {
    /// The journal.
    pub storage: MemoryStorage,
    /// The time.
    pub clock: ManualClock,
    ids: Arc<SeededIds>,
    /// Who takes the snapshots.
    pub snapshotter: ScriptedSnapshotter,
}

impl World {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        Self {
            storage: MemoryStorage::new(),
            clock: ManualClock::new(BEGIN),
            ids: Arc::new(SeededIds::new(seed)),
            snapshotter: ScriptedSnapshotter::default(),
        }
    }

    /// Opens an engine in it.
    pub async fn open(&self) -> Supervisor {
        self.open_over(Box::new(self.storage.open().expect("nobody else writes"))).await
    }

    /// Opens an engine over a journal.
    pub async fn open_over(&self, journal: Box<dyn Journal>) -> Supervisor {
        self.open_with(journal, Options::default()).await
    }

    /// Opens an engine over a journal, with bounds of its own.
    pub async fn open_with(&self, journal: Box<dyn Journal>, options: Options) -> Supervisor {
        let clock = Arc::new(self.clock.clone());
        let parts = Parts {
            journal: Again::over(journal, &*self.storage.reader()),
            clock: clock.clone(),
            ids: self.ids.clone(),
            host: Arc::new(LocalHost::new(clock)),
            checkpoints: None,
        };
        let (engine, _) = Engine::open(parts, options).await.expect("a journal in memory opens");
        Supervisor { engine }
    }

    /// Opens an engine in it with a timekeeper.
    pub async fn watch(&self, options: TimekeeperOptions) -> Watch {
        Watch::over(self.open().await, &self.snapshotter, options, None)
    }

    /// Milliseconds pass.
    pub fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// This many milliseconds after the beginning.
    pub fn at(&self, millis: i64) -> Timestamp {
        BEGIN.plus_millis(millis)
    }
}

/// A timekeeper that runs on a task of its own, beside a supervisor.
#[derive(Debug)]
pub struct Watch {
    /// Speaks to the engine.
    pub supervisor: Supervisor,
    /// Stops the timekeeper, unless it was dropped.
    handle: Option<TimekeeperHandle>,
    timekeeper: JoinHandle<TimekeeperReport>,
    entries: Entries,
}

struct Entries(Subscription);

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Entries").field(&self.0.position()).finish()
    }
}

impl Watch {
    /// Lets a timekeeper run over an engine.
    pub fn over(
        supervisor: Supervisor,
        snapshotter: &ScriptedSnapshotter,
        options: TimekeeperOptions,
        deadlines: Option<Arc<dyn Deadlines>>,
    ) -> Self {
        let engine = &supervisor.engine;
        let snapshotter = Arc::new(snapshotter.clone());
        let (mut timekeeper, handle) = Timekeeper::new(engine, Box::new(Timers::empty()), snapshotter, options);
        if let Some(deadlines) = deadlines {
            timekeeper = timekeeper.on_deadline(deadlines);
        }
        let entries = Entries(engine.subscribe(Position::ZERO));
        Self { supervisor, handle: Some(handle), timekeeper: tokio::spawn(timekeeper.run()), entries }
    }

    /// A run that waits.
    pub async fn waiting(&self) -> Claim {
        let run = self.supervisor.create(None).await;
        let claim = self.supervisor.start(run, "r1").await;
        self.supervisor.wait(&claim).await.expect_written();
        claim
    }

    /// A run that waits, with a snapshot armed so many milliseconds ahead.
    pub async fn armed(&self, delay_ms: i64) -> (Claim, SnapshotId) {
        let claim = self.waiting().await;
        let snapshot = self.arm(&claim, delay_ms).await;
        (claim, snapshot)
    }

    /// A run that waits, until so many milliseconds from now at most.
    pub async fn waiting_for(&self, millis: i64) -> Claim {
        let run = self.supervisor.create(None).await;
        let claim = self.supervisor.start(run, "r1").await;
        self.wait_for(&claim, millis).await;
        claim
    }

    /// The holder of a claim waits, until so many milliseconds from now at most.
    pub async fn wait_for(&self, claim: &Claim, millis: i64) {
        let deadline = Some(self.supervisor.engine.clock().now().plus_millis(millis));
        let action = Action::Wait { claim: claim.clone(), on: "a long poll".to_owned(), deadline };
        self.supervisor.tell(holder(claim), claim.run, action).await.expect_written();
    }

    /// Arms a snapshot so many milliseconds ahead.
    pub async fn arm(&self, claim: &Claim, delay_ms: i64) -> SnapshotId {
        self.supervisor.arm(claim, self.supervisor.engine.clock().now().plus_millis(delay_ms)).await
    }

    /// Returns the first entry with such an event, counted from the last one that was returned.
    pub async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Arc<Entry> {
        loop {
            match within("the entry", self.entries.0.next()).await {
                Ok(entry) if entry.events().iter().any(&fits) => return entry,
                Ok(_) | Err(SubscriptionError::Lagged { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Returns once this snapshot has its image.
    pub async fn until_taken(&mut self, snapshot: SnapshotId) -> Arc<Entry> {
        self.until(|event| matches!(event, Event::SnapshotTaken { snapshot: taken, .. } if *taken == snapshot)).await
    }

    /// Returns once this snapshot is recorded as failed.
    pub async fn until_failed(&mut self, snapshot: SnapshotId) -> Arc<Entry> {
        self.until(|event| matches!(event, Event::SnapshotFailed { snapshot: failed, .. } if *failed == snapshot)).await
    }

    /// Returns once the timekeeper has done all that can be done at this time: a snapshot that is due now has had its
    /// turn, and whatever was due before had it before that. It needs a free place.
    pub async fn settle(&mut self) {
        let (_, probe) = self.armed(0).await;
        self.until_taken(probe).await;
    }

    /// Tells the timekeeper to stop.
    pub fn tell_to_stop(&self) {
        self.handle.as_ref().expect("a handle").stop();
    }

    /// Stops the timekeeper.
    pub async fn stop(self) -> (Supervisor, TimekeeperReport) {
        self.tell_to_stop();
        (self.supervisor, within("its end", self.timekeeper).await.expect("it does not panic"))
    }

    /// Awaits the timekeeper's own end.
    pub async fn end(self) -> TimekeeperReport {
        within("its end", self.timekeeper).await.expect("it does not panic")
    }

    /// Drops every handle of the engine, and awaits the timekeeper's end.
    pub async fn last_handle_dropped(self) -> TimekeeperReport {
        drop(self.supervisor);
        within("its end", self.timekeeper).await.expect("it does not panic")
    }

    /// Drops the timekeeper's handle, as far as this is the last one.
    pub fn drop_handle(&mut self) {
        self.handle = None;
    }

    /// Ends the timekeeper in the middle of whatever it does; the engine goes on.
    pub async fn abort(self) -> Supervisor {
        self.timekeeper.abort();
        assert!(self.timekeeper.await.is_err_and(|error| error.is_cancelled()), "it had not ended");
        self.supervisor
    }

    /// What a crash leaves of it: nothing. The engine's journal fails at its next append, and its lock is gone.
    pub async fn crash(self, world: &World) {
        let supervisor = self.abort().await;
        world.storage.fail_next_append();
        let creation = supervisor.creation(None);
        supervisor.engine.submit(creation).await.expect_err("the journal fails");
        supervisor.engine.close().await.expect_err("the journal failed");
    }
}

/// Snapshots that were dispatched, in the order of the journal.
pub async fn dispatched(supervisor: &Supervisor) -> Vec<(RunId, SnapshotId)> {
    let of = |entry: &Entry| -> Vec<(RunId, SnapshotId)> {
        let run = entry.run();
        let dispatched = entry.events().iter().filter_map(|event| match event {
            Event::SnapshotDispatched { snapshot } => run.map(|run| (run, *snapshot)),
            _ => None,
        });
        dispatched.collect()
    };
    supervisor.entries().await.iter().flat_map(of).collect()
}

/// How often this snapshot was dispatched.
pub async fn times(supervisor: &Supervisor, snapshot: SnapshotId) -> usize {
    dispatched(supervisor).await.into_iter().filter(|(_, dispatched)| *dispatched == snapshot).count()
}
