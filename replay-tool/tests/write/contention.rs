use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::Event;

use super::job::Job;
use super::planted::Planted;
use super::snapshots::until;
use super::support::{Finished, Place};

/// Long enough for a tool that does not wait to be at its end; a shorter time would only see less.
const LOOK: Duration = Duration::from_millis(400);

fn begin(place: &Place, arguments: &[&str]) -> Child {
    place.tacho(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether it goes on as long as it is looked at.
fn waits(child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < LOOK {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn held(data: &Path) -> FileJournal {
    FileJournal::open(data, JournalOptions::default()).unwrap()
}

#[test]
fn operators_at_the_same_time_all_get_their_answer() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let names: Vec<String> = (0..6).map(|number| format!("job-{number}")).collect();
    for name in &names {
        planted.armed(name);
    }
    planted.close();
    let all: Vec<Child> = names
        .iter()
        .enumerate()
        .map(|(number, name)| match number % 2 {
            0 => begin(&place, &["cancel-snapshot", name, "--unconditional"]),
            _ => begin(&place, &["destroy", name, "--force"]),
        })
        .collect();
    for child in all {
        let finished = Finished::of(child);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }
    let entries = place.entries();
    let canceled = |event: &&Event| matches!(event, Event::SnapshotCanceled { .. });
    assert_eq!(entries.iter().flat_map(|entry| entry.events()).filter(canceled).count(), names.len());
    place.assert_closed_cleanly();
}

#[test]
fn who_meets_a_writer_that_is_about_to_end_waits_for_it() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.armed("build");
    planted.close();
    for arguments in [&["cancel-snapshot", "build", "--unconditional"][..], &["run", "--", "true"]] {
        let holder = held(&place.data());
        let mut waiting = begin(&place, arguments);
        let is_waiting = waits(&mut waiting);
        drop(holder);
        let finished = Finished::of(waiting);
        assert!(is_waiting, "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
    }
    place.assert_closed_cleanly();
    let mut bad = place.tacho(["run", "--", "true"]);
    assert_eq!(bad.env("TACHO_LOCK_WAIT", "soon").output().unwrap().status.code(), Some(125));
}

#[test]
fn a_second_supervisor_is_told_at_once_that_another_one_listens() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    let begun = Instant::now();
    let second = place.run("true");
    assert!(second.stderr.contains("error[locked]"), "{}", second.stderr);
    job.open_gate();
    assert_eq!(job.finish().code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn connections_that_one_process_leaves_open_keep_no_operator_out() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    let socket = place.data().join("control.sock");
    let idle: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let canceled = place.finish(["cancel-snapshot", "build", "--unconditional"]);
    assert_eq!(canceled.code, Some(5), "{}", canceled.stderr);
    assert!(canceled.stderr.contains("error[nothing_pending]"), "{}", canceled.stderr);
    drop(idle);
    job.open_gate();
    assert_eq!(job.finish().code, Some(0));
}

#[test]
fn the_socket_that_a_killed_supervisor_left_at_a_run_goes_with_the_end_of_the_run() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "say done");
    let socket = place.data().join(format!("runs/{}/control.sock", place.record().run.id));
    job.crash();
    assert!(socket.exists(), "nobody could remove it");
    job.open_gate();
    assert_eq!(job.ready.next(), "done");
    // Until its shim is gone it is adopted and let go of again.
    until("it is gone", || {
        place.run("true");
        !socket.exists()
    });
}
