//! Snapshots of real processes that write on and on: every image shows one instant, and the run goes on.
//!
//! Four processes write the numbers of their rounds to files `a-<n>`, `m-<n>` and `z-<n>`, in this order: the leader;
//! one that left the group; and two that hand each round to each other, of which one left the group, too. In an image
//! all `a` come before a file that takes long to read, and all `z` after it. So a process that goes on while it is read
//! shows: its `z` is ahead of its `a`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph::projections::Timers;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::freeze::{CgroupUse, FreezerOptions, ProcessFreezer};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::memory::MemoryJournal;
use tachograph_adapters::process::{ATTEMPT_VARIABLE, Launch, ProcessRunner, RunHandle, RunnerOptions};
use tachograph_adapters::snapshot::{ArchiveOptions, ArchiveSnapshotter, restore};
use tachograph_engine::domain::{Action, Claim, Command, CommandId, Digest, Event, ExitStatus, Position, SnapshotId};
use tachograph_engine::ports::Journal;
use tachograph_engine::shell::{
    Engine, Options, Parts, Subscription, Timekeeper, TimekeeperHandle, TimekeeperOptions, TimekeeperReport,
};
use tachograph_tests::Supervisor;
use tachograph_tests::again::Again;
use tachograph_tests::commands::{begin, exit_of, script};
use tachograph_tests::rounds;
use tachograph_tests::supervisor::{Expect, holder};
use tokio::task::JoinHandle;

const WRITERS: usize = 4;
/// After this time a test has failed; none waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// They go on as long as there is a file `go`, and each ends when that is gone, wherever it is; the fourth when the third
/// says so, since one of a pair that looks by itself may be gone when the other one still waits for its answer. A number
/// is written over the one before, in one piece.
const SCRIPT: &str = r#"
cd "$TACHO_RUN_DIR" || exit 9
for writer in 1 2 3 4; do for letter in a m z; do printf %08d 0 > $letter-$writer; done; done
head -c 1000000 /dev/urandom > n-long
mkfifo ping pong
: > go
export WRITER='
put() { for letter in a m z; do printf %08d $1 1<>$letter-$2; done; }
round=0
case $1 in
1|2) while [ -e go ]; do round=$((round + 1)); put $round $1; done ;;
3) exec 3<>ping 4<pong
   while [ -e go ]; do round=$((round + 1)); put $round 3; echo $round >&3; read -r round <&4 || exit 1; done
   echo 0 >&3 ;;
4) exec 3<ping 4>pong
   while read -r round <&3 && [ $round -ne 0 ]; do put $round 4; echo $round >&4; done ;;
esac'
setsid sh -c "$WRITER" sh 2 &
sh -c "$WRITER" sh 3 &
setsid sh -c "$WRITER" sh 4 &
sh -c "$WRITER" sh 1
wait
"#;

/// The rounds that each writer had written to its three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written([[u64; 3]; WRITERS]);

impl Written {
    fn read(directory: &Path) -> Option<Self> {
        let number = |letter: char, writer: usize| -> Option<u64> {
            std::fs::read_to_string(directory.join(format!("{letter}-{writer}"))).ok()?.parse().ok()
        };
        let mut written = [[0; 3]; WRITERS];
        for (at, of) in written.iter_mut().enumerate() {
            for (slot, letter) in of.iter_mut().zip(['a', 'm', 'z']) {
                *slot = number(letter, at + 1)?;
            }
        }
        Some(Self(written))
    }

    /// Numbers in the order in which they are written never rise, and never fall by more than one round.
    fn is_one_instant(&self) -> bool {
        let [first, second, third, fourth] = self.0;
        let pair: Vec<u64> = [third, fourth].concat();
        [&first[..], &second[..], &pair[..]]
            .iter()
            .all(|order| order.is_sorted_by(|before, after| before >= after) && order[0] - order[order.len() - 1] <= 1)
    }

    fn is_not_before(&self, earlier: &Self) -> bool {
        self.0.iter().flatten().zip(earlier.0.iter().flatten()).all(|(now, before)| now >= before)
    }

    /// Every writer wrote a whole round more.
    fn is_past(&self, earlier: &Self) -> bool {
        self.0.iter().zip(&earlier.0).all(|(now, before)| now[2] > before[0])
    }
}

/// A run of the four writers, and everything that takes snapshots of it.
struct Bench {
    data: tempfile::TempDir,
    supervisor: Supervisor,
    handle: RunHandle,
    claim: Claim,
    entries: Subscription,
    timekeeper: (TimekeeperHandle, JoinHandle<TimekeeperReport>),
    _runner: ProcessRunner,
}

impl Bench {
    async fn open(cgroup: CgroupUse) -> Self {
        let data = tempfile::tempdir_in(place()).unwrap();
        let clock = Arc::new(SystemClock);
        let host = Arc::new(LocalHost::new(clock.clone()));
        let journal = MemoryJournal::new();
        let held = journal.reader();
        let journal = Again::over(Box::new(journal), &*held);
        let parts = Parts { journal, clock, ids: Arc::new(UlidSource::new()), host, checkpoints: None };
        let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
        let runner = ProcessRunner::new(engine.clone(), data.path().join("runs"), RunnerOptions::default());
        let (run, handle) = begin(&runner, script(SCRIPT), Launch::default()).await;
        let supervisor = Supervisor::of(&engine);
        let claim = Claim { run, attempt: handle.attempt(), runner: runner.runner().clone() };
        supervisor.wait(&claim).await.expect_written();
        let (freezer, report) =
            ProcessFreezer::open(data.path(), FreezerOptions { cgroup, limit_ms: PATIENCE.as_millis() as u64 });
        assert!(report.failed.is_empty(), "{report:?}");
        let options = ArchiveOptions { level: 1, ..ArchiveOptions::default() };
        let snapshotter = ArchiveSnapshotter::open(data.path(), None, Arc::new(freezer), options).unwrap();
        let (timers, options) = (Box::new(Timers::empty()), TimekeeperOptions::default());
        let (timekeeper, stop) = Timekeeper::new(&engine, timers, Arc::new(snapshotter), options);
        let timekeeper = (stop, tokio::spawn(timekeeper.run()));
        let entries = engine.subscribe(Position::ZERO);
        Self { data, supervisor, handle, claim, entries, timekeeper, _runner: runner }
    }

    fn directory(&self) -> &Path {
        self.handle.directory().unwrap()
    }

    /// Waits until every writer wrote a round after these, and tells what is written then.
    async fn progress(&self, earlier: Written) -> Written {
        let begun = Instant::now();
        loop {
            if let Some(written) = Written::read(self.directory()).filter(|written| written.is_past(&earlier)) {
                return written;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "some do not go on: {earlier:?}, {:?}",
                Written::read(self.directory())
            );
            tokio::task::yield_now().await;
        }
    }

    async fn arm_at_once(&self) -> SnapshotId {
        let (engine, claim) = (&self.supervisor.engine, self.claim.clone());
        let (id, snapshot) = (CommandId::from_ulid(engine.mint()), SnapshotId::from_ulid(engine.mint()));
        // One time for both: nothing is due before the command that arms it.
        let (run, actor, now) = (claim.run, holder(&claim), engine.clock().now());
        let action = Action::ScheduleSnapshot { claim, snapshot, due: now };
        let command = Command { id, run, actor, issued_at: now, expected: None, action };
        self.supervisor.submit(command).await.expect_written();
        snapshot
    }

    /// Lets a snapshot happen, and tells where its image is.
    async fn snapshot(&mut self) -> (PathBuf, u64, Digest) {
        let armed = self.arm_at_once().await;
        loop {
            let entry = within("what became of the snapshot", self.entries.next()).await.unwrap();
            match entry.events().iter().find(|event| is_result_of(event, armed)) {
                None => {}
                Some(Event::SnapshotTaken { location, bytes, digest, .. }) => {
                    return (self.data.path().join(location), *bytes, *digest);
                }
                Some(failed) => panic!("{failed:?}"),
            }
        }
    }

    /// What an image shows once it is restored.
    fn restored(&self, (image, bytes, digest): &(PathBuf, u64, Digest)) -> Written {
        let into = self.data.path().join("restored");
        restore(image, *bytes, *digest, &into).unwrap();
        let written = Written::read(&into).unwrap();
        std::fs::remove_dir_all(into).unwrap();
        written
    }

    /// All living processes that name the attempt, each with the state of its first thread.
    fn processes(&self) -> Vec<(u32, char)> {
        let wanted = format!("{ATTEMPT_VARIABLE}={}", self.claim.attempt);
        let names = |pid: &u32| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        let pids = std::fs::read_dir("/proc").unwrap();
        let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(names);
        pids.filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
        })
        .collect()
    }

    /// Lets the writers end by themselves.
    async fn end(self) -> TimekeeperReport {
        std::fs::remove_file(self.directory().join("go")).unwrap();
        assert_eq!(within("the end of the writers", exit_of(&self.handle)).await.status, ExitStatus::Code(0));
        let (stop, timekeeper) = self.timekeeper;
        stop.stop();
        within("the end of the timekeeper", timekeeper).await.unwrap()
    }
}

async fn within<T>(what: &str, wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("{what} was awaited for {PATIENCE:?}"))
}

fn is_result_of(event: &Event, armed: SnapshotId) -> bool {
    match event {
        Event::SnapshotTaken { snapshot, .. } | Event::SnapshotFailed { snapshot, .. } => *snapshot == armed,
        _ => false,
    }
}

/// Where processes that write on and on do not wait for a disk that others use, too.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

async fn every_image_shows_one_instant(cgroup: CgroupUse) {
    let mut bench = Bench::open(cgroup).await;
    let mut latest = bench.progress(Written([[0; 3]; WRITERS])).await;
    let snapshots = rounds("TACHO_STANDSTILL_SNAPSHOTS", 20);
    for number in 0..snapshots {
        let image = bench.snapshot().await;
        let shown = bench.restored(&image);
        assert!(shown.is_one_instant(), "image {number} is torn: {shown:?}");
        assert!(shown.is_not_before(&latest), "image {number} is older than {latest:?}: {shown:?}");
        std::fs::remove_file(image.0).unwrap();
        latest = bench.progress(shown).await;
    }
    let processes = bench.processes();
    assert!(processes.len() >= WRITERS, "{processes:?}");
    assert!(processes.iter().all(|(_, state)| !"Tt".contains(*state)), "{processes:?}");
    let left = std::fs::read_dir(bench.data.path().join("freezes")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is marked as frozen");
    let report = bench.end().await;
    assert_eq!((report.dispatched, report.taken, report.failed), (snapshots, snapshots, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_image_shows_one_instant_by_signals() {
    every_image_shows_one_instant(CgroupUse::Off).await;
}

/// By a control group where the machine allows it; by signals again elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_image_shows_one_instant_by_whatever_is_best() {
    every_image_shows_one_instant(CgroupUse::Auto).await;
}
