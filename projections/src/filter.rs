//! Which runs to show.

use std::collections::BTreeSet;

use tachograph_engine::domain::{RunRecord, StatusName, Timestamp};

/// Which runs to show: those that fit every part that is set. The default fits all.
///
/// ```
/// use tachograph_projections::{LabelFilter, RunFilter};
/// use tachograph_engine::domain::StatusName;
///
/// let failed_in_ci = RunFilter {
///     statuses: [StatusName::Failed].into(),
///     labels: vec![LabelFilter::Is { key: "stage".into(), value: "ci".into() }],
///     ..RunFilter::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Any of these statuses; every status if empty.
    pub statuses: BTreeSet<StatusName>,
    /// Exactly this name.
    pub name: Option<String>,
    /// All of these labels.
    pub labels: Vec<LabelFilter>,
    /// Created at this time or later, by the wall clock of the writer.
    pub created_at_min: Option<Timestamp>,
    /// Created at this time or before.
    pub created_at_max: Option<Timestamp>,
    /// Last event at this time or later.
    pub updated_at_min: Option<Timestamp>,
    /// Last event at this time or before.
    pub updated_at_max: Option<Timestamp>,
}

/// What is asked of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFilter {
    /// The run has it, with whatever value.
    Has {
        /// Its key.
        key: String,
    },
    /// The run has it with exactly this value.
    Is {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
}

impl LabelFilter {
    /// Whether the run's labels fit.
    pub fn fits(&self, record: &RunRecord) -> bool {
        let labels = &record.run.spec.labels;
        match self {
            Self::Has { key } => labels.contains_key(key),
            Self::Is { key, value } => labels.get(key) == Some(value),
        }
    }
}

impl RunFilter {
    /// Whether the run fits every part that is set.
    pub fn fits(&self, record: &RunRecord) -> bool {
        let run = &record.run;
        (self.statuses.is_empty() || self.statuses.contains(&run.status.name()))
            && (self.name.is_none() || self.name == run.spec.name)
            && self.labels.iter().all(|label| label.fits(record))
            && within(record.created_at, self.created_at_min, self.created_at_max)
            && within(record.updated_at, self.updated_at_min, self.updated_at_max)
    }
}

fn within(time: Timestamp, min: Option<Timestamp>, max: Option<Timestamp>) -> bool {
    min.is_none_or(|min| min <= time) && max.is_none_or(|max| time <= max)
}
