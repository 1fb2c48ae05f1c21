//! The arguments of the commands that replay recorded commands.

use clap::Args;

/// Differences that are listed, unless another number is asked for.
const DIFFERENCES: usize = 1_000;

/// Arguments of `tacho recheck`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Replays in memory what the journal holds, each command on the state that was recorded before it, and changes nothing. \
Exits 0 if every command comes out as recorded, 12 if any does not: run a new version over a copy of the production journal \
before it is deployed.

Examples:
  tacho recheck
  tacho recheck --data /mnt/evidence/tacho-data --format json
  ./tacho-next recheck --data ./copy || echo 'it would decide otherwise'")]
pub struct RecheckArgs {
    /// List so many differences at most; the others are counted
    #[arg(long, value_name = "N", default_value_t = DIFFERENCES)]
    pub limit: usize,
}
