//! A2: a run directory is named by a row id that was given again, and could not be removed because the old container's
//! mount was still alive. The old `result.json` says 0, the wait says 137, the file is believed. And a guest writes
//! 'succeeded' into its status file while it is still running.

use std::fs;

use tachograph_adapters::process::{EndRecord, Launch};
use tachograph_engine::domain::{ExitStatus, StatusName, Witness};
use tachograph_tests::commands::{begin, ends, exit_of, runner, script, with_latch};
use tachograph_tests::naive::Ledger;
use tachograph_tests::{Latch, Place, Supervisor};

#[tokio::test]
async fn a_file_of_an_old_run_is_neither_met_nor_believed() {
    let place = Place::new(201);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let mut ledger = Ledger::default();

    // The old run ends well, and leaves its directory behind.
    let (old, handle) = begin(&runner, script("exit 0"), Launch::default()).await;
    assert_eq!(exit_of(&handle).await.status, ExitStatus::Code(0));
    let old_record = handle.directory().unwrap().join("exit.json");
    let old_row = ledger.insert("sandbox", None);
    ledger.write(old_row, "result.json", "0");
    ledger.mount(old_row);
    ledger.delete(old_row);

    // The new one is killed. Somebody even put the old record where the new one's would be.
    let killed = "cp \"$OLD\" \"$TACHO_RUN_DIR/exit.json\" && kill -9 $$";
    let launch = Launch { env: vec![("OLD".into(), old_record.into_os_string())], ..Launch::default() };
    let (new, handle) = begin(&runner, script(killed), launch).await;
    let exit = exit_of(&handle).await;
    let row = ledger.insert("sandbox", None);
    ledger.start(row, 701);
    ledger.finish_from_directory(row, 137);

    assert_eq!(row, old_row, "the directory came back with the id");
    assert_eq!(ledger.select(row).unwrap().status, "succeeded", "naive: killed, and succeeded");

    assert_eq!((exit.status, exit.witness), (ExitStatus::Signal(9), Witness::Waited));
    assert!(!handle.directory().unwrap().starts_with(place.runs().join(old.to_string())), "a directory of its own");
    assert_eq!(supervisor.exit_status(new).await, Some(ExitStatus::Signal(9)));
    assert_eq!(supervisor.refusals(new).await, [""; 0], "a file that names another run is no report");
    assert_eq!(supervisor.exit_status(old).await, Some(ExitStatus::Code(0)));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_names_this_attempt_loses_against_the_wait_status_and_the_disagreement_is_recorded() {
    let place = Place::new(202);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let mut ledger = Ledger::default();

    let claim = r#"{"run":"%s","attempt":"%s","status":{"code":0}}"#;
    let lying = format!(
        "printf '{claim}' \"$TACHO_RUN_ID\" \"$TACHO_ATTEMPT_ID\" > \"$TACHO_RUN_DIR/exit.json\" && kill -9 $$"
    );
    let (run, handle) = begin(&runner, script(&lying), Launch::default()).await;
    let end = handle.wait().await.unwrap();
    let row = ledger.insert("sandbox", None);
    ledger.start(row, 700);
    ledger.write(row, "result.json", "0");
    ledger.finish_from_directory(row, 137);

    assert_eq!(ledger.select(row).unwrap().exit_code, Some(0), "naive: the file outranks the wait");

    assert!(matches!(end.record, EndRecord::Written { .. }), "{end:?}");
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Signal(9)));
    assert_eq!(supervisor.refusals(run).await, ["conflicting_terminal"]);
    assert!(fs::exists(handle.directory().unwrap().join("exit.claim.json")).unwrap(), "kept as evidence");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn what_the_guest_writes_while_it_runs_is_text() {
    let place = Place::new(203);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let mut ledger = Ledger::default();
    let latch = Latch::default();

    let boasting = "cd \"$TACHO_RUN_DIR\" && echo succeeded | tee status > exit.json && read go < \"$LATCH\"; exit 3";
    let (run, handle) = begin(&runner, script(boasting), with_latch(&latch)).await;
    let waiting = latch.reached().await;
    let row = ledger.insert("sandbox", None);
    ledger.start(row, 700);
    ledger.write(row, "status", "succeeded\n");
    ledger.poll_status_file(row);

    assert_eq!(ledger.select(row).unwrap().status, "succeeded", "naive: a guest's word is a transition");
    assert!(ledger.is_alive(row));

    assert_eq!(fs::read(handle.directory().unwrap().join("status")).unwrap(), b"succeeded\n");
    assert_eq!(supervisor.status(run).await, StatusName::Started);
    waiting.release();
    assert_eq!(exit_of(&handle).await.status, ExitStatus::Code(3));
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Code(3)));
    assert_eq!(ends(&supervisor.events(run).await), 1);
    assert_eq!(supervisor.refusals(run).await, [""; 0]);
    engine.close().await.unwrap();
}
