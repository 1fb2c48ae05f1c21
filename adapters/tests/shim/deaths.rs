use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process_group};
use tachograph_adapters::shim::{Standing, standing};
use tachograph_engine::domain::{Drain, ExitStatus};

use crate::support::{Attempt, PROGRAM, digest, pid, processes, until, until_gone};

#[test]
fn a_killed_shim_takes_its_child_along_and_leaves_no_status() {
    let mut attempt = Attempt::sh("trap '' HUP TERM PIPE; echo $$ > $ready; read line < $never");
    let (ready, _never) = (attempt.pipe("ready"), attempt.pipe("never"));
    let mut shim = attempt.start();
    let child = shim.started();
    assert_eq!(ready.read_to_end().trim(), child.to_string());
    let attempt = shim.kill();
    until_gone(child);
    assert!(attempt.record().is_none());
    let (run, id) = (attempt.assignment.run, attempt.assignment.attempt);
    let left = standing(&attempt.directory(), run, id).unwrap();
    let Standing::ShimGone { identity, process_alive: false } = left else { panic!("{left:?}") };
    assert_eq!(identity.process.unwrap().pid, child);
}

#[test]
fn a_shim_goes_on_without_its_supervisor() {
    let mut attempt = Attempt::sh("echo early; echo > $ready; read line < $go; echo late; exit 42");
    let (ready, go) = (attempt.pipe("ready"), attempt.pipe("go"));
    let handover = attempt.data.path().join("handover");
    attempt.assignment.hand_over(&attempt.block(), &mut File::create(&handover).unwrap()).unwrap();
    // The supervisor is a shell in a group of its own, which is killed as a whole; it reads the notices, too.
    let script = "exec < /dev/null; { \"$0\" shim < \"$1\" 2> /dev/null & wait; } | cat > /dev/null";
    let mut supervisor =
        Command::new("sh").args(["-c", script, PROGRAM]).arg(&handover).process_group(0).spawn().unwrap();
    ready.read_to_end();
    let identity = attempt.identity().unwrap();
    let shim = identity.shim.clone().unwrap();
    kill_process_group(pid(supervisor.id()), Signal::KILL).unwrap();
    supervisor.wait().unwrap();
    assert!(shim.is_alive() && identity.process.unwrap().is_alive());
    let directory = attempt.directory();
    let held = standing(&directory, attempt.assignment.run, attempt.assignment.attempt).unwrap();
    assert!(matches!(held, Standing::Attended(_)), "{held:?}");
    go.release();
    until_gone(shim.pid);
    let record = attempt.record().unwrap();
    assert_eq!(record.status, ExitStatus::Code(42));
    let output = record.output.unwrap();
    assert_eq!((output.stdout.digest, output.drain), (digest(b"early\nlate\n"), Drain::Drained));
}

#[test]
fn a_supervisor_that_dies_before_it_has_said_all_lets_nothing_be_executed() {
    let attempt = Attempt::sh("echo > $TACHO_RUN_DIR/executed");
    let mut handover = Vec::new();
    attempt.assignment.hand_over(&attempt.block(), &mut handover).unwrap();
    let half = attempt.data.path().join("handover");
    for bytes in [0, 5, handover.len() / 2, handover.len() - 1] {
        std::fs::write(&half, &handover[..bytes]).unwrap();
        let mut shim = Command::new(PROGRAM);
        shim.arg("shim").stdin(File::open(&half).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(shim.status().unwrap().code(), Some(2), "{bytes} bytes");
    }
    assert_eq!(std::fs::read_dir(attempt.directory().path()).unwrap().count(), 0);
}

#[test]
fn an_orphan_of_the_run_becomes_the_shims_child() {
    let script = "(sh -c 'read p rest < /proc/self/stat; echo $p > $ready; exec > /dev/null 2>&1; read line < $later' &); \
                  read line < $go; exit 0";
    let mut attempt = Attempt::sh(script);
    let (ready, go, later) = (attempt.pipe("ready"), attempt.pipe("go"), attempt.pipe("later"));
    let mut shim = attempt.start();
    shim.started();
    let orphan: u32 = ready.read_to_end().trim().parse().unwrap();
    let parent = || processes().into_iter().find(|(pid, ..)| *pid == orphan).map(|(.., parent)| parent);
    until(|| parent() == Some(shim.pid()), "somebody else is its parent");
    later.release();
    until_gone(orphan);
    go.release();
    assert_eq!(shim.end().status, ExitStatus::Code(0));
}

#[test]
fn a_process_that_ends_as_an_orphan_is_reaped_while_the_run_goes_on() {
    let script = "i=0; while [ $i -lt 5 ]; do (sh -c 'read p rest < /proc/self/stat; echo $p >> $TACHO_RUN_DIR/pids' &); \
                  i=$((i+1)); done; echo > $ready; read line < $go; exit 0";
    let mut attempt = Attempt::sh(script);
    let (ready, go) = (attempt.pipe("ready"), attempt.pipe("go"));
    let mut shim = attempt.start();
    shim.started();
    ready.read_to_end();
    let directory = shim.attempt.directory();
    let pids = || -> Vec<u32> {
        let text = std::fs::read_to_string(directory.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until(|| pids().len() == 5, "the orphans do not begin");
    let there = |pid: &u32| std::fs::exists(format!("/proc/{pid}")).unwrap();
    until(|| !pids().iter().any(there), "an orphan is not reaped");
    go.release();
    assert_eq!(shim.end().status, ExitStatus::Code(0));
}
