//! B4: a start fails, is tried again and succeeds: the row is gone, or shows the old reason beside the success. And a
//! run that failed is stopped: the failure is overwritten.

use tachograph_adapters::process::{EndRecord, Launch};
use tachograph_engine::domain::{Action, Event, ExitStatus, FailureKind, Ordinal, Outcome, StartMode, StatusName};
use tachograph_tests::commands::{begin, command, exit_of, runner};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::{Expect, code, failure, supervisor};
use tachograph_tests::{Place, Supervisor};

#[tokio::test]
async fn attempt_1_stays_failed_for_ever_and_the_current_state_is_clean() {
    let place = Place::new(251);
    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let (mut ledger, mut guarded) = (Ledger::default(), Ledger::default());
    let run = supervisor_of.create(Some("vm")).await;
    let row = ledger.insert("vm", None);
    let guarded_row = guarded.insert("vm", None);

    // The start fails before there is anything: 'timeout 30s'.
    let first = supervisor_of.claim(run, "shim-1");
    let timeout = failure(FailureKind::StartTimeout, "timeout 30s");
    let failing = Action::Fail { claim: first.clone(), failure: timeout.clone() };
    supervisor_of.tell(supervisor(), run, failing).await.expect_written();
    ledger.start_failed(row, "timeout 30s");
    guarded.start_failed_with_guard(guarded_row);
    assert_eq!(guarded.select(guarded_row), None, "naive: the row is deleted");

    // Started again; it exits with 0.
    let second = supervisor_of.restart(&first, "shim-2").await;
    let current = supervisor_of.record(run).await;
    assert_eq!(current.run.attempt.as_ref().map(|attempt| attempt.outcome.clone()), Some(None), "no stale reason");
    supervisor_of.exit(&second, code(0)).await.expect_written();
    ledger.start(row, 701);
    ledger.exited(row, 0);
    let naive = ledger.select(row).unwrap();
    assert_eq!((naive.status, naive.reason.as_deref()), ("succeeded", Some("timeout 30s")), "naive: a stale reason");

    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let record = supervisor_of.record(run).await;
    let attempt = record.run.attempt.as_ref().unwrap();
    assert_eq!((attempt.id, attempt.ordinal), (second.attempt, Ordinal(2)));
    assert_eq!(attempt.outcome, Some(Outcome::Exited { exit: code(0), amended: None }));
    let events = supervisor_of.events(run).await;
    let kept = Event::Failed { attempt: first.attempt, ordinal: Ordinal(1), runner: first.runner, failure: timeout };
    assert_eq!(events[1], kept, "the history shows it");
    engine.close().await.unwrap();
}

/// The same with a real command: missing at first, there at the second attempt.
#[tokio::test]
async fn a_program_that_was_missing_is_there_at_the_second_attempt() {
    let place = Place::new(252);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let (run, handle) = begin(&runner, command(&["/no/such/program"]), Launch::default()).await;
    let first = handle.wait().await.unwrap();
    assert_eq!(first.outcome.failure().map(|failure| &failure.kind), Some(&FailureKind::NotFound));
    let launch = Launch { argv: Some(vec!["true".into()]), ..Launch::default() };
    let again = runner.restart(run, launch).await.unwrap();
    assert_eq!(exit_of(&again).await.status, ExitStatus::Code(0));
    assert_eq!(again.ordinal(), Some(Ordinal(2)));
    assert_ne!(again.directory(), handle.directory(), "each attempt has its own directory");
    let names: Vec<_> = supervisor.events(run).await.iter().map(|event| event.name().name()).collect();
    assert_eq!(names, ["Created", "Started", "Failed", "Started", "Exited"]);
    let mut ledger = Ledger::default();
    let row = ledger.insert("program", None);
    ledger.start_failed(row, "no such file");
    ledger.start(row, 700);
    ledger.exited(row, 0);
    assert_eq!(ledger.select(row).unwrap().reason.as_deref(), Some("no such file"), "naive: a stale reason");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn stopping_a_failed_run_spawns_nothing_and_rewrites_nothing_also_after_reopening() {
    let place = Place::new(253);
    let (engine, _) = place.open().await;
    let runner_before = runner(&engine, &place);
    let mut ledger = Ledger::default();
    let (run, handle) = begin(&runner_before, command(&["/no/such/program"]), Launch::default()).await;
    let end = handle.wait().await.unwrap();
    assert!(matches!(end.record, EndRecord::Written { .. }));
    let row = ledger.insert("vm", None);
    ledger.start_failed(row, "no such file");

    // Stop.
    let before = Supervisor::of(&engine).record(run).await;
    handle.terminate(std::time::Duration::ZERO);
    assert!(runner_before.handles().is_empty(), "nothing is under way");
    ledger.stop(row);
    assert_eq!(ledger.select(row).unwrap().status, "stopped", "naive: Failed is erased");

    // Reopen, and stop once more, as a report of its own.
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let attempt = before.run.attempt.clone().unwrap();
    let claim = tachograph_engine::domain::Claim { run, attempt: attempt.id, runner: attempt.runner };
    supervisor_of.exit(&claim, code(143)).await.expect_refused("conflicting_terminal");
    let late = supervisor_of.starting(&claim, StartMode::Fresh);
    supervisor_of.submit(late).await.expect_refused("stale_attempt");
    let after = supervisor_of.record(run).await;
    assert_eq!((&after.run, after.updated), (&before.run, before.updated));
    assert_eq!(after.run.status.name(), StatusName::Failed);
    assert_eq!(after.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone()), Some(end.outcome.clone()));
    let attempts = std::fs::read_dir(place.runs().join(run.to_string())).unwrap().count();
    assert_eq!(attempts, 1, "nothing was spawned for it");
    engine.close().await.unwrap();
}
