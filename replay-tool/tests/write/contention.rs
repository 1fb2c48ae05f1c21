use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tachograph_adapters::control::{ControlHandler, ControlListener, ControlRequest, ControlResponse, Peer};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Event, RunId};

use super::job::Job;
use super::planted::Planted;
use super::snapshots::until;
use super::support::{Finished, Place, Ready};

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
    // On a machine that is busy otherwise all of them may take longer than each waits by itself.
    let begin = |arguments: &[&str]| {
        let mut command = place.tacho(arguments);
        command.env("TACHO_LOCK_WAIT", "1h").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<Child> = names
        .iter()
        .enumerate()
        .map(|(number, name)| match number % 2 {
            0 => begin(&["cancel-snapshot", name, "--unconditional"]),
            _ => begin(&["destroy", name, "--force"]),
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
        let mut tried = (0..6).map(|_| {
            let holder = held(&place.data());
            let mut waiting = begin(&place, arguments);
            let is_waiting = waits(&mut waiting);
            drop(holder);
            let finished = Finished::of(waiting);
            assert!(is_waiting, "{arguments:?}: {}", finished.stderr);
            println!("{arguments:?}: {}", finished.stderr);
            finished.code
        });
        // It waits for some seconds; a machine that is busy otherwise may take them before the writer ends.
        assert!(tried.any(|code| code == Some(0)), "{arguments:?}: it never waits long enough");
    }
    place.assert_closed_cleanly();
    let mut bad = place.tacho(["run", "--", "true"]);
    assert_eq!(bad.env("TACHO_LOCK_WAIT", "soon").output().unwrap().status.code(), Some(125));
}

#[test]
fn a_second_supervisor_is_told_at_once_that_another_one_listens() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    // It would wait longer than this test does.
    let mut second = place.tacho(["run", "--", "true"]);
    let second = second.env("TACHO_LOCK_WAIT", "1h").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let second = Finished::of(second);
    assert!(second.stderr.contains("error[locked]"), "{}", second.stderr);
    job.open_gate();
    assert_eq!(job.finish().code, Some(0));
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
fn what_outlives_a_killed_supervisor_reports_to_the_next_one() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "\"$TACHO_EXE\" report waiting --on x || say refused; say reported");
    let socket = place.data().join("report.sock");
    let before = socket.symlink_metadata().unwrap();
    job.crash();
    assert!(socket.exists(), "nobody could remove it");
    let (ready, gate) = (Ready::at(&place.path("next-ready")), place.path("next-gate"));
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut open = File::options().read(true).write(true).open(&gate).unwrap();
    let script = format!("echo $TACHO_CONTROL > '{}'; read line < '{}'", ready.shown(), gate.display());
    let next = begin(&place, &["run", "--", "sh", "-c", &script]);
    assert_eq!(ready.next(), socket.display().to_string(), "it is at the same place");
    let after = socket.symlink_metadata().unwrap();
    assert!(after.file_type().is_socket() && after.ino() != before.ino());
    job.open_gate();
    assert_eq!(job.ready.next(), "reported");
    let records = place.records();
    let waits = records.iter().find(|record| record.run.spec.name.as_deref() == Some("build")).unwrap();
    let history = place.entries();
    let waited = |event: &Event| matches!(event, Event::Waiting { .. });
    assert!(history.iter().any(|entry| entry.run() == Some(waits.run.id) && entry.events().iter().any(waited)));
    open.write_all(b"go\n").unwrap();
    let finished = Finished::of(next);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!socket.exists(), "it goes with its supervisor");
}

#[test]
fn the_socket_that_a_supervisor_of_a_former_version_left_at_a_run_goes_with_the_end_of_the_run() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "say done");
    let socket = place.data().join(format!("runs/{}/control.sock", place.record().run.id));
    job.crash();
    drop(UnixListener::bind(&socket).unwrap());
    job.open_gate();
    assert_eq!(job.ready.next(), "done");
    // Until its shim is gone it is adopted and let go of again.
    until("it is gone", || {
        place.run("true");
        !socket.exists()
    });
}

/// Answers reports, and says which socket they came over.
struct Heard(&'static str);

#[async_trait]
impl ControlHandler for Heard {
    async fn handle(&self, _: Peer, request: ControlRequest) -> ControlResponse {
        assert!(matches!(request, ControlRequest::Report { .. }), "{request:?}");
        ControlResponse::error("heard", self.0, "nothing")
    }
}

#[test]
fn a_run_whose_socket_is_gone_finds_those_of_its_data_directory_whatever_it_was_told() {
    let place = Place::new();
    let id = RunId::from_u128(7).to_string();
    let of_run = place.data().join("runs").join(&id);
    std::fs::create_dir_all(&of_run).unwrap();
    let former = of_run.join("control.sock");
    drop(UnixListener::bind(&former).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let listen = |name| ControlListener::bind(place.data().join(name), Arc::new(Heard(name))).unwrap();
    let report = |told: Option<&Path>| {
        let mut command = place.tacho(["report", "resume", "--run", &id, "--attempt", &id]);
        command.env("TACHO_RUN_DIR", of_run.join("attempt-1")).env("TACHO_DATA", place.path("elsewhere"));
        match told {
            Some(told) => command.env("TACHO_CONTROL", told),
            None => command.env_remove("TACHO_CONTROL"),
        };
        Finished::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).stderr
    };
    for names in [&["report.sock", "control.sock"][..], &["control.sock"]] {
        let listeners: Vec<_> = names.iter().map(|name| listen(*name)).collect();
        for told in [None, Some(&*former)] {
            let stderr = report(told);
            // Where the run was told nothing, its supervisor is not the one at `report.sock`.
            let first = if told.is_some() { names.first() } else { names.last() };
            assert!(stderr.contains(&format!("error[heard]: {}", first.unwrap())), "{names:?}, {told:?}: {stderr}");
        }
        drop(listeners);
    }
    let stderr = report(Some(&former));
    assert!(stderr.contains("error[not_supervised]") && stderr.contains("report.sock"), "{stderr}");
    drop(entered);
}

#[test]
fn that_runs_cannot_report_is_told_and_they_run_all_the_same() {
    let place = Place::new();
    std::fs::create_dir_all(place.data()).unwrap();
    std::fs::write(place.data().join("report.sock"), "no socket").unwrap();
    let finished = place.run("echo ${TACHO_CONTROL-none}");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "none\n"), "{}", finished.stderr);
    let told =
        "tacho: runs cannot report that they wait: report.sock cannot be made: there is a file that is no socket";
    assert!(finished.stderr.contains(told), "{}", finished.stderr);
}
