//! What differs between two points: of one history, or of two that may share their beginning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tachograph_engine::domain::{Entry, Position, RunId, RunRecord};
use tachograph_engine::ports::JournalError;
use tachograph_projections::CurrentState;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::held::Held;
use crate::view::RunView;

/// Entries of two histories that are compared at a time.
const ENTRIES_AT_ONCE: usize = 4_096;

/// What differs between two points, the first called A and the second B.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The point A.
    pub a: Position,
    /// The point B.
    pub b: Position,
    /// From here on entries were compared: where the one that begins later begins.
    pub from: Position,
    /// Which of them begins later than the other, if one does: what comes before was not compared.
    pub begins_after: Option<Begins>,
    /// Up to here, both come from the same entries.
    pub common: Position,
    /// Where they part first; absent if nothing differs.
    pub first: Option<Parting>,
    /// The runs that differ, in the order in which they began to.
    pub changes: Vec<Change>,
    /// Runs with entries behind what both have in common, whose creation cannot be read: how they differ is not known.
    pub begun_before: Vec<RunId>,
}

/// One of two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// The first.
    A,
    /// The second.
    B,
}

/// The first position at which two points differ.
///
/// Of two histories: the first at which their entries are not the same. Of two points of one: the first behind the earlier
/// one at which a run changed that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The position.
    pub position: Position,
    /// What A has there; absent if it ends before, or nothing can be read there.
    pub a: Option<Entry>,
    /// What B has there; absent if it ends before, or nothing can be read there.
    pub b: Option<Entry>,
}

/// A run that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which run.
    pub run: RunId,
    /// Position of the first entry about it behind what both have in common.
    pub first: Position,
    /// As it was at A; absent if it was not created by then.
    pub a: Option<RunRecord>,
    /// As it was at B; absent if it was not created by then.
    pub b: Option<RunRecord>,
    /// The fields that differ, by name; none if one of the two is absent.
    pub fields: Vec<FieldChange>,
}

impl Change {
    /// The name of the run.
    pub fn name(&self) -> Option<&str> {
        self.a.as_ref().or(self.b.as_ref())?.run.spec.name.as_deref()
    }

    /// Stable snake_case name of how it differs: `changed`, `only_in_a` or `only_in_b`.
    pub const fn kind(&self) -> &'static str {
        match (&self.a, &self.b) {
            (Some(_), None) => "only_in_a",
            (None, Some(_)) => "only_in_b",
            (Some(_), Some(_)) | (None, None) => "changed",
        }
    }
}

/// A field with two values.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// As `--format json` names it, with dots between an object and its field.
    pub field: String,
    /// Its value at A.
    pub a: Value,
    /// Its value at B.
    pub b: Value,
}

/// The runs of one side that entries behind the common beginning are about.
#[derive(Debug, Default)]
struct Touched {
    runs: BTreeMap<RunId, (Option<RunRecord>, Position)>,
    /// Those whose creation cannot be read.
    begun_before: BTreeSet<RunId>,
}

impl Touched {
    fn see(&mut self, base: &CurrentState, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        let (record, _) = self.runs.entry(run).or_insert_with(|| (base.run(run).cloned(), entry.position));
        *record = RunRecord::fold(record.take(), entry);
        if record.is_none() && (entry.previous.is_some() || !entry.events().is_empty()) {
            self.begun_before.insert(run);
        }
    }

    fn record<'a>(&'a self, base: &'a CurrentState, run: RunId) -> Option<&'a RunRecord> {
        match self.runs.get(&run) {
            Some((record, _)) => record.as_ref(),
            None => base.run(run),
        }
    }
}

impl Dataset {
    /// What differs between a point of this history and a point of another, or a later or earlier one of the same.
    /// Absent positions stand for the end.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if one of them cannot be read.
    pub async fn difference(&self, a: Position, other: Option<&Self>, b: Position) -> Result<Difference, Error> {
        let (before, begins_after) = self.both_begin_after(other, a.min(b))?;
        let shared = match other {
            None => a.min(b),
            Some(other) => self.common_after(other, before, a.min(b)).await?,
        };
        // What both come from, by the one that holds more of it.
        let fuller = other.filter(|_| begins_after == Some(Begins::A)).unwrap_or(self);
        let base = fuller.all_runs(shared).await?.state;
        let side_a = self.touched(&base, shared, a).await?;
        let side_b = other.unwrap_or(self).touched(&base, shared, b).await?;
        let changes = changes(&base, &side_a, &side_b);
        let position = match other {
            // The same entries lead to the same runs.
            Some(other) if a != shared || b != shared => Some(self.next_of_both(a, other, b, shared).await?),
            Some(_) => None,
            None => changes.first().map(|change| change.first),
        };
        let first = match position {
            Some(position) => {
                let at = async |dataset: &Self, end: Position| match position <= end {
                    true => dataset.reader().entry(position).await,
                    false => Ok(None),
                };
                Some(Parting { position, a: at(self, a).await?, b: at(other.unwrap_or(self), b).await? })
            }
            None => None,
        };
        let unknown = side_a.begun_before.union(&side_b.begun_before).copied();
        let begun_before = unknown.filter(|run| !changes.iter().any(|change| change.run == *run)).collect();
        Ok(Difference { a, b, from: before.next(), begins_after, common: shared, first, changes, begun_before })
    }

    /// Up to where nothing is compared, because one of two histories begins later than the other, and which.
    fn both_begin_after(&self, other: Option<&Self>, up_to: Position) -> Result<(Position, Option<Begins>), Error> {
        let Some(other) = other else { return Ok((self.held().before(), None)) };
        for dataset in [self, other] {
            if let Held::Run(..) = dataset.held() {
                let message = format!("{} holds one run alone, and no history of a fleet", dataset.data().display());
                let remedy =
                    "compare journals, or ranges of them; `tacho compare` puts two runs side by side".to_owned();
                return Err(Error::Input { code: "not_held", message, remedy });
            }
        }
        let (ours, theirs) = (self.held().before(), other.held().before());
        let (later, which) = if ours > theirs { (self, Begins::A) } else { (other, Begins::B) };
        let before = ours.max(theirs);
        if up_to <= before && before > Position::ZERO {
            let (asked, data) = (format!("position {up_to}"), later.data().to_owned());
            return Err(Error::NotHeld { asked, data, held: Box::new(later.held()) });
        }
        Ok((before, (ours != theirs).then_some(which)))
    }

    async fn touched(&self, base: &CurrentState, after: Position, up_to: Position) -> Result<Touched, Error> {
        let mut touched = Touched::default();
        self.visit(after, up_to, |entry| {
            touched.see(base, &entry);
            true
        })
        .await?;
        Ok(touched)
    }

    /// Up to where two histories have the same entries, at most up to a position.
    ///
    /// Every entry of both is read and compared. Equal hashes would prove nothing: each covers only the hash that the
    /// frame after it names, so that an altered entry in between leaves all later ones as they were.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if one of them cannot be read.
    pub async fn common_beginning(&self, other: &Self, up_to: Position) -> Result<Position, JournalError> {
        self.common_after(other, Position::ZERO, up_to).await
    }

    async fn common_after(&self, other: &Self, after: Position, up_to: Position) -> Result<Position, JournalError> {
        let mut same = after;
        let bar = self.bar("comparing", up_to.0.saturating_sub(after.0));
        while same < up_to {
            bar.reached(same.0.saturating_sub(after.0));
            let limit = usize::try_from(up_to.0 - same.0).unwrap_or(usize::MAX).min(ENTRIES_AT_ONCE);
            let (ours, theirs) = (self.some_after(same, limit).await?, other.some_after(same, limit).await?);
            let equal = ours.iter().zip(&theirs).take_while(|(one, other)| one == other).count();
            let Some(last) = equal.checked_sub(1).and_then(|last| ours.get(last)) else { break };
            same = last.position.min(up_to);
            if equal < ours.len().min(theirs.len()) {
                break;
            }
        }
        Ok(same)
    }

    /// The first position after another, up to the ends, at which one of two histories has an entry; else the next one.
    async fn next_of_both(
        &self,
        end: Position,
        other: &Self,
        other_end: Position,
        after: Position,
    ) -> Result<Position, JournalError> {
        let mut found: Option<Position> = None;
        for (dataset, end) in [(self, end), (other, other_end)] {
            let next = dataset.some_after(after, 1).await?.first().map(|entry| entry.position);
            let next = next.filter(|next| *next <= end);
            found = [found, next].into_iter().flatten().min();
        }
        Ok(found.unwrap_or_else(|| after.next()))
    }
}

fn changes(base: &CurrentState, a: &Touched, b: &Touched) -> Vec<Change> {
    let mut first: BTreeMap<RunId, Position> = BTreeMap::new();
    for (run, (_, position)) in a.runs.iter().chain(&b.runs) {
        first.entry(*run).and_modify(|known| *known = (*known).min(*position)).or_insert(*position);
    }
    let change = |(run, first)| {
        let (a, b) = (a.record(base, run), b.record(base, run));
        let fields = match (a, b) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(a), Some(b)) => field_changes(a, b),
            (None, None) => return None,
            (Some(_), None) | (None, Some(_)) => Vec::new(),
        };
        Some(Change { run, first, a: a.cloned(), b: b.cloned(), fields })
    };
    let mut changes: Vec<Change> = first.into_iter().filter_map(change).collect();
    changes.sort_by_key(|change| (change.first, change.run));
    changes
}

fn field_changes(a: &RunRecord, b: &RunRecord) -> Vec<FieldChange> {
    let flat = |record: &RunRecord| {
        let mut fields = Map::new();
        if let Ok(Value::Object(object)) = serde_json::to_value(RunView::from(record)) {
            object.into_iter().for_each(|(name, value)| flatten(name, value, &mut fields));
        }
        fields
    };
    let (mut a, mut b) = (flat(a), flat(b));
    // In the order in which the one that has more of them has them.
    let (more, fewer) = if a.len() < b.len() { (&b, &a) } else { (&a, &b) };
    let names: Vec<String> =
        more.keys().chain(fewer.keys().filter(|name| !more.contains_key(*name))).cloned().collect();
    let change = |field: String| {
        let value = |fields: &mut Map<String, Value>| fields.get_mut(&field).map_or(Value::Null, Value::take);
        let (one, other) = (value(&mut a), value(&mut b));
        (one != other).then(|| FieldChange { field, a: one, b: other })
    };
    names.into_iter().filter_map(change).collect()
}

/// An object becomes its fields; what is absent is left out, and lists stay values.
fn flatten(name: String, value: Value, fields: &mut Map<String, Value>) {
    match value {
        Value::Object(object) => {
            for (inner, value) in object {
                flatten(format!("{name}.{inner}"), value, fields);
            }
        }
        Value::Null => {}
        value => drop(fields.insert(name, value)),
    }
}
