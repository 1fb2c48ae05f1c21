use std::process::Stdio;

use serde_json::{Value, json};
use tachograph_engine::domain::{Actor, ActorKind, Entry, EntryBody, Event, StatusName};

use super::job::{Job, documented};
use super::planted::Planted;
use super::support::{Finished, Place, Ready};

fn destroy(place: &Place, arguments: &[&str]) -> Finished {
    place.finish([&["destroy"], arguments].concat())
}

fn status(place: &Place) -> StatusName {
    place.record().run.status.name()
}

#[test]
fn without_a_supervisor_it_is_written_to_the_journal_and_force_must_be_given() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let (run, _) = planted.armed("build");
    planted.close();
    let refused = destroy(&place, &["build"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(5), ""), "{}", refused.stderr);
    assert!(refused.stderr.starts_with("tacho: error[force_required]: refused: "), "{}", refused.stderr);
    assert!(refused.stderr.contains("\n  help: give --force "), "{}", refused.stderr);
    assert_eq!(status(&place), StatusName::Waiting);
    let head = place.entries().len();
    let finished = destroy(&place, &["build", "--force", "--why", "its host is gone"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.stdout, format!("run {run} destroyed at position {}; its history stays\n", head + 2));
    assert_eq!(status(&place), StatusName::Destroyed);
    let timeline = place.finish(["timeline", "build"]).stdout;
    assert!(timeline.contains("its host is gone") && timeline.contains("operator:"), "{timeline}");
    place.assert_closed_cleanly();
    let again = destroy(&place, &["build", "--format", "json"]);
    assert_eq!((again.code, &documented(&again.stdout)["outcome"]), (Some(5), &"run_destroyed".into()));
}

fn destroyed_by(entry: &Entry) -> Option<Actor> {
    let EntryBody::Committed(committed) = &entry.body else { return None };
    let is_destroyed = committed.events.iter().any(|event| matches!(event, Event::Destroyed { .. }));
    is_destroyed.then(|| committed.command.actor.clone())
}

#[test]
fn the_supervisor_destroys_its_run_and_ends_what_it_has_running() {
    let place = Place::new();
    let job = Job::begin(&place, ":", "exit 0");
    assert_eq!(destroy(&place, &["build"]).code, Some(5));
    assert_eq!(status(&place), StatusName::Started);
    let finished = destroy(&place, &["build", "--force"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let files = place.data().join("runs").join(place.record().run.id.to_string());
    assert!(finished.stdout.contains(&format!("its files stay in {}\n", files.display())), "{}", finished.stdout);
    assert!(finished.stdout.ends_with("its supervisor ends what it still has running\n"), "{}", finished.stdout);
    let ended = job.finish();
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[run_destroyed]"), "{}", ended.stderr);
    assert_eq!(std::fs::read(files.join("attempt-1/stdout")).unwrap(), b"out\n");
    assert_eq!(status(&place), StatusName::Destroyed);
    let actor = place.entries().iter().find_map(destroyed_by).unwrap();
    assert!(actor.kind == ActorKind::Operator && actor.id.contains('@'), "{actor:?}");
}

#[test]
fn what_nobody_ends_is_named_and_not_signalled() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "say done");
    job.crash();
    let finished = destroy(&place, &["build", "--force", "--format", "json"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let view = documented(&finished.stdout);
    assert_eq!((&view["supervised"], &view["outcome"]), (&Value::Bool(false), &"destroyed".into()));
    assert_eq!(view["left_alive"], json!([job.pid]));
    job.open_gate();
    assert_eq!(job.ready.next(), "done", "it was not signalled");
}

#[test]
fn a_job_that_an_operator_destroys_is_not_tried_again_and_counts_as_that() {
    let place = Place::new();
    let ready = Ready::at(&place.path("ready"));
    let script = format!("echo ready > {}; exec sleep 600", ready.shown());
    let jobs = place.jobs(&format!("[jobs.build]\ncommand = [\"sh\", \"-c\", {script:?}]\nretries = 3\n"));
    let mut command = place.tacho(["supervise", "--format", "json", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ready.next();
    let destroyed = destroy(&place, &["build", "--force"]);
    assert_eq!(destroyed.code, Some(0), "{}", destroyed.stderr);
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("build: destroyed by an operator\n"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("error["), "{}", finished.stderr);
    let job = &documented(&finished.stdout)[0];
    let told = ["destroyed", "expected", "error", "attempts"].map(|field| job[field].clone());
    assert_eq!(told, [json!(true), json!(false), Value::Null, json!(1)]);
}
