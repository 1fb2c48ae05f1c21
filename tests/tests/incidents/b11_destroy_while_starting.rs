//! B11: a run is destroyed while its spawn is under way; then the worker says that it is ready. The container leaks,
//! or the run comes back to life.

use tachograph_engine::domain::{Effect, StartMode, StatusName};
use tachograph_tests::Supervisor;
use tachograph_tests::naive::Ledger;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::Expect;

#[tokio::test]
async fn the_worker_that_comes_too_late_is_refused_and_its_orphan_destroyed() {
    let supervisor = Supervisor { engine: in_memory(122).await };
    let mut ledger = Ledger::default();
    let run = supervisor.create(Some("sandbox")).await;
    let worker = supervisor.claim(run, "worker-1");
    let row = ledger.insert("sandbox", None);

    // Destroyed while the spawn is under way.
    supervisor.destroy(run, true).await.expect_written();
    ledger.delete(row);

    // 'Worker ready' arrives, and as it gets no answer, once more.
    for _ in 0..2 {
        let ready = supervisor.submit(supervisor.starting(&worker, StartMode::Fresh)).await;
        ready.expect_refused("run_destroyed");
        assert_eq!(ready.effects(), [Effect::DestroyOrphan { claim: worker.clone() }]);
    }
    ledger.worker_ready(row, "sandbox");
    assert_eq!(ledger.select(row).unwrap().status, "running", "naive: the run is back");

    assert_eq!(supervisor.status(run).await, StatusName::Destroyed);
    assert_eq!(supervisor.refusals(run).await, ["run_destroyed"; 2]);
    assert!(supervisor.engine.live().is_empty());
}

#[tokio::test]
async fn destroying_a_started_run_ends_exactly_its_attempt() {
    let supervisor = Supervisor { engine: in_memory(123).await };
    let mut ledger = Ledger::default();
    let run = supervisor.create(Some("sandbox")).await;
    let worker = supervisor.start(run, "worker-1").await;
    let row = ledger.insert("sandbox", None);
    ledger.start(row, 700);

    supervisor.destroy(run, false).await.expect_refused("force_required");
    let destroyed = supervisor.destroy(run, true).await;
    destroyed.expect_written();
    assert_eq!(destroyed.effects(), [Effect::EndAttempt { run, attempt: worker.attempt }]);
    ledger.delete(row);
    assert!(ledger.is_alive(row), "naive: the container leaks, nothing knows of it any more");
    assert_eq!(ledger.select(row), None);

    let late = supervisor.wait(&worker).await;
    late.expect_refused("run_destroyed");
    assert_eq!(late.effects(), [Effect::DestroyOrphan { claim: worker }]);
    assert_eq!(supervisor.status(run).await, StatusName::Destroyed);
    assert_eq!(supervisor.events(run).await.len(), 3, "the history stays readable");
}
