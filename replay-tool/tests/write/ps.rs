use std::time::Instant;

use serde_json::{Value, json};

use super::job::{Job, Stopped, documented};
use super::planted::Planted;
use super::snapshots::until;
use super::support::{HANG, Place};

fn ps(place: &Place) -> Vec<Value> {
    let finished = place.finish(["--format", "json", "ps"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    documented(&finished.stdout).as_array().unwrap().clone()
}

fn text(place: &Place) -> String {
    let finished = place.finish(["ps"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    finished.stdout
}

/// Alters what the attempt's directory says about its processes.
fn alter(place: &Place, change: impl Fn(&mut Value)) {
    let path = place.data().join("runs").join(place.record().run.id.to_string()).join("attempt-1/identity.json");
    let mut identity: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut identity);
    std::fs::write(&path, serde_json::to_vec(&identity).unwrap()).unwrap();
}

#[test]
fn a_live_run_is_listed_with_its_verified_process_and_what_that_uses() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 3");
    // It has said it on both streams, and what it said on one of them is passed through.
    until("both are on file", || ps(&place)[0]["stderr_bytes"] == 6);
    let list = ps(&place);
    let [run] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!((&run["run"], &run["name"]), (&place.record().run.id.to_string().into(), &"build".into()));
    assert_eq!((&run["status"], &run["attempt"], &run["writer"]), (&"Started".into(), &1.into(), &"alive".into()));
    assert_eq!(run["process"], json!({"pid": job.pid, "state": "alive"}));
    assert_eq!(run["pids"], json!([job.pid]));
    assert!(run["rss_bytes"].as_u64().unwrap() > 0 && run["up_ms"].is_u64() && run["cpu_ms"].is_u64(), "{run}");
    assert_eq!((&run["stdout_bytes"], &run["stderr_bytes"]), (&4.into(), &6.into()));
    let shown = text(&place);
    assert!(shown.starts_with("RUN ") && shown.contains(&format!(" {} ", job.pid)), "{shown}");
    assert!(shown.lines().last().unwrap().starts_with("live: 1; the writer, pid "), "{shown}");
    // What the file names is believed only as far as it is verified.
    alter(&place, |identity| identity["shim"] = json!({"pid": 1, "start_ticks": 1, "boot_id": "another"}));
    assert_eq!(ps(&place)[0]["shim"], json!({"pid": 1, "state": "unverified"}));
    let own = tachograph_adapters::process::ProcessIdentity::of(std::process::id()).unwrap();
    alter(&place, |identity| identity["shim"] = serde_json::to_value(&own).unwrap());
    assert_eq!(ps(&place)[0]["shim"], json!({"pid": own.pid, "state": "alive"}));
    alter(&place, |identity| identity["process"]["start_ticks"] = 1.into());
    let run = &ps(&place)[0];
    assert_eq!((&run["process"]["state"], &run["up_ms"]), (&"gone".into(), &Value::Null));
    assert_eq!(run["pids"], json!([job.pid]), "it names the attempt");
    assert!(text(&place).contains(&format!("{} gone", job.pid)));
    job.open_gate();
    assert_eq!(job.finish().code, Some(3));
    assert_eq!(text(&place), "no live runs\n");
}

#[test]
fn a_run_that_has_ended_and_whose_shim_does_not_go_on_says_so() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 3");
    let shim = job.shim();
    let stopped = Stopped::of(shim);
    assert!(text(&place).contains(&format!("its shim is stopped: kill -CONT {shim}")), "{}", text(&place));
    job.open_gate();
    let (begun, told) = (Instant::now(), format!("has ended; its shim is stopped: kill -CONT {shim}"));
    while !text(&place).contains(&told) {
        assert!(begun.elapsed() < HANG, "{}", text(&place));
        std::thread::yield_now();
    }
    drop(stopped);
    assert_eq!(job.finish().code, Some(3));
}

#[test]
fn what_a_crash_left_alive_is_told_and_what_it_did_not() {
    told_after_a_crash(
        &["--no-shim"],
        " in the hands of their shims: 0; alive unsupervised: 1; without a process: 0\n",
    );
    told_after_a_crash(&[], " in the hands of their shims: 1; alive unsupervised: 0; without a process: 0\n");
}

#[track_caller]
fn told_after_a_crash(options: &[&str], told: &str) {
    let place = Place::new();
    let mut job = Job::begin_with(&place, options, ":", "exit 0");
    job.crash();
    let run = &ps(&place)[0];
    assert_eq!((&run["writer"], &run["process"]["state"]), (&"gone".into(), &"alive".into()));
    let shown = text(&place);
    assert!(shown.ends_with(told), "{shown}");
    let before = place.entries();
    job.open_gate();
    // Nobody tells when a process ends that is nobody's child here.
    let begun = Instant::now();
    // Its shim writes the end down, and goes after that.
    let is_left = |run: &Value| !run["pids"].as_array().unwrap().is_empty() || run["shim"]["state"] == "alive";
    while is_left(&ps(&place)[0]) {
        assert!(begun.elapsed() < HANG, "it does not end");
        std::thread::yield_now();
    }
    let shown = text(&place);
    assert!(shown.ends_with(" alive unsupervised: 0; without a process: 1\n"), "{shown}");
    assert_eq!(place.entries(), before, "nothing was recorded");
}

#[test]
fn what_a_run_waits_on_and_its_snapshot_are_shown_and_runs_without_a_process_too() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let (_, snapshot) = planted.armed("armed");
    planted.dispatched("dispatched");
    planted.created("idle");
    planted.close();
    let list = ps(&place);
    let names: Vec<&str> = list.iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["armed", "dispatched", "idle"], "the oldest first");
    assert_eq!(list[0]["waiting"]["on"], "a review");
    assert_eq!(list[0]["snapshot"]["snapshot"], snapshot.to_string());
    assert_eq!((&list[1]["snapshot"]["state"], &list[2]["attempt"]), (&"dispatched".into(), &Value::Null));
    assert!(list.iter().all(|run| run["process"].is_null() && run["stdout_bytes"].is_null()), "{list:?}");
    let shown = text(&place);
    assert!(shown.contains("waits on a review; snapshot in 59m"), "{shown}");
    assert!(shown.contains("waits on a review; its snapshot is being taken"), "{shown}");
}
