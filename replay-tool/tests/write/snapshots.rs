use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::Value;
use tachograph_engine::domain::{Event, ExitStatus, RunId};

use super::support::{Finished, HANG, Place, Ready, end_of, send, status};

/// A named pipe at which a job waits until its test opens it.
pub(crate) struct Gate {
    path: PathBuf,
    pipe: File,
}

impl Gate {
    pub(crate) fn at(path: PathBuf) -> Self {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        Self { path, pipe }
    }

    /// Lets one process go on that reads a line here.
    pub(crate) fn open(&mut self) {
        self.pipe.write_all(b"go\n").unwrap();
    }
}

/// One job, with a pipe to its test (`$READY`) and two from it (`$GATE` and `$END`).
pub(crate) struct Staged {
    pub(crate) place: Place,
    pub(crate) ready: Ready,
    pub(crate) gate: Gate,
    pub(crate) end: Gate,
    jobs: String,
}

impl Staged {
    pub(crate) fn job(script: &str, keys: &str) -> Self {
        let place = Place::new();
        let (ready, gate) = (Ready::at(&place.path("ready")), Gate::at(place.path("gate")));
        let end = Gate::at(place.path("end"));
        let (said, asked, last) = (ready.shown(), gate.path.display(), end.path.display());
        let jobs = place.jobs(&format!(
            "[jobs.job]\ncommand = [\"sh\", \"-c\", '''{script}''']\nenv = {{ READY = \"{said}\", GATE = \"{asked}\", END = \"{last}\" }}\n{keys}\n"
        ));
        Self { place, ready, gate, end, jobs }
    }

    pub(crate) fn supervise(&self) -> Child {
        let mut command = self.place.tacho(["supervise", "--format", "json", &self.jobs]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let entries = self.place.entries();
        entries.iter().flat_map(|entry| entry.events().to_vec()).collect()
    }

    fn run(&self) -> RunId {
        self.place.records().pop().unwrap().run.id
    }

    /// The marker of the freeze that is under way, once everything stands still.
    pub(crate) fn frozen(&self, pid: &str) -> PathBuf {
        let markers = self.place.data().join("freezes");
        let mut marker = None;
        until("it is frozen", || {
            let mut files = std::fs::read_dir(&markers).into_iter().flatten().flatten().map(|file| file.path());
            marker = files.find(|path| path.extension().is_some_and(|end| end == "json"));
            marker.as_ref().is_some_and(|marker| stands_still(pid, marker))
        });
        marker.unwrap()
    }
}

/// Whether a process stands still in the way that the marker tells of.
pub(crate) fn stands_still(pid: &str, marker: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(marker) else { return false };
    let marker: Value = serde_json::from_str(&text).unwrap();
    let says =
        |file: PathBuf, line: &str| std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|it| it == line));
    match marker["method"]["cgroup"]["path"].as_str().map(Path::new) {
        Some(group) => says(group.join("cgroup.procs"), pid) && says(group.join("cgroup.events"), "frozen 1"),
        None => std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "),
    }
}

/// Asks again and again, for so long that the answer is a failure.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < HANG, "{what}: not in time");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

pub(crate) fn job_of(finished: &Finished) -> Value {
    let rows: Vec<Value> =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr));
    rows[0].clone()
}

/// Files that each writer keeps in step.
const STEPS: usize = 40;

/// Writers that put one number after the other into all of their files, in order. In the middle lies a file that takes a
/// while to read.
fn lockstep() -> String {
    format!(
        r#"
cd "$TACHO_RUN_DIR"
for who in one two; do
  mkdir "$who"
  truncate -s 300M "$who/20-large"
  ( i=0
    while [ "$i" -lt 1000000 ] && [ ! -e stop ]; do
      i=$((i + 1)); n=10
      while [ "$n" -lt {} ]; do echo "$i" > "$who/$n-step"; n=$((n + 1)); done
      [ "$i" -gt 1 ] || : > "begun-$who"
    done ) &
done
until [ -e begun-one ] && [ -e begun-two ]; do sleep 0.01; done
echo "$$" > "$READY"
"$TACHO_EXE" report waiting --on 'the gate'
read go < "$GATE"
"$TACHO_EXE" report resume
touch stop
wait
"#,
        10 + STEPS
    )
}

/// What stood in the files at one instant: a number, then the one before it, and between the two at most one file that was
/// just emptied.
#[track_caller]
fn assert_one_instant(directory: &Path) {
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|path| path.to_str().unwrap().ends_with("-step"));
    names.sort();
    let texts: Vec<String> = names.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let steps: Vec<Option<u64>> = texts.iter().map(|text| text.trim().parse().ok()).collect();
    let numbers: Vec<u64> = steps.iter().flatten().copied().collect();
    assert!(steps.len() - numbers.len() <= 1, "{steps:?}");
    assert!(numbers.len() > STEPS / 2, "the first round was over: {steps:?}");
    assert!(numbers.is_sorted_by(|one, other| one >= other), "torn: {steps:?}");
    assert!(numbers[0] - numbers[numbers.len() - 1] <= 1, "torn: {steps:?}");
}

#[test]
fn an_image_of_a_job_that_waits_holds_one_instant_of_several_writers() {
    let mut staged = Staged::job(&lockstep(), "snapshot_delay = \"100ms\"");
    let child = staged.supervise();
    staged.ready.next();
    until("the snapshot is taken", || results(&staged.place) == 1);
    staged.gate.open();
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let job = job_of(&finished);
    assert_eq!(job["snapshots"].as_array().map(Vec::len), Some(1), "{job}");
    assert_eq!(job["snapshots"][0]["failure"], Value::Null);
    let restored = staged.place.path("restored");
    let unpacked = staged.place.finish(["restore", "job", restored.to_str().unwrap()]);
    assert_eq!(unpacked.code, Some(0), "{}", unpacked.stderr);
    for who in ["one", "two"] {
        assert_one_instant(&restored.join(who));
        assert_eq!(restored.join(who).join("20-large").metadata().unwrap().len(), 300 * 1_024 * 1_024);
    }
    assert!(!restored.join("stop").exists(), "that was made later");
    assert!(finished.stderr.contains("job: waits on the gate\n"), "{}", finished.stderr);
    assert!(finished.stderr.contains("job: snapshot taken, "), "{}", finished.stderr);
}

#[test]
fn a_report_of_a_process_that_an_earlier_attempt_left_is_refused_and_stands_in_the_timeline() {
    let script = r#"
if [ "$TACHO_ATTEMPT" = 1 ]; then
  ( read go < "$GATE"; "$TACHO_EXE" report waiting --on ghosts; echo "$?" > "$READY" ) > /dev/null 2>&1 &
  exit 1
fi
echo second > "$READY"
read go < "$END"
"#;
    let mut staged = Staged::job(script, "retries = 1\nsnapshot_delay = 0");
    let child = staged.supervise();
    assert_eq!(staged.ready.next(), "second");
    staged.gate.open();
    assert_eq!(staged.ready.next(), "5", "the report's own exit code");
    staged.end.open();
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(job_of(&finished)["snapshots"], Value::Array(Vec::new()));
    let timeline = staged.place.finish(["timeline", "job"]).stdout;
    assert!(timeline.contains("waits on ghosts") && timeline.contains("another attempt is current"), "{timeline}");
    assert!(!staged.events().iter().any(|event| matches!(event, Event::Waiting { .. })));
}

#[test]
fn a_live_supervisor_cancels_for_the_right_runner_and_says_why_not_for_others() {
    let script = r#"
"$TACHO_EXE" --format json report waiting --on 'the gate'
echo waits > "$READY"
read go < "$GATE"
"#;
    let mut staged = Staged::job(script, "snapshot_delay = \"1h\"");
    let child = staged.supervise();
    staged.ready.next();
    let place = &staged.place;
    let cancel = |arguments: &[&str]| {
        let finished = place.finish([&["--format", "json", "cancel-snapshot", "job"], arguments].concat());
        let view: Value =
            serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr));
        (finished.code, view["outcome"].as_str().unwrap().to_owned(), view)
    };
    let (code, outcome, view) = cancel(&["--runner", "somebody/else"]);
    assert_eq!((code, outcome.as_str(), &view["supervised"]), (Some(5), "not_owner", &true.into()));
    let record = place.record();
    let armed = record.run.armed.unwrap();
    let (code, outcome, view) = cancel(&["--runner", armed.runner.as_str()]);
    assert_eq!((code, outcome.as_str(), &view["snapshot"]), (Some(0), "canceled", &armed.id.to_string().into()));
    assert_eq!(cancel(&["--unconditional"]).1, "nothing_pending");
    let refused = place.finish(["cancel-snapshot", "job", "--unconditional"]);
    assert_eq!(refused.code, Some(5));
    assert!(
        refused.stderr.contains("error[nothing_pending]") && refused.stderr.contains("help: "),
        "{}",
        refused.stderr
    );
    staged.gate.open();
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let timeline: Value =
        serde_json::from_str(&staged.place.finish(["--format", "json", "timeline", "job"]).stdout).unwrap();
    let canceled =
        timeline["items"].as_array().unwrap().iter().find(|item| item["event"]["type"] == "SnapshotCanceled");
    let actor = &canceled.unwrap()["command"]["actor"];
    assert_eq!(actor["kind"], "operator");
    assert!(actor["id"].as_str().unwrap().contains('@'), "{actor}");
    assert!(!staged.place.data().join("control.sock").exists(), "it goes with the supervisor");
    // What the job itself was told.
    let output = staged.place.data().join(format!("runs/{}/attempt-1/stdout", staged.run()));
    let told: Value = serde_json::from_str(&std::fs::read_to_string(output).unwrap()).unwrap();
    assert_eq!((&told["outcome"], &told["snapshot"]["snapshot"]), (&"recorded".into(), &armed.id.to_string().into()));
}

/// A job whose image takes longer than any test has patience for, and which goes on for as long.
const ENDLESS: &str = r#"
truncate -s 1T "$TACHO_RUN_DIR/large"
n=$(seq 6000)
echo "$$" > "$READY"
"$TACHO_EXE" report waiting --on 'its end'
for i in $n; do echo alive > "$READY"; sleep 0.01; done
"#;

#[test]
fn a_signal_while_a_job_stands_still_gives_its_image_up_and_ends_it() {
    let staged = Staged::job(ENDLESS, "snapshot_delay = 0");
    let child = staged.supervise();
    let pid = staged.ready.next();
    let marker = staged.frozen(&pid);
    let refused = staged.place.finish(["cancel-snapshot", "job", "--unconditional"]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("error[already_dispatched]"), "{}", refused.stderr);
    send(child.id(), Signal::TERM);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143), "{}", finished.stderr);
    let job = job_of(&finished);
    let why = job["snapshots"][0]["failure"].as_str().unwrap();
    assert!(why.starts_with("given up, so that the run could be ended"), "{why}");
    assert_eq!(status(&staged.place.record()), Some(ExitStatus::Signal(15)), "it could follow the polite signal");
    assert!(!marker.exists());
    let images = staged.place.data().join(format!("snapshots/{}", staged.run()));
    assert!(!images.exists() || std::fs::read_dir(images).unwrap().next().is_none(), "no part is left");
    staged.place.assert_closed_cleanly();
}

/// A process of the job that nobody but a freezer lets go on: in a session of its own, the kernel does not when the
/// supervisor is gone.
pub(crate) const DETACHED: &str = r#"
trap '' HUP
truncate -s 1T "$TACHO_RUN_DIR/large"
setsid sh -c 'echo "$$" > "$READY"; read go < "$GATE"; echo "went on" > "$READY"' &
read go < "$END"
"$TACHO_EXE" report waiting --on 'its end'
wait
"#;

#[test]
fn what_a_killed_supervisor_left_frozen_goes_on_when_the_next_one_opens() {
    let mut staged = Staged::job(DETACHED, "snapshot_delay = 0");
    let mut child = staged.supervise();
    let pid = staged.ready.next();
    staged.end.open();
    let marker = staged.frozen(&pid);
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
    assert!(stands_still(&pid, &marker), "nobody has let it go on");
    let next = staged.place.finish(["run", "--", "true"]);
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    assert!(next.stderr.contains(" was left frozen and goes on again\n"), "{}", next.stderr);
    assert!(!marker.exists());
    staged.gate.open();
    assert_eq!(staged.ready.next(), "went on");
    let failed = staged.events().into_iter().any(|event| matches!(event, Event::SnapshotFailed { .. }));
    assert!(failed, "the snapshot that nobody finished has a result");
    assert!(next.stderr.contains(" goes on from the last supervisor, and is followed\n"), "{}", next.stderr);
    assert!(!staged.place.records()[0].run.is_ended(), "it was let go of, and goes on");
}

#[test]
fn a_jobs_own_program_takes_its_images_and_what_it_says_when_it_fails_is_told() {
    let place = Place::new();
    let script = r#"echo state > "$TACHO_RUN_DIR/state"; "$TACHO_EXE" report waiting --on x; read go < "$GATE""#;
    let job = |name: &str, snapshots: &str| {
        let gate = Gate::at(place.path(name));
        let env = gate.path.display();
        let text = format!(
            "[jobs.{name}]\ncommand = [\"sh\", \"-c\", '''{script}''']\nenv = {{ GATE = \"{env}\" }}\n\
             snapshot_delay = 0\nsnapshot_command = [\"sh\", \"-c\", '''{snapshots}''']\n"
        );
        (gate, text)
    };
    let (mut one, fine) = job("fine", r#"cp "$TACHO_RUN_DIR/state" "$TACHO_SNAPSHOT_FILE""#);
    let (mut two, bad) = job("bad", "echo no room for it >&2; exit 3");
    let jobs = place.jobs(&(fine + &bad));
    let mut command = place.tacho(["supervise", "--jobs", "2", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("both have a result", || results(&place) == 2);
    one.open();
    two.open();
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains("fine: snapshot ") && finished.stdout.contains(": 6 bytes in snapshots/"));
    assert!(finished.stdout.contains(" FAILED: ") && finished.stdout.contains("no room for it"), "{}", finished.stdout);
    assert!(finished.stderr.contains("bad: snapshot FAILED: "), "{}", finished.stderr);
    let records = place.records();
    let run = records.iter().find(|record| record.run.spec.name.as_deref() == Some("fine")).unwrap().run.id;
    let images = place.data().join(format!("snapshots/{run}"));
    let image = std::fs::read_dir(images).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(image).unwrap(), "state\n");
}

/// How many snapshots were taken or failed, as far as that is recorded.
fn results(place: &Place) -> usize {
    let entries = place.entries();
    let events = entries.iter().flat_map(|entry| entry.events());
    events.filter(|event| matches!(event, Event::SnapshotTaken { .. } | Event::SnapshotFailed { .. })).count()
}

#[test]
fn a_report_outside_of_a_run_or_without_a_supervisor_changes_nothing_and_says_so() {
    let place = Place::new();
    let outside = place.tacho(["report", "resume"]).env_remove("TACHO_RUN_ID").output().unwrap();
    assert_eq!(outside.status.code(), Some(2));
    let text = String::from_utf8(outside.stderr).unwrap();
    assert!(text.contains("TACHO_RUN_ID is not set\n  help: call it inside a run"), "{text}");
    let id = RunId::from_u128(7).to_string();
    for format in ["text", "json"] {
        let alone =
            place.finish(["--format", format, "report", "waiting", "--on", "x", "--run", &id, "--attempt", &id]);
        assert_eq!(alone.code, Some(11));
        assert!(alone.stderr.contains("not_supervised") && alone.stderr.contains("control.sock"), "{}", alone.stderr);
    }
    let long = place.finish(["report", "snapshot", "--after", "31d", "--run", &id, "--attempt", &id]);
    assert_eq!(long.code, Some(2));
    assert!(long.stderr.contains("longer than 30 days"), "{}", long.stderr);
    assert!(!place.data().exists());
}

#[test]
fn the_example_of_snapshots_ends_as_it_says() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/snapshots.toml")).unwrap();
    assert!(example.contains("\nsleep 2\n"), "{example}");
    let mut tried = [2, 20, 100].into_iter().map(|seconds| {
        let place = Place::new();
        let jobs = place.jobs(&example.replace("\nsleep 2\n", &format!("\nsleep {seconds}\n")));
        let finished = place.finish(["--format", "json", "supervise", "--jobs", "3", &jobs]);
        assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
        let rows: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap();
        let images: Vec<_> = rows.iter().map(|row| row["snapshots"].as_array().unwrap().len()).collect();
        (place, images, finished.stdout)
    });
    // A machine that is busy otherwise may not come to the image in so short a time.
    let (place, images, told) = tried.find(|(_, images, _)| images[0] > 0).expect("no image is taken");
    assert_eq!(images, [1, 0, 0], "{told}");
    let restored = place.path("restored");
    assert_eq!(place.finish(["restore", "waits-long", restored.to_str().unwrap()]).code, Some(0));
    assert_eq!(std::fs::read_to_string(restored.join("work")).unwrap(), "half of the work\n");
    assert!(!place.data().join("control.sock").exists());
    place.assert_closed_cleanly();
}
