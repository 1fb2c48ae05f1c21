use std::time::Duration;

use rustix::process::Signal;
use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::process::{EndRecord, Launch, RunHandle, RunnerError, RunnerOptions};
use tachograph_engine::domain::{
    Claim, Drain, Effect, ExitStatus, FailureKind, Refusal, ResourceLimits, RunSpec, RunnerId, Status, limits,
};

use crate::shimmed::within_a_minute;
use crate::support::{Bench, Pipe, exit, failure, file, sh, status};

const GRACE: Duration = Duration::from_secs(5);

/// A grandchild in the group that ignores the polite signal, holds no output, and can be watched through `alive`.
fn stubborn(ready: &Pipe, alive: &Pipe, never: &Pipe) -> String {
    format!(
        "( trap '' TERM; exec 3> {alive} >&- 2>&-; echo > {ready}; read line < {never} ) &",
        alive = alive.path(),
        ready = ready.path(),
        never = never.path()
    )
}

#[tokio::test]
async fn the_whole_group_is_killed_once_the_grace_is_over() {
    let (bench, clock) = Bench::manual().await;
    let (ready, alive, never) = (bench.pipe("ready"), bench.pipe("alive"), bench.pipe("never"));
    let script = format!("trap '' TERM; {} read line < {}", stubborn(&ready, &alive, &never), never.path());
    let handle = bench.sh(&script).await;
    let all_gone = alive.until_all_writers_are_gone();
    ready.read_to_end().await;
    handle.terminate(GRACE);
    clock.until_asleep(1).await;
    clock.advance(GRACE - Duration::from_millis(1));
    assert_eq!(clock.sleepers(), 1, "not a millisecond early");
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&handle).await, ExitStatus::Signal(9));
    all_gone.await.unwrap();
}

#[tokio::test]
async fn what_is_held_still_goes_on_before_it_is_asked_to_end_and_has_its_whole_grace() {
    let (bench, clock) = Bench::manual().await;
    let (ready, heard, never) = (bench.pipe("ready"), bench.pipe("heard"), bench.pipe("never"));
    let (says, hears, waits) = (ready.path(), heard.path(), never.path());
    let script = format!("trap 'echo > {hears}' TERM; echo > {says}; while :; do read line < {waits}; done");
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    let standstill = bench.runner.standstill(handle.run(), handle.attempt()).unwrap();
    handle.terminate(GRACE);
    standstill.asked_to_end().await;
    clock.until_asleep(1).await;
    clock.advance(Duration::from_secs(1));
    drop(standstill);
    heard.read_to_end().await;
    clock.until_asleep(1).await;
    clock.advance(GRACE - Duration::from_millis(1));
    assert_eq!(clock.sleepers(), 1, "the grace began when it went on");
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&handle).await, ExitStatus::Signal(9));
}

#[tokio::test]
async fn who_does_not_let_go_is_waited_for_two_seconds_and_without_a_grace_not_at_all() {
    let (bench, clock) = Bench::manual().await;
    for grace in [GRACE, Duration::ZERO] {
        let (ready, never) = (bench.pipe(&format!("ready-{grace:?}")), bench.pipe(&format!("never-{grace:?}")));
        let handle = bench.sh(&format!("echo > {}; read line < {}", ready.path(), never.path())).await;
        ready.read_to_end().await;
        let standstill = bench.runner.standstill(handle.run(), handle.attempt()).unwrap();
        handle.terminate(grace);
        standstill.asked_to_end().await;
        if !grace.is_zero() {
            clock.until_asleep(1).await;
            clock.advance(Duration::from_millis(1_999));
            assert!(handle.ended().is_none());
            clock.advance(Duration::from_millis(1));
        }
        let signal = status(&handle).await;
        assert!(matches!(signal, ExitStatus::Signal(9 | 15)), "{signal}");
        standstill.exited().await;
    }
}

#[tokio::test]
async fn a_polite_child_ends_by_itself_and_its_last_words_are_kept() {
    let (bench, _clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let script = format!("trap 'echo last words; exit 9' TERM; echo > {}; read line < {}", ready.path(), never.path());
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    handle.terminate(GRACE);
    let end = handle.wait().await.unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(9));
    assert_eq!(exit(&end).output.as_ref().unwrap().drain, Drain::Drained);
    assert_eq!(file(&handle, "stdout"), b"last words\n");
}

#[tokio::test]
async fn what_outlives_its_leader_is_killed_as_well_if_the_end_was_asked_for() {
    let (bench, clock) = Bench::manual().await;
    let (ready, alive, never) = (bench.pipe("ready"), bench.pipe("alive"), bench.pipe("never"));
    let handle = bench.sh(&format!("{} read line < {}", stubborn(&ready, &alive, &never), never.path())).await;
    let all_gone = alive.until_all_writers_are_gone();
    ready.read_to_end().await;
    handle.terminate(GRACE);
    // The leader goes at once and is reaped: from here on its number proves nothing any more.
    assert_eq!(status(&handle).await, ExitStatus::Signal(15));
    assert!(!all_gone.is_finished());
    clock.advance(GRACE);
    all_gone.await.unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_behind_by_itself_is_left_alone() {
    let (bench, clock) = Bench::manual().await;
    let (ready, alive, never) = (bench.pipe("ready"), bench.pipe("alive"), bench.pipe("never"));
    let handle = bench.sh(&format!("{} read line < {}; exit 0", stubborn(&ready, &alive, &never), ready.path())).await;
    let all_gone = alive.until_all_writers_are_gone();
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    clock.advance(GRACE * 10);
    handle.terminate(Duration::ZERO);
    // It still waits: only now is it let go.
    never.release().await;
    all_gone.await.unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_killed_if_the_option_says_so() {
    let options = RunnerOptions { kill_lingering: true, ..RunnerOptions::default() };
    let bench = Bench::with(std::sync::Arc::new(SystemClock), options).await;
    let (ready, alive, never) = (bench.pipe("ready"), bench.pipe("alive"), bench.pipe("never"));
    let handle = bench.sh(&format!("{} read line < {}; exit 0", stubborn(&ready, &alive, &never), ready.path())).await;
    let all_gone = alive.until_all_writers_are_gone();
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    all_gone.await.unwrap();
}

#[tokio::test]
async fn a_run_over_its_wall_clock_limit_failed_and_says_how_it_ended() {
    let (bench, clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let limits = ResourceLimits { wall_ms: Some(60_000), ..ResourceLimits::default() };
    let script = format!("echo working; echo > {}; read line < {}", ready.path(), never.path());
    let handle = bench.launch(RunSpec { limits, ..sh(&script) }, Launch::default()).await;
    ready.read_to_end().await;
    clock.until_asleep(1).await;
    clock.advance(Duration::from_millis(59_999));
    assert_eq!(clock.sleepers(), 1, "not a millisecond early");
    clock.advance(Duration::from_millis(1));
    let end = handle.wait().await.unwrap();
    let failure = failure(&end);
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_eq!(failure.diagnostics.facts["exit_status"], "signal 15");
    assert_eq!(failure.diagnostics.facts["stdout_bytes"], "8");
    assert_eq!(failure.diagnostics.last_output, ["stdout: working"]);
    let on_disk: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    assert_eq!(on_disk["failure"]["kind"], "timed_out", "a recovery would record the same");
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn more_survivors_than_a_record_can_name_do_not_keep_it_from_being_written() {
    let (bench, clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let bounded = ResourceLimits { wall_ms: Some(60_000), ..ResourceLimits::default() };
    // All but the leader ignore the polite signal, and all hold its output.
    let script = format!(
        "trap '' TERM; i=0; while [ $i -lt 70 ]; do (read line < {never}) & i=$((i+1)); done; \
         trap - TERM; echo > {ready}; read line < {never}",
        ready = ready.path(),
        never = never.path()
    );
    let handle = bench.launch(RunSpec { limits: bounded, ..sh(&script) }, Launch::default()).await;
    ready.read_to_end().await;
    clock.until_asleep(1).await;
    clock.advance(Duration::from_millis(60_000));
    handle.exited().await;
    // The drain, the note on disk, and the killing signal.
    clock.until_asleep(3).await;
    clock.advance(GRACE);
    let end = handle.wait().await.unwrap();
    assert!(matches!(end.record, EndRecord::Written { .. }), "{:?}", end.record);
    assert_eq!(failure(&end).kind, FailureKind::TimedOut);
    assert_eq!(failure(&end).diagnostics.alive.len(), limits::DIAGNOSTICS_MAX);
    let on_disk: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    assert_eq!(on_disk["lingering"].as_array().unwrap().len(), limits::DIAGNOSTICS_MAX);
    // They are killed before the attempt is settled.
    bench.runner.shutdown(GRACE).await;
}

#[tokio::test]
async fn an_effect_ends_exactly_the_attempt_that_it_names() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let run = bench.runner.create(sh(&format!("read line < {}", never.path()))).await.unwrap();
    let first = bench.runner.start(run, Launch::default()).await.unwrap();
    first.terminate(Duration::ZERO);
    first.wait().await.unwrap();
    let second = bench.runner.restart(run, Launch::default()).await.unwrap();
    let other = bench.sh(&format!("read line < {}", never.path())).await;
    let foreign = Claim { run, attempt: second.attempt(), runner: RunnerId::from("process/another") };
    for late in [
        Effect::EndAttempt { run, attempt: first.attempt() },
        Effect::EndAttempt { run: other.run(), attempt: second.attempt() },
        Effect::DestroyOrphan { claim: foreign },
    ] {
        bench.runner.perform(&[late.clone(), late]);
    }
    let exact = Effect::EndAttempt { run: other.run(), attempt: other.attempt() };
    bench.runner.perform(&[exact.clone(), exact]);
    assert!(matches!(status(&other).await, ExitStatus::Signal(15)));
    assert!(second.ended().is_none());
    // It was not signalled either: it still ends by itself, and with the code of one that read its line.
    never.release().await;
    assert_eq!(status(&second).await, ExitStatus::Code(0));
}

#[tokio::test]
async fn a_run_destroyed_by_force_is_ended_and_its_late_report_refused() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let handle = bench.sh(&format!("read line < {}", never.path())).await;
    bench.runner.destroy(handle.run(), true, "no longer wanted").await.unwrap();
    let end = handle.wait().await.unwrap();
    assert!(matches!(end.record, EndRecord::Refused(Refusal::RunDestroyed)), "{:?}", end.record);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Destroyed"]);
    assert_eq!(bench.refusals(handle.run()).await.len(), 1);
    assert!(matches!(bench.record(handle.run()).await.run.status, Status::Destroyed { .. }));
}

#[tokio::test]
async fn a_shutdown_has_one_budget_and_leaves_every_end_recorded() {
    let (bench, clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let polite = bench.sh(&format!("trap 'exit 7' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    let deaf = bench.sh(&format!("trap '' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    let shutdown = tokio::spawn({
        let runner = bench.runner.clone();
        async move { runner.shutdown(Duration::from_secs(20)).await }
    });
    assert_eq!(status(&polite).await, ExitStatus::Code(7));
    until_forgotten(&bench, &polite).await;
    // Until the killing signal, and until the budget is over. The grace of 5 s has no part in it.
    clock.until_asleep(2).await;
    clock.advance(Duration::from_millis(17_999));
    assert_eq!(clock.sleepers(), 2, "not a millisecond early");
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&deaf).await, ExitStatus::Signal(9));
    let report = shutdown.await.unwrap();
    assert_eq!((report.ended, report.unfinished.len()), (2, 0));
    for handle in [&polite, &deaf] {
        assert!(bench.runner.handle(handle.run(), handle.attempt()).is_none(), "an ended attempt is forgotten");
    }
    let error = bench.runner.start(polite.run(), Launch::default()).await.unwrap_err();
    assert!(matches!(error, RunnerError::ShuttingDown), "{error}");
    assert!(bench.engine.live().is_empty());
}

async fn until_forgotten(bench: &Bench, handle: &RunHandle) {
    let forgotten = async {
        while bench.runner.handle(handle.run(), handle.attempt()).is_some() {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute("what has ended is forgotten", forgotten).await;
}

#[tokio::test]
async fn a_shutdown_brings_an_end_that_is_under_way_forward_and_never_puts_it_off() {
    // What was granted before, and when it is killed by a shutdown in 20 s.
    for (granted, killed_after) in [(Duration::from_secs(60), 18), (Duration::from_secs(2), 2)] {
        let (bench, clock) = Bench::manual().await;
        let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
        let deaf = bench.sh(&format!("trap '' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
        ready.read_to_end().await;
        deaf.terminate(granted);
        clock.until_asleep(1).await;
        let shutdown = tokio::spawn({
            let runner = bench.runner.clone();
            async move { runner.shutdown(Duration::from_secs(20)).await }
        });
        clock.until_asleep(2).await;
        clock.advance(Duration::from_secs(killed_after) - Duration::from_millis(1));
        assert_eq!(clock.sleepers(), 2, "not a millisecond early");
        clock.advance(Duration::from_millis(1));
        assert_eq!(status(&deaf).await, ExitStatus::Signal(9), "granted {granted:?}");
        assert!(shutdown.await.unwrap().unfinished.is_empty());
    }
}

#[tokio::test]
async fn a_shutdown_gives_up_a_held_pipe_within_its_budget() {
    let (bench, clock) = Bench::manual().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    // Out of the group before the child ends, so no signal reaches it; and it keeps the pipe.
    let script = format!(
        "setsid sh -c 'echo > {ready}; read line < {}' & read line < {ready}; exit 0",
        never.path(),
        ready = ready.path()
    );
    let handle = bench.sh(&script).await;
    handle.exited().await;
    let shutdown = tokio::spawn({
        let runner = bench.runner.clone();
        async move { runner.shutdown(Duration::from_secs(1)).await }
    });
    // Long before the drain's own deadline of 5 s.
    clock.until_asleep(3).await;
    clock.advance(Duration::from_millis(750));
    let end = handle.wait().await.unwrap();
    assert!(matches!(exit(&end).output.as_ref().unwrap().drain, Drain::DrainTimedOut { waited_ms: 750, .. }));
    assert!(shutdown.await.unwrap().unfinished.is_empty());
    never.release().await;
}

#[tokio::test]
async fn a_signal_that_is_passed_on_reaches_the_group_and_does_not_insist() {
    let (bench, clock) = Bench::manual().await;
    let (ready, got, go) = (bench.pipe("ready"), bench.pipe("got"), bench.pipe("go"));
    let script = format!(
        "trap 'echo got it > {}' USR1; echo > {}; while :; do read line < {} && exit 4; done",
        got.path(),
        ready.path(),
        go.path()
    );
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    assert!(handle.signal(Signal::USR1));
    assert_eq!(got.read_to_end().await, "got it\n");
    clock.advance(GRACE * 2);
    go.release().await;
    assert_eq!(status(&handle).await, ExitStatus::Code(4));
    assert!(!handle.signal(Signal::USR1), "nobody is left to take it");
}
