use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::control::{
    CONNECTIONS_OF_ONE_PEER_MAX, ControlGuard, ControlOutcome, ControlRequest, ControlResponse, FirstOutcome,
    RunReport, call,
};
use tachograph_adapters::process::{CONTROL_VARIABLE, Launch, ProcessRunner, RunnerOptions, Shim};
use tachograph_engine::domain::ExitStatus;

use crate::reports::{ask, id, patient, socket, waiting};
use crate::shimmed::within_a_minute;
use crate::support::{Bench, HANG, LONG, by_shims, command, exists, file, output_within, sh, status};

/// As long as what was found of the socket is relied on.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Prints where it may report, or `none`.
const TOLD: &str = "echo ${TACHO_CONTROL-none}";

#[track_caller]
fn error(response: ControlResponse) -> String {
    match response {
        ControlResponse::Error { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_written(response: &ControlResponse) {
    let is_written = matches!(response, ControlResponse::Answer { outcome: ControlOutcome::Written { .. }, .. });
    assert!(is_written, "{response:?}");
}

/// Another runner over the same runs.
fn another(bench: &Bench, shim: Shim) -> ProcessRunner {
    let runs = bench.data.path().join("runs");
    ProcessRunner::with_shim(bench.engine.clone(), runs, RunnerOptions::default(), shim)
}

async fn told(runner: &ProcessRunner) -> String {
    let handle = runner.launch(sh(TOLD), Launch::default()).await.unwrap();
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    String::from_utf8(file(&handle, "stdout")).unwrap().trim().to_owned()
}

async fn until_it_is_gone(bench: &Bench) {
    let gone = async {
        while exists(&socket(bench)) {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute("the socket is gone", gone).await;
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// A report of the run that this process belongs to.
fn line(number: u128, report: &str) -> String {
    let (run, attempt) = (var("TACHO_RUN_ID"), var("TACHO_ATTEMPT_ID"));
    format!(
        r#"{{"v":1,"request":"report","command":"{}","run":"{run}","attempt":"{attempt}","report":{report}}}"#,
        id(number)
    )
}

/// This very program, which does what the test of this name does.
fn this(test: &str) -> String {
    format!("'{}' --exact report_socket::{test} --ignored", std::env::current_exe().unwrap().display())
}

/// What a job does in any language: lines of JSON to the socket that its environment names.
#[test]
#[ignore = "is the child of the tests after it"]
fn as_a_child() {
    let mut stream = UnixStream::connect(var(CONTROL_VARIABLE)).unwrap();
    let mut responses = BufReader::new(stream.try_clone().unwrap()).lines();
    for (number, report) in [(1, r#"{"kind":"waiting","on":"a review"}"#), (2, r#"{"kind":"resume"}"#)] {
        writeln!(stream, "{}", line(number, report)).unwrap();
        let response = responses.next().unwrap().unwrap();
        assert!(response.contains(r#""outcome":{"kind":"written","position":"#), "{response}");
    }
}

#[tokio::test]
async fn children_are_told_one_socket_and_report_over_it() {
    let bench = Bench::open().await;
    let program = std::env::current_exe().unwrap();
    let spec = command(&[program.to_str().unwrap(), "--exact", "report_socket::as_a_child", "--ignored"]);
    let one = bench.launch(spec.clone(), Launch::default()).await;
    let other = bench.launch(spec, Launch::default()).await;
    for handle in [one, other] {
        let said = status(&handle).await;
        assert_eq!(said, ExitStatus::Code(0), "{}", String::from_utf8_lossy(&file(&handle, "stdout")));
        assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Waiting", "Started", "Exited"]);
    }
    assert_eq!(told(&bench.runner).await, socket(&bench).display().to_string());
    assert!(exists(&socket(&bench)), "it stays for the runs to come");
    bench.runner.shutdown(LONG).await;
    assert!(!exists(&socket(&bench)), "nobody listens any more");
}

#[tokio::test]
async fn all_runs_report_over_it_and_nothing_else_is_answered() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let (one, other) = (patient(&bench, &never, None).await, patient(&bench, &never, None).await);
    let path = socket(&bench);
    assert_eq!(path.symlink_metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let (command, run, attempt, guard) = (id(9), one.run(), one.attempt(), ControlGuard::Unconditional);
    for request in [
        ControlRequest::Ping,
        ControlRequest::CancelSnapshot { command, run, guard },
        ControlRequest::Kill { run, attempt, grace_ms: 0 },
        ControlRequest::Destroy { command, run, force: true, why: String::new() },
    ] {
        assert_eq!(error(call(&path, &request, LONG).await.unwrap()), "not_accepted_here", "{request:?}");
    }
    for (number, handle) in [(1, &one), (2, &other)] {
        assert_written(&ask(&path, handle, waiting("x", None), number).await);
        let again = ask(&path, handle, waiting("x", None), number).await;
        let ControlResponse::Answer { outcome: ControlOutcome::Duplicate { of }, .. } = again else {
            panic!("{again:?}")
        };
        assert!(matches!(of, FirstOutcome::Written { version: 3, .. }), "{of:?}");
        assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Waiting"]);
        assert!(bench.refusals(handle.run()).await.is_empty());
    }
    bench.runner.shutdown(LONG).await;
}

/// As for a shell that entered a container: what it starts has a session and a process group that cannot be named there.
#[test]
fn it_answers_where_session_and_group_are_outside_of_the_pid_namespace() {
    let apart = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let possible = std::process::Command::new("unshare").args(apart).arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "no namespaces here, and TACHO_TEST_ALL is set");
        return println!("skipped: namespaces of pids cannot be made here");
    }
    let test = "report_socket::all_runs_report_over_it_and_nothing_else_is_answered";
    let mut inside = std::process::Command::new("unshare");
    inside.args(apart).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let inside = output_within(HANG, &mut inside);
    let told = String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test]
async fn what_a_run_reports_after_its_end_is_refused_and_recorded() {
    let bench = Bench::open().await;
    let handle = bench.sh("exit 3").await;
    handle.wait().await.unwrap();
    let response = ask(&socket(&bench), &handle, waiting("nothing", None), 1).await;
    let ControlResponse::Answer { outcome: ControlOutcome::Refused(refused), .. } = response else {
        panic!("{response:?}")
    };
    assert!(refused.recorded.is_some(), "{refused:?}");
    assert_eq!(bench.refusals(handle.run()).await.len(), 1);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

/// Takes as many connections as one process may have, with a report on each that is not answered before its test says so.
#[test]
#[ignore = "is the child of the test after it"]
fn as_one_that_holds() {
    let streams: Vec<_> = (0..CONNECTIONS_OF_ONE_PEER_MAX)
        .map(|_| {
            let mut stream = UnixStream::connect(var(CONTROL_VARIABLE)).unwrap();
            writeln!(stream, "{}", line(1, r#"{"kind":"waiting","on":"x"}"#)).unwrap();
            stream
        })
        .collect();
    std::fs::write(var("HELD"), "held\n").unwrap();
    for stream in streams {
        assert!(BufReader::new(stream).lines().next().unwrap().unwrap().contains(r#""response":"answer""#));
    }
}

/// Says what it is told that it is no place for it.
#[test]
#[ignore = "is the child of the test after it"]
fn as_one_too_many() {
    let stream = UnixStream::connect(var(CONTROL_VARIABLE)).unwrap();
    let response = BufReader::new(stream).lines().next().unwrap().unwrap();
    std::fs::write(var("TOLD"), response + "\n").unwrap();
}

#[tokio::test]
async fn a_run_that_takes_all_its_connections_keeps_no_other_from_reporting() {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert!(descriptors.is_none_or(|most| most >= 1_024), "with fewer there are fewer connections");
    let bench = Bench::open().await;
    let [begin, more, told, never] = ["begin", "more", "told", "never"].map(|name| bench.pipe(name));
    let held: Vec<_> = (0..4).map(|number| bench.pipe(&format!("held-{number}"))).collect();
    let (holder, one_too_many) = (this("as_one_that_holds"), this("as_one_too_many"));
    let holders: String = held.iter().map(|held| format!("HELD='{}' {holder} & ", held.path())).collect();
    let greedy = format!(
        "read line < {}; {holders} read line < {}; TOLD='{}' {one_too_many}; wait",
        begin.path(),
        more.path(),
        told.path()
    );
    let (greedy, other) = (bench.sh(&greedy).await, patient(&bench, &never, None).await);
    // No report is answered until it is open again, so that no connection comes to its end.
    bench.gate.send_replace(false);
    begin.release().await;
    for held in held {
        assert_eq!(within_a_minute("a process has its connections", held.read_to_end()).await, "held\n");
    }
    more.release().await;
    let told = within_a_minute("one more is told", told.read_to_end()).await;
    assert!(told.contains(r#""code":"busy""#) && told.contains("leads have 32 connections already"), "{told}");
    let path = socket(&bench);
    let reporting = async { ask(&path, &other, waiting("x", None), 1).await };
    let served = async {
        assert_eq!(error(call(&path, &ControlRequest::Ping, LONG).await.unwrap()), "not_accepted_here");
        bench.gate.send_replace(true);
    };
    let (response, ()) = within_a_minute("the other one reports", async { tokio::join!(reporting, served) }).await;
    assert_written(&response);
    assert_eq!(within_a_minute("it ends", status(&greedy)).await, ExitStatus::Code(0));
    never.release().await;
    assert_eq!(status(&other).await, ExitStatus::Code(0));
}

#[tokio::test]
async fn what_outlives_a_killed_supervisor_reports_to_the_next_one_at_the_same_place() {
    let bench = Bench::shimmed().await;
    let never = bench.pipe("never");
    let handle = patient(&bench, &never, None).await;
    let path = socket(&bench);
    assert_eq!(bench.runner.leave(LONG).await, 1);
    assert!(!exists(&path), "whoever left it does not answer");
    // Unlike a listener of this crate, this one leaves its file, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    let next = another(&bench, by_shims());
    let report = next.recover().await.unwrap();
    assert_eq!(report.adopted, [(handle.run(), handle.attempt())], "{report:?}");
    assert_written(&ask(&path, &handle, waiting("x", None), 1).await);
    // It is nobody's for a moment, and yet what it reports is none of a stranger's.
    assert_eq!(next.let_go().await, 1);
    assert_written(&ask(&path, &handle, RunReport::Resume, 2).await);
    assert!(bench.refusals(handle.run()).await.is_empty());
    next.shutdown(LONG).await;
    assert!(!exists(&path));
    never.release().await;
    let last = another(&bench, by_shims());
    last.recover().await.unwrap();
    last.shutdown(LONG).await;
    assert!(bench.engine.live().is_empty());
}

#[tokio::test]
async fn what_is_about_to_be_adopted_is_told_to_report_again_in_a_moment() {
    let bench = Bench::shimmed().await;
    let never = bench.pipe("never");
    let handle = patient(&bench, &never, None).await;
    assert_eq!(bench.runner.leave(LONG).await, 1);
    let next = another(&bench, by_shims());
    // With an attempt of its own it listens already.
    let own = next.launch(sh(&format!("read line < {}", never.path())), Launch::default()).await.unwrap();
    bench.gate.send_replace(false);
    let mut recovering = Box::pin(next.recover());
    assert!(now(&mut recovering).await.is_none(), "it waits for the journal");
    let path = socket(&bench);
    let asked = ask(&path, &handle, waiting("x", None), 1);
    assert_eq!(error(within_a_minute("it is told", asked).await), "starting");
    bench.gate.send_replace(true);
    let report = recovering.await.unwrap();
    assert_eq!(report.adopted, [(handle.run(), handle.attempt())], "{report:?}");
    assert_written(&ask(&path, &handle, waiting("x", None), 1).await);
    assert_written(&ask(&path, &own, waiting("x", None), 2).await);
    assert!(bench.refusals(handle.run()).await.is_empty());
    next.shutdown(LONG).await;
    assert!(bench.engine.live().is_empty());
}

/// What it comes to without waiting.
async fn now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test]
async fn of_two_runners_one_listens_and_the_other_takes_over_once_it_is_gone() {
    let (bench, clock) = Bench::manual().await;
    let second = another(&bench, Shim::Off);
    let path = socket(&bench).display().to_string();
    assert_eq!([told(&bench.runner).await, told(&second).await], [&*path, "none"]);
    bench.runner.shutdown(LONG).await;
    assert!(!exists(&socket(&bench)));
    // What was in vain is not tried with each attempt.
    assert_eq!(told(&second).await, "none");
    clock.advance(LOOK_PAUSE);
    assert_eq!(told(&second).await, path);
    drop(second);
    until_it_is_gone(&bench).await;
}

#[tokio::test]
async fn a_socket_that_somebody_removed_or_replaced_is_bound_again_or_left_alone() {
    let (bench, clock) = Bench::manual().await;
    let path = socket(&bench);
    assert_eq!(told(&bench.runner).await, path.display().to_string());
    std::fs::remove_file(&path).unwrap();
    clock.advance(LOOK_PAUSE);
    let never = bench.pipe("never");
    let handle = patient(&bench, &never, None).await;
    assert_written(&ask(&path, &handle, waiting("x", None), 1).await);
    // Renamed, so that its inode is not given to the next one.
    std::fs::rename(&path, bench.data.path().join("moved")).unwrap();
    let _others = UnixListener::bind(&path).unwrap();
    clock.advance(LOOK_PAUSE);
    assert_eq!(told(&bench.runner).await, "none");
    never.release().await;
    handle.wait().await.unwrap();
    bench.runner.shutdown(LONG).await;
    assert!(exists(&path), "it is somebody else's");
}

#[tokio::test]
async fn the_socket_is_there_as_long_as_the_runner_or_an_attempt() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let handle = patient(&bench, &never, None).await;
    let path = socket(&bench);
    let Bench { data, engine, runner, .. } = bench;
    drop(runner);
    // It hears of nobody who could answer, and not of nobody who listens.
    assert_eq!(error(ask(&path, &handle, waiting("x", None), 1).await), "closed");
    never.release().await;
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    let gone = async {
        while exists(&path) {
            tokio::task::yield_now().await;
        }
    };
    within_a_minute("the socket is gone", gone).await;
    drop((data, engine));
}

#[tokio::test]
async fn without_a_socket_a_run_runs_all_the_same_and_inherits_none() {
    let options = RunnerOptions { report_socket: false, ..RunnerOptions::default() };
    let off = Bench::with(Arc::new(SystemClock), options).await;
    let taken = Bench::open().await;
    std::fs::write(socket(&taken), "no socket").unwrap();
    for bench in [&off, &taken] {
        let env = vec![(CONTROL_VARIABLE.into(), "/another/run".into())];
        let handle = bench.launch(sh(TOLD), Launch { env, ..Launch::default() }).await;
        assert_eq!(status(&handle).await, ExitStatus::Code(0));
        assert_eq!(file(&handle, "stdout"), b"none\n");
    }
    assert_eq!(std::fs::read_to_string(socket(&taken)).unwrap(), "no socket");
    let inside = std::fs::read_dir(off.data.path()).unwrap();
    let inside: Vec<_> = inside.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(inside, ["runs"], "nothing of it is made");
}
