//! `timers`: one row per timer that is armed at a position.

use tachograph_engine::domain::{ArmedTimer, TimerOf};

use super::column::{Table, integer};

/// One row per armed timer.
pub(super) fn timers() -> Table<ArmedTimer> {
    Table::of("timers", "one timer that is armed: a snapshot, or the deadline of a wait", |_| 1)
        .text("run", "the run", |timer: &ArmedTimer, _| Some(timer.key.run.to_string()))
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
        .integer("armed_position", "position of the entry that armed it", |timer, _| Some(integer(timer.armed.0)))
        .time(["armed_at", "armed_at_us"], "when that was recorded", |timer, _| Some(timer.armed_at))
}
