//! What became of one snapshot, out of a journal.

use tachograph_engine::domain::{Entry, Event, Position, RunId, RunRecord, SnapshotId};
use tachograph_engine::ports::JournalError;
use tachograph_projections::{Projection, TimerStory};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::snapshot_problem::SnapshotProblem;
use crate::snapshot_search::Meant;

/// The story of one snapshot, with its run.
#[derive(Debug, Clone)]
pub struct Story {
    /// The story.
    pub timer: TimerStory,
    /// The run, as far as its entries could be read.
    pub record: Option<RunRecord>,
}

impl Story {
    /// The name of the run.
    pub fn name(&self) -> Option<&str> {
        self.record.as_ref()?.run.spec.name.as_deref()
    }
}

impl Dataset {
    /// The story of the snapshot that is meant; of a run, of the one that was armed last.
    ///
    /// # Errors
    ///
    /// As [`resolve_snapshot`](Self::resolve_snapshot); [`SnapshotProblem::NeverArmed`] for a run without a snapshot, and
    /// [`JournalError::Archived`] instead if some of its entries are archived.
    pub async fn story(&self, text: &str) -> Result<Story, Error> {
        let (run, snapshot) = match self.resolve_snapshot(text).await? {
            Meant::Snapshot { run, snapshot } => (run, Some(snapshot)),
            Meant::Run(run) => (run, None),
        };
        let own = self.own(run).await?;
        let base = self.reader().base(run).await?;
        let snapshot = match (snapshot.or_else(|| last_armed(&own)), &base) {
            (Some(snapshot), _) => snapshot,
            // It may have been armed where nothing can be read.
            (None, Some(base)) => return Err(self.archived(base.last)),
            (None, None) => return Err(SnapshotProblem::NeverArmed { run }.into()),
        };
        let of_own = TimerStory::of(run, snapshot).folded(&own);
        let record = own.iter().fold(base, RunRecord::fold);
        let timer = match self.whole(run, snapshot, &own, &of_own).await {
            Ok(timer) => timer,
            // Damage elsewhere must not hide what the run's own entries say.
            Err(JournalError::Damaged { .. }) => of_own,
            Err(error) => return Err(error.into()),
        };
        Ok(Story { timer, record })
    }

    /// The story with the facts about the journal that fall within it.
    async fn whole(
        &self,
        run: RunId,
        snapshot: SnapshotId,
        own: &[Entry],
        of_own: &TimerStory,
    ) -> Result<TimerStory, JournalError> {
        let after = own.first().map_or(Position::ZERO, |first| Position(first.position.0.saturating_sub(1)));
        let is_open = of_own.fate().is_none_or(|fate| fate.is_open());
        let last = own.last().filter(|_| !is_open).map(|last| last.position);
        let up_to = last.unwrap_or_else(|| self.reader().head().position);
        let mut timer = TimerStory::of(run, snapshot);
        self.visit(after, up_to, |entry| {
            timer.apply(&entry);
            true
        })
        .await?;
        Ok(timer)
    }
}

/// The snapshot that was armed last.
fn last_armed(own: &[Entry]) -> Option<SnapshotId> {
    own.iter().rev().flat_map(|entry| entry.events()).find_map(|event| match event {
        Event::SnapshotScheduled { snapshot, .. } => Some(*snapshot),
        _ => None,
    })
}
