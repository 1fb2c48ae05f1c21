//! What a run is asked to be, and what is reported about its end.

use std::collections::BTreeMap;
use std::fmt;

use super::{Digest, RunId};

/// What to run, as recorded at creation. It never changes afterwards.
///
/// Environment values are no part of it: they may be secret, and the journal is evidence that travels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSpec {
    /// A name for people, unique among runs that have not ended. No report is accepted by name.
    pub name: Option<String>,
    /// Key and value pairs for filters and audits.
    pub labels: BTreeMap<String, String>,
    /// The command line or image.
    pub workload: Workload,
    /// Bounds that the supervisor enforces.
    pub limits: ResourceLimits,
    /// The run that this one was made from or on behalf of.
    pub parent: Option<RunId>,
}

/// The thing that a run executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workload {
    /// A command line on this host. Bytes that are no UTF-8 are recorded as U+FFFD and executed as given.
    Command {
        /// Program and arguments; the first is looked up as the operating system does.
        argv: Vec<String>,
        /// Working directory; the supervisor's own if absent.
        cwd: Option<String>,
    },
    /// An image of a container or VM.
    Image {
        /// Reference, path or digest, as the runtime takes it.
        reference: String,
        /// What to execute in it; the image's own default if empty.
        argv: Vec<String>,
    },
}

impl Default for Workload {
    fn default() -> Self {
        Self::Command { argv: Vec::new(), cwd: None }
    }
}

/// Bounds of one run; absent means unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceLimits {
    /// Wall-clock time of one attempt, in milliseconds.
    pub wall_ms: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Output kept of both streams together, in bytes; [`OutputReceipt::left_out_at_least`] says what that cost.
    pub output_bytes: Option<u64>,
}

/// How an attempt ended. An end that nobody saw is `Unknown`, never an invented 0 or -1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// The process returned this code.
    Code(i32),
    /// The process was ended by this signal.
    Signal(i32),
    /// The end is certain, its status is not.
    Unknown {
        /// Why it is not known.
        cause: String,
    },
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown { cause } => write!(f, "unknown ({cause})"),
        }
    }
}

/// Where an exit status comes from, strongest first: a wait status outranks a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// The kernel told the parent.
    Waited,
    /// A record that names this run and attempt, written by whoever waited.
    ExitFile,
    /// Concluded from other facts.
    Synthesised,
}

impl Witness {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::ExitFile => "exit_file",
            Self::Synthesised => "synthesised",
        }
    }
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What one stream delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReceipt {
    /// Bytes that were received.
    pub bytes: u64,
    /// BLAKE3 of those bytes.
    pub digest: Digest,
}

/// Whether all output was received before the end was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drain {
    /// Both streams were read to their end.
    Drained,
    /// The deadline passed first.
    DrainTimedOut {
        /// How long was waited after the exit, in milliseconds.
        waited_ms: u64,
        /// Streams that were still open; what came on them later is missing.
        open: Vec<Stream>,
    },
}

/// What is known about an attempt's output at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputReceipt {
    /// Standard output.
    pub stdout: StreamReceipt,
    /// Standard error.
    pub stderr: StreamReceipt,
    /// Whether the two were read to their end.
    pub drain: Drain,
}

impl OutputReceipt {
    /// How many bytes of what was received were left out, at least, because a run with these limits keeps no more of both
    /// streams together; 0 if no more came than that. Where the room was divided less well, more is missing.
    pub const fn left_out_at_least(&self, limits: &ResourceLimits) -> u64 {
        match limits.output_bytes {
            Some(kept_max) => self.stdout.bytes.saturating_add(self.stderr.bytes).saturating_sub(kept_max),
            None => 0,
        }
    }
}

/// The end of an attempt as it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// How that is known.
    pub witness: Witness,
    /// The output that was received; absent if the reporter did not capture any.
    pub output: Option<OutputReceipt>,
}

/// Why an attempt failed: a small set to match on, the rest is in the message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The program or image does not exist.
    NotFound,
    /// It exists and may not or cannot be executed.
    NotExecutable,
    /// The host refused to start it for another reason.
    SpawnFailed,
    /// It did not become ready in time.
    StartTimeout,
    /// It ran longer than its wall-clock limit.
    TimedOut,
    /// Its supervisor went away while it was open, and nobody saw its end.
    SupervisorLost,
    /// Its runner went away.
    RunnerLost,
    /// Its start was given up before it succeeded.
    StartAbandoned,
    /// Its output could not be kept.
    OutputLost,
    /// A kind of the embedder's own.
    Other(String),
}

impl FailureKind {
    /// Stable snake_case name, as shown in JSON and audit tables.
    pub fn name(&self) -> &str {
        match self {
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::SpawnFailed => "spawn_failed",
            Self::StartTimeout => "start_timeout",
            Self::TimedOut => "timed_out",
            Self::SupervisorLost => "supervisor_lost",
            Self::RunnerLost => "runner_lost",
            Self::StartAbandoned => "start_abandoned",
            Self::OutputLost => "output_lost",
            Self::Other(name) => name,
        }
    }
}

/// Why an attempt failed, with what was seen at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to match on.
    pub kind: FailureKind,
    /// One sentence for people.
    pub message: String,
    /// Evidence that would otherwise be gone with the process.
    pub diagnostics: Diagnostics,
}

/// What was alive, what was last printed, and what probably went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// What was still alive, one per line, for example `process group 4711`.
    pub alive: Vec<String>,
    /// The last lines of output, oldest first.
    pub last_output: Vec<String>,
    /// The most probable cause, if one can be named.
    pub likely_cause: Option<String>,
    /// Further facts by name, for example `console_bytes` = `0`.
    pub facts: BTreeMap<String, String>,
}
