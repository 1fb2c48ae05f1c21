//! Readers who do not read: what is done for the jobs does not wait for them.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;

use tachograph_engine::domain::{ExitStatus, FailureKind};

use super::detach::gate;
use super::support::{Finished, HANG, Place, Ready, end_of, failure, send, status};

/// Whether the writing end waits for its reader by itself, as it does unless somebody who shares it has it not do so.
const WAITING_OR_NOT: [OFlags; 2] = [OFlags::empty(), OFlags::NONBLOCK];

/// A pipe that is full already, with its end that nobody reads, and what its writing end then does.
fn full(mode: OFlags) -> (PipeReader, PipeWriter) {
    let (unread, mut writing) = std::io::pipe().unwrap();
    fcntl_setfl(&writing, OFlags::NONBLOCK).unwrap();
    loop {
        match writing.write(&[0; 4_096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    // It is of the pipe's end, and thereby the tool's.
    fcntl_setfl(&writing, mode).unwrap();
    (unread, writing)
}

#[test]
fn a_summary_that_nobody_reads_holds_neither_the_journal_nor_a_signal_up() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let ready = Ready::at(&place.path("ready"));
        let jobs = place.jobs(&format!("[jobs.a]\ncommand = [\"sh\", \"-c\", \"echo > '{}'\"]\n", ready.shown()));
        let (unread, writing) = full(mode);
        let mut child = place.tacho(["supervise", &jobs]).stdout(writing).stderr(Stdio::null()).spawn().unwrap();
        ready.next();
        let begun = Instant::now();
        while place.finish(["run", "--", "true"]).code != Some(0) {
            assert!(begun.elapsed() < HANG, "the journal stays locked");
        }
        assert_eq!(child.try_wait().unwrap(), None, "it waits for its reader");
        send(child.id(), Signal::TERM);
        assert_eq!(end_of(&mut child, String::new), Some(143), "{mode:?}");
        drop(unread);
    }
}

#[test]
fn lines_that_nobody_reads_hold_the_end_that_was_asked_for_up_no_longer_than_its_budget() {
    for (mode, logs) in WAITING_OR_NOT.into_iter().flat_map(|mode| [(mode, "--color=auto"), (mode, "-vv")]) {
        // A machine that is busy otherwise may not let the job end in so short a time.
        let mut tried = ["2s", "10s", "1m"].into_iter();
        assert!(tried.any(|budget| is_ended_within(budget, mode, logs)), "its end is recorded");
    }
}

/// Whether the end of a job is recorded that was asked for, in this time, of a supervisor whose lines nobody reads.
fn is_ended_within(budget: &str, mode: OFlags, logs: &str) -> bool {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let script = format!("echo > '{}'; exec sleep 600", ready.shown());
    let jobs = place.jobs(&format!("[jobs.a]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"));
    let (unread, writing) = full(mode);
    let mut command = place.tacho([logs, "supervise", "--stop-within", budget, &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(writing).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    ready.next();
    send(child.id(), Signal::TERM);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143), "{mode:?}, {logs}");
    place.assert_closed_cleanly();
    drop(unread);
    status(&place.record()).is_some()
}

/// A run that has ended, whose output waits for a reader who does not read.
fn unread_run(place: &Place, mode: OFlags) -> (PipeReader, Child) {
    let (unread, writing) = full(mode);
    let mut command = place.tacho(["run", "--", "sh", "-c", "head -c 1000000 /dev/zero; exit 4"]);
    let mut child = command.stdout(writing).stderr(Stdio::null()).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    let begun = Instant::now();
    while place.records().first().and_then(status) != Some(ExitStatus::Code(4)) {
        assert!(begun.elapsed() < HANG, "the end of the run is not recorded");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(child.try_wait().unwrap(), None, "it waits for its reader");
    (unread, child)
}

#[test]
fn a_run_that_has_ended_waits_for_its_reader_until_he_leaves_or_a_signal_comes() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let (unread, mut child) = unread_run(&place, mode);
        drop(unread);
        assert_eq!(end_of(&mut child, String::new), Some(4), "he left, {mode:?}");
        for signal in [Signal::TERM, Signal::INT] {
            let place = Place::new();
            let (unread, mut child) = unread_run(&place, mode);
            assert_eq!(ended_by(signal, &mut child), Some(4), "{signal:?}, {mode:?}");
            place.assert_closed_cleanly();
            drop(unread);
        }
    }
}

#[test]
fn an_id_that_nobody_reads_is_waited_with_until_a_signal_comes() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let ready = Ready::at(&place.path("ready"));
        // It ends when this is closed, and not by the signal that is for the tool.
        let (gate, path) = gate(&place);
        let script = format!("trap '' TERM; echo > '{}'; read line < '{path}'", ready.shown());
        let (unread, writing) = full(mode);
        let mut command = place.tacho(["run", "--detach", "--", "sh", "-c", &script]);
        let mut child = command.stdout(writing).stderr(Stdio::null()).spawn().unwrap();
        // It holds the other end of its own.
        drop(command);
        ready.next();
        assert_eq!(ended_by(Signal::TERM, &mut child), Some(143), "{mode:?}");
        place.assert_closed_cleanly();
        drop((unread, gate));
    }
}

/// Ends it by a signal, which it may have to hear again: what comes before it waits for its reader is for its run.
fn ended_by(signal: Signal, child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended.code();
        }
        if begun.elapsed() > HANG {
            child.kill().unwrap();
            panic!("it waits for its reader although {signal:?} asked it to end");
        }
        send(child.id(), signal);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What comes through a small pipe that does not wait, whose reader takes little at a time.
fn through_a_pipe_that_does_not_wait(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let (mut slow, writing) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writing, 4_096).unwrap();
    fcntl_setfl(&writing, OFlags::NONBLOCK).unwrap();
    let mut command = place.tacho(arguments);
    let child = command.stdout(writing).stderr(Stdio::piped()).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    let reading = std::thread::spawn(move || {
        let (mut written, mut piece) = (Vec::new(), [0; 1_000]);
        while let read @ 1.. = slow.read(&mut piece).unwrap() {
            written.extend_from_slice(&piece[..read]);
            // This slow is a reader who does something else as well.
            std::thread::sleep(Duration::from_millis(1));
        }
        String::from_utf8(written).unwrap()
    });
    // Its end is also that of its output.
    let finished = Finished::of(child);
    (finished.code, reading.join().unwrap(), finished.stderr)
}

#[test]
fn standard_output_that_does_not_wait_for_its_reader_loses_nothing() {
    let place = Place::new();
    let through = |arguments: &[&str]| through_a_pipe_that_does_not_wait(&place, arguments);
    let counted: String = (1..=10_000).map(|number| format!("{number}\n")).collect();
    let whole = |told| (Some(0), told, String::new());
    assert_eq!(through(&["run", "--name", "count", "--", "seq", "10000"]), whole(counted.clone()));
    assert_eq!(through(&["logs", "count"]), whole(counted));
    let jobs: String =
        (0..12).map(|job| format!("[jobs.a-job-that-has-number-{job}]\ncommand = [\"true\"]\n")).collect();
    let jobs = place.jobs(&jobs);
    let (code, told, beside) = through(&["--format", "json", "supervise", &jobs]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}{beside}"));
    assert_eq!((code, told.as_array().unwrap().len()), (Some(0), 12), "{beside}");
    let known = place.finish(["--format", "json", "runs"]).stdout;
    assert!(known.len() > 4_096, "{known}");
    assert_eq!(through(&["--format", "json", "runs"]), whole(known));
    let help = place.finish(["help"]).stdout;
    assert!(help.len() > 4_096, "{help}");
    assert_eq!(through(&["help"]), whole(help));
}

#[test]
fn logs_that_are_read_late_and_slowly_cost_neither_the_journal_nor_a_run() {
    let place = Place::new();
    let jobs: String = (0..12).map(|job| format!("[jobs.j{job}]\ncommand = [\"true\"]\n")).collect();
    let jobs = place.jobs(&jobs);
    let (mut slow, writing) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writing, 4_096).unwrap();
    fcntl_setfl(&writing, OFlags::NONBLOCK).unwrap();
    let mut command = place.tacho(["-vv", "supervise", &jobs]);
    let mut child = command.stdout(Stdio::piped()).stderr(writing).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    let ended = || place.records().iter().map(status).collect::<Vec<_>>() == vec![Some(ExitStatus::Code(0)); 12];
    let begun = Instant::now();
    while !ended() {
        if begun.elapsed() > HANG {
            drop(slow);
            panic!("the ends are not recorded; it ended with {:?}", end_of(&mut child, String::new));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let reading = std::thread::spawn(move || {
        let (mut written, mut piece) = (Vec::new(), [0; 500]);
        while let read @ 1.. = slow.read(&mut piece).unwrap() {
            written.extend_from_slice(&piece[..read]);
            // This slow is a reader who does something else as well.
            std::thread::sleep(Duration::from_millis(1));
        }
        String::from_utf8(written).unwrap()
    });
    let finished = Finished::of(child);
    let told = reading.join().unwrap();
    assert_eq!(finished.code, Some(0), "{told}");
    assert!(told.contains(" DEBUG ") && !told.contains("panicked"), "{told}");
    place.assert_closed_cleanly();
}

#[test]
fn logs_that_nobody_reads_are_not_waited_for_once_all_is_done() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let (unread, writing) = full(mode);
        let mut command = place.tacho(["-vv", "run", "--", "sh", "-c", "exit 4"]);
        let child = command.stdout(Stdio::piped()).stderr(writing).spawn().unwrap();
        // It holds the other end of its own.
        drop(command);
        assert_eq!(Finished::of(child).code, Some(4), "{mode:?}");
        place.assert_closed_cleanly();
        drop(unread);
    }
}

#[test]
fn a_remark_that_nobody_reads_holds_neither_the_command_nor_the_journal_nor_a_signal_up() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let ready = Ready::at(&place.path("ready"));
        std::fs::create_dir(place.data()).unwrap();
        std::fs::write(place.data().join("control.sock"), "no socket").unwrap();
        let (unread, writing) = full(mode);
        let mut command = place.tacho(["run", "--", "sh", "-c", &format!("echo > '{}'", ready.shown())]);
        let mut child = command.stdout(Stdio::null()).stderr(writing).spawn().unwrap();
        // It holds the other end of its own.
        drop(command);
        ready.next();
        let begun = Instant::now();
        let another = loop {
            let another = place.finish(["run", "--", "true"]);
            if another.code == Some(0) {
                break another;
            }
            assert!(begun.elapsed() < HANG, "the journal stays locked");
        };
        assert!(another.stderr.contains("control.sock"), "there is a remark: {}", another.stderr);
        assert_eq!(child.try_wait().unwrap(), None, "it waits for its reader");
        assert_eq!(ended_by(Signal::TERM, &mut child), Some(143), "{mode:?}");
        drop(unread);
    }
}

/// A run that cannot be started, whose error waits for a reader who does not read.
fn unread_error(place: &Place, mode: OFlags) -> (PipeReader, Child) {
    let (unread, writing) = full(mode);
    let mut command = place.tacho(["run", "--", "/nonexistent"]);
    let child = command.stdout(Stdio::null()).stderr(writing).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    let begun = Instant::now();
    while place.records().first().and_then(failure) != Some(FailureKind::NotFound) {
        assert!(begun.elapsed() < HANG, "that it cannot be started is not recorded");
        std::thread::sleep(Duration::from_millis(2));
    }
    (unread, child)
}

#[test]
fn an_error_waits_for_its_reader_until_he_has_it_or_leaves_or_a_signal_comes() {
    for mode in WAITING_OR_NOT {
        let place = Place::new();
        let (mut unread, mut child) = unread_error(&place, mode);
        let mut told = Vec::new();
        unread.read_to_end(&mut told).unwrap();
        assert!(String::from_utf8_lossy(&told).contains("/nonexistent"), "{mode:?}");
        assert_eq!(end_of(&mut child, String::new), Some(127), "he has it, {mode:?}");
        let place = Place::new();
        let (unread, mut child) = unread_error(&place, mode);
        drop(unread);
        assert_eq!(end_of(&mut child, String::new), Some(127), "he left, {mode:?}");
        let place = Place::new();
        let (unread, mut child) = unread_error(&place, mode);
        assert_eq!(ended_by(Signal::TERM, &mut child), Some(143), "{mode:?}");
        place.assert_closed_cleanly();
        drop(unread);
    }
}
