use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tachograph_engine::domain::{ExitStatus, RunRecord, StatusName};

use super::job::{Lines, Stopped, parent_of};
use super::support::{Finished, HANG, Place, Ready, end_of, send, status};

#[test]
fn a_signal_to_run_reaches_the_command_which_decides_what_to_do() {
    let script = "trap 'exit 42' TERM; n=$(seq 6000); echo ready; for i in $n; do sleep 0.01; done";
    for (script, signal, code, recorded) in [
        (script, Signal::TERM, 42, ExitStatus::Code(42)),
        ("echo ready; exec sleep 60", Signal::INT, 130, ExitStatus::Signal(2)),
        ("echo ready; exec sleep 60", Signal::TERM, 143, ExitStatus::Signal(15)),
    ] {
        let place = Place::new();
        let mut child = place.tacho(["run", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        send(child.id(), signal);
        assert_eq!(Finished::of(child).code, Some(code), "{script}");
        assert_eq!(status(&place.record()), Some(recorded));
        place.assert_closed_cleanly();
    }
}

#[test]
fn a_signal_to_run_ends_a_command_that_is_stopped() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let script = "echo $$; kill -STOP $$; exit 3";
        let mut child = place.tacho(["run", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let command = lines.next().unwrap().unwrap();
        // Nobody but its parent is told when a process stops.
        let begun = Instant::now();
        while !std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap().contains(") T ") {
            assert!(begun.elapsed() < HANG, "it does not stop");
            std::thread::yield_now();
        }
        send(child.id(), signal);
        assert_eq!(Finished::of(child).code, Some(128 + signal.as_raw()));
        assert_eq!(status(&place.record()), Some(ExitStatus::Signal(signal.as_raw())));
    }
}

/// Two jobs, the first of which says that it is ready and then runs until it is ended.
fn two_jobs(place: &Place, ready: &Ready, prelude: &str) -> String {
    // Counted before it is ready: a signal to the group would end `seq`, and with it the loop.
    let script = format!("{prelude}; n=$(seq 6000); echo $$ > '{}'; for i in $n; do sleep 0.01; done", ready.shown());
    place.jobs(&format!(
        "[jobs.first]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nretries = 3\n[jobs.second]\ncommand = [\"true\"]\n"
    ))
}

#[test]
fn a_signal_to_supervise_ends_its_runs_records_them_and_closes_the_journal() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let place = Place::new();
        let ready = Ready::at(&place.path("ready"));
        let jobs = two_jobs(&place, &ready, ":");
        let mut command = place.tacho(["supervise", "--jobs", "1", &jobs]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        ready.next();
        send(child.id(), signal);
        let finished = Finished::of(child);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        let record = place.record();
        assert_eq!((record.run.status.name(), status(&record)), (StatusName::Exited, Some(ExitStatus::Signal(15))));
        assert_eq!(record.run.attempt.unwrap().ordinal.0, 1, "no retry after a signal");
        assert!(finished.stdout.contains("not begun"), "{}", finished.stdout);
        place.assert_closed_cleanly();
    }
}

#[test]
fn a_second_signal_ends_at_once_what_does_not_want_to_end() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = two_jobs(&place, &ready, &format!("trap 'echo asked > {}' TERM", ready.shown()));
    // More time than anybody waits for here.
    let mut command = place.tacho(["supervise", "--jobs", "1", "--stop-within", "1h", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ready.next();
    send(child.id(), Signal::TERM);
    assert_eq!(ready.next(), "asked");
    send(child.id(), Signal::INT);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143), "the first signal counts: {}", finished.stderr);
    assert_eq!(status(&place.record()), Some(ExitStatus::Signal(9)));
    place.assert_closed_cleanly();
}

#[test]
fn what_a_killed_supervisor_left_open_is_recorded_by_the_next_and_its_name_is_free() {
    assert_settled("", |place, jobs| place.finish(["supervise", jobs]));
    assert_settled("tacho: ", |place, _| place.finish(["run", "--name", "first", "--", "true"]));
}

/// Of plain children; the next writer succeeds and says on standard error what it recorded.
#[track_caller]
fn assert_settled(prefix: &str, next: impl Fn(&Place, &str) -> Finished) {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = two_jobs(&place, &ready, ":");
    let mut child = place
        .tacho(["supervise", "--no-shim", "--jobs", "1", &jobs])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let orphan: u32 = ready.next().parse().unwrap();
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
    kill_and_wait(orphan);
    let jobs = place.jobs("[jobs.first]\ncommand = [\"true\"]\n");
    let finished = next(&place, &jobs);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let unknown = |record: &RunRecord| matches!(status(record), Some(ExitStatus::Unknown { .. }));
    let lost: Vec<_> = place.records().into_iter().filter(unknown).collect();
    let Some(ExitStatus::Unknown { cause }) = status(&lost[0]) else { panic!("{lost:?}") };
    let remark = format!("{prefix}run first ({}) was left open: unknown: {cause}\n", lost[0].run.id);
    assert!(finished.stderr.starts_with(&remark), "{}", finished.stderr);
}

/// Kills a process that is nobody's child here, and returns once it is gone.
fn kill_and_wait(pid: u32) {
    let pidfd = pidfd_open(Pid::from_raw(pid.cast_signed()).unwrap(), PidfdFlags::empty()).unwrap();
    send(pid, Signal::KILL);
    let limit = Timespec { tv_sec: HANG.as_secs().cast_signed(), tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap(), 1, "it does not go");
}

#[test]
fn a_job_that_outlived_its_supervisor_is_followed_by_the_next_as_that_jobs_run() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let gate = place.path("gate");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let script = format!("echo $$ > {}; read line < {}; exit 9", ready.shown(), gate.display());
    let jobs = place.jobs(&format!("[jobs.first]\ncommand = [\"sh\", \"-c\", {script:?}]\n"));
    let mut child = place.tacho(["supervise", &jobs]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    ready.next();
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
    let told = place.finish(["adopt"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("adopted: ") && told.stdout.contains("is gone"), "{}", told.stdout);
    let told = place.finish(["adopt", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["runs"][0]["conclusion"], &told["runs"][0]["name"]), (&"adopt".into(), &"first".into()));
    assert!(!place.record().run.is_ended(), "a dry run records nothing");

    let other = place.finish(["run", "--name", "first", "--", "true"]);
    assert!(other.stderr.contains("goes on from the last supervisor, and is followed"), "{}", other.stderr);
    assert!(other.stderr.contains("name_held"), "{}", other.stderr);
    let run = place.record().run.id;
    let mut next = place.tacho(["supervise", &jobs]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(next.stderr.take().unwrap()).lines().map(Result::unwrap);
    let remark = format!("job first: run {run} of this name goes on, and is this job's run");
    assert!(lines.by_ref().any(|line| line.contains(&remark)));
    // Opening waits until the job is there.
    File::options().write(true).open(&gate).unwrap().write_all(b"go\n").unwrap();
    lines.for_each(drop);
    Finished::of(next);
    assert_eq!(place.records().len(), 1, "it is not run twice");
    assert_eq!(status(&place.record()), Some(ExitStatus::Code(9)), "its shim has seen it");
}

#[test]
fn a_signal_that_was_ignored_from_the_beginning_stays_ignored() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = two_jobs(&place, &ready, ":");
    // As `nohup` and background jobs of a shell do: ignored, then executed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]).args([env!("CARGO_BIN_EXE_tacho"), "supervise", &jobs]);
    shell.env("TACHO_DATA", place.data()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = shell.spawn().unwrap();
    ready.next();
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        send(child.id(), signal);
    }
    assert_eq!(Finished::of(child).code, Some(143), "the first signal that counts is the last that was sent");
}

#[test]
fn an_exit_is_seen_although_whoever_began_the_tool_ignores_how_children_end() {
    for shim in [None, Some("--no-shim")] {
        let place = Place::new();
        let run = ["run"].into_iter().chain(shim).chain(["--", "sh", "-c", "grep SigIgn /proc/self/status; exit 7"]);
        let mut command = Command::new("env");
        command.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_tacho")]).args(run).env("TACHO_DATA", place.data());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let finished = Finished::of(command.spawn().unwrap());
        assert_eq!(finished.code, Some(7), "{shim:?}: {}", finished.stderr);
        assert_eq!(status(&place.record()), Some(ExitStatus::Code(7)), "{shim:?}");
        let ignored = finished.stdout.trim().strip_prefix("SigIgn:").unwrap().trim();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        assert_eq!(ignored & (1 << (Signal::CHILD.as_raw() - 1)), 0, "the command does not ignore it: {ignored:x}");
        place.assert_closed_cleanly();
    }
}

#[test]
fn what_does_not_end_within_the_time_for_all_is_given_up_and_the_journal_is_closed() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = two_jobs(&place, &ready, ":");
    let arguments = ["--format", "json", "supervise", "--jobs", "1", "--stop-within", "1s", &jobs];
    let mut child = place.tacho(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stderr.take().unwrap());
    let shim = parent_of(ready.next().parse().unwrap());
    // Its supervisor has heard of the process then, and the shim is not stopped in the middle of a start.
    while !lines.next().contains("started") {}
    let stopped = Stopped::of(shim);
    send(child.id(), Signal::TERM);
    while lines.next() != "stopping: runs have 500ms to end and are killed then; a second signal kills them at once" {}
    // Nobody asks a second time.
    let finished = Finished::of(child);
    drop(stopped);
    assert_eq!(finished.code, Some(143), "{}", finished.stdout);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((&rows[0]["error"]["code"], &rows[1]["attempts"]), (&"not_ended".into(), &0.into()), "{rows:?}");
    assert_eq!(place.record().run.status.name(), StatusName::Started, "nothing is made up about its end");
    place.assert_closed_cleanly();
}

#[test]
fn what_a_second_signal_leaves_is_not_waited_for_again_when_the_journal_is_closed() {
    // Waiting again would take five seconds each time; a machine that is busy otherwise may take them some of the times.
    let took: Vec<Duration> =
        (0..6).map_while(|_| Some(after_a_second_signal()).filter(|took| took.as_secs() >= 5)).collect();
    assert!(took.len() < 6, "{took:?}");
}

/// How long a supervisor is there after it is asked a second time to end what cannot end.
fn after_a_second_signal() -> Duration {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = two_jobs(&place, &ready, ":");
    let mut command = place.tacho(["supervise", "--jobs", "1", &jobs]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stderr.take().unwrap());
    let shim = parent_of(ready.next().parse().unwrap());
    // Its supervisor has heard of the process then, and the shim is not stopped in the middle of a start.
    while !lines.next().contains("started") {}
    // It ends nothing as long as it is stopped, and nothing is recorded about it.
    let stopped = Stopped::of(shim);
    let begun = Instant::now();
    let supervisor = child.id();
    send(supervisor, Signal::TERM);
    while !lines.next().starts_with("stopping: ") {}
    send(supervisor, Signal::TERM);
    let code = end_of(&mut child, || lines.rest().join("\n"));
    let took = begun.elapsed();
    drop(stopped);
    assert_eq!(code, Some(143));
    place.assert_closed_cleanly();
    took
}
