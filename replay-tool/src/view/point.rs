//! What was true at a point, what differs between two, and when something became true.

use serde::Serialize;
use serde_json::Value;
use tachograph_engine::domain::{ArmedTimer, StatusName, TimerOf, Timestamp};

use super::{EntryView, RunView};
use crate::held::BegunBefore;
use crate::point::{Bisection, Change, Difference, FleetState, Found, Parting};
use crate::timers::is_overdue;

/// A fleet at a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateView {
    /// The position.
    pub position: u64,
    /// When the entry there was recorded.
    pub recorded_at: Option<String>,
    /// The runs, by id.
    pub runs: Vec<RunView>,
    /// What was armed, the first that is due first.
    pub timers: Vec<ArmedView>,
    /// Runs of which the creation is not held, by id.
    pub begun_before: Vec<BegunBeforeView>,
}

/// A run of which the creation is not held, so that its state is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BegunBeforeView {
    /// Its id.
    pub run: String,
    /// Position of the first entry about it that is held.
    pub first: u64,
    /// Position of the last one.
    pub last: u64,
    /// The status that its last transition led to; absent if none is held.
    pub status: Option<&'static str>,
}

impl From<&BegunBefore> for BegunBeforeView {
    fn from(begun: &BegunBefore) -> Self {
        Self {
            run: begun.run.to_string(),
            first: begun.first.0,
            last: begun.last.0,
            status: begun.status.map(StatusName::name),
        }
    }
}

impl StateView {
    /// A fleet whose timers are looked at at a time.
    pub fn of(state: &FleetState, now: Timestamp) -> Self {
        Self {
            position: state.position.0,
            recorded_at: state.recorded_at.map(|time| time.to_string()),
            runs: state.runs.iter().map(RunView::from).collect(),
            timers: state.timers.iter().map(|timer| ArmedView::of(timer, state.name_of(timer), now)).collect(),
            begun_before: state.begun_before.iter().map(Into::into).collect(),
        }
    }
}

/// An armed timer, out of the state of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArmedView {
    /// The run that it belongs to.
    pub run: String,
    /// The name of that run.
    pub name: Option<String>,
    /// `snapshot` or `deadline`.
    pub kind: &'static str,
    /// The snapshot; absent for a deadline.
    pub snapshot: Option<String>,
    /// The attempt that waits; absent for a snapshot.
    pub attempt_id: Option<String>,
    /// Who armed it.
    pub runner: String,
    /// When it is due.
    pub due: String,
    /// How long until then, in microseconds; negative if that had passed.
    pub due_in_us: i64,
    /// Whether that had come.
    pub overdue: bool,
}

impl ArmedView {
    /// A timer as seen at a time.
    pub fn of(timer: &ArmedTimer, name: Option<&str>, now: Timestamp) -> Self {
        let (kind, snapshot, attempt) = match timer.key.of {
            TimerOf::Snapshot(snapshot) => ("snapshot", Some(snapshot), None),
            TimerOf::Deadline(attempt) => ("deadline", None, Some(attempt)),
        };
        Self {
            run: timer.key.run.to_string(),
            name: name.map(str::to_owned),
            kind,
            snapshot: snapshot.map(|snapshot| snapshot.to_string()),
            attempt_id: attempt.map(|attempt| attempt.to_string()),
            runner: timer.runner.to_string(),
            due: timer.due.to_string(),
            due_in_us: timer.due.as_micros() - now.as_micros(),
            overdue: is_overdue(timer, now),
        }
    }
}

/// What differs between two points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffView {
    /// Position of the point A.
    pub a: u64,
    /// Position of the point B.
    pub b: u64,
    /// From here on entries were compared: where the one that begins later begins.
    pub from: u64,
    /// Up to here, both come from the same entries.
    pub common: u64,
    /// Where they part first.
    pub first: Option<PartingView>,
    /// The runs that differ.
    pub runs: Vec<DifferentRunView>,
    /// Runs whose creation cannot be read: how they differ is not known.
    pub begun_before: Vec<String>,
}

/// Where two points part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartingView {
    /// The position.
    pub position: u64,
    /// What A has there.
    pub a: Option<EntryView>,
    /// What B has there.
    pub b: Option<EntryView>,
}

/// A run that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DifferentRunView {
    /// Its id.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// `changed`, `only_in_a` or `only_in_b`.
    pub difference: &'static str,
    /// Position of the first entry about it behind what both have in common.
    pub first: u64,
    /// The fields that differ.
    pub fields: Vec<FieldChangeView>,
}

/// A field with two values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChangeView {
    /// Its name, with dots between an object and its field.
    pub field: String,
    /// Its value at A.
    pub a: Value,
    /// Its value at B.
    pub b: Value,
}

impl From<&Difference> for DiffView {
    fn from(difference: &Difference) -> Self {
        Self {
            a: difference.a.0,
            b: difference.b.0,
            from: difference.from.0,
            common: difference.common.0,
            begun_before: difference.begun_before.iter().map(ToString::to_string).collect(),
            first: difference.first.as_ref().map(Into::into),
            runs: difference.changes.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Parting> for PartingView {
    fn from(parting: &Parting) -> Self {
        let (a, b) = (parting.a.as_ref().map(EntryView::from), parting.b.as_ref().map(EntryView::from));
        Self { position: parting.position.0, a, b }
    }
}

impl From<&Change> for DifferentRunView {
    fn from(change: &Change) -> Self {
        let field = |change: &crate::point::FieldChange| FieldChangeView {
            field: change.field.clone(),
            a: change.a.clone(),
            b: change.b.clone(),
        };
        Self {
            run: change.run.to_string(),
            name: change.name().map(str::to_owned),
            difference: change.kind(),
            first: change.first.0,
            fields: change.fields.iter().map(field).collect(),
        }
    }
}

/// Where a predicate became true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BisectionView {
    /// The predicate.
    pub when: String,
    /// Where the search began.
    pub from: u64,
    /// Up to where was looked.
    pub to: u64,
    /// `found`, `within` if the entry that made it true cannot be read, `already` if it was true where the search began, or
    /// `never`.
    pub outcome: &'static str,
    /// The first position at which it is known to have been true; absent if it never was.
    pub position: Option<u64>,
    /// For `within`: the last position at which what can be read says that it was false.
    pub after: Option<u64>,
    /// The entry that made it true; absent unless one did.
    pub entry: Option<EntryView>,
    /// `history`, `binary_search` or `scan`.
    pub method: &'static str,
    /// Why so, in words.
    pub why: String,
    /// After how many entries the predicate was looked at.
    pub entries: u64,
    /// At how many checkpoints.
    pub checkpoints: u64,
    /// Runs that were met without their creation, so that nothing counts them.
    pub begun_before: u64,
}

impl From<&Bisection> for BisectionView {
    fn from(bisection: &Bisection) -> Self {
        let (outcome, position, entry) = match &bisection.found {
            Found::At(entry) => ("found", Some(entry.position), Some(EntryView::from(&**entry))),
            Found::Within { by, .. } => ("within", Some(*by), None),
            Found::Before => ("already", Some(bisection.from), None),
            Found::Never => ("never", None, None),
        };
        Self {
            when: bisection.expression.clone(),
            from: bisection.from.0,
            to: bisection.to.0,
            outcome,
            position: position.map(|position| position.0),
            after: match bisection.found {
                Found::Within { after, .. } => Some(after.0),
                Found::At(_) | Found::Before | Found::Never => None,
            },
            entry,
            method: bisection.method.name(),
            why: bisection.why.clone(),
            entries: bisection.entries,
            checkpoints: bisection.checkpoints,
            begun_before: bisection.begun_before,
        }
    }
}
