//! `tacho timers`: what is armed, and what of it is overdue.

use tachograph_engine::domain::{ArmedTimer, RunId, TimerOf, Timestamp};

use crate::armed::Armed;
use crate::cli::TimersArgs;
use crate::duration;
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::table::{Align, Cell, DIM, Table, WARN, printable};
use crate::view::TimerView;
use crate::when::AsOf;
use crate::words;

const COLUMNS: [(&str, Align); 8] = [
    ("RUN", Align::Left),
    ("NAME", Align::Left),
    ("TIMER", Align::Left),
    ("RUNNER", Align::Left),
    ("DUE", Align::Left),
    ("IN", Align::Right),
    ("POSITION", Align::Right),
    ("ARMED", Align::Left),
];

/// Lists armed snapshots and waiting deadlines, the first that is due first.
///
/// # Errors
///
/// [`Error`] if there is no such run, the journal cannot be read or the output not written.
pub async fn list(reading: &mut Reading, args: &TimersArgs) -> Result<(), Error> {
    reading.note_beyond_end(args.at.and_then(AsOf::asked_position));
    let at = reading.dataset.position(args.at, reading.now).await?;
    let run = match &args.run {
        Some(text) => Some(reading.dataset.resolve(text, args.at.map(|_| at)).await?),
        None => None,
    };
    let armed = reading.dataset.armed(at).await?;
    let now = match args.at {
        None => reading.now,
        Some(AsOf::Time(when)) => when.resolve(reading.now),
        Some(AsOf::Position(_)) => armed.recorded_at.unwrap_or(reading.now),
    };
    let writer = reading.ask_about(armed.last_writer.clone().filter(|_| args.at.is_none()));
    let chosen = chosen(&armed, run, args, now);
    if reading.is_json() {
        let state = writer.map(|(_, state)| state);
        let view = |timer: &&ArmedTimer| TimerView::of(timer, armed.name_of(timer), now, state);
        return reading.output.json_list(chosen.iter().map(view));
    }
    reading.output.text(&table(&armed, &chosen, now))?;
    reading.output.text(&closing(&chosen, writer.as_ref(), now))
}

fn chosen<'a>(armed: &'a Armed, run: Option<RunId>, args: &TimersArgs, now: Timestamp) -> Vec<&'a ArmedTimer> {
    let of_run = |timer: &&ArmedTimer| run.is_none_or(|run| timer.key.run == run);
    let fits = |timer: &&ArmedTimer| of_run(timer) && (!args.overdue || is_overdue(timer, now));
    let limit = args.limit.map_or(usize::MAX, std::num::NonZero::get);
    armed.timers.iter().filter(fits).take(limit).collect()
}

/// Whether a timer should have been handed out by now.
pub fn is_overdue(timer: &ArmedTimer, now: Timestamp) -> bool {
    timer.due <= now
}

fn table(armed: &Armed, timers: &[&ArmedTimer], now: Timestamp) -> String {
    if timers.is_empty() {
        return "no timers\n".to_owned();
    }
    let mut table = Table::of(&COLUMNS);
    for timer in timers {
        let what = match timer.key.of {
            TimerOf::Snapshot(snapshot) => format!("snapshot {snapshot}"),
            TimerOf::Deadline(_) => "deadline".to_owned(),
        };
        table.row([
            Cell::from(timer.key.run.to_string()),
            Cell::from(armed.name_of(timer).unwrap_or_default()),
            Cell::from(what),
            Cell::from(timer.runner.as_str()),
            Cell::from(timer.due.to_string()),
            due_in(timer, now),
            Cell::from(timer.armed.to_string()),
            Cell::styled(timer.armed_at.to_string(), DIM),
        ]);
    }
    table.render()
}

/// How long until a timer is due, or how long it has been.
pub(crate) fn due_in(timer: &ArmedTimer, now: Timestamp) -> Cell {
    if is_overdue(timer, now) {
        return Cell::styled(format!("OVERDUE {}", duration::human(duration::between(timer.due, now))), WARN);
    }
    Cell::from(duration::human(duration::between(now, timer.due)))
}

/// How many there are, and who will see to them.
fn closing(timers: &[&ArmedTimer], writer: Option<&(LastWriter, WriterState)>, now: Timestamp) -> String {
    if timers.is_empty() {
        return String::new();
    }
    let overdue = timers.iter().filter(|timer| is_overdue(timer, now)).count();
    let mut text = format!("armed: {}; overdue: {overdue}", timers.len());
    let mut style = if overdue > 0 { WARN } else { DIM };
    if let Some((writer, state)) = writer {
        text.push_str(&format!("; the writer, {}", words::last_writer(writer, *state)));
        if *state == WriterState::Gone {
            text.push_str("; when the journal is opened next, what is due by then fires if its run goes on");
            style = WARN;
        }
    }
    format!("{}{}{}\n", style.render(), printable(&text), style.render_reset())
}
