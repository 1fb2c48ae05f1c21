//! `tacho timeline`: what happened to one run.

use std::collections::BTreeMap;

use tachograph_engine::domain::{
    Entry, EntryBody, Event, ExitStatus, Refusal, ResourceLimits, SnapshotId, Status, SystemFact, Timestamp,
};
use tachograph_projections::{Item, ItemBody};

use crate::cli::TimelineArgs;
use crate::dataset::{Border, History};
use crate::duration;
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::show::diagnostics;
use crate::table::{Align, BAD, BOLD, Cell, DIM, Table, WARN, printable, status_style};
use crate::view::TimelineView;
use crate::words;

const COLUMNS: [(&str, Align); 5] = [
    ("POSITION", Align::Right),
    ("TIME", Align::Left),
    ("DELTA", Align::Right),
    ("ACTOR", Align::Left),
    ("WHAT", Align::Left),
];

/// Tells one run's history, refused reports beside it.
///
/// # Errors
///
/// [`Error`] if there is no such run, the journal cannot be read or the output not written.
pub async fn tell(reading: &mut Reading, args: &TimelineArgs) -> Result<(), Error> {
    let history = reading.dataset.history(&args.run).await?;
    let is_open = history.timeline.state().run().is_some_and(|run| !run.is_ended());
    let last = if is_open { reading.dataset.last_writer().await? } else { None };
    let writer = reading.ask_about(last);
    if reading.is_json() {
        let state = writer.as_ref().map(|(_, state)| *state);
        return reading.output.json(&TimelineView::from(&history).with_writer(state));
    }
    let (mut table, mut dues) = (Table::of(&COLUMNS), Dues::new());
    if let Some(border) = &history.border {
        archived(&mut table, border);
    }
    let limits = history.timeline.state().run().map(|run| &run.spec.limits);
    for item in history.timeline.items() {
        rows(&mut table, item, (history.entry(item.position), limits), &mut dues);
    }
    let text = [heading(&history), table.render(), closing(&history, writer.as_ref(), reading.now)];
    text.iter().try_for_each(|part| reading.output.text(part))
}

/// What stands in the place of archived entries.
fn archived(table: &mut Table, border: &Border) {
    let what = Cell::styled(words::archived(border.up_to, &border.bundle, border.base.run.status.name()), WARN);
    table.row([Cell::from(""), Cell::from(""), Cell::from(""), Cell::styled("journal", DIM), what]);
}

fn heading(history: &History) -> String {
    let run = history.timeline.run();
    match history.timeline.state().run() {
        None => format!("run {run} {}\n\n", words::NEVER_CREATED),
        Some(known) => {
            let name = known.spec.name.as_ref().map(|name| format!(" {:?}", printable(name))).unwrap_or_default();
            format!("{}run {run}{name}{}\n\n", BOLD.render(), BOLD.render_reset())
        }
    }
}

/// How long an open run has been silent, and whether it waits for too long: whoever asks wants to know if it hangs.
fn closing(history: &History, writer: Option<&(LastWriter, WriterState)>, now: Timestamp) -> String {
    let Some(run) = history.timeline.state().run().filter(|run| !run.is_ended()) else { return String::new() };
    let Some(last) = history.last() else { return String::new() };
    let deadline = match &run.status {
        Status::Waiting { deadline, .. } => *deadline,
        _ => None,
    };
    let silent_us = duration::between(last.recorded_at, now);
    let writer = writer.map(|(writer, state)| (writer, *state));
    let text = words::still_open(run.status.name(), silent_us, words::overdue_us(deadline, now), writer);
    let text = printable(&text);
    format!("\n{}{text}{}\n", WARN.render(), WARN.render_reset())
}

/// When the snapshots that were armed so far are due.
type Dues = BTreeMap<SnapshotId, Timestamp>;

fn rows(table: &mut Table, item: &Item, (entry, limits): (Option<&Entry>, Option<&ResourceLimits>), dues: &mut Dues) {
    let (what, notes) = match &item.body {
        ItemBody::Event { event, applied, cause, .. } => {
            let late_us = lateness(event, item.recorded_at, dues);
            let events = entry.map_or(&[][..], |entry| entry.events());
            let beside = words::Beside { events, issued_at: Some(cause.issued_at), late_us, limits };
            event_cells(event, *applied, beside)
        }
        ItemBody::Refused { refusal, count, .. } => refusal_cells(refusal, *count, entry),
        ItemBody::System(fact) => (Cell::styled(words::system(fact), system_style(fact)), Vec::new()),
        ItemBody::Missing { up_to } => (Cell::styled(words::missing(*up_to), BAD), Vec::new()),
    };
    let actor = item.body.cause().map_or_else(|| "journal".to_owned(), |cause| words::actor(&cause.actor));
    table.row([
        Cell::from(item.position.to_string()),
        Cell::from(item.recorded_at.to_string()),
        delta(item.delta_us),
        Cell::styled(actor, DIM),
        what,
    ]);
    for note in notes {
        table.row([Cell::from(""), Cell::from(""), Cell::from(""), Cell::from(""), Cell::styled(note, DIM)]);
    }
}

fn delta(micros: Option<i64>) -> Cell {
    match micros {
        None => Cell::from(""),
        Some(0) => Cell::from("+0"),
        Some(micros) if micros < 0 => Cell::styled(format!("-{}", duration::human(micros.unsigned_abs())), WARN),
        Some(micros) => Cell::from(format!("+{}", duration::human(micros.unsigned_abs()))),
    }
}

/// How long after its snapshot was due a dispatch came, in microseconds.
fn lateness(event: &Event, recorded_at: Timestamp, dues: &mut Dues) -> Option<i64> {
    match event {
        Event::SnapshotScheduled { snapshot, due, .. } => {
            dues.insert(*snapshot, *due);
            None
        }
        Event::SnapshotDispatched { snapshot } => {
            dues.remove(snapshot).map(|due| recorded_at.as_micros() - due.as_micros())
        }
        _ => None,
    }
}

fn event_cells(event: &Event, applied: bool, beside: words::Beside<'_>) -> (Cell, Vec<String>) {
    let mut notes = match event {
        Event::Failed { failure, .. } => {
            diagnostics(&failure.diagnostics).into_iter().map(|(name, value)| format!("  {name}: {value}")).collect()
        }
        _ => Vec::new(),
    };
    if !applied {
        notes.push(format!("  {}", words::CHANGED_NOTHING));
    }
    (Cell::styled(words::event(event, beside), event_style(event)), notes)
}

/// How an event is shown.
pub(crate) fn event_style(event: &Event) -> anstyle::Style {
    let zero = matches!(event, Event::Exited { exit, .. } if exit.status == ExitStatus::Code(0));
    event.leads_to().map_or(DIM, |status| status_style(status, zero))
}

fn refusal_cells(refusal: &Refusal, count: u64, entry: Option<&Entry>) -> (Cell, Vec<String>) {
    let asked = match entry.map(|entry| &entry.body) {
        Some(EntryBody::Refused(refused)) => words::refused_command(&refused.command),
        _ => "a command".to_owned(),
    };
    let said = [Some(words::why_refused(refusal)), Some(words::remedy(refusal)), words::refused_so_often(count)];
    let notes = said.into_iter().flatten().map(|said| format!("  {said}")).collect();
    (Cell::styled(format!("REFUSED: {asked}"), WARN), notes)
}

fn system_style(fact: &SystemFact) -> anstyle::Style {
    match fact {
        SystemFact::Opened(_) | SystemFact::Closed(_) => DIM,
        SystemFact::Recovered { torn: None, missing_up_to: None, .. } => WARN,
        SystemFact::Recovered { .. } => BAD,
    }
}
