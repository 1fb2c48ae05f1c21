//! `tacho why-timer`: what became of one snapshot, and why.

use tachograph_engine::domain::Timestamp;
use tachograph_projections::{Absence, TimerFate, TimerStep, TimerStepBody, TimerStory};

use crate::cli::WhyTimerArgs;
use crate::duration::{between, human};
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::story::Story;
use crate::table::{Align, BAD, BOLD, Cell, DIM, GOOD, Table, WARN, printable};
use crate::view::StoryView;
use crate::words;

const COLUMNS: [(&str, Align); 4] =
    [("POSITION", Align::Right), ("TIME", Align::Left), ("ACTOR", Align::Left), ("WHAT", Align::Left)];

/// Tells what became of one snapshot.
///
/// # Errors
///
/// [`Error`] if there is no such snapshot, the journal cannot be read or the output not written.
pub async fn tell(reading: &mut Reading, args: &WhyTimerArgs) -> Result<(), Error> {
    let story = reading.dataset.story(&args.id).await?;
    let is_open = story.timer.fate().is_some_and(TimerFate::is_open);
    let last = if is_open { reading.dataset.last_writer().await? } else { None };
    let writer = reading.ask_about(last);
    if reading.is_json() {
        let state = writer.map(|(_, state)| state);
        return reading.output.json(&StoryView::of(&story, state));
    }
    let mut table = Table::of(&COLUMNS);
    for step in story.timer.steps() {
        rows(&mut table, step, story.timer.due());
    }
    let text = [heading(&story), table.render(), closing(&story.timer, writer.as_ref(), reading.now)];
    text.iter().try_for_each(|part| reading.output.text(part))
}

fn heading(story: &Story) -> String {
    let name = story.name().map(|name| format!(" {:?}", printable(name))).unwrap_or_default();
    let (snapshot, run) = (story.timer.snapshot(), story.timer.run());
    format!("{}snapshot {snapshot} of run {run}{name}{}\n\n", BOLD.render(), BOLD.render_reset())
}

fn rows(table: &mut Table, step: &TimerStep, due: Option<Timestamp>) {
    let (what, notes) = cells(&step.body, due);
    let actor = step.actor.as_ref().map_or_else(|| "journal".to_owned(), words::actor);
    table.row([
        Cell::from(step.position.to_string()),
        Cell::from(step.recorded_at.to_string()),
        Cell::styled(actor, DIM),
        what,
    ]);
    for note in notes {
        table.row([Cell::from(""), Cell::from(""), Cell::from(""), Cell::styled(format!("  {note}"), DIM)]);
    }
}

/// A step in words, and what is to be said below it.
fn cells(body: &TimerStepBody, due: Option<Timestamp>) -> (Cell, Vec<String>) {
    match body {
        TimerStepBody::Armed { attempt, ordinal, runner, due, delay_us } => {
            let attempt = ordinal.map_or_else(|| attempt.to_string(), |ordinal| ordinal.to_string());
            let text = format!("armed by runner {runner} for attempt {attempt}, due {due}{}", words::delay(*delay_us));
            (Cell::from(text), Vec::new())
        }
        TimerStepBody::Opened { session, dispatched, was_closed } => {
            let text = format!("{}: {}", words::again(*dispatched), words::opened(session, *was_closed));
            (Cell::styled(text, if *was_closed == Some(false) { WARN } else { DIM }), Vec::new())
        }
        TimerStepBody::Closed { session } => {
            (Cell::styled(format!("journal closed by {}", words::writer(session)), DIM), Vec::new())
        }
        TimerStepBody::Refused { command, refusal, count } => {
            let said =
                [Some(words::why_refused(refusal)), Some(words::remedy(refusal)), words::refused_so_often(*count)];
            let notes = said.into_iter().flatten().collect();
            (Cell::styled(format!("REFUSED: {}", words::refused_command(command)), WARN), notes)
        }
        TimerStepBody::Canceled { cause, action: _, transition, replaced_by } => {
            let text = format!("canceled: {}", words::canceled(cause, *transition, *replaced_by));
            (Cell::styled(text, BOLD), Vec::new())
        }
        TimerStepBody::Dispatched { late_us, absences } => dispatched(*late_us, absences, due),
        TimerStepBody::Taken { location, bytes, digest, took_us } => {
            let text = format!("taken: {bytes} bytes in {location}{}", took(*took_us));
            (Cell::styled(text, GOOD), vec![format!("BLAKE3 {digest}")])
        }
        TimerStepBody::Failed { message, took_us } => {
            (Cell::styled(format!("failed{}: {message}", took(*took_us)), BAD), Vec::new())
        }
        TimerStepBody::Missing { up_to } => (Cell::styled(words::missing(*up_to), BAD), Vec::new()),
    }
}

/// A dispatch, with what the entries tell about why it was late, and no more.
fn dispatched(late_us: Option<i64>, absences: &[Absence], due: Option<Timestamp>) -> (Cell, Vec<String>) {
    let late = u64::try_from(late_us.unwrap_or(0)).unwrap_or(0);
    let when = if late_us.is_some() { format!(", {} after it was due", human(late)) } else { String::new() };
    if !words::is_late(late_us) {
        return (Cell::styled(format!("dispatched{when}"), BOLD), Vec::new());
    }
    (Cell::styled(format!("dispatched LATE{when}"), WARN), words::late_because(late_us, absences, due))
}

fn took(micros: Option<i64>) -> String {
    let micros = micros.and_then(|micros| u64::try_from(micros).ok());
    micros.map(|micros| format!(", {} after its dispatch", human(micros))).unwrap_or_default()
}

/// What is to be expected of one that is not over.
fn closing(timer: &TimerStory, writer: Option<&(LastWriter, WriterState)>, now: Timestamp) -> String {
    let state = writer.map(|(_, state)| *state);
    let mut text = match (timer.fate(), timer.due()) {
        (Some(TimerFate::Armed), Some(due)) if due <= now => format!("armed, OVERDUE BY {}", human(between(due, now))),
        (Some(TimerFate::Armed), Some(due)) => format!("armed, due in {}", human(between(now, due))),
        (Some(TimerFate::Armed), None) => "armed".to_owned(),
        (Some(TimerFate::Dispatched), _) => "dispatched, and no result is recorded".to_owned(),
        (Some(TimerFate::Canceled | TimerFate::Taken | TimerFate::Failed) | None, _) => return String::new(),
    };
    if let Some((writer, state)) = writer {
        text.push_str(&format!("; the writer, {}", words::last_writer(writer, *state)));
    }
    match (timer.fate(), state) {
        (Some(TimerFate::Armed), Some(WriterState::Gone)) => {
            text.push_str("; it fires when it is due and the journal is opened again, if its run goes on");
        }
        (Some(TimerFate::Dispatched), Some(WriterState::Gone)) => {
            text.push_str("; whoever opens the journal next finds out whether it was taken");
        }
        _ => {}
    }
    format!("\n{}{}{}\n", WARN.render(), printable(&text), WARN.render_reset())
}
