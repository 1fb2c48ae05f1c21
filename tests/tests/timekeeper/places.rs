//! A limited number of snapshots at a time: who gets a place, and who can still be canceled.

use tachograph_engine::domain::Event;
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::snapshotter::Take;
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::watch::{Watch, World, dispatched, times};

async fn watch(seed: u64, places: usize) -> (World, Watch) {
    let world = World::new(seed);
    let watch = world.watch(TimekeeperOptions { places, ..TimekeeperOptions::default() }).await;
    (world, watch)
}

#[tokio::test]
async fn no_more_than_there_are_places_and_the_next_by_due_time() {
    let (world, mut watch) = watch(221, 2).await;
    world.snapshotter.otherwise(Take::Held);
    let mut armed = Vec::new();
    for delay in [5_000, 4_000, 3_000, 2_000, 1_000] {
        armed.push(watch.armed(delay).await.1);
    }
    armed.reverse();
    world.pass(10_000);
    world.snapshotter.until_taking(2).await;
    for held in 0..armed.len() {
        world.snapshotter.let_go(armed[held]);
        watch.until_taken(armed[held]).await;
        world.snapshotter.until_taking((held + 3).min(armed.len())).await;
    }
    assert_eq!(world.snapshotter.takes(), armed);
    assert_eq!(world.snapshotter.most_at_once(), 2);
}

#[tokio::test]
async fn what_waits_for_a_place_can_be_canceled_in_every_way() {
    for way in ["canceled", "exited", "disconnected", "replaced"] {
        let (world, mut watch) = watch(222, 1).await;
        let (_, first) = watch.armed(1_000).await;
        let (claim, second) = watch.armed(2_000).await;
        let (_, third) = watch.armed(3_000).await;
        world.snapshotter.script(first, Take::Held);
        world.pass(10_000);
        world.snapshotter.until_taking(1).await;
        // All three are due; two wait for the only place, and neither is dispatched.
        match way {
            "canceled" => watch.supervisor.cancel(claim.run, "r1").await,
            "exited" => watch.supervisor.exit(&claim, code(0)).await,
            "disconnected" => watch.supervisor.disconnect(&claim).await,
            _ => {
                watch.arm(&claim, 60_000).await;
                watch.supervisor.disconnect(&claim).await
            }
        }
        .expect_written();
        assert_eq!(dispatched(&watch.supervisor).await.len(), 1, "{way}");
        world.snapshotter.let_go(first);
        watch.until_taken(third).await;
        watch.settle().await;
        assert_eq!(times(&watch.supervisor, second).await, 0, "{way}");
        assert_eq!(watch.supervisor.refusals(claim.run).await, [""; 0], "{way}: it left the list");
    }
}

#[tokio::test]
async fn a_run_has_one_snapshot_at_a_time_and_the_next_follows_its_result() {
    let (world, mut watch) = watch(223, 4).await;
    let (claim, first) = watch.armed(1_000).await;
    world.snapshotter.script(first, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    let second = watch.arm(&claim, 1_000).await;
    world.pass(5_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, second).await, 0, "behind the first");
    world.snapshotter.let_go(first);
    watch.until_taken(second).await;
    assert_eq!(watch.supervisor.refusals(claim.run).await, [""; 0]);
}

#[tokio::test]
async fn what_waits_behind_another_of_its_run_can_be_canceled() {
    let (world, mut watch) = watch(224, 4).await;
    let (claim, first) = watch.armed(1_000).await;
    world.snapshotter.script(first, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    let second = watch.arm(&claim, 1_000).await;
    world.pass(5_000);
    watch.settle().await;
    watch.supervisor.cancel(claim.run, "r1").await.expect_written();
    world.snapshotter.let_go(first);
    watch.until_taken(first).await;
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, second).await, 0);
}

#[tokio::test]
async fn somebody_else_who_dispatches_is_waited_for() {
    let (world, mut watch) = watch(225, 4).await;
    let (claim, theirs) = watch.armed(1_000).await;
    let (supervisor, _) = watch.stop().await;
    let options = TimekeeperOptions::default();
    watch = Watch::over(supervisor, &world.snapshotter, options, None);
    watch.settle().await;
    // Time that the timekeeper has not seen yet: another one is faster.
    world.clock.step_wall(1_000);
    let answer = watch.supervisor.timer_fires(claim.run, theirs).await;
    answer.expect_written();
    let ours = watch.arm(&claim, 0).await;
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, ours).await, 0, "the run is busy");
    let message = "it was somebody else's".to_owned();
    let action = tachograph_engine::domain::Action::FailSnapshot { snapshot: theirs, message };
    watch.supervisor.tell(tachograph_tests::supervisor::supervisor(), claim.run, action).await.expect_written();
    watch.until_taken(ours).await;
    let taken = world.snapshotter.takes();
    assert!(!taken.contains(&theirs), "and is not ours to take");
}

#[tokio::test]
async fn destroyed_while_it_is_taken_its_image_is_discarded() {
    let (world, mut watch) = watch(226, 1).await;
    let (claim, snapshot) = watch.armed(1_000).await;
    world.snapshotter.script(snapshot, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    watch.supervisor.destroy(claim.run, true).await.expect_written();
    world.snapshotter.let_go(snapshot);
    watch.settle().await;
    assert!(!world.snapshotter.has_image(snapshot));
    let events = watch.supervisor.events(claim.run).await;
    assert!(matches!(events.last(), Some(Event::Destroyed { .. })), "nothing follows it");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::SnapshotFailed { snapshot: failed, .. } if *failed == snapshot))
    );
}

#[tokio::test]
async fn exited_while_it_is_taken_it_keeps_its_image() {
    let (world, mut watch) = watch(227, 1).await;
    let (claim, snapshot) = watch.armed(1_000).await;
    world.snapshotter.script(snapshot, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    watch.supervisor.exit(&claim, code(0)).await.expect_written();
    world.snapshotter.let_go(snapshot);
    watch.until_taken(snapshot).await;
    assert!(world.snapshotter.has_image(snapshot));
}
