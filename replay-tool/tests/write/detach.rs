use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tachograph_adapters::process::{AttemptDirectory, Identity};
use tachograph_engine::domain::{ExitStatus, Ordinal, StatusName};

use super::snapshots::until;
use super::support::{Finished, Place, Ready, send, status};

/// A gate that a script waits at, open for both, so that opening waits for nobody.
pub(super) fn gate(place: &Place) -> (File, String) {
    let path = place.path("gate");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    (File::options().read(true).write(true).open(&path).unwrap(), path.display().to_string())
}

/// Waits until the shim of the only run has written its end down and is gone: as long as it is there, whoever opens the
/// journal follows it, and may leave before it goes.
fn until_recorded(place: &Place) {
    let run = place.records().remove(0).run;
    let directory = AttemptDirectory::of(&place.data().join("runs"), run.id, Ordinal(1));
    let identity = Identity::read(&directory, run.id, run.attempt.unwrap().id).unwrap().unwrap();
    let shim = identity.shim.unwrap();
    until("its shim is gone", || !shim.is_alive());
    assert!(std::fs::read_to_string(directory.exit_record()).unwrap().contains("drained"), "no end is written down");
}

#[test]
fn a_supervisor_that_detaches_leaves_its_runs_to_their_shims_and_the_next_one_records_them() {
    let place = Place::new();
    let (mut gate, path) = gate(&place);
    let ready = Ready::at(&place.path("ready"));
    let script = format!("echo $$ > '{}'; read line < '{path}'; echo last words; exit 7", ready.shown());
    let jobs = place.jobs(&format!(
        "[jobs.build]\ncommand = ['sh', '-c', '''{script}''']\nexpect = 7\n[jobs.later]\ncommand = ['true']\n"
    ));
    let mut command = place.tacho(["supervise", &jobs, "--jobs", "1", "--detach"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let job = ready.next();
    send(child.id(), Signal::TERM);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(143));
    assert!(finished.stderr.contains("left 1 runs to their shims"), "{}", finished.stderr);
    assert!(finished.stdout.contains("goes on"), "{}", finished.stdout);
    place.assert_closed_cleanly();
    let records = place.records();
    assert_eq!((records.len(), records[0].run.status.name()), (1, StatusName::Started));
    assert!(std::fs::exists(format!("/proc/{job}")).unwrap(), "it goes on");
    gate.write_all(b"go\n").unwrap();
    until_recorded(&place);
    assert_eq!(place.finish(["run", "--", "true"]).code, Some(0));
    let build = place.records().into_iter().find(|record| record.run.spec.name.as_deref() == Some("build")).unwrap();
    assert_eq!(status(&build), Some(ExitStatus::Code(7)));
}

#[test]
fn a_run_that_is_detached_is_named_and_goes_on() {
    let place = Place::new();
    let (mut gate, path) = gate(&place);
    let script = format!("read line < '{path}'; echo late; exit 7");
    let finished = place.finish(["run", "--detach", "--", "sh", "-c", &script]);
    let record = place.record();
    assert_eq!((finished.code, finished.stdout), (Some(0), format!("{}\n", record.run.id)));
    assert_eq!(record.run.status.name(), StatusName::Started);
    place.assert_closed_cleanly();
    gate.write_all(b"go\n").unwrap();
    until_recorded(&place);
    place.finish(["run", "--", "true"]);
    let record = place.records().into_iter().find(|found| found.run.id == record.run.id).unwrap();
    assert_eq!(status(&record), Some(ExitStatus::Code(7)));
}

#[test]
fn what_cannot_be_detached_is_refused_or_told_as_ever() {
    let place = Place::new();
    for arguments in
        [&["run", "--detach", "--no-shim", "--", "true"][..], &["supervise", "jobs", "--detach", "--no-shim"]]
    {
        let finished = place.finish(arguments);
        // An error of `run` itself must not look like the command's.
        assert_eq!(finished.code, Some(if arguments[0] == "run" { 125 } else { 2 }), "{arguments:?}");
        assert!(finished.stderr.contains("'--detach' cannot be used with '--no-shim'"), "{}", finished.stderr);
    }
    assert_eq!(place.finish(["run", "--detach", "--", "/no/such/program"]).code, Some(127));
}
