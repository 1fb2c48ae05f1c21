//! What can be wrong with a question: each with a stable code, where it is, and what to do.

use rusqlite::{Error as Sqlite, ErrorCode};

use super::{TableInfo, tables};
use crate::error::Error;

/// How much alike a name must be to be suggested.
const SIMILARITY_MIN: f64 = 0.75;
/// Characters of a question's line that an error shows.
const LINE_CHARS_MAX: usize = 120;
const DICTIONARY: &str = "`tacho sql --tables` lists tables and columns; docs/audit.md describes them";

fn input(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Input { code, message: message.into(), remedy: remedy.into() }
}

/// A question that would do more than read.
pub(super) fn read_only(what: &str) -> Error {
    input(
        "sql_read_only",
        format!("{what} is refused: a question reads, and changes nothing"),
        "ask with SELECT, VALUES, WITH or EXPLAIN; history is written by commands alone",
    )
}

/// A text without a question.
pub(super) fn nothing_asked() -> Error {
    input("invalid_sql", "there is no SQL statement", "give one, for example: tacho sql 'SELECT * FROM runs'")
}

/// A text that is none.
pub(super) fn nul() -> Error {
    input("invalid_sql", "there is a NUL character in the question", "leave it out; in a text, write char(0)")
}

/// A parameter of a question that was not given.
pub(super) fn missing_parameter(name: &str) -> Error {
    let remedy = format!("give it with --param {name}=VALUE");
    input("missing_parameter", format!("the parameter :{name} has no value"), remedy)
}

/// A parameter without a name.
pub(super) fn nameless_parameter() -> Error {
    input("missing_parameter", "a parameter `?` has no name", "write it as :name, and give it with --param name=VALUE")
}

/// A parameter that was given and is not asked for.
pub(super) fn unknown_parameter(name: &str, known: &[String]) -> Error {
    let message = format!("there is no parameter :{name} in the question");
    let remedy = match nearest(name, known.iter().map(String::as_str)) {
        Some(similar) => format!("did you mean {similar}?"),
        None => "write it as :name where its value belongs".to_owned(),
    };
    input("unknown_parameter", message, remedy)
}

/// A table that there is none of, and where it was named.
pub(super) fn unknown_table(name: &str, place: &str) -> Error {
    let all = tables();
    let remedy = suggestion(name, all.iter().map(|table| table.name));
    input("unknown_table", format!("there is no table {name:?}{place}"), remedy)
}

/// A question that SQLite does not understand.
pub(super) fn not_understood(error: &Sqlite) -> Error {
    let (message, place) = match error {
        Sqlite::SqlInputError { msg, sql, offset, .. } => (msg.clone(), place(sql, *offset)),
        Sqlite::SqliteFailure(_, Some(message)) => (message.clone(), String::new()),
        Sqlite::MultipleStatement => {
            return input("invalid_sql", "there is more than one statement", "ask one question at a time");
        }
        Sqlite::NulError(_) => ("there is a NUL character in it".to_owned(), String::new()),
        other => (other.to_string(), String::new()),
    };
    let missing = |kind: &str| message.strip_prefix(kind).map(|name| name.trim().to_owned());
    if let Some(name) = missing("no such table:") {
        return unknown_table(&name, &place);
    }
    if let Some(name) = missing("no such column:") {
        let bare = name.rsplit('.').next().unwrap_or(&name);
        let remedy = suggested_column(bare, if let Sqlite::SqlInputError { sql, .. } = error { sql } else { "" });
        return input("unknown_column", format!("there is no column {name:?}{place}"), remedy);
    }
    let remedy = format!("correct the statement; it is SQL as SQLite has it. {DICTIONARY}");
    input("invalid_sql", format!("{message}{place}"), remedy)
}

/// A question that was given up while it was answered.
pub(super) fn interrupted() -> Error {
    input("sql_interrupted", "the question was interrupted", "ask it again, or one that needs less")
}

/// What is no fault of the question: it was given up, or there is no room.
fn from_outside(error: &Sqlite) -> Option<Error> {
    match error.sqlite_error_code()? {
        ErrorCode::OperationInterrupted => Some(interrupted()),
        ErrorCode::DiskFull => Some(Error::NoTemporaryRoom),
        _ => None,
    }
}

/// A question that failed while it was answered.
pub(super) fn failed(error: &Sqlite) -> Error {
    if let Some(error) = from_outside(error) {
        return error;
    }
    if error.sqlite_error_code() == Some(ErrorCode::TooBig) {
        let message = "the question failed while it was answered: a value, or a row, is longer than 64 MiB";
        return input("sql_failed", message, "ask for less in one value");
    }
    let message = match error {
        Sqlite::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    input("sql_failed", format!("the question failed while it was answered: {message}"), "correct the statement")
}

/// Whether a file with tables cannot be read or written, whatever is asked of it.
pub(super) fn is_of_file(error: &Sqlite) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
        )
    )
}

/// A file with tables that became unreadable in the middle of an answer.
pub(super) fn file_lost(error: &Sqlite) -> Error {
    let message =
        format!("the tables that stay filled cannot be read any more, so that the answer is not whole: {error}");
    input("sql_failed", message, "ask it again: they are made anew out of the journal")
}

/// The private database failed, not the question.
pub(super) fn database(error: &Sqlite) -> Error {
    from_outside(error)
        .unwrap_or_else(|| Error::internal(format!("the private database of the question failed: {error}")))
}

/// What to write for a column that there is none of in a question: if other tables have it, those; else what is similar in
/// the tables that are named.
fn suggested_column(name: &str, sql: &str) -> String {
    let all = tables();
    let has = |table: &TableInfo| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let owners: Vec<&str> = all.iter().filter(|table| has(table)).map(|table| table.name).collect();
    if !owners.is_empty() {
        return format!("there is one in {}. {DICTIONARY}", owners.join(", "));
    }
    let words: Vec<&str> = sql.split(|char: char| !char.is_alphanumeric() && char != '_').collect();
    let is_named = |table: &TableInfo| words.iter().any(|word| word.eq_ignore_ascii_case(table.name));
    let is_any_named = all.iter().any(is_named);
    let known = all.iter().filter(|table| !is_any_named || is_named(table));
    suggestion(name, known.flat_map(|table| table.columns.iter().map(|column| column.name)))
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(similar) => format!("did you mean {similar}? {DICTIONARY}"),
        None => DICTIONARY.to_owned(),
    }
}

/// The most similar name, if one is similar.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let scored = known.map(|known| (strsim::jaro_winkler(&lower, known), known));
    let best = scored.max_by(|(left, _), (right, _)| left.total_cmp(right));
    best.filter(|(score, _)| *score >= SIMILARITY_MIN).map(|(_, known)| known)
}

/// Where in the question it is: line and column, and the line with a mark under it if it is short.
fn place(sql: &str, offset: i32) -> String {
    let Some(before) = usize::try_from(offset).ok().and_then(|offset| sql.get(..offset)) else { return String::new() };
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = sql[line_start..].lines().next().unwrap_or_default();
    let (number, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    let shown: String = line.chars().take(LINE_CHARS_MAX).collect();
    format!(", line {number}, column {column}: {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_question_is_to_blame_for_is_told_apart() {
        let sqlite = |code| Sqlite::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        for told in [failed, database] {
            let full = told(&sqlite(rusqlite::ffi::SQLITE_FULL));
            assert_eq!((full.code(), full.exit_code()), ("disk_full", 10));
            assert!(full.remedy().contains("SQLITE_TMPDIR"), "{}", full.remedy());
            assert_eq!(told(&sqlite(rusqlite::ffi::SQLITE_INTERRUPT)).code(), "sql_interrupted");
        }
        assert_eq!(failed(&sqlite(rusqlite::ffi::SQLITE_ERROR)).code(), "sql_failed");
        assert_eq!(database(&sqlite(rusqlite::ffi::SQLITE_CANTOPEN)).code(), "internal");
    }

    #[test]
    fn a_place_is_a_line_and_a_column_in_characters() {
        assert_eq!(place("SELECT 'é', x\nFROM y", 13), ", line 1, column 13: SELECT 'é', x");
        assert_eq!(place("SELECT 1\nFROM y", 14), ", line 2, column 6: FROM y");
        assert_eq!(place("SELECT", -1), "");
        assert_eq!(place("é", 1), "", "an offset within a character is no place");
    }
}
