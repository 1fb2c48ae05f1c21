//! Readers who do not read: what is done for the jobs does not wait for them.

use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::process::Stdio;
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

use super::support::{Finished, HANG, Place, Ready, end_of, send, status};

/// A pipe that is full already, with its end that nobody reads.
fn full() -> (PipeReader, PipeWriter) {
    let (unread, mut writing) = std::io::pipe().unwrap();
    fcntl_setfl(&writing, OFlags::NONBLOCK).unwrap();
    loop {
        match writing.write(&[0; 4_096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    // The mode is of the pipe, and the tool's is one that waits.
    fcntl_setfl(&writing, OFlags::empty()).unwrap();
    (unread, writing)
}

#[test]
fn a_summary_that_nobody_reads_holds_neither_the_journal_nor_a_signal_up() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let jobs = place.jobs(&format!("[jobs.a]\ncommand = [\"sh\", \"-c\", \"echo > '{}'\"]\n", ready.shown()));
    let (unread, writing) = full();
    let mut child = place.tacho(["supervise", &jobs]).stdout(writing).stderr(Stdio::null()).spawn().unwrap();
    ready.next();
    let begun = Instant::now();
    while place.finish(["run", "--", "true"]).code != Some(0) {
        assert!(begun.elapsed() < HANG, "the journal stays locked");
    }
    assert_eq!(child.try_wait().unwrap(), None, "it waits for its reader");
    send(child.id(), Signal::TERM);
    assert_eq!(end_of(&mut child, String::new), Some(143));
    drop(unread);
}

#[test]
fn lines_that_nobody_reads_hold_the_end_that_was_asked_for_up_no_longer_than_its_budget() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let script = format!("echo > '{}'; exec sleep 600", ready.shown());
    let jobs = place.jobs(&format!("[jobs.a]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"));
    let (unread, writing) = full();
    let mut command = place.tacho(["supervise", "--stop-within", "2s", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(writing).spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    ready.next();
    send(child.id(), Signal::TERM);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143));
    assert!(status(&place.record()).is_some(), "its end is recorded");
    place.assert_closed_cleanly();
    drop(unread);
}
