//! Keeps a thousand snapshots armed over a timekeeper, ends and cancels some of them all the time, until it is killed.
//!
//! `crash-timekeeper DATA-DIRECTORY IMAGES SEED LATER-SECONDS` runs with a clock that is so much later than the system's,
//! and prints a line for each acknowledged `armed`, `ended`, `asked` and `taken` snapshot or run. With `drain` after
//! it, it arms nothing and exits when nothing is armed or under way any more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test harness fails by panicking"
)]

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Action, Claim, Event, RunRecord, SnapshotId, Timestamp};
use tachograph_engine::ports::Clock;
use tachograph_engine::shell::{Engine, Options, Parts, Timekeeper, TimekeeperOptions};
use tachograph_projections::Timers;
use tachograph_tests::Supervisor;
use tachograph_tests::random::Numbers;
use tachograph_tests::supervisor::{Expect, code, holder};
use tachograph_tests::witness::{Step, WitnessSnapshotter};

/// Snapshots that are kept armed.
const ARMED: usize = 1_000;
const TASKS: usize = 25;

/// The system's clock, some time later.
struct Later(Duration);

#[async_trait]
impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(i64::try_from(self.0.as_millis()).expect("years"))
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, images, seed, later_seconds, drain @ ..] = &arguments[..] else {
        panic!("usage: crash-timekeeper DATA-DIRECTORY IMAGES SEED LATER-SECONDS [drain]")
    };
    let later = Duration::from_secs(later_seconds.parse().expect("seconds"));
    let engine = open(&PathBuf::from(directory), later).await;
    let snapshotter = WitnessSnapshotter::open(Path::new(images), |step, snapshot| match step {
        Step::Asked => print(&format!("asked {snapshot}")),
        Step::Taken => print(&format!("taken {snapshot}")),
    });
    let options = TimekeeperOptions { places: 16, ..TimekeeperOptions::default() };
    let (timekeeper, handle) =
        Timekeeper::new(&engine, Box::<Timers>::default(), Arc::new(snapshotter.expect("a directory")), options);
    if drain.is_empty() {
        tokio::spawn(timekeeper.run());
        return live(&engine, seed.parse().expect("a seed")).await;
    }
    let (open, mut entries) = (open_snapshots(&engine), engine.subscribe(engine.head().position));
    let kept = tokio::spawn(timekeeper.run());
    let mut open = open;
    while !open.is_empty() {
        for event in entries.next().await.expect("an entry").events() {
            if let Event::SnapshotTaken { snapshot, .. } | Event::SnapshotFailed { snapshot, .. } = event {
                open.remove(snapshot);
            }
        }
    }
    handle.stop();
    assert!(kept.await.expect("a timekeeper").pending.is_empty());
    engine.close().await.expect("closed");
}

async fn open(directory: &Path, later: Duration) -> Engine {
    // Small segments, a busy anchor and frequent checkpoints: so that a kill meets all of them.
    let journal = JournalOptions {
        segment_bytes: 256 << 10,
        anchor_interval: Some(Duration::from_millis(5)),
        ..JournalOptions::default()
    };
    let clock = Arc::new(Later(later));
    let parts = Parts {
        journal: Box::new(FileJournal::open(directory, journal).expect("the journal opens")),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: Some(Arc::new(FileCheckpoints::open(directory))),
    };
    let options = Options { checkpoint_every: 500, ..Options::default() };
    Engine::open(parts, options).await.expect("the engine opens").0
}

/// What is armed or under way.
fn open_snapshots(engine: &Engine) -> HashSet<SnapshotId> {
    let armed = engine.live().into_iter().filter_map(|record| Some(record.run.armed.as_ref()?.id));
    let in_flight = engine.in_flight().into_iter().filter_map(|record| Some(record.run.in_flight.as_ref()?.id));
    armed.chain(in_flight).collect()
}

/// Arms what is missing, in several tasks, and then does something to one run after the other.
async fn live(engine: &Engine, seed: u64) {
    let claims: Vec<(Claim, bool)> = engine.live().iter().filter_map(held).collect();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let claims = claims.iter().skip(task).step_by(TASKS).cloned().collect();
            let numbers = Numbers::new(seed << 16 | task as u64);
            tokio::spawn(Runners { supervisor: Supervisor::of(engine), numbers }.go_on(claims))
        })
        .collect();
    for task in tasks {
        task.await.expect("goes on until it is killed");
    }
}

/// The claim on a run that waits, and whether a snapshot is armed.
fn held(record: &Arc<RunRecord>) -> Option<(Claim, bool)> {
    let run = &record.run;
    let attempt = run.attempt.as_ref()?;
    Some((Claim { run: run.id, attempt: attempt.id, runner: attempt.runner.clone() }, run.armed.is_some()))
}

/// The runners of some of the runs.
struct Runners {
    supervisor: Supervisor,
    numbers: Numbers,
}

impl Runners {
    async fn go_on(mut self, held: Vec<(Claim, bool)>) {
        let (mut claims, mut armed) = (Vec::new(), 0);
        for (claim, is_armed) in held {
            armed += usize::from(is_armed || armed < ARMED / TASKS && self.arm(&claim).await);
            claims.push(claim);
        }
        for _ in armed..ARMED / TASKS {
            claims.push(self.begin().await);
        }
        loop {
            let at = usize::try_from(self.numbers.below(claims.len() as u64)).unwrap();
            let claim = claims[at].clone();
            match self.numbers.below(10) {
                0..4 => {
                    self.supervisor.exit(&claim, code(0)).await.expect_written();
                    print(&format!("ended {}", claim.run));
                    claims[at] = self.begin().await;
                }
                4 => {
                    self.supervisor.destroy(claim.run, true).await.expect_written();
                    print(&format!("ended {}", claim.run));
                    claims[at] = self.begin().await;
                }
                // Written if one is armed, else refused; both are right here.
                5 | 6 => _ = self.supervisor.cancel(claim.run, claim.runner.as_str()).await,
                _ => _ = self.arm(&claim).await,
            }
        }
    }

    /// Creates a run that waits with a snapshot armed.
    async fn begin(&mut self) -> Claim {
        let run = self.supervisor.create(None).await;
        let claim = self.supervisor.start(run, "r1").await;
        self.supervisor.wait(&claim).await.expect_written();
        assert!(self.arm(&claim).await, "a run that waits");
        claim
    }

    /// Arms a snapshot, in the place of one that is armed; refused for a run that does not wait yet, because a kill came in
    /// between.
    async fn arm(&mut self, claim: &Claim) -> bool {
        let snapshot = SnapshotId::from_ulid(self.supervisor.engine.mint());
        // Counted from the command on: it may not be due before.
        let schedule = |due| Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due };
        let mut command = self.supervisor.command(holder(claim), claim.run, schedule(Timestamp::MAX));
        command.action = schedule(command.issued_at.plus_millis(self.delay_ms()));
        let answer = self.supervisor.submit(command).await;
        let is_armed = answer.outcome.written().is_some();
        if is_armed {
            print(&format!("armed {snapshot}"));
        }
        is_armed
    }

    /// Some are due at once, some soon, some while nobody is there, and some far beyond.
    fn delay_ms(&mut self) -> i64 {
        let (least, most) = match self.numbers.below(20) {
            0 => (0, 2),
            1..6 => (0, 300),
            6..10 => (300, 20_000),
            10..14 => (20_000, 100_000),
            _ => (3_600_000, 29 * 24 * 3_600_000),
        };
        least + i64::try_from(self.numbers.below(u64::try_from(most - least).unwrap())).unwrap()
    }
}

/// One write of less than a pipe's atomic size: the reader gets whole lines only.
fn print(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).expect("somebody reads");
}
