//! More timers and entries at once than anybody has time for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures::executor::block_on;
use futures::future::join_all;
use tachograph_engine::domain::{
    ArmedTimer, AttemptId, Entry, Position, RunId, RunnerId, TimerKey, TimerOf, TimerQueue, Timestamp,
};
use tachograph_engine::shell::{Options, Timekeeper, TimekeeperHandle, TimekeeperOptions, TimekeeperReport};
use tachograph_tests::supervisor::Expect;
use tachograph_tests::watch::World;
use tachograph_tests::{Gate, Supervisor, within};
use tokio::task::unconstrained;

const TIMERS: u64 = 20_000;
const ENTRIES: u64 = 2_000;
/// When something happens in the middle of it.
const BEGUN: u64 = 100;
/// Far more than one turn takes, and far fewer than there are.
const FEW: u64 = 1_500;

/// Hands out due timers of runs that nobody knows, one after the other, and counts them. In the middle of it an entry
/// becomes durable; and it stops the timekeeper as soon as it is told of so many entries.
struct Flood {
    timers: u64,
    entries: u64,
    counts: Arc<Counts>,
    supervisor: Supervisor,
}

#[derive(Default)]
struct Counts {
    popped: AtomicU64,
    applied: AtomicU64,
    handle: OnceLock<TimekeeperHandle>,
}

impl Counts {
    fn popped(&self) -> u64 {
        self.popped.load(Ordering::Relaxed)
    }

    fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }
}

impl TimerQueue for Flood {
    fn arm(&mut self, _timer: ArmedTimer) {}

    fn apply(&mut self, _entry: &Entry) {
        if self.counts.applied.fetch_add(1, Ordering::Relaxed) + 1 == self.entries {
            self.counts.handle.get().unwrap().stop();
        }
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<ArmedTimer> {
        // What is asked for at the end of time is what is left for the report.
        let number = self.counts.popped();
        if now == Timestamp::MAX || number == self.timers {
            return None;
        }
        if number == BEGUN {
            // The timekeeper does not go on before it is answered.
            block_on(unconstrained(self.supervisor.create(None)));
        }
        self.counts.popped.store(number + 1, Ordering::Relaxed);
        let of = TimerOf::Deadline(AttemptId::from_u128(u128::from(number)));
        let key = TimerKey { run: RunId::from_u128(u128::from(number)), of };
        Some(ArmedTimer { key, runner: RunnerId::from("r1"), due: now, armed: Position::ZERO, armed_at: now })
    }

    fn next_wake(&self) -> Option<Timestamp> {
        (self.counts.popped() < self.timers).then_some(Timestamp::from_micros(0))
    }

    fn armed(&self, _key: TimerKey) -> Option<ArmedTimer> {
        None
    }

    fn len(&self) -> usize {
        usize::try_from(self.timers - self.counts.popped()).unwrap()
    }
}

/// Lets a timekeeper run over so many timers, until it has heard of so many entries.
async fn end_of(world: &World, supervisor: &Supervisor, timers: u64, entries: u64) -> (Arc<Counts>, TimekeeperReport) {
    let counts = Arc::new(Counts::default());
    let flood = Flood { timers, entries, counts: counts.clone(), supervisor: supervisor.clone() };
    let snapshotter = Arc::new(world.snapshotter.clone());
    let options = TimekeeperOptions::default();
    let (timekeeper, handle) = Timekeeper::new(&supervisor.engine, Box::new(flood), snapshotter, options);
    counts.handle.set(handle).unwrap();
    (counts, within("its end", timekeeper.run()).await)
}

#[tokio::test]
async fn a_flood_of_timers_keeps_neither_an_entry_nor_its_end_waiting() {
    let world = World::new(291);
    let supervisor = world.open().await;
    let (counts, _) = end_of(&world, &supervisor, TIMERS, 1).await;
    assert_eq!(counts.applied(), 1);
    assert!(counts.popped() < FEW, "it heard of the entry and ended after {} timers only", counts.popped());
}

#[tokio::test]
async fn a_flood_of_entries_keeps_its_end_not_waiting() {
    let (world, gate) = (World::new(292), Gate::default());
    let journal = gate.before(Box::new(world.storage.open().unwrap()));
    let supervisor = world.open_with(journal, Options { feed_max: 4, ..Options::default() }).await;
    gate.hold_reads();
    let floods = async {
        // The timekeeper waits for the files by now.
        let creations: Vec<_> = (0..ENTRIES).map(|_| supervisor.creation(None)).collect();
        for answer in
            block_on(unconstrained(join_all(creations.into_iter().map(|creation| supervisor.submit(creation)))))
        {
            answer.expect_written();
        }
        gate.release_reads();
    };
    let ((counts, _), ()) = tokio::join!(end_of(&world, &supervisor, 0, BEGUN), floods);
    assert!(counts.applied() < FEW, "it ended after {} entries only", counts.applied());
}
