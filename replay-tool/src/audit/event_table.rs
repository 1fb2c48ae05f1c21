//! `events`: one row per event, with the columns that its kind fills.

use tachograph_engine::domain::{
    AttemptId, Entry, EntryBody, Event, Exit, ExitStatus, RunnerId, SnapshotId, Timestamp,
};

use super::column::{Table, integer, json};
use super::ending;
use super::entry_table::{action, actor};
use crate::view::EventView;

fn event(entry: &Entry, row: usize) -> Option<&Event> {
    entry.events().get(row)
}

/// The run's version after this event.
fn version(entry: &Entry, row: usize) -> Option<i64> {
    match &entry.body {
        EntryBody::Committed(committed) => {
            let later = (committed.events.len() - row.min(committed.events.len())).saturating_sub(1);
            Some(integer(committed.version.0.saturating_sub(later as u64)))
        }
        EntryBody::Refused(_) | EntryBody::System(_) => None,
    }
}

fn attempt_id(event: &Event) -> Option<AttemptId> {
    match event {
        Event::Started { attempt, .. }
        | Event::Waiting { attempt, .. }
        | Event::Exited { attempt, .. }
        | Event::Failed { attempt, .. }
        | Event::RunnerDisconnected { attempt, .. }
        | Event::ExitAmended { attempt, .. }
        | Event::Reconciled { attempt, .. } => Some(*attempt),
        Event::Created { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotFailed { .. } => None,
    }
}

fn snapshot(event: &Event) -> Option<SnapshotId> {
    match event {
        Event::SnapshotScheduled { snapshot, .. }
        | Event::SnapshotCanceled { snapshot, .. }
        | Event::SnapshotDispatched { snapshot }
        | Event::SnapshotTaken { snapshot, .. }
        | Event::SnapshotFailed { snapshot, .. } => Some(*snapshot),
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::Failed { .. }
        | Event::Destroyed { .. }
        | Event::RunnerDisconnected { .. }
        | Event::ExitAmended { .. }
        | Event::Reconciled { .. } => None,
    }
}

fn runner(event: &Event) -> Option<&RunnerId> {
    match event {
        Event::Started { runner, .. }
        | Event::Failed { runner, .. }
        | Event::SnapshotScheduled { runner, .. }
        | Event::RunnerDisconnected { runner, .. } => Some(runner),
        Event::Created { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotFailed { .. }
        | Event::ExitAmended { .. }
        | Event::Reconciled { .. } => None,
    }
}

/// The sentence for people that comes with some events.
fn message(event: &Event) -> Option<&str> {
    match event {
        Event::Failed { failure, .. } => Some(&failure.message),
        Event::Destroyed { why, .. } => Some(why),
        Event::SnapshotFailed { message, .. } => Some(message),
        Event::Reconciled { detail, .. } => Some(detail),
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::SnapshotTaken { .. }
        | Event::RunnerDisconnected { .. }
        | Event::ExitAmended { .. } => None,
    }
}

fn exit(event: Option<&Event>) -> Option<&Exit> {
    if let Some(Event::Exited { exit, .. }) = event { Some(exit) } else { None }
}

fn status(event: Option<&Event>) -> Option<&ExitStatus> {
    match event {
        Some(Event::ExitAmended { status, .. }) => Some(status),
        other => exit(other).map(|exit| &exit.status),
    }
}

fn cause(event: &Event) -> Option<&'static str> {
    if let Event::Started { cause, .. } = event {
        return Some(cause.name());
    }
    if let Event::SnapshotCanceled { cause, .. } = event { Some(cause.name()) } else { None }
}

fn due(event: &Event) -> Option<Timestamp> {
    if let Event::SnapshotScheduled { due, .. } = event { Some(*due) } else { None }
}

fn ordinal(event: &Event) -> Option<i64> {
    if let Event::Started { ordinal, .. } | Event::Failed { ordinal, .. } = event {
        return Some(i64::from(ordinal.0));
    }
    None
}

/// One row per event.
pub(super) fn events() -> Table<Entry> {
    ended(began(heading()))
        .text("finding", "of Reconciled: `adopted`, `lost` or `orphan`", |entry, row| match event(entry, row)? {
            Event::Reconciled { finding, .. } => Some(finding.name().to_owned()),
            _ => None,
        })
        .text("message", "the sentence of a Failed, Destroyed, SnapshotFailed or Reconciled", |entry, row| {
            event(entry, row).and_then(message).map(str::to_owned)
        })
        .text("payload", "all of it, as JSON (an event of an entry as `tacho tail` prints it)", |entry, row| {
            event(entry, row).and_then(|event| json(&EventView::from(event)))
        })
}

fn heading() -> Table<Entry> {
    Table::of("events", "one event of one command", |entry: &Entry| entry.events().len())
        .integer("position", "position of its entry", |entry: &Entry, _| Some(integer(entry.position.0)))
        .integer("number", "which event of its entry: 1, 2, 3…", |_, row| Some(integer(row + 1)))
        .time(["recorded_at", "recorded_at_us"], "when it was recorded, by the writer's clock", |entry, _| {
            Some(entry.recorded_at)
        })
        .text("run", "the run", |entry, _| entry.run().map(|run| run.to_string()))
        .integer("version", "the run's version after it", version)
        .text("event", "its name, for example `Exited`", |entry, row| {
            event(entry, row).map(|event| event.name().name().to_owned())
        })
        .text("status", "the run's status after it, if it is a transition", |entry, row| {
            event(entry, row)?.leads_to().map(|status| status.name().to_owned())
        })
        .text("command_id", "the id of the command", |entry, _| entry.command_id().map(|id| id.to_string()))
        .text("action", "what was asked", |entry, _| action(entry).map(str::to_owned))
        .text("actor_kind", "who asked", |entry, _| actor(entry).map(|actor| actor.kind.name().to_owned()))
        .text("actor", "which one of that kind", |entry, _| actor(entry).map(|actor| actor.id.to_string()))
}

fn began(table: Table<Entry>) -> Table<Entry> {
    table
        .text("attempt_id", "the attempt that it is about", |entry, row| {
            event(entry, row).and_then(attempt_id).map(|id| id.to_string())
        })
        .integer("attempt", "of Started and Failed: the attempt's number", |entry, row| {
            event(entry, row).and_then(ordinal)
        })
        .text("runner", "of Started, Failed, SnapshotScheduled and RunnerDisconnected: who holds it", |entry, row| {
            event(entry, row).and_then(runner).map(|runner| runner.to_string())
        })
        .text(
            "cause",
            "of Started: `fresh`, `resume`, `restart` or `takeover`; of SnapshotCanceled: why",
            |entry, row| event(entry, row).and_then(cause).map(str::to_owned),
        )
        .text("waits_on", "of Waiting: on what", |entry, row| match event(entry, row)? {
            Event::Waiting { on, .. } => Some(on.clone()),
            _ => None,
        })
        .time(["deadline", "deadline_us"], "of Waiting: until when at most", |entry, row| match event(entry, row)? {
            Event::Waiting { deadline, .. } => *deadline,
            _ => None,
        })
        .text("snapshot", "the snapshot that it is about", |entry, row| {
            event(entry, row).and_then(snapshot).map(|id| id.to_string())
        })
        .time(["due", "due_us"], "of SnapshotScheduled: when it is due", |entry, row| event(entry, row).and_then(due))
}

fn ended(table: Table<Entry>) -> Table<Entry> {
    table
        .integer("exit_code", "of Exited and ExitAmended: the code, if there is one", |entry, row| {
            status(event(entry, row)).and_then(ending::code)
        })
        .integer("exit_signal", "the same for the signal", |entry, row| {
            status(event(entry, row)).and_then(ending::signal)
        })
        .text("exit_unknown", "of Exited: why the status is not known", |entry, row| {
            status(event(entry, row)).and_then(ending::unknown)
        })
        .text("witness", "of Exited: `waited`, `exit_file` or `synthesised`", |entry, row| {
            exit(event(entry, row)).map(|exit| exit.witness.name().to_owned())
        })
        .integer("stdout_bytes", "of Exited: bytes of standard output", |entry, row| {
            exit(event(entry, row)).and_then(ending::stdout_bytes)
        })
        .integer("stderr_bytes", "of Exited: bytes of standard error", |entry, row| {
            exit(event(entry, row)).and_then(ending::stderr_bytes)
        })
        .integer("drained", "of Exited: 1 if both were read to their end, else 0", |entry, row| {
            exit(event(entry, row)).and_then(ending::drained)
        })
        .text("failure_kind", "of Failed: for example `spawn_failed`", |entry, row| match event(entry, row)? {
            Event::Failed { failure, .. } => Some(failure.kind.name().to_owned()),
            _ => None,
        })
}
