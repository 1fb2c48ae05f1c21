//! Arguments of `tacho export`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Arguments of `tacho export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
JSON Lines: a header, then one entry per line with all that is recorded in it, oldest first. Nothing is lost: \
`tacho import --from tachograph-jsonl` makes the same journal of it, entry for entry.

Examples:
  tacho export --jsonl > journal.jsonl
  tacho export --jsonl --out journal.jsonl
  tacho export --jsonl | jq -c 'select(.body.refused)'")]
pub struct ExportArgs {
    /// As JSON Lines
    #[arg(long, required = true)]
    pub jsonl: bool,
    /// Into this file, which must not exist yet [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}
