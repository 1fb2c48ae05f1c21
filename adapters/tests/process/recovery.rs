use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tachograph_adapters::process::{
    ATTEMPT_VARIABLE, AdoptionReport, AttemptDirectory, ExitRecord, Identity, Launch, ProcessIdentity, foresee,
};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Diagnostics, Digest, Drain, Event, ExitStatus, Failure, FailureKind,
    Finding, Ordinal, Outcome, OutputReceipt, ResourceLimits, RunId, RunSpec, RunnerId, StartMode, Status,
    StreamReceipt, Witness, Workload,
};

use crate::support::{Bench, HANG, LONG, program, sh, status};

/// An attempt as a supervisor leaves it that dies at once.
struct Lost {
    run: RunId,
    attempt: AttemptId,
    runner: RunnerId,
    directory: AttemptDirectory,
}

impl Lost {
    async fn of(bench: &Bench, runner: &str) -> Self {
        Self::of_spec(bench, runner, sh("exit 0")).await
    }

    async fn of_spec(bench: &Bench, runner: &str, spec: RunSpec) -> Self {
        let run = bench.runner.create(spec).await.unwrap();
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
            left_out: None,
        }
    }

    /// What was found about it, and the cause of its unknown end.
    async fn unknown(&self, bench: &Bench) -> (Finding, String, String) {
        let events = bench.events(self.run).await;
        let found = events.iter().rev().find_map(|event| match event {
            Event::Reconciled { finding, detail, .. } => Some((*finding, detail.clone())),
            _ => None,
        });
        let Some(Event::Exited { exit, .. }) = events.last() else { panic!("{events:?}") };
        assert_eq!((exit.witness, &exit.output), (Witness::Synthesised, &None));
        let ExitStatus::Unknown { cause } = &exit.status else { panic!("{exit:?}") };
        let (finding, detail) = found.unwrap();
        (finding, detail, cause.clone())
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
    command
        .args(["-c", "echo ready; read line; exit 33"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
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
async fn an_open_attempt_without_a_trace_ended_and_no_code_is_guessed() {
    let bench = Bench::open().await;
    let lost = Lost::of(&bench, "process/host/1/former").await;
    let report = bench.runner.recover().await.unwrap();
    let cause = "its supervisor went away, and nothing on disk tells what became of it";
    assert_eq!(report, AdoptionReport { unknown: vec![(lost.run, cause.to_owned())], ..Default::default() });
    let (finding, detail, told) = lost.unknown(&bench).await;
    assert_eq!((finding, told.as_str()), (Finding::Lost, cause));
    assert_eq!(detail, "no directory; exit record: absent; output on disk: no file and no file bytes");
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Reconciled", "Exited"]);
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default(), "once");
}

#[tokio::test]
async fn a_directory_without_an_identity_shows_that_nothing_was_executed() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.failed, [(lost.run, FailureKind::StartAbandoned)]);
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Reconciled", "Failed"]);
}

#[tokio::test]
async fn the_finding_tells_what_is_on_disk() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), Some(&gone()));
    lost.file("stdout", "one\ntwo\n");
    lost.file("stderr", "");
    bench.runner.recover().await.unwrap();
    let (finding, detail, cause) = lost.unknown(&bench).await;
    assert_eq!((finding, cause.as_str()), (Finding::Lost, "its supervisor went away, and nobody saw its end"));
    let process = format!("no shim, process {} gone", gone().pid);
    let told = format!("{process}; exit record: absent; output on disk: 8 and 0 bytes; last words: stdout: two");
    assert_eq!(detail, told);
}

#[tokio::test]
async fn last_words_that_would_fill_the_terminal_are_told_in_part() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), Some(&gone()));
    lost.file("stdout", &"\0".repeat(1_000));
    let foresight = foresee(&bench.data.path().join("runs"), [&bench.record(lost.run).await.run], &BTreeSet::new());
    let evidence = &foresight.open[0].evidence;
    let shown: usize = evidence.chars().map(|char| char.escape_default().len()).sum();
    assert!(shown < 400 && evidence.ends_with(" bytes more)"), "{shown} columns: {evidence:?}");
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
    [&guest, &stale, &text].iter().for_each(|lost| lost.identity(&gone(), Some(&gone())));
    guest.record(None, None).write(&guest.directory).unwrap();
    let foreign = ExitRecord { run: guest.run, ..stale.record(None, Some(stale.runner.clone())) };
    foreign.write(&stale.directory).unwrap();
    text.file("exit.json", "succeeded");
    let report = bench.runner.recover().await.unwrap();
    assert!(report.exited.is_empty(), "{report:?}");
    for (lost, told) in [(guest, "a claim of code 17"), (stale, "is about run"), (text, "is no exit record")] {
        let (_, detail, cause) = lost.unknown(&bench).await;
        assert!(detail.contains(told), "{detail}");
        assert_eq!(cause, "its supervisor went away, and nobody saw its end");
    }
}

#[tokio::test]
async fn a_child_without_a_shim_that_is_certainly_itself_is_followed_to_its_end() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    let report = bench.runner.recover().await.unwrap();
    let adopted = vec![(lost.run, lost.attempt)];
    assert_eq!(report, AdoptionReport { adopted, ..Default::default() });
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default(), "it is under way here");
    let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
    assert!(handle.is_adopted());
    assert_eq!(handle.pid(), Some(child.id()));
    assert_eq!(wake(child), Some(33));
    let end = handle.wait().await.unwrap();
    assert!(matches!(&end.outcome, Outcome::Exited { exit, .. } if exit.status != ExitStatus::Code(33)), "{end:?}");
    let (finding, _, cause) = lost.unknown(&bench).await;
    assert_eq!((finding, cause.as_str()), (Finding::Lost, "its supervisor went away, and nobody saw its end"));
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Reconciled", "Reconciled", "Exited"]);
}

#[tokio::test]
async fn what_is_adopted_can_be_asked_to_end() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let mut child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    bench.runner.recover().await.unwrap();
    let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
    handle.terminate(LONG);
    // Its standard input stays open, or it would end by that.
    let input = child.stdin.take();
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(ended.signal(), Some(15));
    drop(input);
    handle.wait().await.unwrap();
}

/// A crash between a wait and the arming of its snapshot.
#[tokio::test]
async fn a_wait_that_is_adopted_gets_the_snapshot_that_it_was_never_armed() {
    for delay_ms in [None, Some(3_600_000)] {
        let bench = Bench::open().await;
        let lost = Lost::with_directory(&bench).await;
        let child = sleeper(Some(lost.attempt));
        lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
        let path = lost.directory.identity();
        let mut identity: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        identity["snapshot_delay_ms"] = delay_ms.into();
        std::fs::write(&path, identity.to_string()).unwrap();
        let claim = Claim { run: lost.run, attempt: lost.attempt, runner: lost.runner.clone() };
        let wait = Action::Wait { claim, on: "a review".to_owned(), deadline: None };
        let actor = Actor::new(ActorKind::Runner, lost.runner.as_str());
        let answer = bench.engine.submit(bench.engine.command(lost.run, actor, wait)).await.unwrap();
        assert!(answer.outcome.written().is_some(), "{answer:?}");
        let waited = bench.record(lost.run).await.updated_at;
        assert_eq!(bench.runner.recover().await.unwrap().adopted.len(), 1);
        let armed = bench.record(lost.run).await.run.armed.clone();
        let due = delay_ms.map(|delay_ms| waited.plus_millis(delay_ms));
        assert_eq!(armed.as_ref().map(|armed| armed.due), due);
        let version = bench.record(lost.run).await.run.version;
        // The next supervisor has nothing to add but that it follows it.
        bench.runner.let_go().await;
        assert_eq!(bench.runner.recover().await.unwrap().adopted.len(), 1);
        assert_eq!(
            (bench.record(lost.run).await.run.armed.clone(), bench.record(lost.run).await.run.version),
            (armed, version)
        );
        let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
        assert_eq!(wake(child), Some(33));
        handle.wait().await.unwrap();
    }
}

#[tokio::test]
async fn a_wall_clock_limit_goes_on_from_the_start_of_what_is_adopted() {
    let (bench, clock) = Bench::manual().await;
    let limits = ResourceLimits { wall_ms: Some(10_000), ..ResourceLimits::default() };
    let spec = RunSpec { limits, ..sh("exit 0") };
    let lost = Lost::of_spec(&bench, "process/host/1/former", spec).await;
    std::fs::create_dir_all(lost.directory.path()).unwrap();
    let mut child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    clock.advance(std::time::Duration::from_secs(6));
    bench.runner.recover().await.unwrap();
    let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
    clock.advance(std::time::Duration::from_secs(4));
    // Its standard input stays open, or it would end by that.
    let input = child.stdin.take();
    let pid = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let ended = tokio::time::timeout(HANG, ended).await;
    if ended.is_err() {
        drop(input);
        panic!("process {pid} runs on beyond its limit");
    }
    assert_eq!(ended.unwrap().unwrap().signal(), Some(15));
    handle.wait().await.unwrap();
    let failure = lost.failure(&bench).await;
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert!(failure.message.contains("its limit of 10000 ms"), "{}", failure.message);
}

#[tokio::test]
async fn what_is_let_go_goes_on_and_is_found_by_the_next() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    bench.runner.recover().await.unwrap();
    let first = bench.runner.handle(lost.run, lost.attempt).unwrap();
    assert_eq!(bench.runner.let_go().await, 1);
    assert!(first.wait().await.is_err(), "nobody follows it");
    assert_eq!(bench.record(lost.run).await.run.status, Status::Started);
    assert_eq!(bench.runner.recover().await.unwrap().adopted, [(lost.run, lost.attempt)]);
    let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
    assert_eq!(wake(child), Some(33));
    handle.wait().await.unwrap();
}

#[tokio::test]
async fn a_stranger_with_the_same_pid_is_neither_adopted_nor_touched() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let stranger = sleeper(None);
    let of_old = ProcessIdentity::of(stranger.id()).unwrap();
    lost.identity(&gone(), Some(&ProcessIdentity { start_ticks: of_old.start_ticks - 1, ..of_old }));
    let report = bench.runner.recover().await.unwrap();
    assert_eq!((report.adopted.len(), report.orphans.len(), report.unknown.len()), (0, 0, 1));
    assert_eq!(wake(stranger), Some(33));
}

#[tokio::test]
async fn another_boot_is_said_so_whatever_has_the_pid_now() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let stranger = sleeper(None);
    let boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
    let of_old = |pid| ProcessIdentity { boot_id: boot_id.clone(), ..ProcessIdentity::of(pid).unwrap() };
    lost.identity(&of_old(std::process::id()), Some(&of_old(stranger.id())));
    bench.runner.recover().await.unwrap();
    let (finding, detail, cause) = lost.unknown(&bench).await;
    assert_eq!((finding, cause.as_str()), (Finding::Lost, "the machine was started anew while it was open"));
    assert!(detail.starts_with("of another boot; "), "{detail}");
    assert_eq!(wake(stranger), Some(33));
}

#[tokio::test]
async fn a_process_that_was_spawned_and_never_noted_is_an_orphan_and_not_touched() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), None);
    let child = sleeper(Some(lost.attempt));
    let report = bench.runner.recover().await.unwrap();
    let (finding, detail, cause) = lost.unknown(&bench).await;
    assert_eq!(report.orphans, [(lost.run, detail.clone())]);
    assert_eq!(finding, Finding::Orphan);
    assert!(detail.contains(&format!("alive with its id: process {}", child.id())), "{detail}");
    assert!(cause.ends_with(&format!("process {}", child.id())), "{cause}");
    assert_eq!(wake(child), Some(33));
}

#[tokio::test]
async fn a_record_that_comes_to_light_fills_an_unknown_end_once() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    lost.identity(&gone(), Some(&gone()));
    assert_eq!(bench.runner.recover().await.unwrap().unknown.len(), 1);
    let foreign = RunnerId::from("process/host/2/foreign");
    lost.record(None, Some(foreign)).write(&lost.directory).unwrap();
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default(), "not its runner's word");
    lost.record(None, Some(lost.runner.clone())).write(&lost.directory).unwrap();
    let amended = vec![(lost.run, ExitStatus::Code(17))];
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport { amended, ..Default::default() });
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default());
    let record = bench.record(lost.run).await;
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone());
    assert_eq!(outcome.unwrap().exit_status(), Some(&ExitStatus::Code(17)));
}

fn image() -> RunSpec {
    RunSpec { workload: Workload::Image { reference: "bundle".to_owned(), argv: Vec::new() }, ..RunSpec::default() }
}

/// Who created it tells whether anybody here would have started it.
#[tokio::test]
async fn an_image_that_was_never_started_is_concluded_if_a_runner_of_this_kind_created_it() {
    let bench = Bench::open().await;
    let (own, others) = (bench.runner.create(image()).await.unwrap(), RunId::from_ulid(bench.engine.mint()));
    let create = Action::Create { spec: std::sync::Arc::new(image()) };
    let actor = Actor::new(ActorKind::Supervisor, "fleet");
    assert!(
        bench.engine.submit(bench.engine.command(others, actor, create)).await.unwrap().outcome.written().is_some()
    );
    let (mine, foreign) = (bench.record(own).await, bench.record(others).await);
    let foresight = foresee(&bench.data.path().join("runs"), [&mine.run, &foreign.run], &BTreeSet::from([own]));
    let foreseen: Vec<_> = foresight.open.iter().map(|foreseen| (foreseen.run, foreseen.conclusion.name())).collect();
    assert_eq!(foreseen, [(own, "start_abandoned")]);
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.failed, [(own, FailureKind::StartAbandoned)], "{report:?}");
    assert_eq!(report.runs().len(), 1, "{report:?}");
    assert_eq!(bench.record(others).await.run, foreign.run);
}

#[tokio::test]
async fn an_image_that_was_created_here_and_executed_is_promoted_and_adopted() {
    let bench = Bench::open().await;
    let run = bench.runner.create(image()).await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    let directory = AttemptDirectory::of(&bench.data.path().join("runs"), run, Ordinal(1));
    std::fs::create_dir_all(directory.path()).unwrap();
    let lost = Lost { run, attempt, runner: RunnerId::from("process/host/1/former"), directory };
    let child = sleeper(Some(attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    let report = bench.runner.recover().await.unwrap();
    assert_eq!((report.promoted, report.adopted), (vec![run], vec![(run, attempt)]));
    let handle = bench.runner.handle(run, attempt).unwrap();
    wake(child);
    handle.wait().await.unwrap();
}

/// Whoever wrote that had not seen its end.
#[tokio::test]
async fn a_process_that_lives_goes_before_a_file_that_says_it_has_ended() {
    let bench = Bench::open().await;
    let lost = Lost::with_directory(&bench).await;
    let child = sleeper(Some(lost.attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    lost.record(None, Some(lost.runner.clone())).write(&lost.directory).unwrap();
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.adopted, [(lost.run, lost.attempt)], "{report:?}");
    let handle = bench.runner.handle(lost.run, lost.attempt).unwrap();
    wake(child);
    handle.wait().await.unwrap();
    assert_eq!(lost.unknown(&bench).await.0, Finding::Lost);
}

#[tokio::test]
async fn directories_that_nobody_knows_are_left_and_told_to_who_asks() {
    let bench = Bench::open().await;
    let own = bench.sh("exit 0").await;
    status(&own).await;
    let runs = bench.data.path().join("runs");
    let unknown = [runs.join(RunId::from_ulid(bench.engine.mint()).to_string()), runs.join("notes")];
    unknown.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default());
    assert_eq!(foresee(&runs, [&bench.record(own.run()).await.run], &BTreeSet::new()).unknown_directories, unknown);
    assert!(unknown.iter().all(|path| path.is_dir()));
}

/// The directory is the run's own.
#[tokio::test]
async fn an_identity_that_was_taken_away_does_not_show_that_nothing_was_executed() {
    let bench = Bench::open().await;
    let (taken, damaged) = (Lost::with_directory(&bench).await, Lost::with_directory(&bench).await);
    taken.file("stdout", "done\n");
    damaged.file("identity.json", "{");
    let report = bench.runner.recover().await.unwrap();
    assert_eq!((report.failed.len(), report.unknown.len()), (0, 2), "{report:?}");
    let (_, detail, cause) = taken.unknown(&bench).await;
    assert_eq!(cause, "its supervisor went away, and there is no identity in its directory: it may have been executed");
    assert!(detail.starts_with("stdout without an identity; "), "{detail}");
    assert_eq!(damaged.unknown(&bench).await.2, "its supervisor went away, and its identity on disk does not count");
    // The same of a run whose start is not in the journal.
    let created = bench.runner.create(sh("exit 0")).await.unwrap();
    let directory = AttemptDirectory::of(&bench.data.path().join("runs"), created, Ordinal(1));
    std::fs::create_dir_all(directory.path()).unwrap();
    std::fs::write(directory.output(tachograph_engine::domain::Stream::Stderr), "").unwrap();
    let report = bench.runner.recover().await.unwrap();
    assert_eq!(report.failed, [(created, FailureKind::SupervisorLost)], "{report:?}");
}

#[tokio::test]
async fn a_created_run_that_the_world_knows_as_started_is_promoted_and_adopted() {
    let bench = Bench::open().await;
    let run = bench.runner.create(sh("exit 0")).await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    let directory = AttemptDirectory::of(&bench.data.path().join("runs"), run, Ordinal(1));
    std::fs::create_dir_all(directory.path()).unwrap();
    let lost = Lost { run, attempt, runner: RunnerId::from("process/host/1/former"), directory };
    let child = sleeper(Some(attempt));
    lost.identity(&gone(), Some(&ProcessIdentity::of(child.id()).unwrap()));
    let report = bench.runner.recover().await.unwrap();
    let (promoted, adopted) = (vec![run], vec![(run, attempt)]);
    assert_eq!(report, AdoptionReport { promoted, adopted, ..Default::default() });
    let record = bench.record(run).await;
    assert_eq!(record.run.attempt.as_ref().unwrap().runner, lost.runner, "held by whom it was");
    let handle = bench.runner.handle(run, attempt).unwrap();
    wake(child);
    handle.wait().await.unwrap();
    assert_eq!(bench.story(run).await, ["Created", "Started", "Reconciled", "Reconciled", "Exited"]);
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
    assert_eq!(bench.runner.recover().await.unwrap().unknown[0].0, elsewhere.run);
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
    assert!(one.unwrap().unknown.len() + two.unwrap().unknown.len() >= 1);
    assert_eq!(bench.story(lost.run).await, ["Created", "Started", "Reconciled", "Exited"]);
}

#[tokio::test]
async fn a_container_that_its_runtime_failed_to_remove_is_removed_by_a_later_opening() {
    let bench = Bench::open().await;
    let contained = Lost::of_spec(&bench, "process/host/1/former", image()).await;
    std::fs::create_dir_all(contained.directory.path()).unwrap();
    contained.identity(&gone(), Some(&gone()));
    let (failing, runtime) = (bench.data.path().join("failing"), bench.data.path().join("runtime"));
    let root = bench.data.path().join("oci");
    let name = format!("tacho-{}-1", contained.run);
    let state = root.join(&name);
    for directory in
        [&state, &root.join("notes"), &root.join(format!("tacho-{}-1", RunId::from_ulid(bench.engine.mint())))]
    {
        std::fs::create_dir_all(directory).unwrap();
    }
    let script = format!(
        "#!/bin/sh\ntest -e {} && exit 1\ncase \"$*\" in *delete*) rm -r {};; esac\necho '{{\"status\":\"running\"}}'\n",
        failing.display(),
        state.display()
    );
    program(&runtime, &script);
    std::fs::write(&failing, "").unwrap();
    let container = serde_json::json!({
        "format": 1, "run": contained.run.to_string(), "attempt": contained.attempt.to_string(),
        "name": name, "runtime": runtime, "root": root,
    });
    contained.file("container.json", &container.to_string());
    let first = bench.runner.recover().await.unwrap();
    assert!(first.unknown[0].1.contains("its container may go on"), "{first:?}");
    assert!(first.ended.is_empty() && first.orphans[0].1.contains("its container may go on"), "{first:?}");
    assert!(bench.runner.recover().await.unwrap().orphans[0].1.contains("its container may go on"));
    std::fs::remove_file(&failing).unwrap();
    let told = "of attempt 1, which has ended: its container was running, and is removed".to_owned();
    let ended = vec![(contained.run, told)];
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport { ended, ..Default::default() });
    assert!(!state.exists());
    assert_eq!(bench.runner.recover().await.unwrap(), AdoptionReport::default());
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2, "what is nobody's stays");
}

/// The directory is the run's own, and whoever opens it may be root.
#[tokio::test]
async fn a_container_that_a_run_only_claims_to_have_is_nobodys_to_end() {
    let bench = Bench::open().await;
    let command = Lost::with_directory(&bench).await;
    let image = Workload::Image { reference: "/no/such/bundle".to_owned(), argv: Vec::new() };
    let spec = RunSpec { workload: image, ..RunSpec::default() };
    let contained = Lost::of_spec(&bench, "process/host/1/former", spec).await;
    std::fs::create_dir_all(contained.directory.path()).unwrap();
    let (executed, runtime) = (bench.data.path().join("executed"), bench.data.path().join("runtime"));
    program(&runtime, &format!("#!/bin/sh\necho \"$@\" >> {}\n", executed.display()));
    let own_root = bench.data.path().join("oci");
    for (lost, root) in [(&command, own_root.clone()), (&contained, bench.data.path().join("elsewhere"))] {
        lost.identity(&gone(), Some(&gone()));
        let container = serde_json::json!({
            "format": 1, "run": lost.run.to_string(), "attempt": lost.attempt.to_string(),
            "name": format!("tacho-{}-1", lost.run), "runtime": runtime, "root": root,
        });
        lost.file("container.json", &container.to_string());
    }
    assert_eq!(bench.runner.recover().await.unwrap().unknown.len(), 2);
    assert!(!executed.exists(), "{}", std::fs::read_to_string(&executed).unwrap());
}
