//! What the runner leaves behind in its own process: nothing. One test in a process of its own, since zombies,
//! descriptors and threads are counted for the whole process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../process/support.rs"]
#[allow(dead_code, reason = "shared with the other tests of the runner, which use more of it")]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_adapters::process::Launch;
use tachograph_engine::domain::{Drain, ExitStatus, FailureKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use support::{Bench, HANG, command, digest, exit, failure, rounds, sh};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leftovers {
    zombies: usize,
    descriptors: usize,
    threads: usize,
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// Children of this process that nobody has reaped.
fn zombies() -> usize {
    let me = std::process::id().to_string();
    let is_zombie = |stat: String| {
        let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
        fields.next() == Some("Z") && fields.next() == Some(me.as_str())
    };
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats.filter(|stat| is_zombie(stat.clone())).count()
}

fn leftovers() -> Leftovers {
    Leftovers { zombies: zombies(), descriptors: entries("/proc/self/fd"), threads: entries("/proc/self/task") }
}

/// Threads are told to end and do so when they get the processor: looks until the count is right, or for long enough.
#[track_caller]
fn expect(expected: Leftovers, after: &str) {
    let begun = Instant::now();
    while leftovers() != expected && begun.elapsed() < HANG {
        std::thread::yield_now();
    }
    assert_eq!(leftovers(), expected, "{after}");
}

/// Runs a scenario in a runtime and an engine of its own, both of which are gone afterwards.
fn scenario<F: Future<Output = Bench>>(body: impl FnOnce(Bench) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bench = body(Bench::open().await).await;
        bench.engine.close().await.unwrap();
    });
}

async fn failed_starts(bench: Bench) -> Bench {
    let mut foreign = Command::new("sh").args(["-c", "read line; exit 42"]).stdin(Stdio::piped()).spawn().unwrap();
    for _ in 0..8 {
        let handle = bench.launch(command(&["no-such-program"]), Launch::default()).await;
        assert_eq!(failure(&handle.wait().await.unwrap()).kind, FailureKind::NotFound);
        assert_eq!(zombies(), 0);
    }
    foreign.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(foreign.wait().unwrap().code(), Some(42));
    bench
}

async fn many_short_ones(bench: Bench) -> Bench {
    let bench = Arc::new(bench);
    let places = Arc::new(Semaphore::new(16));
    let mut tasks = JoinSet::new();
    for number in 0..rounds(200) {
        let (bench, places) = (bench.clone(), places.clone());
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let code = i32::try_from(number % 256).unwrap();
            let handle = bench.sh(&format!("echo out {number}; echo err {number} >&2; exit {code}")).await;
            let end = handle.wait().await.unwrap();
            let output = exit(&end).output.clone().unwrap();
            assert_eq!(exit(&end).status, ExitStatus::Code(code), "{number}");
            assert_eq!(output.stdout.digest, digest(format!("out {number}\n").as_bytes()), "{number}");
            assert_eq!(output.stderr.digest, digest(format!("err {number}\n").as_bytes()), "{number}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let descriptors = entries("/proc/self/fd");
    let handle = bench.sh("exit 0").await;
    handle.wait().await.unwrap();
    assert_eq!((zombies(), bench.runner.handles().len()), (0, 0));
    // What its task holds goes soon after the end.
    let begun = Instant::now();
    while entries("/proc/self/fd") > descriptors {
        assert!(begun.elapsed() < HANG, "not one more for one more run");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Arc::into_inner(bench).unwrap()
}

async fn held_pipes(bench: Bench) -> Bench {
    let pipes: Vec<_> =
        (0..4).map(|number| (bench.pipe(&format!("ready-{number}")), bench.pipe(&format!("never-{number}")))).collect();
    let mut handles = Vec::new();
    for (ready, never) in &pipes {
        // In a session of its own before the child ends, where no signal to the group reaches it.
        let (ready, never) = (ready.path(), never.path());
        let script = format!("setsid sh -c 'echo > {ready}; read line < {never}' & read line < {ready}; exit 0");
        let handle = bench.sh(&script).await;
        handle.exited().await;
        handles.push(handle);
    }
    bench.runner.shutdown(Duration::from_millis(200)).await;
    for handle in &handles {
        let end = handle.wait().await.unwrap();
        let drain = &exit(&end).output.as_ref().unwrap().drain;
        assert!(matches!(drain, Drain::DrainTimedOut { .. }), "{drain:?}");
    }
    for (_, never) in pipes {
        never.release().await;
    }
    bench
}

async fn killed_ones(bench: Bench) -> Bench {
    let never = bench.pipe("never");
    let mut handles = Vec::new();
    for _ in 0..8 {
        let handle = bench.launch(sh(&format!("trap '' TERM; read line < {}", never.path())), Launch::default()).await;
        handle.terminate(Duration::ZERO);
        handles.push(handle);
    }
    for handle in handles {
        let end = handle.wait().await.unwrap();
        assert!(matches!(exit(&end).status, ExitStatus::Signal(15 | 9)), "{end:?}");
    }
    bench
}

#[test]
fn no_zombie_no_descriptor_and_no_thread_is_left() {
    // What the libraries keep for the whole life of a process is there after the first use.
    scenario(failed_starts);
    scenario(many_short_ones);
    let expected = Leftovers { zombies: 0, ..leftovers() };
    scenario(failed_starts);
    expect(expected, "failed starts");
    scenario(many_short_ones);
    expect(expected, "many short ones");
    scenario(held_pipes);
    expect(expected, "held pipes");
    scenario(killed_ones);
    expect(expected, "killed ones");
}
