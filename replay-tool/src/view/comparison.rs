//! Two runs side by side.

use serde::Serialize;

use crate::comparison::{Comparison, Row, Side, Step};

/// Two runs, step by step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonView {
    /// The first run.
    pub left: SideView,
    /// The second run.
    pub right: SideView,
    /// How much of both is the same, from 0 to 1, to three decimals.
    pub similarity: f64,
    /// Whether no other alignment has more in common.
    pub is_best: bool,
    /// How the second run was found; absent if it was given.
    pub nearest: Option<NearestView>,
    /// Which row is the first that is not the same in both, from 0.
    pub first_divergence: Option<usize>,
    /// The steps of both, in order.
    pub rows: Vec<RowView>,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideView {
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// Its status; absent if its creation could not be read.
    pub status: Option<&'static str>,
    /// Position of its first entry that can be read, if its creation cannot.
    pub begins_at: Option<u64>,
    /// How many steps it has.
    pub steps: usize,
}

/// How a run was found that is like another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearestView {
    /// What it was created with in common.
    pub kinship: &'static str,
    /// How many there are that ended as expected and have something in common.
    pub fitting: usize,
    /// How many of these were looked at.
    pub looked_at: usize,
}

/// A step of both, or of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowView {
    /// `same`, `differs`, `only_left`, `only_right`, or `not_held` if whether the other run has it is not known.
    pub kind: &'static str,
    /// Name of the event, or `Refused`.
    pub step: &'static str,
    /// Whether it is a transition.
    pub is_transition: bool,
    /// The step of the first run.
    pub left: Option<SideStepView>,
    /// The step of the second run.
    pub right: Option<SideStepView>,
    /// How much longer it took in the second run, since the step before it in each.
    pub slower_us: Option<i64>,
    /// What the two do not have in common.
    pub differences: Vec<FieldDifferenceView>,
}

/// A step of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideStepView {
    /// Position of its entry.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// Microseconds since the run's first step.
    pub offset_us: i64,
    /// Microseconds since the step before.
    pub delta_us: Option<i64>,
    /// What happened, in words.
    pub text: String,
}

/// A field that two steps do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifferenceView {
    /// Which one.
    pub field: &'static str,
    /// What the first run has.
    pub left: Option<String>,
    /// What the second run has.
    pub right: Option<String>,
}

impl From<&Comparison> for ComparisonView {
    fn from(comparison: &Comparison) -> Self {
        Self {
            left: side(&comparison.left),
            right: side(&comparison.right),
            similarity: (comparison.similarity() * 1_000.0).round() / 1_000.0,
            is_best: comparison.alignment.is_best,
            nearest: comparison.nearest.map(|nearest| NearestView {
                kinship: nearest.kinship.name(),
                fitting: nearest.fitting,
                looked_at: nearest.looked_at,
            }),
            first_divergence: comparison.first_divergence(),
            rows: comparison.alignment.rows.iter().map(|found| row(comparison, *found)).collect(),
        }
    }
}

fn side(side: &Side) -> SideView {
    let run = side.record.as_ref().map(|record| &record.run);
    SideView {
        run: side.run.to_string(),
        name: run.and_then(|run| run.spec.name.clone()),
        status: run.map(|run| run.status.name().name()),
        begins_at: side.begins_at.map(|position| position.0),
        steps: side.steps.len(),
    }
}

fn row(comparison: &Comparison, row: Row) -> RowView {
    let (left, right) = comparison.steps(row);
    let either = left.or(right);
    let differences = comparison.differences(row).into_iter().map(|difference| FieldDifferenceView {
        field: difference.field,
        left: difference.left,
        right: difference.right,
    });
    RowView {
        kind: comparison.kind(row).name(),
        step: either.map_or("", Step::name),
        is_transition: either.is_some_and(Step::is_transition),
        left: left.map(step),
        right: right.map(step),
        slower_us: comparison.slower_us(row),
        differences: differences.collect(),
    }
}

fn step(step: &Step) -> SideStepView {
    SideStepView {
        position: step.position.0,
        recorded_at: step.recorded_at.to_string(),
        offset_us: step.offset_us,
        delta_us: step.delta_us,
        text: step.text(),
    }
}
