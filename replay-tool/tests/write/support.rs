use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, CWD, FileType, Mode, access, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tachograph_adapters::journal::FileReader;
use tachograph_engine::domain::{Entry, EntryBody, ExitStatus, FailureKind, Position, RunRecord, SystemFact};
use tachograph_engine::ports::{JournalError, JournalReader};
use tachograph_projections::{Projection, Recheck};

/// After this time a test has failed; none waits for it otherwise.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A data directory of a test's own, and room beside it.
pub(crate) struct Place(tempfile::TempDir);

/// What a finished tool left on its streams.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Waits for the tool's end and for that of its streams, and kills it if they do not come.
    pub(crate) fn of(mut child: Child) -> Self {
        drop(child.stdin.take());
        let [stdout, stderr] = [child.stdout.take().map(Written::of), child.stderr.take().map(Written::of)];
        let streams = || [&stdout, &stderr].into_iter().flatten();
        if !streams().all(Written::is_whole) {
            let _ = child.kill();
            panic!(
                "the tool does not come to its end; written: {:?}",
                streams().map(Written::text).collect::<Vec<_>>()
            );
        }
        let code = end_of(&mut child, || format!("{:?}", streams().map(Written::text).collect::<Vec<_>>()));
        let text = |stream: &Option<Written>| stream.as_ref().map_or_else(String::new, Written::text);
        Self { code, stdout: text(&stdout), stderr: text(&stderr) }
    }
}

/// What has come out of a stream so far.
struct Written {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Closed by its end.
    more: mpsc::Receiver<()>,
}

impl Written {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let (bytes, (open, more)) = (Arc::new(Mutex::new(Vec::new())), mpsc::channel());
        let kept = bytes.clone();
        std::thread::spawn(move || {
            let _open = open;
            let mut piece = [0; 8_192];
            while let Ok(read @ 1..) = stream.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Self { bytes, more }
    }

    /// Waits for its end. False if that does not come.
    fn is_whole(&self) -> bool {
        self.more.recv_timeout(HANG) == Err(mpsc::RecvTimeoutError::Disconnected)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Waits for a child's end and returns its code, if it has one. If that end does not come, the child is killed, and the
/// test fails with what it had `written`.
#[track_caller]
pub(crate) fn end_of(child: &mut Child, written: impl FnOnce() -> String) -> Option<i32> {
    end_within(HANG, child, written)
}

#[track_caller]
fn end_within(limit: Duration, child: &mut Child, written: impl FnOnce() -> String) -> Option<i32> {
    let pidfd = pidfd_open(Pid::from_raw(child.id().cast_signed()).unwrap(), PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
    if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap() == 0 {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the tool does not come to its end; written: {}", written());
    }
    child.wait().unwrap().code()
}

#[test]
#[should_panic(expected = "does not come to its end; written: this")]
fn a_child_without_an_end_fails_its_test_with_what_it_had_written() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    end_within(Duration::ZERO, &mut child, || "this".to_owned());
}

/// The tool, which hears the signals that ask for an end although whoever started the tests may ignore them.
fn tool() -> Command {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let asking = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].map(|signal| 1 << (signal.as_raw() - 1));
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & asking.iter().sum::<u64>() == 0 {
        return Command::new(env!("CARGO_BIN_EXE_tacho"));
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_tacho")]);
    command
}

/// Where programs are looked up: in the directories of the caller's own PATH that this user may search. In another one, a
/// program that is missing could be, and that is another failure.
fn searched() -> OsString {
    let path = std::env::var_os("PATH").unwrap();
    let may_search = |directory: &PathBuf| access(directory, Access::EXEC_OK).is_ok();
    std::env::join_paths(std::env::split_paths(&path).filter(may_search)).unwrap()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    pub(crate) fn of(directory: tempfile::TempDir) -> Self {
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Not made by this; the tool makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The tool with this data directory, and with nothing of the caller's own settings.
    pub(crate) fn tacho<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = tool();
        for variable in ["TACHO_LOG", "TACHO_LOCK_WAIT", "NO_COLOR", "TERM"] {
            command.env_remove(variable);
        }
        command.env("TACHO_DATA", self.data()).env("PATH", searched()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn finish<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        Finished::of(piped(&mut self.tacho(arguments)).spawn().unwrap())
    }

    /// The same, if whoever holds the journal does not go away: it is not waited for.
    pub(crate) fn finish_at_once<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        Finished::of(piped(self.tacho(arguments).env("TACHO_LOCK_WAIT", "0")).spawn().unwrap())
    }

    /// Runs a shell script as one recorded command.
    pub(crate) fn run(&self, script: &str) -> Finished {
        self.finish(["run", "--", "sh", "-c", script])
    }

    /// Writes a jobs file.
    pub(crate) fn jobs(&self, text: &str) -> String {
        let path = self.path("jobs.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What is recorded: nothing yet while a writer that was just started makes its journal.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let reader = match FileReader::open(&self.data()) {
            Err(JournalError::NoJournal { .. }) => return Vec::new(),
            opened => opened.unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(reader.read(Position::ZERO, usize::MAX)).unwrap()
    }

    /// The runs in the order of their creation.
    pub(crate) fn records(&self) -> Vec<RunRecord> {
        let mut records: Vec<RunRecord> = Vec::new();
        for entry in self.entries() {
            let known = records.iter().position(|record| Some(record.run.id) == entry.run());
            let before = known.map(|index| records.remove(index));
            records.extend(RunRecord::fold(before, &entry));
        }
        records.sort_by_key(|record| record.created);
        records
    }

    /// The only run.
    pub(crate) fn record(&self) -> RunRecord {
        let mut records = self.records();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    pub(crate) fn assert_closed_cleanly(&self) {
        let last = self.entries().pop().unwrap().body;
        assert!(matches!(last, EntryBody::System(SystemFact::Closed(_))), "{last:?}");
    }
}

/// Whatever a test did, what it recorded is decided again. A journal that the test damaged cannot be read, and is passed over.
impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Ok(reader) = FileReader::open(&self.data()) else { return };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(entries) = runtime.block_on(reader.read(Position::ZERO, usize::MAX)) else { return };
        let mut recheck = Recheck::default();
        entries.iter().for_each(|entry| recheck.apply(entry));
        assert_eq!(recheck.differences(), [], "decided again, they come out otherwise");
    }
}

/// With its output for its test.
fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// The exit status that a run's latest attempt ended with.
pub(crate) fn status(record: &RunRecord) -> Option<ExitStatus> {
    record.run.attempt.as_ref()?.outcome.as_ref()?.exit_status().cloned()
}

/// The kind of failure that a run's latest attempt ended with.
pub(crate) fn failure(record: &RunRecord) -> Option<FailureKind> {
    Some(record.run.attempt.as_ref()?.outcome.as_ref()?.failure()?.kind.clone())
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// A named pipe through which a job says something to its test.
pub(crate) struct Ready {
    path: PathBuf,
    lines: mpsc::Receiver<String>,
}

impl Ready {
    pub(crate) fn at(path: &Path) -> Self {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Open for both, so that opening waits for nobody and reading never comes to an end.
        let pipe = File::options().read(true).write(true).open(path).unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { path: path.to_owned(), lines }
    }

    /// What a script writes its lines to.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The next line that a job wrote.
    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(HANG).expect("the job must say that it is ready")
    }
}
