//! Where the rows of an export come from, if a part of the journal is archived.

use std::path::Path;

use tachograph_engine::domain::Position;

use super::super::problem::ExportProblem;
use super::super::rejoined::{Absent, Rejoined};
use super::super::source::Source;
use super::manifest::Manifest;
use crate::dataset::Dataset;
use crate::held::Held;

/// Where the rows of an export come from.
pub(super) struct Origin {
    /// What the tables by day are made of.
    pub(super) by_day: Dataset,
    /// What the tables are made of that say how things stand.
    pub(super) standing: Dataset,
    /// The first position that the tables by day hold; absent if that is the first of the journal, or of a part of it that
    /// cannot be added to.
    pub(super) first: Option<Position>,
    /// The bundle for want of which the tables that say how things stand tell only what stayed in the journal.
    pub(super) absent: Option<Absent>,
}

impl Origin {
    /// A new export is made of what is held, and of what was archived only if it is said where the bundles are: whoever keeps
    /// the tables beside each bundle needs no more than the rest.
    pub(super) fn new(dataset: &Dataset, source: &Source, path: &Path) -> Result<Self, ExportProblem> {
        match source.bundles.as_deref() {
            Some(bundles) if dataset.reader().archived() > Position::ZERO => {
                let whole = Rejoined::after(Position::ZERO, dataset, Some(bundles));
                let unexported =
                    |absent| ExportProblem::Unexported { path: path.to_owned(), exported: Position::ZERO, absent };
                Ok(Self::of(&dataset.rejoined(whole.map_err(unexported)?)))
            }
            _ => Ok(Self::of(dataset)),
        }
    }

    fn of(dataset: &Dataset) -> Self {
        let first = match dataset.held() {
            Held::Rest { stretch, .. } => Some(stretch.first),
            Held::Whole | Held::Range(_) | Held::Run(..) => None,
        };
        Self { by_day: dataset.clone(), standing: dataset.clone(), first, absent: None }
    }

    /// One that goes on is made of what was archived since as well, if it was not exported before that. How things stand is
    /// told of the whole journal if the export holds all of it and the bundles are there.
    pub(super) fn behind(
        before: &Manifest,
        dataset: &Dataset,
        source: &Source,
        path: &Path,
    ) -> Result<Self, ExportProblem> {
        let first = before.first.map(Position);
        if dataset.reader().archived() == Position::ZERO {
            return Ok(Self { first, ..Self::of(dataset) });
        }
        let elsewhere = source.bundles.as_deref();
        let unexported =
            |absent| ExportProblem::Unexported { path: path.to_owned(), exported: before.position(), absent };
        let later = Rejoined::after(before.position(), dataset, elsewhere).map_err(unexported)?;
        let (standing, absent) = match Rejoined::after(Position::ZERO, dataset, elsewhere) {
            _ if first.is_some() => (dataset.clone(), None),
            Ok(whole) => (dataset.rejoined(whole), None),
            Err(absent) => (dataset.clone(), Some(absent)),
        };
        Ok(Self { by_day: dataset.rejoined(later), standing, first, absent })
    }

    /// The first position that is held, whatever is the reason that none is before it.
    pub(super) fn begins(&self) -> Position {
        self.first.unwrap_or_else(|| self.by_day.held().before().next())
    }

    /// Up to here, what happened is not in the tables that say how things stand; absent if they tell all.
    pub(super) fn standing_after(&self) -> Option<Position> {
        Some(self.standing.reader().archived()).filter(|archived| *archived > Position::ZERO)
    }
}
