//! A4: a start times out, and the guard that cleans up after it deletes the record: the disks stay, the run is gone,
//! and nobody can say why. (The companion, a reaper that steals exit codes, has a test program of its own.)

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tachograph_adapters::process::{Launch, NotReady, ReadyCheck, ReadyProbe};
use tachograph_engine::domain::{Action, Diagnostics, Failure, FailureKind, Outcome, RunSpec, StatusName};
use tachograph_tests::commands::{begin, command, runner, script};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::{Expect, supervisor};
use tachograph_tests::{Place, Supervisor};

fn timeout() -> Failure {
    let facts = [("shim", "alive"), ("console_bytes", "0"), ("ready_socket", "absent")];
    Failure {
        kind: FailureKind::StartTimeout,
        message: "not ready within 30 s".to_owned(),
        diagnostics: Diagnostics {
            alive: vec!["process group 4711".to_owned()],
            last_output: vec!["[    0.0] booting".to_owned()],
            likely_cause: Some("the guest kernel did not find its root disk".to_owned()),
            facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        },
    }
}

#[tokio::test]
async fn a_start_that_times_out_is_kept_with_its_evidence_and_only_destroy_removes_it() {
    let place = Place::new(221);
    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let mut ledger = Ledger::default();
    let run = supervisor_of.create(Some("box")).await;
    let claim = supervisor_of.claim(run, "shim-1");
    let row = ledger.insert("box", None);
    ledger.write(row, "disk", "root");

    // Thirty seconds pass, and the guard acts.
    place.clock.advance(Duration::from_secs(30));
    let failing = Action::Fail { claim: claim.clone(), failure: timeout() };
    supervisor_of.tell(supervisor(), run, failing).await.expect_written();
    ledger.start_failed_with_guard(row);
    assert_eq!(ledger.select(row), None, "naive: the user's box is gone, and with it the reason");

    // Reopened: all of it is there.
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let record = supervisor_of.record(run).await;
    assert_eq!(record.run.status.name(), StatusName::Failed);
    let attempt = record.run.attempt.clone().unwrap();
    assert_eq!((attempt.id, attempt.outcome), (claim.attempt, Some(Outcome::Failed(timeout()))));

    // Destroying it is somebody's decision, and leaves the history.
    supervisor_of.destroy(run, false).await.expect_written();
    assert_eq!(supervisor_of.status(run).await, StatusName::Destroyed);
    assert_eq!(supervisor_of.events(run).await.len(), 3);
    engine.close().await.unwrap();
}

/// The same with a real process, and nobody who would have to remember to record it: the runner's own guard does.
#[tokio::test]
async fn a_process_that_does_not_get_ready_is_ended_and_recorded_and_its_files_stay() {
    let place = Place::new(223);
    let (engine, _) = place.open().await;
    let runner = runner(&engine, &place);
    let mut ledger = Ledger::default();
    let row = ledger.insert("box", None);
    let spec = RunSpec { name: Some("box".to_owned()), ..script("echo root > $TACHO_RUN_DIR/disk; exec sleep 600") };
    let within = Duration::from_secs(30);
    let ready = Some(ReadyCheck { probe: ReadyProbe::File("ready.sock".into()), within });
    let (run, handle) = begin(&runner, spec, Launch { ready, ..Launch::default() }).await;
    let disk = handle.directory().unwrap().join("disk");
    // It is there before anything is in it.
    let is_written = || std::fs::read_to_string(&disk).is_ok_and(|text| !text.is_empty());
    let written = async {
        while !is_written() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tachograph_tests::within("what the process writes", written).await;

    place.clock.until_asleep(1).await;
    place.clock.advance(within);
    ledger.start_failed_with_guard(row);
    assert_eq!(ledger.select(row), None, "naive: the box is gone");
    assert!(matches!(handle.ready().await, Err(NotReady::TimedOut { .. })));
    let pid = handle.pid().unwrap();
    engine.close().await.unwrap();

    let (engine, _) = place.open().await;
    let supervisor_of = Supervisor::of(&engine);
    let attempt = supervisor_of.record(run).await.run.attempt.clone().unwrap();
    let Some(Outcome::Failed(failure)) = attempt.outcome else { panic!("{attempt:?}") };
    assert_eq!(failure.kind, FailureKind::StartTimeout);
    let Diagnostics { alive, last_output, likely_cause, facts } = failure.diagnostics;
    assert_eq!((alive, last_output), (vec![format!("process {pid}")], Vec::new()));
    assert!(likely_cause.unwrap().contains("has printed nothing"));
    // It may still wait for the disk that its program comes from.
    assert!(["alive", "alive, waiting for a device"].contains(&&*facts["process"]), "{facts:?}");
    let seen = ["stdout_bytes", "stderr_bytes", "ready_file"].map(|name| facts[name].as_str());
    assert_eq!(seen, ["0", "0", "absent"]);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "no process and no zombie is left");
    assert_eq!(std::fs::read_to_string(&disk).unwrap(), "root\n", "nothing is deleted");
    supervisor_of.destroy(run, false).await.expect_written();
    assert_eq!(supervisor_of.status(run).await, StatusName::Destroyed);
    assert_eq!(supervisor_of.events(run).await.len(), 4, "the history stays");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_command_that_cannot_be_spawned_is_a_failed_attempt_with_kind_and_reason() {
    let place = Place::new(222);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let mut ledger = Ledger::default();
    let plain = place.path().join("plain-file");
    std::fs::write(&plain, "text").unwrap();
    let programs = BTreeMap::from([
        ("/no/such/program", FailureKind::NotFound),
        (plain.to_str().unwrap(), FailureKind::NotExecutable),
    ]);
    for (program, kind) in programs {
        let (run, handle) = begin(&runner, command(&[program]), Launch::default()).await;
        let end = handle.wait().await.unwrap();
        let failure = end.outcome.failure().unwrap_or_else(|| panic!("{program}: {end:?}"));
        assert_eq!(failure.kind, kind, "{program}");
        assert!(failure.message.contains(program), "{failure:?}");
        let recorded = supervisor.record(run).await;
        assert_eq!(recorded.run.status.name(), StatusName::Failed);
        assert_eq!(
            recorded.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone()),
            Some(end.outcome.clone())
        );
        assert_eq!(handle.pid(), None);

        let row = ledger.insert(program, None);
        ledger.start_failed_with_guard(row);
        assert_eq!(ledger.select(row), None, "naive: no trace of it");
    }
    engine.close().await.unwrap();
}
