use std::io::Read;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tachograph_adapters::freeze::{CgroupUse, FreezeError, Frozen};
use tachograph_adapters::process::ATTEMPT_VARIABLE;

use crate::support::{Attempt, cgroup_of, has_cgroups, kill, processor_ticks, states, until, ways};

#[track_caller]
fn expect_torn(frozen: &dyn Frozen, pid: u32, told: &str) {
    match frozen.verify() {
        Err(FreezeError::Torn { pid: by, how }) => assert_eq!((by, how.as_str()), (pid, told)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_that_was_told_to_go_on_is_named() {
    let attempt = Attempt::sh("echo ready; while kill -0 $T; do :; done");
    let frozen = attempt.freeze(CgroupUse::Off).unwrap();
    frozen.verify().unwrap();
    kill(attempt.pid(), Signal::CONT);
    expect_torn(&*frozen, attempt.pid(), "went on");
    // That it stands again makes what was read meanwhile no better.
    until("ran", || states(attempt.pid()) == ['R']);
    kill(attempt.pid(), Signal::STOP);
    until("stopped", || attempt.stands(attempt.pid()));
    expect_torn(&*frozen, attempt.pid(), "went on");
}

#[test]
fn a_process_that_was_killed_is_named() {
    for way in ways() {
        let mut attempt = Attempt::sh("echo ready; sh -c 'echo $$; while kill -0 $T; do :; done' & wait");
        let child = attempt.line_pid();
        let frozen = attempt.freeze(way).unwrap();
        frozen.verify().unwrap();
        kill(child, Signal::KILL);
        until("dead", || states(child).iter().all(|state| *state == 'Z'));
        expect_torn(&*frozen, child, "ended");
        frozen.thaw().unwrap();
        assert!(attempt.leader.wait().unwrap().success(), "the shell saw its child end and ended, too");
    }
}

#[test]
fn a_process_that_came_is_named() {
    for way in ways() {
        let attempt = Attempt::sh("echo ready; while kill -0 $T; do :; done");
        let frozen = attempt.freeze(way).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo; read line"]).env(ATTEMPT_VARIABLE, attempt.target.attempt.to_string());
        let mut new = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        new.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        expect_torn(&*frozen, new.id(), "came");
        drop(frozen);
        kill(new.id(), Signal::KILL);
        new.wait().unwrap();
    }
}

#[test]
fn in_a_control_group_signals_wait_until_the_thaw() {
    if !has_cgroups() {
        return;
    }
    let mut attempt = Attempt::sh("trap 'exit 7' TERM; echo ready; while kill -0 $T; do :; done");
    let frozen = attempt.freeze(CgroupUse::Auto).unwrap();
    for signal in [Signal::CONT, Signal::TERM, Signal::CONT] {
        kill(attempt.pid(), signal);
        frozen.verify().unwrap();
    }
    frozen.thaw().unwrap();
    assert_eq!(attempt.leader.wait().unwrap().code(), Some(7));
}

#[test]
fn a_control_group_that_thawed_for_an_instant_is_noticed() {
    if !has_cgroups() {
        return;
    }
    let attempt = Attempt::sh("echo ready; while kill -0 $T; do :; done");
    let frozen = attempt.freeze(CgroupUse::Auto).unwrap();
    let own = cgroup_of(attempt.pid()).unwrap();
    let worked = processor_ticks(attempt.pid());
    std::fs::write(own.join("cgroup.freeze"), "0").unwrap();
    // The group is thawed at once; its process may get no processor for a while, and if it got none, nothing went on.
    until("going on", || processor_ticks(attempt.pid()) > worked);
    std::fs::write(own.join("cgroup.freeze"), "1").unwrap();
    until("frozen", || attempt.stands(attempt.pid()));
    expect_torn(&*frozen, attempt.pid(), "went on");
}
