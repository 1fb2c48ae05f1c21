//! A data directory, opened for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_adapters::process::{ProcessRunner, RecoveryReport, RunnerError, RunnerOptions};
use tachograph_engine::domain::Position;
use tachograph_engine::ports::{CheckpointStore, JournalError};
use tachograph_engine::shell::{Engine, OpenReport, Options, Parts, SubmitError};
use tachograph_projections::{CurrentState, Projection, Until};

use crate::dataset::RUNS_DIR;
use crate::error::Error;
use crate::replay;

/// Entries between two checkpoints of all runs: reading so many takes a fraction of a second.
const CHECKPOINT_EVERY: u64 = 100_000;
/// What is left of attempts gets this long to end.
const CLOSE_BUDGET: Duration = Duration::from_secs(5);

/// The one writer of a data directory, with a runner for commands.
#[derive(Debug)]
pub struct Writer {
    /// Answers commands.
    pub engine: Engine,
    /// Executes command lines.
    pub runner: ProcessRunner,
    /// What opening found.
    pub opened: OpenReport,
    /// What became of the runs that the writer before left open.
    pub recovered: RecoveryReport,
    /// Where folds are saved.
    checkpoints: Arc<FileCheckpoints>,
    pub(crate) checkpoint_every: u64,
}

impl Writer {
    /// Opens a data directory, which is made if it does not exist, and records what became of runs that were left open.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`]: it is locked by another writer, read-only, no directory, damaged, or of a newer format.
    pub async fn open(data: &Path) -> Result<Self, Error> {
        let journal = open_journal(data.to_owned()).await?;
        let clock = Arc::new(SystemClock);
        let checkpoints = Arc::new(FileCheckpoints::open(data));
        let parts = Parts {
            journal: Box::new(journal),
            clock: clock.clone(),
            ids: Arc::new(UlidSource::default()),
            host: Arc::new(LocalHost::new(clock)),
            checkpoints: Some(checkpoints.clone() as Arc<dyn CheckpointStore>),
        };
        let (engine, opened) = Engine::open(parts, Options::default()).await?;
        let runner = ProcessRunner::new(engine.clone(), data.join(RUNS_DIR), RunnerOptions::default());
        match runner.recover().await {
            Ok(recovered) => {
                Ok(Self { engine, runner, opened, recovered, checkpoints, checkpoint_every: CHECKPOINT_EVERY })
            }
            Err(error) => {
                // The first error is the one to tell; the lock must be given back either way.
                let _ = engine.close().await;
                Err(error.into())
            }
        }
    }

    /// What nobody should overlook about how the directory was found.
    pub fn alarm(&self) -> Option<String> {
        let (position, _) = self.opened.opening.missing_up_to?;
        Some(format!("warning: acknowledged entries up to position {position} are missing: the journal was cut"))
    }

    /// What else a person may want to know about how the directory was found, one sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(torn) = &self.opened.opening.torn {
            remarks.push(format!("cut an incomplete write of {} bytes off {}", torn.bytes, torn.file));
        }
        let exited = self.recovered.exited.iter().map(|(run, status)| format!("run {run} was left open: {status}"));
        let failed =
            self.recovered.failed.iter().map(|(run, kind)| format!("run {run} was left open: {}", kind.name()));
        let alone = self.recovered.left_alone.iter().map(|(run, why)| format!("run {run} is still open: {why}"));
        remarks.extend(exited.chain(failed).chain(alone));
        remarks
    }

    /// Ends what is left of attempts that were asked to end, records that the journal was closed, and gives the directory
    /// back.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`]; what was acknowledged is safe nevertheless.
    pub async fn close(self) -> Result<(), Error> {
        self.runner.shutdown(CLOSE_BUDGET).await;
        if let Err(error) = self.save_current_state().await {
            tracing::warn!(%error, "no checkpoint of all runs is saved; reading them takes longer");
        }
        Ok(self.engine.close().await?)
    }

    /// Saves the fold of all runs, if enough entries came since the last one: what `tacho runs` begins at.
    async fn save_current_state(&self) -> Result<(), JournalError> {
        let reader = &**self.engine.reader();
        let saved = self.checkpoints.latest(CurrentState::NAME, CurrentState::VERSION, None).await?;
        let since = saved.map_or(Position::ZERO, |checkpoint| checkpoint.position);
        if reader.head().position.0.saturating_sub(since.0) < self.checkpoint_every {
            return Ok(());
        }
        let replayed = replay::current_state(reader, Some(&*self.checkpoints), Until::End).await?;
        replay::save(&replayed.state, reader, &*self.checkpoints).await?;
        Ok(())
    }
}

/// Reading and checking a long journal may take a while and blocks.
async fn open_journal(data: PathBuf) -> Result<FileJournal, Error> {
    let open = tokio::task::spawn_blocking(move || FileJournal::open(&data, JournalOptions::default()));
    match open.await {
        Ok(journal) => Ok(journal?),
        Err(error) => Err(Error::internal(format!("opening the journal was interrupted: {error}"))),
    }
}

impl From<RunnerError> for Error {
    fn from(error: RunnerError) -> Self {
        match error {
            RunnerError::Refused { refusal } => Self::Refused(refusal),
            RunnerError::NotSubmitted(error) => error.into(),
            RunnerError::Journal(error) => Self::Journal(error),
            RunnerError::NoCommand { .. }
            | RunnerError::UnderWay { .. }
            | RunnerError::ShuttingDown
            | RunnerError::Abandoned { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Journal(error) => Self::Journal(error),
            SubmitError::Closed => Self::Journal(JournalError::Closed),
            SubmitError::QueueFull | SubmitError::Contended => Self::internal(error.to_string()),
        }
    }
}
