//! Whoever follows the end of a journal of which a part is archived before it was read.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{Action, Command};

use crate::support::{json, numbered, submit, tacho, write};

/// Whoever waits longer for a line has found a fault.
const HANG: Duration = Duration::from_secs(120);

/// A command that follows the journal, and what it prints.
pub(crate) struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn of(data: &Path, format: &str) -> Self {
        Self::asked(data, &["--format", format, "tail", "--follow"])
    }

    pub(crate) fn asked(data: &Path, arguments: &[&str]) -> Self {
        let mut child = tacho(data, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (to, lines) = channel();
        let printed = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || printed.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        Self { child, lines }
    }

    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(HANG).expect("the follower prints a line")
    }

    /// Stands still from here on.
    pub(crate) fn stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped());
    }

    pub(crate) fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Waits until it ends by itself, and returns its exit code, the lines that were still to come, and what it said beside
    /// them.
    pub(crate) fn ended(mut self) -> (Option<i32>, Vec<String>, String) {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(HANG) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("it has not ended in time: {lines:?}");
                }
            }
        }
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
    }

    /// Ends it, and returns what it said beside its lines.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        String::from_utf8(self.child.wait_with_output().unwrap().stderr).unwrap()
    }
}

/// The position of an entry as it is printed.
fn position(format: &str, line: &str) -> u64 {
    match format {
        "json" => serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap(),
        _ => line.split_whitespace().next().unwrap().parse().unwrap(),
    }
}

pub(crate) fn more(data: &Path) {
    submit(data, 1_000, &later());
}

/// What happens to others, later.
pub(crate) fn later() -> Vec<Command> {
    let later = (100..140).flat_map(|run| {
        let create = Action::Create { spec: Arc::new(spec("later")) };
        [create, Action::Destroy { force: true, why: "gone".to_owned() }].map(|action| (ids::run(run), action))
    });
    later.enumerate().map(|(n, (run, action))| numbered(5_000 + n as u64, run, action)).collect()
}

#[test]
fn whoever_follows_is_told_what_was_archived_before_it_was_read() {
    for format in ["text", "json"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        write(data, 2);
        let end = json(data, &["verify"])["head"]["position"].as_u64().unwrap();
        let follower = Follower::of(data, format);
        while position(format, &follower.next()) < end {}
        follower.stop();
        more(data);
        let done = json(data, &["archive", "--before", "1d", "--apply", "--no-parquet"]);
        let last = done["last"].as_u64().unwrap();
        assert!(last > end, "{done}");
        follower.go_on();
        assert_eq!(position(format, &follower.next()), last + 1, "{format}");
        let told = follower.end();
        let bundle = format!("archive/{:020}-{last:020}.tacho", 1);
        let said = format!("entries {} to {last} were archived before they were read: they are in {bundle}", end + 1);
        match format {
            "json" => {
                let note: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
                assert_eq!(note["note"]["message"].as_str(), Some(said.as_str()));
            }
            _ => assert!(told.contains(&format!("note: {said}\n")), "{told}"),
        }
    }
}

#[test]
fn whoever_follows_is_told_of_a_segment_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    write(data, 2);
    let end = json(data, &["verify"])["head"]["position"].as_u64().unwrap();
    let follower = Follower::of(data, "text");
    while position("text", &follower.next()) < end {}
    follower.stop();
    more(data);
    let mut segments: Vec<_> = crate::support::files(data).into_iter().map(|(path, _)| path).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    let first = |index: usize| segments[index].file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let gone = (1..segments.len()).find(|index| first(*index) > end + 1).unwrap();
    std::fs::remove_file(&segments[gone]).unwrap();
    follower.go_on();
    let mut before = end;
    while before < first(gone + 1) {
        let next = position("text", &follower.next());
        assert!(next == before + 1 || (before + 1, next) == (first(gone), first(gone + 1)), "{before}, {next}");
        before = next;
    }
    let told = follower.end();
    assert!(told.contains("is damaged") && told.contains("are missing"), "{told}");
}
