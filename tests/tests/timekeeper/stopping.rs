//! How a timekeeper ends, and what it hands back.

use tachograph_engine::domain::TimerOf;
use tachograph_engine::shell::{TimekeeperEnd, TimekeeperOptions};
use tachograph_tests::snapshotter::Take;
use tachograph_tests::supervisor::Expect;
use tachograph_tests::watch::{Watch, World, dispatched, times};

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_hands_back_what_did_not_fire() {
    let world = World::new(261);
    let mut watch = world.watch(TimekeeperOptions { places: 1, ..TimekeeperOptions::default() }).await;
    let (_, taking) = watch.armed(1_000).await;
    let (_, waiting) = watch.armed(2_000).await;
    let (_, later) = watch.armed(60_000).await;
    let deadline = watch.waiting_for(30_000).await;
    world.snapshotter.script(taking, Take::Held);
    world.pass(5_000);
    world.snapshotter.until_taking(1).await;

    watch.tell_to_stop();
    watch.tell_to_stop();
    world.pass(60_000);
    tokio::task::yield_now().await;
    world.snapshotter.let_go(taking);
    watch.until_taken(taking).await;
    let (supervisor, report) = watch.stop().await;

    assert!(matches!(report.end, TimekeeperEnd::Stopped));
    assert_eq!((report.dispatched, report.taken, report.failed, report.passed), (1, 1, 0, 0));
    let pending: Vec<_> = report.pending.iter().map(|timer| timer.key.of).collect();
    let expected = [TimerOf::Snapshot(waiting), TimerOf::Deadline(deadline.attempt), TimerOf::Snapshot(later)];
    assert_eq!(pending, expected);
    assert_eq!(dispatched(&supervisor).await.len(), 1);

    // They are armed as before: the next timekeeper of the same engine lets them happen.
    let mut watch = Watch::over(supervisor, &world.snapshotter, TimekeeperOptions::default(), None);
    watch.until_taken(later).await;
    assert_eq!(world.snapshotter.takes(), [taking, waiting, later]);
}

#[tokio::test]
async fn closing_the_engine_ends_it_and_what_it_had_under_way() {
    let world = World::new(262);
    let watch = world.watch(TimekeeperOptions::default()).await;
    let (_, taking) = watch.armed(1_000).await;
    let (_, later) = watch.armed(60_000).await;
    world.snapshotter.script(taking, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    watch.supervisor.engine.close().await.unwrap();
    let report = watch.end().await;
    assert!(matches!(report.end, TimekeeperEnd::EngineClosed));
    assert_eq!((report.dispatched, report.taken), (1, 0));
    assert_eq!(report.pending.iter().map(|timer| timer.key.of).collect::<Vec<_>>(), [TimerOf::Snapshot(later)]);
    assert_eq!(world.snapshotter.under_way(), 0);
}

#[tokio::test]
async fn it_keeps_no_engine_open() {
    let world = World::new(263);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    watch.armed(60_000).await;
    // It runs, and has heard of it.
    watch.settle().await;
    let report = watch.last_handle_dropped().await;
    assert!(matches!(report.end, TimekeeperEnd::EngineClosed));
    assert_eq!(report.pending.len(), 1);
    // Closed by itself, and cleanly.
    let supervisor = world.open().await;
    assert_eq!(supervisor.engine.live().len(), 2);
}

#[tokio::test]
async fn over_a_closed_engine_it_ends_at_once() {
    let world = World::new(264);
    let supervisor = world.open().await;
    supervisor.engine.close().await.unwrap();
    let watch = Watch::over(supervisor, &world.snapshotter, TimekeeperOptions::default(), None);
    assert!(matches!(watch.end().await.end, TimekeeperEnd::EngineClosed));
}

#[tokio::test]
async fn dropping_the_handle_stops_nothing_and_dropping_the_run_gives_up_its_takes() {
    let world = World::new(265);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let (_, snapshot) = watch.armed(1_000).await;
    world.snapshotter.script(snapshot, Take::Held);
    watch.drop_handle();
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    assert_eq!(world.snapshotter.under_way(), 1);
    let supervisor = watch.abort().await;
    assert_eq!(world.snapshotter.under_way(), 0);
    // The next one over the same engine decides it.
    let mut watch = Watch::over(supervisor, &world.snapshotter, TimekeeperOptions::default(), None);
    watch.until_failed(snapshot).await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
}

#[tokio::test]
async fn what_it_hands_back_is_in_order_and_without_what_was_canceled() {
    let world = World::new(266);
    let mut watch = world.watch(TimekeeperOptions { places: 3, ..TimekeeperOptions::default() }).await;
    world.snapshotter.otherwise(Take::Held);
    let (first, _) = watch.armed(1_000).await;
    let (second, _) = watch.armed(1_000).await;
    world.pass(1_000);
    world.snapshotter.until_taking(2).await;
    // Behind another of their runs, with a place free; of which one is canceled.
    let behind = watch.arm(&first, 2_000).await;
    watch.arm(&second, 2_000).await;
    let settled = watch.armed(2_000).await.1;
    world.snapshotter.script(settled, Take::Image);
    world.pass(2_000);
    watch.until_taken(settled).await;
    let (_, third) = watch.armed(0).await;
    world.snapshotter.until(|| world.snapshotter.takes().contains(&third)).await;
    watch.supervisor.cancel(second.run, "r1").await.expect_written();
    // Due before that one but for a place; of which one is canceled, too.
    world.clock.step_wall(-1_500);
    let (canceled, _) = watch.armed(0).await;
    let (_, waiting) = watch.armed(0).await;
    world.clock.step_wall(1_500);
    world.pass(500);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    watch.supervisor.cancel(canceled.run, "r1").await.expect_written();

    watch.tell_to_stop();
    for taken in world.snapshotter.takes() {
        world.snapshotter.let_go(taken);
    }
    let (_, report) = watch.stop().await;
    let pending: Vec<_> = report.pending.iter().map(|timer| timer.key.of).collect();
    assert_eq!(pending, [TimerOf::Snapshot(waiting), TimerOf::Snapshot(behind)]);
}
