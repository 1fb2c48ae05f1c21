//! A3: the process exits; the task that waits for it announces the end at once, while the tasks that pump its output
//! are still at work. Whoever reads up to the end loses the last bytes.

use std::time::Duration;

use tachograph_adapters::process::{Launch, RunHandle, RunnerOptions};
use tachograph_engine::domain::{Drain, Exit, ExitStatus, RunSpec, Stream};
use tachograph_tests::commands::{begin, ends, exit_of, kept, runner, script, with_latch};
use tachograph_tests::naive::ExecQueue;
use tachograph_tests::{Latch, Place, Supervisor};

/// What a reader of the naive event queue gets when the end is announced before the pump has run once more.
fn naive(chunks: &[&[u8]], code: i32) -> (Vec<u8>, Option<i32>) {
    let mut queue = ExecQueue::default();
    let (last, before) = chunks.split_last().expect("some output");
    before.iter().for_each(|chunk| queue.pump(chunk));
    queue.exited(code);
    queue.pump(last);
    queue.collect()
}

/// The receipt agrees with the files, and these are all that was written.
fn assert_complete(handle: &RunHandle, exit: &Exit, stdout: &[u8], stderr: &[u8]) {
    let receipt = exit.output.as_ref().expect("a receipt");
    assert_eq!(receipt.drain, Drain::Drained);
    for (stream, expected, receipt) in
        [(Stream::Stdout, stdout, receipt.stdout), (Stream::Stderr, stderr, receipt.stderr)]
    {
        let kept = kept(handle, stream).unwrap();
        assert_eq!(kept.len(), expected.len(), "{}", stream.name());
        assert!(kept == expected, "{} differs", stream.name());
        assert_eq!(receipt.bytes, expected.len() as u64);
        assert_eq!(receipt.digest.0, *blake3::hash(expected).as_bytes());
    }
}

async fn plays(seed: u64, spec: RunSpec, status: ExitStatus, stdout: &[u8], stderr: &[u8]) {
    let place = Place::new(seed);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let (run, handle) = begin(&runner(&engine, &place), spec, Launch::default()).await;
    let exit = exit_of(&handle).await;
    assert_eq!(exit.status, status);
    assert_complete(&handle, &exit, stdout, stderr);
    assert_eq!(ends(&supervisor.events(run).await), 1, "one end");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn standard_output_only() {
    let (output, code) = naive(&[b"begin\n", b"the last line\n"], 0);
    assert_eq!((output.as_slice(), code), (&b"begin\n"[..], Some(0)), "naive: the last line is lost");
    plays(211, script("echo begin; echo the last line"), ExitStatus::Code(0), b"begin\nthe last line\n", b"").await;
}

#[tokio::test]
async fn both_streams() {
    let text = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done; exit 3";
    let lines = |name: &str| (1..10).map(|i| format!("{name} {i}\n")).collect::<String>().into_bytes();
    let (output, _) = naive(&[b"out 1\n", b"err 1\n", b"out 2\n"], 3);
    assert_eq!(output, b"out 1\nerr 1\n", "naive: the last chunk is lost");
    plays(212, script(text), ExitStatus::Code(3), &lines("out"), &lines("err")).await;
}

/// As large as it was in the incident, written right before the exit.
#[tokio::test]
async fn much_output_right_before_the_exit() {
    const BYTES: usize = 18_900_000;
    let all = vec![b'x'; BYTES];
    let (output, _) = naive(&all.chunks(64 << 10).collect::<Vec<_>>(), 0);
    assert!(output.len() < BYTES, "naive: the last chunk is lost");
    let text = format!("head -c {BYTES} /dev/zero | tr '\\0' x; exit 7");
    plays(213, script(&text), ExitStatus::Code(7), &all, b"").await;
}

/// The exit is seen for certain before the output is at its end: a grandchild still has the pipe, and writes.
#[tokio::test]
async fn the_exit_comes_before_the_end_of_the_output() {
    let (output, _) = naive(&[b"early\n", b"late\n"], 0);
    assert_eq!(output, b"early\n", "naive: what comes late is lost");
    let place = Place::new(214);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let latch = Latch::default();
    let text = "echo early; (read go < \"$LATCH\"; echo late) & exit 0";
    let (run, handle) = begin(&runner(&engine, &place), script(text), with_latch(&latch)).await;
    let grandchild = latch.reached().await;
    handle.exited().await;
    assert_eq!(ends(&supervisor.events(run).await), 0, "no end before the output is drained");
    assert!(handle.ended().is_none());
    grandchild.release();
    let exit = exit_of(&handle).await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    assert_complete(&handle, &exit, b"early\nlate\n", b"");
    assert_eq!(ends(&supervisor.events(run).await), 1);
    engine.close().await.unwrap();
}

/// The output is at its end for certain before the exit.
#[tokio::test]
async fn the_end_of_the_output_comes_before_the_exit() {
    let place = Place::new(215);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let latch = Latch::default();
    let text = "echo all; exec >&- 2>&-; read go < \"$LATCH\"; exit 4";
    let (run, handle) = begin(&runner(&engine, &place), script(text), with_latch(&latch)).await;
    let child = latch.reached().await;
    assert!(handle.ended().is_none(), "the end of the output is not the end of the attempt");
    assert_eq!(ends(&supervisor.events(run).await), 0);
    child.release();
    let exit = exit_of(&handle).await;
    assert_eq!(exit.status, ExitStatus::Code(4));
    assert_complete(&handle, &exit, b"all\n", b"");
    // Naive: the pump's end is taken for the end, and there is no code then.
    let mut queue = ExecQueue::default();
    queue.pump(b"all\n");
    assert_eq!(queue.collect(), (b"all\n".to_vec(), None));
    engine.close().await.unwrap();
}

/// A grandchild that never stops talking can hold up the end until one absolute deadline, and not longer.
#[tokio::test]
async fn a_chatty_grandchild_is_waited_for_until_the_deadline_and_then_named() {
    let (output, _) = naive(&[b"mine\n", b"chat\n"], 5);
    assert_eq!(output, b"mine\n", "naive: nothing says that there was more");
    let place = Place::new(216);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let latch = Latch::default();
    let text = "echo mine; (while echo chat; do :; done) & read go < \"$LATCH\"; exit 5";
    let (run, handle) = begin(&runner(&engine, &place), script(text), with_latch(&latch)).await;
    latch.reached().await.release();
    handle.exited().await;
    // The deadline, and the time after which the exit is noted on disk.
    place.clock.until_asleep(2).await;
    assert_eq!(ends(&supervisor.events(run).await), 0);
    let deadline_ms = RunnerOptions::default().drain_deadline_ms;
    place.clock.advance(Duration::from_millis(deadline_ms - 1));
    tokio::select! {
        biased;
        early = handle.wait() => panic!("a millisecond early: {early:?}"),
        () = place.clock.until_asleep(1) => {}
    }
    place.clock.advance(Duration::from_millis(1));
    let exit = exit_of(&handle).await;
    assert_eq!(exit.status, ExitStatus::Code(5));
    let receipt = exit.output.unwrap();
    let open = vec![Stream::Stdout, Stream::Stderr];
    assert_eq!(receipt.drain, Drain::DrainTimedOut { waited_ms: deadline_ms, open });
    let kept = kept(&handle, Stream::Stdout).unwrap();
    assert!(kept.starts_with(b"mine\n"));
    assert_eq!((receipt.stdout.bytes, receipt.stdout.digest.0), (kept.len() as u64, *blake3::hash(&kept).as_bytes()));
    assert_eq!(ends(&supervisor.events(run).await), 1);
    engine.close().await.unwrap();
}
