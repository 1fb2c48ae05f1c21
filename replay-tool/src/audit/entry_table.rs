//! `entries` and `refusals`: one row per record of the journal, and per refusal.

use tachograph_engine::domain::{
    Actor, Command, Entry, EntryBody, Refused, RefusedCommand, RunnerId, SystemFact, Timestamp,
};

use super::column::{Table, integer, json};
use crate::view::EntryView;

/// The command of an entry as it was, unless only its header was kept.
fn whole(entry: &Entry) -> Option<&Command> {
    match &entry.body {
        EntryBody::Committed(committed) => Some(&committed.command),
        EntryBody::Refused(Refused { command: RefusedCommand::Whole(command), .. }) => Some(command),
        EntryBody::Refused(_) | EntryBody::System(_) => None,
    }
}

fn refused(entry: &Entry) -> Option<&Refused> {
    match &entry.body {
        EntryBody::Refused(refused) => Some(refused),
        EntryBody::Committed(_) | EntryBody::System(_) => None,
    }
}

/// Who issued the command of an entry.
pub(super) fn actor(entry: &Entry) -> Option<&Actor> {
    match &entry.body {
        EntryBody::Committed(committed) => Some(&committed.command.actor),
        EntryBody::Refused(refused) => Some(refused.command.actor()),
        EntryBody::System(_) => None,
    }
}

/// What was asked, by its stable name.
pub(super) fn action(entry: &Entry) -> Option<&'static str> {
    match &entry.body {
        EntryBody::Committed(committed) => Some(committed.command.action.name().name()),
        EntryBody::Refused(refused) => Some(refused.command.action().name()),
        EntryBody::System(_) => None,
    }
}

fn issued_at(entry: &Entry) -> Option<Timestamp> {
    match &entry.body {
        EntryBody::Committed(committed) => Some(committed.command.issued_at),
        EntryBody::Refused(refused) => Some(refused.command.issued_at()),
        EntryBody::System(_) => None,
    }
}

fn claimed_runner(entry: &Entry) -> Option<&RunnerId> {
    whole(entry)?.action.claim().map(|claim| &claim.runner)
}

const fn kind(entry: &Entry) -> &'static str {
    match &entry.body {
        EntryBody::Committed(_) => "committed",
        EntryBody::Refused(_) => "refused",
        EntryBody::System(_) => "system",
    }
}

const fn fact(entry: &Entry) -> Option<&'static str> {
    match &entry.body {
        EntryBody::System(SystemFact::Opened(_)) => Some("opened"),
        EntryBody::System(SystemFact::Recovered { .. }) => Some("recovered"),
        EntryBody::System(SystemFact::Closed(_)) => Some("closed"),
        EntryBody::Committed(_) | EntryBody::Refused(_) => None,
    }
}

fn payload(entry: &Entry) -> Option<String> {
    json(&EntryView::from(entry))
}

/// What rows of `entries` and `refusals` begin with, behind their position.
fn asked(table: Table<Entry>) -> Table<Entry> {
    table
        .text("run", "the run that it is about", |entry, _| entry.run().map(|run| run.to_string()))
        .text("command_id", "the id of the command", |entry, _| entry.command_id().map(|id| id.to_string()))
        .text("action", "what was asked, for example `exit`", |entry, _| action(entry).map(str::to_owned))
        .text("actor_kind", "who asked: `runner`, `supervisor`, `operator`, `timer` or `recovery`", |entry, _| {
            actor(entry).map(|actor| actor.kind.name().to_owned())
        })
        .text("actor", "which one of that kind", |entry, _| actor(entry).map(|actor| actor.id.to_string()))
        .time(["issued_at", "issued_at_us"], "when, by the issuer's clock", |entry, _| issued_at(entry))
        .text("attempt_id", "the attempt that the command names", |entry, _| {
            whole(entry)?.action.attempt().map(|id| id.to_string())
        })
        .text("runner", "the runner whose claim it presents", |entry, _| claimed_runner(entry).map(|id| id.to_string()))
}

/// One row per record of the journal.
pub(super) fn entries() -> Table<Entry> {
    let table = Table::of(
        "entries",
        "one record of the journal: a command with its outcome, or a fact about the journal",
        |_| 1,
    )
    .integer("position", "its place in the journal: 1, 2, 3…", |entry: &Entry, _| Some(integer(entry.position.0)))
    .text("entry", "its id", |entry, _| Some(entry.id.to_string()))
    .time(["recorded_at", "recorded_at_us"], "when it was recorded, by the writer's clock", |entry, _| {
        Some(entry.recorded_at)
    })
    .text("kind", "`committed`, `refused` or `system`", |entry, _| Some(kind(entry).to_owned()))
    .text("fact", "of `system`: `opened`, `recovered` or `closed`", |entry, _| fact(entry).map(str::to_owned))
    .integer("previous", "position of the entry before it about the same run", |entry, _| {
        entry.previous.map(|position| integer(position.0))
    });
    asked(table)
        .integer("expected_version", "the version that the command expects the run to be at", |entry, _| {
            whole(entry)?.expected.map(|version| integer(version.0))
        })
        .integer("version", "of `committed`: the run's version after it", |entry, _| match &entry.body {
            EntryBody::Committed(committed) => Some(integer(committed.version.0)),
            EntryBody::Refused(_) | EntryBody::System(_) => None,
        })
        .integer("events", "how many events it has", |entry, _| Some(integer(entry.events().len())))
        .text("reason", "of `refused`: the code of the reason", |entry, _| {
            refused(entry).map(|refused| refused.refusal.code().to_owned())
        })
        .text("payload", "all of it, as JSON (an entry as `tacho tail` prints it)", |entry, _| payload(entry))
}

/// One row per recorded refusal.
pub(super) fn refusals() -> Table<Entry> {
    let table = Table::of(
        "refusals",
        "one recorded refusal; of the same kind by the same actor, the 1st, 2nd, 4th, 8th… is recorded, with its `count`",
        |entry: &Entry| usize::from(refused(entry).is_some()),
    )
    .integer("position", "its place in the journal", |entry: &Entry, _| Some(integer(entry.position.0)))
    .time(["recorded_at", "recorded_at_us"], "when it was recorded, by the writer's clock", |entry, _| {
        Some(entry.recorded_at)
    });
    asked(table)
        .text("reason", "stable code, for example `run_destroyed`", |entry, _| {
            refused(entry).map(|refused| refused.refusal.code().to_owned())
        })
        .text("message", "what was wrong", |entry, _| refused(entry).map(|refused| refused.refusal.to_string()))
        .text("remedy", "what the issuer should do", |entry, _| {
            refused(entry).map(|refused| refused.refusal.remedy().to_owned())
        })
        .integer("count", "the how many-th of its kind it is since the journal was opened", |entry, _| {
            refused(entry).map(|refused| integer(refused.count))
        })
        .text("payload", "all of it, as JSON (an entry as `tacho tail` prints it)", |entry, _| payload(entry))
}
