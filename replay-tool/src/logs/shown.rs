//! What of a stream was printed, file by file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use tachograph_adapters::process::{AttemptDirectory, DirectoryError, OutputPart};
use tachograph_engine::domain::{Ordinal, Stream};

use super::lines::{Found, Lines, start_of_last_lines};
use super::receipt::Receipt;
use crate::error::Error;
use crate::logs_problem::LogsProblem;
use crate::output::Reading;

/// What is read and handed on at once.
const CHUNK_BYTES: usize = 64 * 1_024;

/// A stream as far as it was printed: first the file of its beginning, then the parts of its end.
pub(super) struct Shown {
    directory: AttemptDirectory,
    stream: Stream,
    file: File,
    /// Where in the stream the file begins.
    from: u64,
    /// Whether it is a part of the end.
    is_part: bool,
    /// Where in the stream what is printed next begins.
    pub(super) offset: u64,
    pub(super) lines: Lines,
    pub(super) receipt: Receipt,
}

impl Shown {
    /// From the stream's beginning on, or its last lines.
    pub(super) fn of(
        directory: &AttemptDirectory,
        (stream, ordinal): (Stream, Ordinal),
        head: File,
        lines: Option<u64>,
    ) -> Result<Self, Error> {
        let mut this = Self {
            directory: directory.clone(),
            stream,
            file: head,
            from: 0,
            is_part: false,
            offset: 0,
            lines: Lines::of(stream, ordinal, 0),
            receipt: Receipt::of(0),
        };
        if let Some(lines) = lines {
            this.begin_at_last(lines)?;
            this.lines = Lines::of(stream, ordinal, this.offset);
            this.receipt = Receipt::of(this.offset);
        }
        Ok(this)
    }

    fn begin_at_last(&mut self, lines: u64) -> Result<(), Error> {
        let mut left = lines;
        let mut is_last = true;
        for part in self.parts()?.into_iter().rev() {
            // One that was removed meanwhile was too old already.
            let Ok(file) = part.open() else { continue };
            match start_of_last_lines(&file, left, is_last).map_err(|error| self.unreadable(error))? {
                Found::At(offset) => {
                    self.enter(&part, file);
                    self.offset = part.from + offset;
                    return Ok(());
                }
                Found::Fewer(found) => left -= found,
            }
            is_last = false;
        }
        self.offset = match start_of_last_lines(&self.file, left, is_last).map_err(|error| self.unreadable(error))? {
            Found::At(offset) => offset,
            Found::Fewer(_) => 0,
        };
        Ok(())
    }

    /// Prints what there is by now, and no more: whoever writes on meanwhile cannot keep this from its end.
    pub(super) fn rest(&mut self, reading: &mut Reading) -> Result<(), Error> {
        loop {
            self.rest_of_file(reading)?;
            let Some(part) = self.next_part()? else { break };
            // The part was made after the file before it was complete, and that may have been a moment ago.
            self.rest_of_file(reading)?;
            let file = match part.open() {
                Ok(file) => file,
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LogsProblem::from(error).into()),
            };
            if part.from > self.offset {
                self.leave_out(reading, part.from)?;
            }
            self.enter(&part, file);
        }
        reading.output.flush()
    }

    fn rest_of_file(&mut self, reading: &mut Reading) -> Result<(), Error> {
        let length = self.file.metadata().map_err(|error| self.unreadable(error))?.len();
        let end = self.from.saturating_add(length);
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.offset < end {
            let wanted = usize::try_from(end - self.offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let read = match self.file.read_at(&mut chunk[..wanted], self.offset - self.from) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(error)),
            };
            self.offset += read as u64;
            self.receipt.see(&chunk[..read]);
            self.lines.print(reading, &chunk[..read])?;
        }
        Ok(())
    }

    /// The part that follows. A list that was made while parts were made may lack one, so that a gap is looked at twice.
    fn next_part(&self) -> Result<Option<OutputPart>, Error> {
        let follows = |part: &OutputPart| part.from >= self.offset && !(self.is_part && part.from == self.from);
        let next = self.parts()?.into_iter().find(follows);
        match &next {
            Some(part) if part.from > self.offset => Ok(self.parts()?.into_iter().find(follows)),
            Some(_) | None => Ok(next),
        }
    }

    fn leave_out(&mut self, reading: &mut Reading, to: u64) -> Result<(), Error> {
        self.lines.jump(reading, to)?;
        reading.output.flush()?;
        let (bytes, name) = (to - self.offset, self.stream.name());
        reading.note(&format!("… {bytes} bytes were left out of {name}: more came than may be kept …"));
        self.receipt.leave_out();
        self.offset = to;
        Ok(())
    }

    fn enter(&mut self, part: &OutputPart, file: File) {
        (self.file, self.from, self.is_part) = (file, part.from, true);
    }

    fn parts(&self) -> Result<Vec<OutputPart>, Error> {
        self.directory.output_parts(self.stream).map_err(|error| LogsProblem::from(error).into())
    }

    fn unreadable(&self, source: io::Error) -> Error {
        LogsProblem::from(DirectoryError { action: "read", path: self.directory.output(self.stream), source }).into()
    }
}
