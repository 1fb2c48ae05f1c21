use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::control::{ControlOutcome, ControlRequest, ControlResponse, RunReport, SnapshotArmed, call};
use tachograph_adapters::process::{Launch, ReportAnswer, RunHandle};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, CommandId, ExitStatus, FailureKind, Refusal, RunId, RunnerId, StartMode,
    Status, StatusName, Timestamp,
};
use tachograph_engine::ports::Deadlines;
use tachograph_engine::shell::CommandOutcome;

use crate::support::{Bench, LONG, Pipe, failure, sh, status};

const DELAY: Duration = Duration::from_secs(60);

pub(crate) fn waiting(on: &str, deadline_in_ms: Option<u64>) -> RunReport {
    RunReport::Waiting { on: on.to_owned(), deadline_in_ms }
}

pub(crate) fn id(number: u128) -> CommandId {
    CommandId::from_u128(number)
}

/// A child that is there until the pipe is released, and traps nothing.
pub(crate) async fn patient(bench: &Bench, never: &Pipe, snapshot_delay: Option<Duration>) -> RunHandle {
    let launch = Launch { snapshot_delay, ..Launch::default() };
    bench.launch(sh(&format!("read line < {}", never.path())), launch).await
}

pub(crate) async fn report(bench: &Bench, handle: &RunHandle, report: RunReport, number: u128) -> ReportAnswer {
    bench.runner.report(handle.run(), handle.attempt(), report, id(number)).await.unwrap()
}

pub(crate) fn socket(bench: &Bench) -> PathBuf {
    bench.data.path().join("report.sock")
}

pub(crate) async fn ask(path: &Path, handle: &RunHandle, report: RunReport, number: u128) -> ControlResponse {
    let (run, attempt) = (handle.run(), handle.attempt());
    call(path, &ControlRequest::Report { command: id(number), run, attempt, report }, LONG).await.unwrap()
}

#[track_caller]
fn refused(outcome: &CommandOutcome) -> &Refusal {
    match outcome {
        CommandOutcome::Refused { refusal, recorded: Some(_) } => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_left_over_attempt_that_reports_is_refused_and_the_refusal_recorded() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let first = patient(&bench, &never, None).await;
    let path = socket(&bench);
    first.terminate(Duration::ZERO);
    first.wait().await.unwrap();
    let second = bench.runner.restart(first.run(), Launch::default()).await.unwrap();
    let response = ask(&path, &first, waiting("nothing", None), 1).await;
    let ControlResponse::Answer { outcome: ControlOutcome::Refused(refused), .. } = response else {
        panic!("{response:?}")
    };
    assert_eq!(refused.code, "stale_attempt");
    assert!(refused.recorded.is_some() && refused.message.contains(&second.attempt().to_string()), "{refused:?}");
    let recorded = bench.refusals(first.run()).await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].refusal, Refusal::StaleAttempt { current: Some(second.attempt()) });
    // The present attempt was neither changed nor ended.
    never.release().await;
    assert_eq!(status(&second).await, ExitStatus::Code(0));
    assert_eq!(bench.story(first.run()).await, ["Created", "Started", "Exited", "Started", "Exited"]);
}

#[tokio::test]
async fn what_is_left_of_an_attempt_that_was_taken_over_is_ended_when_it_reports() {
    let (bench, _clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let (handle, other) = (patient(&bench, &never, None).await, patient(&bench, &never, None).await);
    let mode = StartMode::Takeover { expected: handle.attempt() };
    let attempt = tachograph_engine::domain::AttemptId::from_ulid(bench.engine.mint());
    let start = Action::Start { attempt, runner: RunnerId::from("elsewhere"), mode };
    let taker = Actor::new(ActorKind::Supervisor, "elsewhere");
    // Its effects are left to the taker, which knows nothing of this runner.
    bench.engine.submit(bench.engine.command(handle.run(), taker, start)).await.unwrap();
    // The deadline of the present attempt is none of the old one's.
    let (claim, due) =
        (Claim { run: handle.run(), attempt, runner: RunnerId::from("elsewhere") }, Timestamp::default());
    let wait = Action::Wait { claim, on: "x".to_owned(), deadline: Some(due) };
    let holder = Actor::new(ActorKind::Runner, "elsewhere");
    bench.engine.submit(bench.engine.command(handle.run(), holder, wait)).await.unwrap();
    bench.runner.passed(handle.run(), handle.attempt(), due).await;
    let answer = report(&bench, &handle, waiting("x", None), 1).await;
    assert_eq!(*refused(&answer.outcome), Refusal::StaleAttempt { current: Some(attempt) });
    let end = handle.wait().await.unwrap();
    assert!(
        matches!(&end.outcome, tachograph_engine::domain::Outcome::Exited { exit, .. }
                     if exit.status == ExitStatus::Signal(15)),
        "{end:?}"
    );
    assert!(other.ended().is_none());
    never.release().await;
    assert_eq!(status(&other).await, ExitStatus::Code(0));
}

#[tokio::test]
async fn reports_about_destroyed_and_unknown_runs_are_refused_by_the_engine() {
    let bench = Bench::open().await;
    let handle = bench.sh("exit 0").await;
    handle.wait().await.unwrap();
    bench.runner.destroy(handle.run(), false, "done").await.unwrap();
    let answer = report(&bench, &handle, RunReport::Resume, 1).await;
    assert_eq!(*refused(&answer.outcome), Refusal::RunDestroyed);
    assert_eq!(bench.refusals(handle.run()).await.len(), 1);
    let unknown = RunId::from_u128(7);
    let answer = bench.runner.report(unknown, handle.attempt(), waiting("x", None), id(2)).await.unwrap();
    assert_eq!(answer.outcome.refusal(), Some(&Refusal::UnknownRun));
}

#[tokio::test]
async fn a_wait_arms_the_snapshot_of_its_launch_once_and_a_resume_cancels_it() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let handle = patient(&bench, &never, Some(DELAY)).await;
    let first = report(&bench, &handle, waiting("a review", None), 1).await;
    let SnapshotArmed { id: snapshot, due } = first.snapshot.unwrap();
    assert_eq!(due, Timestamp::from_micros(60_000_000));
    clock.advance(Duration::from_secs(5));
    let again = report(&bench, &handle, waiting("a review", None), 1).await;
    assert!(matches!(again.outcome, CommandOutcome::Duplicate { .. }), "{again:?}");
    assert!(matches!(again.arming, Some(CommandOutcome::Duplicate { .. })), "{again:?}");
    assert!(bench.refusals(handle.run()).await.is_empty());
    assert_eq!(again.snapshot, first.snapshot, "neither a second one nor another time");
    let resumed = report(&bench, &handle, RunReport::Resume, 2).await;
    assert!(resumed.outcome.written().is_some() && resumed.snapshot.is_none());
    let record = bench.record(handle.run()).await;
    assert_eq!(record.run.status.name(), StatusName::Started);
    assert!(record.run.armed.is_none() && record.run.spent_snapshots.contains(&snapshot));
    let expected = ["Created", "Started", "Waiting", "SnapshotScheduled", "SnapshotCanceled", "Started"];
    assert_eq!(bench.story(handle.run()).await, expected);
    never.release().await;
    handle.wait().await.unwrap();
}

#[tokio::test]
async fn a_repeated_wait_completes_what_a_crash_left_half_done_unless_the_run_has_moved_on() {
    for moved_on in [false, true] {
        let (bench, _clock) = Bench::manual().await;
        let never = bench.pipe("never");
        let handle = patient(&bench, &never, Some(DELAY)).await;
        let (run, attempt, runner) = (handle.run(), handle.attempt(), bench.runner.runner().clone());
        // Only the first half of the report: its wait.
        let actor = Actor::new(ActorKind::Runner, runner.as_str());
        let action = Action::Wait { claim: Claim { run, attempt, runner }, on: "a review".to_owned(), deadline: None };
        let wait = Command { id: id(1), run, actor, issued_at: Timestamp::from_micros(0), expected: None, action };
        bench.engine.submit(wait).await.unwrap();
        if moved_on {
            report(&bench, &handle, RunReport::Resume, 2).await;
            report(&bench, &handle, RunReport::Waiting { on: "more".to_owned(), deadline_in_ms: None }, 3).await;
        }
        let before = bench.record(run).await.run.armed.clone();
        let answer = report(&bench, &handle, waiting("a review", None), 1).await;
        let after = bench.record(run).await.run.armed.clone();
        if moved_on {
            assert!(matches!(refused(answer.arming.as_ref().unwrap()), Refusal::VersionConflict { .. }));
            assert_eq!((after, answer.snapshot), (before, None), "the later wait keeps its own");
        } else {
            assert_eq!(after.unwrap().id, answer.snapshot.unwrap().id);
        }
        never.release().await;
        handle.wait().await.unwrap();
    }
}

/// What else is recorded about a run between its wait and the arming that follows.
#[tokio::test]
async fn a_wait_arms_its_snapshot_whatever_is_recorded_meanwhile_but_another_arming() {
    for armed_by_hand in [false, true] {
        let (bench, _clock) = Bench::manual().await;
        let never = bench.pipe("never");
        let handle = patient(&bench, &never, Some(DELAY)).await;
        let (run, attempt, runner) = (handle.run(), handle.attempt(), bench.runner.runner().clone());
        let claim = Claim { run, attempt, runner: runner.clone() };
        let actor = Actor::new(ActorKind::Runner, runner.as_str());
        let tell = async |id: u128, action: Action| {
            let issued_at = Timestamp::from_micros(0);
            let command =
                Command { id: CommandId::from_u128(id), run, actor: actor.clone(), issued_at, expected: None, action };
            let answer = bench.engine.submit(command).await.unwrap();
            assert!(answer.outcome.written().is_some(), "{answer:?}");
        };
        // An image of the wait before is still being taken when the run waits again.
        report(&bench, &handle, waiting("a review", None), 1).await;
        report(&bench, &handle, RunReport::Snapshot { after_ms: Some(0) }, 2).await;
        let snapshot = bench.record(run).await.run.armed.as_ref().unwrap().id;
        tell(3, Action::DispatchSnapshot { snapshot }).await;
        report(&bench, &handle, RunReport::Resume, 4).await;
        tell(5, Action::Wait { claim, on: "more".to_owned(), deadline: None }).await;
        if armed_by_hand {
            report(&bench, &handle, RunReport::Snapshot { after_ms: Some(7) }, 6).await;
        } else {
            tell(6, Action::FailSnapshot { snapshot, message: "no room".to_owned() }).await;
        }
        let first = report(&bench, &handle, waiting("more", None), 5).await;
        let due = bench.record(run).await.run.armed.as_ref().unwrap().due;
        if armed_by_hand {
            assert_eq!((due.as_micros(), first.snapshot), (7_000, None), "what was asked for by name stays");
            assert!(first.arming.unwrap().refusal().is_some());
        } else {
            assert_eq!(due.as_micros(), 60_000_000);
            assert!(first.snapshot.is_some() && first.arming.unwrap().written().is_some());
            let version = bench.record(run).await.run.version;
            let again = report(&bench, &handle, waiting("more", None), 5).await;
            assert!(matches!(again.arming, Some(CommandOutcome::Duplicate { .. })), "{again:?}");
            assert!(again.arming.unwrap().written().is_some());
            assert_eq!((again.snapshot, bench.record(run).await.run.version), (first.snapshot, version));
        }
        never.release().await;
        handle.wait().await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_can_be_armed_anew_while_the_run_waits() {
    let (bench, _clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let (handle, plain) = (patient(&bench, &never, Some(DELAY)).await, patient(&bench, &never, None).await);
    let due = |answer: &ReportAnswer| answer.snapshot.map(|armed| armed.due.as_micros() / 1_000);
    let snapshot = |after_ms| RunReport::Snapshot { after_ms };
    let early = report(&bench, &handle, snapshot(Some(5)), 1).await;
    assert!(matches!(refused(&early.outcome), Refusal::IllegalTransition { .. }), "{early:?}");
    report(&bench, &handle, waiting("x", None), 2).await;
    assert!(report(&bench, &plain, waiting("x", None), 3).await.snapshot.is_none());
    assert_eq!(due(&report(&bench, &handle, snapshot(Some(5)), 4).await), Some(5));
    assert_eq!(due(&report(&bench, &handle, snapshot(None), 5).await), Some(60_000));
    assert_eq!(due(&report(&bench, &plain, snapshot(None), 6).await), Some(0));
    let late = report(&bench, &handle, snapshot(Some(u64::MAX)), 7).await;
    assert!(matches!(refused(&late.outcome), Refusal::InvalidInput { field, .. } if field == "due"), "{late:?}");
    assert_eq!(
        bench.record(handle.run()).await.run.armed.as_ref().map(|armed| armed.due.as_micros()),
        Some(60_000_000)
    );
    never.release().await;
    bench.runner.shutdown(Duration::ZERO).await;
}

async fn overdue(clock: &ManualClock, bench: &Bench, handle: &RunHandle) -> Timestamp {
    report(bench, handle, waiting("a review", Some(60_000)), 1).await;
    clock.advance(DELAY);
    match bench.record(handle.run()).await.run.status {
        Status::Waiting { deadline: Some(due), .. } => due,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wait_that_came_to_its_deadline_ends_its_attempt() {
    let (bench, clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let handle = bench.sh(&format!("trap '' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    let due = overdue(&clock, &bench, &handle).await;
    bench.runner.passed(handle.run(), handle.attempt(), due).await;
    bench.runner.passed(handle.run(), handle.attempt(), due).await;
    // It ignores the polite signal, so it has the grace.
    clock.until_asleep(1).await;
    clock.advance(Duration::from_secs(5));
    let end = handle.wait().await.unwrap();
    let failure = failure(&end);
    assert_eq!(failure.kind, FailureKind::TimedOut);
    let expected = "waited on \"a review\" until its deadline of 1970-01-01T00:01:00.000000Z; ended with signal 9";
    assert_eq!(failure.message, expected);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Waiting", "Failed"]);
}

#[tokio::test]
async fn a_deadline_is_nothing_to_an_attempt_that_does_not_wait_for_it() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let last = bench.pipe("last");
    let (handle, other) = (patient(&bench, &never, None).await, patient(&bench, &last, None).await);
    let due = overdue(&clock, &bench, &handle).await;
    bench.runner.passed(handle.run(), other.attempt(), due).await;
    bench.runner.passed(other.run(), other.attempt(), due).await;
    bench.runner.passed(handle.run(), handle.attempt(), due.plus_millis(1)).await;
    report(&bench, &handle, RunReport::Resume, 2).await;
    bench.runner.passed(handle.run(), handle.attempt(), due).await;
    never.release().await;
    last.release().await;
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    assert_eq!(status(&other).await, ExitStatus::Code(0));
}
