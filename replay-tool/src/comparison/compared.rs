//! The comparison of two runs.

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord};

use super::alignment::{Alignment, Row, align};
use super::nearest::Nearest;
use super::step::{Step, StepKey, steps};
use crate::dataset::Dataset;
use crate::error::Error;

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The run after its last entry; absent if its creation could not be read.
    pub record: Option<RunRecord>,
    /// Which run it is.
    pub run: RunId,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Position of its first entry that can be read, if its creation cannot.
    pub begins_at: Option<Position>,
}

/// Two runs, step by step.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The first run.
    pub left: Side,
    /// The second run.
    pub right: Side,
    /// Which step of one belongs to which of the other.
    pub alignment: Alignment,
    /// How the second run was found, if it was searched for.
    pub nearest: Option<Nearest>,
    /// How many rows come before the first entry of a run whose beginning cannot be read.
    not_held: usize,
}

/// What a row of a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// The same step in both.
    Same,
    /// A step of the same name in both, with different content.
    Differs,
    /// A step that the second run lacks.
    OnlyLeft,
    /// A step that the first run lacks.
    OnlyRight,
    /// A step of one run, from before what can be read of the other: whether that has it, nobody knows.
    NotHeld,
}

/// What two steps of one name do not have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which field.
    pub field: &'static str,
    /// What the first run has there; absent if it has none.
    pub left: Option<String>,
    /// What the second run has there.
    pub right: Option<String>,
}

impl RowKind {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::OnlyLeft => "only_left",
            Self::OnlyRight => "only_right",
            Self::NotHeld => "not_held",
        }
    }
}

impl Side {
    /// A run out of its own entries.
    pub fn of(run: RunId, own: &[Entry]) -> Self {
        let record = own.iter().fold(None, RunRecord::fold);
        let begins_at = own.first().filter(|_| record.is_none()).map(|first| first.position);
        Self { record, run, steps: steps(own), begins_at }
    }

    fn keys(&self) -> Vec<&StepKey> {
        self.steps.iter().map(|step| &step.key).collect()
    }
}

impl super::alignment::Comparable for &StepKey {
    fn is_alike(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Comparison {
    /// Two runs, aligned.
    pub fn of(left: Side, right: Side) -> Self {
        let alignment = align(&left.keys(), &right.keys());
        let is_before = |row: &&Row| match row {
            Row::Pair { .. } => false,
            Row::Left(_) => right.begins_at.is_some(),
            Row::Right(_) => left.begins_at.is_some(),
        };
        // Of two whose beginnings cannot be read, nobody knows which began earlier.
        let not_held = match (left.begins_at, right.begins_at) {
            (None, None) | (Some(_), Some(_)) => 0,
            (Some(_), None) | (None, Some(_)) => alignment.rows.iter().take_while(is_before).count(),
        };
        Self { left, right, alignment, nearest: None, not_held }
    }

    /// How much of both is the same, from 0 to 1: two for every equal pair and one for every pair that differs, by the
    /// number of steps of both; 1 if there are none.
    pub fn similarity(&self) -> f64 {
        similarity(&self.alignment, self.left.steps.len() + self.right.steps.len() - self.not_held)
    }

    /// What a row is.
    pub fn kind(&self, row: Row) -> RowKind {
        match row {
            Row::Pair { left, right } => match (self.left.steps.get(left), self.right.steps.get(right)) {
                (Some(left), Some(right)) if left.key == right.key => RowKind::Same,
                _ => RowKind::Differs,
            },
            Row::Left(at) if self.right.begins_at.is_some() && at < self.not_held => RowKind::NotHeld,
            Row::Right(at) if self.left.begins_at.is_some() && at < self.not_held => RowKind::NotHeld,
            Row::Left(_) => RowKind::OnlyLeft,
            Row::Right(_) => RowKind::OnlyRight,
        }
    }

    /// The steps of a row.
    pub fn steps(&self, row: Row) -> (Option<&Step>, Option<&Step>) {
        match row {
            Row::Pair { left, right } => (self.left.steps.get(left), self.right.steps.get(right)),
            Row::Left(left) => (self.left.steps.get(left), None),
            Row::Right(right) => (None, self.right.steps.get(right)),
        }
    }

    /// The first row that is known not to be the same in both; absent if all are.
    pub fn first_divergence(&self) -> Option<usize> {
        self.alignment.rows.iter().position(|row| !matches!(self.kind(*row), RowKind::Same | RowKind::NotHeld))
    }

    /// By how many microseconds the step took longer in the second run than in the first, since the step before it in each;
    /// absent unless it is in both, and not the first in either.
    pub fn slower_us(&self, row: Row) -> Option<i64> {
        let (left, right) = self.steps(row);
        left.and_then(|left| left.delta_us)
            .zip(right.and_then(|right| right.delta_us))
            .map(|(left, right)| right - left)
    }

    /// What the two steps of a row do not have in common.
    pub fn differences(&self, row: Row) -> Vec<Difference> {
        let (Some(left), Some(right)) = self.steps(row) else { return Vec::new() };
        let value = |step: &Step, field: &str| {
            step.key.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value.clone())
        };
        let lefts = left.key.fields.iter().map(|(field, _)| *field);
        let only_right = right.key.fields.iter().map(|(field, _)| *field).filter(|field| value(left, field).is_none());
        lefts
            .chain(only_right)
            .map(|field| Difference { field, left: value(left, field), right: value(right, field) })
            .filter(|difference| difference.left != difference.right)
            .collect()
    }
}

pub(super) fn similarity(alignment: &Alignment, steps: usize) -> f64 {
    if steps == 0 { 1.0 } else { alignment.score as f64 / steps as f64 }
}

impl Dataset {
    /// Two runs side by side, each found by its id, the beginning of one, or its name.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub async fn compare(&self, left: &str, right: &str) -> Result<Comparison, Error> {
        let (left, right) = (self.side(left).await?, self.side(right).await?);
        Ok(Comparison::of(left, right))
    }

    /// A run with its steps.
    pub(super) async fn side(&self, text: &str) -> Result<Side, Error> {
        let run = self.resolve(text, None).await?;
        let own = self.own(run).await?;
        Ok(Side::of(run, &own))
    }
}
