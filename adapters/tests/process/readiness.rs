use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::process::{Launch, NotReady, Ready, ReadyCheck, ReadyProbe, RunHandle};
use tachograph_engine::domain::{ExitStatus, Failure, FailureKind, RunSpec, Stream};

use crate::support::{Bench, HANG, command, exit, failure, file, rounds, sh, with_usual_path};

const LIMIT: Duration = Duration::from_secs(30);
/// More than there ever is between two looks.
const PAUSE: Duration = Duration::from_millis(100);

fn at_a_file(path: impl AsRef<Path>) -> ReadyProbe {
    ReadyProbe::File(path.as_ref().to_owned())
}

fn at_a_line(stream: Option<Stream>, text: &str) -> ReadyProbe {
    ReadyProbe::Line { stream, text: text.to_owned() }
}

async fn launch(bench: &Bench, spec: RunSpec, probe: ReadyProbe) -> RunHandle {
    bench.launch(spec, Launch { ready: Some(ReadyCheck { probe, within: LIMIT }), ..Launch::default() }).await
}

/// Lets the time run out, not a millisecond more, and returns what is recorded.
async fn run_out(clock: &ManualClock, handle: &RunHandle) -> Failure {
    let until_asleep = || tokio::time::timeout(HANG, clock.until_asleep(1));
    assert!(until_asleep().await.is_ok(), "it is not ready and looks again");
    clock.advance(LIMIT - Duration::from_millis(1));
    assert!(until_asleep().await.is_ok(), "it is not ready and looks again");
    assert!(handle.ended().is_none(), "not before its time");
    clock.advance(Duration::from_millis(1));
    let ready = tokio::time::timeout(HANG, handle.ready()).await.unwrap();
    let Err(NotReady::TimedOut { end }) = ready else { panic!("it must time out") };
    failure(&end).clone()
}

/// What the runner has put on file of a stream, as soon as it is so much.
async fn until_printed(handle: &RunHandle, stream: &str, bytes: usize) {
    let begun = Instant::now();
    while file(handle, stream).len() < bytes {
        assert!(begun.elapsed() < HANG, "it prints at once");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_file_in_its_directory_shows_it_and_the_time_is_told() {
    let (bench, clock) = Bench::manual().await;
    let (go, made, end) = (bench.pipe("go"), bench.pipe("made"), bench.pipe("end"));
    let script = format!(
        "read line < {}; echo > \"$TACHO_RUN_DIR/up\"; echo > {}; read line < {}; exit 4",
        go.path(),
        made.path(),
        end.path()
    );
    let handle = launch(&bench, sh(&script), at_a_file("up")).await;
    for _ in 0..3 {
        clock.until_asleep(1).await;
        clock.advance(PAUSE);
    }
    clock.until_asleep(1).await;
    go.release().await;
    made.read_to_end().await;
    clock.advance(PAUSE);
    assert_eq!(handle.ready().await.unwrap(), Ready { after: PAUSE * 4 });
    // Whoever asks again is told the same, also after the end; and its time is no longer measured.
    clock.advance(LIMIT * 2);
    end.release().await;
    assert_eq!(exit(&handle.wait().await.unwrap()).status, ExitStatus::Code(4));
    assert_eq!(handle.ready().await.unwrap(), Ready { after: PAUSE * 4 });
}

#[tokio::test]
async fn who_is_not_ready_in_time_is_ended_and_recorded_with_what_was_seen() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let script = format!("echo booting; echo no root disk >&2; read line < {}", never.path());
    let handle = launch(&bench, sh(&script), at_a_file("up")).await;
    until_printed(&handle, "stdout", 8).await;
    until_printed(&handle, "stderr", 13).await;
    let failure = run_out(&clock, &handle).await;
    let path = handle.directory().unwrap().join("up");
    assert_eq!(failure.kind, FailureKind::StartTimeout);
    let message = format!("was not ready within 30000 ms: the file {path:?} did not appear; ended with signal 15");
    assert_eq!(failure.message, message);
    let pid = handle.pid().unwrap();
    assert_eq!(failure.diagnostics.alive, [format!("process {pid}")]);
    assert_eq!(failure.diagnostics.last_output, ["stdout: booting", "stderr: no root disk"]);
    assert_eq!(failure.diagnostics.likely_cause.as_deref(), Some("its last words on standard error: no root disk"));
    let facts = ["process", "stdout_bytes", "stderr_bytes", "ready_check", "ready_file", "ready_within_ms", "ready"];
    let facts = facts.map(|name| failure.diagnostics.facts[name].as_str());
    assert_eq!(facts, ["alive", "8", "13", "file \"up\"", "absent", "30000", "not by its end"]);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn one_that_ignores_the_polite_signal_is_killed_after_the_grace() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let script = format!("trap '' TERM; echo on; read line < {}", never.path());
    let handle = launch(&bench, sh(&script), at_a_line(None, "ready")).await;
    until_printed(&handle, "stdout", 3).await;
    clock.until_asleep(1).await;
    clock.advance(LIMIT);
    // The grace, from when the time was up.
    clock.until_asleep(1).await;
    clock.advance(Duration::from_secs(5));
    let end = handle.wait().await.unwrap();
    assert_eq!(failure(&end).kind, FailureKind::StartTimeout);
    assert!(failure(&end).message.ends_with("the line \"ready\" was not printed; ended with signal 9"), "{end:?}");
}

#[tokio::test]
async fn a_file_that_was_left_by_an_earlier_start_does_not_count() {
    let (bench, clock) = Bench::manual().await;
    let (left, never) = (bench.data.path().join("left"), bench.pipe("never"));
    std::fs::write(&left, "ready").unwrap();
    let handle = launch(&bench, sh(&format!("read line < {}", never.path())), at_a_file(&left)).await;
    let failure = run_out(&clock, &handle).await;
    assert!(failure.message.contains("was there before the start and was not written since"), "{}", failure.message);
    assert_eq!(failure.diagnostics.facts["ready_file"], "present from before the start");
    assert!(failure.diagnostics.likely_cause.unwrap().contains("left by an earlier start"));
    assert_eq!(std::fs::read(&left).unwrap(), b"ready", "nothing is deleted");
}

#[tokio::test]
async fn a_port_that_somebody_else_holds_does_not_count_and_is_named() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let stranger = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = stranger.local_addr().unwrap().port();
    let handle = launch(&bench, sh(&format!("read line < {}", never.path())), ReadyProbe::Port(port)).await;
    let failure = run_out(&clock, &handle).await;
    assert!(failure.message.contains(&format!("port {port} was open before the start")), "{}", failure.message);
    assert_eq!(failure.diagnostics.facts["ready_port"], "open from before the start");
    assert!(failure.diagnostics.likely_cause.unwrap().contains("another process holds port"));
}

#[tokio::test]
async fn a_port_that_opens_after_the_spawn_shows_it() {
    let (bench, clock) = Bench::manual().await;
    let end = bench.pipe("end");
    // Bound all the time, so that nobody else gets it meanwhile; it is open once somebody listens.
    let service = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&service, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(address) = getsockname(&service).unwrap().try_into().unwrap() else { panic!("another family") };
    let port = address.port();
    let handle = launch(&bench, sh(&format!("read line < {}", end.path())), ReadyProbe::Port(port)).await;
    clock.until_asleep(1).await;
    listen(&service, 8).unwrap();
    clock.advance(PAUSE);
    assert_eq!(handle.ready().await.unwrap(), Ready { after: PAUSE });
    end.release().await;
    handle.wait().await.unwrap();
}

#[tokio::test]
async fn what_was_printed_before_the_end_was_ready_every_time() {
    let bench = Bench::open().await;
    for _ in 0..rounds(20) {
        let handle = launch(&bench, sh("echo it is ready now >&2"), at_a_line(None, "is ready")).await;
        assert!(handle.ready().await.is_ok());
        assert_eq!(exit(&handle.wait().await.unwrap()).status, ExitStatus::Code(0));
    }
}

#[tokio::test]
async fn an_end_before_it_is_ready_is_an_end_and_is_told() {
    let bench = Bench::open().await;
    let on_stdout = at_a_line(Some(Stream::Stdout), "ready");
    let handle = launch(&bench, sh("echo ready >&2; exit 3"), on_stdout).await;
    let Err(NotReady::Ended { end }) = handle.ready().await else { panic!("it never got ready") };
    assert_eq!(exit(&end).status, ExitStatus::Code(3));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    let handle = {
        let ready = Some(ReadyCheck { probe: at_a_file("up"), within: LIMIT });
        bench.launch(command(&["no-such-program"]), Launch { ready, ..with_usual_path() }).await
    };
    let Err(NotReady::Ended { end }) = handle.ready().await else { panic!("it never started") };
    assert_eq!(failure(&end).kind, FailureKind::NotFound);
}

#[tokio::test]
async fn without_a_check_it_is_ready_with_its_process_and_a_check_that_cannot_be_met_starts_nothing() {
    let bench = Bench::open().await;
    let handle = bench.sh("exit 0").await;
    assert_eq!(handle.ready().await.unwrap(), Ready { after: Duration::ZERO });
    handle.wait().await.unwrap();
    let run = bench.runner.create(sh("exit 0")).await.unwrap();
    let ready = Some(ReadyCheck { probe: ReadyProbe::Port(0), within: LIMIT });
    let error = bench.runner.start(run, Launch { ready, ..Launch::default() }).await.unwrap_err();
    assert_eq!(error.code(), "ready_check");
    assert_eq!(bench.story(run).await, ["Created"]);
}
