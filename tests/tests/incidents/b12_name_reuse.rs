//! B12: a run is destroyed and another one gets its name; then the first one's report comes in by name.

use tachograph_engine::domain::StatusName;
use tachograph_tests::Supervisor;
use tachograph_tests::naive::Ledger;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code};

#[tokio::test]
async fn a_report_is_about_a_run_and_attempt_whatever_their_name_stands_for_now() {
    let supervisor = Supervisor { engine: in_memory(124).await };
    let mut ledger = Ledger::default();
    let first = supervisor.create(Some("build")).await;
    let first_claim = supervisor.start(first, "r1").await;
    supervisor.destroy(first, true).await.expect_written();
    let row = ledger.insert("build", None);
    ledger.start(row, 700);
    ledger.delete(row);

    let second = supervisor.create(Some("build")).await;
    let second_claim = supervisor.start(second, "r2").await;
    let before = supervisor.record(second).await;
    let second_row = ledger.insert("build", None);
    ledger.start(second_row, 701);

    // The first one's verdict arrives. A name resolves for people, to its present holder; a report cannot be made by
    // it, not even by whoever puts the resolved run into an old claim.
    supervisor.exit(&first_claim, code(1)).await.expect_refused("run_destroyed");
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(second));
    let mut forged = first_claim.clone();
    forged.run = second;
    supervisor.exit(&forged, code(1)).await.expect_refused("stale_attempt");
    let by_name = ledger.named("build").unwrap();
    ledger.exited(by_name, 1);
    assert_eq!(ledger.select(second_row).unwrap().status, "failed", "naive: the second got the first one's verdict");

    let after = supervisor.record(second).await;
    assert_eq!((&after.run, after.updated), (&before.run, before.updated));
    assert_eq!(supervisor.status(second).await, StatusName::Started);
    assert_eq!(supervisor.refusals(first).await, ["run_destroyed"]);
    supervisor.exit(&second_claim, code(0)).await.expect_written();
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(second), "the last holder");
}
