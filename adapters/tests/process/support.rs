//! An engine over a journal in memory, a runner, and pipes as signals between a test and its processes.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tachograph_adapters::clock::{ManualClock, SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::memory::MemoryJournal;
use tachograph_adapters::process::{AttemptEnd, Launch, ProcessRunner, RunHandle, RunnerOptions, Shim};
use tachograph_engine::domain::testing::DecidedAgain;
use tachograph_engine::domain::{
    Digest, Entry, EntryBody, Event, Exit, ExitStatus, Failure, Outcome, Refused, RunId, RunRecord, RunSpec, Timestamp,
    Workload,
};
use tachograph_engine::ports::{AppendError, Clock, Draft, Journal, JournalError, JournalReader, Opening};
use tachograph_engine::shell::{Engine, Options, Parts};
use tokio::sync::watch;

/// After this time a test has failed; none waits for it otherwise.
pub(crate) const HANG: Duration = Duration::from_secs(120);
/// More than any test waits for: what may take so long is waited for by nobody.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// A runner over an engine of its own, in a directory of its own.
pub(crate) struct Bench {
    pub(crate) data: tempfile::TempDir,
    pub(crate) engine: Engine,
    pub(crate) runner: ProcessRunner,
    /// Nothing is durable while it is false.
    pub(crate) gate: watch::Sender<bool>,
    /// How many entries each append so far had.
    pub(crate) appends: Arc<Mutex<Vec<usize>>>,
}

impl Bench {
    pub(crate) async fn open() -> Self {
        Self::with(Arc::new(SystemClock), patient()).await
    }

    /// With a clock in the test's hand: nothing times out unless the test says so.
    pub(crate) async fn manual() -> (Self, ManualClock) {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        // A shim has a clock of its own.
        (Self::under(Shim::Off, Arc::new(clock.clone()), RunnerOptions::default()).await, clock)
    }

    pub(crate) async fn with(clock: Arc<dyn Clock>, options: RunnerOptions) -> Self {
        Self::bounded(clock, options, Options::default()).await
    }

    pub(crate) async fn bounded(clock: Arc<dyn Clock>, options: RunnerOptions, bounds: Options) -> Self {
        Self::open_with(parent(), clock, options, bounds).await
    }

    /// With a shim for every attempt.
    pub(crate) async fn shimmed() -> Self {
        Self::under(by_shims(), Arc::new(SystemClock), patient()).await
    }

    pub(crate) async fn under(shim: Shim, clock: Arc<dyn Clock>, options: RunnerOptions) -> Self {
        Self::open_with(shim, clock, options, Options::default()).await
    }

    async fn open_with(shim: Shim, clock: Arc<dyn Clock>, options: RunnerOptions, bounds: Options) -> Self {
        let data = tempfile::tempdir().unwrap();
        let host = Arc::new(LocalHost::new(clock.clone()));
        let gate = watch::Sender::new(true);
        let appends = Arc::new(Mutex::default());
        let journal = Box::new(GatedJournal {
            journal: MemoryJournal::new(),
            gate: gate.subscribe(),
            appends: Arc::clone(&appends),
            again: DecidedAgain::default(),
        });
        let parts = Parts { journal, clock, ids: Arc::new(UlidSource::new()), host, checkpoints: None };
        let (engine, _) = Engine::open(parts, bounds).await.unwrap();
        let runner = ProcessRunner::with_shim(engine.clone(), data.path().join("runs"), options, shim);
        Self { data, engine, runner, gate, appends }
    }

    /// Creates and starts a shell script.
    pub(crate) async fn sh(&self, script: &str) -> RunHandle {
        self.launch(sh(script), Launch::default()).await
    }

    pub(crate) async fn launch(&self, spec: RunSpec, launch: Launch) -> RunHandle {
        let run = self.runner.create(spec).await.unwrap();
        self.runner.start(run, launch).await.unwrap()
    }

    pub(crate) async fn record(&self, run: RunId) -> Arc<RunRecord> {
        self.engine.run(run).await.unwrap().unwrap()
    }

    /// All events of a run, in order.
    pub(crate) async fn events(&self, run: RunId) -> Vec<Event> {
        let history = self.engine.reader().history(run).await.unwrap();
        history.iter().flat_map(|entry| entry.events().to_vec()).collect()
    }

    /// The names of all events of a run, in order.
    pub(crate) async fn story(&self, run: RunId) -> Vec<&'static str> {
        self.events(run).await.iter().map(|event| event.name().name()).collect()
    }

    /// All refusals about a run, in order.
    pub(crate) async fn refusals(&self, run: RunId) -> Vec<Refused> {
        let history = self.engine.reader().history(run).await.unwrap();
        let refused = |entry: Entry| match entry.body {
            EntryBody::Refused(refused) => Some(refused),
            EntryBody::Committed(_) | EntryBody::System(_) => None,
        };
        history.into_iter().filter_map(refused).collect()
    }

    /// A named pipe in the test's own directory.
    pub(crate) fn pipe(&self, name: &str) -> Pipe {
        Pipe::make(self.data.path().join(name))
    }
}

/// On a clock that goes on by itself nothing is given up that only takes long.
fn patient() -> RunnerOptions {
    RunnerOptions { drain_deadline_ms: LONG.as_millis().try_into().unwrap(), ..RunnerOptions::default() }
}

/// Set for a process whose tests shall hold under shims.
pub(crate) const UNDER_SHIMS: &str = "TACHO_TEST_SHIMS";

/// Who is the parent of the tests' processes, unless a test says so.
fn parent() -> Shim {
    if std::env::var_os(UNDER_SHIMS).is_some() { by_shims() } else { Shim::Off }
}

pub(crate) fn by_shims() -> Shim {
    Shim::Program(env!("CARGO_BIN_EXE_tacho-shim").into())
}

/// Kills what is alive of an attempt that nobody looks after.
pub(crate) fn end_all_of(attempt: tachograph_engine::domain::AttemptId) {
    let marked = |pid: &str| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let has = |text: &[u8]| text.windows(26).any(|part| part == attempt.to_string().as_bytes());
        has(&read("cmdline")) || has(&read("environ"))
    };
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse::<i32>().ok()) else { continue };
        if marked(&pid.to_string()) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

/// A named pipe: opening either end waits for the other, which makes it a signal without a clock.
pub(crate) struct Pipe(PathBuf);

impl Pipe {
    pub(crate) fn make(path: PathBuf) -> Self {
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Lets a process go on that reads a line from the pipe.
    pub(crate) async fn release(&self) {
        let path = self.0.clone();
        blocking(move || File::options().write(true).open(path).unwrap().write_all(b"go\n").unwrap()).await;
    }

    /// What is written until the last writer is gone.
    pub(crate) async fn read_to_end(&self) -> String {
        let path = self.0.clone();
        blocking(move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        })
        .await
    }

    /// A reader that waits for the first writer, and then for the last one to be gone.
    pub(crate) fn until_all_writers_are_gone(&self) -> tokio::task::JoinHandle<String> {
        let pipe = Self(self.0.clone());
        tokio::spawn(async move { pipe.read_to_end().await })
    }
}

/// On a thread that nobody joins: a runtime waits for its own ones when it is dropped, so that what is stuck would outlast every
/// bound on waiting for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    result.await.unwrap()
}

pub(crate) fn command(argv: &[&str]) -> RunSpec {
    let argv = argv.iter().map(ToString::to_string).collect();
    RunSpec { workload: Workload::Command { argv, cwd: None }, ..RunSpec::default() }
}

pub(crate) fn sh(script: &str) -> RunSpec {
    command(&["sh", "-c", script])
}

#[track_caller]
pub(crate) fn exit(end: &AttemptEnd) -> &Exit {
    match &end.outcome {
        Outcome::Exited { exit, .. } => exit,
        Outcome::Failed(failure) => panic!("failed: {failure:?}"),
    }
}

#[track_caller]
pub(crate) fn failure(end: &AttemptEnd) -> &Failure {
    match &end.outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Exited { exit, .. } => panic!("exited: {exit:?}"),
    }
}

pub(crate) async fn status(handle: &RunHandle) -> ExitStatus {
    exit(&handle.wait().await.unwrap()).status.clone()
}

/// Programs are looked up where everybody may look: in a directory of the caller's own PATH that this user may not search,
/// one that is missing could be, and that is another failure.
pub(crate) fn with_usual_path() -> Launch {
    Launch { env: vec![("PATH".into(), "/usr/bin:/bin".into())], ..Launch::default() }
}

/// What a program says and how it ends; it is killed, and its test fails, if it takes longer than this.
#[track_caller]
pub(crate) fn output_within(limit: Duration, command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, output) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = output.recv_timeout(limit) else {
        // Nobody has waited for it, so that this is its pid still.
        let _ = kill_process(pid, Signal::KILL);
        panic!("it does not come to its end: {command:?}");
    };
    output.unwrap()
}

/// Makes a program of a script. Another process writes it: if this one had it open for writing, a child that another test
/// starts right now could have it open still, and nobody may execute it then.
pub(crate) fn program(path: &Path, script: &str) {
    let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(path).arg(script).status().unwrap();
    assert!(written.success());
}

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest(*blake3::hash(content).as_bytes())
}

pub(crate) fn file(handle: &RunHandle, name: &str) -> Vec<u8> {
    std::fs::read(handle.directory().unwrap().join(name)).unwrap()
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Repetitions of a test that hunts for a race, to be turned up by hand.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("TACHO_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A journal whose appends wait while the gate is closed.
struct GatedJournal {
    journal: MemoryJournal,
    gate: watch::Receiver<bool>,
    appends: Arc<Mutex<Vec<usize>>>,
    /// Decides again what was written.
    again: DecidedAgain,
}

#[async_trait]
impl Journal for GatedJournal {
    fn opening(&self) -> Opening {
        self.journal.opening()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        self.gate.wait_for(|open| *open).await.unwrap();
        self.appends.lock().unwrap().push(drafts.len());
        let entries = self.journal.append(drafts).await?;
        entries.iter().for_each(|entry| self.again.entry(entry));
        Ok(entries)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        Box::new(self.journal).close().await
    }
}
