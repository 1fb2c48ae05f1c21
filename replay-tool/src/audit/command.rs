//! `tacho sql` and `tacho audit`: questions to the history, in SQL.

use std::io::{IsTerminal, Read, stdout};

use rusqlite::types::Value;

use super::answer::Desk;
use super::loading::{Loaded, Scope};
use super::named::{NAMED, NamedQuery};
use super::parameter::Parameter;
use super::rows::{self, RowsFormat};
use super::tables;
use crate::cli::{AskArgs, AuditArgs, SqlArgs};
use crate::error::Error;
use crate::output::Reading;
use crate::when::AsOf;

/// The longest question that is read from standard input.
const SQL_BYTES_MAX: u64 = 1 << 20;
/// Microseconds of the time that a question is about: now, or what `--at` stands for.
const NOW_US: &str = "now_us";

/// Answers a question in SQL, or lists the tables.
///
/// # Errors
///
/// [`Error`] if the question is wrong, the journal cannot be read or the output not written.
pub async fn sql(reading: &mut Reading, args: &SqlArgs) -> Result<(), Error> {
    if args.tables {
        return dictionary(reading, args.ask.output);
    }
    let sql = match args.sql.as_deref() {
        Some("-") => read_in()?,
        Some(sql) => sql.to_owned(),
        None => String::new(),
    };
    answer(reading, &sql, &args.ask, &[]).await
}

/// Answers a question with a name, shows it, or lists them all.
///
/// # Errors
///
/// As [`sql`].
pub async fn audit(reading: &mut Reading, args: &AuditArgs) -> Result<(), Error> {
    let Some(name) = args.name.as_deref() else { return list(reading, args.ask.output) };
    let query = NamedQuery::find(name).ok_or_else(|| unknown_query(name))?;
    if args.show {
        return reading.output.text(query.sql);
    }
    let defaults: Vec<Parameter> = query.parameters().into_iter().map(|parameter| parameter.default).collect();
    answer(reading, query.sql, &args.ask, &defaults).await
}

fn unknown_query(name: &str) -> Error {
    let nearest = NAMED.iter().max_by(|left, right| {
        let alike = |query: &NamedQuery| strsim::jaro_winkler(name, query.name);
        alike(left).total_cmp(&alike(right))
    });
    let nearest = nearest.map(|query| query.name).unwrap_or_default();
    Error::Input {
        code: "unknown_query",
        message: format!("there is no question named {:?}", name.chars().take(64).collect::<String>()),
        remedy: format!("did you mean {nearest}? `tacho audit` lists all"),
    }
}

async fn answer(reading: &mut Reading, sql: &str, ask: &AskArgs, defaults: &[Parameter]) -> Result<(), Error> {
    let mut desk = Desk::of(sql)?;
    let scope = scope(reading, ask).await?;
    let now = match ask.at {
        None => Some(reading.now),
        Some(AsOf::Time(when)) => Some(when.resolve(reading.now)),
        Some(AsOf::Position(_)) => reading.dataset.recorded_at(scope.at).await?,
    };
    let mut optional = defaults.to_vec();
    optional.push(Parameter::integer(NOW_US, now.unwrap_or(reading.now).as_micros()));
    let loaded = desk.fill(&reading.dataset, scope).await?;
    let format = format(reading, ask.output);
    if ask.explain {
        return explained(reading, format, &loaded, desk.plan()?);
    }
    let output = &mut reading.output;
    desk.ask(&ask.params, &optional, |names, next| rows::write(format, names, next, output, stdout().is_terminal()))
}

fn format(reading: &Reading, output: Option<RowsFormat>) -> RowsFormat {
    output.unwrap_or(if reading.is_json() { RowsFormat::Json } else { RowsFormat::Table })
}

async fn scope(reading: &Reading, ask: &AskArgs) -> Result<Scope, Error> {
    reading.note_beyond_end(ask.at.and_then(AsOf::asked_position));
    let at = reading.dataset.position(ask.at, reading.now).await?;
    let after = match ask.after {
        Some(after) => reading.dataset.position(Some(after), reading.now).await?,
        None => Default::default(),
    };
    let run = match &ask.run {
        Some(run) => Some(reading.dataset.resolve(run, Some(at)).await?),
        None => None,
    };
    Ok(Scope { at, after, run })
}

fn read_in() -> Result<String, Error> {
    let mut sql = String::new();
    let read = std::io::stdin().lock().take(SQL_BYTES_MAX + 1).read_to_string(&mut sql);
    match read {
        Ok(bytes) if bytes as u64 <= SQL_BYTES_MAX => Ok(sql),
        Ok(_) => Err(Error::input("the question is longer than 1 MiB", "ask a shorter one")),
        Err(error) => Err(Error::input(format!("the question cannot be read: {error}"), "give it as UTF-8")),
    }
}

/// Writes rows that are known.
fn known(
    reading: &mut Reading,
    output: Option<RowsFormat>,
    names: &[&str],
    all: Vec<Vec<String>>,
) -> Result<(), Error> {
    let format = format(reading, output);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut all = all.into_iter().map(|row| row.into_iter().map(Value::Text).collect());
    rows::write(format, &names, &mut || Ok(all.next()), &mut reading.output, stdout().is_terminal())
}

/// Which tables there are, and what each column of them is.
fn dictionary(reading: &mut Reading, output: Option<RowsFormat>) -> Result<(), Error> {
    let mut all = Vec::new();
    for table in tables() {
        for column in &table.columns {
            all.push([table.name, column.name, column.kind, column.about].map(str::to_owned).to_vec());
        }
    }
    known(reading, output, &["table", "column", "type", "is"], all)
}

/// Which questions have a name.
fn list(reading: &mut Reading, output: Option<RowsFormat>) -> Result<(), Error> {
    let all = NAMED.iter().map(|query| vec![query.name.to_owned(), query.about().to_owned()]);
    known(reading, output, &["name", "tells"], all.collect())
}

/// What was read for a question, and how SQLite goes about it.
fn explained(reading: &mut Reading, format: RowsFormat, loaded: &Loaded, plan: Vec<String>) -> Result<(), Error> {
    let mut all = Vec::new();
    let mut step = |step: &str, detail: String| all.push(vec![step.to_owned(), detail]);
    for from in &loaded.from {
        step("read", from.clone());
    }
    step("read", format!("{} entries decoded", loaded.entries));
    for table in &loaded.tables {
        let columns = if table.columns.is_empty() { "none".to_owned() } else { table.columns.join(", ") };
        let count = (table.columns.len(), table.columns_of);
        step("fill", format!("{}: {} rows, {} of {} columns: {columns}", table.name, table.rows, count.0, count.1));
    }
    plan.into_iter().for_each(|line| step("plan", line));
    known(reading, Some(format), &["step", "detail"], all)
}
