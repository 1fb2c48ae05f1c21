//! What a question reads, and that it does nothing else: SQLite says both while it compiles the question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::column::TableInfo;
use super::joined::Joined;
use super::tables;

/// Functions of a question that would reach outside of it.
const FUNCTIONS_DENIED: [&str; 1] = ["load_extension"];
/// Pragmas that only tell about tables.
const PRAGMAS_ALLOWED: [&str; 3] = ["table_info", "table_xinfo", "table_list"];

/// The tables that a question names, each with the columns that it reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    tables: BTreeMap<String, BTreeSet<String>>,
}

impl Wanted {
    /// The columns that are read of a table; none if the question does not name it.
    pub fn columns(&self, table: &str) -> Option<&BTreeSet<String>> {
        self.tables.get(table)
    }

    /// Whether a column of a table is read.
    pub(super) fn reads(&self, table: &str, column: &str) -> bool {
        self.columns(table).is_some_and(|columns| columns.contains(column))
    }

    /// Whether nothing is read.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Tables and columns as they were written down; only such as there are.
    pub(super) fn read(written: BTreeMap<String, BTreeSet<String>>) -> Self {
        let is_ours = |(table, _): &(String, BTreeSet<String>)| ours(table).is_some_and(|name| name == table);
        Self { tables: written.into_iter().filter(is_ours).collect() }
    }

    /// The same to be written down.
    pub(super) fn written(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.tables.clone()
    }

    /// These tables, with every column.
    pub(super) fn all_of(names: &[&str]) -> Self {
        let named = tables().into_iter().filter(|table| names.contains(&table.name));
        let columns = |table: &TableInfo| table.columns.iter().map(|column| column.name.to_owned()).collect();
        Self { tables: named.map(|table| (table.name.to_owned(), columns(&table))).collect() }
    }

    /// The same with what is joined by name, which SQLite does not report.
    pub(super) fn with(mut self, joined: &Joined) -> Self {
        for table in tables() {
            if joined.names(table.name) {
                let columns = table.columns.iter().map(|column| column.name.to_owned());
                let read = columns.filter(|column| joined.reads(column));
                self.tables.entry(table.name.to_owned()).or_default().extend(read);
            }
        }
        self
    }

    /// What is read of these tables alone.
    pub(super) fn of(&self, tables: &[&str]) -> Self {
        let kept = self.tables.iter().filter(|(table, _)| tables.contains(&table.as_str()));
        Self { tables: kept.map(|(table, columns)| (table.clone(), columns.clone())).collect() }
    }

    /// Whether all that another reads of a table is read by this.
    pub(super) fn covers(&self, table: &str, other: &Self) -> bool {
        let has = |columns: &BTreeSet<String>| self.columns(table).is_some_and(|own| own.is_superset(columns));
        other.columns(table).is_none_or(has)
    }

    /// Adds what another reads of a table, and a column.
    pub(super) fn add(&mut self, table: &str, other: &Self, column: Option<&str>) {
        let own = self.tables.entry(table.to_owned()).or_default();
        own.extend(other.columns(table).into_iter().flatten().cloned());
        own.extend(column.map(str::to_owned));
    }

    /// The tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// Whether any of these tables is named.
    pub(super) fn names_any(&self, tables: &[&str]) -> bool {
        tables.iter().any(|table| self.tables.contains_key(*table))
    }
}

/// What was seen while a question was compiled.
#[derive(Debug, Default)]
struct Noted {
    wanted: Wanted,
    denied: Option<String>,
    looks_into_database: bool,
}

/// Sees what a question wants, and denies all but reading.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Noted>>);

impl Watch {
    /// Answers SQLite about one thing that a question wants.
    pub(super) fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match refused(&context.action) {
            Some(what) => {
                noted.denied.get_or_insert(what);
                Authorization::Deny
            }
            None => {
                noted.looks_into_database |= looks_into_database(&context.action);
                if let AuthAction::Read { table_name, column_name } = context.action
                    && let Some(table) = ours(table_name)
                {
                    let columns = noted.wanted.tables.entry(table.to_owned()).or_default();
                    // Where rows are only counted, it names a column without a name.
                    columns.extend(Some(column_name.to_ascii_lowercase()).filter(|name| !name.is_empty()));
                }
                Authorization::Allow
            }
        }
    }

    /// What it read so far.
    pub(super) fn wanted(&self) -> Wanted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wanted.clone()
    }

    /// Whether it asks how the database is made that the tables are in.
    pub(super) fn looks_into_database(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).looks_into_database
    }

    /// What was denied first, in words.
    pub(super) fn denied(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).denied.clone()
    }
}

/// The name of a table of ours. SQLite reports names out of the question, too, as that of a common table expression, which may
/// be any text.
pub(super) fn ours(name: &str) -> Option<&'static str> {
    tables().iter().find(|table| table.name.eq_ignore_ascii_case(name)).map(|table| table.name)
}

/// Answers SQLite about one thing while tables are filled: rows come into our own tables and go from them, and nothing else.
pub(super) fn filling(action: &AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Select | AuthAction::Transaction { .. } => Authorization::Allow,
        AuthAction::Insert { table_name } | AuthAction::Delete { table_name } | AuthAction::Read { table_name, .. }
            if ours(table_name).is_some() =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

/// Whether this tells of the database and not of what is in the tables: its schema, its pages, its statements.
fn looks_into_database(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Pragma { .. } => true,
        AuthAction::Read { table_name, .. } => {
            let name = table_name.to_ascii_lowercase();
            ["sqlite_", "pragma_", "dbstat"].iter().any(|beginning| name.starts_with(beginning))
        }
        _ => false,
    }
}

/// What of this is not reading, in words.
fn refused(action: &AuthAction<'_>) -> Option<String> {
    let known = |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let what = match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => return None,
        AuthAction::Function { function_name } if !known(&FUNCTIONS_DENIED, function_name) => return None,
        AuthAction::Pragma { pragma_name, .. } if known(&PRAGMAS_ALLOWED, pragma_name) => return None,
        AuthAction::Function { function_name } => format!("the function {function_name}"),
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
            if table_name.starts_with("sqlite_") =>
        {
            "a change of the schema".to_owned()
        }
        AuthAction::Insert { table_name } => format!("INSERT INTO {table_name}"),
        AuthAction::Update { table_name, .. } => format!("UPDATE {table_name}"),
        AuthAction::Delete { table_name } => format!("DELETE FROM {table_name}"),
        AuthAction::Attach { .. } => "ATTACH".to_owned(),
        AuthAction::Detach { .. } => "DETACH".to_owned(),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "a transaction".to_owned(),
        _ => "a change of the schema".to_owned(),
    };
    Some(what)
}
