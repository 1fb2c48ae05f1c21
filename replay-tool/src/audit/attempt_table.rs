//! `attempts`: one row per incarnation of a run, folded out of its events.

use std::collections::HashMap;
use std::sync::Arc;

use tachograph_engine::domain::{
    AttemptId, Entry, Event, Exit, ExitStatus, Failure, Ordinal, Outcome, Position, ResourceLimits, RunId, RunRecord,
    RunSpec, RunnerId, StartCause, Timestamp,
};

use super::column::{Table, integer, json};
use super::ending;
use crate::view::EventView;

/// One attempt.
pub(super) struct AttemptRow {
    run: RunId,
    /// The run's name; absent if its creation cannot be read, too.
    name: Option<Arc<str>>,
    /// How much of its output the run keeps at most, if there is a bound; absent if its creation cannot be read.
    output_limit: Option<Option<u64>>,
    id: AttemptId,
    ordinal: Ordinal,
    runner: RunnerId,
    /// Absent if it failed before it was started.
    cause: Option<StartCause>,
    previous: Option<AttemptId>,
    /// Absent if that is archived.
    began: Option<(Position, Timestamp)>,
    ended: Option<(Position, Timestamp)>,
    outcome: Option<Outcome>,
    superseded_at: Option<Timestamp>,
}

/// The fold of all attempts, in the order in which they began.
#[derive(Default)]
pub(super) struct Attempts {
    rows: Vec<AttemptRow>,
    by_id: HashMap<(RunId, AttemptId), usize>,
    created: HashMap<RunId, Created>,
}

/// What is known of a run by its creation.
struct Created {
    name: Option<Arc<str>>,
    output_limit: Option<u64>,
}

impl Attempts {
    /// Folds one more entry in.
    pub(super) fn apply(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        let at = (entry.position, entry.recorded_at);
        for event in entry.events() {
            match event {
                Event::Started { attempt, ordinal, runner, cause, previous } => {
                    self.started(run, at, (*attempt, *ordinal, runner), *cause, *previous);
                }
                Event::Exited { attempt, exit } => {
                    self.ended(run, *attempt, at, Outcome::Exited { exit: exit.clone(), amended: None });
                }
                Event::Failed { attempt, ordinal, runner, failure } => {
                    self.failed(run, at, (*attempt, *ordinal, runner), failure);
                }
                Event::ExitAmended { attempt, status, .. } => self.amended(run, *attempt, status),
                Event::Created { spec, .. } => self.created(run, spec),
                Event::Waiting { .. }
                | Event::Destroyed { .. }
                | Event::SnapshotScheduled { .. }
                | Event::SnapshotCanceled { .. }
                | Event::SnapshotDispatched { .. }
                | Event::SnapshotTaken { .. }
                | Event::SnapshotFailed { .. }
                | Event::RunnerDisconnected { .. }
                | Event::Reconciled { .. } => {}
            }
        }
    }

    /// Begins with a run as it was where the archive ends: with what it is, and with an attempt that was open there.
    pub(super) fn begin(&mut self, base: &RunRecord) {
        let run = base.run.id;
        self.created(run, &base.run.spec);
        let Some(attempt) = base.run.attempt.as_ref().filter(|attempt| attempt.outcome.is_none()) else { return };
        let row = self.open(run, attempt.id, attempt.ordinal, &attempt.runner, None);
        row.cause = attempt.started.then_some(attempt.cause);
        row.previous = base.run.spent.last().copied();
    }

    /// The attempts.
    pub(super) fn rows(&self) -> &[AttemptRow] {
        &self.rows
    }

    // No more of a spec than is read: all of them are much memory.
    fn created(&mut self, run: RunId, spec: &RunSpec) {
        let name = spec.name.as_deref().map(Arc::from);
        self.created.insert(run, Created { name, output_limit: spec.limits.output_bytes });
    }

    fn row(&mut self, run: RunId, attempt: AttemptId) -> Option<&mut AttemptRow> {
        let index = *self.by_id.get(&(run, attempt))?;
        self.rows.get_mut(index)
    }

    fn started(
        &mut self,
        run: RunId,
        at: (Position, Timestamp),
        (id, ordinal, runner): (AttemptId, Ordinal, &RunnerId),
        cause: StartCause,
        previous: Option<AttemptId>,
    ) {
        // The holder that goes on after waiting opens no attempt.
        if self.by_id.contains_key(&(run, id)) {
            return;
        }
        if let Some(before) = previous.and_then(|previous| self.row(run, previous))
            && before.outcome.is_none()
        {
            before.superseded_at = Some(at.1);
        }
        self.open(run, id, ordinal, runner, Some(at)).cause = Some(cause);
        if let Some(row) = self.rows.last_mut() {
            row.previous = previous;
        }
    }

    fn open(
        &mut self,
        run: RunId,
        id: AttemptId,
        ordinal: Ordinal,
        runner: &RunnerId,
        began: Option<(Position, Timestamp)>,
    ) -> &mut AttemptRow {
        let index = self.rows.len();
        let created = self.created.get(&run);
        self.by_id.insert((run, id), index);
        self.rows.push(AttemptRow {
            run,
            name: created.and_then(|created| created.name.clone()),
            output_limit: created.map(|created| created.output_limit),
            id,
            ordinal,
            runner: runner.clone(),
            cause: None,
            previous: None,
            began,
            ended: None,
            outcome: None,
            superseded_at: None,
        });
        &mut self.rows[index]
    }

    fn failed(
        &mut self,
        run: RunId,
        at: (Position, Timestamp),
        (id, ordinal, runner): (AttemptId, Ordinal, &RunnerId),
        failure: &Failure,
    ) {
        if !self.by_id.contains_key(&(run, id)) {
            self.open(run, id, ordinal, runner, Some(at));
        }
        self.ended(run, id, at, Outcome::Failed(failure.clone()));
    }

    fn ended(&mut self, run: RunId, attempt: AttemptId, at: (Position, Timestamp), outcome: Outcome) {
        if let Some(row) = self.row(run, attempt) {
            row.ended = Some(at);
            row.outcome = Some(outcome);
        }
    }

    fn amended(&mut self, run: RunId, attempt: AttemptId, status: &ExitStatus) {
        if let Some(Outcome::Exited { amended, .. }) = self.row(run, attempt).and_then(|row| row.outcome.as_mut()) {
            *amended = Some(status.clone());
        }
    }
}

fn exit(row: &AttemptRow) -> Option<&Exit> {
    match row.outcome.as_ref()? {
        Outcome::Exited { exit, .. } => Some(exit),
        Outcome::Failed(_) => None,
    }
}

fn failure(row: &AttemptRow) -> Option<&Failure> {
    row.outcome.as_ref()?.failure()
}

fn status(row: &AttemptRow) -> Option<&ExitStatus> {
    row.outcome.as_ref()?.exit_status()
}

/// What bounds its output, if the run's creation can be read.
fn limits(row: &AttemptRow) -> Option<ResourceLimits> {
    row.output_limit.map(|output_bytes| ResourceLimits { output_bytes, ..ResourceLimits::default() })
}

/// The event that ended it, as JSON.
fn payload(row: &AttemptRow) -> Option<String> {
    let event = match row.outcome.as_ref()? {
        Outcome::Exited { exit, .. } => Event::Exited { attempt: row.id, exit: exit.clone() },
        Outcome::Failed(failure) => Event::Failed {
            attempt: row.id,
            ordinal: row.ordinal,
            runner: row.runner.clone(),
            failure: failure.clone(),
        },
    };
    json(&EventView::of(&event, limits(row).as_ref()))
}

/// One row per attempt.
pub(super) fn attempts() -> Table<AttemptRow> {
    ended(began()).text("payload", "the event that ended it, as JSON", |row, _| payload(row))
}

fn began() -> Table<AttemptRow> {
    Table::of("attempts", "one incarnation of a run", |_| 1)
        .text("run", "the run", |row: &AttemptRow, _| Some(row.run.to_string()))
        .text("name", "the run's name", |row, _| row.name.as_deref().map(str::to_owned))
        .integer("attempt", "its number within the run: 1, 2, 3…", |row, _| Some(i64::from(row.ordinal.0)))
        .text("attempt_id", "its id", |row, _| Some(row.id.to_string()))
        .text("runner", "who held it, or was to hold it", |row, _| Some(row.runner.to_string()))
        .integer("started", "1 if its start was recorded, 0 if it failed before", |row, _| {
            Some(i64::from(row.cause.is_some()))
        })
        .text("cause", "why it was opened: `fresh`, `resume`, `restart` or `takeover`", |row, _| {
            row.cause.map(|cause| cause.name().to_owned())
        })
        .text("previous_attempt_id", "the attempt before it", |row, _| row.previous.map(|id| id.to_string()))
        .integer("began_position", "position of its first event", |row, _| {
            row.began.map(|(position, _)| integer(position.0))
        })
        .time(["began_at", "began_at_us"], "when that was recorded", |row, _| row.began.map(|(_, time)| time))
        .time(
            ["superseded_at", "superseded_at_us"],
            "when another attempt took its place while it was open",
            |row, _| row.superseded_at,
        )
}

fn ended(table: Table<AttemptRow>) -> Table<AttemptRow> {
    table
        .text("outcome", "`Exited` or `Failed`; absent while it is open, or if it was superseded", |row, _| {
            Some(if row.outcome.as_ref()?.failure().is_some() { "Failed" } else { "Exited" }.to_owned())
        })
        .integer("ended_position", "position of the event that ended it", |row, _| {
            row.ended.map(|(position, _)| integer(position.0))
        })
        .time(["ended_at", "ended_at_us"], "when that was recorded", |row, _| row.ended.map(|(_, time)| time))
        .integer("exit_code", "its exit code, if it has one", |row, _| status(row).and_then(ending::code))
        .integer("exit_signal", "the signal that ended it", |row, _| status(row).and_then(ending::signal))
        .text("exit_unknown", "why its exit status is not known", |row, _| status(row).and_then(ending::unknown))
        .integer("exit_amended", "1 if an authentic record filled the status in later, else 0", |row, _| {
            match row.outcome.as_ref()? {
                Outcome::Exited { amended, .. } => Some(i64::from(amended.is_some())),
                Outcome::Failed(_) => None,
            }
        })
        .text("witness", "how the exit is known: `waited`, `exit_file` or `synthesised`", |row, _| {
            exit(row).map(|exit| exit.witness.name().to_owned())
        })
        .integer("stdout_bytes", "bytes of standard output", |row, _| exit(row).and_then(ending::stdout_bytes))
        .integer("stderr_bytes", "bytes of standard error", |row, _| exit(row).and_then(ending::stderr_bytes))
        .integer("drained", "1 if both were read to their end, else 0", |row, _| exit(row).and_then(ending::drained))
        .integer("left_out_bytes_min", ending::LEFT_OUT, |row, _| {
            exit(row).and_then(|exit| ending::left_out_bytes_min(exit, &limits(row)?))
        })
        .text("failure_kind", "of Failed: for example `spawn_failed`", |row, _| {
            failure(row).map(|failure| failure.kind.name().to_owned())
        })
        .text("failure_message", "of Failed: the same in a sentence", |row, _| {
            failure(row).map(|failure| failure.message.clone())
        })
        .text("likely_cause", "of Failed: the most probable cause", |row, _| {
            failure(row)?.diagnostics.likely_cause.clone()
        })
}
