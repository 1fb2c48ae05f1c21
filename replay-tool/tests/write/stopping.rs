use std::fs::File;
use std::io::Write;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use tachograph_engine::domain::{ExitStatus, RunRecord};

use super::detach::gate;
use super::job::Lines;
use super::support::{Finished, Place, Ready, end_of, send, status};

/// A supervisor with a job of its own beside runs that go on from the last one, and are no job of its file.
struct Heir {
    child: Child,
    lines: Lines,
    said: Vec<String>,
    ready: Ready,
    /// What the runs wait at; open for both.
    gate: File,
}

impl Heir {
    /// `scripts` are those of the runs; each says by `say WORD` that it is ready, and may wait by `hold`.
    fn of(place: &Place, scripts: &[(&str, &str)]) -> Self {
        let (gate, path) = gate(place);
        let ready = Ready::at(&place.path("ready"));
        let words = format!("say() {{ echo $1 > '{}'; }}; hold() {{ read line < '{path}'; }}", ready.shown());
        let job =
            |name: &str, script: &str| format!("[jobs.{name}]\ncommand = ['sh', '-c', '''{words}; {script}''']\n");
        let jobs = place.jobs(&scripts.iter().map(|(name, script)| job(name, script)).collect::<String>());
        let mut command = place.tacho(["supervise", "--jobs", "9", &jobs]);
        let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        scripts.iter().for_each(|_| drop(ready.next()));
        send(first.id(), Signal::KILL);
        end_of(&mut first, String::new);
        let jobs = place.jobs(&job("mine", "say mine; exec sleep 600"));
        let mut command = place.tacho(["supervise", "--format", "json", "--stop-within", "60s", &jobs]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stderr.take().unwrap());
        assert_eq!(ready.next(), "mine");
        Self { child, lines, said: Vec::new(), ready, gate }
    }

    fn ask(&self) {
        send(self.child.id(), Signal::TERM);
    }

    /// Waits until the end of its own job is told.
    fn until_mine_has_ended(&mut self) {
        while !self.said.last().is_some_and(|line| line.contains("mine: attempt 1 ended")) {
            self.said.push(self.lines.next());
        }
    }

    /// Its end, with all that it said on standard error.
    fn finish(mut self) -> Finished {
        self.said.extend(self.lines.rest());
        Finished { stderr: self.said.join("\n"), ..Finished::of(self.child) }
    }
}

fn named(place: &Place, name: &str) -> RunRecord {
    place.records().into_iter().find(|record| record.run.spec.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn a_signal_ends_runs_that_are_no_job_of_the_file_and_their_ends_are_waited_for_recorded_and_told() {
    let place = Place::new();
    let slow = "trap 'say asked; hold; exit 5' TERM; say a; while :; do sleep 600; done";
    let polite = "trap 'echo bye; exit 3' TERM; say b; while :; do sleep 600; done";
    let mut heir = Heir::of(&place, &[("a", slow), ("b", polite), ("c", "say c; exec sleep 600")]);
    heir.ask();
    assert_eq!(heir.ready.next(), "asked");
    heir.until_mine_has_ended();
    heir.gate.write_all(b"go\n").unwrap();
    let finished = heir.finish();
    assert_eq!(finished.code, Some(143), "{}", finished.stderr);
    let ends = [
        ("a", ExitStatus::Code(5), "code 5"),
        ("b", ExitStatus::Code(3), "code 3"),
        ("c", ExitStatus::Signal(15), "signal 15 (TERM)"),
    ];
    for (name, expected, told) in ends {
        let record = named(&place, name);
        assert_eq!(status(&record), Some(expected), "{name}: {}", finished.stderr);
        let line = format!("run {name} ({}) ended: {told}", record.run.id);
        assert_eq!(finished.stderr.matches(&line).count(), 1, "{line:?}: {}", finished.stderr);
    }
    place.assert_closed_cleanly();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((rows.len(), &rows[0]["job"]), (1, &"mine".into()), "only jobs are in the table");
    let later = place.run("exit 0");
    assert_eq!((later.code, later.stderr.as_str()), (Some(0), ""), "nothing is left to tell");
}

#[test]
fn a_second_signal_ends_runs_that_are_no_job_of_the_file_at_once() {
    let place = Place::new();
    let deaf = "trap 'say asked' TERM; say a; while :; do sleep 600; done";
    let mut heir = Heir::of(&place, &[("a", deaf)]);
    heir.ask();
    assert_eq!(heir.ready.next(), "asked");
    heir.until_mine_has_ended();
    heir.ask();
    let finished = heir.finish();
    assert_eq!(finished.code, Some(143), "{}", finished.stderr);
    let record = named(&place, "a");
    assert_eq!(status(&record), Some(ExitStatus::Signal(9)), "{}", finished.stderr);
    let line = format!("run a ({}) ended: signal 9 (KILL)", record.run.id);
    assert!(finished.stderr.contains(&line), "{}", finished.stderr);
    place.assert_closed_cleanly();
}

#[test]
fn no_time_to_end_means_to_be_killed_at_once_and_recorded() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let script = format!("trap \"\" TERM; echo ready > {}; while :; do sleep 600; done", ready.shown());
    let jobs = place.jobs(&format!("[jobs.deaf]\ncommand = ['sh', '-c', '{script}']\n"));
    let mut command = place.tacho(["supervise", "--stop-within", "0s", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ready.next();
    send(child.id(), Signal::TERM);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143), "{}", finished.stderr);
    assert!(finished.stderr.contains("stopping: runs are killed at once\n"), "{}", finished.stderr);
    assert_eq!(status(&place.record()), Some(ExitStatus::Signal(9)), "{}", finished.stderr);
    place.assert_closed_cleanly();
}
