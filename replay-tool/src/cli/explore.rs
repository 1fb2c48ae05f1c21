//! The arguments of `tacho explore`.

use clap::Args;

use crate::when::AsOf;

/// Arguments of `tacho explore`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Shows the runs, the timeline and all about one run as they were at a position, and goes from entry to entry, to a time, \
to the next refusal, to a text. Needs a terminal; changes nothing. The keys are shown by ?.

  → l, ← h       next entry, entry before         r R   next and previous refusal
  ] [            entries of the selected run      / n N search, and again
  + - > <        one minute, one hour on or back  e     next entry of a kind
  :              go to a position or time         s S   list runs in a status
  Home 0, End G  the beginning, the end           F     follow a live journal
  Enter          all of the entry                 q     quit

Examples:
  tacho explore
  tacho explore build                         # the timeline of one run
  tacho explore --at 2026-11-21T03:12:00Z     # as everything was then
  tacho explore --data /mnt/evidence/tacho-data --at 1042")]
pub struct ExploreArgs {
    /// A run to begin with: a run id, the beginning of one, or a name
    pub run: Option<String>,
    /// Begin at this position or time instead of the end
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
}
