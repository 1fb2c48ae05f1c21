//! The arguments of every command.

mod account;
mod archive;
mod audit;
mod control;
mod explore;
mod export;
mod import;
mod live;
mod page;
mod point;
mod ready;
mod rule;
mod verify;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueHint};
use tachograph_engine::domain::{Position, StatusName};

pub use self::account::{CompareArgs, WhyArgs};
pub use self::archive::ArchiveArgs;
pub use self::audit::{AskArgs, AuditArgs, SqlArgs};
use self::control::parse_delay;
pub use self::control::{CancelSnapshotArgs, GuardArgs, Report, ReportArgs};
pub use self::explore::ExploreArgs;
pub use self::export::{ExportArgs, SealKeyArgs};
pub use self::import::{ImportArgs, Source};
pub use self::live::{DestroyArgs, KillArgs, LogsArgs, PsArgs};
pub use self::page::PageArgs;
pub use self::point::{BisectArgs, DiffArgs, StateArgs};
pub use self::ready::ReadyArgs;
pub use self::rule::{RecheckArgs, RuleArgs, WhatifArgs};
pub use self::verify::VerifyArgs;

use crate::duration::{DurationMs, STOP_WITHIN_DEFAULT};
use crate::output::{Color, Format};
use crate::size::Size;
use crate::when::{AsOf, When};

const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "\
Exit codes:
  0  done (also when the reader of the output went away)
  1  a job did not end as expected, a killed run not in time, or tacho itself failed
  2  wrong arguments or bad input
  3  there is no such run, attempt or snapshot
  4  several runs or snapshots fit the prefix
  5  refused by the engine, for example: another run holds the name; a snapshot was not taken; nothing is under way
  6  there is no journal, or its place cannot be read or written
  7  the journal or an image is damaged
  8  another writer has the journal open
  9  the journal was written by a newer version
  10 writing failed in the middle: disk full, or a failed sync
  11 nobody supervises the run that reports or shall be ended
  12 a recorded command comes out otherwise now
  `tacho run` exits with its command's own code, 128 + n for signal n; its own failures are
  124 (ended by its timeout, or not ready in time), 125 (tacho failed, the message says why), 126 (not executable) and 127 (not found).

Examples:
  tacho run --name build -- make -j2
  tacho runs --status Failed --since 2h
  tacho timeline build";

/// A sealed recorder for supervised runs: run commands, keep every transition, explain what happened.
#[derive(Debug, Parser)]
#[command(name = "tacho", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// The data directory; for commands that read, also a bundle
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", env = "TACHO_DATA", hide_env_values = true)]
    #[arg(default_value = "./tacho-data", value_hint = ValueHint::DirPath)]
    pub data: PathBuf,
    /// How results are printed: text or json
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(default_value = "text")]
    pub format: Format,
    /// When text is coloured: always, never, or auto (on a terminal, unless NO_COLOR is set)
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", hide_possible_values = true)]
    #[arg(default_value = "auto")]
    pub color: Color,
    /// Print logs to standard error; -vv and -vvv print more
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run a command and record it
    Run(RunArgs),
    /// Run the jobs of a file and record them
    Supervise(SuperviseArgs),
    /// Write a page about the history; inside a run: report that it waits, goes on, or wants a snapshot
    Report(ReportArgs),
    /// Cancel the armed snapshot of a run
    CancelSnapshot(CancelSnapshotArgs),
    /// End a run that is under way
    Kill(KillArgs),
    /// Give a run up for good; its history stays
    Destroy(DestroyArgs),
    /// List the runs that have not ended, with their processes
    Ps(PsArgs),
    /// Print what a run printed
    Logs(LogsArgs),
    /// Tell what opening would make of runs that were left open; changes nothing
    Adopt(AdoptArgs),
    /// List runs
    Runs(RunsArgs),
    /// Show all about one run
    Show(ShowArgs),
    /// Tell one run's history, refused reports beside it
    Timeline(TimelineArgs),
    /// Tell how a run came to its state: who did what, what was refused, where there are gaps
    Why(WhyArgs),
    /// Compare two runs step by step, or one with the healthy run that is most like it
    Compare(CompareArgs),
    /// List what is armed: snapshots and deadlines
    Timers(TimersArgs),
    /// Tell what became of one snapshot, and why
    WhyTimer(WhyTimerArgs),
    /// Unpack the image of a snapshot into a directory
    Restore(RestoreArgs),
    /// Show what was open and armed at a point
    State(StateArgs),
    /// Tell what differs between two points, or two journals
    Diff(DiffArgs),
    /// Find the position at which something became true
    Bisect(BisectArgs),
    /// Print the last entries of the journal, and follow it
    Tail(TailArgs),
    /// Look through the journal on a terminal, back and forth in time
    Explore(ExploreArgs),
    /// Check every byte of the journal, or of a bundle, and say what is proved
    Verify(VerifyArgs),
    /// Decide every recorded command again, and report what comes out otherwise
    Recheck(RecheckArgs),
    /// Write a bundle of evidence, or the journal for other programs
    Export(ExportArgs),
    /// Move old segments of ended runs into a bundle; says what would go unless it is told to
    Archive(ArchiveArgs),
    /// Make a key that seals bundles, or print its public key
    SealKey(SealKeyArgs),
    /// Make a journal out of a bundle, another export, or what something else recorded
    Import(ImportArgs),
    /// Replay the recorded commands under other rules, and list the runs that come out otherwise
    Whatif(WhatifArgs),
    /// Answer a question about the history in SQL
    Sql(SqlArgs),
    /// Answer a question about the history that has a name: refusals, outages, exit codes and more
    Audit(AuditArgs),
}

/// Arguments of `tacho run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The output of the command is passed through, and recorded in the data directory. The command cannot read from the \
terminal, neither as its standard input nor as /dev/tty. Exits with the code of the \
command, or 128 + n if signal n ended it; 124 if its timeout ended it or it was not ready in time, 125 if tacho itself failed, 126 if the program \
cannot be executed, 127 if there is none.

Examples:
  tacho run -- make -j2
  tacho run --name nightly --label team=infra --timeout 1h30m -- ./nightly.sh --full
  tacho run --ready-port 8080 --ready-within 10s -- ./server
  tacho run --oci ./bundle
  tacho run --cwd /srv/app -- sh -c 'exit 7'; echo $?")]
pub struct RunArgs {
    /// A name for people; no other run that has not ended may have it
    #[arg(long)]
    pub name: Option<String>,
    /// A label for filters and audits; may be given many times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<Label>,
    /// The working directory of the command
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cwd: Option<PathBuf>,
    /// End the command after this time, for example 90s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub timeout: Option<DurationMs>,
    /// Keep so much of the command's output at most: its beginning and its end, for example 64MB
    #[arg(long, value_name = "BYTES")]
    pub output_limit: Option<Size>,
    /// Take an image of its sandbox once it has waited so long, as it says by `tacho report waiting`; 0 to 30 days
    #[arg(long, value_name = "DURATION", value_parser = parse_delay)]
    pub snapshot_delay: Option<DurationMs>,
    /// When it is ready
    #[command(flatten)]
    pub ready: ReadyArgs,
    /// Be the parent of the command itself: if tacho is killed, its output and exit code are lost
    #[arg(long)]
    pub no_shim: bool,
    /// Go once the command is started, or ready: print the run's id, and leave it to its shim
    #[arg(long, conflicts_with = "no_shim")]
    pub detach: bool,
    /// Run a container made of this OCI bundle, a directory with config.json; CMD takes the place of its arguments
    #[arg(long, value_name = "BUNDLE", value_hint = ValueHint::DirPath, conflicts_with_all = ["cwd", "no_shim"])]
    pub oci: Option<PathBuf>,
    /// The OCI runtime that makes the container: a name or a path [default: runc]
    #[arg(long, value_name = "RUNTIME", requires = "oci", value_hint = ValueHint::CommandName)]
    pub runtime: Option<OsString>,
    /// The program and its arguments, after `--`
    #[arg(last = true, required_unless_present = "oci", value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// Arguments of `tacho supervise`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exits 0 only if every job ended as it expects.

Examples:
  tacho supervise jobs.toml
  tacho supervise jobs.toml --jobs 8 --data /var/lib/tacho")]
pub struct SuperviseArgs {
    /// The jobs: a [jobs.NAME] table each
    #[arg(value_name = "JOBS.toml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How many jobs run at a time [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Begin no further job once one did not end as it expects
    #[arg(long)]
    pub fail_fast: bool,
    /// Be the parent of the commands itself: if tacho is killed, their output and exit codes are lost
    #[arg(long)]
    pub no_shim: bool,
    /// What all runs get together to end after a signal: asked at once, killed towards its end, recorded by then
    #[arg(long, value_name = "DURATION", default_value_t = STOP_WITHIN_DEFAULT)]
    pub stop_within: DurationMs,
    /// When asked to end by a signal, leave the runs to their shims instead of ending them
    #[arg(long, conflicts_with = "no_shim")]
    pub detach: bool,
}

/// Arguments of `tacho adopt`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A dry run: `tacho supervise` and `tacho run` conclude the same when they open the data directory, and record it. Reads \
only, takes no lock, signals nobody. Exits 0 whatever is found.

Examples:
  tacho adopt
  tacho adopt --data /var/lib/tacho --format json")]
pub struct AdoptArgs {}

/// Arguments of `tacho runs`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
TIME is RFC 3339 (2026-11-21T03:12:00Z) or a duration before now (90s, 2h, 3d).
Newest runs first. A run must fit every kind of filter: any of the statuses, all of the labels.

Examples:
  tacho runs --status Failed --status Exited --since 2h
  tacho runs --label team=infra --label tier=db --limit 20
  tacho runs --at 2026-11-21T03:12:00Z        # all runs as they were then
  tacho runs --at 1042 --format json")]
pub struct RunsArgs {
    /// Only runs in this status; may be given many times
    #[arg(long, value_parser = parse_status, value_name = "STATUS")]
    pub status: Vec<StatusName>,
    /// Only runs with exactly this name
    #[arg(long)]
    pub name: Option<String>,
    /// Only runs with this label; may be given many times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<Label>,
    /// Only runs that were open, or changed, at or after this time
    #[arg(long, value_name = "TIME")]
    pub since: Option<When>,
    /// Only runs that were created at or before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,
    /// As it was at this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
    /// At most so many, the newest ones
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
}

/// Arguments of `tacho show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
RUN is a run id, at least 4 characters that only one run id begins with, or a name: the run that holds it now, else \
the last one that did.

Examples:
  tacho show build
  tacho show 01KAJ2 --format json
  tacho show build --at 5m                    # as it was five minutes ago")]
pub struct ShowArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
    /// As it was at this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
}

/// Arguments of `tacho timeline`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Refused reports stand beside the history, each with its reason and what to do. Facts about the recorder itself stand \
where they matter: a crash of the supervisor in the middle of the run, for example.

Examples:
  tacho timeline build
  tacho timeline 01KAJ2 --format json")]
pub struct TimelineArgs {
    /// A run id, the beginning of one, or a name
    pub run: String,
}

/// Arguments of `tacho timers`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
What is due first stands first. A timer that is overdue is marked: its writer is late, waits for a place, or is gone, \
and then it fires when the journal is opened next and its run goes on.

Examples:
  tacho timers
  tacho timers --run build --format json
  tacho timers --overdue --limit 20
  tacho timers --at 2026-11-21T03:12:00Z      # what was armed then")]
pub struct TimersArgs {
    /// Only the timers of this run: a run id, the beginning of one, or a name
    #[arg(long)]
    pub run: Option<String>,
    /// Only timers whose time has come
    #[arg(long)]
    pub overdue: bool,
    /// As it was at this position or time
    #[arg(long, value_name = "TIME|POSITION")]
    pub at: Option<AsOf>,
    /// At most so many, those that are due first
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
}

/// Arguments of `tacho why-timer`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
ID is a snapshot id, at least 4 characters that only one id begins with, or a run: then it is the snapshot of it that \
was armed last. Each line has its position and time, so that `tacho tail` shows the entry itself.

Examples:
  tacho why-timer 01KAJ2C7
  tacho why-timer build                       # the snapshot of it that was armed last
  tacho why-timer 01KAJ2C7 --format json")]
pub struct WhyTimerArgs {
    /// A snapshot id, the beginning of one, or a run
    pub id: String,
}

/// Arguments of `tacho restore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
SNAPSHOT is a snapshot id, at least 4 characters that only one id begins with, or a run: then it is the snapshot of it \
that was taken last. The image is checked against the size and digest that were recorded before anything is written.

Examples:
  tacho restore 01KAJ2C7 ./restored
  tacho restore build ./restored              # the snapshot of it that was taken last")]
pub struct RestoreArgs {
    /// A snapshot id, the beginning of one, or a run
    pub snapshot: String,
    /// A directory that is empty or does not exist yet
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// Arguments of `tacho tail`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
With --format json, every entry is one line (JSON Lines), because there may be no end to them.

Examples:
  tacho tail -n 50
  tacho tail -f                               # beside a live writer, until interrupted
  tacho tail --after 1042 --format json")]
pub struct TailArgs {
    /// Go on printing what is appended, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last entries to begin with
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10, conflicts_with = "after")]
    pub lines: u64,
    /// Begin after this position instead
    #[arg(long, value_name = "POSITION", value_parser = parse_position)]
    pub after: Option<Position>,
}

/// A label as `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The key, never empty.
    pub key: String,
    /// The value, everything after the first `=`.
    pub value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("expected KEY=VALUE, for example team=infra".to_owned()),
        }
    }
}

fn parse_status(text: &str) -> Result<StatusName, String> {
    StatusName::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<&str> = StatusName::ALL.iter().map(|status| status.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn parse_timeout(text: &str) -> Result<DurationMs, String> {
    match text.parse::<DurationMs>() {
        Ok(timeout) if timeout.is_zero() => Err("must be longer than zero; leave it out for no timeout".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, at least 1".to_owned())
}

fn parse_position(text: &str) -> Result<Position, std::num::ParseIntError> {
    text.parse().map(Position)
}
