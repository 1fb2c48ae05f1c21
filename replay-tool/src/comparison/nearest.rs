//! The healthy run that is most like another.

use std::cmp::Reverse;

use tachograph_engine::domain::{Outcome, RunId, RunRecord};

use super::compared::{Comparison, Side};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::jobs::Expectation;

/// So many histories are read and aligned at most, those of the nearest kin first and of these the newest.
pub const CANDIDATES_MAX: usize = 64;

/// How a run was found that is like another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearest {
    /// What it has in common with the other before any step.
    pub kinship: Kinship,
    /// Healthy kin that there is.
    pub fitting: usize,
    /// How many of these were looked at.
    pub looked_at: usize,
}

/// What two runs were created with in common; the nearest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kinship {
    /// A label, key and value.
    Label,
    /// A name that differs in its numbers only, as `build-17` and `build-18`.
    NameFamily,
    /// The name.
    Name,
    /// The command line or image.
    Command,
    /// Both command and name.
    CommandAndName,
}

impl Kinship {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::NameFamily => "name_family",
            Self::Name => "name",
            Self::Command => "command",
            Self::CommandAndName => "command_and_name",
        }
    }

    /// The same in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Label => "a label in common",
            Self::NameFamily => "the same name but for numbers",
            Self::Name => "the same name",
            Self::Command => "the same command",
            Self::CommandAndName => "the same command and name",
        }
    }

    fn of(one: &RunRecord, other: &RunRecord) -> Option<Self> {
        let (one, other) = (&one.run.spec, &other.run.spec);
        let names = one.name.as_ref().zip(other.name.as_ref());
        let same_name = names.is_some_and(|(one, other)| one == other);
        match one.workload == other.workload {
            true if same_name => Some(Self::CommandAndName),
            true => Some(Self::Command),
            false if same_name => Some(Self::Name),
            false if names.is_some_and(|(one, other)| family(one) == family(other)) => Some(Self::NameFamily),
            false => {
                let shared = one.labels.iter().any(|(key, value)| other.labels.get(key) == Some(value));
                shared.then_some(Self::Label)
            }
        }
    }
}

/// A name with each of its numbers as one sign.
fn family(name: &str) -> String {
    let mut family = String::new();
    for char in name.chars() {
        if !char.is_ascii_digit() {
            family.push(char);
        } else if !family.ends_with('#') {
            family.push('#');
        }
    }
    family
}

fn is_healthy(record: &RunRecord, expected: &Expectation) -> bool {
    let outcome: Option<&Outcome> = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    record.run.is_ended() && outcome.is_some_and(|outcome| expected.is_met_by(outcome))
}

impl Dataset {
    /// A run beside the healthy one that is most like it: of those that ended as expected and have a command, a name or a
    /// label in common with it, the one of the greatest [similarity](Comparison::similarity); of equal ones the nearest
    /// kin, then the newest. At most [`CANDIDATES_MAX`] are looked at. All runs are gone through to find them, from the
    /// latest checkpoint on.
    ///
    /// # Errors
    ///
    /// [`Error::NoHealthyRun`] if there is none, or as [`resolve`](Self::resolve).
    pub async fn compare_nearest(&self, text: &str, expected: &Expectation) -> Result<Comparison, Error> {
        let left = self.side(text).await?;
        let (candidates, fitting) = self.candidates(&left, expected).await?;
        let looked_at = candidates.len();
        let mut best: Option<(Comparison, Kinship)> = None;
        for (kinship, run) in candidates {
            let own = self.reader().history(run).await?;
            // What became of it is known, and how is archived.
            if own.is_empty() {
                continue;
            }
            let right = Side::of(run, &own);
            let comparison = Comparison::of(left.clone(), right);
            if best.as_ref().is_none_or(|(best, _)| comparison.similarity() > best.similarity()) {
                best = Some((comparison, kinship));
            }
        }
        let (mut comparison, kinship) =
            best.ok_or(Error::NoHealthyRun { run: left.run, expected: expected.clone() })?;
        comparison.nearest = Some(Nearest { kinship, fitting, looked_at });
        Ok(comparison)
    }

    /// The healthy kin of a run, as many as are looked at, and how many there are.
    async fn candidates(&self, left: &Side, expected: &Expectation) -> Result<(Vec<(Kinship, RunId)>, usize), Error> {
        let current = self.current(self.reader().head().position).await?;
        let Some(own) = &left.record else { return Ok((Vec::new(), 0)) };
        let healthy =
            current.state.records().filter(|record| record.run.id != left.run && is_healthy(record, expected));
        let mut kin: Vec<_> =
            healthy.filter_map(|record| Some((Kinship::of(own, record)?, record.created, record.run.id))).collect();
        kin.sort_unstable_by_key(|candidate| Reverse(*candidate));
        let fitting = kin.len();
        kin.truncate(CANDIDATES_MAX);
        Ok((kin.into_iter().map(|(kinship, _, run)| (kinship, run)).collect(), fitting))
    }
}
