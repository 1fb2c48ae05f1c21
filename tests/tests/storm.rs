//! Ten thousand short processes in a program that has other children, too (A4, B3): every code, every byte, nothing left.
//!
//! A program of its own, because it counts what its process has open. The number of processes is `TACHO_STORM_RUNS`, the
//! rounds of much output `TACHO_OUTPUT_ROUNDS`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tachograph_adapters::process::{AttemptDirectory, Launch, ProcessRunner, RunnerOptions, Shim};
use tachograph_engine::domain::{Digest, Drain, ExitStatus, Ordinal, RunId, Status, Stream, Witness};
use tachograph_engine::shell::Engine;
use tachograph_tests::adoption::open;
use tachograph_tests::commands::{begin, command, exit_of, script};
use tachograph_tests::random::Numbers;
use tachograph_tests::{rounds, talk};

const SEED: u64 = 64;
const LIVE_MAX: usize = 64;
const OUTPUT_BYTES_MAX: u64 = 256 * 1_024;
/// After this time a test has failed; none waits for it otherwise.
const HANG: Duration = Duration::from_secs(120);
/// More than anybody waits for here.
const LONG: Duration = Duration::from_secs(3_600);
const TALKER: &str = env!("CARGO_BIN_EXE_talker");

/// Everything at once would disturb the counts.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Nothing is given up that only takes long.
fn patient() -> RunnerOptions {
    RunnerOptions { drain_deadline_ms: LONG.as_millis() as u64, ..RunnerOptions::default() }
}

fn shims() -> [Shim; 2] {
    [Shim::Off, Shim::Program(env!("CARGO_BIN_EXE_crash-supervisor").into())]
}

/// Descriptors, threads and the states of the children of this process.
fn held() -> (Vec<String>, Vec<String>, String) {
    let mut states = Vec::new();
    let me = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else { continue };
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        if let (Some(state), Some(parent)) = (fields.next(), fields.next())
            && parent == me
        {
            states.push(state.to_owned());
        }
    }
    states.sort();
    (descriptors(), threads(), states.concat())
}

/// What the descriptors of this process are, in order, but the one of this list.
fn descriptors() -> Vec<String> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let mut open: Vec<_> = open.filter_map(target).map(|target| target.display().to_string()).collect();
    open.retain(|target| !target.ends_with("/fd"));
    open.sort();
    open
}

/// The names of this process's threads, without those of the tests themselves and of the pool that the journal's index
/// keeps for the life of a process.
fn threads() -> Vec<String> {
    const LASTING: [&str; 5] = ["sled-io", "storm-", "a_storm", "much_output", "a_grandchild"];
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut names: Vec<_> =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect();
    names.retain(|name| !LASTING.iter().any(|lasting| name.starts_with(lasting)));
    names.sort();
    names
}

/// Waits until no more is held than before: the threads of the index take a moment to find nothing to do.
#[track_caller]
fn until_held(before: &(Vec<String>, Vec<String>, String)) {
    let begun = Instant::now();
    while held() != *before {
        assert!(begun.elapsed() < HANG, "{:?} is held after {before:?}", held());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Children that only this test knows, each with code 42, until it is told to stop. Returns how many there were.
fn strangers(stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut child = Command::new("sh").args(["-c", "exit 42"]).spawn().unwrap();
            // Nobody else may take it while it is a zombie either.
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(child.wait().expect("its own child").code(), Some(42));
            count += 1;
        }
        count
    })
}

struct Planned {
    code: u8,
    seed: u64,
    bytes: [u64; 2],
}

impl Planned {
    fn all(count: u64) -> Vec<Self> {
        let mut numbers = Numbers::new(SEED);
        let one = |index| Self {
            code: (index % 256) as u8,
            seed: index,
            bytes: [(); 2].map(|()| numbers.below(OUTPUT_BYTES_MAX + 1) >> numbers.below(12)),
        };
        (0..count).map(one).collect()
    }

    fn expected(&self, stream: Stream) -> Vec<u8> {
        let (seed, bytes) = match stream {
            Stream::Stdout => (self.seed, self.bytes[0]),
            Stream::Stderr => (!self.seed, self.bytes[1]),
        };
        talk::bytes(seed, bytes as usize)
    }

    async fn run(&self, runner: &ProcessRunner, runs: &Path) -> RunId {
        let Self { code, seed, bytes: [out, err] } = self;
        let arguments = [u64::from(*code), *seed, *out, *err].map(|number| number.to_string());
        let argv = [TALKER].into_iter().chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>();
        let (run, handle) = begin(runner, command(&argv), Launch::default()).await;
        let exit = exit_of(&handle).await;
        assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(i32::from(*code)), Witness::Waited), "{seed}");
        let receipt = exit.output.unwrap();
        assert_eq!(receipt.drain, Drain::Drained, "{seed}");
        let directory = AttemptDirectory::of(runs, run, Ordinal(1));
        for (stream, receipt) in [(Stream::Stdout, receipt.stdout), (Stream::Stderr, receipt.stderr)] {
            let expected = self.expected(stream);
            let digest = Digest(*blake3::hash(&expected).as_bytes());
            assert_eq!((receipt.bytes, receipt.digest), (expected.len() as u64, digest), "{seed} {stream:?}");
            assert!(std::fs::read(directory.output(stream)).unwrap() == expected, "{seed} {stream:?}");
            // So that any number of them fits on the disk.
            std::fs::remove_file(directory.output(stream)).unwrap();
        }
        run
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn storm(engine: &Engine, runner: &ProcessRunner, runs: &Path, count: u64) {
    let planned = Planned::all(count);
    // All of them at once: whoever has no place waits for one.
    let mut ends: FuturesUnordered<_> = planned.iter().map(|planned| planned.run(runner, runs)).collect();
    let (mut ended, mut live, mut queued) = (0, 0, 0);
    while let Some(run) = ends.next().await {
        ended += 1;
        let usage = runner.usage();
        assert!(usage.live <= LIVE_MAX, "{usage:?}");
        (live, queued) = (live.max(usage.live), queued.max(usage.queued));
        let record = engine.run(run).await.unwrap().unwrap();
        assert!(matches!(record.run.status, Status::Exited), "{:?}", record.run.status);
    }
    assert_eq!(ended, count);
    assert!(count <= LIVE_MAX as u64 * 2 || (live > LIVE_MAX / 2 && queued > 0), "{live} {queued}");
}

#[test]
fn a_storm_of_processes_leaves_every_code_every_byte_and_nothing_else() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let count = rounds("TACHO_STORM_RUNS", 400);
    for shim in shims() {
        // What the runtime opens once for the life of a process is there from then on.
        whole_storm(&shim, 1);
        let before = held();
        let begun = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let strangers = strangers(stop.clone());
        whole_storm(&shim, count);
        stop.store(true, Ordering::Relaxed);
        let strangers = strangers.join().expect("every stranger's owner has its code");
        eprintln!("{shim:?}: {count} runs and {strangers} strangers in {:?}", begun.elapsed());
        assert!(strangers > 0);
        until_held(&before);
    }
}

/// From the opening of a journal to its closing.
fn whole_storm(shim: &Shim, count: u64) {
    let data = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let engine = open(data.path()).await;
        let options = RunnerOptions { live_max: LIVE_MAX, ..patient() };
        let runs = data.path().join("runs");
        let runner = ProcessRunner::with_shim(engine.clone(), &runs, options, shim.clone());
        storm(&engine, &runner, &runs, count).await;
        let report = runner.shutdown(LONG).await;
        assert!(report.unfinished.is_empty(), "{report:?}");
        let usage = runner.usage();
        assert_eq!((usage.live, usage.queued), (0, 0), "{usage:?}");
        engine.close().await.unwrap();
    });
}

#[test]
fn much_output_right_before_the_exit_is_complete_every_time() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let bytes = 18_900_000;
    let expected = talk::bytes(7, bytes);
    let digest = Digest(*blake3::hash(&expected).as_bytes());
    for shim in shims() {
        let data = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let engine = open(data.path()).await;
            let runs = data.path().join("runs");
            let runner = ProcessRunner::with_shim(engine.clone(), &runs, patient(), shim.clone());
            for round in 0..rounds("TACHO_OUTPUT_ROUNDS", 2) {
                let talker = command(&[TALKER, "9", "7", &bytes.to_string(), "0"]);
                let (run, handle) = begin(&runner, talker, Launch::default()).await;
                let exit = exit_of(&handle).await;
                let receipt = exit.output.unwrap();
                assert_eq!((exit.status, receipt.drain), (ExitStatus::Code(9), Drain::Drained), "round {round}");
                assert_eq!((receipt.stdout.bytes, receipt.stdout.digest), (bytes as u64, digest), "round {round}");
                let file = AttemptDirectory::of(&runs, run, Ordinal(1)).output(Stream::Stdout);
                assert!(std::fs::read(&file).unwrap() == expected, "round {round}");
                std::fs::remove_file(file).unwrap();
            }
            engine.close().await.unwrap();
        });
    }
}

#[test]
fn a_grandchild_that_prints_every_ten_milliseconds_delays_the_end_to_one_absolute_deadline() {
    const DEADLINE_MS: u64 = 300;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for shim in shims() {
        let data = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let engine = open(data.path()).await;
            let runs = data.path().join("runs");
            let options = RunnerOptions { drain_deadline_ms: DEADLINE_MS, ..RunnerOptions::default() };
            let runner = ProcessRunner::with_shim(engine.clone(), &runs, options, shim.clone());
            // It ends when its pipe is closed under it, and long after that at the latest.
            let chatty = "(i=0; while [ $i -lt 30000 ]; do echo tick || exit; sleep 0.01; i=$((i+1)); done) & exit 4";
            let begun = Instant::now();
            let (run, handle) = begin(&runner, script(chatty), Launch::default()).await;
            let exit = exit_of(&handle).await;
            let took = begun.elapsed();
            assert_eq!(exit.status, ExitStatus::Code(4), "{shim:?}");
            let receipt = exit.output.unwrap();
            let Drain::DrainTimedOut { waited_ms, open } = receipt.drain else { panic!("{:?}", receipt.drain) };
            assert!(open.contains(&Stream::Stdout), "{open:?}");
            assert!(waited_ms >= DEADLINE_MS && took >= Duration::from_millis(DEADLINE_MS), "{waited_ms} {took:?}");
            let kept = std::fs::read(AttemptDirectory::of(&runs, run, Ordinal(1)).output(Stream::Stdout)).unwrap();
            assert_eq!(receipt.stdout.bytes, kept.len() as u64);
            assert_eq!(receipt.stdout.digest, Digest(*blake3::hash(&kept).as_bytes()));
            runner.shutdown(LONG).await;
            engine.close().await.unwrap();
        });
    }
}
