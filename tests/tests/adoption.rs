//! kill -9 of a supervisor with many live runs, and what its successor makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use tachograph_adapters::freeze::{CgroupUse, FreezeTarget, Freezer, FreezerOptions, ProcessFreezer};
use tachograph_adapters::process::{
    AdoptionReport, AttemptDirectory, Identity, ProcessIdentity, ProcessRunner, RunnerOptions, foresee,
};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Drain, Event, Exit, ExitStatus, Finding, Outcome, RunId, Stream, Witness,
};
use tachograph_engine::shell::Engine;
use tachograph_tests::adoption::{open, script};
use tachograph_tests::random::Numbers;
use tachograph_tests::{Supervisor, rounds};
use tempfile::TempDir;

const RUNS: usize = 200;
/// Longer than anything takes; reached only by a test that fails.
const TOO_LONG_SECONDS: i64 = 120;

/// When a run ends, relative to its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    Meanwhile,
    After,
}

/// One run as it shall be.
struct Planned {
    when: When,
    code: i32,
    output: [Vec<u8>; 2],
    /// What it waits for before it ends.
    latch: PathBuf,
}

impl Planned {
    fn new(data: &Path, index: usize, numbers: &mut Numbers) -> Self {
        let when = [When::Before, When::Meanwhile, When::After][numbers.below(3) as usize];
        let latch = data.join(format!("latch-{index}"));
        mknodat(CWD, &latch, FileType::Fifo, 0o600.into(), 0).unwrap();
        let line = |stream: &str, part: &str| format!("{part} of {index} on {stream}\n");
        let output = ["out", "err"].map(|stream| (line(stream, "begin") + &line(stream, "end")).into_bytes());
        Self { when, code: numbers.below(256) as i32, output, latch }
    }

    fn script(&self, index: usize) -> String {
        let say = |part: &str| format!("echo {part} of {index} on out; echo {part} of {index} on err >&2");
        let wait = match self.when {
            When::Before => String::new(),
            When::Meanwhile | When::After => format!("read line < {}; ", self.latch.display()),
        };
        format!("{}; {wait}{}; exit {}", say("begin"), say("end"), self.code)
    }

    /// Lets it go on. Waits until it is there.
    fn release(&self) {
        OpenOptions::new().write(true).open(&self.latch).unwrap().write_all(b"go\n").unwrap();
    }
}

/// A supervisor that can be killed.
struct Doomed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    runs: BTreeMap<usize, RunId>,
    ended: BTreeSet<usize>,
}

impl Doomed {
    fn over(data: &Path, scripts: impl IntoIterator<Item = String>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crash-supervisor"));
        let mut child = command.arg(data).args(scripts).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, runs: BTreeMap::new(), ended: BTreeSet::new() }
    }

    fn until(&mut self, is: impl Fn(&Self) -> bool) {
        while !is(self) {
            let line = self.lines.next().expect("it lives").unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["started", index, run] => drop(self.runs.insert(index.parse().unwrap(), run.parse().unwrap())),
                ["ended", index] => drop(self.ended.insert(index.parse().unwrap())),
                _ => panic!("{line}"),
            }
        }
    }

    fn kill(mut self) -> BTreeMap<usize, RunId> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.runs
    }
}

fn identity(data: &Path, run: RunId) -> Identity {
    let directory = directory(data, run);
    let text = std::fs::read_to_string(directory.identity()).unwrap();
    let attempt = text.split("\"attempt\": \"").nth(1).unwrap()[..26].parse().unwrap();
    Identity::read(&directory, run, attempt).unwrap().unwrap()
}

fn directory(data: &Path, run: RunId) -> AttemptDirectory {
    AttemptDirectory::of(&data.join("runs"), run, tachograph_engine::domain::Ordinal(1))
}

/// Waits until exactly this process is gone, whoever its parent is.
#[track_caller]
fn until_gone(process: &ProcessIdentity) {
    let pid = Pid::from_raw(process.pid.cast_signed()).unwrap();
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if process.is_alive() {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&Timespec { tv_sec: TOO_LONG_SECONDS, tv_nsec: 0 })).unwrap();
        assert_eq!(ready, 1, "process {} does not end", process.pid);
    }
}

fn runner(engine: &Engine, data: &Path) -> ProcessRunner {
    ProcessRunner::new(engine.clone(), data.join("runs"), RunnerOptions::default())
}

async fn recovered(data: &Path) -> (Engine, ProcessRunner, AdoptionReport) {
    let engine = open(data).await;
    let runner = runner(&engine, data);
    let report = runner.recover().await.unwrap();
    (engine, runner, report)
}

async fn exit_of(engine: &Engine, run: RunId) -> Exit {
    let record = Supervisor::of(engine).record(run).await;
    match record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone()) {
        Some(Outcome::Exited { exit, .. }) => exit,
        other => panic!("{run}: {other:?}"),
    }
}

async fn findings(engine: &Engine, run: RunId) -> Vec<Finding> {
    let events = Supervisor::of(engine).events(run).await;
    let finding = |event: Event| match event {
        Event::Reconciled { finding, .. } => Some(finding),
        _ => None,
    };
    events.into_iter().filter_map(finding).collect()
}

async fn round(seed: u64) {
    let data = TempDir::new().unwrap();
    let data = data.path();
    let mut numbers = Numbers::new(seed);
    let planned: Vec<Planned> = (0..RUNS).map(|index| Planned::new(data, index, &mut numbers)).collect();
    let of = |when: When| planned.iter().enumerate().filter(move |(_, planned)| planned.when == when);
    let mut doomed = Doomed::over(data, planned.iter().enumerate().map(|(index, planned)| planned.script(index)));
    // Of those that end before, some are recorded, some are only on disk by then, and some are about to be.
    let recorded = of(When::Before).count() / 2;
    doomed.until(|doomed| doomed.runs.len() == RUNS && doomed.ended.len() >= recorded);
    let runs = doomed.kill();
    for (_, planned) in of(When::Meanwhile) {
        planned.release();
    }
    let identities: BTreeMap<RunId, Identity> = runs.values().map(|run| (*run, identity(data, *run))).collect();
    for (index, _) in of(When::Meanwhile).chain(of(When::Before)) {
        until_gone(identities[&runs[&index]].shim.as_ref().unwrap());
    }

    let (engine, runner, report) = recovered(data).await;
    let going_on: BTreeSet<RunId> = of(When::After).map(|(index, _)| runs[&index]).collect();
    assert_eq!(report.adopted.iter().map(|(run, _)| *run).collect::<BTreeSet<_>>(), going_on);
    let exited: BTreeSet<RunId> = report.exited.iter().map(|(run, _)| *run).collect();
    assert!(of(When::Meanwhile).all(|(index, _)| exited.contains(&runs[&index])), "{report:?}");
    let (adopted, exited) = (report.adopted.clone(), report.exited.clone());
    assert_eq!(report, AdoptionReport { adopted, exited, ..Default::default() }, "nothing else");
    assert_eq!(runner.recover().await.unwrap(), AdoptionReport::default(), "once");
    let handles = runner.handles();
    assert_eq!(handles.len(), going_on.len());
    for (_, planned) in of(When::After) {
        planned.release();
    }
    for handle in handles {
        handle.wait().await.unwrap();
    }

    for (index, planned) in planned.iter().enumerate() {
        let run = runs[&index];
        let exit = exit_of(&engine, run).await;
        assert_eq!(exit.status, ExitStatus::Code(planned.code), "run {index} of seed {seed}");
        let receipt = exit.output.expect("a receipt");
        assert_eq!(receipt.drain, Drain::Drained);
        for (stream, receipt, expected) in
            [(Stream::Stdout, receipt.stdout, &planned.output[0]), (Stream::Stderr, receipt.stderr, &planned.output[1])]
        {
            assert_eq!(&std::fs::read(directory(data, run).output(stream)).unwrap(), expected, "run {index}");
            assert_eq!((receipt.bytes, receipt.digest.0), (expected.len() as u64, *blake3::hash(expected).as_bytes()));
        }
        let found = if planned.when == When::After { vec![Finding::Adopted] } else { Vec::new() };
        assert_eq!(findings(&engine, run).await, found, "run {index}");
    }
    for identity in identities.values() {
        let (shim, process) = (identity.shim.as_ref().unwrap(), identity.process.as_ref().unwrap());
        until_gone(shim);
        assert!(!process.is_alive(), "an orphan: {}", process.pid);
        // Its shim has reaped it before it went: not even a zombie has its pid and start.
        let left = ProcessIdentity::of(process.pid).is_ok_and(|now| now == *process);
        assert!(!left, "a zombie: {}", process.pid);
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_outlive_their_supervisor_with_their_codes_and_output() {
    for round_number in 0..rounds("TACHO_ADOPTION_ROUNDS", 2) {
        let seed = 20_261_122 + round_number;
        println!("seed {seed}");
        round(seed).await;
    }
}

/// One run that waits at a latch, under a supervisor that was killed.
struct Outlived {
    data: TempDir,
    latch: PathBuf,
    run: RunId,
    identity: Identity,
}

impl Outlived {
    fn new(code: i32) -> Self {
        let data = TempDir::new().unwrap();
        let latch = data.path().join("latch");
        mknodat(CWD, &latch, FileType::Fifo, 0o600.into(), 0).unwrap();
        let script = format!("read line < {}; exit {code}", latch.display());
        let mut doomed = Doomed::over(data.path(), [script]);
        doomed.until(|doomed| doomed.runs.len() == 1);
        let run = doomed.kill()[&0];
        let identity = identity(data.path(), run);
        Self { data, latch, run, identity }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    fn release(&self) {
        OpenOptions::new().write(true).open(&self.latch).unwrap().write_all(b"go\n").unwrap();
    }

    fn shim(&self) -> &ProcessIdentity {
        self.identity.shim.as_ref().unwrap()
    }

    fn process(&self) -> &ProcessIdentity {
        self.identity.process.as_ref().unwrap()
    }

    /// As if the identity had been written by, and about, something else.
    fn pretend(&self, change: impl Fn(&mut ProcessIdentity)) {
        let path = directory(self.path(), self.run).identity();
        let mut text = std::fs::read_to_string(&path).unwrap();
        for process in [self.shim(), self.process(), &self.identity.supervisor] {
            let mut changed = process.clone();
            change(&mut changed);
            let ticks = |process: &ProcessIdentity| format!("\"start_ticks\": {}", process.start_ticks);
            text = text.replace(&ticks(process), &ticks(&changed)).replace(&process.boot_id, &changed.boot_id);
        }
        std::fs::write(path, text).unwrap();
    }

    /// Ends what a test has made unrecognisable.
    fn end(&self) {
        let _ = kill_process(Pid::from_raw(self.shim().pid.cast_signed()).unwrap(), Signal::KILL);
        until_gone(self.shim());
        until_gone(self.process());
    }
}

impl Drop for Outlived {
    /// A test that fails leaves nothing alive.
    fn drop(&mut self) {
        if self.shim().is_alive() {
            self.end();
        }
    }
}

#[tokio::test]
async fn a_shim_that_was_killed_leaves_an_unknown_end_and_nothing_alive() {
    let outlived = Outlived::new(0);
    outlived.end();
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!(report.unknown.len(), 1, "{report:?}");
    let exit = exit_of(&engine, outlived.run).await;
    assert_eq!((exit.witness, exit.output), (Witness::Synthesised, None));
    assert!(
        matches!(&exit.status, ExitStatus::Unknown { cause } if cause.contains("it was killed")),
        "{:?}",
        exit.status
    );
    assert_eq!(findings(&engine, outlived.run).await, [Finding::Lost]);
    engine.close().await.unwrap();
}

/// A plain shell, which neither has a session of its own nor traps anything.
#[tokio::test]
async fn a_run_that_stands_still_when_its_supervisor_is_killed_does_so_until_the_next_one_thaws_it() {
    let data = TempDir::new().unwrap();
    let latch = data.path().join("latch");
    mknodat(CWD, &latch, FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut doomed = Doomed::over(data.path(), [format!("read line < {}; exit 7", latch.display())]);
    doomed.until(|doomed| doomed.runs.len() == 1);
    let run = doomed.runs[&0];
    let identity = identity(data.path(), run);
    let pid = identity.process.as_ref().unwrap().pid;
    let options = FreezerOptions { cgroup: CgroupUse::Off, limit_ms: 1_000 * TOO_LONG_SECONDS as u64 };
    let target = FreezeTarget { run, attempt: identity.attempt, ordinal: identity.ordinal };
    std::mem::forget(ProcessFreezer::open(data.path(), options).0.freeze(&target).unwrap());
    doomed.kill();
    // What the kernel does to those who lost their parent it has done by now.
    assert_eq!(state(pid), Some('T'));
    assert_eq!(ProcessFreezer::open(data.path(), options).1.thawed, [(identity.attempt, 1)]);
    assert_ne!(state(pid), Some('T'));
    let (engine, runner, report) = recovered(data.path()).await;
    assert_eq!(report.adopted, [(run, identity.attempt)]);
    let handle = runner.handle(run, identity.attempt).unwrap();
    OpenOptions::new().write(true).open(&latch).unwrap().write_all(b"go\n").unwrap();
    handle.wait().await.unwrap();
    assert_eq!(exit_of(&engine, run).await.status, ExitStatus::Code(7));
    engine.close().await.unwrap();
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn an_adopted_run_is_asked_to_end_through_its_shim() {
    let outlived = Outlived::new(0);
    let (engine, runner, report) = recovered(outlived.path()).await;
    assert_eq!(report.adopted.len(), 1, "{report:?}");
    let ended = runner.shutdown(std::time::Duration::from_secs(3_600)).await;
    assert_eq!((ended.ended, ended.unfinished.len()), (1, 0));
    assert_eq!(exit_of(&engine, outlived.run).await.status, ExitStatus::Signal(15));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_adopted_run_stays_its_old_runners_and_the_evidence_names_the_new_one() {
    let outlived = Outlived::new(9);
    let (engine, runner, report) = recovered(outlived.path()).await;
    let [(run, attempt)] = report.adopted[..] else { panic!("{report:?}") };
    let handle = runner.handle(run, attempt).unwrap();
    outlived.release();
    handle.wait().await.unwrap();
    let history = Supervisor::of(&engine).history(run).await;
    let record = Supervisor::of(&engine).record(run).await;
    assert_eq!(record.run.attempt.as_ref().unwrap().runner, outlived.identity.runner);
    let text = format!("{:?}", history.last().unwrap());
    assert!(text.contains(runner.runner().as_str()) && text.contains(outlived.identity.runner.as_str()), "{text}");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn two_crashes_in_a_row_are_two_adoptions_and_one_end() {
    let outlived = Outlived::new(5);
    for _ in 0..2 {
        let (engine, runner, report) = recovered(outlived.path()).await;
        assert_eq!(report.adopted.len(), 1, "{report:?}");
        assert_eq!(runner.let_go().await, 1);
        engine.close().await.unwrap();
    }
    outlived.release();
    until_gone(outlived.shim());
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!(report.exited, [(outlived.run, ExitStatus::Code(5))]);
    assert_eq!(findings(&engine, outlived.run).await, [Finding::Adopted; 2]);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_verified_is_an_orphan_and_goes_on() {
    let outlived = Outlived::new(0);
    outlived.pretend(|process| process.start_ticks += 1);
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!((report.adopted.len(), report.orphans.len(), report.unknown.len()), (0, 1, 1), "{report:?}");
    assert!(report.orphans[0].1.contains(&format!("process {}", outlived.process().pid)), "{report:?}");
    assert!(outlived.shim().is_alive() && outlived.process().is_alive(), "nobody was signalled");
    assert_eq!(findings(&engine, outlived.run).await, [Finding::Orphan]);
    engine.close().await.unwrap();
    outlived.end();
}

#[tokio::test]
async fn another_boot_is_said_so() {
    let outlived = Outlived::new(0);
    outlived.pretend(|process| process.boot_id = "00000000-0000-0000-0000-000000000000".to_owned());
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!(report.unknown, [(outlived.run, "the machine was started anew while it was open".to_owned())]);
    assert!(outlived.shim().is_alive(), "whoever has the pid now is left alone");
    engine.close().await.unwrap();
    outlived.end();
}

#[tokio::test]
async fn a_destroyed_run_that_is_alive_is_asked_to_end_by_the_next_supervisor() {
    let outlived = Outlived::new(0);
    let engine = open(outlived.path()).await;
    // A supervisor that crashes between the record and the kill.
    Supervisor::of(&engine).destroy(outlived.run, true).await;
    engine.close().await.unwrap();
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!(report.orphans.len(), 1, "{report:?}");
    assert!(report.orphans[0].1.ends_with("was asked to end"), "{report:?}");
    until_gone(outlived.shim());
    assert!(!outlived.process().is_alive());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_lost_start_is_recorded_and_the_run_adopted() {
    let outlived = Outlived::new(6);
    // The same world, and a journal that knows of the creation only.
    let other = TempDir::new().unwrap();
    let engine = open(other.path()).await;
    let create = Action::Create { spec: std::sync::Arc::new(script("exit 6")) };
    let command = engine.command(outlived.run, Actor::new(ActorKind::Supervisor, "former"), create);
    engine.submit(command).await.unwrap();
    let runner = ProcessRunner::new(engine.clone(), outlived.path().join("runs"), RunnerOptions::default());
    let report = runner.recover().await.unwrap();
    assert_eq!((&report.promoted[..], report.adopted.len()), (&[outlived.run][..], 1), "{report:?}");
    outlived.release();
    runner.handle(outlived.run, outlived.identity.attempt).unwrap().wait().await.unwrap();
    assert_eq!(exit_of(&engine, outlived.run).await.status, ExitStatus::Code(6));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let outlived = Outlived::new(4);
    let engine = open(outlived.path()).await;
    let record = Supervisor::of(&engine).record(outlived.run).await;
    engine.close().await.unwrap();
    let foresight = foresee(&outlived.path().join("runs"), [&record.run], &BTreeSet::new());
    assert_eq!(foresight.open.iter().map(|foreseen| foreseen.conclusion.name()).collect::<Vec<_>>(), ["adopt"]);
    outlived.release();
    until_gone(outlived.shim());
    let foresight = foresee(&outlived.path().join("runs"), [&record.run], &BTreeSet::new());
    assert_eq!(foresight.open[0].conclusion.name(), "record");
    let (engine, _, report) = recovered(outlived.path()).await;
    assert_eq!(report.exited, [(outlived.run, ExitStatus::Code(4))]);
    engine.close().await.unwrap();
}

/// Takes the pid of a run that is gone, in a namespace of pids where the next one can be chosen.
#[test]
fn a_stranger_with_the_very_pid_is_neither_signalled_nor_adopted() {
    const INSIDE: &str = "TACHO_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return inside_small_namespace();
    }
    let me = std::env::current_exe().unwrap();
    let test = "a_stranger_with_the_very_pid_is_neither_signalled_nor_adopted";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(me);
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let possible = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "no namespaces here, and TACHO_TEST_ALL is set");
        return println!("skipped: namespaces of pids cannot be made here");
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("the stranger has pid"), "{told}");
}

fn inside_small_namespace() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let outlived = Outlived::new(0);
        outlived.end();
        // Whoever is the first process of a namespace gets the orphans, and has to reap them.
        for orphan in [outlived.shim(), outlived.process()] {
            let pid = Pid::from_raw(orphan.pid.cast_signed());
            waitpid(pid, WaitOptions::empty()).unwrap();
        }
        let pid = outlived.process().pid;
        let mut stranger = stranger_with(pid, outlived.process().start_ticks);
        println!("the stranger has pid {pid}");
        let (engine, _, report) = recovered(outlived.path()).await;
        assert_eq!((report.adopted.len(), report.orphans.len(), report.unknown.len()), (0, 0, 1), "{report:?}");
        let handle = ProcessRunner::new(engine.clone(), outlived.path().join("runs"), RunnerOptions::default());
        handle.shutdown(std::time::Duration::ZERO).await;
        engine.close().await.unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "it goes on");
        drop(stranger.stdin.take());
        assert_eq!(stranger.wait().unwrap().code(), Some(0), "nobody has signalled it");
    });
}

/// A process of somebody else under this pid. Threads take pids as well, so that it may need some tries.
fn stranger_with(pid: u32, not_started_at: u64) -> Child {
    for _ in 0..1_000 {
        File::create("/proc/sys/kernel/ns_last_pid").unwrap().write_all((pid - 1).to_string().as_bytes()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // Two processes of one tick with one pid are the same to everybody.
        if child.id() == pid && start_ticks(pid) != not_started_at {
            return child;
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    panic!("pid {pid} is not free")
}

fn start_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap()
}
