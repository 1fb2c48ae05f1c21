//! A fleet that is folded on while a predicate is watched: each entry costs as much as its own run, not as the fleet.

use std::collections::{HashMap, HashSet};

use tachograph_engine::domain::{Entry, RunId, RunRecord};

use super::expression::{Expression, Seen};

/// A fleet, with how many of its runs fit each aggregate of an expression.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    expression: &'a Expression,
    records: HashMap<RunId, RunRecord>,
    fitting: Vec<u64>,
    /// The runs that the expression asks for.
    asked: &'a [RunId],
    /// Runs that were met without their creation.
    missing: HashSet<RunId>,
}

impl<'a> Watched<'a> {
    /// A fleet that consists of these runs.
    pub(super) fn of(
        expression: &'a Expression,
        asked: &'a [RunId],
        records: impl IntoIterator<Item = RunRecord>,
    ) -> Self {
        let (missing, fitting) = (HashSet::new(), vec![0; expression.aggregates()]);
        let mut watched = Self { expression, records: HashMap::new(), fitting, asked, missing };
        for record in records {
            watched.count(&record, 1);
            watched.records.insert(record.run.id, record);
        }
        watched
    }

    /// The same, with runs that were met already without their creation.
    pub(super) fn missing(mut self, missing: impl IntoIterator<Item = RunId>) -> Self {
        self.missing.extend(missing);
        self
    }

    /// How many runs were met without their creation.
    pub(super) fn begun_before(&self) -> u64 {
        self.missing.len() as u64
    }

    fn count(&mut self, record: &RunRecord, by: i64) {
        for (aggregate, fitting) in self.fitting.iter_mut().enumerate() {
            if self.expression.fits(aggregate, record) {
                *fitting = fitting.saturating_add_signed(by);
            }
        }
    }

    /// Folds one more entry in.
    pub(super) fn see(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        let before = self.records.remove(&run);
        if let Some(before) = &before {
            self.count(before, -1);
        }
        if let Some(record) = RunRecord::fold(before, entry) {
            self.count(&record, 1);
            self.records.insert(run, record);
        } else if entry.previous.is_some() || !entry.events().is_empty() {
            self.missing.insert(run);
        }
    }

    /// Whether the expression is true now.
    pub(super) fn holds(&self) -> bool {
        let runs: Vec<Option<&RunRecord>> = self.asked.iter().map(|run| self.records.get(run)).collect();
        let total = self.records.len() as u64;
        self.expression.holds(&Seen { fitting: &self.fitting, total, runs: &runs })
    }
}
