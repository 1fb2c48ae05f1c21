//! Shared parts of the benchmarks.
//!
//! Each benchmark prints ratios against a baseline that is measured in the same run, in turns with it: on a shared
//! machine only those carry over. None of them is a test; none fails on a slow machine.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Exit, ExitStatus, RunId, RunSpec, RunnerId, StartMode, Witness,
    Workload,
};
use tachograph_engine::ports::{Clock, Journal};
use tachograph_engine::shell::{Engine, OpenReport, Options, Parts};
use tokio::sync::{mpsc, oneshot};

pub mod eventful;
pub mod terminal;
pub mod whole_process;

/// Any error, with its text.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A number from the environment, else its default.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Opens an engine on a data directory, as a supervisor would.
///
/// # Errors
///
/// Whatever opening the journal says.
pub async fn open(data: &Path) -> Result<(Engine, OpenReport), Failure> {
    let journal = FileJournal::open(data, JournalOptions::default())?;
    open_over(data, Box::new(journal), Arc::new(SystemClock)).await
}

/// The same over a journal that is open, by another clock.
async fn open_over(
    data: &Path,
    journal: Box<dyn Journal>,
    clock: Arc<dyn Clock>,
) -> Result<(Engine, OpenReport), Failure> {
    let parts = Parts {
        journal,
        host: Arc::new(LocalHost::new(clock.clone())),
        clock,
        ids: Arc::new(UlidSource::default()),
        checkpoints: Some(Arc::new(FileCheckpoints::open(data))),
    };
    Ok(Engine::open(parts, Options::default()).await?)
}

/// The life of one run: created, started, exited. Three commands, each acknowledged before the next is submitted.
///
/// # Errors
///
/// Whatever the engine answers instead of an acknowledgement.
pub async fn live(engine: &Engine, number: u64) -> Result<(), Failure> {
    let run = RunId::from_ulid(engine.mint());
    let claim = Claim { run, attempt: AttemptId::from_ulid(engine.mint()), runner: RunnerId::from("bench-host/4711") };
    let spec = RunSpec {
        labels: [("suite".to_owned(), "bench".to_owned()), ("number".to_owned(), number.to_string())].into(),
        workload: Workload::Command {
            argv: vec!["/usr/bin/make".to_owned(), "-j2".to_owned(), "check".to_owned()],
            cwd: Some("/srv/build/checkout".to_owned()),
        },
        ..RunSpec::default()
    };
    let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
    let start = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode: StartMode::Fresh };
    for action in [Action::Create { spec: Arc::new(spec) }, start, Action::Exit { claim: claim.clone(), exit }] {
        let command = engine.command(run, Actor::new(ActorKind::Supervisor, "bench"), action);
        let answer = engine.submit(command).await?;
        if answer.outcome.written().is_none() {
            return Err(format!("not written: {:?}", answer.outcome).into());
        }
    }
    Ok(())
}

/// A journal of so many events: lives of runs, 1,024 at a time. It is closed afterwards.
///
/// # Errors
///
/// Whatever the engine says.
pub async fn fill(data: &Path, events: u64) -> Result<(), Failure> {
    const TASKS: u64 = 1_024;
    let (engine, _) = open(data).await?;
    let runs = events.div_ceil(3);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in (task..runs).step_by(TASKS as usize) {
                    live(&engine, number).await?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(engine.close().await?)
}

/// Appends to one file and syncs, and nothing else: what the disk itself can do.
pub struct Bare(File);

impl Bare {
    /// A new file.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Ok(Self(File::create(path)?))
    }

    /// One write, one fdatasync.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes)?;
        Ok(self.0.sync_data()?)
    }
}

/// Some bytes, and whom to tell that they are durable.
pub type Append = (Arc<[u8]>, oneshot::Sender<()>);

/// A committer that decides nothing: callers hand it bytes, it appends what is queued with one sync and answers.
///
/// # Errors
///
/// The operating system's, when it is started.
pub fn bare_committer(path: &Path) -> Result<mpsc::Sender<Append>, Failure> {
    let mut file = Bare::create(path)?;
    let (sender, mut receiver) = mpsc::channel::<Append>(4_096);
    std::thread::Builder::new().name("bare-committer".to_owned()).spawn(move || {
        let mut frame = Vec::new();
        while let Some(first) = receiver.blocking_recv() {
            let mut batch = vec![first];
            while let Ok(next) = receiver.try_recv() {
                batch.push(next);
            }
            frame.clear();
            batch.iter().for_each(|(bytes, _)| frame.extend_from_slice(bytes));
            if file.append(&frame).is_err() {
                return;
            }
            batch.into_iter().for_each(|(_, reply)| _ = reply.send(()));
        }
    })?;
    Ok(sender)
}

/// How long something took.
///
/// # Errors
///
/// What the measured work says.
pub fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let begun = Instant::now();
    let value = work()?;
    Ok((value, begun.elapsed()))
}

/// The middle of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
