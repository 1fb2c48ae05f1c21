use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tachograph_adapters::process::{
    ATTEMPT_VARIABLE, AttemptDirectory, ExitRecord, Identity, Launch, ProcessIdentity, RecoveryReport,
};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Diagnostics, Digest, Drain, ExitStatus, Failure, FailureKind, Ordinal,
    Outcome, OutputReceipt, RunId, RunSpec, RunnerId, StartMode, Status, StreamReceipt, Witness,
};

use crate::support::{Bench, sh, status};

/// An attempt as a supervisor leaves it that dies at once.
struct Lost {
    run: RunId,
    attempt: AttemptId,
    runner: RunnerId,
    directory: AttemptDirectory,
}

impl Lost {
    async fn of(bench: &Bench, runner: &str) -> Self {
        let run = bench.runner.create(sh("exit 0")).await.unwrap();
        let attempt = AttemptId::from_ulid(bench.engine.mint());
        let runner = RunnerId::from(runner);
        let actor = Actor::new(ActorKind::Supervisor, runner.as_str());
        let start = Action::Start { attempt, runner: runner.clone(), mode: StartMode::Fresh };
        let answer = bench.engine.submit(bench.engine.command(run, actor, start)).await.unwrap();
        assert!(answer.outcome.written().is_some(), "{answer:?}");
        let directory = AttemptDirectory::of(&bench.data.path().join("runs"), run, Ordinal(1));
        Self { run, attempt, runner, directory }
    }

    /// With the directory that it got as far as.
    async fn with_directory(bench: &Bench) -> Self {
        let lost = Self::of(bench, "process/host/1/former").await;
        std::fs::create_dir_all(lost.directory.path()).unwrap();
        lost
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn identity(&self, supervisor: &ProcessIdentity, process: Option<&ProcessIdentity>) {
        let identity = serde_json::json!({
            "format": 1, "run": self.run.to_string(), "attempt": self.attempt.to_string(), "ordinal": 1,
            "runner": self.runner.as_str(), "supervisor": supervisor, "argv_blake3": Digest::ZERO.to_string(),
            "process": process,
        });
        self.file("identity.json", &identity.to_string());
        assert!(Identity::read(&self.directory, self.run, self.attempt).unwrap().is_some());
    }

    fn record(&self, failure: Option<(String, String)>, runner: Option<RunnerId>) -> ExitRecord {
        let stream = StreamReceipt { bytes: 3, digest: Digest([3; 32]) };
        let output = Some(OutputReceipt { stdout: stream, stderr: stream, drain: Drain::Drained });
        let status = ExitStatus::Code(17);
        ExitRecord {
            run: self.run,
            attempt: self.attempt,
            runner,
            status,
            output,
            failure,
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
        }
    }

    async fn failure(&self, bench: &Bench) -> Failure {
        let record = bench.record(self.run).await;
        match record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone()) {
            Some(Outcome::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }
}

/// A process that ended, and one that had its pid's number but not its start.
fn gone() -> ProcessIdentity {
    let me = ProcessIdentity::of(std::process::id()).unwrap();
    ProcessIdentity { start_ticks: me.start_ticks + 1, ..me }
}

/// A process of the test that waits for its standard input. It has begun: during an exec there is no environment.
fn sleeper(attempt: Option<AttemptId>) -> std::process::Child {
    let mut command = Command::new("sh");
    if let Some(attempt) = attempt {
        command.env(ATTEMPT_VARIABLE, attempt.to_string());
    }
    command.args(["-c", "echo ready; read line; exit 33"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    child
}

fn wake(mut child: std::process::Child) -> Option<i32> {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap().code()
}

#[tokio::test]
async fn an_open_attempt_without_a_trace_failed_and_no_code_is_guessed() {
    let bench = Bench::open().await;
    let lost = Lost::of(&bench, "process/host/1/former").await;
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.failed, [(lost.run, FailureKind::SupervisorLost)]);
    let failure = lost.failure(&bench).await;
    assert_eq!(failure.diagnostics.facts["process"], "no identity on disk");
    assert_eq!(failure.diagnostics.facts["exit_record"], "absent");
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Failed"]);
    assert_eq!(bench.runner.recover().await.unwrap(), RecoveryReport::default(), "once");
}

#[tokio::test]
async fn the_failure_tells_what_is_on_disk() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), Some(&gone()));
    lost.file("stdout", "one\ntwo\n");
    lost.file("stderr", "");
    bench.runner.recover().await.unwrap();
    let diagnostics = lost.failure(&bench).await.diagnostics;
    assert_eq!(diagnostics.last_output, ["stdout: one", "stdout: two"]);
    assert_eq!(diagnostics.facts["stdout_bytes_on_disk"], "8");
    assert!(diagnostics.facts["process"].ends_with("gone"), "{diagnostics:?}");
    assert!(diagnostics.alive.is_empty());
}

#[tokio::test]
async fn the_former_supervisors_own_word_counts() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.record(None, Some(lost.runner.clone())).write(&lost.directory).unwrap();
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.exited, [(lost.run, ExitStatus::Code(17))]);
    let record = bench.record(lost.run).await;
    let Some(Outcome::Exited { exit, .. }) = &record.run.attempt.as_ref().unwrap().outcome else {
        panic!("{record:?}")
    };
    assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(17), Witness::ExitFile));
    assert_eq!(exit.output.as_ref().unwrap().stdout.bytes, 3);
}

#[tokio::test]
async fn a_failure_that_was_seen_and_not_recorded_stays_that_failure() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let failure = Some(("timed_out".to_owned(), "ran longer".to_owned()));
    lost.record(failure, Some(lost.runner.clone())).write(&lost.directory).unwrap();
    bench.runner.recover().await.unwrap();
    let failure = lost.failure(&bench).await;
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::TimedOut, "ran longer"));
    assert_eq!(failure.diagnostics.facts["exit_status"], "code 17");
}

#[tokio::test]
async fn a_guests_or_foreign_word_does_not() {
    let bench = Bench::open().await;
    let (guest, stale, text) =
        (Lost::with_directory(&bench).await, Lost::with_directory(&bench).await, Lost::with_directory(&bench).await);
    guest.record(None, None).write(&guest.directory).unwrap();
    let foreign = ExitRecord { run: guest.run, ..stale.record(None, Some(stale.runner.clone())) };
    foreign.write(&stale.directory).unwrap();
    text.file("exit.json", "succeeded");
    let report = bench.runner.recover().await.unwrap();
    assert!(report.exited.is_empty(), "{report:?}");
    for (lost, told) in [(guest, "a claim of code 17"), (stale, "is about run"), (text, "is no exit record")] {
        let failure = lost.failure(&bench).await;
        assert_eq!(failure.kind, FailureKind::SupervisorLost);
        let fact = &failure.diagnostics.facts["exit_record"];
        assert!(fact.contains(told), "{fact}");
    }
}

#[tokio::test]
async fn a_process_that_is_still_alive_is_named_and_not_touched() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    bench.runner.recover().await.unwrap();
    let diagnostics = lost.failure(&bench).await.diagnostics;
    assert_eq!(diagnostics.alive, [format!("process {}", child.id())]);
    assert!(diagnostics.facts["process"].ends_with("alive"), "{diagnostics:?}");
    assert_eq!(wake(child), Some(33));
}

#[tokio::test]
async fn a_process_that_was_spawned_and_never_noted_is_found_by_its_environment() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), None);
    let child = sleeper(Some(lost.attempt));
    bench.runner.recover().await.unwrap();
    let diagnostics = lost.failure(&bench).await.diagnostics;
    assert_eq!(diagnostics.alive, [format!("process {}", child.id())]);
    assert_eq!(diagnostics.facts["process"], "none recorded");
    assert_eq!(wake(child), Some(33));
}

#[tokio::test]
async fn what_somebody_alive_supervises_is_left_alone() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let own = bench.sh(&format!("read line < {}; exit 8", go.path())).await;
    let other_kind = Lost::of(&bench, "vm-agent-7").await;
    let elsewhere = Lost::with_directory(&bench).await;
    let supervisor = sleeper(None);
    elsewhere.identity(&ProcessIdentity::of(supervisor.id()).unwrap(), None);
    let report = bench.runner.recover().await.unwrap();
    assert!(report.exited.is_empty() && report.failed.is_empty(), "{report:?}");
    let told = format!("its supervisor, pid {}, is alive", supervisor.id());
    assert_eq!(report.left_alone, [(elsewhere.run, told)]);
    for run in [own.run(), other_kind.run, elsewhere.run] {
        assert_eq!(bench.record(run).await.run.status, Status::Started);
    }
    go.release().await;
    assert_eq!(status(&own).await, ExitStatus::Code(8));
    wake(supervisor);
    // Now nobody does.
    assert_eq!(bench.runner.recover().await.unwrap().failed, [(elsewhere.run, FailureKind::SupervisorLost)]);
}

#[tokio::test]
async fn a_run_that_was_never_started_gives_its_name_back() {
    let bench = Bench::open().await;
    let named = || RunSpec { name: Some("build".to_owned()), ..sh("exit 0") };
    let run = bench.runner.create(named()).await.unwrap();
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.failed, [(run, FailureKind::StartAbandoned)]);
    let again = bench.launch(named(), Launch::default()).await;
    assert_eq!(status(&again).await, ExitStatus::Code(0));
}

#[tokio::test]
async fn two_recoveries_at_once_record_one_end() {
    let bench = Bench::open().await;
    let lost = Lost::of(&bench, "process/host/1/former").await;
    let runner = Arc::new(bench.runner.clone());
    let (one, two) = tokio::join!(runner.recover(), runner.recover());
    assert!(one.unwrap().failed.len() + two.unwrap().failed.len() >= 1);
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Failed"]);
}
