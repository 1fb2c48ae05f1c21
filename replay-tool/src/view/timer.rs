//! One armed timer.

use serde::Serialize;
use tachograph_engine::domain::{ArmedTimer, TimerOf, Timestamp};

use crate::machine::WriterState;
use crate::timers::is_overdue;

/// One armed timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimerView {
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
    /// How long until then, in microseconds; negative if that has passed.
    pub due_in_us: i64,
    /// Whether that has come.
    pub overdue: bool,
    /// Position of the entry that armed it.
    pub armed: u64,
    /// When that was recorded.
    pub armed_at: String,
    /// Whether the journal's last writer can still see to it: `alive`, `gone` or `unknown`.
    pub writer: Option<&'static str>,
}

impl TimerView {
    /// A timer as seen at a time.
    pub fn of(timer: &ArmedTimer, name: Option<&str>, now: Timestamp, writer: Option<WriterState>) -> Self {
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
            armed: timer.armed.0,
            armed_at: timer.armed_at.to_string(),
            writer: writer.map(WriterState::name),
        }
    }
}
