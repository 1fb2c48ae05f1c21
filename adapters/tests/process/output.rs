use std::time::Duration;

use tachograph_adapters::process::{AttemptDirectory, Launch, RunHandle};
use tachograph_engine::domain::{Drain, ExitStatus, ResourceLimits, RunSpec, Stream};
use tokio::io::AsyncReadExt;

use crate::support::{Bench, digest, exit, file, rounds, sh, status};

#[tokio::test]
async fn twenty_megabytes_right_before_the_exit_are_complete_every_time() {
    let bench = Bench::open().await;
    let mut expected = vec![b' '; 20_000_000];
    expected[19_999_999] = b'x';
    let expected = digest(&expected);
    for round in 0..rounds(20) {
        let handle = bench.sh("printf '%20000000s' x; exit 3").await;
        let end = handle.wait().await.unwrap();
        let output = exit(&end).output.as_ref().unwrap();
        assert_eq!(exit(&end).status, ExitStatus::Code(3));
        assert_eq!((output.stdout.bytes, output.stdout.digest), (20_000_000, expected), "round {round}");
        assert_eq!(output.drain, Drain::Drained, "round {round}");
        let path = handle.directory().unwrap().join("stdout");
        assert_eq!(digest(&std::fs::read(&path).unwrap()), expected, "round {round}");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn both_streams_are_told_apart() {
    let bench = Bench::open().await;
    let handle = bench.sh("for i in 1 2 3; do echo out $i; echo err $i >&2; done").await;
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    let (out, err) = (b"out 1\nout 2\nout 3\n", b"err 1\nerr 2\nerr 3\n");
    assert_eq!((output.stdout.bytes, output.stdout.digest), (18, digest(out)));
    assert_eq!((output.stderr.bytes, output.stderr.digest), (18, digest(err)));
    assert_eq!((file(&handle, "stdout"), file(&handle, "stderr")), (out.to_vec(), err.to_vec()));
}

#[tokio::test]
async fn one_stream_alone_leaves_the_other_empty() {
    let bench = Bench::open().await;
    let handle = bench.sh("echo out").await;
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    assert_eq!(output.stdout.digest, digest(b"out\n"));
    assert_eq!((output.stderr.bytes, output.stderr.digest), (0, digest(b"")));
    assert_eq!(output.drain, Drain::Drained);
}

#[tokio::test]
async fn the_end_is_not_told_while_output_may_still_come() {
    let (bench, _clock) = Bench::manual().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("( read line < {}; echo late ) & exit 6", go.path())).await;
    handle.exited().await;
    assert!(handle.ended().is_none());
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started"]);
    go.release().await;
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    assert_eq!((&exit(&end).status, &output.drain), (&ExitStatus::Code(6), &Drain::Drained));
    assert_eq!(output.stdout.digest, digest(b"late\n"));
}

#[tokio::test]
async fn closed_streams_are_no_end() {
    let bench = Bench::open().await;
    let (closed, go) = (bench.pipe("closed"), bench.pipe("go"));
    let script = format!("echo before; exec >&- 2>&-; echo > {}; read line < {}; exit 4", closed.path(), go.path());
    let handle = bench.sh(&script).await;
    closed.read_to_end().await;
    assert!(handle.ended().is_none());
    go.release().await;
    assert_eq!(status(&handle).await, ExitStatus::Code(4));
    assert_eq!(file(&handle, "stdout"), b"before\n");
}

#[tokio::test]
async fn a_chatty_grandchild_is_given_up_at_the_deadline_and_told_so() {
    let (bench, clock) = Bench::manual().await;
    let told = bench.pipe("told");
    // It ends only because its pipe is closed under it.
    let chatty = format!("( trap '' PIPE; while echo chat; do :; done 2>/dev/null; echo closed > {} )", told.path());
    let handle = bench.sh(&format!("echo first; {chatty} & exit 0")).await;
    let told = told.until_all_writers_are_gone();
    handle.exited().await;
    // One sleep is the drain's, the other notes the exit on disk.
    clock.until_asleep(2).await;
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(clock.sleepers(), 1, "not a millisecond early");
    clock.advance(Duration::from_millis(1));
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(0));
    let open = vec![Stream::Stdout];
    let Drain::DrainTimedOut { waited_ms: 5_000, open: still } = &output.drain else { panic!("{:?}", output.drain) };
    assert!(still.starts_with(&open), "{still:?}");
    let kept = file(&handle, "stdout");
    assert_eq!((output.stdout.bytes, output.stdout.digest), (kept.len() as u64, digest(&kept)));
    assert!(kept.starts_with(b"first\n"));
    assert_eq!(told.await.unwrap(), "closed\n");
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

#[tokio::test]
async fn a_silent_grandchild_costs_the_deadline_and_no_byte() {
    let (bench, clock) = Bench::manual().await;
    let never = bench.pipe("never");
    let handle = bench.sh(&format!("( read line < {} ) & echo done; echo oops >&2; exit 2", never.path())).await;
    handle.exited().await;
    clock.advance(Duration::from_secs(5));
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(2));
    let open = vec![Stream::Stdout, Stream::Stderr];
    assert_eq!(output.drain, Drain::DrainTimedOut { waited_ms: 5_000, open });
    assert_eq!((output.stdout.digest, output.stderr.digest), (digest(b"done\n"), digest(b"oops\n")));
    let noted: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    assert_eq!(noted["lingering"].as_array().unwrap().len(), 1, "the grandchild is named: {noted}");
    never.release().await;
}

#[tokio::test]
async fn output_is_passed_through_whole_to_a_slow_reader() {
    let bench = Bench::open().await;
    let (mut out, to_out) = tokio::io::duplex(7);
    let (mut err, to_err) = tokio::io::duplex(7);
    let launch = Launch { stdout: Some(Box::new(to_out)), stderr: Some(Box::new(to_err)), ..Launch::default() };
    let handle = bench.launch(sh("printf '%300000s' x; echo oops >&2"), launch).await;
    // Nobody has read yet, and the end is told all the same.
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    let (mut seen_out, mut seen_err) = (Vec::new(), Vec::new());
    let (one, two) = tokio::join!(out.read_to_end(&mut seen_out), err.read_to_end(&mut seen_err));
    one.and(two).unwrap();
    handle.passed_through().await;
    assert_eq!((seen_out, seen_err), (file(&handle, "stdout"), b"oops\n".to_vec()));
}

#[tokio::test]
async fn a_broken_reader_does_not_stop_the_capture() {
    let bench = Bench::open().await;
    let (reader, to) = tokio::io::duplex(1);
    drop(reader);
    let launch = Launch { stdout: Some(Box::new(to)), ..Launch::default() };
    let handle = bench.launch(sh("printf '%300000s' x"), launch).await;
    let end = handle.wait().await.unwrap();
    assert_eq!(exit(&end).output.as_ref().unwrap().stdout.bytes, 300_000);
    handle.passed_through().await;
}

#[tokio::test]
async fn a_limit_on_output_bounds_the_files_of_both_streams_together() {
    let bench = Bench::open().await;
    let limits = ResourceLimits { output_bytes: Some(1_000), ..ResourceLimits::default() };
    // The beginning goes to whoever comes first, so stderr begins once stdout's has arrived.
    let arrived = "until [ -s \"$TACHO_RUN_DIR/stdout\" ]; do sleep 0.01; done";
    let spec = RunSpec { limits, ..sh(&format!("printf 'first%900s' x; {arrived}; printf '%900slast' x >&2")) };
    let handle = bench.launch(spec, Launch::default()).await;
    let end = handle.wait().await.unwrap();
    let output = exit(&end).output.as_ref().unwrap();
    assert_eq!((output.stdout.bytes, output.stderr.bytes), (905, 904), "all of it was received");
    let [out, err] = [Stream::Stdout, Stream::Stderr].map(|stream| kept(&bench, &handle, stream));
    assert!(out.starts_with(b"first") && err.ends_with(b"last"));
    let all = out.len() + err.len();
    assert!(all <= 1_000 && all > 900, "{all}");
    let noted: serde_json::Value = serde_json::from_slice(&file(&handle, "exit.json")).unwrap();
    let left_out = ["stdout_bytes", "stderr_bytes"].map(|name| noted["left_out"][name].as_u64().unwrap());
    assert_eq!(left_out, [905 - out.len() as u64, 904 - err.len() as u64]);
}

/// The beginning and the end of a stream, as far as they are on disk.
fn kept(bench: &Bench, handle: &RunHandle, stream: Stream) -> Vec<u8> {
    let runs = bench.data.path().join("runs");
    let directory = AttemptDirectory::of(&runs, handle.run(), handle.ordinal().unwrap());
    let parts = directory.output_parts(stream).unwrap().into_iter().map(|part| part.path);
    std::iter::once(directory.output(stream)).chain(parts).flat_map(|path| std::fs::read(path).unwrap()).collect()
}

#[tokio::test]
async fn more_output_than_is_kept_is_passed_through_to_its_last_line() {
    let bench = Bench::open().await;
    let limits = ResourceLimits { output_bytes: Some(4_096), ..ResourceLimits::default() };
    let (mut out, to_out) = tokio::io::duplex(100);
    let launch = Launch { stdout: Some(Box::new(to_out)), ..Launch::default() };
    let handle = bench.launch(RunSpec { limits, ..sh("seq 20000; echo no such file >&2; exit 3") }, launch).await;
    assert_eq!(status(&handle).await, ExitStatus::Code(3));
    let mut seen = Vec::new();
    out.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, kept(&bench, &handle, Stream::Stdout));
    assert!(seen.starts_with(b"1\n2\n3\n") && seen.ends_with(b"\n19999\n20000\n"));
    assert_eq!(kept(&bench, &handle, Stream::Stderr), b"no such file\n");
}
