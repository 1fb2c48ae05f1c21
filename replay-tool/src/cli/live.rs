//! Arguments of the commands about what runs now, and what it printed.

use std::num::NonZeroU32;

use clap::Args;
use tachograph_engine::domain::limits::MESSAGE_BYTES_MAX;

use super::control::bounded;
use crate::duration::DurationMs;

/// Arguments of `tacho ps`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The runs that have not ended, the oldest first. Reads the journal, the runs' directories and the processes of this \
machine; signals nobody and changes nothing. A pid is followed by `gone` if that process is no more, and by `unverified` \
if it was started under another boot or on another host.

Examples:
  tacho ps
  tacho ps --format json")]
pub struct PsArgs {}

/// Arguments of `tacho logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
RUN is a run id, at least 4 characters that only one run id begins with, or a name. The bytes are printed as they came; \
with --format json a line of output is a line of JSON. What is not whole is told on standard error.

Examples:
  tacho logs build
  tacho logs build --stderr -n 20
  tacho logs build -f                         # until its attempt has ended
  tacho logs build --attempt 1 > first.txt")]
pub struct LogsArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// Go on with what it prints, until its attempt has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Its standard error instead of its standard output
    #[arg(long)]
    pub stderr: bool,
    /// The attempt of this number [default: the latest]
    #[arg(long, value_name = "N")]
    pub attempt: Option<NonZeroU32>,
    /// Only so many of its last lines, and what follows them
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<u64>,
}

/// Arguments of `tacho kill`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
RUN is a run id, at least 4 characters that only one run id begins with, or a name.

Asks the supervisor that has the data directory open: TERM to the run's process group now, KILL after the grace. Prints \
how the attempt ended once that is recorded. A job with retries is tried again. Without a supervisor nobody is \
signalled: exits with 11 and says what is still alive.

Examples:
  tacho kill build
  tacho kill build --grace 1m
  tacho kill 01KAJ2 --grace 0 --no-wait")]
pub struct KillArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// How long it may take to end by itself, before it is killed
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub grace: DurationMs,
    /// Do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

/// Arguments of `tacho destroy`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
RUN is a run id, at least 4 characters that only one run id begins with, or a name.

Asks the supervisor that has the data directory open, which ends what the run still has running. If nobody has it open, \
it is written to the journal directly, and nobody is signalled. The history stays, and so do the run's files; its name is \
free again. It cannot be undone.

Examples:
  tacho destroy build
  tacho destroy build --force --why 'its host is gone'")]
pub struct DestroyArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// Also while it is under way, which ends it
    #[arg(long)]
    pub force: bool,
    /// Why, for those who read its history
    #[arg(long, value_name = "TEXT", default_value = "an operator asked for it", value_parser = parse_why)]
    pub why: String,
}

fn parse_why(text: &str) -> Result<String, String> {
    bounded(text, MESSAGE_BYTES_MAX).map(|()| text.to_owned())
}
