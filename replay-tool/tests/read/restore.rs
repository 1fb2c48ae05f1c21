//! A directory out of the image of a snapshot, and every reason why there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::freeze::{FreezeError, FreezeTarget, Freezer, Frozen};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_adapters::snapshot::{ArchiveOptions, ArchiveSnapshotter};
use tachograph_engine::domain::{Action, Digest, Ordinal, SnapshotId};
use tachograph_engine::ports::{SnapshotImage, Snapshotter, WantedSnapshot};
use tempfile::TempDir;

use crate::binary::{everything, ran, stderr, stdout};
use crate::kept::run;
use crate::made::START;
use crate::recorded::{Supervisor, Waiting, cancel_by, supervisor_on};

/// Attempts without a process stand still by themselves.
#[derive(Debug)]
struct Still;

impl Freezer for Still {
    fn freeze(&self, _: &FreezeTarget) -> Result<Box<dyn Frozen>, FreezeError> {
        Ok(Box::new(Self))
    }
}

impl Frozen for Still {
    fn verify(&self) -> Result<(), FreezeError> {
        Ok(())
    }

    fn thaw(self: Box<Self>) -> Result<(), FreezeError> {
        Ok(())
    }
}

/// A data directory in which every kind of end is recorded, one per run, and the image of run `build`.
struct World {
    dir: TempDir,
    data: PathBuf,
    snapshot: SnapshotId,
    image: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let clock = ManualClock::new(START);
        let journal = FileJournal::open(&data, JournalOptions::default());
        let (snapshot, location) = run(async {
            let supervisor = supervisor_on(journal, &clock, Arc::new(SeededIds::new(11))).await;
            let (waiting, snapshot) = dispatched(&supervisor, "build").await;
            let image = take(&data, &waiting, snapshot).await;
            supervisor.does(waiting.run, complete(snapshot, image.clone())).await;
            let (waiting, theirs) = dispatched(&supervisor, "theirs").await;
            let location = format!("snapshots/{}/{theirs}.image", waiting.run);
            let theirs_image = SnapshotImage { location, bytes: 1, digest: Digest::ZERO };
            supervisor.does(waiting.run, complete(theirs, theirs_image)).await;
            let (waiting, failed) = dispatched(&supervisor, "broken").await;
            let message = "the disk is full".to_owned();
            supervisor.does(waiting.run, Action::FailSnapshot { snapshot: failed, message }).await;
            dispatched(&supervisor, "unfinished").await;
            let canceled = supervisor.waiting("canceled", "r1").await;
            supervisor.arms(&canceled, 5).await;
            supervisor.does(canceled.run, cancel_by("r1")).await;
            let armed = supervisor.waiting("armed", "r1").await;
            supervisor.arms(&armed, 5).await;
            supervisor.engine.close().await.unwrap();
            (snapshot, image.location)
        });
        Self { image: data.join(location), dir, data, snapshot }
    }

    fn target(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The id of the last snapshot of a run.
    fn last(&self, name: &str) -> String {
        let told: Value =
            serde_json::from_str(&stdout(&ran(&self.data, &["--format", "json", "why-timer", name]))).unwrap();
        told["snapshot"].as_str().unwrap().to_owned()
    }

    /// Exit code, stable code and message of a restore that fails, and leaves nothing.
    fn fails(&self, id: &str) -> (Option<i32>, String, String) {
        let target = self.target("never");
        let output = ran(&self.data, &["--format", "json", "restore", id, &target]);
        assert!(!Path::new(&target).exists(), "{id}");
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        let text = |name: &str| error["error"][name].as_str().unwrap().to_owned();
        assert!(!text("remedy").is_empty());
        (output.status.code(), text("code"), text("message"))
    }
}

async fn dispatched(supervisor: &Supervisor, name: &str) -> (Waiting, SnapshotId) {
    let waiting = supervisor.waiting(name, "r1").await;
    let snapshot = supervisor.arms(&waiting, 0).await;
    supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
    (waiting, snapshot)
}

async fn take(data: &Path, waiting: &Waiting, snapshot: SnapshotId) -> SnapshotImage {
    let attempt_dir = data.join("runs").join(waiting.run.to_string()).join("attempt-1");
    std::fs::create_dir_all(attempt_dir.join("inner")).unwrap();
    std::fs::write(attempt_dir.join("inner/notes"), "halfway\n").unwrap();
    std::fs::write(attempt_dir.join("stdout"), "ready?\n").unwrap();
    let snapshotter = ArchiveSnapshotter::open(data, None, Arc::new(Still), ArchiveOptions::default()).unwrap();
    let spec = Arc::default();
    let wanted =
        WantedSnapshot { run: waiting.run, attempt: waiting.claim.attempt, ordinal: Ordinal(1), snapshot, spec };
    snapshotter.take(&wanted).await.unwrap()
}

fn complete(snapshot: SnapshotId, image: SnapshotImage) -> Action {
    let SnapshotImage { location, bytes, digest } = image;
    Action::CompleteSnapshot { snapshot, location, bytes, digest }
}

#[test]
fn what_was_taken_comes_back_and_the_evidence_stays_as_it_was() {
    let world = World::new();
    let before = everything(&world.data);
    let snapshot = world.snapshot.to_string();
    for (number, id) in [snapshot.as_str(), &snapshot[..25].to_lowercase(), "build"].into_iter().enumerate() {
        let target = world.target(&format!("restored-{number}"));
        let output = ran(&world.data, &["--format", "json", "restore", id, &target]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{id}");
        let restored: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&restored["snapshot"], &restored["name"]), (&json!(snapshot), &json!("build")));
        assert_eq!(
            (&restored["files"], &restored["directories"], &restored["bytes"]),
            (&json!(2), &json!(1), &json!(15))
        );
        let read = |name: &str| std::fs::read_to_string(Path::new(&target).join(name)).unwrap();
        assert_eq!((read("inner/notes").as_str(), read("stdout").as_str()), ("halfway\n", "ready?\n"));
    }
    assert!(everything(&world.data) == before, "something changed");
    let target = world.target("text");
    let text = stdout(&ran(&world.data, &["restore", "build", &target]));
    assert!(text.starts_with(&format!("restored into {target}: snapshot {snapshot} of run ")), "{text}");
    assert!(text.ends_with("\nfiles 2, directories 1, links 0, pipes 0, bytes 15\n"), "{text}");
}

#[test]
fn where_there_is_no_image_the_journal_says_why() {
    let world = World::new();
    for (name, part) in [
        ("broken", ": the disk is full"),
        ("unfinished", "no result is recorded yet"),
        ("canceled", ": runner r1 asked for it"),
        ("armed", "it is armed, and due 2026-11-21T03:00:05.000000Z"),
    ] {
        let (exit, code, message) = world.fails(&world.last(name));
        assert_eq!((exit, code.as_str()), (Some(5), "snapshot_not_taken"), "{message}");
        assert!(message.contains(part), "{message}");
        let (exit, code, message) = world.fails(name);
        assert_eq!((exit, code.as_str()), (Some(3), "unknown_snapshot"), "{message}");
    }
    for id in ["01ZZZZ", "biuld"] {
        let (exit, code, message) = world.fails(id);
        assert_eq!((exit, code.as_str()), (Some(3), "unknown_snapshot"), "{message}");
    }
    let (exit, code, message) = world.fails("theirs");
    assert_eq!((exit, code.as_str()), (Some(2), "not_an_archive"), "{message}");
}

#[test]
fn an_image_that_is_gone_or_altered_and_a_directory_in_use_are_refused() {
    let world = World::new();
    let occupied = world.target("occupied");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(Path::new(&occupied).join("mine"), "mine").unwrap();
    let output = ran(&world.data, &["restore", "build", &occupied]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("error[occupied]"), "{}", stderr(&output));
    let mut bytes = std::fs::read(&world.image).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&world.image, &bytes).unwrap();
    let (exit, code, message) = world.fails("build");
    assert_eq!((exit, code.as_str()), (Some(7), "image_altered"), "{message}");
    std::fs::remove_file(&world.image).unwrap();
    let (exit, code, message) = world.fails("build");
    assert_eq!((exit, code.as_str()), (Some(6), "image_missing"), "{message}");
    assert!(message.contains(world.image.to_str().unwrap()), "{message}");
}
