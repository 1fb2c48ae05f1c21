//! Every way in which `tacho` fails, each with a stable code, an exit code and what to do about it.

mod shortage;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tachograph_adapters::archive::ArchiveError;
use tachograph_adapters::bundle::BundleError;
use tachograph_adapters::descriptors::lacking;
use tachograph_adapters::snapshot::RestoreError;
use tachograph_engine::domain::{Position, Refusal, RunId};
use tachograph_engine::ports::JournalError;

use self::shortage::{FILES_REMEDY, SHORT_OF_FILES, SHORT_OF_THREADS, THREADS_REMEDY};
use crate::audit::export::ExportProblem;
use crate::control_problem::ControlProblem;
use crate::held::Held;
use crate::import::ImportProblem;
use crate::jobs::{Expectation, JobsError};
use crate::logs_problem::LogsProblem;
use crate::page::problem::PageProblem;
use crate::snapshot_problem::SnapshotProblem;
use crate::table::printable;

/// Exit codes that `tacho` keeps stable. `tacho run` passes its command's own code through instead and turns each of
/// its own failures into [`exit::RUN_FAILED`].
pub mod exit {
    /// Done, or the reader of the output went away.
    pub const OK: u8 = 0;
    /// A job did not end as expected, or `tacho` itself failed.
    pub const FAILED: u8 = 1;
    /// Wrong arguments or bad input.
    pub const USAGE: u8 = 2;
    /// There is no such run.
    pub const UNKNOWN_RUN: u8 = 3;
    /// Several runs fit.
    pub const AMBIGUOUS_RUN: u8 = 4;
    /// The engine refused, for example because another run holds the name.
    pub const REFUSED: u8 = 5;
    /// There is no journal, or its place cannot be read or written.
    pub const PLACE: u8 = 6;
    /// The journal is damaged.
    pub const DAMAGED: u8 = 7;
    /// Another writer has the journal open.
    pub const LOCKED: u8 = 8;
    /// The journal was written by a newer version.
    pub const NEWER_FORMAT: u8 = 9;
    /// Writing failed in the middle: the disk is full, or a sync failed.
    pub const WRITE_FAILED: u8 = 10;
    /// Nobody supervises the run that reports.
    pub const NOT_SUPERVISED: u8 = 11;
    /// A recorded command comes out otherwise when it is decided again.
    pub const DIFFERS: u8 = 12;
    /// `tacho run`: the command was ended by its timeout.
    pub const TIMED_OUT: u8 = 124;
    /// `tacho run` itself failed; the stable code is in the message.
    pub const RUN_FAILED: u8 = 125;
    /// `tacho run`: the program cannot be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// `tacho run`: there is no such program.
    pub const NOT_FOUND: u8 = 127;
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments or a file that a person wrote are wrong.
    #[error("{message}")]
    Input {
        /// Stable snake_case code, for example `invalid_jobs`.
        code: &'static str,
        /// What is wrong, naming the field or file.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// No run has this id, prefix or name.
    #[error("there is no run {text:?} in {}{}", data.display(), held.words().map(|words| format!(": {words}")).unwrap_or_default())]
    UnknownRun {
        /// What was asked for, cut to 128 characters.
        text: String,
        /// Where it was looked for.
        data: PathBuf,
        /// A name that is nearly the same.
        similar: Option<String>,
        /// What there is of the journal.
        held: Box<Held>,
    },
    /// What was asked for lies before all that is held.
    #[error("{asked} lies before what {} holds: {}", data.display(), held.words().unwrap_or_default())]
    NotHeld {
        /// The position or time that was asked for.
        asked: String,
        /// Where it was looked for.
        data: PathBuf,
        /// What there is of the journal.
        held: Box<Held>,
    },
    /// The run was created before all that is held.
    #[error("run {run} began before what {} holds: the first entry about it there is at position {first}", data.display())]
    BegunBefore {
        /// Which run.
        run: RunId,
        /// Position of the first entry about it.
        first: Position,
        /// Where it was looked for.
        data: PathBuf,
    },
    /// The run was created later than what was asked for.
    #[error("run {run} did not exist at position {at}; it was created at position {created}")]
    NotYet {
        /// Which run.
        run: RunId,
        /// The position that was asked for.
        at: Position,
        /// Where it was created.
        created: Position,
    },
    /// Several runs begin with this prefix.
    #[error("{prefix:?} fits {count} runs: {}", listed(candidates, *count))]
    AmbiguousRun {
        /// The prefix.
        prefix: String,
        /// How many runs fit.
        count: usize,
        /// The first few of them.
        candidates: Vec<RunId>,
    },
    /// No run that ended as expected is like the one that is asked about.
    #[error("no other run that ended with {expected} has the command, the name or a label of run {run}")]
    NoHealthyRun {
        /// The run.
        run: RunId,
        /// How a healthy run ends.
        expected: Expectation,
    },
    /// A snapshot cannot be told about or restored.
    #[error(transparent)]
    Snapshot(#[from] SnapshotProblem),
    /// The image of a snapshot was not restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The output of a run cannot be shown.
    #[error(transparent)]
    Logs(#[from] LogsProblem),
    /// A page was not written.
    #[error(transparent)]
    Page(#[from] PageProblem),
    /// The tables were not exported.
    #[error(transparent)]
    Export(#[from] ExportProblem),
    /// A supervisor did not do what it was asked to.
    #[error(transparent)]
    Control(#[from] ControlProblem),
    /// Something was not imported or exported, or not all of it.
    #[error(transparent)]
    Import(#[from] ImportProblem),
    /// A bundle was not made, read or imported.
    #[error(transparent)]
    Bundle(BundleError),
    /// The bundle of an archive is not what the journal holds, and nothing was removed; or it is, and not everything was.
    #[error("{0}")]
    Archive(#[source] ArchiveError),
    /// The tables beside the bundle of an archive were not made, or could not be; nothing was archived.
    #[error("{problem}; {}", what_was_archived(bundle.as_deref()))]
    Beside {
        /// Why.
        problem: Box<ExportProblem>,
        /// The bundle, which is kept; absent if it was not made.
        bundle: Option<PathBuf>,
        /// The directory for its tables.
        directory: PathBuf,
    },
    /// A jobs file is wrong.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The engine refused a command.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Recorded commands come out otherwise when they are decided again.
    #[error("{differing} of {decided} recorded commands come out otherwise than recorded")]
    Differs {
        /// How many.
        differing: u64,
        /// Of how many that were decided.
        decided: u64,
    },
    /// The journal, or its place, cannot be used.
    #[error("{}", journal_message(.0))]
    Journal(#[from] JournalError),
    /// The program of `tacho run` did not start.
    #[error("{message}")]
    Program {
        /// Whether it exists.
        found: bool,
        /// Whether it is not the program that is at fault, but the directory of `--cwd`.
        directory: bool,
        /// What the system said, naming the program or the directory.
        message: String,
    },
    /// `tacho run`: the system could not start the command, though nothing is wrong with its program.
    #[error("{message}")]
    SpawnFailed {
        /// What the system said, naming the program.
        message: String,
    },
    /// `tacho run`: the command has ended, and its output is not all on file.
    #[error("{message}")]
    OutputLost {
        /// Which stream, why, and how the command ended.
        message: String,
    },
    /// `tacho run`: the command has ended, and nobody saw how.
    #[error("the exit status is unknown: {cause}")]
    ExitUnknown {
        /// Why nobody knows.
        cause: String,
    },
    /// `tacho run`: the command was ended by its timeout.
    #[error("{message}")]
    TimedOut {
        /// After how long, and how it ended then.
        message: String,
    },
    /// `tacho run`: the command was not ready in time, and was ended.
    #[error("{message}")]
    NotReady {
        /// What was missing, how it ended then, and the likely cause.
        message: String,
    },
    /// The system gives this process no more threads.
    #[error("too few threads may be started for {purpose}: {source}")]
    ShortOfThreads {
        /// What they were for.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system lets this process open no more files.
    #[error("too few files may be open for {purpose}: {source}")]
    ShortOfFiles {
        /// What they were for.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The reader of standard output went away. This is no failure.
    #[error("the reader of standard output went away")]
    BrokenPipe,
    /// There was no room for the temporary files of a question.
    #[error("no room is left for the question's temporary files")]
    NoTemporaryRoom,
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<BundleError> for Error {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Journal(error) => Self::Journal(error),
            error => Self::Bundle(error),
        }
    }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Journal(error) => Self::Journal(error),
            ArchiveError::Bundle(error) => error.into(),
            error @ ArchiveError::Misplaced { .. } => Self::input(error.to_string(), "name another file with --to"),
            error @ (ArchiveError::Unfaithful { .. } | ArchiveError::Occupied { .. } | ArchiveError::Left { .. }) => {
                Self::Archive(error)
            }
        }
    }
}

/// What to do about tables that are not made beside a bundle. The next archiving of the same entries takes the bundle over.
fn what_was_archived(kept: Option<&Path>) -> String {
    match kept {
        Some(bundle) => format!("nothing was archived yet, and the bundle {} is kept", bundle.display()),
        None => "nothing was archived, and no bundle made".to_owned(),
    }
}

fn beside_remedy(problem: &ExportProblem, directory: &Path) -> String {
    let first = match problem {
        ExportProblem::Busy { .. } => "wait until it is done".to_owned(),
        ExportProblem::Step { .. } | ExportProblem::Encoding { .. } => {
            "check the place, its permissions and its room".to_owned()
        }
        _ => format!("move {} away", directory.display()),
    };
    format!("{first}, or leave the tables out with --no-parquet, and archive again")
}

fn listed(candidates: &[RunId], count: usize) -> String {
    let mut text = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if count > candidates.len() {
        text.push_str(", …");
    }
    text
}

impl Error {
    /// Wrong input without a more telling code.
    pub fn input(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input { code: "invalid_input", message: message.into(), remedy: remedy.into() }
    }

    /// Something that should not happen.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    /// That threads are lacking, for an error from starting them.
    pub(crate) fn short_of_threads(purpose: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::ShortOfThreads { purpose, source }
    }

    /// What it means that a runtime was not built.
    pub(crate) fn no_runtime(error: io::Error) -> Self {
        if lacking(&error) {
            return Self::ShortOfFiles { purpose: "looking after runs", source: error };
        }
        Self::internal(format!("cannot start the runtime: {error}"))
    }

    /// The error for a failed write to standard output.
    pub fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::BrokenPipe } else { Self::Output(error) }
    }

    /// Stable snake_case code, the one to match on.
    pub fn code(&self) -> &str {
        match self {
            Self::Input { code, .. } => code,
            Self::Control(problem) => problem.code(),
            Self::Import(problem) => problem.code(),
            Self::Bundle(error) => error.code(),
            Self::Archive(error) => error.code(),
            Self::Beside { problem, .. } => problem.code(),
            Self::UnknownRun { .. } | Self::NotYet { .. } => "unknown_run",
            Self::NotHeld { .. } => "not_held",
            Self::BegunBefore { .. } => "begun_before",
            Self::NoHealthyRun { .. } => "no_healthy_run",
            Self::AmbiguousRun { .. } => "ambiguous_run",
            Self::Snapshot(problem) => problem.code(),
            Self::Restore(error) => restore_code(error),
            Self::Logs(problem) => problem.code(),
            Self::Page(problem) => problem.code(),
            Self::Export(problem) => problem.code(),
            Self::Jobs(JobsError::Invalid { .. }) => "invalid_jobs",
            Self::Jobs(JobsError::Unreadable { .. } | JobsError::TooLong { .. }) => "unreadable_jobs",
            Self::Refused(refusal) => refusal.code(),
            Self::Differs { .. } => "outcome_differs",
            Self::Journal(error) => shortage::of_journal(error).unwrap_or(error.code()),
            Self::ShortOfThreads { .. } => SHORT_OF_THREADS,
            Self::ShortOfFiles { .. } => SHORT_OF_FILES,
            Self::Program { found: true, .. } => "not_executable",
            Self::Program { found: false, .. } => "not_found",
            Self::SpawnFailed { .. } => "spawn_failed",
            Self::OutputLost { .. } => "output_lost",
            Self::TimedOut { .. } => "timed_out",
            Self::NotReady { .. } => "start_timeout",
            Self::Output(_) => "output",
            Self::BrokenPipe => "broken_pipe",
            Self::ExitUnknown { .. } => "exit_unknown",
            Self::NoTemporaryRoom => "disk_full",
            Self::Internal(_) => "internal",
        }
    }

    /// The exit code of every command but `tacho run`, which has its own.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Control(problem) => problem.exit_code(),
            Self::Import(problem) => problem.exit_code(),
            Self::Archive(ArchiveError::Occupied { .. }) => exit::USAGE,
            Self::Archive(ArchiveError::Left { source, .. }) => Self::Journal(source.clone()).exit_code(),
            Self::Archive(_) | Self::Bundle(BundleError::WrongSeal { .. }) => exit::DAMAGED,
            Self::Bundle(_) => exit::USAGE,
            Self::Input { .. } | Self::Jobs(_) | Self::Refused(Refusal::InvalidInput { .. }) => exit::USAGE,
            Self::UnknownRun { .. } | Self::NotYet { .. } | Self::Refused(Refusal::UnknownRun) => exit::UNKNOWN_RUN,
            Self::NoHealthyRun { .. } | Self::BegunBefore { .. } => exit::UNKNOWN_RUN,
            Self::NotHeld { .. } => exit::USAGE,
            Self::AmbiguousRun { .. } => exit::AMBIGUOUS_RUN,
            Self::Snapshot(problem) => problem.exit_code(),
            Self::Restore(error) => match error {
                RestoreError::Occupied { .. } => exit::USAGE,
                RestoreError::Step(step) if is_full(&step.source) => exit::WRITE_FAILED,
                RestoreError::Step(_) => exit::PLACE,
                RestoreError::WrongSize { .. }
                | RestoreError::WrongDigest { .. }
                | RestoreError::Escapes { .. }
                | RestoreError::Unsupported { .. }
                | RestoreError::Malformed { .. }
                | RestoreError::Unreadable { .. } => exit::DAMAGED,
            },
            Self::Logs(problem) => problem.exit_code(),
            Self::Page(problem) => problem.exit_code(),
            Self::Export(problem) => problem.exit_code(),
            Self::Beside { problem, .. } => problem.exit_code(),
            Self::Refused(_) => exit::REFUSED,
            Self::Differs { .. } => exit::DIFFERS,
            Self::Journal(error) if shortage::of_journal(error).is_some() => exit::FAILED,
            Self::Journal(error) => match error {
                JournalError::Io { .. } | JournalError::ReadOnly { .. } | JournalError::NoJournal { .. } => exit::PLACE,
                JournalError::Damaged { .. } => exit::DAMAGED,
                JournalError::Locked { .. } => exit::LOCKED,
                JournalError::NewerFormat { .. } => exit::NEWER_FORMAT,
                JournalError::Full { .. } | JournalError::Poisoned { .. } => exit::WRITE_FAILED,
                JournalError::Archived { .. } => exit::USAGE,
                JournalError::Closed => exit::FAILED,
            },
            Self::Program { found: true, .. } => exit::NOT_EXECUTABLE,
            Self::Program { found: false, .. } => exit::NOT_FOUND,
            Self::TimedOut { .. } | Self::NotReady { .. } => exit::TIMED_OUT,
            Self::NoTemporaryRoom => exit::WRITE_FAILED,
            Self::BrokenPipe => exit::OK,
            Self::SpawnFailed { .. }
            | Self::OutputLost { .. }
            | Self::ExitUnknown { .. }
            | Self::Output(_)
            | Self::ShortOfThreads { .. }
            | Self::ShortOfFiles { .. }
            | Self::Internal(_) => exit::FAILED,
        }
    }

    /// The exit code of `tacho run`, where small codes belong to the command: 125, 126 or 127.
    pub fn run_exit_code(&self) -> u8 {
        match self {
            Self::Program { .. } | Self::TimedOut { .. } | Self::NotReady { .. } | Self::BrokenPipe => self.exit_code(),
            _ => exit::RUN_FAILED,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::ShortOfFiles { .. } => format!("{FILES_REMEDY}; nothing was executed: run it again"),
            // A command may have been executed by then, and only its end not be recorded.
            _ if lacking(self) => FILES_REMEDY.to_owned(),
            Self::Input { remedy, .. } => remedy.clone(),
            Self::UnknownRun { similar: Some(name), .. } => format!("did you mean {name:?}? `tacho runs` lists all"),
            Self::UnknownRun { similar: None, held, .. } if held.is_part() => {
                "`tacho runs` lists what is held; a run that began before is known by its whole id alone".to_owned()
            }
            Self::NotHeld { held, .. } if matches!(**held, Held::Rest { .. }) => {
                "ask that bundle with --data, or for a later position or time".to_owned()
            }
            Self::NotHeld { .. } => "ask for a later position or time, or ask the whole journal".to_owned(),
            Self::BegunBefore { .. } => {
                "`tacho timeline` and `tacho why` tell what is held of it; its state is in the whole journal".to_owned()
            }
            Self::UnknownRun { similar: None, .. } => "`tacho runs` lists all; is --data right?".to_owned(),
            Self::NoHealthyRun { .. } => {
                "name the run to compare it with; --expect-code says how healthy runs end".to_owned()
            }
            Self::NotYet { .. } => "ask for a later position or time".to_owned(),
            Self::AmbiguousRun { .. } => "give more characters of the run id".to_owned(),
            Self::Snapshot(problem) => problem.remedy(),
            Self::Restore(error) => restore_remedy(error).to_owned(),
            Self::Logs(problem) => problem.remedy().to_owned(),
            Self::Page(problem) => problem.remedy().to_owned(),
            Self::Export(problem) => problem.remedy().to_owned(),
            Self::Control(problem) => problem.remedy(),
            Self::Import(problem) => problem.remedy().to_owned(),
            Self::Bundle(error) => error.remedy().to_owned(),
            Self::Archive(ArchiveError::Occupied { .. }) => {
                "nothing was archived; look at that file, then move it away or name another one with --to".to_owned()
            }
            Self::Archive(ArchiveError::Left { .. }) => {
                "nothing is lost, and readers pass those segments over; mend what the message names, and the next writer \
                 removes them"
                    .to_owned()
            }
            Self::Beside { problem, directory, .. } => beside_remedy(problem, directory),
            Self::Archive(_) => "keep that file and look at the disk; then archive into another file".to_owned(),
            Self::Jobs(JobsError::Invalid { .. }) => "correct the file; nothing was run".to_owned(),
            Self::Jobs(JobsError::Unreadable { .. }) => "check the path and its permissions".to_owned(),
            Self::Jobs(JobsError::TooLong { .. }) => "split the file".to_owned(),
            Self::Refused(refusal) => refusal.remedy().to_owned(),
            Self::Differs { .. } => {
                "read the differences above: this version decides otherwise than the one that wrote the journal"
                    .to_owned()
            }
            Self::ShortOfThreads { .. } => THREADS_REMEDY.to_owned(),
            Self::Journal(error) if shortage::of_journal(error) == Some(SHORT_OF_THREADS) => THREADS_REMEDY.to_owned(),
            Self::Journal(error) => journal_remedy(error).to_owned(),
            Self::Program { directory: true, .. } => {
                "check the directory of --cwd: it must exist, and you must be allowed to enter it".to_owned()
            }
            Self::Program { found: true, .. } => "check its permissions, its format and its interpreter".to_owned(),
            Self::Program { found: false, .. } => "check the spelling and PATH, or give a path".to_owned(),
            Self::SpawnFailed { .. } => "mend what the message names and run it again; nothing was executed".to_owned(),
            Self::OutputLost { .. } => {
                "make room where the data directory is; run the command again if its output matters".to_owned()
            }
            Self::ExitUnknown { .. } => {
                "`tacho show` tells what was seen of it; see what the command has done before you run it again"
                    .to_owned()
            }
            Self::TimedOut { .. } => "give it more time with --timeout".to_owned(),
            Self::NotReady { .. } => {
                "`tacho show` tells what was seen of it; more time gives --ready-within".to_owned()
            }
            Self::Output(_) => "make room, or write somewhere else".to_owned(),
            Self::BrokenPipe => String::new(),
            Self::NoTemporaryRoom => {
                "name a directory with more room in SQLITE_TMPDIR, or ask for less, with --run or conditions".to_owned()
            }
            Self::Internal(_) => "run it again with -v, and report it".to_owned(),
        }
    }

    /// The lines for people, ended by a newline.
    pub fn to_text(&self) -> String {
        let remedy = self.remedy();
        let help = if remedy.is_empty() { String::new() } else { format!("  help: {}\n", printable(&remedy)) };
        let message = match self {
            // One line per problem; each is made of quoted parts.
            Self::Jobs(_) => self.to_string().lines().map(printable).collect::<Vec<_>>().join("\n"),
            _ => printable(&self.to_string()),
        };
        format!("tacho: error[{}]: {message}\n{help}", self.code())
    }

    /// The JSON object on one line: `{"error":{"code","message","remedy"}}`.
    pub fn to_json(&self) -> String {
        let error = json!({"code": self.code(), "message": self.to_string(), "remedy": self.remedy()});
        json!({ "error": error }).to_string()
    }
}

/// What is wrong, without the advice that a program that embeds the engine gets along with it: here that is the remedy.
fn journal_message(error: &JournalError) -> String {
    match error {
        JournalError::Full { path } => format!("no space left while writing {}", path.display()),
        JournalError::ReadOnly { path } => format!("{} is read-only", path.display()),
        JournalError::Locked { path, holder } => format!("{} is in use by {holder}", path.display()),
        JournalError::NewerFormat { path, found, supported } => {
            format!("{} has format version {found}; this version reads up to {supported}", path.display())
        }
        JournalError::Damaged { file, offset, why } => {
            format!("{} is damaged at offset {offset}: {why}", file.display())
        }
        JournalError::Archived { up_to, bundle } => format!("entries up to {up_to} are archived, in {bundle}"),
        JournalError::Poisoned { why } => format!("writing failed before ({why})"),
        JournalError::Io { .. } | JournalError::NoJournal { .. } | JournalError::Closed => error.to_string(),
    }
}

/// Whether there was no room, as the journal's own writing tells it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn restore_code(error: &RestoreError) -> &'static str {
    match error {
        RestoreError::Occupied { .. } => "occupied",
        RestoreError::Step(step) if is_full(&step.source) => "disk_full",
        RestoreError::Step(_) => "io",
        RestoreError::WrongSize { .. } | RestoreError::WrongDigest { .. } => "image_altered",
        RestoreError::Escapes { .. }
        | RestoreError::Unsupported { .. }
        | RestoreError::Malformed { .. }
        | RestoreError::Unreadable { .. } => "image_unreadable",
    }
}

const fn restore_remedy(error: &RestoreError) -> &'static str {
    match error {
        RestoreError::Occupied { .. } => "nothing was written",
        RestoreError::Step(_) => "check the place, its permissions and its room; nothing was left half restored",
        RestoreError::WrongSize { .. } | RestoreError::WrongDigest { .. } => {
            "nothing was written; keep the file, and look for a copy of the image"
        }
        RestoreError::Escapes { .. }
        | RestoreError::Unsupported { .. }
        | RestoreError::Malformed { .. }
        | RestoreError::Unreadable { .. } => "nothing was written; the image is what was recorded, so see what made it",
    }
}

const fn journal_remedy(error: &JournalError) -> &'static str {
    match error {
        JournalError::Io { .. } => "check that the place exists and its permissions",
        JournalError::Full { .. } => "make room and run it again; what was acknowledged is safe",
        JournalError::ReadOnly { .. } => "use a writable directory; read commands work here",
        JournalError::NoJournal { .. } => "name the data directory with --data DIR or TACHO_DATA",
        JournalError::Locked { .. } => "stop that writer; read commands work beside it",
        JournalError::NewerFormat { .. } => "use a newer tacho",
        JournalError::Damaged { .. } => "keep a copy of the directory; `tacho verify` shows the extent",
        JournalError::Archived { .. } => "ask that bundle with --data, or for a later position",
        JournalError::Poisoned { .. } | JournalError::Closed => "run it again",
    }
}

#[cfg(test)]
mod tests;
