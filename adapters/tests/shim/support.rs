//! Shims over attempts that no engine knows, and pipes as signals between a test and its processes.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tachograph_adapters::clock::UlidSource;
use tachograph_adapters::process::{
    ATTEMPT_VARIABLE, AttemptDirectory, DIRECTORY_VARIABLE, ExitRecord, Identity, ProcessIdentity, RunnerOptions,
};
use tachograph_adapters::shim::{Assignment, CommandBlock, Notice, Notices, Request, RequestPipe};
use tachograph_engine::domain::{AttemptId, Digest, Ordinal, ResourceLimits, RunId, RunnerId};
use tachograph_engine::ports::IdSource;

/// Longer than anything takes here; reached only by a test that fails.
const TOO_LONG: Duration = Duration::from_secs(120);

/// One attempt that a shim shall look after, in a data directory of its own.
pub(crate) struct Attempt {
    pub(crate) data: tempfile::TempDir,
    pub(crate) assignment: Assignment,
    pub(crate) argv: Vec<OsString>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) stdin: Option<Stdio>,
}

impl Attempt {
    pub(crate) fn new(argv: &[&str]) -> Self {
        Self::in_place(tempfile::tempdir().unwrap(), argv)
    }

    pub(crate) fn in_place(data: tempfile::TempDir, argv: &[&str]) -> Self {
        let ids = UlidSource::new();
        let attempt = AttemptId::from_ulid(ids.next());
        let assignment = Assignment {
            run: RunId::from_ulid(ids.next()),
            attempt,
            ordinal: Ordinal(1),
            runner: RunnerId::from("process/test"),
            supervisor: ProcessIdentity::of(std::process::id()).unwrap(),
            argv_digest: Digest::ZERO,
            runs_dir: data.path().join("runs"),
            limits: ResourceLimits::default(),
            options: RunnerOptions::default(),
            has_stdin: false,
            snapshot_delay_ms: None,
            container: None,
        };
        let mut this = Self {
            data,
            assignment,
            argv: argv.iter().map(OsString::from).collect(),
            cwd: None,
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            stdin: None,
        };
        this.env.push((ATTEMPT_VARIABLE.into(), attempt.to_string().into()));
        this.env.push((DIRECTORY_VARIABLE.into(), this.directory().path().into()));
        std::fs::create_dir_all(this.directory().path()).unwrap();
        this
    }

    pub(crate) fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub(crate) fn directory(&self) -> AttemptDirectory {
        AttemptDirectory::of(&self.assignment.runs_dir, self.assignment.run, self.assignment.ordinal)
    }

    pub(crate) fn block(&self) -> CommandBlock {
        let env = self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        CommandBlock::new(&self.argv, self.cwd.as_deref(), env).unwrap()
    }

    /// Starts the shim and hands the attempt over.
    pub(crate) fn start(mut self) -> Shim {
        let stdin = self.stdin.take();
        self.assignment.has_stdin = stdin.is_some();
        let shim = self.assignment.command(Path::new(PROGRAM), stdin);
        self.start_by(shim)
    }

    /// Has this command start the shim, and hands the attempt over.
    pub(crate) fn start_by(self, mut shim: Command) -> Shim {
        let mut child = shim.spawn().unwrap();
        let mut handover = child.stdin.take().unwrap();
        self.assignment.hand_over(&self.block(), &mut handover).unwrap();
        let notices = Notices::from(child.stdout.take().unwrap());
        Shim { attempt: self, child: ShimProcess(child), notices, started: None }
    }

    pub(crate) fn run(self) -> ExitRecord {
        self.start().end()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::read(&self.directory(), self.assignment.run, self.assignment.attempt).unwrap()
    }

    pub(crate) fn record(&self) -> Option<ExitRecord> {
        let path = self.directory().exit_record();
        ExitRecord::read(&path, self.assignment.run, self.assignment.attempt).unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory().path().join(name)).unwrap()
    }

    /// A named pipe in the test's own directory.
    pub(crate) fn pipe(&mut self, variable: &str) -> Pipe {
        let path = self.data.path().join(variable);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        self.env.push((variable.into(), path.clone().into()));
        Pipe(path)
    }

    pub(crate) fn ask(&self, request: Request) {
        RequestPipe::open(&self.directory()).unwrap().send(request).unwrap();
    }
}

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tacho-shim");

/// A shim that was started.
pub(crate) struct Shim {
    pub(crate) attempt: Attempt,
    child: ShimProcess,
    notices: Notices<ChildStdout>,
    started: Option<u32>,
}

/// Gone with its test, however that ends.
struct ShimProcess(Child);

impl Drop for ShimProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Shim {
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The next notice.
    pub(crate) fn next(&mut self) -> Option<Notice> {
        self.notices.read().unwrap()
    }

    /// Waits until the command is executed, and says its pid.
    #[track_caller]
    pub(crate) fn started(&mut self) -> u32 {
        let Some(Notice::Started { pid }) = self.next() else { panic!("not started") };
        self.started = Some(pid);
        pid
    }

    /// Whether the shim has closed its end of a stream: of the pipes that it holds, one is missing then.
    pub(crate) fn closed(&self, _stream: tachograph_engine::domain::Stream) -> bool {
        let held = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
        held.filter_map(target).filter(|target| target.to_string_lossy().starts_with("pipe:")).count() < 3
    }

    /// Waits until the shim is gone, and reads what it has written.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitRecord {
        while self.next().is_some() {}
        assert!(self.child.0.wait().unwrap().success(), "the shim has not recorded the end");
        self.attempt.record().unwrap()
    }

    /// The same, and keeps the directory.
    #[track_caller]
    pub(crate) fn end_and_attempt(mut self) -> (ExitRecord, Attempt) {
        while self.next().is_some() {}
        assert!(self.child.0.wait().unwrap().success(), "the shim has not recorded the end");
        (self.attempt.record().unwrap(), self.attempt)
    }

    /// Kills the shim, and returns once it is gone.
    pub(crate) fn kill(mut self) -> Attempt {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        self.attempt
    }
}

/// A named pipe: opening either end waits for the other, which makes it a signal without a clock.
pub(crate) struct Pipe(PathBuf);

impl Pipe {
    /// Lets a process go on that reads a line from the pipe.
    pub(crate) fn release(&self) {
        File::options().write(true).open(&self.0).unwrap().write_all(b"go\n").unwrap();
    }

    /// What is written until the last writer is gone.
    pub(crate) fn read_to_end(&self) -> String {
        let mut text = String::new();
        File::open(&self.0).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

pub(crate) fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

pub(crate) fn signal(process: u32, signal: Signal) {
    kill_process(pid(process), signal).unwrap();
}

/// Waits until a process has ended, whoever its parent is.
#[track_caller]
pub(crate) fn until_gone(process: u32) {
    let Ok(pidfd) = pidfd_open(pid(process), PidfdFlags::empty()) else { return };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: TOO_LONG.as_secs() as i64, tv_nsec: 0 })).unwrap();
    assert_eq!(ready, 1, "process {process} does not end");
}

/// Looks until something is so; what it waits for cannot be waited for otherwise.
#[track_caller]
pub(crate) fn until(mut is: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < TOO_LONG, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// State and parent of all processes, by `/proc`.
pub(crate) fn processes() -> Vec<(u32, char, u32)> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some((pid, fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
    })
    .collect()
}

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest(*blake3::hash(content).as_bytes())
}

/// Repetitions of a test that hunts for a race, to be turned up by hand.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("TACHO_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
