//! The tables as files for other engines: Parquet, partitioned by day, and a SQLite database.
//!
//! Columns and rows are those of [`tacho sql`](super): nothing about them is defined here.
//!
//! | file | is |
//! | --- | --- |
//! | `passes` | every table, one fold at a time |
//! | `source` | what an export is made of: which journal, up to where |
//! | `rejoined` | an archived journal, put together again |
//! | `parquet` | a directory of Parquet files, to which each export adds what is new |
//! | `sqlite` | one database file |
//! | `problem` | what can go wrong |
//! | `command` | `tacho export --parquet` and `--sqlite` |

pub mod command;
#[cfg(feature = "parquet")]
pub mod parquet;
mod passes;
mod problem;
#[cfg(feature = "parquet")]
mod rejoined;
mod source;
pub mod sqlite;

pub use self::problem::ExportProblem;
#[cfg(feature = "parquet")]
pub use self::rejoined::Absent;
pub use self::source::Source;
