//! `tacho logs`: what a run printed.

mod lines;
mod receipt;
mod shown;

use std::fs::File;

use tachograph_adapters::process::{AttemptDirectory, DirectoryError};
use tachograph_engine::domain::{
    Attempt, AttemptId, Entry, EntryBody, Event, Ordinal, Outcome, Position, RunId, RunRecord, Stream,
};

use self::shown::Shown;
use crate::cli::LogsArgs;
use crate::dataset::RUNS_DIR;
use crate::direct;
use crate::error::Error;
use crate::following::{Following, LOOK_EVERY, Seen};
use crate::logs_problem::LogsProblem;
use crate::machine::{WriterSearch, WriterState};
use crate::output::Reading;
use crate::tail::is_reader_gone;
use crate::words;

/// Prints the output that was kept of one attempt, as it is; with JSON a line at a time. A follower goes on until the
/// attempt's end is recorded and all of its output printed.
///
/// # Errors
///
/// [`Error`] if there is no such run, attempt or file, or it cannot be read, or the output not written.
pub async fn print(reading: &mut Reading, args: &LogsArgs) -> Result<(), Error> {
    let run = direct::resolve_in(&reading.dataset, &args.run).await?;
    let head = reading.dataset.reader().head().position;
    let record = reading.dataset.record(run, head).await?;
    let stream = if args.stderr { Stream::Stderr } else { Stream::Stdout };
    let writer = if args.follow { reading.dataset.last_writer().await? } else { None };
    let mut watch = Watch {
        run,
        following: Following::of(&reading.dataset, head),
        writers: WriterSearch::after(writer),
        writer_is_gone: false,
        attempt: None,
        end: None,
    };
    let ordinal = watch.attempt_asked_for(reading, &record, args).await?;
    watch.look_back(reading, ordinal).await?;
    let directory = AttemptDirectory::of(&reading.dataset.data().join(RUNS_DIR), run, ordinal);
    let Some(file) = watch.open(reading, &directory, stream, args.follow).await? else {
        return Err(missing(run, ordinal, stream, &directory));
    };
    let mut shown = Shown::of(&directory, (stream, ordinal), file, args.lines)?;
    loop {
        // Asked before reading: what is read after the end was recorded is all there is.
        let is_over = !args.follow || watch.end.is_some();
        shown.rest(reading)?;
        if is_over {
            break;
        }
        watch.next(reading).await?;
    }
    shown.lines.finish(reading)?;
    reading.output.flush()?;
    shown.receipt.notes(stream, shown.offset, watch.end.as_ref()).iter().for_each(|note| reading.note(note));
    Ok(())
}

fn missing(run: RunId, ordinal: Ordinal, stream: Stream, directory: &AttemptDirectory) -> Error {
    let source = match directory.open_output(stream) {
        Err(error) => error,
        Ok(_) => DirectoryError {
            action: "open",
            path: directory.output(stream),
            source: std::io::ErrorKind::NotFound.into(),
        },
    };
    LogsProblem::Missing { run, attempt: ordinal.0, stream, source }.into()
}

/// How an attempt ended, as far as its output is concerned.
#[derive(Debug, Clone)]
pub(super) enum End {
    Recorded(Box<Outcome>),
    /// It was destroyed or taken over before its end was recorded.
    Unknown,
    /// Another attempt followed, and its own end is archived.
    Archived,
}

/// An attempt that is watched by way of the journal.
struct Watch {
    run: RunId,
    following: Following,
    /// The last writer, if the attempt is followed.
    writers: WriterSearch,
    writer_is_gone: bool,
    attempt: Option<AttemptId>,
    end: Option<End>,
}

impl Watch {
    /// The number of the attempt that is meant; a follower waits for a run that was not started yet.
    async fn attempt_asked_for(
        &mut self,
        reading: &mut Reading,
        record: &RunRecord,
        args: &LogsArgs,
    ) -> Result<Ordinal, Error> {
        let run = self.run;
        let latest = record.run.attempt.as_ref().map(|attempt| attempt.ordinal);
        match (args.attempt.map(|ordinal| Ordinal(ordinal.get())), latest) {
            (Some(asked), latest) if latest.is_none_or(|latest| asked > latest) => {
                Err(LogsProblem::UnknownAttempt { run, asked: asked.0, latest: latest.map_or(0, |latest| latest.0) }
                    .into())
            }
            (Some(asked), _) => Ok(asked),
            (None, Some(latest)) => Ok(latest),
            (None, None) if args.follow && !record.run.is_ended() => self.first_start(reading).await,
            (None, None) => Err(LogsProblem::NotStarted { run }.into()),
        }
    }

    async fn first_start(&mut self, reading: &mut Reading) -> Result<Ordinal, Error> {
        loop {
            let Some(entries) = self.entries(reading).await? else {
                let head = reading.dataset.reader().head().position;
                let record = reading.dataset.record(self.run, head).await?;
                match record.run.attempt.as_ref() {
                    Some(attempt) => return Ok(attempt.ordinal),
                    None if record.run.is_ended() => return Err(LogsProblem::NotStarted { run: self.run }.into()),
                    None => continue,
                }
            };
            for entry in entries {
                for event in events_of(&entry, self.run) {
                    match event {
                        Event::Started { ordinal, .. } | Event::Failed { ordinal, .. } => return Ok(*ordinal),
                        Event::Destroyed { .. } => return Err(LogsProblem::NotStarted { run: self.run }.into()),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Learns from the run's history which attempt this is, and how it ended if it has.
    async fn look_back(&mut self, reading: &Reading, ordinal: Ordinal) -> Result<(), Error> {
        for entry in reading.dataset.reader().history(self.run).await? {
            self.see(&entry, Some(ordinal));
        }
        if self.end.is_none() && reading.dataset.reader().archived() > Position::ZERO {
            self.recall(reading, Some(ordinal)).await?;
        }
        Ok(())
    }

    /// Learns as much from how the run stands, where its entries are archived.
    async fn recall(&mut self, reading: &Reading, wanted: Option<Ordinal>) -> Result<(), Error> {
        let record = reading.dataset.record(self.run, reading.dataset.reader().head().position).await?;
        let is_wanted = |latest: &Attempt| self.attempt == Some(latest.id) || wanted == Some(latest.ordinal);
        match record.run.attempt.as_ref() {
            Some(latest) if is_wanted(latest) => {
                self.attempt = Some(latest.id);
                let outcome = latest.outcome.clone().map(|outcome| End::Recorded(Box::new(outcome)));
                self.end = outcome.or_else(|| record.run.is_ended().then_some(End::Unknown));
            }
            Some(_) => self.end = Some(End::Archived),
            None => {}
        }
        Ok(())
    }

    fn see(&mut self, entry: &Entry, wanted: Option<Ordinal>) {
        for event in events_of(entry, self.run) {
            match event {
                Event::Started { attempt, ordinal, .. } if wanted == Some(*ordinal) => self.attempt = Some(*attempt),
                Event::Failed { attempt, ordinal, failure, .. }
                    if self.attempt == Some(*attempt) || wanted == Some(*ordinal) =>
                {
                    self.attempt = Some(*attempt);
                    self.end = Some(End::Recorded(Box::new(Outcome::Failed(failure.clone()))));
                }
                Event::Exited { attempt, exit } if self.attempt == Some(*attempt) => {
                    let outcome = Outcome::Exited { exit: exit.clone(), amended: None };
                    self.end = Some(End::Recorded(Box::new(outcome)));
                }
                // Another attempt took its place, or none will follow.
                Event::Started { .. } | Event::Destroyed { .. } if self.attempt.is_some() => {
                    self.end.get_or_insert(End::Unknown);
                }
                _ => {}
            }
        }
    }

    /// Opens the file. A follower waits for it as long as the attempt is open: it is made after the start is recorded.
    async fn open(
        &mut self,
        reading: &mut Reading,
        directory: &AttemptDirectory,
        stream: Stream,
        follow: bool,
    ) -> Result<Option<File>, Error> {
        loop {
            let is_over = !follow || self.end.is_some();
            match directory.open_output(stream) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogsProblem::from(error).into());
                }
                Err(_) if is_over => return Ok(None),
                Err(_) => self.next(reading).await?,
            }
        }
    }

    /// Waits a moment, and sees what was recorded meanwhile.
    async fn next(&mut self, reading: &mut Reading) -> Result<(), Error> {
        match self.entries(reading).await? {
            Some(entries) => entries.iter().for_each(|entry| self.see(entry, None)),
            None => self.recall(reading, None).await?,
        }
        Ok(())
    }

    /// The next entries; none after a moment in which nothing was recorded. Absent, and told, if they are archived.
    async fn entries(&mut self, reading: &mut Reading) -> Result<Option<Vec<Entry>>, Error> {
        let entries = match self.following.look().await? {
            Seen::Entries(entries) => entries,
            Seen::Archived(unread) => {
                reading.note(&unread);
                return Ok(None);
            }
        };
        entries.iter().for_each(|entry| self.writers.see(entry));
        if entries.is_empty() {
            if is_reader_gone() {
                return Err(Error::BrokenPipe);
            }
            self.note_writer(reading);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Some(entries))
    }

    /// Says once that nobody will record the end, so that nobody waits for it unknowingly.
    fn note_writer(&mut self, reading: &Reading) {
        let Some((writer, state)) = reading.ask_about(self.writers.clone().found_or_any()) else { return };
        let is_gone = state != WriterState::Alive;
        if is_gone && !self.writer_is_gone {
            let words = words::last_writer(&writer, state);
            reading.note(&format!("the writer, {words}; the end is recorded when the journal is opened next"));
        }
        self.writer_is_gone = is_gone;
    }
}

/// What happened to a run by an entry.
fn events_of(entry: &Entry, run: RunId) -> &[Event] {
    match &entry.body {
        EntryBody::Committed(committed) if entry.run() == Some(run) => &committed.events,
        EntryBody::Committed(_) | EntryBody::Refused(_) | EntryBody::System(_) => &[],
    }
}
