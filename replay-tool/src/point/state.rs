//! Which runs were open at a point, and what was armed.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_engine::domain::{ArmedTimer, Entry, Event, Position, RunId, RunRecord, Timestamp, timers_of};

use crate::dataset::{AllRuns, Dataset};
use crate::error::Error;
use crate::held::{BegunBefore, Strangers};

/// Runs that were started again after a checkpoint are read on their own as long as they are fewer than one in so many
/// entries; else reading all entries takes less time.
const ENTRIES_PER_LOOKUP: u64 = 64;

/// A fleet as it was at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetState {
    /// The position.
    pub position: Position,
    /// When the entry there was recorded; absent before the first entry.
    pub recorded_at: Option<Timestamp>,
    /// The runs that had not ended by then, by id; with [`everything_at`](Dataset::everything_at) the ended ones, too.
    pub runs: Vec<RunRecord>,
    /// What was armed, by due time and then key. Where in the journal a timer was armed is not told here.
    pub timers: Vec<ArmedTimer>,
    /// Runs of which entries up to there can be read, but not the creation, by id: those that have not ended as far as
    /// can be read, or all as with the runs. What they were, and what was armed for them, is not known.
    pub begun_before: Vec<BegunBefore>,
    /// Position of the checkpoint that was used; zero if none was.
    pub began_at: Position,
}

impl FleetState {
    fn of(position: Position, recorded_at: Option<Timestamp>, runs: Vec<RunRecord>, began_at: Position) -> Self {
        let mut timers: Vec<ArmedTimer> = runs.iter().flat_map(timers_of).collect();
        timers.sort_by_key(|timer| (timer.due, timer.key));
        Self { position, recorded_at, runs, timers, begun_before: Vec::new(), began_at }
    }

    fn beside(self, begun_before: Vec<BegunBefore>) -> Self {
        Self { begun_before, ..self }
    }

    /// The name of the run that a timer belongs to.
    pub fn name_of(&self, timer: &ArmedTimer) -> Option<&str> {
        let found = self.runs.binary_search_by_key(&timer.key.run, |record| record.run.id).ok()?;
        self.runs[found].run.spec.name.as_deref()
    }
}

/// The runs that are open, folded on from a checkpoint that holds no others.
#[derive(Debug, Default)]
struct OpenFold {
    /// By id; those that ended since the checkpoint stay, since they may be started again.
    known: BTreeMap<RunId, RunRecord>,
    /// Runs that had ended before the checkpoint and are open again.
    reopened: BTreeSet<RunId>,
    /// Runs that are met without their creation.
    strangers: Strangers,
    recorded_at: Option<Timestamp>,
}

impl OpenFold {
    fn see(&mut self, entry: &Entry) {
        self.recorded_at = Some(entry.recorded_at);
        let Some(run) = entry.run() else { return };
        let before = self.known.remove(&run);
        let is_strange = before.is_none();
        match RunRecord::fold(before, entry) {
            Some(record) => drop(self.known.insert(run, record)),
            None if is_strange => {
                self.strangers.see(entry);
                self.see_strange(run, entry.events());
            }
            None => {}
        }
    }

    /// An entry about a run that had ended before the checkpoint.
    fn see_strange(&mut self, run: RunId, events: &[Event]) {
        for event in events {
            match event {
                Event::Started { .. } => drop(self.reopened.insert(run)),
                Event::Exited { .. } | Event::Failed { .. } | Event::Destroyed { .. } => {
                    self.reopened.remove(&run);
                }
                Event::Created { .. }
                | Event::Waiting { .. }
                | Event::SnapshotScheduled { .. }
                | Event::SnapshotCanceled { .. }
                | Event::SnapshotDispatched { .. }
                | Event::SnapshotTaken { .. }
                | Event::SnapshotFailed { .. }
                | Event::RunnerDisconnected { .. }
                | Event::ExitAmended { .. }
                | Event::Reconciled { .. } => {}
            }
        }
    }
}

impl Dataset {
    /// The runs that were open at a position, and their timers.
    ///
    /// Begins at the latest checkpoint of the engine up to there that belongs to this history. Such a checkpoint holds
    /// open runs only: one that had ended by then and was started again is read by way of its own entries.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn open_at(&self, at: Position) -> Result<FleetState, Error> {
        let (began_at, open) = self.saved_open(at).await;
        let fold = self.fold_open(began_at, open, at).await?;
        if began_at != Position::ZERO && fold.reopened.len() as u64 > at.0 / ENTRIES_PER_LOOKUP {
            let fold = self.fold_open(Position::ZERO, Vec::new(), at).await?;
            return self.finish_open(at, Position::ZERO, fold).await;
        }
        self.finish_open(at, began_at, fold).await
    }

    async fn fold_open(&self, since: Position, open: Vec<RunRecord>, at: Position) -> Result<OpenFold, Error> {
        let known = open.into_iter().map(|record| (record.run.id, record)).collect();
        let mut fold = OpenFold { known, ..OpenFold::default() };
        self.visit(since, at, |entry| {
            fold.see(&entry);
            true
        })
        .await?;
        Ok(fold)
    }

    async fn finish_open(&self, at: Position, began_at: Position, fold: OpenFold) -> Result<FleetState, Error> {
        let OpenFold { mut known, reopened, strangers, recorded_at } = fold;
        let mut begun_before = strangers.into_vec();
        // The others had ended before the checkpoint.
        begun_before
            .retain(|begun| !begun.has_ended() && (began_at == Position::ZERO || reopened.contains(&begun.run)));
        for run in reopened {
            match self.record(run, at).await {
                Ok(record) => {
                    begun_before.retain(|begun| begun.run != run);
                    known.insert(run, record);
                }
                // Its beginning is not held, or lies in what is damaged.
                Err(Error::NotYet { .. } | Error::UnknownRun { .. } | Error::BegunBefore { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let recorded_at = match recorded_at {
            None => self.recorded_at(at).await?,
            known => known,
        };
        let open = known.into_values().filter(|record| !record.run.is_ended()).collect();
        Ok(FleetState::of(at, recorded_at, open, began_at).beside(begun_before))
    }

    /// All runs at a position, ended ones included, and what was armed: takes longer the more runs there ever were.
    ///
    /// # Errors
    ///
    /// As [`open_at`](Self::open_at).
    pub async fn everything_at(&self, at: Position) -> Result<FleetState, Error> {
        let AllRuns { state, began_at, recorded_at, begun_before } = self.all_runs(at).await?;
        Ok(FleetState::of(at, recorded_at, state.into_records().collect(), began_at).beside(begun_before))
    }

    /// One run at a position with its timers, by way of its own entries alone.
    ///
    /// # Errors
    ///
    /// [`Error::NotYet`] if it was created later, [`Error::UnknownRun`] if never, or as [`open_at`](Self::open_at).
    pub async fn run_at(&self, run: RunId, at: Position) -> Result<FleetState, Error> {
        let record = self.record(run, at).await?;
        Ok(FleetState::of(at, self.recorded_at(at).await?, vec![record], Position::ZERO))
    }
}
