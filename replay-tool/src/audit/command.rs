//! `tacho sql` and `tacho audit`: questions to the history, in SQL.

use std::io::{IsTerminal, Read, stdout};

use rusqlite::types::Value;
use tachograph_engine::domain::Timestamp;

use super::answer::{Desk, Next};
use super::cache::{Asks, Cached};
use super::interrupt::Interrupt;
use super::loading::{Loaded, Scope};
use super::named::{NAMED, NamedQuery};
use super::parameter::Parameter;
use super::problem::{nearest, unknown_table};
use super::prompt::{self, FILLED_MAX};
use super::rows::{self, RowsFormat};
use super::tables;
use crate::cli::{AskArgs, AuditArgs, Command, SqlArgs};
use crate::error::{Error, exit};
use crate::output::{Context, Format, Output, Reading};
use crate::when::AsOf;

/// The longest question that is read from standard input.
const SQL_BYTES_MAX: u64 = 1 << 20;
/// Microseconds of the time that a question is about: now, or what `--at` stands for.
pub(super) const NOW_US: &str = "now_us";

/// Answers a question in SQL, or one after the other, or lists the tables.
///
/// # Errors
///
/// [`Error`] if the question is wrong, the journal cannot be read or the output not written.
pub async fn sql(reading: &mut Reading, args: &SqlArgs) -> Result<(), Error> {
    match args.sql.as_deref() {
        _ if args.tables => dictionary(&mut reading.output, chosen(reading.format, args.ask.output), None),
        None if prompt::is_wanted() => prompt::converse(reading, &args.ask).await,
        None | Some("-") => prompt::read_out(reading, &args.ask).await,
        Some(sql) => answer(reading, sql, &args.ask, &[]).await,
    }
}

/// Answers a question with a name, shows it, or lists them all.
///
/// # Errors
///
/// As [`sql`].
pub async fn audit(reading: &mut Reading, args: &AuditArgs) -> Result<(), Error> {
    let query = match args.name.as_deref() {
        Some(name) if !args.show => NamedQuery::find(name).ok_or_else(|| unknown_query(name))?,
        Some(_) | None => return tell(&mut reading.output, reading.format, args),
    };
    let defaults: Vec<Parameter> = query.parameters().into_iter().map(|parameter| parameter.default).collect();
    answer(reading, query.sql, &args.ask, &defaults).await
}

/// Lists the tables, or the questions with a name, or shows one: what needs no journal. Absent if a question is asked.
///
/// # Errors
///
/// [`Error`] if there is no such question, or the output cannot be written.
pub fn without_journal(context: &Context, command: &Command) -> Option<Result<u8, Error>> {
    let mut output = context.stdout();
    let told = match command {
        Command::Sql(args) if args.tables => dictionary(&mut output, chosen(context.format, args.ask.output), None),
        Command::Audit(args) if args.name.is_none() || args.show => tell(&mut output, context.format, args),
        _ => return None,
    };
    Some(told.and_then(|()| output.flush()).map(|()| exit::OK))
}

/// Shows a question with a name, or lists them all.
fn tell(output: &mut Output, format: Format, args: &AuditArgs) -> Result<(), Error> {
    match args.name.as_deref() {
        None => list(output, chosen(format, args.ask.output)),
        Some(name) => output.text(NamedQuery::find(name).ok_or_else(|| unknown_query(name))?.sql),
    }
}

pub(super) fn unknown_query(name: &str) -> Error {
    let similar = nearest(name, NAMED.iter().map(|query| query.name));
    let similar = similar.map(|similar| format!("did you mean {similar}? ")).unwrap_or_default();
    Error::Input {
        code: "unknown_query",
        message: format!("there is no question named {:?}", name.chars().take(64).collect::<String>()),
        remedy: format!("{similar}`tacho audit` lists all"),
    }
}

async fn answer(reading: &mut Reading, sql: &str, ask: &AskArgs, defaults: &[Parameter]) -> Result<(), Error> {
    let mut cached = Cached::of(reading, ask, Asks::Once, Interrupt::never());
    let Filled { desk, optional, loaded, is_cached } = filled_whole(reading, sql, (ask, defaults), &mut cached).await?;
    let format = chosen(reading.format, ask.output);
    if ask.explain {
        let told = cached.explained(&reading.dataset, is_cached).await;
        let plan = cached.plan(&desk).filter(|_| is_cached).map_or_else(|| desk.plan(), Ok)?;
        return explained(&mut reading.output, format, (&loaded, told), plan);
    }
    let to_terminal = stdout().is_terminal();
    if is_cached {
        let output = &mut reading.output;
        let mut answer = |names: &[String], next: Next<'_>| rows::write(format, names, next, output, to_terminal);
        if cached.ask(&desk, (&ask.params, &optional), &mut answer)? {
            return Ok(());
        }
        // They cannot be read any more, and will not be tried again.
        let Filled { desk, optional, .. } = filled_whole(reading, sql, (ask, defaults), &mut cached).await?;
        let output = &mut reading.output;
        return desk.ask(&ask.params, &optional, |names, next| rows::write(format, names, next, output, to_terminal));
    }
    let output = &mut reading.output;
    desk.ask(&ask.params, &optional, |names, next| rows::write(format, names, next, output, to_terminal))
}

/// A question whose tables are filled.
struct Filled {
    desk: Desk,
    optional: Vec<Parameter>,
    loaded: Loaded,
    /// Whether those are filled that outlive the process, and not its own.
    is_cached: bool,
}

/// Fills the tables; once more if entries were archived meanwhile, of which some are then missing.
async fn filled_whole(
    reading: &Reading,
    sql: &str,
    asked: (&AskArgs, &[Parameter]),
    cached: &mut Cached,
) -> Result<Filled, Error> {
    for _ in 1..FILLED_MAX {
        let archived = reading.dataset.reader().archived();
        let filled = filled(reading, sql, asked, cached).await;
        if reading.dataset.reader().archived() == archived {
            return filled;
        }
        note_archived(reading);
    }
    filled(reading, sql, asked, cached).await
}

/// Tells that entries were archived since the command began.
pub(super) fn note_archived(reading: &Reading) {
    if let Some(held) = reading.dataset.held().note() {
        reading.note(&format!("entries were archived meanwhile; {}: {held}", reading.dataset.data().display()));
    }
}

async fn filled(
    reading: &Reading,
    sql: &str,
    (ask, defaults): (&AskArgs, &[Parameter]),
    cached: &mut Cached,
) -> Result<Filled, Error> {
    let desk = Desk::of(sql)?;
    let scope = scope(reading, ask, reading.now).await?;
    let now = match ask.at {
        None => Some(reading.now),
        Some(AsOf::Time(when)) => Some(when.resolve(reading.now)),
        Some(AsOf::Position(_)) => reading.dataset.recorded_at(scope.at).await?,
    };
    let mut optional = defaults.to_vec();
    optional.push(Parameter::integer(NOW_US, now.unwrap_or(reading.now).as_micros()));
    let mut desk = desk.narrowed(&ask.params, &optional);
    let found = cached.bring_up(&reading.dataset, scope, &desk).await?;
    cached.take_note().into_iter().for_each(|note| reading.note(&note));
    let is_cached = found.is_some();
    let loaded = match found {
        Some(loaded) => loaded,
        None => desk.fill(&reading.dataset, scope).await?,
    };
    Ok(Filled { desk, optional, loaded, is_cached })
}

pub(super) fn chosen(format: Format, rows: Option<RowsFormat>) -> RowsFormat {
    rows.unwrap_or(match format {
        Format::Text => RowsFormat::Table,
        Format::Json => RowsFormat::Json,
    })
}

/// Which part is asked about; times that are told as how long ago are so long before `now`.
pub(super) async fn scope(reading: &Reading, ask: &AskArgs, now: Timestamp) -> Result<Scope, Error> {
    reading.note_beyond_end(ask.at.and_then(AsOf::asked_position));
    let at = reading.dataset.position(ask.at, now).await?;
    let after = match ask.after {
        Some(after) => reading.dataset.position(Some(after), now).await?,
        None => Default::default(),
    };
    let run = match &ask.run {
        Some(run) => Some(reading.dataset.resolve(run, Some(at)).await?),
        None => None,
    };
    Ok(Scope { at, after, run })
}

pub(super) fn read_in() -> Result<String, Error> {
    let mut sql = String::new();
    let read = std::io::stdin().lock().take(SQL_BYTES_MAX + 1).read_to_string(&mut sql);
    match read {
        Ok(bytes) if bytes as u64 <= SQL_BYTES_MAX => Ok(sql),
        Ok(_) => Err(Error::input("the question is longer than 1 MiB", "ask a shorter one")),
        Err(error) => Err(Error::input(format!("the question cannot be read: {error}"), "give it as UTF-8")),
    }
}

/// Writes rows that are known.
pub(super) fn known(
    output: &mut Output,
    format: RowsFormat,
    names: &[&str],
    all: Vec<Vec<String>>,
) -> Result<(), Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut all = all.into_iter().map(|row| row.into_iter().map(Value::Text).collect());
    rows::write(format, &names, &mut || Ok(all.next()), output, stdout().is_terminal())
}

/// Which tables there are, or one of them, and what each column of them is.
pub(super) fn dictionary(output: &mut Output, format: RowsFormat, only: Option<&str>) -> Result<(), Error> {
    let mut all = Vec::new();
    if let Some(name) = only.filter(|name| tables().iter().all(|table| table.name != *name)) {
        return Err(unknown_table(name, ""));
    }
    for table in tables().into_iter().filter(|table| only.is_none_or(|only| only == table.name)) {
        for column in &table.columns {
            all.push([table.name, column.name, column.kind, column.about].map(str::to_owned).to_vec());
        }
    }
    known(output, format, &["table", "column", "type", "is"], all)
}

/// Which questions have a name.
pub(super) fn list(output: &mut Output, format: RowsFormat) -> Result<(), Error> {
    let all = NAMED.iter().map(|query| vec![query.name.to_owned(), query.about().to_owned()]);
    known(output, format, &["name", "tells"], all.collect())
}

/// What was read for a question, and how SQLite goes about it.
pub(super) fn explained(
    output: &mut Output,
    format: RowsFormat,
    (loaded, cached): (&Loaded, Vec<String>),
    plan: Vec<String>,
) -> Result<(), Error> {
    let mut all = Vec::new();
    let mut step = |step: &str, detail: String| all.push(vec![step.to_owned(), detail]);
    cached.into_iter().for_each(|line| step("cache", line));
    for narrowed in &loaded.narrowed {
        step("push", narrowed.clone());
    }
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
    known(output, format, &["step", "detail"], all)
}
