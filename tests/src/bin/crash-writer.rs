//! Appends from several tasks and prints a line for every acknowledged command, until it is killed.
//!
//! `crash-writer DATA-DIRECTORY` prints, as soon as the answer is there: `task run command position version`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test harness fails by panicking")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Command, StartMode};
use tachograph_engine::shell::{Engine, Options, Parts};
use tachograph_tests::Supervisor;
use tachograph_tests::supervisor::{Expect, code};

const TASKS: u32 = 8;

#[tokio::main]
async fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("usage: crash-writer DATA-DIRECTORY"));
    // Small segments, a busy anchor and frequent checkpoints: so that a kill meets all of them.
    let journal = JournalOptions {
        segment_bytes: 32 << 10,
        anchor_interval: Some(Duration::from_millis(2)),
        ..JournalOptions::default()
    };
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        journal: Box::new(FileJournal::open(&directory, journal).expect("the journal opens")),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: Some(Arc::new(FileCheckpoints::open(&directory))),
    };
    let options = Options { checkpoint_every: 50, ..Options::default() };
    let (engine, _) = Engine::open(parts, options).await.expect("the engine opens");
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(write(task, Supervisor::of(&engine)))).collect();
    for task in tasks {
        task.await.expect("writes until it is killed");
    }
}

async fn write(task: u32, supervisor: Supervisor) {
    for round in 0_u32.. {
        // Every other run gets a name that the task uses again and again; one that is left open keeps its own.
        let name = format!("job-{task}-{}", std::process::id());
        let creation = supervisor.creation((round % 2 == 0).then_some(name.as_str()));
        let claim = supervisor.claim(creation.run, "r1");
        acknowledged(task, &supervisor, creation).await;
        acknowledged(task, &supervisor, supervisor.starting(&claim, StartMode::Fresh)).await;
        acknowledged(task, &supervisor, supervisor.exiting(&claim, code(0))).await;
    }
}

async fn acknowledged(task: u32, supervisor: &Supervisor, command: Command) {
    let (run, id) = (command.run, command.id);
    let (position, version) = supervisor.submit(command).await.expect_written();
    let line = format!("{task} {run} {id} {position} {version}\n");
    // One write of less than a pipe's atomic size: the reader gets whole lines only.
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).expect("somebody reads");
}
