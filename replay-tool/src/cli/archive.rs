//! Arguments of `tacho archive`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::when::When;

/// Arguments of `tacho archive`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Without --apply nothing is changed: it says what would go, and which runs keep the rest back. What goes are whole segments from \
the beginning of the journal on, recorded before TIME, and only if every run in them has ended and was not changed since TIME. \
They move into a bundle, which is read back and compared before anything is removed, and a stub stays in their place: `tacho verify` \
passes on what stays, every run is known as before, and whatever is reported about it late is refused for the same reason. What \
happened before is told by the bundle, and by the tables of `tacho sql` about it as Parquet files beside it. Nobody else may have the journal open to write.

Examples:
  tacho archive --before 90d
  tacho archive --before 2026-01-01T00:00:00Z --apply
  tacho archive --before 90d --to /mnt/archive/tacho-2026-q1.tacho --apply
  tacho timeline build --data tacho-data/archive/00000000000000000001-00000000000000120000.tacho")]
pub struct ArchiveArgs {
    /// Archive what ended before: RFC 3339, or a duration before now
    #[arg(long, value_name = "TIME")]
    pub before: When,
    /// Into this bundle, which must not exist yet [default: one in the directory `archive` of the data directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,
    /// Without the tables of the archived entries as Parquet files, which are made beside the bundle otherwise
    #[arg(long)]
    pub no_parquet: bool,
    /// Do it; without, only say what would be done
    #[arg(long)]
    pub apply: bool,
}
