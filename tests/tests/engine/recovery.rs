//! Opening again: from a checkpoint, from scratch, after a crash, and with whatever became of the checkpoint.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use tachograph_engine::domain::{Digest, EntryBody, FailureKind, RunRecord, StatusName, SystemFact};
use tachograph_engine::ports::{Checkpoint, JournalError};
use tachograph_engine::shell::{Engine, OpenReport, Options};
use tachograph_tests::place::BEGIN;
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

/// Runs in every status, restarted ones among them; closed cleanly, so that there is a checkpoint.
async fn history(seed: u64) -> (Place, Vec<Arc<RunRecord>>) {
    let place = Place::new(seed);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    supervisor.create(Some("created")).await;
    let started = supervisor.create(Some("started")).await;
    supervisor.start(started, "r1").await;
    let waiting = supervisor.create(None).await;
    let waiting = supervisor.start(waiting, "r1").await;
    supervisor.wait(&waiting).await.expect_written();
    supervisor.arm(&waiting, BEGIN.plus_millis(60_000)).await;
    let exited = supervisor.create(Some("exited")).await;
    let exited = supervisor.start(exited, "r1").await;
    supervisor.exit(&exited, code(3)).await.expect_written();
    let restarted = supervisor.create(Some("restarted")).await;
    let restarted = supervisor.start(restarted, "r1").await;
    supervisor.fail(&restarted, failure(FailureKind::StartTimeout, "timeout 30s")).await.expect_written();
    supervisor.restart(&restarted, "r2").await;
    let destroyed = supervisor.create(Some("destroyed")).await;
    supervisor.destroy(destroyed, false).await.expect_written();
    let live = engine.live();
    assert_eq!(live.len(), 4);
    engine.close().await.unwrap();
    (place, live)
}

fn checkpoint_files(place: &Place) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = fs::read_dir(place.checkpoints()).unwrap().map(|item| item.unwrap().path()).collect();
    assert!(!files.is_empty(), "close saved a checkpoint");
    files
}

async fn assert_same_live(place: &Place, live: &[Arc<RunRecord>]) -> OpenReport {
    let (engine, report) = place.open().await;
    assert_eq!(engine.live(), live);
    let ids: Vec<_> = live.iter().map(|record| record.run.id).collect();
    assert_eq!(report.open_runs, ids);
    engine.close().await.unwrap();
    report
}

#[tokio::test]
async fn from_a_checkpoint_and_from_scratch_are_the_same() {
    let (place, live) = history(70).await;
    let report = assert_same_live(&place, &live).await;
    assert_eq!((report.checkpoint, report.replayed), (Some(report.found.position), 0));
    for file in checkpoint_files(&place) {
        fs::remove_file(file).unwrap();
    }
    let report = assert_same_live(&place, &live).await;
    assert_eq!((report.checkpoint, report.replayed), (None, report.found.position.0));
    fs::remove_dir_all(place.checkpoints()).unwrap();
    let report = assert_same_live(&place, &live).await;
    assert_eq!(report.checkpoint, None);
}

#[tokio::test]
async fn a_damaged_checkpoint_is_as_good_as_none() {
    let (place, live) = history(71).await;
    let whole: Vec<_> = checkpoint_files(&place).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    for (bytes, _) in &whole {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let copy = place.crashed();
            for (bytes, file) in &whole {
                let mut bytes = bytes.clone();
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 0x10;
                fs::write(copy.checkpoints().join(file.file_name().unwrap()), bytes).unwrap();
            }
            let report = assert_same_live(&copy, &live).await;
            assert_eq!(report.checkpoint, None, "byte {at}");
        }
    }
    let copy = place.crashed();
    for (_, file) in &whole {
        fs::write(copy.checkpoints().join(file.file_name().unwrap()), b"").unwrap();
    }
    assert_eq!(assert_same_live(&copy, &live).await.checkpoint, None);
}

#[tokio::test]
async fn a_checkpoint_of_another_journal_is_ignored() {
    let (foreign, _) = history(72).await;
    let (place, live) = history(73).await;
    fs::remove_dir_all(place.checkpoints()).unwrap();
    tachograph_tests::place::copy(&foreign.checkpoints(), &place.checkpoints()).unwrap();
    let report = assert_same_live(&place, &live).await;
    assert_eq!(report.checkpoint, None);
}

#[tokio::test]
async fn a_checkpoint_of_another_fold_version_or_of_a_lost_history_is_ignored() {
    let (place, live) = history(74).await;
    for file in checkpoint_files(&place) {
        fs::remove_file(file).unwrap();
    }
    let parts = place.parts().unwrap();
    let head = parts.journal.reader().head();
    let store = parts.checkpoints.clone().unwrap();
    let empty = Checkpoint {
        fold: "engine".to_owned(),
        fold_version: 3,
        position: head.position,
        digest: head.digest,
        payload: vec![0],
    };
    store.save(empty.clone()).await.unwrap();
    drop(parts);
    assert_eq!(assert_same_live(&place, &live).await.checkpoint, None);
    for file in checkpoint_files(&place) {
        fs::remove_file(file).unwrap();
    }
    store.save(Checkpoint { fold_version: 2, digest: Digest([7; 32]), ..empty }).await.unwrap();
    assert_eq!(assert_same_live(&place, &live).await.checkpoint, None);
}

#[tokio::test]
async fn a_checkpoint_on_the_way_shortens_the_replay_after_a_crash() {
    let place = Place::new(75);
    let options = Options { checkpoint_every: 10, ..Options::default() };
    let (engine, _) = Engine::open(place.parts().unwrap(), options).await.unwrap();
    let supervisor = Supervisor::of(&engine);
    let mut saved = None;
    // Saving runs beside the committer: write on until it has happened.
    for _ in 0..10_000 {
        supervisor.create(None).await;
        saved = fs::read_dir(place.checkpoints()).ok().and_then(|mut files| files.next());
        if saved.is_some() {
            break;
        }
    }
    assert!(saved.is_some(), "a checkpoint was saved on the way");
    // What the crash leaves may be a half-written checkpoint; the one on the way is whole once its name is there.
    let live = engine.live();
    let crashed = place.crashed();
    engine.close().await.unwrap();
    let (engine, report) = crashed.open().await;
    assert_eq!(engine.live(), live);
    assert_eq!(report.replayed, report.found.position.0 - report.checkpoint.map_or(0, |position| position.0));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_crash_is_a_fact_in_the_history_and_a_clean_close_is_not() {
    let (place, live) = history(76).await;
    let (engine, report) = place.open().await;
    assert!(report.opening.clean);
    let crashed = place.crashed();
    engine.close().await.unwrap();
    let (engine, report) = crashed.open().await;
    assert!(!report.opening.clean);
    let facts: Vec<String> = Supervisor::of(&engine)
        .entries()
        .await
        .iter()
        .filter_map(|entry| match &entry.body {
            EntryBody::System(SystemFact::Opened(_)) => Some("opened".to_owned()),
            EntryBody::System(SystemFact::Closed(_)) => Some("closed".to_owned()),
            EntryBody::System(SystemFact::Recovered { torn, missing_up_to, open_runs }) => {
                Some(format!("recovered {} {} {open_runs}", torn.is_some(), missing_up_to.is_some()))
            }
            EntryBody::Committed(_) | EntryBody::Refused(_) => None,
        })
        .collect();
    let expected = ["opened", "closed", "opened", "opened", &format!("recovered false false {}", live.len())];
    assert_eq!(facts, expected);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_ended_run_is_restarted_after_reopening() {
    let place = Place::new(77);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let run = supervisor.create(Some("build")).await;
    let first = supervisor.start(run, "r1").await;
    supervisor.exit(&first, code(1)).await.expect_written();
    engine.close().await.unwrap();
    let (engine, report) = place.open().await;
    assert!(report.open_runs.is_empty());
    let supervisor = Supervisor::of(&engine);
    assert_eq!(supervisor.status(run).await, StatusName::Exited);
    let second = supervisor.restart(&first, "r2").await;
    supervisor.exit(&first, code(1)).await.expect_refused("stale_attempt");
    let crashed = place.crashed();
    engine.close().await.unwrap();
    for place in [&place, &crashed] {
        let (engine, report) = place.open().await;
        assert_eq!(report.open_runs, [run]);
        let supervisor = Supervisor::of(&engine);
        supervisor.exit(&first, code(1)).await.expect_refused("stale_attempt");
        supervisor.exit(&second, code(0)).await.expect_written();
        assert_eq!(supervisor.record(run).await.run.spent, [first.attempt]);
        engine.close().await.unwrap();
    }
}

/// Between fork and exec, a child that another thread is spawning has a copy of every descriptor, the lock's included.
#[tokio::test]
async fn a_descriptor_that_a_child_inherited_does_not_keep_a_closed_place_locked() {
    let place = Place::new(78);
    let (engine, _) = place.open().await;
    let lock = place.path().join("LOCK").canonicalize().unwrap();
    let number: i32 = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|item| item.unwrap())
        .find(|item| fs::read_link(item.path()).is_ok_and(|target| target == lock))
        .map(|item| item.file_name().to_str().unwrap().parse().unwrap())
        .expect("the lock is held open");
    let this_process = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
    let inherited = rustix::process::pidfd_getfd(this_process, number, PidfdGetfdFlags::empty()).unwrap();
    engine.close().await.unwrap();
    let (engine, report) = place.open().await;
    assert!(report.opening.clean);
    assert!(matches!(place.parts(), Err(JournalError::Locked { .. })), "one writer at a time");
    engine.close().await.unwrap();
    drop(inherited);
}
