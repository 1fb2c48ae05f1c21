//! Where the entries of one run are.

use std::ops::ControlFlow;

use tachograph_engine::domain::{Position, RunId};

use super::halt::{Halt, Progress, Watch};
use crate::dataset::Dataset;

/// Entries that are read at a time at most while a run's entries lie close together.
const STRIDE_MAX: u64 = 4_096;
/// One of so many entries must be the run's own for that.
const DENSE: u64 = 4;

/// The positions of all entries about one run, as far as they can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    run: RunId,
    positions: Vec<Position>,
    /// The end of the journal when it was looked at.
    head: Position,
}

impl Track {
    pub(crate) fn of(run: RunId) -> Self {
        Self { run, positions: Vec::new(), head: Position::ZERO }
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// In order.
    pub(crate) fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// How many of them are at or before a position.
    pub(crate) fn count_up_to(&self, at: Position) -> usize {
        self.positions.partition_point(|position| *position <= at)
    }

    /// Takes in what was recorded since, by way of the back pointers.
    ///
    /// # Errors
    ///
    /// [`Halt`]; then it is as it was.
    pub(crate) async fn refresh(&mut self, dataset: &Dataset, watch: Watch<'_>) -> Result<(), Halt> {
        let head = dataset.reader().head().position;
        if head == self.head {
            return Ok(());
        }
        if dataset.damage().is_some() {
            // Pointers lead into what cannot be read; this goes through all that can.
            let history = dataset.reader().history(self.run).await?;
            self.positions = history.iter().map(|entry| entry.position).collect();
        } else {
            let known = self.positions.last().copied().unwrap_or(Position::ZERO);
            let added = walk(dataset, self.run, known, head, watch).await?;
            self.positions.extend(added.into_iter().rev());
        }
        self.head = head;
        Ok(())
    }
}

/// The run's positions after a known one, the last first.
async fn walk(
    dataset: &Dataset,
    run: RunId,
    known: Position,
    head: Position,
    watch: Watch<'_>,
) -> Result<Vec<Position>, Halt> {
    let last = dataset.reader().run_head(run).await?.map(|head| head.last);
    let (mut found, mut next, mut stride) = (Vec::new(), last, 1);
    while let Some(at) = next.filter(|at| *at > known) {
        let start = Position(at.0.saturating_sub(stride)).max(known);
        let before = found.len();
        let mut own = Vec::new();
        let visitor = |entry: tachograph_engine::domain::Entry| {
            if entry.run() == Some(run) {
                own.push((entry.position, entry.previous));
            }
            true
        };
        dataset.visit(start, at, visitor).await?;
        let reached = next;
        // Only what is linked counts: a command that was refused before the run existed is no part of its history.
        for (position, previous) in own.into_iter().rev().filter(|(position, _)| Some(*position) <= reached) {
            if next == Some(position) {
                found.push(position);
                next = previous.filter(|previous| *previous < position);
            }
        }
        if found.len() == before {
            break;
        }
        let is_dense = (found.len() - before) as u64 * DENSE >= stride;
        stride = if is_dense { (stride * 2).min(STRIDE_MAX) } else { 1 };
        let done = head.0.saturating_sub(next.map_or(0, |next| next.0));
        if watch(Progress { done, of: head.0 }) == ControlFlow::Break(()) {
            return Err(Halt::Canceled);
        }
    }
    Ok(found)
}
