use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::process::{Launch, RunnerOptions, StartGuard, StartWitness};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Diagnostics, Failure, FailureKind, Outcome, Refusal, RunId, RunnerId,
    StartMode, StatusName,
};
use tachograph_engine::shell::{Options, SubmitError};

use crate::support::{Bench, HANG, exists, sh};

fn seen() -> Diagnostics {
    Diagnostics {
        alive: vec!["micro-VM 7".to_owned()],
        last_output: vec!["[    0.0] booting".to_owned()],
        likely_cause: Some("the kernel did not find its root disk".to_owned()),
        facts: [("console_bytes".to_owned(), "17".to_owned())].into(),
    }
}

/// A created run, and the claim of the attempt that is to be opened.
async fn created(bench: &Bench) -> (RunId, Claim) {
    let run = bench.runner.create(sh("exit 0")).await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    (run, Claim { run, attempt, runner: RunnerId::new("vm/1") })
}

async fn submit(bench: &Bench, run: RunId, action: Action) {
    let command = bench.engine.command(run, Actor::new(ActorKind::Supervisor, "test"), action);
    assert!(bench.engine.submit(command).await.unwrap().outcome.written().is_some());
}

/// The failure that is recorded, soon.
async fn recorded(bench: &Bench, run: RunId) -> Failure {
    let begun = Instant::now();
    loop {
        let record = bench.record(run).await;
        match record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone()) {
            Some(Outcome::Failed(failure)) => return failure,
            Some(outcome) => panic!("{outcome:?}"),
            None => assert!(begun.elapsed() < HANG, "nothing was recorded"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_dropped_guard_records_what_its_witness_sees_and_only_destroy_ends_the_run() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    let disk = bench.data.path().join("disk");
    std::fs::write(&disk, "root").unwrap();
    drop(StartGuard::new(&bench.engine, claim.clone()).witnessed_by(seen));
    let failure = recorded(&bench, run).await;
    assert_eq!(failure.kind, FailureKind::StartAbandoned);
    assert_eq!(failure.message, "its start was given up before it had succeeded");
    assert_eq!(failure.diagnostics, seen());
    assert!(exists(&disk));
    assert_eq!(bench.story(run).await, ["Created", "Failed"]);
    bench.runner.destroy(run, false, "seen enough").await.unwrap();
    assert_eq!(bench.story(run).await, ["Created", "Failed", "Destroyed"], "the history stays");
}

#[tokio::test]
async fn a_guard_that_succeeded_or_was_disarmed_records_nothing() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    StartGuard::new(&bench.engine, claim.clone()).witnessed_by(seen).succeed();
    StartGuard::new(&bench.engine, claim).disarm();
    bench.engine.close().await.unwrap();
    assert_eq!(bench.story(run).await, ["Created"]);
}

#[tokio::test]
async fn a_panic_is_recorded_with_and_without_a_runtime_and_also_if_the_witness_panics() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    let guard = StartGuard::new(&bench.engine, claim).witnessed_by(seen);
    let task = tokio::spawn(async move {
        let _guard = guard;
        panic!("the start panics, as this test wants");
    });
    assert!(task.await.unwrap_err().is_panic());
    let failure = recorded(&bench, run).await;
    assert_eq!(failure.message, "its start panicked before it had succeeded");
    assert_eq!(failure.diagnostics, seen());

    let (run, claim) = created(&bench).await;
    let guard = StartGuard::new(&bench.engine, claim).witnessed_by(|| -> Diagnostics { panic!("the witness, too") });
    let thread = std::thread::spawn(move || {
        let _guard = guard;
        panic!("the start panics, as this test wants");
    });
    assert!(thread.join().is_err());
    let failure = recorded(&bench, run).await;
    assert_eq!(failure.diagnostics.facts["diagnostics"], "not gathered: the witness panicked");
}

#[tokio::test]
async fn a_future_that_is_dropped_while_it_starts_is_recorded() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    let guard = StartGuard::new(&bench.engine, claim).witnessed_by(seen);
    let starting = tokio::spawn(async move {
        let guard = guard;
        pending::<()>().await;
        guard.succeed();
    });
    tokio::task::yield_now().await;
    starting.abort();
    assert_eq!(recorded(&bench, run).await.diagnostics, seen());
}

#[tokio::test]
async fn a_failure_that_is_told_is_recorded_once_also_if_nobody_waits_for_the_answer() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    bench.gate.send_replace(false);
    let guard = StartGuard::new(&bench.engine, claim).witnessed_by(seen);
    let mut failing = Box::pin(guard.fail(FailureKind::StartTimeout, "not ready within 30 s"));
    tokio::select! {
        biased;
        _ = &mut failing => panic!("nothing is durable behind the gate"),
        () = tokio::task::yield_now() => {}
    }
    drop(failing);
    bench.gate.send_replace(true);
    let failure = recorded(&bench, run).await;
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::StartTimeout, "not ready within 30 s"));
    bench.engine.close().await.unwrap();
    assert_eq!(bench.story(run).await, ["Created", "Failed"]);
    assert_eq!(bench.refusals(run).await.len(), 0);
}

struct Told(mpsc::Sender<(Failure, &'static str)>);

impl StartWitness for Told {
    fn diagnostics(&mut self) -> Diagnostics {
        seen()
    }

    fn unrecorded(&mut self, failure: &Failure, why: &SubmitError) {
        self.0.send((failure.clone(), why.code())).unwrap();
    }
}

#[tokio::test]
async fn a_closed_engine_is_told_to_the_witness() {
    let bench = Bench::open().await;
    let (_, claim) = created(&bench).await;
    let (tell, told) = mpsc::channel();
    let guard = StartGuard::new(&bench.engine, claim.clone()).witnessed_by(Told(tell.clone()));
    let failing = StartGuard::new(&bench.engine, claim).witnessed_by(Told(tell));
    bench.engine.close().await.unwrap();
    drop(guard);
    let (failure, why) = told.recv_timeout(HANG).unwrap();
    assert_eq!((failure.diagnostics, why), (seen(), "closed"));
    let answer = failing.fail(FailureKind::SpawnFailed, "no room").await;
    assert!(matches!(answer, Err(SubmitError::Closed)));
    let (failure, why) = told.recv_timeout(HANG).unwrap();
    assert_eq!((failure.message.as_str(), why), ("no room", "closed"));
    assert!(told.try_recv().is_err(), "each is told once");
}

#[tokio::test]
async fn a_full_queue_delays_the_record_and_does_not_lose_it() {
    let options = Options { queue_max: 1, batch_max: 1, ..Options::default() };
    let bench = Bench::bounded(Arc::new(SystemClock), RunnerOptions::default(), options).await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(created(&bench).await);
    }
    let created_behind = created(&bench).await;
    bench.gate.send_replace(false);
    let guards: Vec<_> =
        runs.iter().map(|(_, claim)| StartGuard::new(&bench.engine, claim.clone()).witnessed_by(seen)).collect();
    // One is with the committer, one has the place in the queue, and the others have none.
    drop(guards);
    let (filler, _) = created_behind;
    let filling = || bench.engine.command(filler, Actor::new(ActorKind::Supervisor, "test"), destroy());
    // Between the committer's taking one and the next one's coming the place is free for a moment.
    assert!((0..3).any(|_| matches!(bench.engine.try_submit(filling()), Err(SubmitError::QueueFull))));
    bench.gate.send_replace(true);
    for (run, _) in runs {
        assert_eq!(recorded(&bench, run).await.diagnostics, seen());
    }
}

fn destroy() -> Action {
    Action::Destroy { force: true, why: "test".to_owned() }
}

#[tokio::test]
async fn a_guard_that_outlived_its_attempt_changes_nothing() {
    let bench = Bench::open().await;
    let fail = |guard: StartGuard| guard.fail(FailureKind::StartTimeout, "too late");

    // Destroyed meanwhile.
    let (run, claim) = created(&bench).await;
    let guard = StartGuard::new(&bench.engine, claim);
    submit(&bench, run, destroy()).await;
    assert_eq!(fail(guard).await.unwrap().outcome.refusal(), Some(&Refusal::RunDestroyed));

    // Failed otherwise before.
    let (run, claim) = created(&bench).await;
    let (first, second) =
        (StartGuard::new(&bench.engine, claim.clone()), StartGuard::new(&bench.engine, claim.clone()));
    first.fail(FailureKind::SpawnFailed, "first").await.unwrap();
    let refusal = fail(second).await.unwrap().outcome.refusal().cloned();
    assert!(matches!(refusal, Some(Refusal::ConflictingTerminal { .. })), "{refusal:?}");
    assert_eq!(recorded(&bench, run).await.message, "first");

    // Started anew since: the old one's guard does not touch the new attempt.
    let guard = StartGuard::new(&bench.engine, claim.clone());
    let next = AttemptId::from_ulid(bench.engine.mint());
    let mode = StartMode::Restart { previous: claim.attempt };
    submit(&bench, run, Action::Start { attempt: next, runner: claim.runner.clone(), mode }).await;
    let refusal = fail(guard).await.unwrap().outcome.refusal().cloned();
    assert!(matches!(refusal, Some(Refusal::StaleAttempt { .. })), "{refusal:?}");
    assert_eq!(bench.record(run).await.run.status.name(), StatusName::Started);
    assert_eq!(bench.story(run).await, ["Created", "Failed", "Started"]);
}

#[tokio::test]
async fn diagnostics_out_of_bounds_are_cut_and_recorded() {
    let bench = Bench::open().await;
    let (run, claim) = created(&bench).await;
    let endless = || Diagnostics {
        alive: (0..1_000).map(|number| format!("process {number}")).collect(),
        last_output: vec!["é".repeat(100_000)],
        likely_cause: Some("x".repeat(100_000)),
        facts: (0..1_000).map(|number| (format!("fact {number}"), "x".repeat(10_000))).chain([bad_fact()]).collect(),
    };
    let guard = StartGuard::new(&bench.engine, claim).witnessed_by(endless);
    let kind = FailureKind::Other("two\nlines".to_owned());
    let answer = guard.fail(kind, "m".repeat(100_000)).await.unwrap();
    assert!(answer.outcome.written().is_some(), "{answer:?}");
    let failure = recorded(&bench, run).await;
    assert_eq!((failure.message.len(), failure.diagnostics.alive.len()), (4_096, 64));
    assert_eq!(failure.diagnostics.alive[63], "process 999", "the last ones are kept");
}

fn bad_fact() -> (String, String) {
    ("a\nb".to_owned(), String::new())
}

/// The runtime that starts a run goes away between the durable start and the process.
#[test]
fn a_runner_whose_start_is_cut_off_leaves_a_failed_attempt_and_no_process() {
    let keeper = tokio::runtime::Runtime::new().unwrap();
    let bench = keeper.block_on(Bench::open());
    let run = keeper.block_on(bench.runner.create(sh("echo spawned > spawned"))).unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    bench.gate.send_replace(false);
    let starter = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runner = bench.runner.clone();
    let start =
        starter.spawn(async move { runner.start_attempt(run, attempt, StartMode::Fresh, Launch::default()).await });
    let begun = Instant::now();
    while bench.runner.handle(run, attempt).is_none() {
        assert!(begun.elapsed() < HANG, "it is registered before it is recorded");
        std::thread::yield_now();
    }
    starter.shutdown_timeout(HANG);
    bench.gate.send_replace(true);
    let failure = keeper.block_on(recorded(&bench, run));
    assert_eq!(failure.kind, FailureKind::StartAbandoned, "{failure:?}");
    assert!(keeper.block_on(start).is_err() && !exists(&bench.data.path().join("runs")));
    assert!(bench.runner.handles().is_empty());
    drop(bench);
}
