use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::process::{
    AttemptDirectory, ExitRecord, Identity, ProcessRunner, RunHandle, RunnerOptions, Shim,
};
use tachograph_engine::domain::{Drain, Event, ExitStatus, FailureKind, Finding, Outcome, Witness};

use crate::shimmed::{until_gone, within_a_minute};
use crate::support::{Bench, LONG, by_shims, exit, failure};

const DISK: &str = "size=1m";
/// More than fits on the disk.
const OUTPUT_BYTES: &str = "3000000";

/// A small disk of its own for the directories of all runs.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Absent if nothing can be mounted here; that fails instead if nothing may be left out.
    fn below(bench: &Bench) -> Option<Self> {
        let place = bench.data.path().join("runs");
        std::fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&place).output().unwrap();
        if mounted.status.success() {
            return Some(Self(place));
        }
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "no disk can be mounted: {mounted:?}");
        eprintln!("SKIPPED: no disk can be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills what is left of a disk.
fn fill(place: &Path) {
    let mut file = std::fs::File::create(place.join("full")).unwrap();
    let full = (0..10_000).find_map(|_| std::io::Write::write_all(&mut file, &[b'x'; 1_024]).err());
    assert_eq!(full.unwrap().kind(), std::io::ErrorKind::StorageFull);
}

fn directory(bench: &Bench, handle: &RunHandle) -> AttemptDirectory {
    AttemptDirectory::of(&bench.data.path().join("runs"), handle.run(), handle.ordinal().unwrap())
}

fn kept(bench: &Bench, handle: &RunHandle) -> ExitRecord {
    let path = directory(bench, handle).exit_record();
    ExitRecord::read(&path, handle.run(), handle.attempt()).unwrap().unwrap()
}

#[tokio::test]
async fn output_that_fills_the_disk_does_not_cost_the_exit_code() {
    let bench = Bench::shimmed().await;
    let Some(_disk) = SmallDisk::below(&bench) else { return };
    let handle = bench.sh(&format!("head -c {OUTPUT_BYTES} /dev/zero; exit 7")).await;
    let end = within_a_minute("it has ended", handle.wait()).await.unwrap();
    let lost = failure(&end);
    assert_eq!(lost.kind, FailureKind::OutputLost);
    assert!(lost.message.ends_with("ended with code 7"), "{}", lost.message);
    let facts = &lost.diagnostics.facts;
    assert_eq!((facts["exit_status"].as_str(), facts["stdout_bytes"].as_str()), ("code 7", OUTPUT_BYTES));
    let record = kept(&bench, &handle);
    assert_eq!(record.status, ExitStatus::Code(7));
    let left_out = record.left_out.unwrap().stdout_bytes;
    let on_disk = directory(&bench, &handle).kept_bytes(tachograph_engine::domain::Stream::Stdout).unwrap();
    assert_eq!((left_out + on_disk).to_string(), OUTPUT_BYTES);
    assert!(left_out > 0 && !directory(&bench, &handle).path().join("exit.room").exists());
}

#[tokio::test]
async fn a_disk_that_the_run_filled_otherwise_takes_the_exit_record_all_the_same() {
    let bench = Bench::shimmed().await;
    let Some(_disk) = SmallDisk::below(&bench) else { return };
    let handle =
        bench.sh(&format!("head -c {OUTPUT_BYTES} /dev/zero > $TACHO_RUN_DIR/core 2> /dev/null; exit 7")).await;
    let end = within_a_minute("it has ended", handle.wait()).await.unwrap();
    let exit = exit(&end);
    assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(7), Witness::Waited));
    assert!(kept(&bench, &handle).is_complete());
}

/// The supervisor is gone when the disk gets full; the next one follows the shim, or comes when that is gone, too.
#[tokio::test]
async fn an_exit_on_a_full_disk_is_found_by_the_next_supervisor() {
    for before in [true, false] {
        let bench = Bench::under(by_shims(), Arc::new(SystemClock), RunnerOptions::default()).await;
        let Some(disk) = SmallDisk::below(&bench) else { return };
        let (ready, go) = (bench.pipe("ready"), bench.pipe("go"));
        let handle = bench.sh(&format!("echo > {}; read line < {}; exit 7", ready.path(), go.path())).await;
        within_a_minute("it is executed", ready.read_to_end()).await;
        let own = directory(&bench, &handle);
        let shim = Identity::read(&own, handle.run(), handle.attempt()).unwrap().unwrap().shim.unwrap();
        assert_eq!(bench.runner.leave(LONG).await, 1);
        fill(&disk.0);
        let runner =
            ProcessRunner::with_shim(bench.engine.clone(), disk.0.clone(), RunnerOptions::default(), by_shims());
        if before {
            assert_eq!(runner.recover().await.unwrap().adopted, [(handle.run(), handle.attempt())]);
        }
        within_a_minute("it reads its line", go.release()).await;
        until_gone(shim.pid).await;
        if before {
            // Ended, or about to be.
            if let Some(adopted) = runner.handle(handle.run(), handle.attempt()) {
                within_a_minute("the adopted one has ended", adopted.wait()).await.unwrap();
            }
        } else {
            assert_eq!(runner.recover().await.unwrap().exited, [(handle.run(), ExitStatus::Code(7))]);
        }
        let record = bench.record(handle.run()).await;
        let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.clone());
        let Some(Outcome::Exited { exit, .. }) = outcome else { panic!("{before}: {outcome:?}") };
        assert_eq!(exit.status, ExitStatus::Code(7), "{before}");
        assert_eq!(exit.output.unwrap().drain, Drain::Drained, "{before}");
        runner.shutdown(LONG).await;
    }
}

/// A plain child whose identity found no room on the disk, and waits for a line.
async fn unnamed(bench: &Bench) -> Option<(SmallDisk, crate::support::Pipe, RunHandle)> {
    let disk = SmallDisk::below(bench)?;
    fill(&disk.0);
    let (ready, go) = (bench.pipe("ready"), bench.pipe("go"));
    let handle = bench.sh(&format!("echo > {}; read line < {}; exit 7", ready.path(), go.path())).await;
    if handle.pid().is_none() {
        panic!("it was not executed: {:?}", within_a_minute("its end is told", handle.wait()).await);
    }
    within_a_minute("it is executed", ready.read_to_end()).await;
    assert!(!directory(bench, &handle).path().join("identity.json").exists(), "there was room");
    Some((disk, go, handle))
}

#[tokio::test]
async fn a_plain_run_whose_identity_cannot_be_kept_goes_on_and_its_code_is_recorded() {
    let bench = Bench::under(Shim::Off, Arc::new(SystemClock), RunnerOptions::default()).await;
    let Some((_disk, go, handle)) = unnamed(&bench).await else { return };
    within_a_minute("it reads its line", go.release()).await;
    let end = within_a_minute("it has ended", handle.wait()).await.unwrap();
    let exit = exit(&end);
    assert_eq!((&exit.status, exit.witness), (&ExitStatus::Code(7), Witness::Waited));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

/// It was executed, which nothing on disk denies, and nothing there says who it is.
#[test]
fn a_plain_run_without_an_identity_has_an_unknown_end_and_is_named_and_left_alone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let supervisor = runtime();
    let begun = supervisor.block_on(async {
        let bench = Bench::under(Shim::Off, Arc::new(SystemClock), RunnerOptions::default()).await;
        let begun = unnamed(&bench).await?;
        Some((bench, begun))
    });
    let Some((bench, (disk, go, handle))) = begun else { return };
    let (run, process) = (handle.run(), handle.pid().unwrap());
    // All that would look after it is gone, as after a kill.
    drop((handle, supervisor));
    runtime().block_on(async {
        let runner =
            ProcessRunner::with_shim(bench.engine.clone(), disk.0.clone(), RunnerOptions::default(), Shim::Off);
        let report = runner.recover().await.unwrap();
        assert!(report.adopted.is_empty(), "{report:?}");
        let events = bench.events(run).await;
        let [.., Event::Reconciled { finding, detail, .. }, Event::Exited { exit, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((*finding, exit.witness), (Finding::Orphan, Witness::Synthesised));
        assert!(detail.contains(&process.to_string()), "{detail}");
        assert!(matches!(&exit.status, ExitStatus::Unknown { .. }), "{exit:?}");
        // Nobody signalled it: it takes its line, and ends by itself.
        within_a_minute("it reads its line", go.release()).await;
        until_gone(process).await;
        runner.shutdown(LONG).await;
    });
}

#[tokio::test]
async fn a_run_that_takes_its_directory_away_keeps_the_code_that_its_shim_told() {
    let bench = Bench::shimmed().await;
    let handle = bench.sh("rm -rf \"$TACHO_RUN_DIR\"; exit 7").await;
    let end = within_a_minute("it has ended", handle.wait()).await.unwrap();
    let exit = exit(&end);
    assert_eq!((&exit.status, exit.witness, &exit.output), (&ExitStatus::Code(7), Witness::Waited, &None));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}
