//! Arguments of `tacho export` and `tacho seal-key`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::when::AsOf;

/// Arguments of `tacho export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
With --out: a bundle, one file of evidence with the entries and what proves them. `tacho verify FILE` checks it on any \
machine, and every read command takes it with --data FILE. PATH of --redact is one of label.KEY, label, name, argv, cwd, image, \
runner, actor, waiting_on, why, message, diagnostics, cause, detail, source, location, refusal, host. Every other text \
that holds such a value of at least 4 bytes, as it is or escaped, is redacted, too, and every message or other free text that \
shares 8 bytes in a row with one.

JSON Lines: a header, then one entry per line with all that is recorded in it, oldest first. Nothing is lost: \
`tacho import --from tachograph-jsonl` makes the same journal of it, entry for entry.

--parquet and --sqlite: the tables of `tacho sql`, for other engines. A second export into the same DIR adds what is new since the first and touches none of the files by day; files that were changed or removed are named, and nothing is written then. What was archived since the first is read out of its bundles, where they were put or in the directory of --bundles.

Examples:
  tacho export --out evidence.tacho --zstd
  tacho export --out build.tacho --run build --seal ~/.tacho-seal-key
  tacho export --out night.tacho --from 2026-11-21T03:00:00Z --to 2026-11-21T04:00:00Z
  tacho export --out shared.tacho --redact label.secret,argv --salts shared.salts
  tacho export --parquet tables
  tacho export --parquet tables --to 2026-11-22T00:00:00Z
  tacho export --sqlite journal.db --force
  tacho export --jsonl > journal.jsonl
  tacho export --jsonl | jq -c 'select(.body.refused)'")]
pub struct ExportArgs {
    /// As JSON Lines instead of a bundle
    #[arg(long, conflicts_with_all = ["run", "from", "to", "zstd", "seal", "redact", "salts", "guessable_ids", "force"])]
    pub jsonl: bool,
    /// Into this file, which must not exist yet [default with --jsonl: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present_any = ["jsonl", "parquet", "sqlite"])]
    pub out: Option<PathBuf>,
    /// The tables as Parquet files in this directory; one that holds an export of the same journal is brought up to date
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(conflicts_with_all = ["jsonl", "out", "sqlite", "run", "from", "zstd", "seal", "redact", "salts", "guessable_ids", "force"])]
    pub parquet: Option<PathBuf>,
    /// With --parquet: bundles of what was archived are in this directory now, and not where they were put; a new export then holds
    /// what is in them as well
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "parquet")]
    pub bundles: Option<PathBuf>,
    /// The tables as a SQLite database in this file, which must not exist yet
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["jsonl", "out", "from", "zstd", "seal", "redact", "salts", "guessable_ids"])]
    pub sqlite: Option<PathBuf>,
    /// Only the entries about this run, and the facts about the journal between them: a run id, the beginning of one, or a name
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub run: Option<String>,
    /// Only entries from this position or time on
    #[arg(long, value_name = "TIME|POSITION")]
    pub from: Option<AsOf>,
    /// Only entries up to this position or time; tables as of then
    #[arg(long, value_name = "TIME|POSITION")]
    pub to: Option<AsOf>,
    /// Compressed
    #[arg(long)]
    pub zstd: bool,
    /// Sealed with the key in this file, which `tacho seal-key --create` makes
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath)]
    pub seal: Option<PathBuf>,
    /// Without these values: a salted commitment stands for each; several are separated by commas
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub redact: Vec<String>,
    /// Write what proves the redacted values to this file; whoever has it knows them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "redact")]
    pub salts: Option<PathBuf>,
    /// Redact an import of a foreign history although its ids show whether a guess of a value is right
    #[arg(long, requires = "redact")]
    pub guessable_ids: bool,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

impl ExportArgs {
    /// Whether it is the tables that are exported, and not the entries.
    pub fn is_of_tables(&self) -> bool {
        self.parquet.is_some() || self.sqlite.is_some()
    }
}

/// Arguments of `tacho seal-key`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The file has mode 0600 and holds the secret. Give the public key to those who shall know your seals, on another way than the \
bundles go.

Examples:
  tacho seal-key --create ~/.tacho-seal-key
  tacho seal-key ~/.tacho-seal-key             # the public key of it
  tacho verify evidence.tacho --sealed-by $(tacho seal-key ~/.tacho-seal-key)")]
pub struct SealKeyArgs {
    /// Make a key; the file must not exist yet
    #[arg(long)]
    pub create: bool,
    /// The key file
    #[arg(value_name = "KEY", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}
