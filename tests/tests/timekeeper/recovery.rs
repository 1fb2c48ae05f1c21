//! Opening again after a crash: what was armed fires, and what was dispatched is decided without being taken again.

use std::time::Duration;

use tachograph_engine::domain::{ActorKind, EntryBody, Event, Ordinal, SnapshotId};
use tachograph_engine::shell::{TimekeeperEnd, TimekeeperOptions};
use tachograph_tests::gate::Break;
use tachograph_tests::snapshotter::{Asked, Find, ScriptedSnapshotter, Take};
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::watch::{Watch, World, times};
use tachograph_tests::{Gate, Place, Supervisor, within};

const OPTIONS: TimekeeperOptions =
    TimekeeperOptions { places: 4, sleep_max: Duration::from_millis(500), take_max: Duration::from_secs(30) };

/// A world in which the supervisor crashed while a snapshot was being taken.
async fn crashed_while_taking(seed: u64) -> (World, tachograph_engine::domain::Claim, SnapshotId) {
    let world = World::new(seed);
    let watch = world.watch(OPTIONS).await;
    let (claim, snapshot) = watch.armed(1_000).await;
    world.snapshotter.script(snapshot, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    watch.crash(&world).await;
    assert_eq!(world.snapshotter.under_way(), 0, "the take was dropped with the timekeeper");
    (world, claim, snapshot)
}

/// The message of a failure, which recovery recorded.
async fn lost(watch: &mut Watch, snapshot: SnapshotId) -> String {
    let entry = watch.until_failed(snapshot).await;
    let EntryBody::Committed(committed) = &entry.body else { panic!("{entry:?}") };
    assert_eq!(committed.command.actor.kind, ActorKind::Recovery);
    match entry.events() {
        [Event::SnapshotFailed { message, .. }] => message.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_an_image_it_failed_because_its_outcome_was_lost() {
    let (world, claim, snapshot) = crashed_while_taking(251).await;
    let mut watch = world.watch(OPTIONS).await;
    let message = lost(&mut watch, snapshot).await;
    assert!(message.starts_with("its outcome was lost"), "{message}");
    world.pass(60_000);
    watch.settle().await;
    assert_eq!(world.snapshotter.takes().iter().filter(|taken| **taken == snapshot).count(), 1, "never taken again");
    assert_eq!(times(&watch.supervisor, snapshot).await, 1);
    // The run is free for another one.
    let next = watch.arm(&claim, 0).await;
    watch.until_taken(next).await;
}

#[tokio::test]
async fn with_an_image_it_was_taken() {
    let (world, claim, snapshot) = crashed_while_taking(252).await;
    world.snapshotter.place_image(snapshot);
    let mut watch = world.watch(OPTIONS).await;
    let entry = watch.until_taken(snapshot).await;
    let EntryBody::Committed(committed) = &entry.body else { panic!("{entry:?}") };
    assert_eq!(committed.command.actor.kind, ActorKind::Recovery);
    let found: Vec<_> = world.snapshotter.asked().into_iter().filter(|asked| matches!(asked, Asked::Find(_))).collect();
    match &found[..] {
        [Asked::Find(wanted)] => {
            assert_eq!((wanted.run, wanted.attempt, wanted.snapshot), (claim.run, claim.attempt, snapshot));
            assert_eq!(wanted.ordinal, Ordinal(1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.snapshotter.takes(), [snapshot]);
}

#[tokio::test]
async fn a_find_that_fails_panics_or_hangs_decides_it_too_and_holds_up_nobody() {
    for find in [Find::Fails, Find::Panics, Find::Hangs] {
        let (world, _, snapshot) = crashed_while_taking(253).await;
        world.snapshotter.place_image(snapshot);
        world.snapshotter.find_will(find);
        let mut watch = world.watch(OPTIONS).await;
        let probe = watch.armed(0).await.1;
        world.snapshotter.until(|| world.snapshotter.has_image(probe)).await;
        if find == Find::Hangs {
            world.pass(30_000);
        }
        let message = lost(&mut watch, snapshot).await;
        assert!(message.contains(&format!("an image of snapshot {snapshot} cannot be found out")), "{message}");
        assert!(world.snapshotter.has_image(snapshot), "nothing is deleted on a guess");
    }
}

#[tokio::test]
async fn what_was_armed_behind_it_fires_after_it_is_decided() {
    let world = World::new(254);
    let watch = world.watch(OPTIONS).await;
    let (claim, first) = watch.armed(1_000).await;
    world.snapshotter.script(first, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    let second = watch.arm(&claim, 1_000).await;
    watch.crash(&world).await;
    world.pass(5_000);
    let mut watch = world.watch(OPTIONS).await;
    lost(&mut watch, first).await;
    watch.until_taken(second).await;
    assert_eq!(watch.supervisor.refusals(claim.run).await, [""; 0]);
}

#[tokio::test]
async fn a_run_that_exited_and_was_started_again_meanwhile_is_decided_for_the_attempt_that_it_shows() {
    let world = World::new(255);
    let watch = world.watch(OPTIONS).await;
    let (claim, snapshot) = watch.armed(1_000).await;
    world.snapshotter.script(snapshot, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    watch.supervisor.exit(&claim, code(0)).await.expect_written();
    let second = watch.supervisor.restart(&claim, "r2").await;
    watch.supervisor.exit(&second, code(0)).await.expect_written();
    watch.supervisor.restart(&second, "r3").await;
    watch.crash(&world).await;
    let mut watch = world.watch(OPTIONS).await;
    lost(&mut watch, snapshot).await;
    let found = world.snapshotter.asked().into_iter().find_map(|asked| match asked {
        Asked::Find(wanted) => Some((wanted.attempt, wanted.ordinal)),
        Asked::Take(_) | Asked::Discard(_) => None,
    });
    assert_eq!(found, Some((claim.attempt, Ordinal(1))));
}

/// From files, after a crash and after a clean close, which leaves a checkpoint.
#[tokio::test]
async fn a_run_that_exited_before_the_crash_is_decided_from_the_journal_and_from_a_checkpoint() {
    for is_closed in [false, true] {
        let place = Place::new(256);
        let snapshotter = ScriptedSnapshotter::default();
        let watch = Watch::over(Supervisor { engine: place.open().await.0 }, &snapshotter, OPTIONS, None);
        let (claim, snapshot) = watch.armed(1_000).await;
        snapshotter.script(snapshot, Take::Held);
        place.clock.advance(Duration::from_secs(1));
        snapshotter.until_taking(1).await;
        watch.supervisor.exit(&claim, code(0)).await.expect_written();
        let supervisor = watch.abort().await;
        let place = if is_closed {
            supervisor.engine.close().await.unwrap();
            place
        } else {
            place.crashed()
        };
        let (engine, report) = place.open().await;
        assert_eq!(report.checkpoint.is_some(), is_closed);
        let mut watch = Watch::over(Supervisor { engine }, &snapshotter, OPTIONS, None);
        assert!(lost(&mut watch, snapshot).await.starts_with("its outcome was lost"));
        assert_eq!(watch.supervisor.engine.in_flight(), []);
        assert_eq!(snapshotter.takes(), [snapshot]);
    }
}

#[tokio::test]
async fn a_dispatch_whose_answer_was_lost_is_not_taken_and_decided_by_the_next_open() {
    let world = World::new(257);
    let watch = world.watch(OPTIONS).await;
    let (_, snapshot) = watch.armed(1_000).await;
    world.storage.leave_next_append_unanswered();
    world.pass(1_000);
    let report = watch.end().await;
    assert!(matches!(report.end, TimekeeperEnd::EngineClosed));
    let mut watch = world.watch(OPTIONS).await;
    lost(&mut watch, snapshot).await;
    assert_eq!((world.snapshotter.takes(), times(&watch.supervisor, snapshot).await), (vec![], 1));
}

#[tokio::test]
async fn a_dispatch_that_never_was_durable_happens_after_the_next_open() {
    let world = World::new(258);
    let watch = world.watch(OPTIONS).await;
    let (_, snapshot) = watch.armed(1_000).await;
    world.storage.fail_next_append();
    world.pass(1_000);
    watch.end().await;
    let mut watch = world.watch(OPTIONS).await;
    watch.until_taken(snapshot).await;
    assert_eq!((world.snapshotter.takes(), times(&watch.supervisor, snapshot).await), (vec![snapshot], 1));
}

#[tokio::test]
async fn another_writer_that_is_always_faster_delays_it_and_doubles_nothing() {
    let (world, gate) = (World::new(259), Gate::default());
    let supervisor = world.open_over(gate.before(Box::new(world.storage.open().unwrap()))).await;
    let mut watch = Watch::over(supervisor, &world.snapshotter, OPTIONS, None);
    let (_, snapshot) = watch.armed(1_000).await;
    // Each submission is decided sixteen times before it is given up.
    gate.conflict(16 * 20);
    world.pass(1_000);
    let delayed = async {
        while !world.snapshotter.has_image(snapshot) {
            world.pass(10);
            tokio::task::yield_now().await;
        }
    };
    within("the image", delayed).await;
    watch.until_taken(snapshot).await;
    assert_eq!((world.snapshotter.takes(), times(&watch.supervisor, snapshot).await), (vec![snapshot], 1));
}

#[tokio::test]
async fn a_dispatch_that_was_durable_before_it_was_answered_is_decided_and_not_taken() {
    for has_image in [false, true] {
        let (world, gate) = (World::new(260), Gate::default());
        let supervisor = world.open_over(gate.before(Box::new(world.storage.open().unwrap()))).await;
        let mut watch = Watch::over(supervisor, &world.snapshotter, OPTIONS, None);
        let (claim, snapshot) = watch.armed(1_000).await;
        if has_image {
            world.snapshotter.place_image(snapshot);
        }
        gate.break_next(Break::Twice);
        world.pass(1_000);
        if has_image {
            watch.until_taken(snapshot).await;
        } else {
            assert!(lost(&mut watch, snapshot).await.starts_with("its outcome was lost"));
        }
        assert_eq!((world.snapshotter.takes(), times(&watch.supervisor, snapshot).await), (vec![], 1));
        let next = watch.arm(&claim, 0).await;
        watch.until_taken(next).await;
    }
}
