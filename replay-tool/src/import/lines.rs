//! Lines of a file that somebody else wrote: bounded, numbered, and never trusted.

use std::io::{self, BufRead};

/// What editors of some systems put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file line by line with bounded memory, whatever is in it.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    bytes_max: usize,
    buffer: Vec<u8>,
    /// Lines that were read.
    lines: u64,
    /// Bytes that were read.
    bytes: u64,
}

/// One line, without its end and without a byte order mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Where its content begins in the file.
    pub offset: u64,
    /// Its content; of a line that is longer than allowed, its beginning.
    pub content: &'a [u8],
    /// Whether it is longer than allowed.
    pub too_long: bool,
}

impl Line<'_> {
    /// Whether there is nothing in it but spaces.
    pub fn is_blank(&self) -> bool {
        !self.too_long && self.content.iter().all(u8::is_ascii_whitespace)
    }
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most so many bytes; of longer ones the rest is passed over.
    pub fn of(reader: R, bytes_max: usize) -> Self {
        Self { reader, bytes_max, buffer: Vec::new(), lines: 0, bytes: 0 }
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; absent at the end.
    ///
    /// # Errors
    ///
    /// What the reader says.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let begin = self.bytes;
        let mut too_long = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let content = &available[..end.unwrap_or(available.len())];
            let room = self.bytes_max.saturating_sub(self.buffer.len());
            too_long |= content.len() > room;
            self.buffer.extend_from_slice(&content[..content.len().min(room)]);
            let used = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                break;
            }
        }
        if self.bytes == begin {
            return Ok(None);
        }
        self.lines += 1;
        let mut content = self.buffer.as_slice();
        let mut offset = begin;
        if self.lines == 1
            && let Some(rest) = content.strip_prefix(BYTE_ORDER_MARK)
        {
            content = rest;
            offset += BYTE_ORDER_MARK.len() as u64;
        }
        if !too_long {
            content = content.strip_suffix(b"\r").unwrap_or(content);
        }
        Ok(Some(Line { number: self.lines, offset, content, too_long }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], bytes_max: usize) -> Vec<(u64, u64, String, bool)> {
        // A buffer of three bytes, so that every line is put together from parts.
        let mut lines = Lines::of(io::BufReader::with_capacity(3, text), bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((line.number, line.offset, String::from_utf8_lossy(line.content).into_owned(), line.too_long));
        }
        assert_eq!(lines.bytes(), text.len() as u64);
        found
    }

    #[test]
    fn a_mark_line_ends_of_both_kinds_and_a_missing_last_one_are_no_content() {
        let found = all(b"\xEF\xBB\xBFone\r\n\ntwo\nthree", 100);
        let expected = [(1, 3, "one"), (2, 8, ""), (3, 9, "two"), (4, 13, "three")];
        assert_eq!(found, expected.map(|(number, offset, text)| (number, offset, text.to_owned(), false)));
        assert_eq!(all(b"", 100), []);
        assert_eq!(all(b"\n", 100), [(1, 0, String::new(), false)]);
    }

    #[test]
    fn a_line_beyond_the_bound_is_cut_and_the_next_one_is_whole() {
        let found = all(b"0123456789\n01234\n012345", 5);
        let expected = [(1, 0, "01234", true), (2, 11, "01234", false), (3, 17, "01234", true)];
        assert_eq!(found, expected.map(|(number, offset, text, long)| (number, offset, text.to_owned(), long)));
    }
}
