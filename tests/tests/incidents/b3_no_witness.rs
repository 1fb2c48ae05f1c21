//! B3: a child will exit with 42. Another reaper takes its status first, or the supervisor crashes and recovery finds
//! neither process nor record: 0 is written down, or -1, or it runs for ever.

use tachograph_adapters::process::Launch;
use tachograph_engine::domain::{Action, Actor, ActorKind, AttemptId, ExitStatus, Outcome, RunId, StatusName, Witness};
use tachograph_engine::shell::{Engine, Options};
use tachograph_tests::commands::{begin, exit_of, exit_record, runner, script, with_latch};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::Expect;
use tachograph_tests::{Gate, Latch, Place, Supervisor};

fn naive() -> Option<i32> {
    let mut ledger = Ledger::default();
    let row = ledger.insert("child", None);
    ledger.start(row, 700);
    ledger.crash_and_restart();
    ledger.recover_vanished(row);
    ledger.select(row).unwrap().exit_code
}

/// An authentic record fills in what is not known, once.
async fn assert_amended_once(supervisor: &Supervisor, run: RunId, attempt: AttemptId) {
    let recovery = Actor::new(ActorKind::Recovery, "recovery");
    let amend = |code| Action::AmendExit { attempt, status: ExitStatus::Code(code), source: "exit.json".to_owned() };
    supervisor.tell(recovery.clone(), run, amend(42)).await.expect_written();
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Code(42)));
    supervisor.tell(recovery, run, amend(0)).await.expect_refused("not_amendable");
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Code(42)));
}

#[tokio::test]
async fn by_its_own_handle_the_code_is_42() {
    let place = Place::new(241);
    let (engine, _) = place.open().await;
    let (run, handle) = begin(&runner(&engine, &place), script("exit 42"), Launch::default()).await;
    let exit = exit_of(&handle).await;
    assert_eq!((exit.status, exit.witness), (ExitStatus::Code(42), Witness::Waited));
    assert_eq!(Supervisor::of(&engine).exit_status(run).await, Some(ExitStatus::Code(42)));
    engine.close().await.unwrap();
}

/// The thief waits on the only thread that could have waited properly, so it always wins.
#[tokio::test(flavor = "current_thread")]
async fn a_stolen_status_is_unknown_and_never_invented() {
    assert_eq!(naive(), Some(0), "naive: a status that nobody saw is a success");

    let place = Place::new(242);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let latch = Latch::default();
    let runner = runner(&engine, &place);
    let (run, handle) = begin(&runner, script("read go < \"$LATCH\"; exit 42"), with_latch(&latch)).await;
    latch.reached().await.release();
    let pid = rustix::process::Pid::from_raw(handle.pid().unwrap().cast_signed()).unwrap();
    let stolen = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    assert_eq!(stolen.and_then(|(_, status)| status.exit_status()), Some(42));

    let exit = exit_of(&handle).await;
    assert!(matches!(&exit.status, ExitStatus::Unknown { cause } if !cause.is_empty()), "{exit:?}");
    assert_ne!(exit.witness, Witness::Waited);
    assert_eq!(supervisor.status(run).await, StatusName::Exited, "the end is certain");
    assert_amended_once(&supervisor, run, handle.attempt()).await;
    engine.close().await.unwrap();
}

#[tokio::test]
async fn after_a_crash_without_process_and_record_the_run_is_lost_and_not_succeeded() {
    assert_eq!(naive(), Some(0), "naive: 0 again");

    let place = Place::new(243);
    let (engine, _) = place.open().await;
    let latch = Latch::default();
    let held = script("echo last words; read go < \"$LATCH\"; exit 42");
    let (run, handle) = begin(&runner(&engine, &place), held, with_latch(&latch)).await;
    let waiting = latch.reached().await;
    let crashed = place.crashed();
    // The child ends while nobody looks: in the crashed place there is neither process nor record.
    waiting.release();
    exit_of(&handle).await;
    engine.close().await.unwrap();

    let (engine, report) = crashed.open().await;
    assert_eq!(report.open_runs, [run]);
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &crashed);
    let recovered = runner.recover().await.unwrap();
    assert_eq!(recovered.unknown.len(), 1, "{recovered:?}");
    let status = supervisor.exit_status(run).await;
    assert!(matches!(&status, Some(ExitStatus::Unknown { cause }) if !cause.is_empty()), "{status:?}");
    assert_eq!(runner.recover().await.unwrap(), tachograph_adapters::process::AdoptionReport::default());
    assert_amended_once(&supervisor, run, handle.attempt()).await;
    engine.close().await.unwrap();
}

/// The supervisor had seen the end and written it beside the run, and crashed before it was in the journal.
#[tokio::test]
async fn after_a_crash_with_the_supervisors_own_record_the_code_is_42() {
    let place = Place::new(244);
    let gate = Gate::default();
    let mut parts = place.parts().unwrap();
    parts.journal = gate.before(parts.journal);
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    let latch = Latch::default();
    let held = script("read go < \"$LATCH\"; exit 42");
    let (run, handle) = begin(&runner(&engine, &place), held, with_latch(&latch)).await;
    let waiting = latch.reached().await;
    gate.hold();
    waiting.release();
    gate.until_waiting().await;
    assert!(exit_record(&handle).is_some(), "on disk before it is in the journal");
    let crashed = place.crashed();
    gate.release();
    exit_of(&handle).await;
    engine.close().await.unwrap();

    let (engine, _) = crashed.open().await;
    let supervisor = Supervisor::of(&engine);
    let recovered = runner(&engine, &crashed).recover().await.unwrap();
    assert_eq!(recovered.exited, [(run, ExitStatus::Code(42))]);
    let record = supervisor.record(run).await;
    match record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref()) {
        Some(Outcome::Exited { exit, amended: None }) => {
            assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(42), Witness::ExitFile));
        }
        other => panic!("{other:?}"),
    }
    engine.close().await.unwrap();
}
