//! Output on its way out: bytes as they are, or JSON line by line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::Serialize;
use tachograph_engine::domain::{Ordinal, Stream};

use crate::error::Error;
use crate::output::Reading;

/// The longest line that is shown as one in JSON.
const LINE_BYTES_MAX: usize = 64 * 1_024;
/// What is read at once on the way back from the end.
const BLOCK_BYTES: u64 = 64 * 1_024;

/// One line of output, in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct LineView<'a> {
    stream: &'static str,
    attempt: u32,
    /// Where it begins in the stream's file.
    offset: u64,
    /// The line without its newline; null if it is no UTF-8.
    text: Option<&'a str>,
    /// Its bytes in hexadecimal; null unless it is no UTF-8.
    hex: Option<String>,
    /// Whether a newline ended it.
    ended: bool,
}

/// What is still to be printed of a stream.
pub(super) struct Lines {
    stream: Stream,
    attempt: Ordinal,
    /// Where the line begins that is held back until its end has come.
    offset: u64,
    held: Vec<u8>,
}

impl Lines {
    pub(super) fn of(stream: Stream, attempt: Ordinal, offset: u64) -> Self {
        Self { stream, attempt, offset, held: Vec::new() }
    }

    /// Prints a chunk; in JSON what of it is whole lines.
    pub(super) fn print(&mut self, reading: &mut Reading, chunk: &[u8]) -> Result<(), Error> {
        if !reading.is_json() {
            return reading.output.bytes(chunk);
        }
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(piece);
            if self.held.ends_with(b"\n") {
                self.print_held(reading, self.held.len())?;
            }
            while self.held.len() >= LINE_BYTES_MAX {
                self.print_held(reading, whole_characters(&self.held[..LINE_BYTES_MAX]))?;
            }
        }
        Ok(())
    }

    /// Prints what no newline ended.
    pub(super) fn finish(&mut self, reading: &mut Reading) -> Result<(), Error> {
        if self.held.is_empty() { Ok(()) } else { self.print_held(reading, self.held.len()) }
    }

    /// What follows begins elsewhere: a line that is held back is none of its.
    pub(super) fn jump(&mut self, reading: &mut Reading, offset: u64) -> Result<(), Error> {
        self.finish(reading)?;
        self.offset = offset;
        Ok(())
    }

    fn print_held(&mut self, reading: &mut Reading, bytes: usize) -> Result<(), Error> {
        let rest = self.held.split_off(bytes);
        let ended = self.held.ends_with(b"\n");
        let line = &self.held[..self.held.len() - usize::from(ended)];
        let text = std::str::from_utf8(line).ok();
        let hex = text.is_none().then(|| line.iter().map(|byte| format!("{byte:02x}")).collect());
        let (stream, attempt, offset) = (self.stream.name(), self.attempt.0, self.offset);
        reading.output.json_line(&LineView { stream, attempt, offset, text, hex, ended })?;
        self.offset += bytes as u64;
        self.held = rest;
        Ok(())
    }
}

/// So many bytes of a long line that no character is cut at the end; all, if they are no text anyway.
fn whole_characters(line: &[u8]) -> usize {
    match std::str::from_utf8(line) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Ok(_) | Err(_) => line.len(),
    }
}

/// Where so many last lines begin in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    At(u64),
    /// Before it: it holds the beginnings of so many.
    Fewer(u64),
}

/// Where the last lines of a file begin. A newline at the end of the stream ends the last line and begins none.
pub(super) fn start_of_last_lines(file: &File, lines: u64, is_last: bool) -> io::Result<Found> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut found = 0;
    let mut block = vec![0; BLOCK_BYTES as usize];
    while end > 0 && lines > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let block = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(block, start)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let behind = start + index as u64 + 1;
            let begins = behind < length || !is_last;
            found += u64::from(begins);
            if begins && found == lines {
                return Ok(Found::At(behind));
            }
        }
        end = start;
    }
    Ok(if lines == 0 { Found::At(length) } else { Found::Fewer(found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_begin_behind_a_newline() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("stdout");
        let last = |content: &str, lines| {
            std::fs::write(&path, content).unwrap();
            let found = start_of_last_lines(&File::open(&path).unwrap(), lines, true).unwrap();
            let start = if let Found::At(start) = found { start } else { 0 };
            content[usize::try_from(start).unwrap()..].to_owned()
        };
        for (content, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\n\n\n", 1, "\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
        ] {
            assert_eq!(last(content, lines), expected, "{content:?} {lines}");
        }
        // Lines that are longer than what is read at once.
        let long = "x".repeat(BLOCK_BYTES as usize + 7);
        assert_eq!(last(&format!("{long}\n{long}\n"), 1), format!("{long}\n"));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&[b'a', 0xff, b'b']), 3);
        assert_eq!(whole_characters(&"é".as_bytes()[..1]), 1);
    }
}
