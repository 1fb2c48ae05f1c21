use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_adapters::freeze::{FreezeTarget, Freezer, FreezerOptions, ProcessFreezer};
use tachograph_adapters::oci::ContainerStatus;
use tachograph_adapters::shim::Request;
use tachograph_engine::domain::{Drain, ExitStatus, FailureKind};

use crate::oci_bundle::{Bundle, Contained, is_skipped};
use crate::support::{Attempt, digest, until_gone};

/// What is written to a pipe until its last writer is gone.
fn read(pipe: &Path) -> String {
    let mut text = String::new();
    File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn release(pipe: &Path) {
    File::options().write(true).open(pipe).unwrap().write_all(b"go\n").unwrap();
}

#[test]
fn its_code_its_output_and_its_environment_are_its_own() {
    if is_skipped() {
        return;
    }
    let bundle = Bundle::sh("echo out $OF_BUNDLE $TACHO_ATTEMPT_ID; echo err >&2; exit 7");
    let (attempt, contained) = Contained::of(&bundle);
    let id = attempt.assignment.attempt;
    let (record, attempt) = attempt.start().end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(7));
    assert_eq!(String::from_utf8(attempt.file("stdout")).unwrap(), format!("out 1 {id}\n"));
    assert_eq!(attempt.file("stderr"), b"err\n");
    assert_eq!(record.output.unwrap().drain, Drain::Drained);
    contained.assert_nothing_left();
}

#[test]
fn a_signal_is_no_code() {
    if is_skipped() {
        return;
    }
    for (request, expected) in [
        (Request::Signal(Signal::KILL), ExitStatus::Signal(9)),
        (Request::Signal(Signal::TERM), ExitStatus::Code(137)),
        (Request::End { grace: Duration::ZERO }, ExitStatus::Signal(9)),
    ] {
        let deaf = if matches!(request, Request::End { .. }) { "trap '' TERM" } else { "trap 'exit 137' TERM" };
        let bundle = Bundle::sh(&format!("{deaf}; echo > /shared/ready; while :; do read line < /shared/never; done"));
        let (ready, _never) = (bundle.pipe("ready"), bundle.pipe("never"));
        let (attempt, contained) = Contained::of(&bundle);
        let mut shim = attempt.start();
        shim.started();
        read(&ready);
        shim.attempt.ask(request);
        assert_eq!(shim.end().status, expected, "{request:?}");
        contained.assert_nothing_left();
    }
}

#[test]
fn signals_that_a_shim_does_not_take_reach_the_container() {
    if is_skipped() {
        return;
    }
    // A mask that was inherited would keep TERM, which the shim has blocked, from it.
    let bundle = Bundle::sh("while read line; do case $line in SigBlk:*) echo $line; esac; done < /proc/self/status");
    let (attempt, _contained) = Contained::of(&bundle);
    let (record, attempt) = attempt.start().end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(0));
    assert_eq!(String::from_utf8(attempt.file("stdout")).unwrap(), "SigBlk: 0000000000000000\n");
}

#[test]
fn much_output_right_before_the_end_is_complete() {
    if is_skipped() {
        return;
    }
    const BYTES: usize = 18_900_000;
    let bundle = Bundle::sh(&format!("head -c {BYTES} /dev/zero; exit 3"));
    let (attempt, contained) = Contained::of(&bundle);
    let (record, attempt) = attempt.start().end_and_attempt();
    let output = record.output.unwrap();
    assert_eq!((record.status, output.drain), (ExitStatus::Code(3), Drain::Drained));
    assert_eq!((output.stdout.bytes, output.stdout.digest), (BYTES as u64, digest(&vec![0; BYTES])));
    assert_eq!(attempt.file("stdout").len(), BYTES);
    contained.assert_nothing_left();
}

#[test]
fn nothing_of_it_outlives_its_first_process() {
    if is_skipped() {
        return;
    }
    let script = "(read self rest < /proc/self/stat; echo $self > /shared/ready; sleep 1000) & read line < /shared/go";
    let contained_ones = [Bundle::sh(script), Bundle::sh(script).without_pid_namespace()];
    for (index, bundle) in contained_ones.into_iter().enumerate() {
        let (ready, go) = (bundle.pipe("ready"), bundle.pipe("go"));
        let (attempt, contained) = Contained::of(&bundle);
        let mut shim = attempt.start();
        shim.started();
        let grandchild: u32 = read(&ready).trim().parse().unwrap();
        release(&go);
        let record = shim.end();
        // It held the output open, and was not waited for.
        assert_eq!((record.status, record.output.unwrap().drain), (ExitStatus::Code(0), Drain::Drained));
        if index == 1 {
            until_gone(grandchild);
        }
        contained.assert_nothing_left();
    }
}

#[test]
fn two_of_one_bundle_do_not_meet() {
    if is_skipped() {
        return;
    }
    let bundle = Bundle::sh("echo > /shared/ready; read line < /shared/go; exit 4");
    let (ready, go) = (bundle.pipe("ready"), bundle.pipe("go"));
    let both = [Contained::of(&bundle), Contained::of(&bundle)];
    let mut shims = Vec::new();
    let mut containers = Vec::new();
    for (attempt, contained) in both {
        let mut shim = attempt.start();
        shim.started();
        read(&ready);
        shims.push(shim);
        containers.push(contained);
    }
    let (first, second) = (shims.remove(0), shims.remove(0));
    first.attempt.ask(Request::Signal(Signal::KILL));
    assert_eq!(first.end().status, ExitStatus::Signal(9));
    assert!(containers[1].container.is_alive());
    release(&go);
    assert_eq!(second.end().status, ExitStatus::Code(4));
    containers.iter().for_each(Contained::assert_nothing_left);
}

#[test]
fn what_cannot_be_executed_is_a_failed_start_and_leaves_nothing() {
    if is_skipped() {
        return;
    }
    let bundle = Bundle::sh("true");
    let config = std::fs::read_to_string(bundle.path().join("config.json")).unwrap();
    std::fs::write(bundle.path().join("config.json"), config.replace("\"sh\"", "\"no-such-program\"")).unwrap();
    let (attempt, contained) = Contained::of(&bundle);
    let record = attempt.run();
    let (kind, message) = record.failure.unwrap();
    assert_eq!(kind, FailureKind::SpawnFailed.name());
    assert!(message.contains("no-such-program"), "{message}");
    assert!(record.diagnostics.last_output.iter().any(|line| line.contains("no-such-program")), "{message}");
    assert_eq!(record.diagnostics.facts["container"], contained.container.name.as_str());
    contained.assert_nothing_left();
}

#[test]
fn a_missing_runtime_and_a_missing_bundle_are_failed_starts() {
    let nowhere = |failure: Box<tachograph_engine::domain::Failure>| (failure.kind, failure.message);
    let bundle = Bundle::sh("true");
    let missing = Contained::prepare(&bundle, "no-such-runtime").err().unwrap();
    assert!(missing.diagnostics.likely_cause.as_ref().unwrap().contains("install runc"));
    assert_eq!(nowhere(missing), (FailureKind::NotFound, "OCI runtime \"no-such-runtime\" is missing".to_owned()));
    std::fs::remove_file(bundle.path().join("config.json")).unwrap();
    let (kind, message) = nowhere(Contained::prepare(&bundle, "/bin/sh").err().unwrap());
    assert_eq!(kind, FailureKind::NotFound);
    assert!(message.contains("has no config.json"), "{message}");
}

#[test]
fn a_killed_shim_leaves_a_container_that_is_found_and_ended() {
    if is_skipped() {
        return;
    }
    let bundle = Bundle::sh("echo > /shared/ready; read line < /shared/never");
    let (ready, _never) = (bundle.pipe("ready"), bundle.pipe("never"));
    let (attempt, contained) = Contained::of(&bundle);
    let mut shim = attempt.start();
    let first = shim.started();
    read(&ready);
    let attempt: Attempt = shim.kill();
    assert!(attempt.record().is_none());
    assert!(attempt.directory().path().with_file_name("oci-attempt-1").join("config.json").exists());
    assert!(contained.container.is_alive());
    contained.container.end(&attempt.directory()).unwrap();
    until_gone(first);
    contained.assert_nothing_left();
    // There being none any more is no error.
    contained.container.end(&attempt.directory()).unwrap();
}

#[test]
fn it_stands_still_by_its_runtime_and_goes_on() {
    if is_skipped() {
        return;
    }
    let bundle = Bundle::sh("echo > /shared/ready; read line < /shared/go; exit 5");
    let (ready, go) = (bundle.pipe("ready"), bundle.pipe("go"));
    let (attempt, contained) = Contained::of(&bundle);
    let (run, ordinal) = (attempt.assignment.run, attempt.assignment.ordinal);
    let target = FreezeTarget { run, attempt: attempt.assignment.attempt, ordinal };
    let mut shim = attempt.start();
    shim.started();
    read(&ready);
    let status = || contained.container.state().unwrap().status;
    let data = shim.attempt.data.path().to_owned();
    let (freezer, _) = ProcessFreezer::open(&data, FreezerOptions::default());
    let frozen = freezer.freeze(&target).unwrap();
    assert_eq!(status(), ContainerStatus::Paused);
    frozen.verify().unwrap();
    frozen.thaw().unwrap();
    assert_eq!(status(), ContainerStatus::Running);
    // Whoever comes after a crash in between lets it go on.
    std::mem::forget(freezer.freeze(&target).unwrap());
    assert_eq!(status(), ContainerStatus::Paused);
    let (_, report) = ProcessFreezer::open(&data, FreezerOptions::default());
    assert_eq!(report.thawed.len(), 1, "{report:?}");
    assert_eq!(status(), ContainerStatus::Running);
    release(&go);
    assert_eq!(shim.end().status, ExitStatus::Code(5));
    contained.assert_nothing_left();
}
