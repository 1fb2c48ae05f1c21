//! Whatever the disk does, and whenever: what the engine acknowledged is there after opening again, every command can
//! be repeated, and none is there twice (invariants 2 and 5).

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Command, Position, StartMode, Version};
use tachograph_engine::ports::JournalError;
use tachograph_engine::shell::{Engine, OpenReport, Options, SubmitError};
use tachograph_tests::Supervisor;
use tachograph_tests::place::{in_memory, memory_parts};
use tachograph_tests::supervisor::code;

type Acknowledged = (Position, Version);

async fn open(disk: &SimulatedDisk) -> Result<(Supervisor, OpenReport), JournalError> {
    // Small segments, so that their change is among what is interrupted.
    let options = JournalOptions { segment_bytes: 4 << 10, ..JournalOptions::default() };
    let mut parts = memory_parts(1 + disk.syncs());
    parts.journal = Box::new(FileJournal::open_on(Arc::new(disk.clone()), Path::new("/data"), options)?);
    let (engine, report) = Engine::open(parts, Options::default()).await?;
    Ok((Supervisor { engine }, report))
}

/// The same commands for every disk: lives of runs that take a name one after the other.
async fn script() -> Vec<Command> {
    let supervisor = Supervisor { engine: in_memory(64).await };
    let mut commands = Vec::new();
    for _ in 0..8 {
        let creation = supervisor.creation(Some("build"));
        let claim = supervisor.claim(creation.run, "r1");
        let next = supervisor.claim(creation.run, "r2");
        let restart = StartMode::Restart { previous: claim.attempt };
        commands.push(creation);
        commands.push(supervisor.starting(&claim, StartMode::Fresh));
        commands.push(supervisor.exiting(&claim, code(1)));
        commands.push(supervisor.starting(&next, restart));
        commands.push(supervisor.exiting(&next, code(0)));
    }
    commands
}

/// Submits in small batches until something fails: what was acknowledged, in the order of the commands.
async fn submit(supervisor: &Supervisor, commands: &[Command]) -> (Vec<Acknowledged>, Option<SubmitError>) {
    let mut acknowledged = Vec::new();
    for batch in commands.chunks(3) {
        let pending: Vec<_> =
            batch.iter().map_while(|command| supervisor.engine.try_submit(command.clone()).ok()).collect();
        for pending in pending {
            match pending.await {
                Ok(answer) => acknowledged.push(answer.outcome.written().expect("the script is sound")),
                Err(error) => return (acknowledged, Some(error)),
            }
        }
    }
    (acknowledged, None)
}

/// Opens what is left, and repeats all commands: the acknowledged ones get their first answers.
async fn assert_kept(disk: &SimulatedDisk, commands: &[Command], acknowledged: &[Acknowledged], context: &str) {
    let (supervisor, report) = open(disk).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(report.opening.missing_up_to, None, "{context}");
    let (again, error) = submit(&supervisor, commands).await;
    assert!(error.is_none(), "{context}: {error:?}");
    assert_eq!(&again[..acknowledged.len()], acknowledged, "{context}");
    let entries = supervisor.entries().await;
    let ids: Vec<_> = entries.iter().filter_map(|entry| entry.command_id()).collect();
    assert_eq!(ids, commands.iter().map(|command| command.id).collect::<Vec<_>>(), "{context}: each once, in order");
    assert!(entries.iter().zip(1..).all(|(entry, position)| entry.position.0 == position), "{context}");
    supervisor.engine.close().await.unwrap();
}

#[tokio::test]
async fn the_power_goes_off_at_every_sync() {
    let commands = script().await;
    let mut prefixes = HashSet::new();
    for sync in 1.. {
        let mut finished = false;
        for last_sync_holds in [false, true] {
            let faults = Faults { power_off_at_sync: Some(sync), last_sync_holds, ..Faults::default() };
            let disk = SimulatedDisk::with_faults(faults);
            let (acknowledged, error) = match open(&disk).await {
                Ok((supervisor, _)) => submit(&supervisor, &commands).await,
                Err(error) => (Vec::new(), Some(error.into())),
            };
            finished = error.is_none();
            prefixes.insert(acknowledged.len());
            for seed in 0..3 {
                let context = format!("sync {sync}, holds {last_sync_holds}, seed {seed}");
                assert_kept(&disk.after_power_cut(seed), &commands, &acknowledged, &context).await;
            }
            assert_kept(&disk.durable(), &commands, &acknowledged, &format!("sync {sync}, durable only")).await;
        }
        if finished {
            break;
        }
    }
    assert!(prefixes.len() > 10, "it went off at many places: {prefixes:?}");
}

#[tokio::test]
async fn a_sync_fails_once_and_is_never_retried_as_if_it_had_worked() {
    let commands = script().await;
    for sync in 1.. {
        let disk = SimulatedDisk::with_faults(Faults { fail_sync: Some(sync), ..Faults::default() });
        let (acknowledged, error) = match open(&disk).await {
            Ok((supervisor, _)) => {
                let (acknowledged, error) = submit(&supervisor, &commands).await;
                if error.is_some() {
                    let late = supervisor.engine.submit(supervisor.creation(None)).await;
                    assert!(matches!(late, Err(SubmitError::Journal(_))), "sync {sync}: {late:?}");
                }
                (acknowledged, error)
            }
            Err(error) => (Vec::new(), Some(error.into())),
        };
        assert_kept(&disk.after_power_cut(sync), &commands, &acknowledged, &format!("failed sync {sync}")).await;
        if error.is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn the_disk_fills_up_in_the_middle_of_a_commit() {
    let commands = script().await;
    let mut prefixes = HashSet::new();
    for space_bytes in (0..).step_by(97) {
        let disk = SimulatedDisk::with_faults(Faults { space_bytes: Some(space_bytes), ..Faults::default() });
        let context = format!("{space_bytes} bytes");
        let (acknowledged, error) = match open(&disk).await {
            Ok((supervisor, _)) => {
                let (acknowledged, error) = submit(&supervisor, &commands).await;
                if let Some(error) = &error {
                    assert_eq!((error.code(), error.http_status()), ("disk_full", 503), "{context}");
                }
                (acknowledged, error)
            }
            Err(error) => {
                assert_eq!(error.code(), "disk_full", "{context}");
                (Vec::new(), Some(error.into()))
            }
        };
        prefixes.insert(acknowledged.len());
        // Room is made, and the place opened again.
        disk.set_faults(Faults::default());
        assert_kept(&disk.after_kill(), &commands, &acknowledged, &context).await;
        if error.is_none() {
            break;
        }
    }
    assert!(prefixes.len() > 10, "it was full at many places: {prefixes:?}");
}
