use std::time::Duration;

use rustix::process::Signal;
use tachograph_adapters::shim::{Request, RequestPipe};
use tachograph_engine::domain::ExitStatus;

use crate::support::{Attempt, signal, until_gone};

#[test]
fn a_limit_holds_without_anybody_watching() {
    let mut tried = [100, 3_000, 60_000].into_iter();
    let (wall_ms, record) = loop {
        // A machine that is busy otherwise may not let the command print anything in so short a time.
        let wall_ms = tried.next().expect("it never prints anything");
        let mut attempt = Attempt::sh("echo begun; read line < $never");
        attempt.assignment.limits.wall_ms = Some(wall_ms);
        let _never = attempt.pipe("never");
        let record = attempt.run();
        if !record.diagnostics.last_output.is_empty() {
            break (wall_ms, record);
        }
    };
    assert_eq!(record.status, ExitStatus::Signal(15));
    let (kind, message) = record.failure.unwrap();
    assert_eq!(kind, "timed_out");
    assert!(message.contains(&format!(" {wall_ms} ms")), "{message}");
    assert_eq!(record.diagnostics.last_output, ["stdout: begun"]);
}

#[test]
fn term_to_the_shim_ends_the_run_and_the_second_one_hastens() {
    let mut attempt = Attempt::sh("read line < $never");
    let _never = attempt.pipe("never");
    let mut shim = attempt.start();
    shim.started();
    signal(shim.pid(), Signal::TERM);
    assert_eq!(shim.end().status, ExitStatus::Signal(15));

    let mut attempt =
        Attempt::sh("trap 'echo asked > $told' TERM; echo > $ready; while :; do read line < $never; done");
    attempt.assignment.options.grace_ms = 600_000;
    let (ready, told, _never) = (attempt.pipe("ready"), attempt.pipe("told"), attempt.pipe("never"));
    let mut shim = attempt.start();
    shim.started();
    ready.read_to_end();
    signal(shim.pid(), Signal::TERM);
    assert_eq!(told.read_to_end(), "asked\n");
    signal(shim.pid(), Signal::TERM);
    assert_eq!(shim.end().status, ExitStatus::Signal(9));
}

#[test]
fn other_signals_to_the_shim_do_nothing() {
    let mut attempt = Attempt::sh("read line < $go; exit 8");
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    shim.started();
    for ignored in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::PIPE, Signal::USR1, Signal::USR2] {
        signal(shim.pid(), ignored);
    }
    go.release();
    assert_eq!(shim.end().status, ExitStatus::Code(8));
}

#[test]
fn requests_reach_the_whole_group() {
    let mut attempt =
        Attempt::sh("(trap 'echo child > $told; exit' USR1; echo > $ready; read line < $never) & read line < $never");
    let (ready, told, _never) = (attempt.pipe("ready"), attempt.pipe("told"), attempt.pipe("never"));
    let mut shim = attempt.start();
    shim.started();
    ready.read_to_end();
    shim.attempt.ask(Request::Signal(Signal::USR1));
    assert_eq!(told.read_to_end(), "child\n");
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!(record.status, ExitStatus::Signal(10));
    assert!(RequestPipe::open(&attempt.directory()).is_err(), "nobody is there to be asked");
}

#[test]
fn a_group_that_was_asked_to_end_is_killed_to_its_last_member() {
    // The leader ends by the polite signal, its child ignores it and holds no pipe.
    let mut attempt = Attempt::sh(
        "(trap '' TERM; exec > /dev/null 2>&1; read p rest < /proc/self/stat; echo $p > $ready; \
         read line < $never) & read line < $never",
    );
    let (ready, _never) = (attempt.pipe("ready"), attempt.pipe("never"));
    let mut shim = attempt.start();
    shim.started();
    let grandchild = ready.read_to_end().trim().parse().unwrap();
    shim.attempt.ask(Request::End { grace: Duration::from_millis(50) });
    assert_eq!(shim.end().status, ExitStatus::Signal(15));
    until_gone(grandchild);
}

#[test]
fn what_is_left_of_the_group_is_killed_if_that_is_wanted() {
    let mut attempt = Attempt::sh("read line < $never & exit 2");
    attempt.assignment.options.kill_lingering = true;
    let _never = attempt.pipe("never");
    let record = attempt.run();
    assert_eq!((record.status, record.lingering), (ExitStatus::Code(2), Vec::new()));
    assert_eq!(record.output.unwrap().drain, tachograph_engine::domain::Drain::Drained);
}
