//! How an attempt ended.

use bincode::{BorrowDecode, Encode};

use super::scalar::{Digest, Pairs, Stream, Witness, map, owned, pairs, texts};
use crate::domain;

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum ExitStatus<'a> {
    Code(i32) = 0,
    Signal(i32) = 1,
    Unknown { cause: &'a str } = 2,
}

impl<'a> From<&'a domain::ExitStatus> for ExitStatus<'a> {
    fn from(status: &'a domain::ExitStatus) -> Self {
        match status {
            domain::ExitStatus::Code(code) => Self::Code(*code),
            domain::ExitStatus::Signal(signal) => Self::Signal(*signal),
            domain::ExitStatus::Unknown { cause } => Self::Unknown { cause },
        }
    }
}

impl From<ExitStatus<'_>> for domain::ExitStatus {
    fn from(status: ExitStatus<'_>) -> Self {
        match status {
            ExitStatus::Code(code) => Self::Code(code),
            ExitStatus::Signal(signal) => Self::Signal(signal),
            ExitStatus::Unknown { cause } => Self::Unknown { cause: cause.to_owned() },
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct StreamReceipt {
    bytes: u64,
    digest: Digest,
}

impl From<domain::StreamReceipt> for StreamReceipt {
    fn from(receipt: domain::StreamReceipt) -> Self {
        let domain::StreamReceipt { bytes, digest } = receipt;
        Self { bytes, digest: digest.into() }
    }
}

impl From<StreamReceipt> for domain::StreamReceipt {
    fn from(receipt: StreamReceipt) -> Self {
        let StreamReceipt { bytes, digest } = receipt;
        Self { bytes, digest: digest.into() }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum Drain {
    Drained = 0,
    DrainTimedOut { waited_ms: u64, open: Vec<Stream> } = 1,
}

impl From<&domain::Drain> for Drain {
    fn from(drain: &domain::Drain) -> Self {
        match drain {
            domain::Drain::Drained => Self::Drained,
            domain::Drain::DrainTimedOut { waited_ms, open } => Self::DrainTimedOut {
                waited_ms: *waited_ms,
                open: open.iter().map(|stream| (*stream).into()).collect(),
            },
        }
    }
}

impl From<Drain> for domain::Drain {
    fn from(drain: Drain) -> Self {
        match drain {
            Drain::Drained => Self::Drained,
            Drain::DrainTimedOut { waited_ms, open } => {
                Self::DrainTimedOut { waited_ms, open: open.into_iter().map(Into::into).collect() }
            }
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct OutputReceipt {
    stdout: StreamReceipt,
    stderr: StreamReceipt,
    drain: Drain,
}

impl From<&domain::OutputReceipt> for OutputReceipt {
    fn from(receipt: &domain::OutputReceipt) -> Self {
        let domain::OutputReceipt { stdout, stderr, drain } = receipt;
        Self { stdout: (*stdout).into(), stderr: (*stderr).into(), drain: drain.into() }
    }
}

impl From<OutputReceipt> for domain::OutputReceipt {
    fn from(receipt: OutputReceipt) -> Self {
        let OutputReceipt { stdout, stderr, drain } = receipt;
        Self { stdout: stdout.into(), stderr: stderr.into(), drain: drain.into() }
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct Exit<'a> {
    status: ExitStatus<'a>,
    witness: Witness,
    output: Option<OutputReceipt>,
}

impl<'a> From<&'a domain::Exit> for Exit<'a> {
    fn from(exit: &'a domain::Exit) -> Self {
        let domain::Exit { status, witness, output } = exit;
        Self { status: status.into(), witness: (*witness).into(), output: output.as_ref().map(Into::into) }
    }
}

impl From<Exit<'_>> for domain::Exit {
    fn from(exit: Exit<'_>) -> Self {
        let Exit { status, witness, output } = exit;
        Self { status: status.into(), witness: witness.into(), output: output.map(Into::into) }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum FailureKind<'a> {
    NotFound = 0,
    NotExecutable = 1,
    SpawnFailed = 2,
    StartTimeout = 3,
    TimedOut = 4,
    SupervisorLost = 5,
    RunnerLost = 6,
    StartAbandoned = 7,
    OutputLost = 8,
    Other(&'a str) = 9,
}

impl<'a> From<&'a domain::FailureKind> for FailureKind<'a> {
    fn from(kind: &'a domain::FailureKind) -> Self {
        match kind {
            domain::FailureKind::NotFound => Self::NotFound,
            domain::FailureKind::NotExecutable => Self::NotExecutable,
            domain::FailureKind::SpawnFailed => Self::SpawnFailed,
            domain::FailureKind::StartTimeout => Self::StartTimeout,
            domain::FailureKind::TimedOut => Self::TimedOut,
            domain::FailureKind::SupervisorLost => Self::SupervisorLost,
            domain::FailureKind::RunnerLost => Self::RunnerLost,
            domain::FailureKind::StartAbandoned => Self::StartAbandoned,
            domain::FailureKind::OutputLost => Self::OutputLost,
            domain::FailureKind::Other(name) => Self::Other(name),
        }
    }
}

impl From<FailureKind<'_>> for domain::FailureKind {
    fn from(kind: FailureKind<'_>) -> Self {
        match kind {
            FailureKind::NotFound => Self::NotFound,
            FailureKind::NotExecutable => Self::NotExecutable,
            FailureKind::SpawnFailed => Self::SpawnFailed,
            FailureKind::StartTimeout => Self::StartTimeout,
            FailureKind::TimedOut => Self::TimedOut,
            FailureKind::SupervisorLost => Self::SupervisorLost,
            FailureKind::RunnerLost => Self::RunnerLost,
            FailureKind::StartAbandoned => Self::StartAbandoned,
            FailureKind::OutputLost => Self::OutputLost,
            FailureKind::Other(name) => Self::Other(name.to_owned()),
        }
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct Failure<'a> {
    kind: FailureKind<'a>,
    message: &'a str,
    diagnostics: Diagnostics<'a>,
}

impl<'a> From<&'a domain::Failure> for Failure<'a> {
    fn from(failure: &'a domain::Failure) -> Self {
        let domain::Failure { kind, message, diagnostics } = failure;
        Self { kind: kind.into(), message, diagnostics: diagnostics.into() }
    }
}

impl From<Failure<'_>> for domain::Failure {
    fn from(failure: Failure<'_>) -> Self {
        let Failure { kind, message, diagnostics } = failure;
        Self { kind: kind.into(), message: message.to_owned(), diagnostics: diagnostics.into() }
    }
}

#[derive(Encode, BorrowDecode)]
struct Diagnostics<'a> {
    alive: Vec<&'a str>,
    last_output: Vec<&'a str>,
    likely_cause: Option<&'a str>,
    facts: Pairs<'a>,
}

impl<'a> From<&'a domain::Diagnostics> for Diagnostics<'a> {
    fn from(diagnostics: &'a domain::Diagnostics) -> Self {
        let domain::Diagnostics { alive, last_output, likely_cause, facts } = diagnostics;
        Self {
            alive: texts(alive),
            last_output: texts(last_output),
            likely_cause: likely_cause.as_deref(),
            facts: pairs(facts),
        }
    }
}

impl From<Diagnostics<'_>> for domain::Diagnostics {
    fn from(diagnostics: Diagnostics<'_>) -> Self {
        let Diagnostics { alive, last_output, likely_cause, facts } = diagnostics;
        Self {
            alive: owned(alive),
            last_output: owned(last_output),
            likely_cause: likely_cause.map(str::to_owned),
            facts: map(facts),
        }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum Outcome<'a> {
    Exited { exit: Exit<'a>, amended: Option<ExitStatus<'a>> } = 0,
    Failed(Failure<'a>) = 1,
}

impl<'a> From<&'a domain::Outcome> for Outcome<'a> {
    fn from(outcome: &'a domain::Outcome) -> Self {
        match outcome {
            domain::Outcome::Exited { exit, amended } => {
                Self::Exited { exit: exit.into(), amended: amended.as_ref().map(Into::into) }
            }
            domain::Outcome::Failed(failure) => Self::Failed(failure.into()),
        }
    }
}

impl From<Outcome<'_>> for domain::Outcome {
    fn from(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Exited { exit, amended } => Self::Exited { exit: exit.into(), amended: amended.map(Into::into) },
            Outcome::Failed(failure) => Self::Failed(failure.into()),
        }
    }
}
