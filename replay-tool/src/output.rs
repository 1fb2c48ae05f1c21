//! Standard output: its format, its colours, and a reader that went away.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tachograph_engine::domain::{Position, Timestamp};
use time::OffsetDateTime;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::held::{self, BegunBefore};
use crate::machine::{LastWriter, Machine, WriterState};
use crate::patient::{Patient, tell};
use crate::table::printable;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: documented in docs/json.md.
    Json,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What every command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The data directory as it was given.
    pub data: PathBuf,
    /// How results are printed.
    pub format: Format,
    /// When text is coloured.
    pub color: Color,
}

impl Context {
    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether text on this stream is coloured.
    pub fn is_colored(&self, stream: &impl IsTerminal) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stream.is_terminal() && !set("NO_COLOR") && !dumb(),
        }
    }

    /// Standard output in the chosen format.
    pub fn stdout(&self) -> Output {
        let stdout = io::stdout();
        let colored = self.is_colored(&stdout);
        Output { writer: BufWriter::new(Box::new(Patient(stdout))), colored }
    }

    /// Tells something that is worth knowing beside the result, on standard error.
    pub fn note(&self, message: &str) {
        note(self.format, message);
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        wall_clock()
    }
}

/// The wall clock.
pub(crate) fn wall_clock() -> Timestamp {
    OffsetDateTime::from(SystemTime::now()).into()
}

/// What a read command works with.
#[derive(Debug)]
pub struct Reading {
    /// The journal.
    pub dataset: Dataset,
    /// How results are printed.
    pub format: Format,
    /// What 'now' is for relative times and for what is still open.
    pub now: Timestamp,
    /// Where it is asked whether the last writer still lives.
    pub machine: Machine,
    /// Where results go.
    pub output: Output,
}

impl Reading {
    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Notes on standard error if a position that was asked for does not exist yet.
    pub fn note_beyond_end(&self, asked: Option<Position>) {
        let head = self.dataset.reader().head().position;
        let Some(asked) = asked.filter(|asked| *asked > head) else { return };
        self.note(&format!("position {asked} is beyond the end of the journal, which is position {head}"));
    }

    /// Notes what is held, if that is only a part of a journal: of this one, or of another that is read beside it.
    pub fn note_held(&self, dataset: &Dataset) {
        note_held(self.format, dataset);
    }

    /// Notes which runs are left out of an answer, because they began before what is held.
    pub fn note_begun_before(&self, what: &str, begun_before: &[BegunBefore]) {
        if !begun_before.is_empty() {
            let counted = held::counted(begun_before);
            self.note(&format!("{what}, because they began before what is held: {counted}"));
        }
    }

    /// Tells something that is worth knowing beside the result, on standard error.
    pub fn note(&self, message: &str) {
        note(self.format, message);
    }

    /// The last writer, and whether it still lives.
    pub fn ask_about(&self, writer: Option<LastWriter>) -> Option<(LastWriter, WriterState)> {
        let writer = writer?;
        let state = self.machine.state_of(&writer);
        Some((writer, state))
    }
}

/// Tells on standard error what is worth knowing beside a result.
fn note(format: Format, message: &str) {
    let line = match format {
        Format::Text => format!("tacho: note: {}\n", printable(message)),
        Format::Json => format!("{}\n", serde_json::json!({"note": {"message": message}})),
    };
    tell(&line);
}

/// Notes what is held, if that is only a part of a journal.
pub(crate) fn note_held(format: Format, dataset: &Dataset) {
    if let Some(held) = dataset.held().note() {
        note(format, &format!("{}: {held}", dataset.data().display()));
    }
}

/// Where results go. Call [`Output::flush`] at the end: dropping loses errors.
pub struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    colored: bool,
}

impl Output {
    /// An output into any writer.
    pub fn into_writer(writer: Box<dyn Write + Send>, colored: bool) -> Self {
        Self { writer: BufWriter::new(writer), colored }
    }

    /// Writes text as it is; its ANSI styles are stripped unless the output is coloured.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenPipe`] if the reader went away, [`Error::Output`] for anything else; so for all that follow.
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        let written = if self.colored {
            self.writer.write_all(text.as_bytes())
        } else {
            write!(self.writer, "{}", anstream::adapter::strip_str(text))
        };
        written.map_err(Error::output)
    }

    /// What takes bytes as they are.
    pub fn writer(&mut self) -> impl Write + '_ {
        &mut self.writer
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(Error::output)
    }

    /// Writes one JSON value over several lines.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer_pretty(&mut self.writer, value).map_err(|error| Error::output(error.into()))?;
        self.writer.write_all(b"\n").map_err(Error::output)
    }

    /// Writes one JSON array over several lines, item by item, so that a long list is not held twice.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn json_list(&mut self, items: impl IntoIterator<Item = impl Serialize>) -> Result<(), Error> {
        let listed = serde_json::Serializer::pretty(&mut self.writer).collect_seq(items);
        listed.map_err(|error| Error::output(error.into()))?;
        self.writer.write_all(b"\n").map_err(Error::output)
    }

    /// Writes one JSON value on a line of its own.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.writer, value).map_err(|error| Error::output(error.into()))?;
        self.writer.write_all(b"\n").map_err(Error::output)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(Error::output)
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("colored", &self.colored).finish_non_exhaustive()
    }
}
