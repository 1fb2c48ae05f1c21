//! How late snapshots are that are due at a time: real timers over a real engine with its journal in files, next to what
//! the runtime's own sleep is late by in the same run.
//!
//! A dispatch is late by the time at which it is recorded, that is when it is handed to the journal; the call to take the
//! snapshot comes after it is durable. None may be early, by any clock.
//!
//! `cargo bench -p tachograph-benches --bench lateness`; `TACHO_BENCH_TIMERS` (10000) and `TACHO_BENCH_SPREAD_MS` (10000),
//! over which they are due at random, turn it up; `TACHO_BENCH_DIR` (here) says on which disk, and `TACHO_BENCH_PLACES`
//! (64) how many snapshots are under way at a time. Each has its place for two syncs, and with few places, as there are by
//! default, timers that come as fast as here wait for one: that is measured too then.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tachograph_adapters::clock::SystemClock;
use tachograph_benches::{Failure, number, open};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Digest, Event, Position, RunId, RunSpec, RunnerId, SnapshotId,
    StartMode, Timestamp, Workload,
};
use tachograph_engine::ports::{Clock, SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};
use tachograph_engine::shell::{Engine, Timekeeper, TimekeeperOptions};
use tachograph_projections::Timers;
use tokio::sync::Semaphore;

/// What is submitted at a time while timers are armed.
const SUBMITTERS: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let timers = number("TACHO_BENCH_TIMERS", 10_000).max(1);
    let spread_ms = number("TACHO_BENCH_SPREAD_MS", 10_000).max(1);
    let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
    let places = number("TACHO_BENCH_PLACES", 64) as usize;
    println!("{timers} timers due within {spread_ms} ms, {places} places; milliseconds late");
    println!("{:<34}{:>9}{:>9}{:>9}{:>9}{:>7}", "", "p50", "p90", "p99", "max", "early");
    let slept = sleeps(timers, spread_ms).await;
    let (dispatched, called) = measure(place.path(), timers, spread_ms, places).await?;
    let all = [("the runtime's sleep", slept), ("dispatch, as recorded", dispatched), ("call to take it", called)];
    let mut early = 0;
    for (name, late) in all {
        let late = Late::of(late);
        early += late.early;
        late.print(name);
    }
    match early {
        0 => println!("none was early"),
        early => println!("\n!!! {early} WERE EARLY, AND NONE MAY BE !!!"),
    }
    Ok(())
}

/// By how much in microseconds, in order.
struct Late {
    sorted: Vec<i64>,
    early: usize,
}

impl Late {
    fn of(mut late: Vec<i64>) -> Self {
        late.sort_unstable();
        let early = late.iter().take_while(|late| **late < 0).count();
        Self { sorted: late, early }
    }

    fn at(&self, percent: usize) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted
            .get(self.sorted.len() * percent / 100)
            .or(self.sorted.get(last))
            .map_or(f64::NAN, |late| *late as f64)
            / 1_000.0
    }

    fn print(&self, name: &str) {
        print!("{name:<34}");
        [50, 90, 99, 100].iter().for_each(|percent| print!("{:>9.2}", self.at(*percent)));
        println!("{:>7}", self.early);
    }
}

/// When so many are due after a start, in milliseconds: SplitMix64, the same every time.
fn delays(timers: u64, spread_ms: u64) -> impl Iterator<Item = i64> {
    (1..=timers).map(move |nth| {
        let mixed = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % spread_ms) as i64
    })
}

/// As many sleeps of the runtime, and nothing else.
async fn sleeps(timers: u64, spread_ms: u64) -> Vec<i64> {
    let start = SystemClock.now().plus_millis(100);
    let sleeps = delays(timers, spread_ms).map(|delay_ms| {
        tokio::spawn(async move {
            let due = start.plus_millis(delay_ms);
            let pause = due.as_micros() - SystemClock.now().as_micros();
            tokio::time::sleep(Duration::from_micros(u64::try_from(pause).unwrap_or(0))).await;
            SystemClock.now().as_micros() - due.as_micros()
        })
    });
    join_all(sleeps.collect::<Vec<_>>()).await.into_iter().flatten().collect()
}

/// Has an image at once, and notes when it was asked for one.
#[derive(Default)]
struct Instantly(Mutex<HashMap<SnapshotId, Timestamp>>);

#[async_trait]
impl Snapshotter for Instantly {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let now = SystemClock.now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.snapshot, now);
        Ok(SnapshotImage { location: format!("snapshots/{}", wanted.snapshot), bytes: 0, digest: Digest::ZERO })
    }

    async fn find(&self, _: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        Ok(None)
    }

    async fn discard(&self, _: &WantedSnapshot) -> Result<(), SnapshotError> {
        Ok(())
    }
}

/// By how many microseconds each dispatch and each call was late.
async fn measure(data: &Path, timers: u64, spread_ms: u64, places: usize) -> Result<(Vec<i64>, Vec<i64>), Failure> {
    let (engine, _) = open(data).await?;
    let waiting = begin(&engine, timers).await?;
    let snapshotter = Arc::new(Instantly::default());
    let options = TimekeeperOptions { places, ..TimekeeperOptions::default() };
    let (timekeeper, handle) = Timekeeper::new(&engine, Box::<Timers>::default(), snapshotter.clone(), options);
    let kept = tokio::spawn(timekeeper.run());
    let armed_at = engine.head().position;
    let due = arm(&engine, waiting, spread_ms).await?;
    let dispatched = dispatched(&engine, armed_at, due.len()).await?;
    handle.stop();
    let report = kept.await?;
    if report.taken != timers || report.failed != 0 {
        return Err(format!("{} of {timers} snapshots were taken", report.taken).into());
    }
    engine.close().await?;
    let late = |at: &HashMap<SnapshotId, Timestamp>| {
        let late = due.iter().filter_map(|(snapshot, due)| Some(at.get(snapshot)?.as_micros() - due.as_micros()));
        late.collect::<Vec<i64>>()
    };
    let called = late(&snapshotter.0.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((late(&dispatched), called))
}

/// When each dispatch was recorded, once all have their result.
async fn dispatched(
    engine: &Engine,
    after: Position,
    timers: usize,
) -> Result<HashMap<SnapshotId, Timestamp>, Failure> {
    let (mut dispatched, mut results) = (HashMap::new(), 0);
    let mut entries = engine.subscribe(after);
    while results < timers {
        let entry = entries.next().await?;
        for event in entry.events() {
            match event {
                Event::SnapshotDispatched { snapshot } => _ = dispatched.insert(*snapshot, entry.recorded_at),
                Event::SnapshotTaken { .. } | Event::SnapshotFailed { .. } => results += 1,
                _ => {}
            }
        }
    }
    Ok(dispatched)
}

/// Runs that wait.
async fn begin(engine: &Engine, runs: u64) -> Result<Vec<Claim>, Failure> {
    let submitters = Semaphore::new(SUBMITTERS);
    let begin = async |_| {
        let _submitter = submitters.acquire().await?;
        let run = RunId::from_ulid(engine.mint());
        let claim = Claim { run, attempt: AttemptId::from_ulid(engine.mint()), runner: RunnerId::from("bench") };
        let start = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode: StartMode::Fresh };
        let wait = Action::Wait { claim: claim.clone(), on: "a timer".to_owned(), deadline: None };
        let workload = Workload::Command { argv: vec!["/usr/bin/make".to_owned()], cwd: None };
        let spec = Arc::new(RunSpec { workload, ..RunSpec::default() });
        for action in [Action::Create { spec }, start, wait] {
            written(engine, run, action).await?;
        }
        Ok::<_, Failure>(claim)
    };
    join_all((0..runs).map(begin)).await.into_iter().collect()
}

/// A snapshot of each, due at random once all are armed.
async fn arm(engine: &Engine, waiting: Vec<Claim>, spread_ms: u64) -> Result<HashMap<SnapshotId, Timestamp>, Failure> {
    let submitters = Semaphore::new(SUBMITTERS);
    // As long as arming takes on a slow disk; none is due before.
    let start = engine.clock().now().plus_millis(2_000 + waiting.len() as i64 / 2);
    let delays = delays(waiting.len() as u64, spread_ms);
    let arm = async |(claim, delay_ms): (Claim, i64)| {
        let _submitter = submitters.acquire().await?;
        let (snapshot, due) = (SnapshotId::from_ulid(engine.mint()), start.plus_millis(delay_ms));
        written(engine, claim.run, Action::ScheduleSnapshot { claim, snapshot, due }).await?;
        Ok::<_, Failure>((snapshot, due))
    };
    let due = join_all(waiting.into_iter().zip(delays).map(arm)).await.into_iter().collect::<Result<_, _>>()?;
    if engine.clock().now() > start {
        println!("arming took longer than expected: what was due meanwhile is late by that");
    }
    Ok(due)
}

async fn written(engine: &Engine, run: RunId, action: Action) -> Result<(), Failure> {
    let answer = engine.submit(engine.command(run, Actor::new(ActorKind::Supervisor, "bench"), action)).await?;
    match answer.outcome.written() {
        Some(_) => Ok(()),
        None => Err(format!("not written: {:?}", answer.outcome).into()),
    }
}
