//! `tacho tail`: the end of the journal.

use tachograph_engine::domain::{Entry, EntryBody, Position};

use crate::cli::TailArgs;
use crate::error::Error;
use crate::output::{Format, Output, Reading};
use crate::table::{BAD, DIM, WARN, printable};
use crate::view::EntryView;
use crate::words;

/// Prints the last entries, or those after a position.
///
/// Returns the position of the last one, from which to go on.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn print(reading: &mut Reading, args: &TailArgs) -> Result<Position, Error> {
    let Reading { dataset, format, output, .. } = reading;
    let head = dataset.reader().head().position;
    let after = args.after.unwrap_or(Position(head.0.saturating_sub(args.lines)));
    let mut written = Ok(());
    let visitor = |entry: Entry| {
        written = print_entry(&entry, *format, output);
        written.is_ok()
    };
    dataset.visit(after, head, visitor).await?;
    written?;
    output.flush()?;
    Ok(after.max(head))
}

/// Prints one entry on a line of its own.
///
/// # Errors
///
/// As [`Output::text`].
pub fn print_entry(entry: &Entry, format: Format, output: &mut Output) -> Result<(), Error> {
    match format {
        Format::Json => output.json_line(&EntryView::from(entry)),
        Format::Text => output.text(&line(entry)),
    }
}

fn line(entry: &Entry) -> String {
    let (actor, what, style) = match &entry.body {
        EntryBody::Committed(committed) => {
            let words: Vec<String> = committed.events.iter().map(words::event).collect();
            (committed.command.actor.to_string(), words.join("; "), anstyle::Style::new())
        }
        EntryBody::Refused(refused) => {
            let asked = words::refused_command(&refused.command);
            let (code, refusal) = (refused.refusal.code(), &refused.refusal);
            (refused.command.actor().to_string(), format!("REFUSED [{code}]: {asked}: {refusal}"), WARN)
        }
        EntryBody::System(fact) => {
            let lost = matches!(fact, tachograph_engine::domain::SystemFact::Recovered { .. });
            ("journal".to_owned(), words::system(fact), if lost { BAD } else { DIM })
        }
    };
    let run = entry.run().map_or_else(|| "-".to_owned(), |run| run.to_string());
    let (position, time) = (entry.position, entry.recorded_at);
    let (actor, what) = (printable(&actor), printable(&what));
    format!("{position:>8}  {time}  {run:<26}  {actor}  {}{what}{}\n", style.render(), style.render_reset())
}
