//! `tacho tail`: the end of the journal.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tachograph_engine::domain::{Entry, EntryBody, Position};

use crate::cli::TailArgs;
use crate::error::Error;
use crate::following::{Following, LOOK_EVERY, Seen};
use crate::output::{Format, Output, Reading};
use crate::table::{BAD, DIM, WARN, printable};
use crate::view::EntryView;
use crate::words;

/// Prints as [`print()`] does and, if asked to, goes on with what is appended until the reader of the output goes away. Of entries
/// that were archived, or are damaged, before they were read a note on standard error tells.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn follow(reading: &mut Reading, args: &TailArgs) -> Result<(), Error> {
    let after = print(reading, args).await?;
    // Behind a damaged end nothing can be followed; the command ends with that error.
    if !args.follow || !reading.dataset.can_follow() {
        return Ok(());
    }
    let mut knows_damage = reading.dataset.damage().is_some();
    let mut following = Following::of(&reading.dataset, after);
    loop {
        let entries = match following.look().await? {
            Seen::Entries(entries) => entries,
            Seen::Archived(unread) => {
                reading.note(&unread);
                continue;
            }
        };
        if let Some(damage) = reading.dataset.damage().filter(|_| !knows_damage) {
            knows_damage = true;
            reading.note(&damage.to_string());
        }
        if entries.is_empty() {
            if is_reader_gone() {
                return Err(Error::BrokenPipe);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        entries.iter().try_for_each(|entry| print_entry(entry, reading.format, &mut reading.output))?;
        reading.output.flush()?;
    }
}

/// Whether standard output is a pipe that nobody reads any more. Without asking, a follower of a silent journal would
/// notice only when it next has something to say.
pub(crate) fn is_reader_gone() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Prints the last entries, or those after a position.
///
/// Returns the position of the last one, from which to go on.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn print(reading: &mut Reading, args: &TailArgs) -> Result<Position, Error> {
    reading.note_beyond_end(args.after);
    let head = reading.dataset.reader().head().position;
    let after = args.after.unwrap_or(Position(head.0.saturating_sub(args.lines)));
    print_between(reading, after, head).await
}

/// Prints the entries after one position up to another, and returns the position that was reached.
async fn print_between(reading: &mut Reading, after: Position, up_to: Position) -> Result<Position, Error> {
    let Reading { dataset, format, output, .. } = reading;
    let mut reached = after;
    let mut written = Ok(());
    let visitor = |entry: Entry| {
        reached = entry.position;
        written = print_entry(&entry, *format, output);
        written.is_ok()
    };
    let visited = dataset.visit(after, up_to, visitor).await;
    // What could be read is shown, also if what follows cannot.
    written?;
    output.flush()?;
    visited?;
    Ok(reached)
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

/// One entry in words, on a line of its own.
pub(crate) fn line(entry: &Entry) -> String {
    let (actor, what, style) = match &entry.body {
        EntryBody::Committed(committed) => {
            let issued_at = Some(committed.command.issued_at);
            let beside = words::Beside { events: &committed.events, issued_at, late_us: None, limits: None };
            let words: Vec<String> = committed.events.iter().map(|event| words::event(event, beside)).collect();
            (words::actor(&committed.command.actor), words.join("; "), anstyle::Style::new())
        }
        EntryBody::Refused(refused) => {
            let asked = words::refused_command(&refused.command);
            let (code, refusal) = (refused.refusal.code(), &refused.refusal);
            (words::actor(refused.command.actor()), format!("REFUSED [{code}]: {asked}: {refusal}"), WARN)
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
