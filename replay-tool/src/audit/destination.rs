//! Where the rows of tables go: into a database, or into files.

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};

use super::column::TableInfo;
use super::tables;
use crate::error::Error;

/// Takes the rows of tables.
pub(super) trait Destination {
    /// Begins a table; its rows have the values of these columns, in this order.
    fn begin<'d>(&'d self, table: &TableInfo) -> Result<Box<dyn RowWriter + 'd>, Error>;
}

/// Takes the rows of one table.
pub(super) trait RowWriter {
    /// Adds a row.
    fn write(&mut self, row: &[Value]) -> Result<(), Error>;

    /// There are no more rows.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// A database with all tables, and the error for what fails in it.
pub(super) struct Database<'c> {
    pub(super) connection: &'c Connection,
    pub(super) failed: &'c dyn Fn(&rusqlite::Error) -> Error,
}

impl Destination for Database<'_> {
    fn begin<'d>(&'d self, table: &TableInfo) -> Result<Box<dyn RowWriter + 'd>, Error> {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let sql = match names.as_slice() {
            [] => format!("INSERT INTO {} DEFAULT VALUES", table.name),
            names => {
                let places = vec!["?"; names.len()].join(", ");
                format!("INSERT INTO {}({}) VALUES({places})", table.name, names.join(", "))
            }
        };
        let insert = self.connection.prepare(&sql).map_err(|error| (self.failed)(&error))?;
        Ok(Box::new(Inserting { insert, failed: self.failed }))
    }
}

struct Inserting<'d> {
    insert: Statement<'d>,
    failed: &'d dyn Fn(&rusqlite::Error) -> Error,
}

impl RowWriter for Inserting<'_> {
    fn write(&mut self, row: &[Value]) -> Result<(), Error> {
        self.insert.execute(params_from_iter(row)).map(drop).map_err(|error| (self.failed)(&error))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// Makes all tables, empty.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    for table in tables() {
        let columns: Vec<_> = table.columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect();
        connection.execute_batch(&format!("CREATE TABLE {}({})", table.name, columns.join(", ")))?;
    }
    Ok(())
}
