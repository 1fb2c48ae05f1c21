//! Arguments of the commands that speak with a supervisor.

use clap::{Args, Subcommand};
use tachograph_engine::domain::limits::{ACTOR_ID_BYTES_MAX, MESSAGE_BYTES_MAX};
use tachograph_engine::domain::{AttemptId, Guard, RunnerId};

use super::page::PageArgs;
use crate::duration::{DurationMs, check_snapshot_delay};

const IN_A_RUN: &str = "In a run";

/// Arguments of `tacho cancel-snapshot`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
RUN is a run id, at least 4 characters that only one run id begins with, or a name.

Asks the supervisor that has the data directory open. If nobody has, the cancel is written to the journal directly; what \
became of the run is then left for the next supervisor to record. A snapshot that is being taken can no longer be \
canceled. Exits with 0 only if it is canceled, and with 5 if that is refused; refused cancels stand in the timeline.

Examples:
  tacho cancel-snapshot build --runner process/vm-7/4711/01KAJ2C7M3Q4R5S6T7V8W9X0YZ
  tacho cancel-snapshot 01KAJ2 --unconditional --format json")]
pub struct CancelSnapshotArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// In whose right
    #[command(flatten)]
    pub guard: GuardArgs,
}

/// In whose right a snapshot is canceled: exactly one must be given.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct GuardArgs {
    /// Only if this runner armed it; `tacho timers` tells who did
    #[arg(long, value_name = "RUNNER", value_parser = parse_runner)]
    pub runner: Option<RunnerId>,
    /// Whoever armed it
    #[arg(long)]
    pub unconditional: bool,
}

impl GuardArgs {
    /// The guard that was given. None is never 'unconditional'.
    pub fn guard(&self) -> Option<Guard> {
        match (&self.runner, self.unconditional) {
            (Some(runner), false) => Some(Guard::Runner(runner.clone())),
            (None, true) => Some(Guard::Unconditional),
            (None, false) | (Some(_), true) => None,
        }
    }
}

/// Arguments of `tacho report`.
#[derive(Debug, Clone, Args)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "\
It has two forms. With --out it writes a page for a browser, about all runs or one: who did what when, what was refused, \
which snapshots were armed. It reads the journal and changes nothing in it. RUN is a run id, at least 4 characters that only \
one run id begins with, or a name; TIME is RFC 3339 or a duration before now.

With `waiting`, `resume` or `snapshot` it is to be called inside a run: which run and attempt it speaks for, and where it is heard, is in the environment of every run. \
Prints nothing unless --format json asks for the answer. Exits with 5 if the report is refused, for example because a newer \
attempt has taken the place of this one, and with 11 if nobody supervises the run.

Examples:
  tacho report --out report.html
  tacho report --out report.html --run build --force
  tacho report --out night.html --from 2026-11-21T02:00:00Z --to 2026-11-21T04:00:00Z
  tacho report waiting --on 'a review' --deadline 2h
  tacho report resume
  tacho report snapshot --after 30s           # instead of the job's own delay"
)]
pub struct ReportArgs {
    /// What to report, inside a run
    #[command(subcommand)]
    pub report: Option<Report>,
    /// Which page to write, if nothing is reported
    #[command(flatten)]
    pub page: PageArgs,
    /// The run: of the page the only one that it shows; of a report its id [default of a report: TACHO_RUN_ID]
    #[arg(long, global = true, value_name = "RUN")]
    pub run: Option<String>,
    /// The attempt, as its id [default: TACHO_ATTEMPT_ID]
    #[arg(long, global = true, help_heading = IN_A_RUN, value_name = "ID")]
    pub attempt: Option<AttemptId>,
}

/// What a run can report about itself.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Report {
    /// It waits for something outside; from now on its snapshot's delay runs
    #[command(after_help = "\
Examples:
  tacho report waiting --on 'a review'
  tacho report waiting --on stdin --deadline 2h")]
    Waiting {
        /// What it waits on
        #[arg(long, value_name = "WHAT", value_parser = parse_on)]
        on: String,
        /// How long at most; the attempt is ended then
        #[arg(long, value_name = "DURATION")]
        deadline: Option<DurationMs>,
    },
    /// It no longer waits; a snapshot that is not being taken yet is canceled
    #[command(after_help = "\
Examples:
  tacho report resume")]
    Resume,
    /// Arm a snapshot while it waits, in place of one that is armed
    #[command(after_help = "\
Examples:
  tacho report snapshot
  tacho report snapshot --after 30s")]
    Snapshot {
        /// After this time, 0 to 30 days [default: the delay it was started with, else at once]
        #[arg(long, value_name = "DURATION", value_parser = parse_delay)]
        after: Option<DurationMs>,
    },
}

pub(super) fn parse_delay(text: &str) -> Result<DurationMs, String> {
    let delay = text.parse::<DurationMs>().map_err(|error| error.to_string())?;
    check_snapshot_delay(delay).map(|()| delay)
}

fn parse_runner(text: &str) -> Result<RunnerId, String> {
    let says = "; `tacho timers` tells who armed it, --unconditional cancels it whoever did";
    if text.is_empty() {
        return Err(format!("names no runner{says}"));
    }
    bounded(text, ACTOR_ID_BYTES_MAX)?;
    match text.chars().find(|char| char.is_control()) {
        Some(_) => Err(format!("no runner's id contains a control character{says}")),
        None => Ok(RunnerId::new(text)),
    }
}

fn parse_on(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("says nothing; name what it waits on, for example 'a review'".to_owned());
    }
    bounded(text, MESSAGE_BYTES_MAX).map(|()| text.to_owned())
}

pub(super) fn bounded(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.len() > bytes_max { Err(format!("{} bytes; at most {bytes_max}", text.len())) } else { Ok(()) }
}
