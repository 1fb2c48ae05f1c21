//! `timers`: one row per timer that is armed at a position.

use tachograph_engine::domain::{ArmedTimer, Position, RunRecord, TimerOf, timers_of};
use tachograph_projections::Timers;

use super::column::{Table, integer};

/// One timer.
pub(super) struct TimerRow {
    timer: ArmedTimer,
    /// Whether the entry that armed it is archived: then its record tells of none but a later one.
    is_before: bool,
}

impl std::ops::Deref for TimerRow {
    type Target = ArmedTimer;

    fn deref(&self) -> &ArmedTimer {
        &self.timer
    }
}

/// The timers of runs as they were where the archive ends.
pub(super) fn begun(archived: Position, bases: &[RunRecord]) -> Timers {
    Timers::from_armed(archived, bases.iter().flat_map(timers_of).collect())
}

/// The timers that are armed, by key.
pub(super) fn rows(timers: &Timers, archived: Position) -> impl Iterator<Item = TimerRow> + '_ {
    timers.armed().into_iter().map(move |timer| TimerRow { timer: timer.clone(), is_before: timer.armed <= archived })
}

/// One row per armed timer.
pub(super) fn timers() -> Table<TimerRow> {
    Table::of("timers", "one timer that is armed: a snapshot, or the deadline of a wait", |_| 1)
        .text("run", "the run", |timer: &TimerRow, _| Some(timer.key.run.to_string()))
        .text("kind", "`snapshot` or `deadline`", |timer, _| {
            Some(if matches!(timer.key.of, TimerOf::Snapshot(_)) { "snapshot" } else { "deadline" }.to_owned())
        })
        .text("snapshot", "of `snapshot`: its id", |timer, _| match timer.key.of {
            TimerOf::Snapshot(id) => Some(id.to_string()),
            TimerOf::Deadline(_) => None,
        })
        .text("attempt_id", "of `deadline`: the attempt that waits", |timer, _| match timer.key.of {
            TimerOf::Deadline(id) => Some(id.to_string()),
            TimerOf::Snapshot(_) => None,
        })
        .text("runner", "who armed it", |timer, _| Some(timer.runner.to_string()))
        .time(["due", "due_us"], "when it is due", |timer, _| Some(timer.due))
        .integer("armed_position", "position of the entry that armed it", |timer, _| {
            (!timer.is_before).then_some(integer(timer.armed.0))
        })
        .time(["armed_at", "armed_at_us"], "when that was recorded", |timer, _| {
            (!timer.is_before).then_some(timer.armed_at)
        })
}
