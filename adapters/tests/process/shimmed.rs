use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tachograph_adapters::clock::{ManualClock, SystemClock};
use tachograph_adapters::process::{
    Identity, Launch, ProcessIdentity, ProcessRunner, RunHandle, RunnerOptions, Shim, ShutdownTimes,
};
use tachograph_engine::domain::{
    CommandId, Drain, ExitStatus, FailureKind, Outcome, ResourceLimits, RunSpec, Status, Timestamp, Witness,
};
use tachograph_engine::ports::Deadlines;

use crate::support::{
    Bench, HANG, LONG, UNDER_SHIMS, by_shims, command, digest, exit, failure, file, output_within, sh, status,
};

fn identity(bench: &Bench, handle: &RunHandle) -> Identity {
    let runs = bench.data.path().join("runs");
    let directory = tachograph_adapters::process::AttemptDirectory::of(&runs, handle.run(), handle.ordinal().unwrap());
    Identity::read(&directory, handle.run(), handle.attempt()).unwrap().unwrap()
}

pub(crate) fn pid(process: u32) -> Pid {
    Pid::from_raw(i32::try_from(process).unwrap()).unwrap()
}

/// Waits until a process has ended, whoever its parent is.
pub(crate) async fn until_gone(process: u32) {
    crate::support::blocking(move || {
        let Ok(pidfd) = pidfd_open(pid(process), PidfdFlags::empty()) else { return };
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let wait = rustix::event::Timespec { tv_sec: HANG.as_secs().cast_signed(), tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&wait)).unwrap(), 1, "process {process} does not end");
    })
    .await;
}

/// Everything but what needs a clock in the hand of the test: a shim has its own.
#[test]
fn what_holds_for_plain_children_holds_under_shims() {
    if std::env::var_os(UNDER_SHIMS).is_some() {
        return;
    }
    let mut tests = Command::new(std::env::current_exe().unwrap());
    // A crash of the supervisor means something else to them.
    for left_out in ["recovery::", "shimmed::", "full_disk::", "left_behind::", "threads::"] {
        tests.args(["--skip", left_out]);
    }
    // That is many tests, of which each has its own bound.
    let output = output_within(LONG, tests.env(UNDER_SHIMS, "1"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("test exits::"), "none was run");
}

#[tokio::test]
async fn the_end_is_the_shims_word_and_nobody_is_left() {
    let bench = Bench::shimmed().await;
    let (ready, go) = (bench.pipe("ready"), bench.pipe("go"));
    let script = format!("echo out; echo err >&2; echo > {}; read line < {}; exit 7", ready.path(), go.path());
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    let identity = identity(&bench, &handle);
    let (shim, process) = (identity.shim.unwrap(), identity.process.unwrap());
    assert_eq!(handle.pid(), Some(process.pid));
    let parent = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    assert_eq!(parent.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap(), shim.pid.to_string());
    assert_eq!(ProcessIdentity::of(shim.pid).unwrap(), shim);
    go.release().await;
    let end = handle.wait().await.unwrap();
    let exit = exit(&end);
    assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(7), Witness::Waited));
    let output = exit.output.as_ref().unwrap();
    assert_eq!((output.stdout.digest, output.stderr.digest), (digest(b"out\n"), digest(b"err\n")));
    assert_eq!(output.drain, Drain::Drained);
    bench.runner.shutdown(LONG).await;
    // Reaped by its own handle: not even a zombie has its pid.
    assert!(ProcessIdentity::of(shim.pid).is_err());
}

/// A program that stands in for a shim: it takes its assignment if it hears, says that it is there, and stands still before
/// it has started anything.
fn stuck(bench_dir: &std::path::Path, ready: &crate::support::Pipe, hears: bool) -> Shim {
    let program = bench_dir.join("stuck-shim");
    let hearing = if hears { "cat > /dev/null\n" } else { "" };
    crate::support::program(&program, &format!("#!/bin/sh\n{hearing}echo > {}\nkill -STOP $$\n", ready.path()));
    Shim::Program(program)
}

/// A start that came as far as to a shim which does not go on.
async fn stuck_start(place: &std::path::Path) -> Stuck {
    start_of(place, true, Launch::default()).await
}

/// A start that came as far as to a shim which does not take all of what it is told: no pipe holds that.
async fn unheard_start(place: &std::path::Path) -> Stuck {
    start_of(place, false, Launch { env: much_of_it(), ..Launch::default() }).await
}

/// More than a pipe holds.
fn much_of_it() -> Vec<(OsString, OsString)> {
    ["MUCH", "MORE"].map(|name| (name.into(), "x".repeat(100_000).into())).into()
}

async fn start_of(place: &std::path::Path, hears: bool, launch: Launch) -> Stuck {
    let (ready, clock) = (crate::support::Pipe::make(place.join("ready")), ManualClock::new(Timestamp::from_micros(0)));
    let shim = stuck(place, &ready, hears);
    let bench = Bench::under(shim, Arc::new(clock.clone()), RunnerOptions::default()).await;
    let runner = bench.runner.clone();
    let launching = tokio::spawn(async move { runner.launch(command(&["true"]), launch).await.unwrap() });
    within_a_minute("the shim is there", ready.read_to_end()).await;
    (bench, clock, launching)
}

pub(crate) async fn within_a_minute<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited a minute until {what}"))
}

/// A start that does not go on, the clock that it is under, and what it will lead to.
type Stuck = (Bench, ManualClock, tokio::task::JoinHandle<RunHandle>);

/// A shutdown kills the shim before its budget of ten seconds is over.
async fn is_killed_by_a_shutdown((bench, clock, launching): Stuck) {
    let runner = bench.runner.clone();
    let shutdown = tokio::spawn(async move { runner.shutdown(Duration::from_secs(10)).await });
    // Whoever follows the shim, and the shutdown itself.
    within_a_minute("both have heard of the end", clock.until_asleep(2)).await;
    clock.advance(Duration::from_millis(9_500));
    let handle = within_a_minute("its start is over", launching).await.unwrap();
    let told = format!("{:?}", handle.wait().await.unwrap().outcome);
    assert!(told.contains("killed by signal 9") && told.contains("before the time to end it was over"), "{told}");
    let report = within_a_minute("all is recorded", shutdown).await.unwrap();
    assert_eq!((report.ended, report.unfinished.len()), (1, 0));
}

/// Leaves all runs to their shims in ten seconds; returns how many were left, and the handle of the one.
async fn left(bench: &Bench, clock: &ManualClock, launching: tokio::task::JoinHandle<RunHandle>) -> (usize, RunHandle) {
    let runner = bench.runner.clone();
    let leaving = tokio::spawn(async move { runner.leave(Duration::from_secs(10)).await });
    within_a_minute("it waits for the start", clock.until_asleep(1)).await;
    clock.advance(Duration::from_secs(10));
    let left = within_a_minute("all is left", leaving).await.unwrap();
    (left, within_a_minute("its start is not waited for", launching).await.unwrap())
}

#[tokio::test]
async fn a_shim_that_does_not_start_its_command_is_killed_within_the_budget_of_a_shutdown() {
    let place = tempfile::tempdir().unwrap();
    is_killed_by_a_shutdown(stuck_start(place.path()).await).await;
}

#[tokio::test]
async fn a_shim_that_does_not_start_its_command_is_killed_when_the_attempt_is_terminated() {
    let place = tempfile::tempdir().unwrap();
    let (bench, clock, launching) = stuck_start(place.path()).await;
    bench.runner.handles()[0].terminate(Duration::from_secs(5));
    within_a_minute("it has heard of the end", clock.until_asleep(1)).await;
    clock.advance(Duration::from_millis(6_999));
    assert!(!launching.is_finished(), "it may still come to its start");
    clock.advance(Duration::from_millis(1));
    let handle = within_a_minute("its start is over", launching).await.unwrap();
    let told = format!("{:?}", handle.wait().await.unwrap().outcome);
    assert!(told.contains("killed by signal 9") && told.contains("before the time to end it was over"), "{told}");
}

#[tokio::test]
async fn a_start_that_comes_to_nothing_is_left_to_its_shim_within_the_time_for_that() {
    let place = tempfile::tempdir().unwrap();
    let (bench, clock, launching) = stuck_start(place.path()).await;
    let (count, handle) = left(&bench, &clock, launching).await;
    assert_eq!(count, 1);
    assert!(handle.is_left() && handle.wait().await.is_err());
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started"], "nothing is made up about it");
    crate::support::end_all_of(handle.attempt());
}

#[tokio::test]
async fn a_shim_that_does_not_hear_what_it_is_told_is_killed_within_the_budget_of_a_shutdown() {
    let place = tempfile::tempdir().unwrap();
    is_killed_by_a_shutdown(unheard_start(place.path()).await).await;
}

#[tokio::test]
async fn a_shim_that_has_heard_half_when_it_is_left_has_executed_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (bench, clock, launching) = unheard_start(place.path()).await;
    let (_, handle) = left(&bench, &clock, launching).await;
    assert!(handle.is_left(), "{handle:?}");
    crate::support::end_all_of(handle.attempt());
    let runs = bench.data.path().join("runs");
    let runner = ProcessRunner::with_shim(bench.engine.clone(), runs, RunnerOptions::default(), by_shims());
    let report = within_a_minute("it is looked after", runner.recover()).await.unwrap();
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Reconciled", "Failed"], "{report:?}");
    let record = bench.record(handle.run()).await;
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    let Some(Outcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.kind, FailureKind::StartAbandoned);
}

#[tokio::test]
async fn a_shim_hears_all_of_what_no_pipe_holds() {
    let bench = Bench::shimmed().await;
    let launch = Launch { env: much_of_it(), ..Launch::default() };
    let handle = bench.launch(sh("echo ${#MUCH} ${#MORE}"), launch).await;
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    assert_eq!(file(&handle, "stdout"), b"100000 100000\n");
}

/// A command whose child tells its pid, and is deaf to everything that can be ignored; neither ends by itself.
fn deaf_child(ready: impl std::fmt::Display, never: impl std::fmt::Display) -> String {
    format!(
        "(trap '' HUP TERM PIPE INT; read p rest < /proc/self/stat; echo $p > {ready}; exec > /dev/null 2>&1; \
         read line < {never}) & read line < {never}"
    )
}

#[tokio::test]
async fn a_killed_shim_is_an_unknown_end_and_its_group_does_not_go_on() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    // The kernel kills the leader; its child would live on, deaf to everything that can be ignored.
    let handle = bench.sh(&deaf_child(ready.path(), never.path())).await;
    let grandchild: u32 = ready.read_to_end().await.trim().parse().unwrap();
    let shim = identity(&bench, &handle).shim.unwrap();
    kill_process(pid(shim.pid), Signal::KILL).unwrap();
    let end = handle.wait().await.unwrap();
    let exit = exit(&end);
    let ExitStatus::Unknown { cause } = &exit.status else { panic!("{exit:?}") };
    assert!(cause.starts_with("its shim was killed by signal 9, and there is no exit record"), "{cause}");
    assert!(cause.contains(&format!("process {grandchild}")), "what was killed is named: {cause}");
    assert_eq!((exit.witness, &exit.output), (Witness::Synthesised, &None));
    until_gone(grandchild).await;
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    let on_disk: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    assert_eq!(on_disk["status"]["unknown"], cause.as_str(), "a recovery would record the same");
}

#[tokio::test]
async fn a_run_that_takes_its_identity_away_was_executed_all_the_same() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let handle = bench.sh(&deaf_child(ready.path(), never.path())).await;
    let grandchild: u32 = ready.read_to_end().await.trim().parse().unwrap();
    let shim = identity(&bench, &handle).shim.unwrap();
    std::fs::remove_file(handle.directory().unwrap().join("identity.json")).unwrap();
    kill_process(pid(shim.pid), Signal::KILL).unwrap();
    let end = handle.wait().await.unwrap();
    let ExitStatus::Unknown { cause } = &exit(&end).status else { panic!("{end:?}") };
    assert!(cause.starts_with("its shim was killed by signal 9 and its identity is gone, and there is no"), "{cause}");
    assert!(cause.contains(&format!("process {grandchild}")), "what was killed is named: {cause}");
    until_gone(grandchild).await;
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

#[tokio::test]
async fn a_run_that_takes_its_requests_away_is_ended_all_the_same() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let away = format!("rm $TACHO_RUN_DIR/requests; echo > {}; read line < {}", ready.path(), never.path());
    let polite = bench.sh(&away).await;
    ready.read_to_end().await;
    polite.terminate(LONG);
    assert_eq!(status(&polite).await, ExitStatus::Signal(15));
    let deaf = bench.sh(&format!("trap '' TERM; {away}")).await;
    ready.read_to_end().await;
    deaf.terminate(Duration::ZERO);
    assert_eq!(status(&deaf).await, ExitStatus::Signal(9));
}

#[tokio::test]
async fn requests_that_are_taken_away_after_the_start_are_open_already() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let handle = bench.sh(&format!("trap 'exit 5' USR1; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    std::fs::remove_file(handle.directory().unwrap().join("requests")).unwrap();
    assert!(handle.signal(Signal::USR1));
    assert_eq!(status(&handle).await, ExitStatus::Code(5));
}

#[tokio::test]
async fn an_adopted_run_without_requests_is_ended_by_signals_to_its_shim() {
    let patient = RunnerOptions { grace_ms: 600_000, ..RunnerOptions::default() };
    let bench = Bench::under(by_shims(), Arc::new(SystemClock), patient).await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let deaf = bench.sh(&format!("trap '' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    assert_eq!(bench.runner.leave(Duration::from_secs(5)).await, 1);
    std::fs::remove_file(deaf.directory().unwrap().join("requests")).unwrap();
    let runs = bench.data.path().join("runs");
    let runner = ProcessRunner::with_shim(bench.engine.clone(), runs, RunnerOptions::default(), by_shims());
    let report = runner.recover().await.unwrap();
    assert_eq!(report.adopted, [(deaf.run(), deaf.attempt())], "{report:?}");
    // One TERM alone would leave it the shim's own grace. All the rest of this is patience.
    let report = runner.shutdown_in(ShutdownTimes::at_once(Duration::from_secs(60))).await;
    assert_eq!((report.ended, report.unfinished.len()), (1, 0));
    let record = bench.record(deaf.run()).await;
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    let Some(Outcome::Exited { exit, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(exit.status, ExitStatus::Signal(9));
}

/// Waits until the kernel's account of a process says this.
async fn until_said_of(process: u32, file: &str, is_said: impl Fn(&str) -> bool) {
    let said = async {
        while !is_said(&std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute("it is said of the process", said).await;
}

#[tokio::test]
async fn a_shim_that_heard_two_terms_as_one_hears_another() {
    let clock = ManualClock::new(Timestamp::from_micros(0));
    let patient = RunnerOptions { grace_ms: 600_000, ..RunnerOptions::default() };
    let bench = Bench::under(by_shims(), Arc::new(clock.clone()), patient).await;
    let (ready, told, never) = (bench.pipe("ready"), bench.pipe("told"), bench.pipe("never"));
    let script = "trap 'echo > TOLD' TERM; echo > READY; while :; do read line < NEVER; done";
    let script = script.replace("TOLD", told.path()).replace("READY", ready.path()).replace("NEVER", never.path());
    let stubborn = bench.sh(&script).await;
    ready.read_to_end().await;
    let shim = identity(&bench, &stubborn).shim.unwrap().pid;
    assert_eq!(bench.runner.leave(Duration::from_secs(5)).await, 1);
    std::fs::remove_file(stubborn.directory().unwrap().join("requests")).unwrap();
    let runs = bench.data.path().join("runs");
    let runner = ProcessRunner::with_shim(bench.engine.clone(), runs, RunnerOptions::default(), by_shims());
    assert_eq!(runner.recover().await.unwrap().adopted.len(), 1);
    kill_process(pid(shim), Signal::STOP).unwrap();
    until_said_of(shim, "stat", |stat| stat.rsplit_once(')').unwrap().1.starts_with(" T")).await;
    let shutdown = tokio::spawn(async move { runner.shutdown_in(ShutdownTimes::at_once(LONG)).await });
    let is_term_pending = |status: &str| {
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
        u64::from_str_radix(pending.trim(), 16).unwrap() & 1 << (Signal::TERM.as_raw() - 1) != 0
    };
    until_said_of(shim, "status", is_term_pending).await;
    // Time for the second, which is lost in the first.
    let asleep = clock.sleepers();
    clock.advance(Duration::from_millis(50));
    within_a_minute("it will be told again", clock.until_asleep(asleep)).await;
    kill_process(pid(shim), Signal::CONT).unwrap();
    within_a_minute("the first is passed on", told.read_to_end()).await;
    clock.advance(Duration::from_millis(50));
    let report = within_a_minute("it is killed", shutdown).await.unwrap();
    assert_eq!((report.ended, report.unfinished.len()), (1, 0));
    let record = bench.record(stubborn.run()).await;
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    assert!(
        matches!(outcome, Some(Outcome::Exited { exit, .. }) if exit.status == ExitStatus::Signal(9)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_shim_that_is_killed_while_it_drains_has_noted_the_status() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let script =
        format!("(read p rest < /proc/self/stat; echo $p > {}; read line < {}) & exit 6", ready.path(), never.path());
    let handle = bench.sh(&script).await;
    let grandchild: u32 = ready.read_to_end().await.trim().parse().unwrap();
    handle.exited().await;
    let noted = handle.directory().unwrap().join("exit.json");
    while !noted.exists() {
        tokio::task::yield_now().await;
    }
    kill_process(pid(identity(&bench, &handle).shim.unwrap().pid), Signal::KILL).unwrap();
    let end = handle.wait().await.unwrap();
    let exit = exit(&end);
    assert_eq!((&exit.status, exit.witness, &exit.output), (&ExitStatus::Code(6), Witness::ExitFile, &None));
    until_gone(grandchild).await;
}

#[tokio::test]
async fn a_claim_in_the_record_s_place_is_no_word_of_a_killed_shim() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let claim = r#"{"run":"%s","attempt":"%s","status":{"code":0}}"#;
    let script = format!(
        "printf '{claim}' $TACHO_RUN_ID $TACHO_ATTEMPT_ID > $TACHO_RUN_DIR/exit.json; echo > {}; read line < {}",
        ready.path(),
        never.path()
    );
    let handle = bench.sh(&script).await;
    ready.read_to_end().await;
    kill_process(pid(identity(&bench, &handle).shim.unwrap().pid), Signal::KILL).unwrap();
    let end = handle.wait().await.unwrap();
    let ExitStatus::Unknown { cause } = &exit(&end).status else { panic!("{end:?}") };
    assert!(cause.contains("the exit record is not its own"), "{cause}");
    assert!(bench.refusals(handle.run()).await.is_empty(), "it amends nothing either");
}

#[tokio::test]
async fn a_command_of_any_length_reaches_its_shim() {
    let bench = Bench::shimmed().await;
    // Within what waits in the pipe before the shim is there, around that, and beyond what any pipe holds.
    for bytes in [1, 1_000, 3_000, 4_096, 5_000, 60_000, 120_000] {
        let word = "x".repeat(bytes);
        let end = bench.launch(command(&["printf", "%s", &word]), Launch::default()).await.wait().await.unwrap();
        let output = exit(&end).output.as_ref().unwrap();
        assert_eq!(
            (output.stdout.bytes, output.stdout.digest),
            (bytes as u64, digest(word.as_bytes())),
            "{bytes} bytes"
        );
    }
}

#[tokio::test]
async fn a_shim_that_cannot_be_started_is_a_failed_start() {
    let data = tempfile::tempdir().unwrap();
    let absent = data.path().join("no-such-shim");
    let bench = Bench::under(Shim::Program(absent), Arc::new(SystemClock), RunnerOptions::default()).await;
    let handle = bench.sh("exit 0").await;
    let end = handle.wait().await.unwrap();
    let failed = failure(&end);
    assert_eq!(failed.kind, FailureKind::SpawnFailed);
    assert!(failed.message.contains("no-such-shim"), "{}", failed.message);
    assert_eq!(handle.pid(), None);
    // One that is no shim at all goes without a word.
    let bench = Bench::under(Shim::Program("/bin/true".into()), Arc::new(SystemClock), RunnerOptions::default()).await;
    let handle = bench.sh("exit 0").await;
    let end = handle.wait().await.unwrap();
    let failed = failure(&end);
    assert_eq!(failed.kind, FailureKind::SpawnFailed);
    assert_eq!(failed.message, "its shim ended with code 0 before anything was executed");
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn limits_and_deadlines_fail_an_attempt_as_they_do_without_a_shim() {
    let bench = Bench::shimmed().await;
    let never = bench.pipe("never");
    let script = format!("echo working; read line < {}", never.path());
    let mut tried = [150, 3_000, 60_000].into_iter();
    let (wall_ms, failed) = loop {
        // The shim has a clock of its own. A machine that is busy otherwise may not let the command print anything in so
        // short a time.
        let wall_ms = tried.next().expect("it never prints anything");
        let limits = ResourceLimits { wall_ms: Some(wall_ms), ..ResourceLimits::default() };
        let handle = bench.launch(RunSpec { limits, ..sh(&script) }, Launch::default()).await;
        let failed = failure(&handle.wait().await.unwrap()).clone();
        if !failed.diagnostics.last_output.is_empty() {
            break (wall_ms, failed);
        }
    };
    assert_eq!(failed.kind, FailureKind::TimedOut);
    assert_eq!(failed.message, format!("ran longer than its limit of {wall_ms} ms; ended with signal 15"));
    let facts = &failed.diagnostics.facts;
    assert_eq!((facts["exit_status"].as_str(), facts["stdout_bytes"].as_str()), ("signal 15", "8"));
    assert!(facts.contains_key("resident_bytes_max"), "{facts:?}");
    assert_eq!(failed.diagnostics.last_output, ["stdout: working"]);

    let handle = bench.sh(&script).await;
    let report =
        tachograph_adapters::control::RunReport::Waiting { on: "a review".to_owned(), deadline_in_ms: Some(1) };
    let id = CommandId::from_ulid(bench.engine.mint());
    bench.runner.report(handle.run(), handle.attempt(), report, id).await.unwrap();
    let Status::Waiting { deadline: Some(due), .. } = bench.record(handle.run()).await.run.status.clone() else {
        panic!("it does not wait")
    };
    bench.runner.passed(handle.run(), handle.attempt(), due).await;
    let end = handle.wait().await.unwrap();
    assert_eq!(failure(&end).kind, FailureKind::TimedOut);
    assert!(failure(&end).message.starts_with("waited on \"a review\" until"), "{}", failure(&end).message);
    let on_disk: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    assert_eq!(on_disk["failure"]["kind"], "timed_out", "a recovery would record the same");
}

#[tokio::test]
async fn a_shutdown_ends_what_shims_look_after() {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let polite = bench.sh(&format!("trap 'exit 7' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    let deaf = bench.sh(&format!("trap '' TERM; echo > {}; read line < {}", ready.path(), never.path())).await;
    ready.read_to_end().await;
    let runner = bench.runner.clone();
    let shutdown = tokio::spawn(async move { runner.shutdown(LONG).await });
    assert_eq!(status(&polite).await, ExitStatus::Code(7));
    assert!(deaf.ended().is_none());
    // Asked again, with less time.
    bench.runner.shutdown(Duration::from_millis(1)).await;
    assert_eq!(status(&deaf).await, ExitStatus::Signal(9));
    let report = within_a_minute("all is recorded", shutdown).await.unwrap();
    assert_eq!((report.ended, report.unfinished.len()), (2, 0));
    assert!(bench.engine.live().is_empty());
}

#[tokio::test]
async fn the_budget_of_a_shutdown_and_not_the_grace_is_what_runs_have_to_end() {
    let brief = RunnerOptions { grace_ms: 1, ..RunnerOptions::default() };
    for shim in [by_shims(), Shim::Off] {
        let bench = Bench::under(shim, Arc::new(SystemClock), brief).await;
        let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
        // Longer than the grace by far.
        let script = "trap 'sleep 0.3; echo saved; exit 8' TERM";
        let saving = bench.sh(&format!("{script}; echo > {}; read line < {}", ready.path(), never.path())).await;
        ready.read_to_end().await;
        let report = within_a_minute("all is recorded", bench.runner.shutdown(LONG)).await;
        assert_eq!((report.ended, report.unfinished.len()), (1, 0));
        assert_eq!((status(&saving).await, file(&saving, "stdout")), (ExitStatus::Code(8), b"saved\n".to_vec()));
    }
}

#[tokio::test]
async fn a_shutdown_has_a_held_pipe_given_up_within_its_budget() {
    let options = RunnerOptions { drain_deadline_ms: 600_000, ..RunnerOptions::default() };
    // The shim has a clock of its own. On this one no time passes: all that ends the wait is what the shim was told.
    let clock = ManualClock::new(Timestamp::from_micros(0));
    let bench = Bench::under(by_shims(), Arc::new(clock), options).await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    // Out of the group before the command ends, so no signal reaches it; and it keeps the pipe.
    let script = format!(
        "setsid sh -c 'echo > {ready}; read line < {}' & read line < {ready}; exit 0",
        never.path(),
        ready = ready.path()
    );
    let handle = bench.sh(&script).await;
    handle.exited().await;
    let shutdown = bench.runner.shutdown(Duration::from_secs(1));
    let report = within_a_minute("the drain is given up", shutdown).await;
    never.release().await;
    assert!(report.unfinished.is_empty(), "{report:?}");
    let end = handle.wait().await.unwrap();
    assert!(matches!(exit(&end).output.as_ref().unwrap().drain, Drain::DrainTimedOut { .. }), "{end:?}");
}

#[tokio::test]
async fn a_command_without_its_own_environment_gets_none_of_the_supervisors() {
    let bench = Bench::shimmed().await;
    let launch = Launch { env_clear: true, env: vec![("ONLY".into(), "this".into())], ..Launch::default() };
    let handle = bench.launch(command(&["/usr/bin/env"]), launch).await;
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    let told = String::from_utf8(file(&handle, "stdout")).unwrap();
    let names: Vec<_> = told.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let expected = ["ONLY", "TACHO_ATTEMPT", "TACHO_ATTEMPT_ID", "TACHO_CONTROL", "TACHO_RUN_DIR", "TACHO_RUN_ID"];
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}
