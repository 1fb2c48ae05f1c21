//! Clocks that step, stalls, and delays of any length.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::Clock;
use tachograph_engine::shell::{Engine, Options, TimekeeperOptions};
use tachograph_tests::Supervisor;
use tachograph_tests::place::{BEGIN, memory_parts};
use tachograph_tests::snapshotter::{ScriptedSnapshotter, Take};
use tachograph_tests::watch::{Watch, World, times};
use tachograph_tests::within;

async fn watch(seed: u64) -> (World, Watch) {
    let world = World::new(seed);
    let watch = world.watch(TimekeeperOptions::default()).await;
    (world, watch)
}

#[tokio::test]
async fn any_delay_up_to_thirty_days_to_the_millisecond() {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    let (world, mut watch) = watch(231).await;
    let mut passed = 0;
    let mut armed = Vec::new();
    for delay in [61_000, 3_600_000, DAY_MS, 7 * DAY_MS + 1, 30 * DAY_MS] {
        armed.push((delay, watch.armed(delay).await.1));
    }
    for (delay, snapshot) in armed {
        world.pass((delay - 1 - passed) as u64);
        watch.settle().await;
        assert_eq!(times(&watch.supervisor, snapshot).await, 0, "a millisecond before {delay}");
        world.pass(1);
        passed = delay;
        assert_eq!(watch.until_taken(snapshot).await.recorded_at, world.at(delay));
    }
}

#[tokio::test]
async fn after_a_stall_everything_catches_up_at_once_in_order() {
    let (world, mut watch) = watch(232).await;
    let mut armed = Vec::new();
    for delay in [2_000, 500, 1_500] {
        armed.push(watch.armed(delay).await.1);
    }
    world.clock.advance(Duration::from_secs(3_600));
    watch.until_taken(armed[0]).await;
    assert_eq!(world.snapshotter.takes(), [armed[1], armed[2], armed[0]]);
}

#[tokio::test]
async fn a_wall_clock_that_steps_back_makes_nothing_early_and_repeats_nothing() {
    let (world, mut watch) = watch(233).await;
    let (_, snapshot) = watch.armed(2_000).await;
    world.clock.step_wall(-10_000);
    world.pass(5_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0, "it is 7 s before its time");
    world.pass(6_999);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0, "it is 1 ms before its time");
    world.pass(1);
    watch.until_taken(snapshot).await;
    world.clock.step_wall(-10_000);
    world.pass(20_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
}

#[tokio::test]
async fn a_wall_clock_that_steps_forward_is_noticed_within_the_longest_sleep() {
    let (world, mut watch) = watch(234).await;
    let (_, snapshot) = watch.armed(3_600_000).await;
    watch.settle().await;
    world.clock.until_asleep(1).await;
    world.clock.step_wall(3_600_000);
    world.pass(500);
    assert_eq!(watch.until_taken(snapshot).await.recorded_at, world.at(3_600_500));
}

#[tokio::test]
async fn it_wakes_for_nothing_unless_something_is_armed() {
    let (world, mut watch) = watch(235).await;
    watch.settle().await;
    // A settled one sleeps for nothing: the probe was its last.
    tokio::task::yield_now().await;
    let (claim, _) = watch.armed(60_000).await;
    world.clock.until_asleep(1).await;
    watch.supervisor.cancel(claim.run, "r1").await;
    let awake = async {
        while world.clock.sleepers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within("a timekeeper without a wake", awake).await;
}

/// Steps back an hour as soon as it has shown a certain time.
#[derive(Debug, Clone)]
struct Treacherous {
    clock: ManualClock,
    trap: Arc<Mutex<Option<Timestamp>>>,
}

#[async_trait]
impl Clock for Treacherous {
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        if self.trap.lock().unwrap().take_if(|trap| now >= *trap).is_some() {
            self.clock.step_wall(-3_600_000);
        }
        now
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn stepped_back_between_its_turn_and_its_dispatch_it_is_refused_and_waits_again() {
    let clock = Treacherous { clock: ManualClock::new(BEGIN), trap: Arc::default() };
    let mut parts = memory_parts(236);
    parts.clock = Arc::new(clock.clone());
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    let snapshotter = ScriptedSnapshotter::default();
    let mut watch = Watch::over(Supervisor { engine }, &snapshotter, TimekeeperOptions::default(), None);
    let (claim, snapshot) = watch.armed(2_000).await;
    watch.settle().await;
    *clock.trap.lock().unwrap() = Some(BEGIN.plus_millis(2_000));
    clock.clock.advance(Duration::from_secs(2));
    let refused = async {
        while watch.supervisor.refusals(claim.run).await != ["not_due"] {
            tokio::task::yield_now().await;
        }
    };
    within("the refusal", refused).await;
    clock.clock.advance(Duration::from_secs(3_599));
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0);
    clock.clock.advance(Duration::from_secs(1));
    watch.until_taken(snapshot).await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
}

#[tokio::test]
async fn stepped_back_while_it_waits_for_a_place_it_asks_for_nothing_and_waits_again() {
    let world = World::new(237);
    let mut watch = world.watch(TimekeeperOptions { places: 1, ..TimekeeperOptions::default() }).await;
    let (_, first) = watch.armed(1_000).await;
    let (claim, second) = watch.armed(2_000).await;
    world.snapshotter.script(first, Take::Held);
    world.pass(2_000);
    world.snapshotter.until_taking(1).await;
    world.clock.step_wall(-1_000);
    world.snapshotter.let_go(first);
    watch.until_taken(first).await;
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, second).await, 0);
    assert_eq!(watch.supervisor.refusals(claim.run).await, [""; 0], "it did not even ask");
    world.pass(1_000);
    watch.until_taken(second).await;
}
