//! The arguments of what looks at points of a history.

use clap::Args;

use crate::output::Context;
use crate::point::{Expression, Side};
use crate::when::AsOf;

/// Arguments of `tacho state`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Without --at, the end of the journal. Runs that had ended by then are left out, unless --all or --run asks for them. A timer \
is overdue if its time had come at that point; `tacho timers --at` says in which entry it was armed.

Examples:
  tacho state --at 2026-11-21T03:12:00Z       # what was open then, and what was armed
  tacho state --at 1042 --run build           # one run, whether or not it had ended
  tacho state --at 2h --all --format json")]
pub struct StateArgs {
    /// As it was at this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
    /// Only this run: a run id, the beginning of one, or a name
    #[arg(long)]
    pub run: Option<String>,
    /// Runs that had ended by then, too
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
}

/// Arguments of `tacho diff`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A and B are each a point of the journal at hand (a TIME or a POSITION), or another journal: the path of its data directory, \
with or without a point of it (PATH@TIME, PATH@POSITION). A path that reads as a point is written with ./ before it. Two \
journals are compared entry by entry; a copy that went on by itself parts from the other at the first entry that is not the same.

Examples:
  tacho diff 1042 1100                        # what changed between two positions
  tacho diff 2026-11-21T03:00:00Z 2026-11-21T03:12:00Z
  tacho diff /mnt/a/tacho-data /mnt/b/tacho-data --format json
  tacho diff 1042 ./copy@1042                 # the journal at hand, and a copy of it")]
pub struct DiffArgs {
    /// The one: TIME, POSITION, PATH, PATH@TIME or PATH@POSITION
    pub a: Side,
    /// The other
    pub b: Side,
}

impl DiffArgs {
    /// The context of the command: two paths need no journal at hand.
    pub(crate) fn context(&self, context: &Context) -> Context {
        let data = match (&self.a.path, &self.b.path) {
            (Some(a), Some(_)) => a.clone(),
            (Some(_) | None, None) | (None, Some(_)) => context.data.clone(),
        };
        Context { data, ..context.clone() }
    }
}

/// Arguments of `tacho bisect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
EXPR compares fields of runs, as `tacho show --format json` names them: of each run within count(…), any(…) and all(…), of one \
in run(\"NAME or id\").FIELD; predicates are joined by and, or, not. docs/expressions.md describes all of it. The answer says \
how it was found: a predicate that cannot become false again is looked for by halves between checkpoints.

Examples:
  tacho bisect --when 'count(status = \"Waiting\") > 100'
  tacho bisect --when 'run(\"build\").attempt > 2'
  tacho bisect --when 'any(failure.kind = \"timed_out\")' --from 2h --format json")]
pub struct BisectArgs {
    /// What became true
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub when: String,
    /// Begin here: only what became true after it counts [default: before the first entry]
    #[arg(long, value_name = "TIME|POSITION")]
    pub from: Option<AsOf>,
    /// Look up to here [default: the end]
    #[arg(long, value_name = "TIME|POSITION")]
    pub to: Option<AsOf>,
}

impl BisectArgs {
    /// The expression.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::error::Error::Input) if it is none.
    pub fn expression(&self) -> Result<Expression, crate::error::Error> {
        Ok(Expression::parse(&self.when)?)
    }
}
