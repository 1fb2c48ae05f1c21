//! The columns of a table: what each is called, of which type it is, and where its value comes from.

use rusqlite::types::Value;
use tachograph_engine::domain::Timestamp;

/// Where the value of a column comes from: a row's source, and the row's number among those of that source.
pub(super) enum Get<S> {
    Text(fn(&S, usize) -> Option<String>),
    Integer(fn(&S, usize) -> Option<i64>),
    /// RFC 3339 with microseconds.
    Time(fn(&S, usize) -> Option<Timestamp>),
    /// The same time as microseconds since 1970.
    Micros(fn(&S, usize) -> Option<Timestamp>),
}

/// A column of a table whose rows come out of sources of one type.
pub(super) struct Column<S> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    get: Get<S>,
}

impl<S> Column<S> {
    /// Its type as SQLite names it.
    pub(super) fn kind(&self) -> &'static str {
        match self.get {
            Get::Text(_) | Get::Time(_) => "TEXT",
            Get::Integer(_) | Get::Micros(_) => "INTEGER",
        }
    }

    /// Its value in one row.
    pub(super) fn value(&self, source: &S, row: usize) -> Value {
        let found = match self.get {
            Get::Text(get) => get(source, row).map(Value::Text),
            Get::Integer(get) => get(source, row).map(Value::Integer),
            Get::Time(get) => get(source, row).map(|time| Value::Text(time.to_string())),
            Get::Micros(get) => get(source, row).map(|time| Value::Integer(time.as_micros())),
        };
        found.unwrap_or(Value::Null)
    }
}

/// A table: its name, and how rows are made of a source.
pub(super) struct Table<S> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// How many rows a source makes.
    pub(super) rows: fn(&S) -> usize,
    pub(super) columns: Vec<Column<S>>,
}

impl<S> Table<S> {
    /// A table without columns yet.
    pub(super) fn of(name: &'static str, about: &'static str, rows: fn(&S) -> usize) -> Self {
        Self { name, about, rows, columns: Vec::new() }
    }

    fn with(mut self, name: &'static str, about: &'static str, get: Get<S>) -> Self {
        self.columns.push(Column { name, about, get });
        self
    }

    /// One more column of text.
    pub(super) fn text(self, name: &'static str, about: &'static str, get: fn(&S, usize) -> Option<String>) -> Self {
        self.with(name, about, Get::Text(get))
    }

    /// One more column of whole numbers.
    pub(super) fn integer(self, name: &'static str, about: &'static str, get: fn(&S, usize) -> Option<i64>) -> Self {
        self.with(name, about, Get::Integer(get))
    }

    /// One more time: a column of text, and one of microseconds.
    pub(super) fn time(
        self,
        [name, name_us]: [&'static str; 2],
        about: &'static str,
        get: fn(&S, usize) -> Option<Timestamp>,
    ) -> Self {
        self.with(name, about, Get::Time(get)).with(name_us, "the same in microseconds since 1970", Get::Micros(get))
    }

    /// What is told about it without making a row.
    pub(super) fn described(&self) -> TableInfo {
        let column = |column: &Column<S>| ColumnInfo { name: column.name, kind: column.kind(), about: column.about };
        TableInfo { name: self.name, about: self.about, columns: self.columns.iter().map(column).collect() }
    }
}

/// A table as the data dictionary has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: &'static str,
    /// What one row of it is.
    pub about: &'static str,
    /// Its columns, in order.
    pub columns: Vec<ColumnInfo>,
}

/// A column as the data dictionary has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name; stable.
    pub name: &'static str,
    /// `TEXT` or `INTEGER`.
    pub kind: &'static str,
    /// What it is.
    pub about: &'static str,
}

impl ColumnInfo {
    /// Whether a value is of the column's own type, so that SQLite compares it as it is.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Text(_) => self.kind == "TEXT",
            Value::Integer(_) => self.kind == "INTEGER",
            Value::Null | Value::Real(_) | Value::Blob(_) => false,
        }
    }
}

/// A count or position as SQLite has it; what does not fit stands at the greatest value.
pub(super) fn integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A value as compact JSON; absent if it cannot be one, which no view is.
pub(super) fn json(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
