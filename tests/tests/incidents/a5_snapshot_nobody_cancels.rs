//! A5: suspending arms a snapshot some seconds ahead, and the only cancel sits on a path that does not run when the
//! job simply completes. The finished or resumed run's machine is paused in the middle of its work.

use std::time::Duration;

use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{CancelCause, Claim, Effect, Event, FailureKind, SnapshotId, StartMode};
use tachograph_engine::shell::{Engine, Options, TimekeeperOptions};
use tachograph_tests::naive::Ledger;
use tachograph_tests::place::{BEGIN, memory_parts};
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::watch::{Watch, World, times};
use tachograph_tests::{Gate, Supervisor};

const DELAY_MS: i64 = 5_000;

async fn supervisor(seed: u64) -> (Supervisor, ManualClock) {
    let clock = ManualClock::new(BEGIN);
    let mut parts = memory_parts(seed);
    parts.clock = std::sync::Arc::new(clock.clone());
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    (Supervisor { engine }, clock)
}

/// A run that waits, with a snapshot armed some seconds ahead; the same on both sides.
async fn suspended(supervisor: &Supervisor, ledger: &mut Ledger) -> (Claim, SnapshotId, u32) {
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "vm-1").await;
    supervisor.wait(&claim).await.expect_written();
    let due = supervisor.engine.clock().now().plus_millis(DELAY_MS);
    let snapshot = supervisor.arm(&claim, due).await;
    let row = ledger.insert("job", None);
    ledger.start(row, 700);
    ledger.update(row, |row| row.status = "waiting");
    ledger.arm(row, due.as_micros() / 1_000);
    (claim, snapshot, row)
}

fn now_ms(supervisor: &Supervisor) -> i64 {
    supervisor.engine.clock().now().as_micros() / 1_000
}

/// Each way in which a run leaves its wait, and the cause that its snapshot is then canceled with.
#[tokio::test]
async fn whatever_ends_the_wait_cancels_the_snapshot_in_the_same_append() {
    for (way, cause) in [
        ("completed", CancelCause::RunEnded),
        ("failed", CancelCause::RunEnded),
        ("destroyed", CancelCause::Destroyed),
        ("disconnected", CancelCause::RunnerDisconnected),
        ("resumed", CancelCause::Resumed),
    ] {
        let (supervisor, clock) = supervisor(105).await;
        let mut ledger = Ledger::default();
        let (claim, snapshot, row) = suspended(&supervisor, &mut ledger).await;

        clock.advance(Duration::from_secs(1));
        let answer = match way {
            "completed" => supervisor.exit(&claim, code(0)).await,
            "failed" => supervisor.fail(&claim, failure(FailureKind::RunnerLost, "gone")).await,
            "destroyed" => supervisor.destroy(claim.run, true).await,
            "disconnected" => supervisor.disconnect(&claim).await,
            _ => {
                let resume = StartMode::Resume { previous: claim.attempt };
                supervisor.submit(supervisor.starting(&claim, resume)).await
            }
        };
        let (position, _) = answer.expect_written();
        match way {
            "completed" => ledger.exited(row, 0),
            "resumed" => drop(ledger.update(row, |row| row.status = "running")),
            "destroyed" | "failed" | "disconnected" => ledger.start_failed(row, way),
            other => panic!("{other}"),
        }

        // The timer that was set when it was armed goes off: it knows nothing of all that.
        clock.advance(Duration::from_secs(5));
        let fired = supervisor.timer_fires(claim.run, snapshot).await;
        let fired_rows = ledger.tick(now_ms(&supervisor));

        // Naive: the machine is paused for a snapshot that nobody wants any more.
        assert_eq!(fired_rows, [row], "{way}");
        assert_eq!(ledger.select(row).unwrap().status, "paused", "{way}");

        // Right: the cancel is one append with what made it due, and the timer comes too late.
        let entry = supervisor.engine.reader().entry(position).await.unwrap().unwrap();
        assert_eq!(entry.events()[0], Event::SnapshotCanceled { snapshot, cause }, "{way}");
        assert_eq!(entry.events().len(), 2, "{way}");
        let expected = if way == "destroyed" { "run_destroyed" } else { "snapshot_gone" };
        fired.expect_refused(expected);
        assert_eq!(fired.effects(), [], "{way}");
        let events = supervisor.events(claim.run).await;
        assert!(!events.iter().any(|event| matches!(event, Event::SnapshotDispatched { .. })), "{way}");
    }
}

#[tokio::test]
async fn a_stale_runner_cannot_cancel_it_and_arming_again_replaces_it() {
    let (supervisor, clock) = supervisor(106).await;
    let mut ledger = Ledger::default();
    let (claim, first, row) = suspended(&supervisor, &mut ledger).await;
    let stale = supervisor.cancel(claim.run, "vm-0").await;
    stale.expect_refused("not_owner");

    // Naive: a cancel by row id is anybody's.
    assert!(ledger.cancel(row));

    clock.advance(Duration::from_secs(3));
    let second = supervisor.arm(&claim, supervisor.engine.clock().now().plus_millis(DELAY_MS)).await;
    clock.advance(Duration::from_millis(2_500));
    supervisor.timer_fires(claim.run, first).await.expect_refused("snapshot_gone");
    supervisor.timer_fires(claim.run, second).await.expect_refused("not_due");
    clock.advance(Duration::from_millis(2_500));
    let fired = supervisor.timer_fires(claim.run, second).await;
    fired.expect_written();
    assert_eq!(fired.effects(), [Effect::TakeSnapshot { run: claim.run, snapshot: second }]);
    supervisor.timer_fires(claim.run, second).await.expect_refused("already_dispatched");

    // Naive: the canceled one never fires, so the run is never suspended to disk.
    assert_eq!(ledger.tick(now_ms(&supervisor)), [0; 0]);
    let events = supervisor.events(claim.run).await;
    let dispatched: Vec<_> = events.iter().filter(|event| matches!(event, Event::SnapshotDispatched { .. })).collect();
    assert_eq!(dispatched, [&Event::SnapshotDispatched { snapshot: second }]);
    assert!(events.contains(&Event::SnapshotCanceled { snapshot: first, cause: CancelCause::Superseded }));
    assert_eq!(supervisor.refusals(claim.run).await, ["not_owner", "snapshot_gone", "not_due", "already_dispatched"]);
}

/// The tick comes while the reply that ends the wait is on its way: whichever is first in the journal wins, and the
/// other one is told so.
#[tokio::test]
async fn a_tick_during_a_slow_reply_is_decided_by_the_journal() {
    for tick_first in [false, true] {
        let (supervisor, clock) = supervisor(107).await;
        let mut ledger = Ledger::default();
        let (claim, snapshot, row) = suspended(&supervisor, &mut ledger).await;
        clock.advance(Duration::from_secs(6));

        let exit = supervisor.exiting(&claim, code(0));
        let tick = {
            use tachograph_engine::domain::{Action, Actor, ActorKind};
            let timer = Actor::new(ActorKind::Timer, "timer");
            supervisor.command(timer, claim.run, Action::DispatchSnapshot { snapshot })
        };
        let (exit, tick) = if tick_first {
            let tick = supervisor.engine.try_submit(tick).unwrap();
            let exit = supervisor.engine.try_submit(exit).unwrap();
            (exit.await.unwrap(), tick.await.unwrap())
        } else {
            let exit = supervisor.engine.try_submit(exit).unwrap();
            let tick = supervisor.engine.try_submit(tick).unwrap();
            (exit.await.unwrap(), tick.await.unwrap())
        };
        // Naive: the tick pauses the machine first, or after the row is final; both times the end is overwritten or
        // the pause is.
        if tick_first {
            ledger.tick(now_ms(&supervisor));
            ledger.exited(row, 0);
            assert_eq!(ledger.select(row).unwrap().status, "succeeded", "while its machine is paused");
        } else {
            ledger.exited(row, 0);
            ledger.tick(now_ms(&supervisor));
            assert_eq!(ledger.select(row).unwrap().status, "paused", "although it had succeeded");
        }

        exit.expect_written();
        let events = supervisor.events(claim.run).await;
        if tick_first {
            tick.expect_written();
            assert!(!events.iter().any(|event| matches!(event, Event::SnapshotCanceled { .. })));
            assert_eq!(supervisor.record(claim.run).await.run.in_flight.as_ref().map(|taken| taken.id), Some(snapshot));
        } else {
            tick.expect_refused("snapshot_gone");
            assert!(!events.iter().any(|event| matches!(event, Event::SnapshotDispatched { .. })));
        }
    }
}

/// The same with the real timekeeper at the trigger: it knows of every cancel, and nothing of what it asks is refused.
#[tokio::test]
async fn the_timekeeper_fires_nothing_that_the_end_of_the_wait_canceled() {
    for way in ["completed", "failed", "destroyed", "disconnected", "resumed"] {
        let world = World::new(108);
        let mut watch = world.watch(TimekeeperOptions::default()).await;
        let mut ledger = Ledger::default();
        let (claim, snapshot, row) = suspended(&watch.supervisor, &mut ledger).await;
        world.pass(1_000);
        let supervisor = &watch.supervisor;
        match way {
            "completed" => supervisor.exit(&claim, code(0)).await,
            "failed" => supervisor.fail(&claim, failure(FailureKind::RunnerLost, "gone")).await,
            "destroyed" => supervisor.destroy(claim.run, true).await,
            "disconnected" => supervisor.disconnect(&claim).await,
            _ => {
                let resume = StartMode::Resume { previous: claim.attempt };
                supervisor.submit(supervisor.starting(&claim, resume)).await
            }
        }
        .expect_written();
        world.pass(5_000);
        watch.settle().await;
        assert_eq!(ledger.tick(now_ms(&watch.supervisor)), [row], "naive, {way}");
        assert_eq!(times(&watch.supervisor, snapshot).await, 0, "{way}");
        assert_eq!(watch.supervisor.refusals(claim.run).await, [""; 0], "{way}");
    }
}

/// The end of the run is written and not durable yet when the snapshot is due: the timekeeper asks, and is refused.
#[tokio::test]
async fn a_timekeeper_that_is_due_during_a_slow_reply_comes_too_late() {
    let (world, gate) = (World::new(109), Gate::default());
    let supervisor = world.open_over(gate.before(Box::new(world.storage.open().unwrap()))).await;
    let mut watch = Watch::over(supervisor, &world.snapshotter, TimekeeperOptions::default(), None);
    let mut ledger = Ledger::default();
    let (claim, snapshot, row) = suspended(&watch.supervisor, &mut ledger).await;
    world.clock.until_asleep(1).await;
    gate.hold();
    let exit = watch.supervisor.engine.try_submit(watch.supervisor.exiting(&claim, code(0))).unwrap();
    gate.until_waiting().await;
    world.pass(6_000);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.release();
    exit.await.unwrap().expect_written();
    watch.settle().await;
    ledger.exited(row, 0);
    assert_eq!(ledger.tick(now_ms(&watch.supervisor)), [row]);
    assert_eq!(ledger.select(row).unwrap().status, "paused", "naive: although it had succeeded");
    assert_eq!(times(&watch.supervisor, snapshot).await, 0);
    assert_eq!(watch.supervisor.refusals(claim.run).await, ["snapshot_gone"], "it asked, and was refused");
}
