use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tachograph_adapters::process::{AttemptDirectory, Identity, ProcessIdentity};
use tachograph_engine::domain::{
    Drain, Event, Exit, ExitStatus, Finding, Ordinal, Outcome, Run, RunId, Stream, Witness,
};

use super::job::Lines;
use super::support::{Finished, HANG, Place, Ready, end_of, send};

const RUNS: usize = 200;

/// When a run ends, relative to its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    Meanwhile,
    After,
}

/// One job as its run shall be.
struct Planned {
    name: String,
    when: When,
    code: u8,
    output: [String; 2],
    /// What it waits at before it ends; open for both, so that opening waits for nobody.
    gate: File,
    text: String,
}

impl Planned {
    fn new(place: &Place, begun: &Ready, index: usize, numbers: &mut u64) -> Self {
        let when = [When::Before, When::Meanwhile, When::After][below(numbers, 3) as usize];
        let (code, repeats) = (below(numbers, 256) as u8, 1 + below(numbers, 300) as usize);
        let path = place.path(&format!("gate-{index}"));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let gate = File::options().read(true).write(true).open(&path).unwrap();
        let (begin, end) = (format!("begin {index}"), format!("end {index} {}", "x".repeat(repeats)));
        let wait = if when == When::Before { String::new() } else { format!("read go < \"{}\"; ", path.display()) };
        let say = |text: &str| format!("echo out {text}; echo err {text} >&2; ");
        let begun = format!("echo {index} > \"{}\"; ", begun.shown());
        let script = format!("{}{begun}{wait}{}exit {code}", say(&begin), say(&end));
        let output = ["out", "err"].map(|stream| format!("{stream} {begin}\n{stream} {end}\n"));
        let name = format!("job-{index}");
        let text = format!("[jobs.{name}]\ncommand = [\"sh\", \"-c\", '''{script}''']\nexpect = {{ code = {code} }}\n");
        Self { name, when, code, output, gate, text }
    }

    fn release(&mut self) {
        self.gate.write_all(b"go\n").unwrap();
    }
}

/// A number that a seed decides.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// A supervisor whose lines are read.
struct Supervisor {
    child: Option<Child>,
    lines: Lines,
}

impl Supervisor {
    fn of(place: &Place, jobs: &str) -> Self {
        let mut command = place.tacho(["supervise", "--jobs", "200", jobs]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stderr.take().unwrap());
        Self { child: Some(child), lines }
    }

    /// Reads lines until so many of them say something.
    fn until_said(&self, count: usize, what: &str) {
        let mut said = 0;
        while said < count {
            said += usize::from(self.lines.next().contains(what));
        }
    }

    fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        end_of(&mut child, String::new);
    }

    fn finish(mut self) -> Finished {
        Finished::of(self.child.take().unwrap())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Who the runs' processes are. A test that fails leaves none of them alive.
struct Identities(BTreeMap<RunId, Identity>);

impl Identities {
    fn of(place: &Place) -> Self {
        let records = place.records();
        let of = |run: &Run| {
            let attempt = run.attempt.as_ref().unwrap();
            Identity::read(&directory(place, run.id), run.id, attempt.id).unwrap().unwrap()
        };
        Self(records.iter().map(|record| (record.run.id, of(&record.run))).collect())
    }

    fn shim(&self, run: RunId) -> &ProcessIdentity {
        self.0[&run].shim.as_ref().unwrap()
    }

    /// Waits for the shims' ends. Each has reaped its process before it went: not even a zombie has its pid and start.
    fn assert_all_gone(&self) {
        for (run, identity) in &self.0 {
            until_gone(self.shim(*run));
            let process = identity.process.as_ref().unwrap();
            assert!(!ProcessIdentity::of(process.pid).is_ok_and(|now| now == *process), "left of run {run}");
        }
    }
}

impl Drop for Identities {
    fn drop(&mut self) {
        let shims = self.0.values().filter_map(|identity| identity.shim.as_ref());
        shims.filter(|shim| shim.is_alive()).for_each(|shim| send(shim.pid, Signal::KILL));
    }
}

fn directory(place: &Place, run: RunId) -> AttemptDirectory {
    AttemptDirectory::of(&place.data().join("runs"), run, Ordinal(1))
}

/// Waits until exactly this process is gone, whoever its parent is.
#[track_caller]
fn until_gone(process: &ProcessIdentity) {
    let pid = Pid::from_raw(process.pid.cast_signed()).unwrap();
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if process.is_alive() {
        let limit = Timespec { tv_sec: HANG.as_secs().cast_signed(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "process {} does not end", process.pid);
    }
}

fn jobs_file<'planned>(place: &Place, jobs: impl IntoIterator<Item = &'planned Planned>) -> String {
    place.jobs(&jobs.into_iter().map(|planned| planned.text.as_str()).collect::<String>())
}

#[track_caller]
fn assert_as_planned(place: &Place, run: &Run, planned: &Planned) {
    let name = &planned.name;
    let Some(Outcome::Exited { exit: Exit { status, witness, output }, amended: None }) =
        run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref())
    else {
        panic!("{name}: {run:?}")
    };
    assert_eq!((status, planned.when), (&ExitStatus::Code(planned.code.into()), planned.when), "{name}");
    assert_ne!(*witness, Witness::Synthesised, "{name}");
    let receipt = output.as_ref().expect("a receipt");
    assert_eq!(receipt.drain, Drain::Drained, "{name}");
    let streams = [(Stream::Stdout, receipt.stdout), (Stream::Stderr, receipt.stderr)];
    for ((stream, receipt), expected) in streams.into_iter().zip(&planned.output) {
        let kept = std::fs::read(directory(place, run.id).output(stream)).unwrap();
        assert_eq!(String::from_utf8_lossy(&kept), *expected, "{name}");
        assert_eq!((receipt.bytes, receipt.digest.0), (kept.len() as u64, *blake3::hash(&kept).as_bytes()), "{name}");
    }
}

/// How many times each run was adopted.
fn adoptions(place: &Place) -> BTreeMap<RunId, usize> {
    let mut adoptions = BTreeMap::new();
    for entry in place.entries() {
        let adopted = |event: &&Event| matches!(event, Event::Reconciled { finding: Finding::Adopted, .. });
        let count = entry.events().iter().filter(adopted).count();
        if let (Some(run), 1..) = (entry.run(), count) {
            *adoptions.entry(run).or_default() += count;
        }
    }
    adoptions
}

/// Kills a supervisor with all its runs begun, lets some of them end, and opens again.
fn round(seed: u64) {
    println!("seed {seed}");
    let (place, mut numbers) = (Place::new(), seed);
    let begun = Ready::at(&place.path("begun"));
    let mut planned: Vec<Planned> = (0..RUNS).map(|index| Planned::new(&place, &begun, index, &mut numbers)).collect();
    let count = |planned: &[Planned], when| planned.iter().filter(|planned| planned.when == when).count();
    let (before, after) = (count(&planned, When::Before), count(&planned, When::After));
    let supervisor = Supervisor::of(&place, &jobs_file(&place, &planned));
    (0..RUNS).for_each(|_| drop(begun.next()));
    // Of those that end before, some are recorded by then, and some are on disk only, or about to be.
    supervisor.until_said(before / 2, ": attempt 1 ended: ");
    supervisor.kill();
    let identities = Identities::of(&place);
    let runs: BTreeMap<String, RunId> =
        place.records().iter().map(|record| (record.run.spec.name.clone().unwrap(), record.run.id)).collect();
    for planned in planned.iter_mut().filter(|planned| planned.when == When::Meanwhile) {
        planned.release();
    }
    for planned in planned.iter().filter(|planned| planned.when != When::After) {
        until_gone(identities.shim(runs[&planned.name]));
    }

    // In every second round somebody else comes first, who follows them as long as it is there, and lets them go.
    let visited = seed % 2 == 1;
    if visited {
        let visitor = place.run("exit 0");
        assert_eq!(visitor.code, Some(0), "{}", visitor.stderr);
        assert_eq!(visitor.stderr.matches(" goes on from the last supervisor, and is followed").count(), after);
    }
    let going_on = jobs_file(&place, planned.iter().filter(|planned| planned.when == When::After));
    let successor = Supervisor::of(&place, &going_on);
    successor.until_said(after, " of this name goes on, and is this job's run");
    for planned in planned.iter_mut().filter(|planned| planned.when == When::After) {
        planned.release();
    }
    successor.until_said(after, ": attempt 1 ended: ");
    assert_eq!(successor.finish().code, Some(0), "all as expected");

    let records = place.records();
    assert_eq!(records.len(), RUNS + usize::from(visited), "nothing was run twice");
    for planned in &planned {
        let run = runs[&planned.name];
        let record = records.iter().find(|record| record.run.id == run).unwrap();
        assert_as_planned(&place, &record.run, planned);
    }
    let adopted: BTreeSet<RunId> =
        planned.iter().filter(|planned| planned.when == When::After).map(|planned| runs[&planned.name]).collect();
    let expected = adopted.into_iter().map(|run| (run, 1 + usize::from(visited))).collect();
    assert_eq!(adoptions(&place), expected, "who was adopted, and how many times");
    identities.assert_all_gone();
    let later = place.run("exit 0");
    assert_eq!((later.code, later.stderr.as_str()), (Some(0), ""), "nothing is left to tell");
    place.assert_closed_cleanly();
}

#[test]
fn two_hundred_runs_outlive_a_killed_supervise_with_their_codes_and_output() {
    let rounds = std::env::var("TACHO_OUTLIVED_ROUNDS").map_or(1, |text| text.parse().expect("a number of rounds"));
    for number in 0..rounds {
        round(20_261_121 + number);
    }
}
