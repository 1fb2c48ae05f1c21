//! A question and its answer: a private database, filled for one question, which can only be read.

use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};

use super::destination::{Database, create_tables};
use super::interrupt::Interrupt;
use super::joined::joined;
use super::loading::{Asked, Loaded, Scope, load};
use super::narrowing::Narrowing;
use super::parameter::Parameter;
use super::predicate;
use super::problem::{
    database, failed, missing_parameter, nameless_parameter, not_understood, nothing_asked, nul, read_only,
    unknown_parameter,
};
use super::wanted::{Wanted, Watch, filling};
use crate::dataset::Dataset;
use crate::error::Error;

/// Memory for pages of the private database; what goes beyond it lies in a temporary file without a name.
pub(super) const PAGES_KIB: i64 = 128 * 1_024;

/// The longest value, and the longest row: an answer needs some times as much memory.
pub(super) const VALUE_BYTES_MAX: i32 = 64 << 20;

/// Gives the next row of an answer, until there is none.
pub type Next<'r> = &'r mut dyn FnMut() -> Result<Option<Vec<Value>>, Error>;

/// Takes an answer, unless it is taken elsewhere: the names of its columns, and row by row.
pub(super) type Answer<'a> = dyn FnMut(&[String], Next<'_>) -> Result<(), Error> + 'a;

/// A private database for one question.
///
/// It lies in memory, and in a temporary file of the system once it is large; that file has no name and is gone with the
/// process. No file of the evidence is ever opened by it.
pub struct Desk {
    connection: Connection,
    sql: String,
    /// Names of the parameters that it asks for.
    parameters: Vec<String>,
    wanted: Wanted,
    narrowing: Narrowing,
    is_of_tables: bool,
}

impl Desk {
    /// A desk for one question: the tables are there, and empty; the question is compiled, so that all it wants is known.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the text is no SQL, names what is not there, or would do more than read.
    pub fn of(sql: &str) -> Result<Self, Error> {
        // SQLite ends a text there, and would answer what is before it.
        if sql.contains('\0') {
            return Err(nul());
        }
        let mut connection = private().map_err(|error| database(&error))?;
        let watch = Watch::default();
        let judge = watch.clone();
        let judged =
            connection.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| judge.judge(&context)));
        judged.map_err(|error| database(&error))?;
        let parameters = check(&connection, sql, &watch)?;
        only_fill(&mut connection).map_err(|error| database(&error))?;
        let (wanted, is_of_tables) = (watch.wanted().with(&joined(sql)), !watch.looks_into_database());
        let (sql, narrowing) = (sql.to_owned(), Narrowing::default());
        Ok(Self { connection, sql, parameters, wanted, narrowing, is_of_tables })
    }

    /// The same, and it is given up once that is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the private database fails.
    pub(super) fn interrupted_by(mut self, interrupt: &Interrupt) -> Result<Self, Error> {
        interrupt.watches(&mut self.connection)?;
        Ok(self)
    }

    /// Names of the parameters that the question asks for.
    pub(super) fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The same, to be filled with no more than what the conditions of the question leave of the tables. The parameters are
    /// those that the question will be asked with.
    #[must_use]
    pub fn narrowed(mut self, parameters: &[Parameter], optional: &[Parameter]) -> Self {
        let known: Vec<&Parameter> = parameters.iter().rev().chain(optional).collect();
        self.narrowing = predicate::narrowing(&self.sql, &self.wanted, &known);
        self
    }

    /// The tables and columns that the question reads.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn asked(&self) -> Asked<'_> {
        Asked { wanted: &self.wanted, narrowing: &self.narrowing, alone: None }
    }

    /// Fills what the question reads.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read, [`Error::Internal`] if the private database fails.
    pub async fn fill(&mut self, dataset: &Dataset, scope: Scope) -> Result<Loaded, Error> {
        self.connection.execute("BEGIN", []).map_err(|error| database(&error))?;
        let private = Database { connection: &self.connection, failed: &database };
        let loaded = load(&private, dataset, scope, self.asked()).await?;
        self.connection.execute("COMMIT", []).map_err(|error| database(&error))?;
        only_read(&mut self.connection)?;
        Ok(loaded)
    }

    /// Answers the question: `answer` is given the names of the columns, each once, and takes row by row. A row is known when
    /// it is asked for, and not kept. Parameters that are optional need not be asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if a parameter is missing or too many, or the question fails; and whatever the callbacks return.
    pub fn ask(
        &self,
        parameters: &[Parameter],
        optional: &[Parameter],
        answer: impl FnOnce(&[String], Next<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        ask(&self.connection, &self.sql, (parameters, optional), &failed, answer)
    }

    /// Whether it asks about tables of the data dictionary, and not about the database that they are in.
    pub(super) fn is_of_tables(&self) -> bool {
        self.is_of_tables && self.wanted.tables().next().is_some()
    }

    /// What its conditions leave of the tables.
    pub(super) fn narrowing(&self) -> &Narrowing {
        &self.narrowing
    }

    /// The question.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether the conditions leave some runs alone, whose own entries are all that it needs.
    pub(super) fn is_of_runs(&self, dataset: &Dataset, scope: Scope) -> bool {
        self.asked().runs(dataset, scope).is_some()
    }

    /// How SQLite goes about the question, a line per step.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn plan(&self) -> Result<Vec<String>, Error> {
        plan(&self.connection, &self.sql)
    }
}

/// How SQLite goes about a question, a line per step.
///
/// # Errors
///
/// As [`Desk::of`].
pub(super) fn plan(connection: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let mut statement = connection.prepare(&sql).map_err(|error| not_understood(&error))?;
    // Parameters need no value to be planned with.
    let steps = statement.raw_query().mapped(|row| row.get::<_, String>("detail"));
    steps.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

/// Answers a question out of tables that are filled; `failed` is asked for the error of what fails then.
///
/// # Errors
///
/// As [`Desk::ask`].
pub(super) fn ask(
    connection: &Connection,
    sql: &str,
    (parameters, optional): (&[Parameter], &[Parameter]),
    failed: &dyn Fn(&rusqlite::Error) -> Error,
    answer: impl FnOnce(&[String], Next<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // That it is understood is known: what fails here is the database.
    let mut statement = connection.prepare(sql).map_err(|error| failed(&error))?;
    bind(&mut statement, parameters, optional)?;
    let names = unique(statement.column_names());
    let columns = names.len();
    let mut rows = statement.raw_query();
    let mut next = || match rows.next() {
        Ok(Some(row)) => (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>().map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    answer(&names, &mut || next().map_err(|error| failed(&error)))
}

/// A database that belongs to nobody else, with all tables, empty.
pub(super) fn private() -> rusqlite::Result<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{PAGES_KIB}; PRAGMA trusted_schema = OFF;"
    ))?;
    create_tables(&connection)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    // No file is ever beside it, whatever a statement says.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    Ok(connection)
}

/// Compiles the question under the eyes of a watch; returns the names of its parameters.
fn check(connection: &Connection, sql: &str, watch: &Watch) -> Result<Vec<String>, Error> {
    let prepared = connection.prepare(sql);
    if let Some(what) = watch.denied() {
        return Err(read_only(&what));
    }
    let statement = prepared.map_err(|error| not_understood(&error))?;
    if !statement.readonly() {
        return Err(read_only("this statement"));
    }
    if statement.column_count() == 0 {
        let is_empty = statement.expanded_sql().is_none_or(|sql| sql.trim().is_empty());
        return Err(if is_empty { nothing_asked() } else { read_only("this statement") });
    }
    let names = (1..=statement.parameter_count()).filter_map(|index| statement.parameter_name(index)?.get(1..));
    Ok(names.map(str::to_owned).collect())
}

/// From here on nothing but reading is possible, whatever the question is.
pub(super) fn only_read(connection: &mut Connection) -> Result<(), Error> {
    let watch = Watch::default();
    let judged = connection.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| watch.judge(&context)));
    judged.map_err(|error| database(&error))
}

/// From here on tables can be filled, and emptied.
pub(super) fn only_fill(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(|context: rusqlite::hooks::AuthContext<'_>| filling(&context.action)))
}

/// Gives every parameter of a statement its value; of those that are optional, whichever it asks for.
fn bind(statement: &mut Statement<'_>, given: &[Parameter], optional: &[Parameter]) -> Result<(), Error> {
    let mut asked = Vec::new();
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).ok_or_else(nameless_parameter)?;
        let name = name.get(1..).unwrap_or_default().to_owned();
        let found = given.iter().rev().chain(optional).find(|parameter| parameter.name == name);
        let value = found.map(|parameter| &parameter.value).ok_or_else(|| missing_parameter(&name))?;
        statement.raw_bind_parameter(index, value).map_err(|error| database(&error))?;
        asked.push(name);
    }
    match given.iter().find(|parameter| !asked.contains(&parameter.name)) {
        Some(surplus) => Err(unknown_parameter(&surplus.name, &asked)),
        None => Ok(()),
    }
}

/// The names of columns, each once: a row is an object to programs.
fn unique<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        let mut candidate = name.to_owned();
        let mut number = 2;
        while unique.contains(&candidate) {
            candidate = format!("{name}_{number}");
            number += 1;
        }
        unique.push(candidate);
    }
    unique
}
