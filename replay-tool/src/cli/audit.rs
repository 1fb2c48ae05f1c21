//! The arguments of questions in SQL.

use clap::Args;

use crate::audit::{CacheChoice, Parameter, RowsFormat};
use crate::when::AsOf;

/// What every question takes.
#[derive(Debug, Clone, Default, Args)]
pub struct AskArgs {
    /// The tables as of this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
    /// Of entries, events and refusals, only what was recorded after this
    #[arg(long, value_name = "TIME|POSITION")]
    pub after: Option<AsOf>,
    /// Only this run: a run id, the beginning of one, or a name
    #[arg(long)]
    pub run: Option<String>,
    /// The value of a parameter :NAME of the question; may be given many times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<Parameter>,
    /// How rows are written: table, json, jsonl or csv [default: table, or json with --format json]
    #[arg(long, value_name = "FORM", hide_possible_values = true)]
    pub output: Option<RowsFormat>,
    /// Where tables of a large journal stay filled: a directory, or off [default: tacho/tables in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR|off", env = "TACHO_CACHE", hide_env_values = true)]
    pub cache: Option<CacheChoice>,
    /// From how many entries on a journal is large; for tests.
    #[arg(skip)]
    pub cached_from: Option<u64>,
    /// Tell what is read for the question, and how SQLite goes about it, in place of the answer
    #[arg(long)]
    pub explain: bool,
}

/// Arguments of `tacho sql`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
The SQL is that of SQLite; docs/audit.md describes the tables. A question reads and changes nothing: all else is refused. \
The parameter :now_us is the present time in microseconds, or that of --at.

Examples:
  tacho sql 'SELECT status, count(*) FROM runs GROUP BY status'
  tacho sql 'SELECT * FROM events' --run build --output csv
  tacho sql \"SELECT run, reason FROM refusals WHERE actor = :who\" --param who=r1 --format json
  tacho sql 'SELECT * FROM runs' --at 2026-11-21T03:12:00Z
  tacho sql --tables
  tacho sql                                   # a prompt: .help tells what it can
  tacho sql < questions.sql")]
pub struct SqlArgs {
    /// The question; without it a prompt, and off a terminal or for - what standard input holds
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,
    /// List the tables and their columns
    #[arg(long, conflicts_with_all = ["sql", "explain"])]
    pub tables: bool,
    /// What every question takes.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `tacho audit`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Each is a text in SQL with parameters that have defaults; --show prints it, and `tacho sql` runs it as well. Parameters in \
milliseconds take durations, too.

Examples:
  tacho audit                                 # which there are
  tacho audit stuck --param longer_than_ms=2h
  tacho audit refusals --output csv
  tacho audit outages --show")]
pub struct AuditArgs {
    /// Which question; without it, all are listed
    pub name: Option<String>,
    /// Print its SQL in place of the answer
    #[arg(long, requires = "name")]
    pub show: bool,
    /// What every question takes.
    #[command(flatten)]
    pub ask: AskArgs,
}
