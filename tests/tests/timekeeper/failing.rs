//! Snapshotters that fail, panic, hang or talk too much, beside good ones.

use std::time::Duration;

use tachograph_engine::domain::{Event, SnapshotId, limits};
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::snapshotter::{Asked, Take};
use tachograph_tests::watch::{Watch, World};
use tachograph_tests::within;

const OPTIONS: TimekeeperOptions =
    TimekeeperOptions { places: 4, sleep_max: Duration::from_millis(500), take_max: Duration::from_secs(30) };

/// Arms one that goes wrong between two good ones, and lets all three be due.
async fn beside_good_ones(seed: u64, take: Take) -> (World, Watch, SnapshotId) {
    let world = World::new(seed);
    let mut watch = world.watch(OPTIONS).await;
    let (_, good) = watch.armed(1_000).await;
    let (_, bad) = watch.armed(1_000).await;
    let (_, after) = watch.armed(1_000).await;
    world.snapshotter.script(bad, take);
    world.pass(1_000);
    for snapshot in [good.min(after), good.max(after)] {
        world.snapshotter.until(|| world.snapshotter.has_image(snapshot)).await;
    }
    watch.settle().await;
    (world, watch, bad)
}

/// The message that a snapshot is recorded as failed with.
async fn message(watch: &Watch, snapshot: SnapshotId) -> Option<String> {
    let entries = watch.supervisor.entries().await;
    entries.iter().flat_map(|entry| entry.events()).find_map(|event| match event {
        Event::SnapshotFailed { snapshot: failed, message } if *failed == snapshot => Some(message.clone()),
        _ => None,
    })
}

/// The same, once it is recorded.
async fn failed(watch: &Watch, snapshot: SnapshotId) -> String {
    let recorded = async {
        loop {
            match message(watch, snapshot).await {
                Some(message) => return message,
                None => tokio::task::yield_now().await,
            }
        }
    };
    within("the failure", recorded).await
}

#[tokio::test]
async fn one_that_fails_is_recorded_with_its_message_and_hurts_no_other() {
    let (_, watch, bad) = beside_good_ones(241, Take::Fails("no room on the disk".to_owned())).await;
    assert_eq!(failed(&watch, bad).await, "no room on the disk");
}

#[tokio::test]
async fn one_that_panics_is_recorded_and_leaves_no_image() {
    let (world, watch, bad) = beside_good_ones(242, Take::Panics).await;
    assert_eq!(failed(&watch, bad).await, "taking it panicked: a test asked for it");
    assert!(!world.snapshotter.has_image(bad));
}

#[tokio::test]
async fn one_that_hangs_is_given_up_after_its_limit_and_not_before() {
    let (world, mut watch, bad) = beside_good_ones(243, Take::Hangs).await;
    world.pass(29_999);
    watch.settle().await;
    assert_eq!((message(&watch, bad).await, world.snapshotter.under_way()), (None, 1));
    world.pass(1);
    assert_eq!(failed(&watch, bad).await, "taking it took longer than 30s and was given up");
    assert_eq!(world.snapshotter.under_way(), 0, "its future is dropped");
}

#[tokio::test]
async fn more_hanging_ones_than_places_are_given_up_in_turn() {
    let world = World::new(244);
    let mut watch = world.watch(TimekeeperOptions { places: 2, ..OPTIONS }).await;
    let mut armed = Vec::new();
    for delay in 1..=5 {
        let (_, snapshot) = watch.armed(delay).await;
        world.snapshotter.script(snapshot, if delay == 5 { Take::Image } else { Take::Hangs });
        armed.push(snapshot);
    }
    world.pass(5);
    for round in 1..=2 {
        world.snapshotter.until_taking(round * 2).await;
        world.pass(30_000);
    }
    watch.until_taken(armed[4]).await;
    assert_eq!(world.snapshotter.takes(), armed);
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_cut_between_characters() {
    let long = "é".repeat(limits::MESSAGE_BYTES_MAX);
    let (_, watch, bad) = beside_good_ones(245, Take::Fails(long.clone())).await;
    let message = failed(&watch, bad).await;
    assert_eq!(message.len(), limits::MESSAGE_BYTES_MAX);
    assert!(long.starts_with(&message));
}

#[tokio::test]
async fn an_image_that_cannot_be_recorded_is_discarded_and_the_snapshot_failed() {
    for location in [String::new(), "a\nb".to_owned(), "x".repeat(limits::PATH_BYTES_MAX + 1)] {
        let (world, watch, bad) = beside_good_ones(246, Take::At(location)).await;
        let message = failed(&watch, bad).await;
        assert!(message.starts_with("the image cannot be recorded and was discarded: location: "), "{message}");
        assert!(!world.snapshotter.has_image(bad));
        assert!(world.snapshotter.asked().contains(&Asked::Discard(bad)));
    }
}
