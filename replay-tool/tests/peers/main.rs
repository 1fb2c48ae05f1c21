//! Exported tables under other people's engines: DuckDB and pandas read the Parquet, Debian's sqlite3 the SQLite database, and
//! all agree with `tacho sql`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]
#![allow(dead_code, reason = "the made journal is shared with other tests")]

/// What must be the same.
mod agreement;
/// A journal of awkward texts, numbers and times.
mod awkward;
/// What docs/audit.md says about them.
mod documented;
/// A journal with everything in it.
#[path = "../read/made.rs"]
mod made;
/// `tacho export --parquet`, read by DuckDB and pandas.
mod parquet;
/// Journals on disk, and `tacho` over them.
mod place;
/// The engines themselves.
mod readers;
/// `tacho export --sqlite`, read by the command line of SQLite.
mod sqlite;
