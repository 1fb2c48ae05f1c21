//! Arguments of `tacho import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Arguments of `tacho import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Makes a journal in the data directory, which must not exist or be empty. tachograph-jsonl is what `tacho export --jsonl` \
wrote: all of it becomes the same journal, or nothing.

Examples:
  tacho import --from tachograph-jsonl journal.jsonl --data ./copy
  tacho export --jsonl | ssh archive tacho import --from tachograph-jsonl - --data ./copy")]
pub struct ImportArgs {
    /// What the file is: tachograph-jsonl
    #[arg(long, value_name = "SOURCE", hide_possible_values = true)]
    pub from: Source,
    /// The file; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// A journal as JSON Lines.
    TachographJsonl,
}
