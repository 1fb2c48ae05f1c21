//! The tables as one SQLite database.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use tachograph_engine::domain::Position;

use super::super::destination::{Database, create_tables};
use super::super::loading::LoadedTable;
use super::passes::write_all;
use super::problem::ExportProblem;
use super::source::Source;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::whole_file::WholeFile;

/// `PRAGMA application_id` of an export: `tach` in ASCII.
pub const APPLICATION_ID: i32 = 0x7461_6368;
/// `PRAGMA user_version` of an export: the version of its tables. Columns are added within one version.
pub const USER_VERSION: i32 = 1;

/// Memory for pages.
const CACHE_KIB: i64 = 64 * 1_024;

/// What questions look rows up by.
const INDEXES: [&str; 18] = [
    "entries(position)",
    "entries(run, position)",
    "entries(recorded_at_us)",
    "events(position, number)",
    "events(run, version)",
    "events(event, recorded_at_us)",
    "refusals(position)",
    "refusals(run)",
    "refusals(reason)",
    "runs(run)",
    "runs(name)",
    "runs(status)",
    "attempts(run, attempt)",
    "snapshots(run)",
    "timers(run)",
    "sessions(opened_position)",
    "labels(run)",
    "labels(key, value)",
];

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteExport {
    /// The file.
    pub path: PathBuf,
    /// What it was made of.
    pub source: Source,
    /// The tables, with their rows.
    pub tables: Vec<LoadedTable>,
    /// Its size.
    pub bytes: u64,
}

/// Writes all tables into a new database, which comes to be as a whole or not at all. `replaces` says whether a file of that
/// name gives way. A crash leaves what had the name, and at most a hidden `.FILE.exporting-PID` beside it.
///
/// Of a damaged journal all that can be read is written; the dataset tells of it, and so does the table `source`.
///
/// # Errors
///
/// [`Error::Export`] if it cannot be written there, [`Error::Journal`] if the journal cannot be read.
pub async fn write_sqlite(
    dataset: &Dataset,
    source: Source,
    path: &Path,
    replaces: bool,
) -> Result<SqliteExport, Error> {
    super::source::outside(path, dataset.data())?;
    if path.symlink_metadata().is_ok_and(|found| !replaces || !found.is_file()) {
        return Err(ExportProblem::Occupied { path: path.to_owned(), is_directory: false }.into());
    }
    let file = WholeFile::create(path, replaces)?;
    let failed = |error: &rusqlite::Error| failed(file.beside(), error);
    let tables = {
        let connection = begun(file.beside()).map_err(|error| failed(&error))?;
        let to = Database { connection: &connection, failed: &failed };
        let tables = write_all(&to, (dataset, dataset), source.scope(Position::ZERO)).await?;
        finished(&connection, &source, dataset).map_err(|error| failed(&error))?;
        connection.close().map_err(|(_, error)| failed(&error))?;
        tables
    };
    let bytes = file.beside().metadata().map_or(0, |found| found.len());
    file.finish()?;
    Ok(SqliteExport { path: path.to_owned(), source, tables, bytes })
}

/// Opens the empty file. Nobody else knows it yet: nothing needs to be safe before it is whole.
fn begun(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; \
         PRAGMA cache_size = -{CACHE_KIB}; PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {USER_VERSION}; BEGIN"
    ))?;
    create_tables(&connection)?;
    Ok(connection)
}

fn finished(connection: &Connection, source: &Source, dataset: &Dataset) -> rusqlite::Result<()> {
    for index in INDEXES {
        let name: String = index.chars().map(|char| if char.is_alphanumeric() { char } else { '_' }).collect();
        connection
            .execute_batch(&format!("CREATE INDEX by_{} ON {index}", name.replace("__", "_").trim_end_matches('_')))?;
    }
    connection.execute_batch(
        "CREATE TABLE source(journal TEXT, position INTEGER, recorded_at TEXT, chain_position INTEGER, chain_digest TEXT, \
         run TEXT, part TEXT, damage TEXT, written_by TEXT)",
    )?;
    let values = params![
        source.journal.map(|id| id.to_string()),
        i64::try_from(source.position.0).unwrap_or(i64::MAX),
        source.recorded_at.map(|time| time.to_string()),
        source.chain.map(|(position, _)| i64::try_from(position.0).unwrap_or(i64::MAX)),
        source.chain.map(|(_, digest)| digest.to_string()),
        source.run.map(|run| run.to_string()),
        source.part,
        dataset.damage().map(|damage| damage.to_string()),
        super::source::WRITTEN_BY,
    ];
    connection.execute("INSERT INTO source VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", values)?;
    connection.execute_batch("COMMIT")
}

fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    let is_full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    ExportProblem::Database { path: path.to_owned(), why: error.to_string(), is_full }.into()
}
