//! Arguments of the commands that tell a run's story and compare it with another's.

use clap::Args;

use crate::duration::DurationMs;
use crate::when::AsOf;

/// Arguments of `tacho why`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
How the run came to its state, who did each step, what was refused and why, which timers were armed, canceled, armed again \
or late, and where there are gaps: silence, a supervisor that was down, a clock that stepped, an end without Destroyed. Each \
sentence has its position, so that `tacho tail` shows the entry itself.

Examples:
  tacho why build
  tacho why 01KAJ2 --format json
  tacho why build --silence 30s               # whatever was silent for half a minute is told
  tacho why build --at 2026-11-21T03:12:00Z   # as it was known then")]
pub struct WhyArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// As it was known at this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
    /// Nothing recorded for so long counts as silence
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub silence: DurationMs,
}

/// Arguments of `tacho compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Steps are compared without ids and times of day: attempts, runners and snapshots by their number within the run. \
= is the same in both, ~ differs, < the right run lacks, > the left run lacks. SLOWER is how much longer the step took in \
the right run, since the step before it in each.

Examples:
  tacho compare build-17 build-18
  tacho compare build --nearest               # beside the most similar run that exited with 0
  tacho compare nightly --nearest --expect-code 2 --format json")]
pub struct CompareArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// The run to compare it with
    #[arg(value_name = "OTHER", required_unless_present = "nearest", conflicts_with = "nearest")]
    pub other: Option<String>,
    /// Compare it with the healthy run that is most like it
    #[arg(long)]
    pub nearest: bool,
    /// With --nearest: the exit code that healthy runs have
    #[arg(long, value_name = "CODE", default_value_t = 0, requires = "nearest", allow_negative_numbers = true)]
    pub expect_code: i32,
}
