//! All runs at a position, from the latest checkpoint on.

use std::sync::Arc;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_engine::domain::{Position, RunRecord, Timestamp};
use tachograph_projections::{CurrentState, Projection};

use super::Dataset;
use crate::error::Error;
use crate::held::{BegunBefore, Strangers};
use crate::machine::{LastWriter, WriterSearch};
use crate::replay;

/// All runs at a position, with what else the entries up to there tell.
#[derive(Debug, Clone)]
pub struct Current {
    /// The runs.
    pub state: CurrentState,
    /// When the last entry was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The last writer by then.
    pub last_writer: Option<LastWriter>,
    /// Runs of which entries can be read, but not the creation: they are not in the state.
    pub begun_before: Vec<BegunBefore>,
}

/// All runs at a position.
pub(crate) struct AllRuns {
    /// The runs.
    pub(crate) state: CurrentState,
    /// Position of the checkpoint that was used; zero if none was.
    pub(crate) began_at: Position,
    /// When the last entry up to there was recorded.
    pub(crate) recorded_at: Option<Timestamp>,
    /// Runs of which entries can be read, but not the creation: they are not in the state.
    pub(crate) begun_before: Vec<BegunBefore>,
}

impl Dataset {
    /// All runs as they were at a position.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub async fn current(&self, at: Position) -> Result<Current, Error> {
        let state = self.saved(at).await;
        let since = state.position();
        let recorded_at = if since == Position::ZERO { None } else { self.recorded_at(since).await? };
        let mut current = Current { state, recorded_at, last_writer: None, begun_before: Vec::new() };
        let mut strangers = Strangers::default();
        let mut writers = WriterSearch::default();
        self.visit(since, at, |entry| {
            current.state.apply(&entry);
            if entry.run().is_some_and(|run| current.state.run(run).is_none()) {
                strangers.see(&entry);
            }
            current.recorded_at = Some(entry.recorded_at);
            writers.see(&entry);
            true
        })
        .await?;
        current.begun_before = strangers.into_vec();
        current.last_writer = match writers.found() {
            Some(writer) => Some(writer),
            None => self.last_writer_by(at).await?,
        };
        Ok(current)
    }

    /// The fold of all runs at the latest checkpoint up to a position; the empty one if there is none to go by.
    pub(crate) async fn saved(&self, at: Position) -> CurrentState {
        let begun = match &self.checkpoints {
            Some(checkpoints) => replay::begin(&*self.reader, &**checkpoints, at).await,
            None => replay::first(&*self.reader).await,
        };
        begun.unwrap_or_else(|error| {
            tracing::debug!(%error, "no checkpoint is used");
            CurrentState::empty()
        })
    }

    /// All runs at a position.
    pub(crate) async fn all_runs(&self, at: Position) -> Result<AllRuns, Error> {
        let mut state = self.saved(at).await;
        let began_at = state.position();
        let mut strangers = Strangers::default();
        self.visit(began_at, at, |entry| {
            state.apply(&entry);
            if entry.run().is_some_and(|run| state.run(run).is_none()) {
                strangers.see(&entry);
            }
            true
        })
        .await?;
        let recorded_at = self.recorded_at(at).await?;
        Ok(AllRuns { state, began_at, recorded_at, begun_before: strangers.into_vec() })
    }

    /// Where there are checkpoints of all runs, sound or not, in order.
    pub(crate) fn saved_positions(&self) -> Vec<Position> {
        let saved = |checkpoints: &Arc<FileCheckpoints>| checkpoints.saved(CurrentState::NAME, CurrentState::VERSION);
        self.checkpoints.as_ref().map(saved).unwrap_or_default()
    }

    /// The open runs at the latest checkpoint of the engine up to a position, and where that is; none at the beginning if
    /// there is no checkpoint to go by.
    pub(crate) async fn saved_open(&self, at: Position) -> (Position, Vec<RunRecord>) {
        let nothing = (Position::ZERO, Vec::new());
        let begun = match &self.checkpoints {
            Some(checkpoints) => replay::begin_open(&*self.reader, &**checkpoints, at).await,
            None => replay::first_open(&*self.reader).await,
        };
        begun.unwrap_or_else(|error| {
            tracing::debug!(%error, "no checkpoint is used");
            nothing
        })
    }
}
