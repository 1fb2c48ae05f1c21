//! Exported tables, for programs.

use serde::Serialize;

use crate::audit::LoadedTable;
use crate::audit::export::Source;
use crate::audit::export::sqlite::SqliteExport;

/// A table that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenTableView {
    /// Its name.
    pub table: &'static str,
    /// How many rows were written.
    pub rows: u64,
}

impl From<&LoadedTable> for WrittenTableView {
    fn from(table: &LoadedTable) -> Self {
        Self { table: table.name, rows: table.rows }
    }
}

/// What the tables were made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceView {
    /// The identity of the journal, if its files can be read that far.
    pub journal: Option<String>,
    /// The last position that is exported.
    pub position: u64,
    /// When that was recorded.
    pub recorded_at: Option<String>,
    /// The only run, if there is but one.
    pub run: Option<String>,
    /// What is held, in words, if that is not the whole journal.
    pub part: Option<String>,
}

impl From<&Source> for SourceView {
    fn from(source: &Source) -> Self {
        Self {
            journal: source.journal.map(|id| id.to_string()),
            position: source.position.0,
            recorded_at: source.recorded_at.map(|time| time.to_string()),
            run: source.run.map(|run| run.to_string()),
            part: source.part.clone(),
        }
    }
}

/// The tables in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SqliteExportView {
    /// The file.
    pub file: String,
    /// What it was made of.
    #[serde(flatten)]
    pub source: SourceView,
    /// The tables.
    pub tables: Vec<WrittenTableView>,
    /// Its size.
    pub bytes: u64,
}

impl From<&SqliteExport> for SqliteExportView {
    fn from(made: &SqliteExport) -> Self {
        Self {
            file: made.path.display().to_string(),
            source: (&made.source).into(),
            tables: made.tables.iter().map(Into::into).collect(),
            bytes: made.bytes,
        }
    }
}

/// The tables in a directory of Parquet files.
#[cfg(feature = "parquet")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParquetExportView {
    /// The directory.
    pub directory: String,
    /// What it was made of.
    #[serde(flatten)]
    pub source: SourceView,
    /// The first position that it holds.
    pub first: u64,
    /// The last position that it held before; absent if it is new.
    pub position_before: Option<u64>,
    /// Whether an export before it was cut off, and was completed first.
    pub completed: bool,
    /// The tables that were written; none if nothing is new.
    pub tables: Vec<WrittenTableView>,
    /// The files that were written, as the manifest has them.
    pub files: Vec<crate::audit::export::parquet::FileLine>,
    /// How many files there are now.
    pub files_total: usize,
    /// How many bytes they have.
    pub bytes_total: u64,
    /// The archived bundle for want of which the tables that say how things stand tell only what stayed.
    pub absent: Option<AbsentView>,
}

/// A bundle with archived entries that cannot be read.
#[cfg(feature = "parquet")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsentView {
    /// The first position in it.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The bundle, as it was named when it was archived.
    pub bundle: String,
    /// Why it cannot be read.
    pub why: String,
}

#[cfg(feature = "parquet")]
impl From<&crate::audit::export::parquet::ParquetExport> for ParquetExportView {
    fn from(made: &crate::audit::export::parquet::ParquetExport) -> Self {
        Self {
            directory: made.path.display().to_string(),
            source: (&made.source).into(),
            first: made.first.0,
            position_before: made.before.map(|position| position.0),
            completed: made.completed,
            tables: made.tables.iter().map(Into::into).collect(),
            files: made.files.clone(),
            files_total: made.files_total,
            bytes_total: made.bytes_total,
            absent: made.absent.as_ref().map(|absent| AbsentView {
                first: absent.first.0,
                last: absent.last.0,
                bundle: absent.bundle.clone(),
                why: absent.why.clone(),
            }),
        }
    }
}
