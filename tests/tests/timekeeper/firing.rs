//! When a snapshot happens, when it does not, and that it happens once.

use tachograph_engine::domain::{CancelCause, Event, Guard, RunnerId};
use tachograph_engine::shell::{SubmitError, TimekeeperOptions};
use tachograph_tests::supervisor::Expect;
use tachograph_tests::watch::{Watch, World, dispatched, times};

const DELAY_MS: i64 = 3_000;

async fn watch(seed: u64) -> (World, Watch) {
    let world = World::new(seed);
    let watch = world.watch(TimekeeperOptions::default()).await;
    (world, watch)
}

#[tokio::test]
async fn it_happens_once_after_its_delay_and_not_before() {
    let (world, mut watch) = watch(201).await;
    let (_, snapshot) = watch.armed(DELAY_MS).await;
    world.pass(2_900);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0, "at 2900 ms");
    world.pass(100);
    let entry = watch.until_taken(snapshot).await;
    assert_eq!(entry.recorded_at, world.at(DELAY_MS), "at 3000 ms, before 3100");
    world.pass(60_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
}

#[tokio::test]
async fn no_delay_is_the_next_tick() {
    let (world, mut watch) = watch(202).await;
    let (_, snapshot) = watch.armed(0).await;
    let entry = watch.until_taken(snapshot).await;
    assert_eq!(entry.recorded_at, world.at(0));
}

#[tokio::test]
async fn canceled_before_its_delay_it_does_not_happen_and_canceling_twice_is_safe() {
    let (world, mut watch) = watch(203).await;
    let (claim, snapshot) = watch.armed(DELAY_MS).await;
    world.pass(1_000);
    watch.supervisor.cancel(claim.run, "r1").await.expect_written();
    watch.supervisor.cancel(claim.run, "r1").await.expect_refused("nothing_pending");
    world.pass(10_000);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, snapshot).await, 0);
    let cause = CancelCause::Asked(Guard::Runner(RunnerId::from("r1")));
    assert!(watch.supervisor.events(claim.run).await.contains(&Event::SnapshotCanceled { snapshot, cause }));
    // The timekeeper knew: it asked for nothing that had to be refused.
    assert_eq!(watch.supervisor.refusals(claim.run).await, ["nothing_pending"]);
}

#[tokio::test]
async fn a_cancel_with_nothing_pending_or_after_the_dispatch_says_so() {
    let (world, mut watch) = watch(204).await;
    let idle = watch.waiting().await;
    watch.supervisor.cancel(idle.run, "r1").await.expect_refused("nothing_pending");
    let (claim, snapshot) = watch.armed(DELAY_MS).await;
    world.pass(3_000);
    watch.until_taken(snapshot).await;
    watch.supervisor.cancel(claim.run, "r1").await.expect_refused("nothing_pending");
}

#[tokio::test]
async fn another_runner_cannot_cancel_it_and_it_still_happens() {
    let (world, mut watch) = watch(205).await;
    let (claim, snapshot) = watch.armed(DELAY_MS).await;
    watch.supervisor.cancel(claim.run, "r2").await.expect_refused("not_owner");
    world.pass(3_000);
    watch.until_taken(snapshot).await;
    assert_eq!(dispatched(&watch.supervisor).await, [(claim.run, snapshot)]);
}

#[tokio::test]
async fn arming_again_restarts_the_delay_and_exactly_one_happens() {
    let (world, mut watch) = watch(206).await;
    let (claim, first) = watch.armed(DELAY_MS).await;
    world.pass(2_000);
    let second = watch.arm(&claim, DELAY_MS).await;
    world.pass(1_500);
    watch.settle().await;
    assert_eq!(times(&watch.supervisor, first).await + times(&watch.supervisor, second).await, 0, "at 3500 ms");
    world.pass(1_500);
    let entry = watch.until_taken(second).await;
    assert_eq!(entry.recorded_at, world.at(5_000));
    world.pass(60_000);
    watch.settle().await;
    assert_eq!((times(&watch.supervisor, first).await, times(&watch.supervisor, second).await), (0, 1));
}

#[tokio::test]
async fn a_thousand_at_once_all_happen_once_in_the_order_of_their_keys() {
    let (world, mut watch) = watch(207).await;
    let due = world.at(DELAY_MS);
    let mut armed = Vec::new();
    for _ in 0..1_000 {
        let claim = watch.waiting().await;
        let snapshot = watch.supervisor.arm(&claim, due).await;
        armed.push((claim.run, snapshot));
    }
    world.pass(2_999);
    watch.settle().await;
    assert_eq!(world.snapshotter.takes().len(), 1, "the settling one alone");
    world.pass(1);
    let mut left = armed.len();
    while left > 0 {
        let entry = watch.until(|event| matches!(event, Event::SnapshotTaken { .. })).await;
        left -= entry.events().len();
    }
    armed.sort_unstable();
    assert_eq!(dispatched(&watch.supervisor).await[1..], armed);
    assert_eq!(world.snapshotter.takes().len(), 1_001);
}

#[tokio::test]
async fn three_a_second_apart_happen_in_order_each_at_its_time() {
    let (world, mut watch) = watch(208).await;
    let mut armed = Vec::new();
    for delay in [3_000, 1_000, 2_000] {
        armed.push((delay, watch.armed(delay).await));
    }
    armed.sort_unstable_by_key(|(delay, _)| *delay);
    for (delay, (_, snapshot)) in &armed {
        world.pass(1_000);
        assert_eq!(watch.until_taken(*snapshot).await.recorded_at, world.at(*delay));
    }
    let expected: Vec<_> = armed.iter().map(|(_, (claim, snapshot))| (claim.run, *snapshot)).collect();
    assert_eq!(dispatched(&watch.supervisor).await, expected);
}

#[tokio::test]
async fn another_delay_from_now_on_changes_nothing_that_is_armed() {
    let (world, mut watch) = watch(209).await;
    let (_, long) = watch.armed(DELAY_MS).await;
    let (_, short) = watch.armed(500).await;
    world.pass(500);
    watch.until_taken(short).await;
    assert_eq!(times(&watch.supervisor, long).await, 0);
    world.pass(2_500);
    watch.until_taken(long).await;
}

#[tokio::test]
async fn once_the_engine_is_closed_arming_is_an_error() {
    let (_, watch) = watch(210).await;
    let claim = watch.waiting().await;
    let (supervisor, _) = watch.stop().await;
    // Without a timekeeper it is armed all the same, durably.
    supervisor.arm(&claim, supervisor.engine.clock().now().plus_millis(DELAY_MS)).await;
    supervisor.engine.close().await.unwrap();
    let cancel = tachograph_engine::domain::Action::CancelSnapshot { guard: Guard::Unconditional };
    let command = supervisor.command(tachograph_tests::supervisor::supervisor(), claim.run, cancel);
    assert!(matches!(supervisor.engine.submit(command).await, Err(SubmitError::Closed)));
}
