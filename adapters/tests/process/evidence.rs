use std::time::{Duration, Instant};

use tachograph_adapters::process::{AttemptDirectory, ExitRecord};
use tachograph_engine::domain::{Action, Drain, ExitStatus, Ordinal, Refusal, RefusedCommand, Witness};

use crate::support::{Bench, HANG, digest, exists, exit, file};

/// A script that writes an exit record of its own and then dies by a signal.
fn forger(run: &str, attempt: &str, status: &str) -> String {
    format!(
        r#"echo '{{"run":"'{run}'","attempt":"'{attempt}'","status":{status}}}' > "$TACHO_RUN_DIR/exit.json"; kill -9 $$"#
    )
}

#[tokio::test]
async fn the_wait_status_outranks_a_file_and_the_disagreement_is_recorded() {
    let bench = Bench::open().await;
    let handle = bench.sh(&forger("$TACHO_RUN_ID", "$TACHO_ATTEMPT_ID", r#"{"code":0}"#)).await;
    let end = handle.wait().await.unwrap();
    assert_eq!((&exit(&end).status, exit(&end).witness), (&ExitStatus::Signal(9), Witness::Waited));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    let refusals = bench.refusals(handle.run()).await;
    assert_eq!(refusals.len(), 1);
    assert!(matches!(refusals[0].refusal, Refusal::ConflictingTerminal { .. }), "{:?}", refusals[0]);
    let RefusedCommand::Whole(command) = &refusals[0].command else { panic!("{:?}", refusals[0]) };
    let Action::Exit { exit: claimed, .. } = &command.action else { panic!("{command:?}") };
    assert_eq!((&claimed.status, claimed.witness), (&ExitStatus::Code(0), Witness::ExitFile));
    assert!(String::from_utf8_lossy(&file(&handle, "exit.claim.json")).contains("\"code\":0"), "kept as it was");
}

#[tokio::test]
async fn a_file_that_names_another_attempt_or_nothing_does_not_count() {
    let bench = Bench::open().await;
    let other = "00000000000000000000000001";
    for script in [
        forger(other, "$TACHO_ATTEMPT_ID", r#"{"code":0}"#),
        forger("$TACHO_RUN_ID", other, r#"{"code":0}"#),
        forger("$TACHO_RUN_ID", "$TACHO_ATTEMPT_ID", r#""succeeded""#),
        "echo succeeded > $TACHO_RUN_DIR/exit.json; kill -9 $$".to_owned(),
    ] {
        let handle = bench.sh(&script).await;
        assert_eq!(exit(&handle.wait().await.unwrap()).status, ExitStatus::Signal(9));
        assert!(bench.refusals(handle.run()).await.is_empty(), "{script}");
        assert!(exists(&handle.directory().unwrap().join("exit.claim.json")), "{script}");
    }
}

#[tokio::test]
async fn a_file_that_agrees_needs_no_second_record() {
    let bench = Bench::open().await;
    let handle = bench.sh(&forger("$TACHO_RUN_ID", "$TACHO_ATTEMPT_ID", r#"{"signal":9}"#)).await;
    handle.wait().await.unwrap();
    assert!(bench.refusals(handle.run()).await.is_empty());
}

#[tokio::test]
async fn the_end_is_on_disk_with_its_receipt() {
    let bench = Bench::open().await;
    let handle = bench.sh("echo out; exit 5").await;
    handle.wait().await.unwrap();
    let directory = AttemptDirectory::of(&bench.data.path().join("runs"), handle.run(), Ordinal(1));
    let record = ExitRecord::read(&directory.exit_record(), handle.run(), handle.attempt()).unwrap().unwrap();
    assert!(record.is_word_of(bench.runner.runner()));
    assert_eq!((&record.status, &record.failure), (&ExitStatus::Code(5), &None));
    let output = record.output.unwrap();
    assert_eq!((output.stdout.bytes, output.stdout.digest), (4, digest(b"out\n")));
    assert_eq!(output.drain, Drain::Drained);
}

#[tokio::test]
async fn nobody_is_told_of_an_end_that_is_not_durable() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("read line < {}; exit 5", go.path())).await;
    bench.gate.send_replace(false);
    go.release().await;
    let path = handle.directory().unwrap().join("exit.json");
    let begun = Instant::now();
    while !exists(&path) && begun.elapsed() < HANG {
        tokio::task::yield_now().await;
    }
    // The record is on disk, and the report on its way: from here on it would be told, if it were told too early.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
        assert!(handle.ended().is_none());
    }
    bench.gate.send_replace(true);
    assert_eq!(exit(&handle.wait().await.unwrap()).status, ExitStatus::Code(5));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

#[tokio::test]
async fn an_exit_is_on_disk_while_its_output_is_awaited() {
    let (bench, clock) = Bench::manual().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("( read line < {} ) & exit 5", go.path())).await;
    handle.exited().await;
    clock.advance(Duration::from_millis(20));
    let path = handle.directory().unwrap().join("exit.json");
    let begun = Instant::now();
    while !exists(&path) && begun.elapsed() < HANG {
        tokio::task::yield_now().await;
    }
    let record = ExitRecord::read(&path, handle.run(), handle.attempt()).unwrap().unwrap();
    assert_eq!((&record.status, &record.output), (&ExitStatus::Code(5), &None));
    assert!(record.is_word_of(bench.runner.runner()) && handle.ended().is_none());
    go.release().await;
    handle.wait().await.unwrap();
    let record = ExitRecord::read(&path, handle.run(), handle.attempt()).unwrap().unwrap();
    assert!(record.output.is_some(), "and with its receipt later");
}
