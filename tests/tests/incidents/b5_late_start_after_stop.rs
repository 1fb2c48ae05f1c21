//! B5: a start is on its way while the run is stopped; it arrives after the kill, and again after the supervisor was
//! restarted. And the orphan cleanup for a first attempt arrives while the third is running.

use tachograph_engine::domain::{Effect, FailureKind, Refusal, StartMode, StatusName};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

#[tokio::test]
async fn a_delayed_start_of_a_stopped_run_is_refused_before_any_side_effect_also_after_reopening() {
    let place = Place::new(115);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut ledger = Ledger::default();
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "node-1").await;
    let row = ledger.insert("runner", None);
    ledger.start(row, 700);

    // The stop is recorded, the process killed.
    supervisor.exit(&claim, code(143)).await.expect_written();
    ledger.stop(row);
    assert!(!ledger.is_alive(row));
    let stopped = supervisor.record(run).await;

    // The delayed start of attempt 1 arrives, under a command id of its own.
    let delayed = supervisor.submit(supervisor.starting(&claim, StartMode::Fresh)).await;
    delayed.expect_refused("stale_attempt");
    assert_eq!(delayed.effects(), [], "nothing to spawn, and nothing to end either");
    ledger.start(row, 701);
    assert_eq!((ledger.select(row).unwrap().status, ledger.is_alive(row)), ("running", true), "naive: it revives");

    // Reopened, it arrives again.
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    ledger.stop(row);
    ledger.crash_and_restart();
    supervisor.submit(supervisor.starting(&claim, StartMode::Fresh)).await.expect_refused("stale_attempt");
    ledger.start(row, 702);
    assert!(ledger.is_alive(row), "naive: it revives again");
    let record = supervisor.record(run).await;
    assert_eq!(record.run, stopped.run);
    assert_eq!(record.run.status.name(), StatusName::Exited);
    assert_eq!(supervisor.refusals(run).await, ["stale_attempt"; 2]);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_cleanup_for_attempt_1_cannot_touch_attempt_3() {
    let place = Place::new(116);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut ledger = Ledger::default();
    let run = supervisor.create(None).await;
    let first = supervisor.start(run, "node-1").await;
    supervisor.fail(&first, failure(FailureKind::RunnerLost, "node-1 is silent")).await.expect_written();
    let second = supervisor.restart(&first, "node-2").await;
    supervisor.exit(&second, code(1)).await.expect_written();
    let third = supervisor.restart(&second, "node-3").await;
    let row = ledger.insert("runner", None);
    for pid in 700..703 {
        ledger.start(row, pid);
    }
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let before = supervisor.record(run).await;

    // node-1 comes back and acts as if it still held the run: told to end exactly itself, as often as it asks.
    for round in 0..2 {
        let answer = supervisor.wait(&first).await;
        answer.expect_refused("stale_attempt");
        assert_eq!(answer.outcome.refusal(), Some(&Refusal::StaleAttempt { current: Some(third.attempt) }));
        assert_eq!(answer.effects(), [Effect::DestroyOrphan { claim: first.clone() }], "round {round}");
    }
    // The cleanup of attempt 1 reports its end.
    supervisor.exit(&first, code(137)).await.expect_refused("stale_attempt");
    supervisor.fail(&first, failure(FailureKind::RunnerLost, "cleaned up")).await.expect_refused("stale_attempt");
    assert!(ledger.clean_up(row));
    assert!(!ledger.is_alive(row), "naive: the cleanup killed attempt 3");

    let after = supervisor.record(run).await;
    assert_eq!((after.run.clone(), after.updated), (before.run.clone(), before.updated));
    assert_eq!(after.run.status.name(), StatusName::Started);
    assert_eq!(after.run.attempt.as_ref().map(|attempt| attempt.id), Some(third.attempt));
    assert_eq!(supervisor.refusals(run).await, ["stale_attempt"; 4]);
    engine.close().await.unwrap();
}
