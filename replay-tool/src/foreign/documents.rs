//! JSON documents in a file: one after the other over any number of lines, in an array, or as the `items` of a list.

use std::io::{self, BufRead};

use super::EVENT_BYTES_MAX;

/// Bytes of a key that are remembered: more than `items` has.
const KEY_BYTES: usize = 8;
/// More brackets than can be around a document: nothing that follows the items of a list is one.
const NONE_FOLLOW: u32 = u32::MAX;

/// One document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// The number of its first line, from 1.
    pub(super) line: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its bytes, unless there is a problem.
    pub(super) content: &'a [u8],
    /// Why it is none.
    pub(super) problem: Option<&'static str>,
}

/// Finds where documents begin and end, by brackets alone: whether one is sound is found out when it is parsed.
///
/// Memory is bounded by one document, however long a list of them is. Where a document ends too early, the next line that
/// begins with `{` begins the next one.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Brackets that are open.
    depth: u32,
    /// How many of them are around the documents: one of an array, two of a list with `items`.
    around: u32,
    in_text: bool,
    escaped: bool,
    /// The last text at the depth of a list's own fields.
    key: Vec<u8>,
    /// The document that is being read.
    open: Option<Open>,
    buffer: Vec<u8>,
    offset: u64,
    line: u64,
    /// Whether the next byte is the first of its line.
    at_line_start: bool,
    /// Whether something is being passed over that is no document.
    is_stray: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    line: u64,
    offset: u64,
    is_too_long: bool,
}

impl Documents {
    /// Calls `each` for every document of a file, in order.
    ///
    /// # Errors
    ///
    /// What the reader says, and what `each` does.
    pub(super) fn of<E: From<io::Error>>(
        mut reader: impl BufRead,
        mut each: impl FnMut(Document<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut documents = Self { line: 1, at_line_start: true, ..Self::default() };
        loop {
            let used = {
                let available = match reader.fill_buf() {
                    Ok(available) => available,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                };
                for byte in available {
                    documents.take(*byte, &mut each)?;
                }
                available.len()
            };
            if used == 0 {
                return documents.end("ends before it is whole", &mut each);
            }
            reader.consume(used);
        }
    }

    fn take<E>(&mut self, byte: u8, each: &mut impl FnMut(Document<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_within = self.depth > self.around || (self.depth > 0 && self.around == NONE_FOLLOW);
        let begins_anew = byte == b'{' && self.at_line_start && is_within;
        if begins_anew {
            self.end("ends before it is whole", each)?;
        }
        if self.open.is_some() {
            self.keep(byte);
        }
        if self.in_text {
            self.within_text(byte);
        } else {
            self.between_texts(byte, each)?;
        }
        self.offset += 1;
        self.at_line_start = byte == b'\n';
        self.line += u64::from(byte == b'\n');
        Ok(())
    }

    fn keep(&mut self, byte: u8) {
        match &mut self.open {
            Some(open) if self.buffer.len() >= EVENT_BYTES_MAX => open.is_too_long = true,
            Some(_) => self.buffer.push(byte),
            None => {}
        }
    }

    fn within_text(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_text = false,
            _ if self.depth == 1 && self.key.len() < KEY_BYTES => self.key.push(byte),
            _ => {}
        }
    }

    fn between_texts<E>(&mut self, byte: u8, each: &mut impl FnMut(Document<'_>) -> Result<(), E>) -> Result<(), E> {
        match byte {
            b'"' if self.depth > 0 => {
                self.in_text = true;
                if self.depth == 1 {
                    self.key.clear();
                }
            }
            b'[' if self.depth > 0 && self.depth == self.around => {
                self.open_bracket(byte);
                self.stray(each)?;
            }
            b'{' | b'[' => self.open_bracket(byte),
            b'}' | b']' if self.depth > 0 => self.close_bracket(each)?,
            b'\n' => self.is_stray = false,
            _ if byte.is_ascii_whitespace() || self.depth > self.around || (self.depth > 0 && byte == b',') => {}
            // What is around the items of a list.
            _ if self.depth < self.around => {}
            // The mark that some editors put before everything.
            0xEF | 0xBB | 0xBF if self.offset < 3 => {}
            _ => self.stray(each)?,
        }
        Ok(())
    }

    /// Something that is no document; told once a line.
    fn stray<E>(&mut self, each: &mut impl FnMut(Document<'_>) -> Result<(), E>) -> Result<(), E> {
        if std::mem::replace(&mut self.is_stray, true) {
            return Ok(());
        }
        each(self.problem(self.line, self.offset, "is no JSON object"))
    }

    fn open_bracket(&mut self, byte: u8) {
        if byte == b'{' && self.depth == self.around {
            self.open = Some(Open { line: self.line, offset: self.offset, is_too_long: false });
            self.buffer.clear();
            self.buffer.push(byte);
            self.key.clear();
        } else if byte == b'[' && self.depth == 0 {
            self.around = 1;
        } else if byte == b'[' && self.depth == 1 && self.around == 0 && self.key == b"items" {
            // What looked like a document is the list around them.
            self.around = 2;
            self.open = None;
        }
        self.depth = self.depth.saturating_add(1);
    }

    fn close_bracket<E>(&mut self, each: &mut impl FnMut(Document<'_>) -> Result<(), E>) -> Result<(), E> {
        self.depth -= 1;
        if self.depth == self.around
            && let Some(open) = self.open.take()
        {
            let content = std::mem::take(&mut self.buffer);
            let problem = open.is_too_long.then_some("is longer than 1 MiB");
            let told = each(Document { line: open.line, offset: open.offset, content: &content, problem });
            self.buffer = content;
            told?;
        }
        match (self.depth, self.around) {
            (0, _) => self.around = 0,
            (1, 2) => self.around = NONE_FOLLOW,
            _ => {}
        }
        Ok(())
    }

    /// Ends what is open, which is not whole then.
    fn end<E>(&mut self, problem: &'static str, each: &mut impl FnMut(Document<'_>) -> Result<(), E>) -> Result<(), E> {
        let begun = self.open.take().map(|open| (open.line, open.offset));
        // A list whose end is missing is a problem as well, at the place where that shows.
        let place = begun.or((self.depth > 0).then_some((self.line, self.offset)));
        (self.depth, self.around, self.in_text, self.escaped) = (0, 0, false, false);
        place.map_or(Ok(()), |(line, offset)| each(self.problem(line, offset, problem)))
    }

    fn problem(&self, line: u64, offset: u64, problem: &'static str) -> Document<'static> {
        Document { line, offset, content: &[], problem: Some(problem) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        // A small buffer, so that everything lies across its ends.
        let reader = io::BufReader::with_capacity(5, text.as_bytes());
        Documents::of(reader, |document| {
            let content = String::from_utf8_lossy(document.content).into_owned();
            if document.problem.is_none() {
                let offset = usize::try_from(document.offset).unwrap();
                assert_eq!(content, text[offset..offset + content.len()], "it can be read again where it is");
            }
            found.push(format!(
                "{} {}",
                document.line,
                document.problem.map_or(content, |problem| format!("- {problem}"))
            ));
            io::Result::Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn documents_over_one_line_or_many() {
        assert_eq!(
            found("{\"a\":1}\n{\n  \"b\": {}\n}\n{\"c\":[1]}{\"d\":2}"),
            ["1 {\"a\":1}", "2 {\n  \"b\": {}\n}", "5 {\"c\":[1]}", "5 {\"d\":2}"]
        );
        assert_eq!(found("\u{feff}{}\r\n\r\n{}\n"), ["1 {}", "3 {}"]);
        assert_eq!(found(""), [""; 0]);
    }

    #[test]
    fn brackets_and_quotes_within_texts_do_not_count() {
        assert_eq!(found(r#"{"a":"}\"{"} {"b":"\\"}"#), [r#"1 {"a":"}\"{"}"#, r#"1 {"b":"\\"}"#]);
    }

    #[test]
    fn the_items_of_a_list_and_of_an_array_are_the_documents() {
        let list = "{\n \"apiVersion\": \"v1\",\n \"items\": [\n  {\"a\":{\"items\":[{}]}},\n  {\"b\":2}\n ],\n \"kind\": \"List\",\n \"metadata\": {\"x\": {\"y\": [1]}}\n}\n{\"c\":3}\n";
        assert_eq!(found(list), ["4 {\"a\":{\"items\":[{}]}}", "5 {\"b\":2}", "10 {\"c\":3}"]);
        assert_eq!(found("{\"items\":[]}{\"a\":1}"), ["1 {\"a\":1}"]);
        assert_eq!(found("{\"items\":[\n{\"a\":1},\n{\"b\":2}\n]}"), ["2 {\"a\":1}", "3 {\"b\":2}"]);
        assert_eq!(
            found("[{\"a\":1},\n{\"items\":[{}]}]\n{\"c\":3}"),
            ["1 {\"a\":1}", "2 {\"items\":[{}]}", "3 {\"c\":3}"]
        );
        assert_eq!(found("{\"items\":[],\"x\":\n{\"a\":1}"), ["2 - ends before it is whole", "2 {\"a\":1}"]);
        assert_eq!(found("[1, {\"a\":1}]\n[[2]]"), ["1 - is no JSON object", "1 {\"a\":1}", "2 - is no JSON object"]);
        assert_eq!(found("{\"x\":\"items\",\"y\":[1]}"), ["1 {\"x\":\"items\",\"y\":[1]}"]);
    }

    #[test]
    fn what_ends_too_early_is_named_and_the_next_one_is_found() {
        let early = "- ends before it is whole";
        assert_eq!(found("{\"a\":\n{\"b\":2}\n"), [format!("1 {early}"), "2 {\"b\":2}".to_owned()]);
        assert_eq!(found("{\"a\":\"x\n{\"b\":2}\n"), [format!("1 {early}"), "2 {\"b\":2}".to_owned()]);
        assert_eq!(found("{\"a\":1}\n{\"b\""), ["1 {\"a\":1}".to_owned(), format!("2 {early}")]);
        assert_eq!(found("{\"items\":[{\"a\":1},"), ["1 {\"a\":1}".to_owned(), format!("1 {early}")]);
        assert_eq!(
            found("error: x y\n{\"a\":1}\n12\n"),
            ["1 - is no JSON object", "2 {\"a\":1}", "3 - is no JSON object"]
        );
        assert_eq!(found("}]{\"a\":1}")[1..], ["1 {\"a\":1}"]);
    }

    #[test]
    fn memory_is_bounded_by_one_document() {
        let long = format!("{{\"a\":\"{}\"}}\n{{\"b\":2}}\n", "x".repeat(EVENT_BYTES_MAX));
        assert_eq!(found(&long), ["1 - is longer than 1 MiB", "2 {\"b\":2}"]);
        let deep = format!("{}{}\n{{\"b\":2}}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(found(&deep).len(), 2);
    }
}
