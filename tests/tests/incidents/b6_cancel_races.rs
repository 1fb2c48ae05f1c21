//! B6: a run that waits is taken over by another runner, which arms its own snapshot; then the first one cancels,
//! disconnects, and its old timer goes off.

use tachograph_engine::domain::{CancelCause, Event, StartMode, StatusName};
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::naive::Ledger;
use tachograph_tests::place::BEGIN;
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::watch::{World, times};

#[tokio::test]
async fn the_former_holder_can_neither_cancel_nor_fire_anything() {
    let world = World::new(116);
    let mut watch = world.watch(TimekeeperOptions::default()).await;
    let supervisor = watch.supervisor.clone();
    let mut ledger = Ledger::default();
    let begin_ms = BEGIN.as_micros() / 1_000;

    // Waiting, s1 armed by r1.
    let run = supervisor.create(None).await;
    let r1 = supervisor.start(run, "r1").await;
    supervisor.wait(&r1).await.expect_written();
    let s1 = supervisor.arm(&r1, BEGIN.plus_millis(5_000)).await;
    let row = ledger.insert("job", None);
    ledger.start(row, 700);
    ledger.arm(row, begin_ms + 5_000);

    // Taken over by r2, which waits and arms s2.
    let r2 = supervisor.claim(run, "r2");
    supervisor.submit(supervisor.starting(&r2, StartMode::Resume { previous: r1.attempt })).await.expect_written();
    supervisor.wait(&r2).await.expect_written();
    let s2 = supervisor.arm(&r2, BEGIN.plus_millis(60_000)).await;
    ledger.start(row, 701);
    ledger.arm(row, begin_ms + 60_000);

    // r1 cancels, then disconnects.
    supervisor.cancel(run, "r1").await.expect_refused("not_owner");
    supervisor.disconnect(&r1).await.expect_refused("stale_attempt");
    assert!(ledger.cancel(row), "naive: r1 cancels s2");

    // s1's old timer fires: the timekeeper knows better, and whoever asks all the same is refused.
    world.pass(5_000);
    watch.settle().await;
    assert!(!world.snapshotter.takes().contains(&s1));
    let fired = supervisor.timer_fires(run, s1).await;
    fired.expect_refused("snapshot_gone");
    assert_eq!(fired.effects(), []);
    let waiting = supervisor.record(run).await;
    assert_eq!(waiting.run.armed.as_ref().map(|armed| (armed.id, armed.runner.as_str())), Some((s2, "r2")));
    assert!(waiting.run.attempt.as_ref().is_some_and(|attempt| attempt.connected));
    assert_eq!(ledger.tick(begin_ms + 5_000), [row], "naive: nobody had canceled s1");
    assert_eq!(ledger.select(row).unwrap().status, "paused", "naive: s1 pauses the new attempt");
    assert_eq!(ledger.tick(begin_ms + 60_000), [0; 0], "naive: s2 never fires");

    // r2 exits.
    let (position, _) = supervisor.exit(&r2, code(0)).await.expect_written();
    let entry = supervisor.engine.reader().entry(position).await.unwrap().unwrap();
    assert_eq!(entry.events()[0], Event::SnapshotCanceled { snapshot: s2, cause: CancelCause::RunEnded });
    assert_eq!(supervisor.status(run).await, StatusName::Exited);
    let events = supervisor.events(run).await;
    assert!(!events.iter().any(|event| matches!(event, Event::SnapshotDispatched { .. })));
    assert!(events.contains(&Event::SnapshotCanceled { snapshot: s1, cause: CancelCause::TakenOver }));
    world.pass(120_000);
    watch.settle().await;
    assert_eq!((times(&supervisor, s1).await, times(&supervisor, s2).await), (0, 0));
    assert_eq!(supervisor.refusals(run).await, ["not_owner", "stale_attempt", "snapshot_gone"]);
}
