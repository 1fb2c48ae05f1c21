//! `sessions`: one row per writer that opened the journal, folded out of the facts about it.

use tachograph_engine::domain::{Entry, EntryBody, Position, Session, SystemFact, Timestamp, TornTail};

use super::column::{Table, integer, json};
use crate::view::SystemView;

/// One writer's time with the journal.
pub(super) struct SessionRow {
    pub(super) opened: (Position, Timestamp),
    session: Session,
    recovered: Option<Recovered>,
    closed: Option<(Position, Timestamp)>,
    /// When the entry before its opening was recorded.
    pub(super) entry_before_at: Option<Timestamp>,
}

struct Recovered {
    torn: Option<TornTail>,
    missing_up_to: Option<Position>,
    open_runs: u64,
}

/// The sessions, out of the facts about the journal in their order.
pub(super) fn sessions_of(facts: &[Entry]) -> Vec<SessionRow> {
    let mut rows: Vec<SessionRow> = Vec::new();
    for entry in facts {
        let EntryBody::System(fact) = &entry.body else { continue };
        let at = (entry.position, entry.recorded_at);
        match (fact, rows.last_mut()) {
            (SystemFact::Opened(session), _) => {
                let session = session.clone();
                rows.push(SessionRow { opened: at, session, recovered: None, closed: None, entry_before_at: None });
            }
            (SystemFact::Recovered { torn, missing_up_to, open_runs }, Some(row)) => {
                let missing_up_to = missing_up_to.map(|(position, _)| position);
                row.recovered = Some(Recovered { torn: torn.clone(), missing_up_to, open_runs: *open_runs });
            }
            (SystemFact::Closed(_), Some(row)) => row.closed = Some(at),
            // Of a bundle of a range, the opening may be left out.
            (SystemFact::Recovered { .. } | SystemFact::Closed(_), None) => {}
        }
    }
    rows
}

/// One row per writer that opened the journal.
pub(super) fn sessions() -> Table<SessionRow> {
    let table = Table::of(
        "sessions",
        "one writer that opened the journal, until it closed it or the next one opened it",
        |_| 1,
    )
    .integer("opened_position", "position of its opening", |row: &SessionRow, _| Some(integer(row.opened.0.0)))
    .time(["opened_at", "opened_at_us"], "when that was recorded", |row, _| Some(row.opened.1))
    .text("host", "its host", |row, _| Some(row.session.host.clone()))
    .text("boot_id", "the boot id of its kernel", |row, _| Some(row.session.boot_id.clone()))
    .integer("pid", "its process id", |row, _| Some(i64::from(row.session.pid)))
    .text("version", "the version of its software", |row, _| Some(row.session.version.clone()))
    .integer("monotonic_us", "the monotonic clock of that boot at its opening, in microseconds", |row, _| {
        Some(integer(row.session.monotonic_us))
    });
    recovered(table)
        .integer("closed_position", "position of its close; absent if it crashed, or is open", |row, _| {
            row.closed.map(|(position, _)| integer(position.0))
        })
        .time(["closed_at", "closed_at_us"], "when that was recorded", |row, _| row.closed.map(|(_, time)| time))
        .text("payload", "its opening, as JSON (a fact as `tacho tail` prints it)", |row, _| {
            json(&SystemView::from(&SystemFact::Opened(row.session.clone())))
        })
}

fn recovered(table: Table<SessionRow>) -> Table<SessionRow> {
    table
        .time(
            ["entry_before_at", "entry_before_at_us"],
            "when the entry before its opening was recorded: the last sign of the writer before",
            |row, _| row.entry_before_at,
        )
        .integer("recovered", "1 if the writer before had not closed the journal, else 0", |row, _| {
            Some(i64::from(row.recovered.is_some()))
        })
        .integer("open_runs", "of recovered: how many runs had not ended", |row, _| {
            row.recovered.as_ref().map(|recovered| integer(recovered.open_runs))
        })
        .integer("torn_bytes", "of recovered: bytes of an incomplete write that were cut", |row, _| {
            row.recovered.as_ref()?.torn.as_ref().map(|torn| integer(torn.bytes))
        })
        .integer(
            "missing_up_to",
            "of recovered: entries up to this position were durable once and are gone",
            |row, _| row.recovered.as_ref()?.missing_up_to.map(|position| integer(position.0)),
        )
}
