use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::Value;
use tachograph_adapters::process::ProcessIdentity;
use tachograph_engine::domain::{Event, ExitStatus, Finding, RunId, RunRecord, StatusName};

use super::support::{Finished, HANG, Place, Ready, send, status};

const IDENTITY: &str = "rm \"$TACHO_RUN_DIR/identity.json\"";
const DIRECTORY: &str = "rm -rf \"$TACHO_RUN_DIR\"";

/// A run without an identity, in the hands of its shim. A test that fails leaves no process of it alive.
struct TakenAway {
    place: Place,
    run: RunId,
    shim: ProcessIdentity,
    process: ProcessIdentity,
    gate: File,
}

impl TakenAway {
    fn by(what: &str) -> Self {
        let place = Place::new();
        let path = place.path("gate");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let gate = File::options().read(true).write(true).open(&path).unwrap();
        let ready = Ready::at(&place.path("ready"));
        let script = format!("{what}; echo $$ $PPID > '{}'; read line < '{}'; exit 9", ready.shown(), path.display());
        let finished = place.finish(["run", "--detach", "--name", "gone", "--", "sh", "-c", &script]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let said = ready.next();
        let pids: Vec<u32> = said.split(' ').map(|pid| pid.parse().unwrap()).collect();
        let identity = |pid| ProcessIdentity::of(pid).unwrap();
        let (process, shim) = (identity(pids[0]), identity(pids[1]));
        let run = place.record().run.id;
        Self { place, run, shim, process, gate }
    }

    fn record(&self) -> RunRecord {
        self.place.records().into_iter().find(|record| record.run.id == self.run).unwrap()
    }

    fn adoptions(&self) -> usize {
        let entries = self.place.entries();
        let of_run = entries.iter().filter(|entry| entry.run() == Some(self.run));
        let adopted = |event: &&Event| matches!(event, Event::Reconciled { finding: Finding::Adopted, .. });
        of_run.map(|entry| entry.events().iter().filter(adopted).count()).sum()
    }

    #[track_caller]
    fn open(&self) -> Finished {
        let finished = self.place.finish(["run", "--", "true"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished
    }

    #[track_caller]
    fn until_gone(&self) {
        let begun = Instant::now();
        while self.shim.is_alive() || self.process.is_alive() {
            assert!(begun.elapsed() < HANG, "it goes on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for TakenAway {
    fn drop(&mut self) {
        if self.shim.is_alive() {
            send(self.shim.pid, Signal::KILL);
        }
    }
}

#[test]
fn it_is_followed_by_what_its_shim_is_called_and_told_truly() {
    for (what, expected) in [(IDENTITY, Some(ExitStatus::Code(9))), (DIRECTORY, None)] {
        let mut gone = TakenAway::by(what);
        let adopt = gone.place.finish(["adopt"]).stdout;
        assert!(adopt.contains("adopted") && adopt.contains(&format!("shim {} alive", gone.shim.pid)), "{adopt}");
        assert!(adopt.contains("by its command line"), "{adopt}");
        let listed: Value = serde_json::from_str(&gone.place.finish(["--format", "json", "ps"]).stdout).unwrap();
        let alive = |process: &ProcessIdentity| serde_json::json!({"pid": process.pid, "state": "alive"});
        assert_eq!(listed[0]["shim"], alive(&gone.shim));
        assert_eq!(listed[0]["process"], alive(&gone.process), "it is known by its shim");
        let opened = gone.open();
        assert!(!opened.stderr.contains("has not begun"), "{}", opened.stderr);
        assert!(opened.stderr.contains("goes on from the last supervisor, and is followed"), "{}", opened.stderr);
        assert_eq!(gone.adoptions(), 1);
        gone.gate.write_all(b"go\n").unwrap();
        gone.until_gone();
        gone.open();
        match (status(&gone.record()), expected) {
            (Some(ExitStatus::Unknown { .. }), None) => {}
            (recorded, expected) => assert_eq!(recorded, expected),
        }
        assert_eq!(gone.place.run("exit 0").stderr, "", "nothing is left to tell");
    }
}

#[test]
fn without_shim_and_identity_the_end_is_unknown_and_what_is_left_is_named() {
    let left = "sleep 600 > /dev/null 2>&1 & echo $! > \"$TACHO_RUN_DIR/left\"";
    let gone = TakenAway::by(&format!("{left}; {IDENTITY}"));
    let left = gone.place.data().join(format!("runs/{}/attempt-1/left", gone.run));
    let left: u32 = std::fs::read_to_string(left).unwrap().trim().parse().unwrap();
    send(gone.shim.pid, Signal::KILL);
    gone.until_gone();
    let opened = gone.open();
    send(left, Signal::KILL);
    let Some(ExitStatus::Unknown { cause }) = status(&gone.record()) else { panic!("{:?}", gone.record()) };
    assert!(cause.contains("there is no identity in its directory: it may have been executed"), "{cause}");
    assert!(opened.stderr.contains(&format!("was left open: unknown: {cause}")), "{}", opened.stderr);
    let told = format!("process {left}");
    assert!(opened.stderr.contains("has left something alive: ") && opened.stderr.contains(&told), "{}", opened.stderr);
}

#[test]
fn whoever_follows_it_can_end_it_and_has_the_end_recorded() {
    for what in [IDENTITY, DIRECTORY] {
        let gone = TakenAway::by(what);
        let other = Ready::at(&gone.place.path("other"));
        let gate = gone.place.path("other-gate");
        mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut gate_end = File::options().read(true).write(true).open(&gate).unwrap();
        let script = format!("echo begun > '{}'; read line < '{}'", other.shown(), gate.display());
        let mut command: Command = gone.place.tacho(["run", "--", "sh", "-c", &script]);
        let follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(other.next(), "begun");
        let killed = gone.place.finish(["kill", "gone", "--grace", "1m"]);
        gate_end.write_all(b"go\n").unwrap();
        assert_eq!(killed.code, Some(0), "{}", killed.stderr);
        assert_eq!(Finished::of(follower).code, Some(0));
        gone.until_gone();
        assert_eq!(gone.record().run.status.name(), StatusName::Exited);
    }
}

#[test]
fn one_that_was_destroyed_is_ended_by_the_next_that_opens() {
    for what in [IDENTITY, DIRECTORY] {
        let gone = TakenAway::by(what);
        let destroyed = gone.place.finish(["destroy", "gone", "--force"]);
        assert_eq!(destroyed.code, Some(0), "{}", destroyed.stderr);
        let opened = gone.open();
        let told = format!("its shim, pid {}, was asked to end", gone.shim.pid);
        assert!(opened.stderr.contains(&told), "{}", opened.stderr);
        gone.until_gone();
        assert_eq!(gone.place.run("exit 0").stderr, "", "nothing is left to end");
    }
}
