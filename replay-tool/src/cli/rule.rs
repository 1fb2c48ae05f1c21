//! The arguments of the commands that replay recorded commands.

use std::num::NonZeroUsize;

use clap::Args;

use super::control::parse_delay;
use crate::duration::DurationMs;
use crate::rule::{Move, Rules, Waiver, Which};

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

/// Arguments of `tacho whatif`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Replays in memory what the journal holds, and writes nothing. Rules may be combined. What is assumed about the world is printed \
with the result. GUARD is the code of the refusal: stale_attempt, wrong_runner, conflicting_terminal (or \
first_terminal), run_destroyed, run_exists, illegal_transition, version_conflict, name_held (or name_uniqueness), \
force_required, not_owner, snapshot_gone, already_dispatched, not_due, not_amendable; or transition_cancel: what ends a wait leaves \
its snapshot armed.

Examples:
  tacho whatif --without stale_attempt,wrong_runner
  tacho whatif --without transition_cancel    # as if what ends a wait canceled no snapshot
  tacho whatif --snapshot-delay 10s --format json
  tacho whatif --drop 1042 --run build
  tacho whatif --naive-row-ids                # as if ids of destroyed runs were given again")]
pub struct WhatifArgs {
    /// What is otherwise
    #[command(flatten)]
    pub rules: RuleArgs,
    /// List only this run: a run id, the beginning of one, or a name
    #[arg(long)]
    pub run: Option<String>,
    /// List so many runs at most; the others are counted
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
}

/// What is otherwise; at least one of them.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub struct RuleArgs {
    /// This guard is off; may be given many times
    #[arg(long, value_name = "GUARD", value_delimiter = ',')]
    pub without: Vec<Waiver>,
    /// Every snapshot is due so long after its arming; 0 to 30 days
    #[arg(long, value_name = "DURATION", value_parser = parse_delay)]
    pub snapshot_delay: Option<DurationMs>,
    /// This command was never given; may be given many times
    #[arg(long, value_name = "POSITION|COMMAND_ID")]
    pub drop: Vec<Which>,
    /// The command at one position comes at the other: before the entry there if it comes earlier, else after it
    #[arg(long = "move", value_name = "POSITION:POSITION")]
    pub moves: Vec<Move>,
    /// Reports name a row id, which is given again after its run was destroyed
    #[arg(long)]
    pub naive_row_ids: bool,
}

impl From<RuleArgs> for Rules {
    fn from(args: RuleArgs) -> Self {
        Self {
            without: args.without.into_iter().collect(),
            snapshot_delay_ms: args.snapshot_delay.map(|delay| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
            dropped: args.drop,
            moved: args.moves,
            naive_row_ids: args.naive_row_ids,
        }
    }
}
