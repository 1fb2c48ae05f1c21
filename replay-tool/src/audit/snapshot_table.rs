//! `snapshots`: one row per snapshot that was armed, with what became of it.

use std::collections::HashMap;

use tachograph_engine::domain::{
    AttemptId, CancelCause, Digest, Entry, Event, Position, RunId, RunRecord, RunnerId, SnapshotId, StatusName,
    Timestamp,
};

use super::column::{Table, integer};

/// What became of a snapshot.
enum Fate {
    Armed,
    Canceled(CancelCause),
    Dispatched,
    Taken { location: String, bytes: u64, digest: Digest },
    Failed { message: String },
}

impl Fate {
    const fn name(&self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Canceled(_) => "canceled",
            Self::Dispatched => "dispatched",
            Self::Taken { .. } => "taken",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One snapshot.
pub(super) struct SnapshotRow {
    run: RunId,
    id: SnapshotId,
    attempt: Option<AttemptId>,
    /// Absent if it was dispatched where the archive ends; so is `due`.
    runner: Option<RunnerId>,
    due: Option<Timestamp>,
    /// Absent if that is archived.
    armed: Option<(Position, Timestamp)>,
    fate: Fate,
    canceled_at: Option<Timestamp>,
    dispatched: Option<(Position, Timestamp)>,
    status_at_dispatch: Option<StatusName>,
    result_at: Option<Timestamp>,
}

/// The fold of all snapshots, in the order in which they were armed.
#[derive(Default)]
pub(super) struct Snapshots {
    rows: Vec<SnapshotRow>,
    by_id: HashMap<(RunId, SnapshotId), usize>,
    runs: HashMap<RunId, (StatusName, Option<AttemptId>)>,
}

impl Snapshots {
    /// Folds one more entry in.
    pub(super) fn apply(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        for event in entry.events() {
            self.see(run, (entry.position, entry.recorded_at), event);
            if let Some(status) = event.leads_to() {
                let attempt = match event {
                    Event::Started { attempt, .. } => Some(*attempt),
                    _ => self.runs.get(&run).and_then(|(_, attempt)| *attempt),
                };
                self.runs.insert(run, (status, attempt));
            }
        }
    }

    /// Begins with a run as it was where the archive ends: with a snapshot that was armed there, or being taken.
    pub(super) fn begin(&mut self, base: &RunRecord) {
        let (run, attempt) = (&base.run, base.run.attempt.as_ref().map(|attempt| attempt.id));
        self.runs.insert(run.id, (run.status.name(), attempt));
        // One that is being taken was armed before the one that is armed.
        if let Some(taken) = &run.in_flight {
            let row = self.row(run.id, taken.id);
            (row.attempt, row.fate) = (Some(taken.attempt), Fate::Dispatched);
        }
        if let Some(armed) = &run.armed {
            let row = self.row(run.id, armed.id);
            (row.runner, row.due) = (Some(armed.runner.clone()), Some(armed.due));
        }
    }

    /// The snapshots.
    pub(super) fn rows(&self) -> &[SnapshotRow] {
        &self.rows
    }

    fn see(&mut self, run: RunId, at: (Position, Timestamp), event: &Event) {
        match event {
            Event::SnapshotScheduled { snapshot, runner, due } => {
                let row = self.row(run, *snapshot);
                (row.runner, row.due, row.armed) = (Some(runner.clone()), Some(*due), Some(at));
            }
            Event::SnapshotCanceled { snapshot, cause } => {
                self.on(run, *snapshot, |row| {
                    row.canceled_at = Some(at.1);
                    row.fate = Fate::Canceled(cause.clone());
                });
            }
            Event::SnapshotDispatched { snapshot } => {
                let status = self.runs.get(&run).map(|(status, _)| *status);
                self.on(run, *snapshot, |row| {
                    row.dispatched = Some(at);
                    row.status_at_dispatch = status;
                    row.fate = Fate::Dispatched;
                });
            }
            Event::SnapshotTaken { snapshot, location, bytes, digest } => {
                self.on(run, *snapshot, |row| {
                    row.result_at = Some(at.1);
                    row.fate = Fate::Taken { location: location.clone(), bytes: *bytes, digest: *digest };
                });
            }
            Event::SnapshotFailed { snapshot, message } => {
                self.on(run, *snapshot, |row| {
                    row.result_at = Some(at.1);
                    row.fate = Fate::Failed { message: message.clone() };
                });
            }
            Event::Created { .. }
            | Event::Started { .. }
            | Event::Waiting { .. }
            | Event::Exited { .. }
            | Event::Failed { .. }
            | Event::Destroyed { .. }
            | Event::RunnerDisconnected { .. }
            | Event::ExitAmended { .. }
            | Event::Reconciled { .. } => {}
        }
    }

    /// A snapshot that is armed, of which no more is known than that.
    fn row(&mut self, run: RunId, id: SnapshotId) -> &mut SnapshotRow {
        let index = self.rows.len();
        self.by_id.insert((run, id), index);
        self.rows.push(SnapshotRow {
            run,
            id,
            attempt: self.runs.get(&run).and_then(|(_, attempt)| *attempt),
            runner: None,
            due: None,
            armed: None,
            fate: Fate::Armed,
            canceled_at: None,
            dispatched: None,
            status_at_dispatch: None,
            result_at: None,
        });
        &mut self.rows[index]
    }

    fn on(&mut self, run: RunId, id: SnapshotId, change: impl FnOnce(&mut SnapshotRow)) {
        if let Some(row) = self.by_id.get(&(run, id)).and_then(|index| self.rows.get_mut(*index)) {
            change(row);
        }
    }
}

/// One row per snapshot.
pub(super) fn snapshots() -> Table<SnapshotRow> {
    result(armed())
}

fn armed() -> Table<SnapshotRow> {
    Table::of("snapshots", "one snapshot that was armed, and what became of it", |_| 1)
        .text("snapshot", "its id", |row: &SnapshotRow, _| Some(row.id.to_string()))
        .text("run", "the run", |row, _| Some(row.run.to_string()))
        .text("attempt_id", "the attempt that it was armed in", |row, _| row.attempt.map(|id| id.to_string()))
        .text("runner", "who armed it", |row, _| row.runner.as_ref().map(RunnerId::to_string))
        .integer("armed_position", "position of the entry that armed it", |row, _| {
            row.armed.map(|(position, _)| integer(position.0))
        })
        .time(["armed_at", "armed_at_us"], "when that was recorded", |row, _| row.armed.map(|(_, time)| time))
        .time(["due", "due_us"], "when it was due", |row, _| row.due)
        .text("fate", "`armed`, `canceled`, `dispatched`, `taken` or `failed`", |row, _| {
            Some(row.fate.name().to_owned())
        })
}

fn result(table: Table<SnapshotRow>) -> Table<SnapshotRow> {
    table
        .text("canceled_because", "why it was canceled, for example `run_ended`", |row, _| match &row.fate {
            Fate::Canceled(cause) => Some(cause.name().to_owned()),
            _ => None,
        })
        .time(["canceled_at", "canceled_at_us"], "when it was canceled", |row, _| row.canceled_at)
        .integer("dispatched_position", "position of its dispatch", |row, _| {
            row.dispatched.map(|(position, _)| integer(position.0))
        })
        .time(["dispatched_at", "dispatched_at_us"], "when that was recorded", |row, _| {
            row.dispatched.map(|(_, time)| time)
        })
        .integer("late_us", "microseconds from its due time to its dispatch; negative would be too early", |row, _| {
            row.dispatched.zip(row.due).map(|((_, time), due)| time.as_micros() - due.as_micros())
        })
        .text("status_at_dispatch", "the run's status at its dispatch", |row, _| {
            row.status_at_dispatch.map(|status| status.name().to_owned())
        })
        .time(["result_at", "result_at_us"], "when its result was recorded", |row, _| row.result_at)
        .text("location", "of `taken`: where it is", |row, _| match &row.fate {
            Fate::Taken { location, .. } => Some(location.clone()),
            _ => None,
        })
        .integer("bytes", "of `taken`: its size", |row, _| match &row.fate {
            Fate::Taken { bytes, .. } => Some(integer(*bytes)),
            _ => None,
        })
        .text("digest", "of `taken`: its BLAKE3 in hexadecimal", |row, _| match &row.fate {
            Fate::Taken { digest, .. } => Some(digest.to_string()),
            _ => None,
        })
        .text("message", "of `failed`: why", |row, _| match &row.fate {
            Fate::Failed { message } => Some(message.clone()),
            _ => None,
        })
}
