//! `tacho state`: what was true at a point.

use std::collections::BTreeMap;

use tachograph_engine::domain::{ArmedTimer, RunRecord, StatusName, TimerOf, Timestamp};

use crate::cli::StateArgs;
use crate::error::Error;
use crate::held::BegunBefore;
use crate::output::Reading;
use crate::point::FleetState;
use crate::runs;
use crate::show::{self, Beside};
use crate::table::{Align, Cell, DIM, Table, WARN};
use crate::timers::{due_in, is_overdue};
use crate::view::StateView;
use crate::when::AsOf;

const TIMER_COLUMNS: [(&str, Align); 6] = [
    ("RUN", Align::Left),
    ("NAME", Align::Left),
    ("TIMER", Align::Left),
    ("RUNNER", Align::Left),
    ("DUE", Align::Left),
    ("IN", Align::Right),
];

/// Shows the fleet, or one run, as it was at a point, with what was armed then.
///
/// # Errors
///
/// [`Error`] if there is no such run, the journal cannot be read or the output not written.
pub async fn show(reading: &mut Reading, args: &StateArgs) -> Result<(), Error> {
    reading.note_beyond_end(args.at.and_then(AsOf::asked_position));
    let dataset = &reading.dataset;
    let at = dataset.position(args.at, reading.now).await?;
    let state = match &args.run {
        Some(text) => {
            let run = match dataset.resolve(text, args.at.map(|_| at)).await {
                // A name that was first taken later: then that is what there is to say.
                Err(unknown @ Error::UnknownRun { .. }) => dataset.resolve(text, None).await.map_err(|_| unknown)?,
                resolved => resolved?,
            };
            dataset.run_at(run, at).await?
        }
        None if args.all => dataset.everything_at(at).await?,
        None => dataset.open_at(at).await?,
    };
    // What is overdue is told by the clock of that time, not by that of whoever asks later.
    let now = match args.at {
        None => reading.now,
        Some(AsOf::Time(when)) => when.resolve(reading.now),
        Some(AsOf::Position(_)) => state.recorded_at.unwrap_or(reading.now),
    };
    if reading.is_json() {
        return reading.output.json(&StateView::of(&state, now));
    }
    let text = text(&state, args, now);
    reading.output.text(&text)
}

fn text(state: &FleetState, args: &StateArgs, now: Timestamp) -> String {
    let mut text = heading(state);
    match (&args.run, state.runs.as_slice()) {
        (Some(_), [record]) => {
            let beside = Beside { files: None, writer: None, until: now, now, late_us: None };
            text.push_str(&show::lines(record, beside));
        }
        (_, []) if state.begun_before.is_empty() => {
            text.push_str(if args.all { "no runs\n" } else { "no open runs\n" });
        }
        (_, []) => text.push_str("no runs whose creation is held\n"),
        (_, records) => {
            let mut records: Vec<&RunRecord> = records.iter().collect();
            records.sort_unstable_by_key(|record| std::cmp::Reverse(record.created));
            text.push_str(&runs::table(&records, now));
            text.push_str(&counted(&records));
        }
    }
    text.push_str(&begun_before(state));
    text.push_str(&timers(state, now));
    text
}

/// Runs of which the beginning is not held, with what can be said of them.
fn begun_before(state: &FleetState) -> String {
    if state.begun_before.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for begun in &state.begun_before {
        let status = begun.status.map_or("unknown", StatusName::name);
        let BegunBefore { run, first, last, .. } = begun;
        text.push_str(&format!("{run}  its last transition: {status}; entries from position {first} to {last}\n"));
    }
    let (on, off, count) = (WARN.render(), WARN.render_reset(), state.begun_before.len());
    format!("{on}begun before what is held, so that their state and timers are not known: {count}{off}\n{text}")
}

fn heading(state: &FleetState) -> String {
    let when = match state.recorded_at {
        Some(time) => format!("recorded at {time}"),
        None => "before the first entry".to_owned(),
    };
    format!("{}position {}, {when}{}\n", DIM.render(), state.position, DIM.render_reset())
}

/// How many there are in each status.
fn counted(records: &[&RunRecord]) -> String {
    let mut counts: BTreeMap<StatusName, usize> = BTreeMap::new();
    for record in records {
        *counts.entry(record.run.status.name()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    format!("{}runs: {}{}\n", DIM.render(), counts.join(", "), DIM.render_reset())
}

fn timers(state: &FleetState, now: Timestamp) -> String {
    if state.timers.is_empty() {
        return "no timers\n".to_owned();
    }
    let mut table = Table::of(&TIMER_COLUMNS);
    for timer in &state.timers {
        table.row([
            Cell::from(timer.key.run.to_string()),
            Cell::from(state.name_of(timer).unwrap_or_default()),
            Cell::from(what(timer)),
            Cell::from(timer.runner.as_str()),
            Cell::from(timer.due.to_string()),
            due_in(timer, now),
        ]);
    }
    let overdue = state.timers.iter().filter(|timer| is_overdue(timer, now)).count();
    let style = if overdue > 0 { WARN } else { DIM };
    let armed = state.timers.len();
    format!("{}{}armed: {armed}; overdue: {overdue}{}\n", table.render(), style.render(), style.render_reset())
}

fn what(timer: &ArmedTimer) -> String {
    match timer.key.of {
        TimerOf::Snapshot(snapshot) => format!("snapshot {snapshot}"),
        TimerOf::Deadline(_) => "deadline".to_owned(),
    }
}
