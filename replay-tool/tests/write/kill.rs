use std::process::Stdio;

use serde_json::json;
use tachograph_engine::domain::{Event, ExitStatus};

use super::job::{Job, Stopped, documented};
use super::planted::{Planted, RUNNER};
use super::support::{Finished, Place, status};

fn kill(place: &Place, arguments: &[&str]) -> Finished {
    place.finish([&["kill"], arguments].concat())
}

#[test]
fn a_run_is_ended_through_its_supervisor_and_the_recorded_end_is_told() {
    let place = Place::new();
    let job = Job::begin(&place, ":", "exit 0");
    let finished = kill(&place, &["build"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let record = place.record();
    let (run, (position, _)) = (record.run.id, record.ended.unwrap());
    let expected = format!("attempt 1 of run {run} exited with signal 15 (TERM) at position {position}\n");
    assert_eq!(finished.stdout, expected);
    assert_eq!(job.finish().code, Some(143));
    let again = kill(&place, &["build"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(5), ""));
    let says =
        format!("tacho: error[not_under_way]: run {run} has nothing to end: it has exited with signal 15 (TERM)");
    assert!(again.stderr.starts_with(&says), "{}", again.stderr);
}

#[test]
fn what_does_not_end_by_itself_is_killed_after_the_grace() {
    let place = Place::new();
    let job = Job::begin(&place, "trap '' TERM", "exit 0");
    let finished = kill(&place, &["build", "--grace", "10ms", "--format", "json"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let view = documented(&finished.stdout);
    let record = place.record();
    let attempt = record.run.attempt.as_ref().unwrap();
    assert_eq!(
        view,
        json!({
            "run": record.run.id.to_string(), "attempt": 1, "attempt_id": attempt.id.to_string(), "outcome": "ended",
            "exit": {"signal": 9}, "failure": null, "position": record.ended.unwrap().0.0,
        })
    );
    assert_eq!(job.finish().code, Some(137));
}

#[test]
fn the_end_need_not_be_waited_for() {
    let place = Place::new();
    let mut job = Job::begin(&place, "trap 'say asked; exit 7' TERM", "exit 0");
    let finished = kill(&place, &["build", "--grace", "1h", "--no-wait", "--format", "json"]);
    assert_eq!((finished.code, &documented(&finished.stdout)["outcome"]), (Some(0), &"asked".into()));
    assert_eq!(job.ready.next(), "asked");
    job.open_gate();
    assert_eq!(job.finish().code, Some(7));
    assert_eq!(status(&place.record()), Some(ExitStatus::Code(7)));
}

#[test]
fn without_a_supervisor_nobody_is_signalled_and_what_is_alive_is_named() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "say done");
    job.crash();
    let before = place.entries();
    let finished = kill(&place, &["build", "--grace", "0"]);
    assert_eq!(finished.code, Some(11), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("tacho: error[not_supervised]: nobody supervises run "), "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("{} ", job.pid)) && finished.stderr.contains("still alive"));
    assert!(finished.stderr.contains("nothing was signalled"), "{}", finished.stderr);
    assert_eq!(place.entries(), before);
    job.open_gate();
    assert_eq!(job.ready.next(), "done", "it was not signalled");
}

#[test]
fn a_writer_that_does_not_listen_and_runs_of_others_are_named() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let (theirs, _) = planted.armed("theirs");
    planted.created("idle");
    let deaf = place.finish_at_once(["kill", "theirs"]);
    assert_eq!(deaf.code, Some(8), "{}", deaf.stderr);
    assert!(deaf.stderr.contains(&format!("pid {}, which does not listen", std::process::id())), "{}", deaf.stderr);
    let idle = kill(&place, &["idle"]);
    assert_eq!(idle.code, Some(5));
    assert!(idle.stderr.contains("it was not started yet"), "{}", idle.stderr);
    planted.close();
    // Beside a supervisor that has other runs.
    let mut job = Job::begin(&place, ":", "exit 0");
    let finished = kill(&place, &["theirs"]);
    assert_eq!(finished.code, Some(5));
    let says = format!("run {theirs} has nothing to end: the supervisor does not run it itself; runner {RUNNER} holds");
    assert!(finished.stderr.contains(&says), "{}", finished.stderr);
    job.open_gate();
    assert_eq!(job.finish().code, Some(0));
    assert_eq!(kill(&place, &["biuld"]).code, Some(3));
}

#[test]
fn a_shim_that_is_stopped_is_named_with_what_to_do() {
    let place = Place::new();
    let job = Job::begin(&place, "trap '' TERM", "exit 0");
    let shim = job.shim();
    let stopped = Stopped::of(shim);
    let finished = kill(&place, &["build", "--grace", "0"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let says = format!("its end is not recorded after 1.0s: its shim, pid {shim}, is stopped");
    assert!(finished.stderr.contains(&says), "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("`kill -CONT {shim}`")), "{}", finished.stderr);
    drop(stopped);
    assert_eq!(job.finish().code, Some(137), "it does then what it was asked to");
}

#[test]
fn a_supervisor_that_is_stopped_is_named_and_does_what_it_was_asked_once_it_goes_on() {
    let place = Place::new();
    let job = Job::begin(&place, ":", "exit 0");
    let (supervisor, run) = (job.supervisor(), place.record().run.id);
    let stopped = Stopped::of(supervisor);
    let ask = |arguments: &[&str]| {
        let mut command = place.tacho(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // Beside each other: each waits for an answer for its whole time.
    let asked = [ask(&["kill", "build"]), ask(&["destroy", "build", "--force"])].map(Finished::of);
    for finished in &asked {
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{}", finished.stderr);
        assert!(finished.stderr.starts_with("tacho: error[response_timed_out]: "), "{}", finished.stderr);
        let says =
            format!(": the supervisor, pid {supervisor}, is stopped; what was asked for may still be carried out\n");
        assert!(finished.stderr.contains(&says), "{}", finished.stderr);
        assert!(finished.stderr.contains(&format!("`kill -CONT {supervisor}`")), "{}", finished.stderr);
        assert!(!finished.stderr.contains("command id"), "nobody can give one: {}", finished.stderr);
    }
    drop(stopped);
    // Of its end and its destruction either may come first.
    job.finish();
    let entries = place.entries();
    let is_destroyed = |event: &Event| matches!(event, Event::Destroyed { .. });
    let destroyed = entries.iter().filter(|entry| entry.run() == Some(run)).flat_map(|entry| entry.events());
    assert_eq!(destroyed.filter(|event| is_destroyed(event)).count(), 1);
}
