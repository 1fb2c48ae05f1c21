//! Attempts of real shells, with the identity that a runner would have written.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tachograph_adapters::freeze::{
    CgroupUse, FreezeError, FreezeTarget, Freezer, FreezerOptions, Frozen, ProcessFreezer, ThawReport,
};
use tachograph_adapters::process::{ATTEMPT_VARIABLE, AttemptDirectory, ProcessIdentity};
use tachograph_engine::domain::{AttemptId, Digest, Ordinal, RunId};
use ulid::Ulid;

/// After this time a test has failed; none waits for it otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// By this way, and with as much time as there is.
pub(crate) fn options(cgroup: CgroupUse) -> FreezerOptions {
    FreezerOptions { cgroup, limit_ms: PATIENCE.as_millis().try_into().unwrap() }
}

/// A data directory with one attempt, and its first process. All processes that name it are killed at the end.
pub(crate) struct Attempt {
    pub(crate) data: tempfile::TempDir,
    pub(crate) target: FreezeTarget,
    pub(crate) leader: Child,
    told: BufReader<std::process::ChildStdout>,
}

impl Attempt {
    /// A shell script that has said its first line. `$D` is a directory for its files, `$T` is this test program: a loop
    /// asks whether that is there, so that nothing runs on and on if it is killed.
    pub(crate) fn sh(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let data = tempfile::tempdir_in(place()).unwrap();
        let target = FreezeTarget {
            run: RunId::from_ulid(Ulid::new()),
            attempt: AttemptId::from_ulid(Ulid::new()),
            ordinal: Ordinal(1),
        };
        command
            .env(ATTEMPT_VARIABLE, target.attempt.to_string())
            .env("D", data.path())
            .env("T", std::process::id().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut leader = command.spawn().unwrap();
        let told = BufReader::new(leader.stdout.take().unwrap());
        let mut attempt = Self { data, target, leader, told };
        attempt.line();
        attempt.identify(Some(&ProcessIdentity::of(attempt.pid()).unwrap()));
        attempt
    }

    pub(crate) fn pid(&self) -> u32 {
        self.leader.id()
    }

    /// What the attempt says next.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// A pid that the attempt says next.
    pub(crate) fn line_pid(&mut self) -> u32 {
        self.line().parse().unwrap()
    }

    pub(crate) fn directory(&self) -> AttemptDirectory {
        AttemptDirectory::of(&self.data.path().join("runs"), self.target.run, self.target.ordinal)
    }

    /// Writes the identity as a runner does.
    pub(crate) fn identify(&self, process: Option<&ProcessIdentity>) {
        let directory = self.directory();
        std::fs::create_dir_all(directory.path()).unwrap();
        let supervisor = ProcessIdentity::of(std::process::id()).unwrap();
        let identity = serde_json::json!({
            "format": 1, "run": self.target.run.to_string(), "attempt": self.target.attempt.to_string(), "ordinal": 1,
            "runner": "process/host/1/test", "supervisor": supervisor, "argv_blake3": Digest::ZERO.to_string(),
            "process": process,
        });
        std::fs::write(directory.identity(), identity.to_string()).unwrap();
    }

    pub(crate) fn open(&self, cgroup: CgroupUse) -> (ProcessFreezer, ThawReport) {
        ProcessFreezer::open(self.data.path(), options(cgroup))
    }

    pub(crate) fn freeze(&self, cgroup: CgroupUse) -> Result<Box<dyn Frozen>, FreezeError> {
        let frozen = self.open(cgroup).0.freeze(&self.target)?;
        if cgroup == CgroupUse::Auto {
            assert!(self.is_contained(self.pid()), "it was not frozen by a control group");
        }
        Ok(frozen)
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.data.path().join("freezes").join(format!("{}.json", self.target.attempt))
    }

    /// Changes what is in the marker.
    pub(crate) fn edit_marker(&self, edit: impl FnOnce(&mut serde_json::Value)) {
        let mut marker = serde_json::from_slice(&std::fs::read(self.marker()).unwrap()).unwrap();
        edit(&mut marker);
        std::fs::write(self.marker(), marker.to_string()).unwrap();
    }

    /// Whether a process is in the control group that freezes the attempt.
    pub(crate) fn is_contained(&self, pid: u32) -> bool {
        cgroup_of(pid).is_some_and(|path| path.ends_with(format!("tacho-{}", self.target.attempt)))
    }

    /// Whether a process stands still: in the control group, which is frozen, or with every thread stopped.
    pub(crate) fn stands(&self, pid: u32) -> bool {
        if self.is_contained(pid) {
            let events = std::fs::read_to_string(cgroup_of(pid).unwrap().join("cgroup.events")).unwrap();
            return events.lines().any(|line| line == "frozen 1");
        }
        let states = states(pid);
        !states.is_empty() && states.iter().all(|state| *state == 'T')
    }

    /// All living processes that name the attempt.
    pub(crate) fn all(&self) -> Vec<u32> {
        let wanted = format!("{ATTEMPT_VARIABLE}={}", self.target.attempt);
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        let mut left = vec![self.pid()];
        while !left.is_empty() && Instant::now() < until {
            left.into_iter().for_each(|pid| kill(pid, Signal::KILL));
            let _ = self.leader.wait();
            left = self.all();
        }
        if let Some(group) = own_cgroup().map(|own| own.join(format!("tacho-{}", self.target.attempt))) {
            while group.is_dir() && std::fs::remove_dir(&group).is_err() && Instant::now() < until {
                std::thread::yield_now();
            }
        }
    }
}

/// Where a process that writes on and on does not wait for a disk that others use, too.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// The ways of freezing that this machine has.
pub(crate) fn ways() -> Vec<CgroupUse> {
    let probe = own_cgroup().map(|own| own.join(format!("tacho-probe-{}", Ulid::new())));
    if probe.is_some_and(|probe| std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).is_ok()) {
        vec![CgroupUse::Off, CgroupUse::Auto]
    } else {
        eprintln!("SKIPPED with control groups: no writable hierarchy of version 2 here");
        vec![CgroupUse::Off]
    }
}

/// Whether control groups can be tested.
pub(crate) fn has_cgroups() -> bool {
    ways().contains(&CgroupUse::Auto)
}

fn own_cgroup() -> Option<PathBuf> {
    cgroup_of(std::process::id())
}

/// Found in another way than the code under test does: by the file that only directories of version 2 have.
pub(crate) fn cgroup_of(pid: u32) -> Option<PathBuf> {
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    Some(mounts.into_iter().find(|mount| mount.join("cgroup.procs").exists())?.join(path))
}

/// The states of all threads of a process.
pub(crate) fn states(pid: u32) -> Vec<char> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

/// How long a process has had a processor, in ticks of the clock: the fields `utime` and `stime` of `/proc/PID/stat`.
pub(crate) fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // From the third field on: the second is a name, which may have anything in it.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

/// Waits until something is so, for long enough.
#[track_caller]
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        std::thread::yield_now();
    }
}

/// This test program once more, as one of the helpers that are ignored as tests.
pub(crate) fn helper(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--quiet"]);
    command
}

/// Repetitions of a test that hunts for a race, to be turned up by hand.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("TACHO_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
