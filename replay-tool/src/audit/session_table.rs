//! `sessions`: one row per writer that opened the journal, folded out of the facts about it.

use tachograph_engine::domain::{Entry, EntryBody, Position, Session, SystemFact, Timestamp, TornTail};

use super::column::{Table, integer, json};
use crate::view::SystemView;

/// One writer's time with the journal.
pub(super) struct SessionRow {
    /// Absent if what is held begins after it.
    pub(super) opened: Option<(Position, Timestamp)>,
    /// Who it was, as its opening says, or its close.
    session: Option<Session>,
    recovered: Option<Recovered>,
    closed: Option<(Position, Timestamp)>,
    /// When the entry before its opening was recorded.
    pub(super) entry_before_at: Option<Timestamp>,
}

impl SessionRow {
    /// Who it was at its opening.
    fn opening(&self) -> Option<&Session> {
        self.session.as_ref().filter(|_| self.opened.is_some())
    }
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
        // Its opening may be archived, or left out of a bundle of a range.
        if rows.is_empty() || matches!(fact, SystemFact::Opened(_)) {
            rows.push(SessionRow { opened: None, session: None, recovered: None, closed: None, entry_before_at: None });
        }
        let Some(row) = rows.last_mut() else { continue };
        match fact {
            SystemFact::Opened(session) => (row.opened, row.session) = (Some(at), Some(session.clone())),
            SystemFact::Recovered { torn, missing_up_to, open_runs } => {
                let missing_up_to = missing_up_to.map(|(position, _)| position);
                row.recovered = Some(Recovered { torn: torn.clone(), missing_up_to, open_runs: *open_runs });
            }
            SystemFact::Closed(session) => {
                row.closed = Some(at);
                row.session.get_or_insert_with(|| session.clone());
            }
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
    .integer("opened_position", "position of its opening; absent if that is archived", |row: &SessionRow, _| {
        row.opened.map(|(position, _)| integer(position.0))
    })
    .time(["opened_at", "opened_at_us"], "when that was recorded", |row, _| row.opened.map(|(_, time)| time))
    .text("host", "its host", |row, _| Some(row.session.as_ref()?.host.clone()))
    .text("boot_id", "the boot id of its kernel", |row, _| Some(row.session.as_ref()?.boot_id.clone()))
    .integer("pid", "its process id", |row, _| row.session.as_ref().map(|session| i64::from(session.pid)))
    .text("version", "the version of its software", |row, _| Some(row.session.as_ref()?.version.clone()))
    .integer("monotonic_us", "the monotonic clock of that boot at its opening, in microseconds", |row, _| {
        row.opening().map(|session| integer(session.monotonic_us))
    });
    recovered(table)
        .integer("closed_position", "position of its close; absent if it crashed, or is open", |row, _| {
            row.closed.map(|(position, _)| integer(position.0))
        })
        .time(["closed_at", "closed_at_us"], "when that was recorded", |row, _| row.closed.map(|(_, time)| time))
        .text("payload", "its opening, as JSON (a fact as `tacho tail` prints it)", |row, _| {
            row.opening().and_then(|session| json(&SystemView::from(&SystemFact::Opened(session.clone()))))
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
            let is_known = row.opened.is_some() || row.recovered.is_some();
            is_known.then(|| i64::from(row.recovered.is_some()))
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
