//! What a runner reports about what it saw.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;

use tachograph_engine::domain::{
    Diagnostics, Drain, Exit, ExitStatus, Failure, FailureKind, Outcome, OutputReceipt, Stream, Witness,
};

use super::directory::AttemptDirectory;
use super::drain::Drained;
use super::handle::OverdueWait;
use super::text::cut;

const FACT_BYTES_MAX: usize = 1_024;
const ON_BYTES_MAX: usize = 512;

/// The status that the kernel told, with how that is known. What it did not tell stays unknown.
pub(super) fn exit_status(waited: &io::Result<std::process::ExitStatus>) -> (ExitStatus, Witness) {
    match waited {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => (ExitStatus::Code(code), Witness::Waited),
            (None, Some(signal)) => (ExitStatus::Signal(signal), Witness::Waited),
            (None, None) => {
                let cause = format!("the wait status {:#x} is neither an exit nor a signal", status.into_raw());
                (ExitStatus::Unknown { cause }, Witness::Waited)
            }
        },
        Err(error) => (ExitStatus::Unknown { cause: format!("waiting failed: {error}") }, Witness::Synthesised),
    }
}

/// Why an attempt's time was up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeUp {
    WallLimit {
        limit_ms: u64,
    },
    WaitDeadline(OverdueWait),
    /// With what was seen at that moment.
    NotReady {
        within_ms: u64,
        what: String,
        diagnostics: Box<Diagnostics>,
    },
}

impl TimeUp {
    const fn kind(&self) -> FailureKind {
        match self {
            Self::WallLimit { .. } | Self::WaitDeadline(_) => FailureKind::TimedOut,
            Self::NotReady { .. } => FailureKind::StartTimeout,
        }
    }
}

impl std::fmt::Display for TimeUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WallLimit { limit_ms } => write!(f, "ran longer than its limit of {limit_ms} ms"),
            Self::WaitDeadline(OverdueWait { on, due }) => {
                write!(f, "waited on {:?} until its deadline of {due}", cut(on, ON_BYTES_MAX))
            }
            Self::NotReady { within_ms, what, diagnostics: _ } => {
                write!(f, "was not ready within {within_ms} ms: {what}")
            }
        }
    }
}

/// Everything that was seen of an attempt's end.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: ExitStatus,
    pub(super) witness: Witness,
    pub(super) drained: Drained,
    /// Why the attempt's time was up, if it was ended because of that.
    pub(super) time_up: Option<TimeUp>,
    /// Whether it had a ready check and ended before that was met.
    pub(super) unready: bool,
    /// Members of the process group that outlived the leader and kept the output open.
    pub(super) lingering: Vec<u32>,
}

impl Seen {
    /// What to report.
    ///
    /// An `Exited` promises that the attempt ended by itself or was asked to, and that its output is on file. So an
    /// attempt that was ended by its wall-clock limit failed as `TimedOut`, one that did not become ready in time as
    /// `StartTimeout`, and one whose output could not be written as `OutputLost`; all keep the exit status among the
    /// facts. One that ended by itself before it was ready has exited: an exit is an exit.
    pub(super) fn outcome(&self, directory: &AttemptDirectory) -> Outcome {
        let (kind, message) = match (&self.time_up, &self.drained.lost) {
            (Some(time_up), _) => {
                let message = format!("{time_up}; ended with {}", self.status);
                (time_up.kind(), message)
            }
            (None, Some((stream, why))) => {
                let message = format!("{} is not all on file: {why}; ended with {}", stream.name(), self.status);
                (FailureKind::OutputLost, message)
            }
            (None, None) => {
                return Outcome::Exited {
                    exit: Exit {
                        status: self.status.clone(),
                        witness: self.witness,
                        output: Some(self.drained.receipt.clone()),
                    },
                    amended: None,
                };
            }
        };
        Outcome::Failed(Failure { kind, message, diagnostics: self.diagnostics(directory) })
    }

    fn diagnostics(&self, directory: &AttemptDirectory) -> Diagnostics {
        let mut facts = receipt_facts(&self.drained.receipt);
        facts.insert("exit_status".to_owned(), cut(&self.status.to_string(), FACT_BYTES_MAX).to_owned());
        facts.insert("stdout_kept_bytes".to_owned(), self.drained.kept_bytes[0].to_string());
        facts.insert("stderr_kept_bytes".to_owned(), self.drained.kept_bytes[1].to_string());
        if let Some((_, why)) = &self.drained.lost {
            facts.insert("output_lost".to_owned(), cut(why, FACT_BYTES_MAX).to_owned());
        }
        if self.unready {
            facts.insert("ready".to_owned(), "not by its end".to_owned());
        }
        let alive = self.lingering.iter().map(|pid| format!("process {pid}")).collect();
        let at_the_end = Diagnostics { alive, last_output: last_output(directory), likely_cause: None, facts };
        match &self.time_up {
            // What was seen when the time was up explains more than what is left once it was ended.
            Some(TimeUp::NotReady { diagnostics, .. }) => {
                let mut then = (**diagnostics).clone();
                then.facts.extend(at_the_end.facts);
                then
            }
            Some(TimeUp::WallLimit { .. } | TimeUp::WaitDeadline(_)) | None => at_the_end,
        }
    }
}

/// A receipt as facts, for a failure, which has no receipt of its own.
pub(super) fn receipt_facts(receipt: &OutputReceipt) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for (stream, receipt) in [(Stream::Stdout, receipt.stdout), (Stream::Stderr, receipt.stderr)] {
        facts.insert(format!("{}_bytes", stream.name()), receipt.bytes.to_string());
        facts.insert(format!("{}_blake3", stream.name()), receipt.digest.to_string());
    }
    let drain = match &receipt.drain {
        Drain::Drained => "drained".to_owned(),
        Drain::DrainTimedOut { waited_ms, open } => {
            let open: Vec<_> = open.iter().map(|stream| stream.name()).collect();
            format!("timed out after {waited_ms} ms with {} open", open.join(" and "))
        }
    };
    facts.insert("drain".to_owned(), drain);
    facts
}

/// The last lines of both streams, each with its stream's name.
pub(super) fn last_output(directory: &AttemptDirectory) -> Vec<String> {
    let lines = |stream: Stream| {
        let named = move |line: String| format!("{}: {line}", stream.name());
        directory.last_lines(stream).into_iter().map(named)
    };
    lines(Stream::Stdout).chain(lines(Stream::Stderr)).collect()
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;
    use tachograph_engine::domain::{Digest, Ordinal, StreamReceipt};

    use super::*;

    #[test]
    fn a_status_is_mapped_and_never_invented() {
        let raw = |raw| Ok(std::process::ExitStatus::from_raw(raw));
        assert_eq!(exit_status(&raw(7 << 8)), (ExitStatus::Code(7), Witness::Waited));
        assert_eq!(exit_status(&raw(9)), (ExitStatus::Signal(9), Witness::Waited));
        // Stopped, which is no end.
        assert!(matches!(exit_status(&raw(0x137f)).0, ExitStatus::Unknown { .. }));
        let (status, witness) = exit_status(&Err(io::Error::from_raw_os_error(10)));
        assert!(matches!(status, ExitStatus::Unknown { .. }));
        assert_eq!(witness, Witness::Synthesised);
    }
    #[test]
    fn output_that_is_not_on_file_is_no_success_and_the_status_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        let stream = |bytes| StreamReceipt { bytes, digest: Digest::ZERO };
        let receipt = OutputReceipt { stdout: stream(10), stderr: stream(0), drain: Drain::Drained };
        let seen = |lost: Option<&str>| Seen {
            status: ExitStatus::Code(0),
            witness: Witness::Waited,
            drained: Drained {
                receipt: receipt.clone(),
                kept_bytes: [4, 0],
                lost: lost.map(|why| (Stream::Stdout, why.to_owned())),
            },
            time_up: None,
            unready: false,
            lingering: Vec::new(),
        };
        // A limit keeps less as well, and is no loss.
        assert!(matches!(seen(None).outcome(&directory), Outcome::Exited { .. }));
        let Outcome::Failed(failure) = seen(Some("the disk is full")).outcome(&directory) else { panic!("exited") };
        assert_eq!(failure.kind, FailureKind::OutputLost);
        let facts = &failure.diagnostics.facts;
        let told = ["exit_status", "stdout_bytes", "stdout_kept_bytes", "output_lost"].map(|name| facts[name].as_str());
        assert_eq!(told, ["code 0", "10", "4", "the disk is full"]);
    }
}
