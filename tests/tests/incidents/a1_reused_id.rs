//! A1: a row id is given again after a delete, and the actor of the deleted run is still there. Its container's exit
//! and its own leaving hit the run that now has the id, which hangs and is called succeeded.

use tachograph_engine::domain::{Action, Effect, StatusName};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::{Expect, code, holder};
use tachograph_tests::{Place, Supervisor};

#[tokio::test]
async fn a_late_exit_meets_the_tombstone_and_not_the_next_run() {
    let place = Place::new(101);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut ledger = Ledger::default();

    // A run is started and deleted while its actor still waits for its listeners.
    let deleted = supervisor.create(Some("sandbox")).await;
    let old_actor = supervisor.start(deleted, "container-1").await;
    let destroyed = supervisor.destroy(deleted, true).await;
    destroyed.expect_written();
    assert_eq!(destroyed.effects(), [Effect::EndAttempt { run: deleted, attempt: old_actor.attempt }]);
    let old_row = ledger.insert("sandbox", None);
    ledger.start(old_row, 700);
    ledger.register(old_row, "actor of the first run");
    ledger.delete(old_row);

    // The next run begins.
    let fresh = supervisor.create(Some("sandbox")).await;
    let actor = supervisor.start(fresh, "container-2").await;
    let before = supervisor.record(fresh).await;
    let fresh_row = ledger.insert("sandbox", None);
    ledger.start(fresh_row, 701);
    ledger.register(fresh_row, "actor of the second run");

    // The old container's monitor reports its exit, and the old actor leaves.
    let late = supervisor.exit(&old_actor, code(0)).await;
    late.expect_refused("run_destroyed");
    let leaving = Action::DisconnectRunner { claim: old_actor.clone() };
    supervisor.tell(holder(&old_actor), old_actor.run, leaving).await.expect_refused("run_destroyed");
    ledger.exited(old_row, 0);
    ledger.unregister(old_row);

    // Naive: the new run is succeeded while it hangs, and nobody is registered for it.
    assert_eq!(fresh_row, old_row, "the id came back");
    assert_eq!(ledger.select(fresh_row).unwrap().status, "succeeded");
    assert!(ledger.is_alive(fresh_row));
    assert_eq!(ledger.registered(fresh_row), None);

    // Right: untouched, also after reopening; the late reports are on record where they belong.
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    assert_ne!(fresh, deleted);
    assert_eq!(supervisor.record(fresh).await, before);
    assert!(before.run.attempt.as_ref().is_some_and(|attempt| attempt.connected && attempt.id == actor.attempt));
    assert_eq!(supervisor.status(deleted).await, StatusName::Destroyed);
    assert_eq!(supervisor.refusals(deleted).await, ["run_destroyed", "run_destroyed"]);
    assert_eq!(supervisor.refusals(fresh).await, [""; 0]);
    supervisor.exit(&old_actor, code(0)).await.expect_refused("run_destroyed");
    supervisor.exit(&actor, code(5)).await.expect_written();
    engine.close().await.unwrap();
}
