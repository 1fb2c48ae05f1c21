//! The rows of an answer as text, JSON, JSON Lines or CSV: written as they come, with bounded memory.

use std::io::Write;

use rusqlite::types::Value;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use unicode_width::UnicodeWidthStr;

use super::answer::Next;
use crate::error::Error;
use crate::output::Output;
use crate::table::{BOLD, DIM, printable};

/// Rows that are looked at before the widths of columns are fixed.
const ROWS_AHEAD: usize = 1_000;
/// Characters of these rows at most.
const CHARS_AHEAD: usize = 1 << 20;
/// Characters of a cell that a table shows.
const CELL_CHARS_MAX: usize = 120;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RowsFormat {
    /// Aligned columns for people; long values are cut
    Table,
    /// One array of objects
    Json,
    /// One object on each line
    Jsonl,
    /// Comma-separated values with a heading, as RFC 4180 has them
    Csv,
}

impl RowsFormat {
    /// Its name on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// Writes all rows of an answer, and nothing before the first one, or that there is none, is known. What is written to a
/// terminal cannot play with it.
///
/// # Errors
///
/// Whatever the answer fails with, and [`Error`] if the output cannot be written. Rows before that are written, and that of
/// a table or an array there are more can be seen: its last line, or its bracket, is missing.
pub(super) fn write(
    format: RowsFormat,
    names: &[String],
    next: Next<'_>,
    output: &mut Output,
    to_terminal: bool,
) -> Result<(), Error> {
    let mut first = Some(next()?);
    let next: Next<'_> = &mut || first.take().map_or_else(&mut *next, Ok);
    match format {
        RowsFormat::Table => table(names, next, output),
        RowsFormat::Json => json(names, next, output),
        RowsFormat::Jsonl => {
            while let Some(values) = next()? {
                output.json_line(&JsonRow { names, values: &values })?;
            }
            Ok(())
        }
        RowsFormat::Csv => csv(names, next, output, to_terminal),
    }
}

/// A value as text; absent for NULL. Bytes are hexadecimal.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Blob(bytes) => Some(hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(names: &[String], next: Next<'_>, output: &mut Output) -> Result<(), Error> {
    let unwritten = |error: serde_json::Error| Error::output(error.into());
    let mut writer = output.writer();
    let mut serializer = serde_json::Serializer::pretty(&mut writer);
    let mut list = serializer.serialize_seq(None).map_err(unwritten)?;
    let failed = loop {
        match next() {
            Ok(Some(values)) => list.serialize_element(&JsonRow { names, values: &values }).map_err(unwritten)?,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    // What is not all of it must not look as if it were.
    if failed.is_none() {
        SerializeSeq::end(list).map_err(unwritten)?;
    }
    writer.write_all(b"\n").map_err(Error::output)?;
    failed.map_or(Ok(()), Err)
}

struct JsonRow<'r> {
    names: &'r [String],
    values: &'r [Value],
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, value) in self.names.iter().zip(self.values) {
            match value {
                Value::Null => map.serialize_entry(name, &None::<()>)?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Real(number) => map.serialize_entry(name, number)?,
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Blob(bytes) => map.serialize_entry(name, &hex(bytes))?,
            }
        }
        map.end()
    }
}

fn csv(names: &[String], next: Next<'_>, output: &mut Output, to_terminal: bool) -> Result<(), Error> {
    let mut line = String::new();
    names.iter().for_each(|name| csv_field(&mut line, Some(name), to_terminal));
    csv_line(&mut line, output)?;
    while let Some(values) = next()? {
        values.iter().for_each(|value| csv_field(&mut line, text_of(value).as_deref(), to_terminal));
        csv_line(&mut line, output)?;
    }
    Ok(())
}

fn csv_line(line: &mut String, output: &mut Output) -> Result<(), Error> {
    line.pop();
    line.push_str("\r\n");
    output.writer().write_all(line.as_bytes()).map_err(Error::output)?;
    line.clear();
    Ok(())
}

/// Adds a field and the comma behind it. NULL is nothing, an empty text is quoted.
fn csv_field(line: &mut String, text: Option<&str>, to_terminal: bool) {
    if let Some(text) = text {
        let shown = if to_terminal { printable(text) } else { text.to_owned() };
        if shown.is_empty() || shown.contains([',', '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&shown.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&shown);
        }
    }
    line.push(',');
}

/// One column of the table: how wide it is, and whether it holds numbers.
struct Layout {
    width: usize,
    numbers: bool,
}

/// A cell of the table: its text, made printable and cut.
fn cell(value: &Value) -> String {
    let text = printable(&text_of(value).unwrap_or_default());
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

fn table(names: &[String], next: Next<'_>, output: &mut Output) -> Result<(), Error> {
    let (mut ahead, mut chars, mut failed) = (Vec::new(), 0, None);
    let mut layouts: Vec<Layout> =
        names.iter().map(|name| Layout { width: printable(name).width(), numbers: true }).collect();
    while ahead.len() < ROWS_AHEAD && chars < CHARS_AHEAD {
        let values = match next() {
            Ok(Some(values)) => values,
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        let cells: Vec<String> = values.iter().map(cell).collect();
        for ((layout, cell), value) in layouts.iter_mut().zip(&cells).zip(&values) {
            layout.width = layout.width.max(cell.width());
            layout.numbers &= matches!(value, Value::Null | Value::Integer(_) | Value::Real(_));
            chars += cell.len();
        }
        ahead.push(cells);
    }
    if ahead.is_empty() {
        return output.text("no rows\n");
    }
    let heading: Vec<String> = names.iter().map(|name| printable(name)).collect();
    output.text(&format!("{}{}{}\n", BOLD.render(), line(&heading, &layouts), BOLD.render_reset()))?;
    let mut count = ahead.len();
    for cells in ahead {
        output.text(&format!("{}\n", line(&cells, &layouts)))?;
    }
    failed.map_or(Ok(()), Err)?;
    while let Some(values) = next()? {
        let cells: Vec<String> = values.iter().map(cell).collect();
        output.text(&format!("{}\n", line(&cells, &layouts)))?;
        count += 1;
    }
    let rows = if count == 1 { "row" } else { "rows" };
    output.text(&format!("{}{count} {rows}{}\n", DIM.render(), DIM.render_reset()))
}

/// The cells of one row under each other's headings, without trailing spaces.
fn line(cells: &[String], layouts: &[Layout]) -> String {
    let mut line = String::new();
    for (cell, layout) in cells.iter().zip(layouts) {
        let padding = " ".repeat(layout.width.saturating_sub(cell.width()));
        let (before, after) = if layout.numbers { (padding.as_str(), "") } else { ("", padding.as_str()) };
        line.push_str(before);
        line.push_str(cell);
        line.push_str(after);
        line.push_str("  ");
    }
    line.truncate(line.trim_end_matches(' ').len());
    line
}
