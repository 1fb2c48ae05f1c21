use rustix::process::Signal;
use serde_json::Value;
use tachograph_engine::domain::{Event, FailureKind};

use super::planted::Planted;
use super::snapshots::{DETACHED, Staged, job_of, stands_still};
use super::support::{Finished, Place, end_of, failure, send};

/// A job that ends well once it hears TERM, and of which an image takes long.
const POLITE: &str = r#"
trap 'echo heard > "$TACHO_RUN_DIR/heard"; exit 0' TERM
truncate -s 1T "$TACHO_RUN_DIR/large"
echo "$$" > "$READY"
read go < "$END"
"$TACHO_EXE" report waiting --on 'its end' $DEADLINE
sleep 1000 &
wait
"#;

fn heard(staged: &Staged) -> bool {
    let run = staged.place.record().run.id;
    staged.place.data().join(format!("runs/{run}/attempt-1/heard")).exists()
}

#[track_caller]
fn assert_given_up(finished: &Finished) {
    let job = job_of(finished);
    let why = job["snapshots"][0]["failure"].as_str().unwrap_or_else(|| panic!("{job}"));
    assert!(why.starts_with("given up, so that the run could be ended"), "{why}");
}

#[test]
fn a_run_that_is_killed_while_an_image_of_it_is_taken_hears_term() {
    let mut staged = Staged::job(POLITE, "snapshot_delay = 0");
    let child = staged.supervise();
    let pid = staged.ready.next();
    staged.end.open();
    let marker = staged.frozen(&pid);
    let killed = staged.place.finish(["kill", "job", "--grace", "1m"]);
    assert_eq!(killed.code, Some(0), "{}", killed.stderr);
    let finished = Finished::of(child);
    assert!(heard(&staged), "{}", finished.stdout);
    assert_given_up(&finished);
    assert!(!marker.exists());
    staged.place.assert_closed_cleanly();
}

#[test]
fn a_run_that_is_destroyed_while_an_image_of_it_is_taken_hears_term() {
    let mut staged = Staged::job(POLITE, "snapshot_delay = 0");
    let child = staged.supervise();
    let pid = staged.ready.next();
    staged.end.open();
    let marker = staged.frozen(&pid);
    let destroyed = staged.place.finish(["destroy", "job", "--force"]);
    assert_eq!(destroyed.code, Some(0), "{}", destroyed.stderr);
    Finished::of(child);
    assert!(heard(&staged));
    assert!(!marker.exists());
}

/// Runs a job to its end, which comes by itself, and which it hears of.
fn timed_out(mut staged: Staged) -> Finished {
    let child = staged.supervise();
    staged.ready.next();
    staged.end.open();
    let finished = Finished::of(child);
    assert!(heard(&staged), "{}", finished.stdout);
    assert_eq!(failure(&staged.place.record()), Some(FailureKind::TimedOut));
    finished
}

#[test]
fn a_wait_that_is_over_and_a_wall_limit_end_a_frozen_run_politely() {
    let by_wait = |seconds: u32| {
        Staged::job(&POLITE.replace("$DEADLINE", &format!("--deadline {seconds}s")), "snapshot_delay = 0")
    };
    let by_limit = |seconds: u32| Staged::job(POLITE, &format!("snapshot_delay = 0\ntimeout = \"{seconds}s\""));
    let both: [&dyn Fn(u32) -> Staged; 2] = [&by_wait, &by_limit];
    for job in both {
        // A machine that is busy otherwise may not come to the image in so short a time.
        let mut tried = [2, 8, 40].into_iter().map(|seconds| timed_out(job(seconds)));
        let finished = tried.find(|finished| job_of(finished)["snapshots"] != Value::Array(Vec::new()));
        assert_given_up(&finished.expect("no image is begun"));
    }
}

#[test]
fn without_a_supervisor_an_operators_command_lets_go_on_what_was_left_frozen_and_masks_no_crash() {
    let mut staged = Staged::job(DETACHED, "snapshot_delay = 0");
    let mut child = staged.supervise();
    let pid = staged.ready.next();
    staged.end.open();
    let marker = staged.frozen(&pid);
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
    assert!(stands_still(&pid, &marker), "nobody has let it go on");
    let canceled = staged.place.finish(["cancel-snapshot", "job", "--unconditional"]);
    assert_eq!(canceled.code, Some(5), "{}", canceled.stderr);
    assert!(canceled.stderr.contains(" was left frozen and goes on again\n"), "{}", canceled.stderr);
    assert!(!marker.exists());
    staged.gate.open();
    assert_eq!(staged.ready.next(), "went on");
    let runs = staged.place.finish(["runs"]).stdout;
    assert!(runs.contains(&format!("the writer, pid {}, is gone\n", child.id())), "{runs}");
}

#[test]
fn an_image_that_a_program_made_is_found_by_a_writer_that_does_not_know_of_the_program() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let run = planted.dispatched("own");
    planted.close();
    let scheduled = |event: &Event| match event {
        Event::SnapshotScheduled { snapshot, .. } => Some(*snapshot),
        _ => None,
    };
    let snapshot = place.entries().iter().flat_map(|entry| entry.events()).find_map(scheduled).unwrap();
    let images = place.data().join(format!("snapshots/{run}"));
    std::fs::create_dir_all(&images).unwrap();
    std::fs::write(images.join(format!("{snapshot}.image")), "state\n").unwrap();
    assert_eq!(place.run("true").code, Some(0));
    let timeline: Value = serde_json::from_str(&place.finish(["--format", "json", "timeline", "own"]).stdout).unwrap();
    let entries = place.entries();
    let taken = entries.iter().flat_map(|entry| entry.events()).find_map(|event| match event {
        Event::SnapshotTaken { location, bytes, .. } => Some((*bytes, location.clone())),
        _ => None,
    });
    assert_eq!(taken, Some((6, format!("snapshots/{run}/{snapshot}.image"))), "{timeline}");
}
