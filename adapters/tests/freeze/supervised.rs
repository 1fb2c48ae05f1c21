use std::time::{Duration, Instant};

use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::freeze::{CgroupUse, FreezeTarget, Freezer, Frozen, ProcessFreezer};
use tachograph_adapters::process::{Launch, RunHandle};
use tachograph_engine::domain::{ExitStatus, FailureKind, Ordinal, ResourceLimits, RunSpec};

use crate::runner::{Bench, blocking, failure, sh, status};
use crate::support::{PATIENCE, options, ways};

const WALL_MS: u64 = 1_000;

/// Freezes what a runner runs; its process has begun.
async fn freeze(bench: &Bench, handle: &RunHandle, cgroup: CgroupUse) -> Box<dyn Frozen> {
    let data = bench.data.path().to_owned();
    let target = FreezeTarget { run: handle.run(), attempt: handle.attempt(), ordinal: Ordinal(1) };
    blocking(move || ProcessFreezer::open(&data, options(cgroup)).0.freeze(&target).unwrap()).await
}

async fn looping(spec: impl FnOnce(RunSpec) -> RunSpec) -> (Bench, ManualClock, RunHandle) {
    let (bench, clock) = Bench::manual().await;
    let ready = bench.pipe("ready");
    // No longer than this test program is there, also if that is killed.
    let (path, own) = (ready.path(), std::process::id());
    let script = format!("trap 'exit 4' TERM; echo > {path}; while kill -0 {own}; do :; done");
    let handle = bench.launch(spec(sh(&script)), Launch::default()).await;
    ready.read_to_end().await;
    (bench, clock, handle)
}

fn limited(spec: RunSpec) -> RunSpec {
    RunSpec { limits: ResourceLimits { wall_ms: Some(WALL_MS), ..ResourceLimits::default() }, ..spec }
}

#[tokio::test]
async fn a_run_that_is_told_to_end_while_it_is_stopped_ends_and_the_freeze_says_so() {
    let (bench, _clock, handle) = looping(|spec| spec).await;
    let frozen = freeze(&bench, &handle, CgroupUse::Off).await;
    frozen.verify().unwrap();
    // What asks a process to end is followed by what lets it go on.
    handle.terminate(Duration::from_secs(3_600));
    assert_eq!(status(&handle).await, ExitStatus::Code(4));
    assert_eq!(frozen.verify().unwrap_err().code(), "torn");
    frozen.thaw().unwrap();
}

#[tokio::test]
async fn a_run_that_is_killed_while_it_is_frozen_ends() {
    for way in ways() {
        let (bench, _clock, handle) = looping(|spec| spec).await;
        let frozen = freeze(&bench, &handle, way).await;
        handle.terminate(Duration::ZERO);
        let end = status(&handle).await;
        assert!(matches!(end, ExitStatus::Signal(9) | ExitStatus::Code(4)), "{end:?}");
        assert_eq!(frozen.verify().unwrap_err().code(), "torn");
        frozen.thaw().unwrap();
    }
}

#[tokio::test]
async fn a_time_limit_holds_while_the_run_is_frozen() {
    for way in ways() {
        let (bench, clock, handle) = looping(limited).await;
        let frozen = freeze(&bench, &handle, way).await;
        let waiting = tokio::spawn({
            let handle = handle.clone();
            async move { handle.wait().await.unwrap() }
        });
        // In a control group the polite signal waits, and the one after the grace does not.
        let begun = Instant::now();
        while !waiting.is_finished() {
            assert!(begun.elapsed() < PATIENCE, "it goes on beyond its limit");
            clock.advance(Duration::from_millis(WALL_MS));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(failure(&waiting.await.unwrap()).kind, FailureKind::TimedOut);
        assert_eq!(frozen.verify().unwrap_err().code(), "torn");
        frozen.thaw().unwrap();
    }
}
