use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, geteuid, getrlimit, setrlimit};
use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::process::{RunnerOptions, Shim};
use tachograph_adapters::threads::is_starting;
use tachograph_engine::domain::{ExitStatus, FailureKind};

use crate::lonely::{executable, lonely, reachable};
use crate::support::{Bench, HANG, exists, failure, file, output_within, status};

const ALONE: &str = "TACHO_TEST_ALONE";

/// Panics that a library made an error of, and others.
static CONTAINED: AtomicUsize = AtomicUsize::new(0);
static OTHERS: AtomicUsize = AtomicUsize::new(0);

/// Runs in a process of its own, whose limit on threads binds it: that of root would not.
fn alone<F: Future<Output = ()>>(test: &str, user: u32, body: impl FnOnce() -> F) {
    if std::env::var_os(ALONE).is_some() {
        std::panic::set_hook(Box::new(|info| {
            if is_starting() {
                CONTAINED.fetch_add(1, Ordering::SeqCst);
            } else {
                OTHERS.fetch_add(1, Ordering::SeqCst);
                println!("{info}");
            }
        }));
        // Nothing keeps a thread for what may block, as in a library user's runtime that has been idle.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.thread_keep_alive(Duration::from_millis(1)).enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(HANG, body()).await.unwrap_or_else(|_| panic!("a run is forgotten"))
        });
        assert_eq!(OTHERS.load(Ordering::SeqCst), 0, "it panicked");
        return;
    }
    let (tests, _copy) = executable(&std::env::current_exe().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", "exec /proc/self/fd/0 --exact \"$0\" --nocapture", &format!("threads::{test}")]);
    command.env(ALONE, "1").stdin(tests).current_dir("/");
    let place = if geteuid().is_root() {
        let Some((user, place)) = lonely(user).and_then(|user| Some((user, reachable(user)?))) else { return };
        command.uid(user).gid(user);
        place
    } else {
        tempfile::tempdir().unwrap()
    };
    let output = output_within(HANG * 2, command.env("TMPDIR", place.path()));
    let told = [&*output.stdout, &output.stderr].map(String::from_utf8_lossy).join("");
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

async fn open() -> Bench {
    Bench::under(Shim::Off, Arc::new(SystemClock), RunnerOptions::default()).await
}

/// How many threads this user may have; returns how many it was.
fn limit(most: Option<u64>) -> Option<u64> {
    let limit = getrlimit(Resource::Nproc);
    setrlimit(Resource::Nproc, rustix::process::Rlimit { current: most, ..limit }).unwrap();
    limit.current
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is() {
        assert!(begun.elapsed() < HANG, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the runtime is without a thread for what may block: its others have another name.
async fn until_idle() {
    let names = || std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path().join("comm"));
    let present = || names().any(|name| std::fs::read_to_string(name).is_ok_and(|name| name == "tokio-rt-worker\n"));
    until("its threads do not go", || !present()).await;
}

#[test]
fn output_and_an_end_wait_for_a_thread_and_are_not_forgotten() {
    alone("output_and_an_end_wait_for_a_thread_and_are_not_forgotten", 0, || async {
        let bench = open().await;
        let go = bench.pipe("go");
        let gate = File::options().read(true).write(true).open(go.path()).unwrap();
        let handle = bench.sh(&format!("read line < {}; echo out; exit 7", go.path())).await;
        until_idle().await;
        let before = limit(Some(0));
        std::io::Write::write_all(&mut &gate, b"go\n").unwrap();
        until("nobody asks for a thread", || CONTAINED.load(Ordering::SeqCst) > 0).await;
        assert!(handle.ended().is_none());
        limit(before);
        assert_eq!(status(&handle).await, ExitStatus::Code(7));
        assert_eq!(file(&handle, "stdout"), b"out\n");
        assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    });
}

#[test]
fn a_start_that_gets_no_thread_in_time_fails_with_the_limit_named_and_does_nothing_later() {
    alone("a_start_that_gets_no_thread_in_time_fails_with_the_limit_named_and_does_nothing_later", 1, || async {
        let bench = open().await;
        until_idle().await;
        let before = limit(Some(0));
        let handle = bench.sh("exit 7").await;
        let end = handle.wait().await.unwrap();
        limit(before);
        let told = failure(&end);
        assert_eq!(told.kind, FailureKind::SpawnFailed, "{told:?}");
        assert!(told.diagnostics.likely_cause.as_ref().is_some_and(|cause| cause.contains("`ulimit -u`")), "{told:?}");
        assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
        // What comes after it in the same line finds a thread, and what was given up is not done before it.
        assert_eq!(status(&bench.sh("exit 3").await).await, ExitStatus::Code(3));
        let directory = bench.data.path().join("runs").join(handle.run().to_string());
        assert!(!exists(&directory), "it was begun after all");
    });
}
