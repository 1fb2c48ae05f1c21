use std::time::Instant;

use tachograph_adapters::process::LeftOut;
use tachograph_adapters::shim::{Notice, Request};
use tachograph_engine::domain::{Drain, ExitStatus, Stream};

use crate::support::{Attempt, digest, rounds};

/// 18.9 MB of text.
const LINES: usize = 2_100_000;

#[test]
fn much_output_right_before_the_exit_is_complete_on_both_streams() {
    let text: Vec<u8> = b"12345678\n".repeat(LINES);
    for _ in 0..rounds(2) {
        let script = format!("yes 12345678 | head -n {LINES} | tee /dev/stderr; exit 3");
        let (record, attempt) = Attempt::sh(&script).start().end_and_attempt();
        let output = record.output.unwrap();
        for (name, receipt) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            assert_eq!((receipt.bytes, receipt.digest), (text.len() as u64, digest(&text)), "{name}");
            assert!(attempt.file(name) == text, "{name}");
        }
        assert_eq!((record.status, output.drain), (ExitStatus::Code(3), Drain::Drained));
    }
}

#[test]
fn a_grandchild_that_holds_the_pipe_and_chats_is_waited_for_until_the_one_deadline() {
    // It ends by itself when its pipe is closed, and the loop is bounded: by more than anybody waits for here.
    let mut attempt = Attempt::sh(
        "(i=0; while [ $i -lt 30000 ]; do echo tick; sleep 0.01; i=$((i+1)); done) & read line < $go; exit 4",
    );
    attempt.assignment.options.drain_deadline_ms = 150;
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    shim.started();
    crate::support::until(|| !shim.attempt.file("stdout").is_empty(), "it does not chat");
    // Before the exit, which this process may hear of late.
    let begun = Instant::now();
    go.release();
    assert_eq!(shim.next(), Some(Notice::Exited { code: Some(4), signal: None }));
    let (record, attempt) = shim.end_and_attempt();
    let waited_for_all = begun.elapsed();
    assert_eq!(record.status, ExitStatus::Code(4));
    let output = record.output.unwrap();
    let Drain::DrainTimedOut { waited_ms, open } = output.drain else { panic!("drained") };
    assert_eq!(open, [Stream::Stdout, Stream::Stderr]);
    assert!(waited_ms >= 150 && waited_for_all.as_millis() >= 150, "{waited_ms} ms, {waited_for_all:?}");
    let kept = attempt.file("stdout");
    assert!(!kept.is_empty() && output.stdout.digest == digest(&kept));
    assert!(!record.lingering.is_empty(), "the grandchild is named");
    assert!(record.failure.is_none());
}

#[test]
fn the_exit_is_noted_while_output_is_awaited() {
    let mut attempt = Attempt::sh("(read line < $go; echo last) & exit 6");
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    shim.started();
    assert_eq!(shim.next(), Some(Notice::Exited { code: Some(6), signal: None }));
    let noted = loop {
        if let Some(record) = shim.attempt.record() {
            break record;
        }
        std::thread::yield_now();
    };
    assert_eq!((noted.status, noted.output), (ExitStatus::Code(6), None));
    go.release();
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!(record.output.unwrap().drain, Drain::Drained);
    assert_eq!(attempt.file("stdout"), b"last\n");
}

#[test]
fn whoever_asks_can_shorten_the_wait_and_close_a_stream() {
    let mut attempt = Attempt::sh("(trap '' PIPE; read line < $never; echo) & exit 0");
    attempt.assignment.options.drain_deadline_ms = 60_000;
    let never = attempt.pipe("never");
    let mut shim = attempt.start();
    shim.started();
    assert_eq!(shim.next(), Some(Notice::Exited { code: Some(0), signal: None }));
    shim.attempt.ask(Request::DrainWithin(std::time::Duration::ZERO));
    let (record, _attempt) = shim.end_and_attempt();
    assert!(matches!(record.output.unwrap().drain, Drain::DrainTimedOut { .. }));
    never.release();

    let mut attempt = Attempt::sh("trap '' PIPE; echo first; read line < $go; echo second || exit 5");
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    shim.started();
    // Before its trap, the signal would end it.
    crate::support::until(|| shim.attempt.file("stdout") == b"first\n", "it prints nothing");
    shim.attempt.ask(Request::HangUp(Stream::Stdout));
    // Both are asked through one pipe: the signal, which does nothing, proves that the other was done.
    shim.attempt.ask(Request::Signal(rustix::process::Signal::CONT));
    crate::support::until(|| shim.closed(Stream::Stdout), "the stream is not closed");
    go.release();
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(5));
    assert_eq!(attempt.file("stdout"), b"first\n");
    assert_eq!(
        record.output.unwrap().drain,
        Drain::DrainTimedOut { waited_ms: 0, open: vec![Stream::Stdout] },
        "a stream that was closed is not at its end"
    );
}

#[test]
fn a_limit_bounds_what_is_kept_of_both_and_not_what_is_counted() {
    let mut attempt = Attempt::sh("echo 12345; read line < $go; echo abcde >&2");
    attempt.assignment.limits.output_bytes = Some(8);
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    shim.started();
    let tail = |attempt: &Attempt, stream| {
        let parts = attempt.directory().output_parts(stream).unwrap();
        let content = parts.iter().flat_map(|part| std::fs::read(&part.path).unwrap()).collect::<Vec<u8>>();
        (parts.first().map(|part| part.from), String::from_utf8(content).unwrap())
    };
    crate::support::until(|| tail(&shim.attempt, Stream::Stdout) == (Some(4), "5\n".to_owned()), "nothing is kept");
    go.release();
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!((attempt.file("stdout"), attempt.file("stderr")), (b"1234".to_vec(), Vec::new()));
    assert_eq!(tail(&attempt, Stream::Stdout).1, "5\n", "a stream that is silent keeps its last words");
    assert_eq!(tail(&attempt, Stream::Stderr), (Some(4), "e\n".to_owned()));
    assert_eq!(record.left_out, Some(LeftOut { stdout_bytes: 0, stderr_bytes: 4 }));
    let output = record.output.unwrap();
    assert_eq!((output.stderr.bytes, output.stderr.digest), (6, digest(b"abcde\n")));
    assert!(record.failure.is_none());
}

/// The text of `seq` from one byte on.
fn seq(bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 1.. {
        text.extend_from_slice(format!("{number}\n").as_bytes());
        if text.len() > bytes {
            return text;
        }
    }
    text
}

#[test]
fn a_killed_shim_leaves_both_ends_of_more_output_than_is_kept() {
    let expected = seq(8_000_000);
    for round in 0..rounds(5) {
        let mut attempt = Attempt::sh("seq 900000");
        attempt.assignment.limits.output_bytes = Some(40_000);
        let mut shim = attempt.start();
        shim.started();
        let directory = shim.attempt.directory();
        let parts = || directory.output_parts(Stream::Stdout).unwrap();
        crate::support::until(
            || parts().first().is_some_and(|part| part.from > 20_000 + 50_000 * round as u64),
            "no end",
        );
        let _left = shim.kill();
        assert_eq!(std::fs::read(directory.output(Stream::Stdout)).unwrap(), &expected[..20_000], "round {round}");
        let mut end = None;
        for part in parts() {
            let (content, from) = (std::fs::read(&part.path).unwrap(), usize::try_from(part.from).unwrap());
            assert!(expected[from..].starts_with(&content), "round {round}: not what came at {from}");
            assert!(end.is_none_or(|end| end == from), "round {round}: a gap before {from}");
            end = Some(from + content.len());
        }
        assert!(directory.kept_bytes(Stream::Stdout).unwrap() <= 40_000, "round {round}");
    }
}
