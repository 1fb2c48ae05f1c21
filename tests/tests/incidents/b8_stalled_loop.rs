//! B8: a snapshot is due in two seconds; the thread is blocked for five, and the wall clock steps back and forth.

use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::naive::TickingTimer;
use tachograph_tests::watch::{World, times};

const TICK_MS: i64 = 100;

#[tokio::test]
async fn after_a_stall_it_fires_at_once_and_no_step_of_the_clock_repeats_it() {
    let world = World::new(118);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let mut ticking = TickingTimer::default();
    let (_, snapshot) = watch.armed(2_000).await;
    ticking.arm(1, 2_000 / TICK_MS);

    // Nobody is polled while the thread is blocked, and no tick is counted.
    world.pass(5_000);
    let fired = watch.until_taken(snapshot).await;
    assert_eq!(fired.recorded_at, world.at(5_000), "at once after the stall");
    assert_eq!(ticking.tick(), [0; 0], "naive: it has counted one tick of twenty");

    world.clock.step_wall(-10_000);
    world.pass(500);
    watch.settle().await;
    world.clock.step_wall(60_000);
    world.pass(500);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
    let late_ms = 5_000 + (2..).find(|_| !ticking.tick().is_empty()).unwrap_or(0) * TICK_MS - 2_000 - TICK_MS;
    assert!(late_ms > 1_700, "naive: {late_ms} ms after its time");
}

#[tokio::test]
async fn with_the_wall_clock_stepped_back_it_is_not_early_and_forward_again_not_lost() {
    let world = World::new(119);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let mut ticking = TickingTimer::default();
    let (_, snapshot) = watch.armed(2_000).await;
    ticking.arm(1, 2_000 / TICK_MS);

    world.clock.step_wall(-10_000);
    world.pass(5_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0, "seven seconds before its time");
    let early: Vec<_> = (0..5_000 / TICK_MS).flat_map(|_| ticking.tick()).collect();
    assert_eq!(early, [1], "naive: fires seven seconds early");

    world.clock.step_wall(60_000);
    world.pass(500);
    watch.until_taken(snapshot).await;
    world.pass(120_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
}
