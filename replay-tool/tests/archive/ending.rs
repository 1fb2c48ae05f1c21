//! The end of an attempt that is archived before whoever waits for it has read it: how the run stands tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_adapters::control::{ControlHandler, ControlListener, ControlRequest, ControlResponse, Peer};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, StartMode};

use crate::following::{Follower, later};
use crate::support::{exit, numbered, ran, submit, submit_at_once, told, write};

/// The run that is waited for, and its attempt.
const AWAITED: u64 = 50;

/// A journal in which an attempt is under way that has printed a line.
fn begun(data: &Path) {
    write(data, 2);
    let mine = claim(ids::run(AWAITED), AWAITED, "r1");
    let start = Action::Start { attempt: mine.attempt, runner: mine.runner, mode: StartMode::Fresh };
    let create = Action::Create { spec: Arc::new(spec("awaited")) };
    let begin = [create, start].into_iter().enumerate();
    let begin: Vec<_> = begin.map(|(n, action)| numbered(900 + n as u64, ids::run(AWAITED), action)).collect();
    submit(data, 500, &begin);
    let attempt = data.join("runs").join(ids::run(AWAITED).to_string()).join("attempt-1");
    fs::create_dir_all(&attempt).unwrap();
    fs::write(attempt.join("stdout"), "out\n").unwrap();
}

/// It exits, more happens to others, and all of it but the last of that is archived.
fn ended_and_archived(data: &Path) {
    submit_at_once(data, 600, &[numbered(910, ids::run(AWAITED), exit(AWAITED, AWAITED, 3))]);
    // Whoever waits for an answer does not wait for as many syncs.
    submit_at_once(data, 1_000, &later());
    told(data, &["archive", "--before", "1d", "--apply", "--no-parquet"]);
}

#[test]
fn a_follower_of_output_ends_with_an_attempt_whose_end_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let follower = Follower::asked(dir.path(), &["logs", &ids::run(AWAITED).to_string(), "--follow"]);
    assert_eq!(follower.next(), "out");
    follower.stop();
    ended_and_archived(dir.path());
    follower.go_on();
    let (code, lines, told) = follower.ended();
    assert_eq!((code, lines), (Some(0), Vec::new()), "{told}");
    assert!(told.contains("were archived before they were read: they are in archive/"), "{told}");
}

/// Also where it was archived before the command began.
#[test]
fn a_follower_of_output_that_was_archived_before_does_not_wait_for_an_end() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    ended_and_archived(dir.path());
    let (code, lines, told) =
        Follower::asked(dir.path(), &["logs", &ids::run(AWAITED).to_string(), "--follow"]).ended();
    assert_eq!((code, lines), (Some(0), vec!["out".to_owned()]), "{told}");
}

/// A supervisor in whose hands an attempt ends at once, and is archived before it answers.
struct Quick(PathBuf);

#[async_trait]
impl ControlHandler for Quick {
    async fn handle(&self, _: Peer, request: ControlRequest) -> ControlResponse {
        assert!(matches!(request, ControlRequest::Kill { .. }), "{request:?}");
        // A runtime may not be entered within another one.
        std::thread::scope(|scope| drop(scope.spawn(|| ended_and_archived(&self.0)).join()));
        ControlResponse::Killing { under_way: true }
    }
}

#[test]
fn who_ends_an_attempt_is_told_how_it_ended_although_that_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_owned();
    begun(&data);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let listener = ControlListener::bind(data.join("control.sock"), Arc::new(Quick(data.clone()))).unwrap();
    let output = ran(&data, &["--format", "json", "kill", &ids::run(AWAITED).to_string()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let ended: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&ended["outcome"], &ended["exit"]["code"]), (&"ended".into(), &3.into()), "{ended}");
    assert!(ended["position"].as_u64() > Some(10), "{ended}");
    assert!(told.contains("were archived before they were read: they are in archive/"), "{told}");
    drop(listener);
    drop(entered);
}
