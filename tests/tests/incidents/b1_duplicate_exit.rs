//! B1: after a restart the exit of an attempt is reported once more, by a cleanup that killed what was left, and by a
//! replay of the old report. The row's code is overwritten, or the running attempt is marked exited.

use tachograph_engine::domain::{ExitStatus, Ordinal, Outcome, Refusal, StatusName};
use tachograph_tests::Supervisor;
use tachograph_tests::naive::Ledger;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code};

#[tokio::test]
async fn each_attempt_keeps_its_first_end() {
    let supervisor = Supervisor { engine: in_memory(111).await };
    let mut ledger = Ledger::default();
    let run = supervisor.create(None).await;
    let first = supervisor.start(run, "shim-1").await;
    let row = ledger.insert("container", None);
    ledger.start(row, 700);

    // Exited(1, 0), then the cleanup reports Exited(1, 137).
    supervisor.exit(&first, code(0)).await.expect_written();
    let cleanup = supervisor.exit(&first, code(137)).await;
    cleanup.expect_refused("conflicting_terminal");
    let recorded = Box::new(Outcome::Exited { exit: code(0), amended: None });
    assert_eq!(cleanup.outcome.refusal(), Some(&Refusal::ConflictingTerminal { recorded }));
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Code(0)));
    ledger.exited(row, 0);
    ledger.exited(row, 137);
    assert_eq!(ledger.select(row).unwrap().exit_code, Some(137), "naive: 0 became 137");

    // Started(2); Exited(1, 137) is replayed.
    let second = supervisor.restart(&first, "shim-1").await;
    let replayed = supervisor.exit(&first, code(137)).await;
    replayed.expect_refused("stale_attempt");
    assert_eq!(replayed.outcome.refusal(), Some(&Refusal::StaleAttempt { current: Some(second.attempt) }));
    assert_eq!(supervisor.status(run).await, StatusName::Started);
    ledger.start(row, 701);
    ledger.exited(row, 137);
    let naive = ledger.select(row).unwrap();
    assert_eq!((naive.status, ledger.is_alive(row)), ("failed", true), "naive: attempt 2 marked exited while it runs");

    // Exited(2, 5).
    supervisor.exit(&second, code(5)).await.expect_written();
    assert_eq!(ledger.exited_if_running(row, 5).err(), Some(tachograph_tests::naive::Conflict), "naive: 5 is lost");
    assert_eq!(ledger.select(row).unwrap().exit_code, Some(137));

    let record = supervisor.record(run).await;
    let attempt = record.run.attempt.as_ref().unwrap();
    assert_eq!((attempt.id, attempt.ordinal), (second.attempt, Ordinal(2)));
    assert_eq!(attempt.outcome, Some(Outcome::Exited { exit: code(5), amended: None }));
    assert_eq!(record.run.version.0, 5, "created, started, exited, started, exited");
    assert_eq!(supervisor.refusals(run).await, ["conflicting_terminal", "stale_attempt"]);
}
