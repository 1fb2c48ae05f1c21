//! The end of an attempt on disk, for the case that it cannot be told to the engine any more.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{
    AttemptId, Diagnostics, Digest, Drain, ExitStatus, OutputReceipt, RunId, RunnerId, Stream, StreamReceipt, limits,
};

use super::directory::{AttemptDirectory, DirectoryError, read_small};
use super::drain::Drained;
use super::room::{ROOM_BYTES, Room};
use super::text::cut;

/// Even if each byte has to be escaped, such a text leaves room for the rest of a record.
const BRIEF_BYTES_MAX: usize = 512;
const EXIT_RECORD_BYTES_MAX: u64 = 64 * 1_024;
const EXIT_RECORD_FORMAT: u32 = 1;

/// What an `exit.json` says: how an attempt ended.
///
/// Whoever has seen the exit writes it atomically, before the engine is told; it is then the only trace if the supervisor
/// dies in between. A shim makes it durable before it goes: until then a power cut may leave half of it, which is none. Without a shim the journal tells the end
/// a moment later: the record outlives the supervisor, and a power cut in that moment may take it along. A guest may write such a file, too: one that names the run and the
/// attempt is a claim, kept as evidence, and only one that also names the runner is that [runner's own
/// word](Self::is_word_of). Whoever runs as the same user could still forge it; this tells accidents and stale files
/// apart, not attackers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRecord {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The runner that waited; absent in a guest's claim.
    pub runner: Option<RunnerId>,
    /// How the process ended.
    pub status: ExitStatus,
    /// Its output; absent if it was not drained yet.
    pub output: Option<OutputReceipt>,
    /// Why the attempt counts as failed whatever the status: its kind's name and a message.
    pub failure: Option<(String, String)>,
    /// Pids of the process group that held an output stream beyond the drain's deadline.
    pub lingering: Vec<u32>,
    /// Evidence beside a failure, as far as whoever wrote the record had it.
    pub diagnostics: Diagnostics,
    /// What the processes used; absent if it was not asked for.
    pub usage: Option<ResourceUsage>,
    /// What of the output is not on disk; absent if everything that was received is.
    pub left_out: Option<LeftOut>,
}

/// How much of what was received is not on disk, because more came than may be kept or because it could not be written.
///
/// What is missing of a stream was in its middle: between the end of its file and the first of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// Bytes of standard output.
    pub stdout_bytes: u64,
    /// Bytes of standard error.
    pub stderr_bytes: u64,
}

impl LeftOut {
    pub(super) fn of(drained: &Drained) -> Option<Self> {
        let [stdout, stderr] = drained.kept_bytes;
        let left_out = Self {
            stdout_bytes: drained.receipt.stdout.bytes.saturating_sub(stdout),
            stderr_bytes: drained.receipt.stderr.bytes.saturating_sub(stderr),
        };
        (left_out != Self::default()).then_some(left_out)
    }
}

/// What an attempt used of the machine: its process and all descendants whose end was awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// Processor time in the programs, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// The most memory that any one process had resident, in bytes. Not less than what a shim has, whose
    /// memory the process uses before it executes the command.
    pub resident_bytes_max: u64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
}

/// Why a file in the place of an exit record says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExitRecordError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DirectoryError),
    /// It is no exit record.
    #[error("{} is no exit record: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It speaks about something else: a stale or foreign file.
    #[error("{} is about run {run}, attempt {attempt}", path.display())]
    NamesAnother {
        /// Which file.
        path: PathBuf,
        /// The run that it names.
        run: RunId,
        /// The attempt that it names.
        attempt: AttemptId,
    },
}

impl ExitRecord {
    /// Reads an exit record from a file that anybody may have written, for exactly this run and attempt. Absent if
    /// there is no file.
    ///
    /// # Errors
    ///
    /// [`ExitRecordError`] for every file that does not count; it is left as it is.
    pub fn read(path: &Path, run: RunId, attempt: AttemptId) -> Result<Option<Self>, ExitRecordError> {
        let Some(content) = read_small(path, EXIT_RECORD_BYTES_MAX)? else { return Ok(None) };
        let record = Self::parse(&content).map_err(|why| ExitRecordError::Malformed { path: path.to_owned(), why })?;
        if (record.run, record.attempt) != (run, attempt) {
            return Err(ExitRecordError::NamesAnother {
                path: path.to_owned(),
                run: record.run,
                attempt: record.attempt,
            });
        }
        Ok(Some(record))
    }

    /// Of a whole file: what a power cut leaves of one whose name was on disk before its content is no record.
    fn parse(content: &[u8]) -> Result<Self, String> {
        let file: ExitFile = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        file.into_record()
    }

    /// Whether it was written by this runner, as far as it says so.
    pub fn is_word_of(&self, runner: &RunnerId) -> bool {
        self.runner.as_ref() == Some(runner)
    }

    /// Whether nothing more will be written: the output is accounted for, or the failure is.
    pub const fn is_complete(&self) -> bool {
        self.output.is_some() || self.failure.is_some()
    }

    /// Writes the record into its attempt's directory, atomically and durably.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; an earlier record is then still there.
    pub fn write(&self, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        let content = self.content(directory)?;
        directory.replace(&directory.exit_record(), &content)
    }

    /// The same, so that it outlives every process, and not a power cut.
    pub(super) fn put(&self, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        directory.put(&directory.exit_record(), &self.content(directory)?)
    }

    /// The same, in room that was taken for it before. A record that is longer than that is written as by
    /// [`write`](Self::write), and without its evidence where that fails.
    pub(super) fn write_into(&self, room: &Room, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        self.place(directory, |path, content| room.become_durable_file(path, content)).map(|_| ())
    }

    /// The same, so that whoever looks in this boot finds it, also if this process is killed. Says whether it is durable, too,
    /// as a longer one is; else the room is still to be [settled](Room::settle).
    pub(super) fn put_into(&self, room: &Room, directory: &AttemptDirectory) -> Result<Placed, DirectoryError> {
        self.place(directory, |path, content| room.become_file(path, content))
    }

    fn place(
        &self,
        directory: &AttemptDirectory,
        become_file: impl FnOnce(&Path, &[u8]) -> io::Result<()>,
    ) -> Result<Placed, DirectoryError> {
        let path = directory.exit_record();
        let mut content = self.content(directory)?;
        if content.len() > ROOM_BYTES {
            if self.write(directory).is_ok() {
                return Ok(Placed::Durably);
            }
            content = self.brief().content(directory)?;
        }
        let placed = become_file(&path, &content).map(|()| Placed::InThisBoot);
        placed.map_err(|source| DirectoryError { action: "replace", path, source })
    }

    /// What must be known in any case: never longer than the room that is taken for it.
    fn brief(&self) -> Self {
        let brief = |text: &str| cut(text, BRIEF_BYTES_MAX).to_owned();
        let status = match &self.status {
            ExitStatus::Unknown { cause } => ExitStatus::Unknown { cause: brief(cause) },
            known => known.clone(),
        };
        let failure = self.failure.as_ref().map(|(kind, message)| (brief(kind), brief(message)));
        let kept = |name: &str| ["exit_status", "output_lost"].contains(&name);
        let facts = self.diagnostics.facts.iter().filter(|(name, _)| kept(name));
        let facts = facts.map(|(name, value)| (name.clone(), cut(value, BRIEF_BYTES_MAX / 4).to_owned())).collect();
        Self { status, failure, diagnostics: Diagnostics { facts, ..Diagnostics::default() }, ..self.clone() }
    }

    fn content(&self, directory: &AttemptDirectory) -> Result<Vec<u8>, DirectoryError> {
        serde_json::to_vec_pretty(&ExitFile::from_record(self)).map_err(|error| DirectoryError {
            action: "encode",
            path: directory.exit_record(),
            source: io::Error::other(error),
        })
    }
}

/// Until when a record that was written is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// Whatever happens.
    Durably,
    /// Until the power is cut.
    InThisBoot,
}

#[derive(Serialize, Deserialize)]
struct ExitFile {
    #[serde(default)]
    format: Option<u32>,
    run: String,
    attempt: String,
    #[serde(default)]
    runner: Option<String>,
    status: StatusFile,
    #[serde(default)]
    output: Option<OutputFile>,
    #[serde(default)]
    failure: Option<FailureFile>,
    #[serde(default)]
    lingering: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<ResourceUsage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusFile {
    Code(i32),
    Signal(i32),
    Unknown(String),
}

#[derive(Serialize, Deserialize)]
struct FailureFile {
    kind: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alive: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last_output: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    likely_cause: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct OutputFile {
    stdout: StreamFile,
    stderr: StreamFile,
    drain: DrainFile,
}

#[derive(Serialize, Deserialize)]
struct StreamFile {
    bytes: u64,
    blake3: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DrainFile {
    Drained,
    TimedOut { waited_ms: u64, open: Vec<StreamName> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StreamName {
    Stdout,
    Stderr,
}

impl ExitFile {
    fn from_record(record: &ExitRecord) -> Self {
        Self {
            format: Some(EXIT_RECORD_FORMAT),
            run: record.run.to_string(),
            attempt: record.attempt.to_string(),
            runner: record.runner.as_ref().map(RunnerId::to_string),
            status: match &record.status {
                ExitStatus::Code(code) => StatusFile::Code(*code),
                ExitStatus::Signal(signal) => StatusFile::Signal(*signal),
                ExitStatus::Unknown { cause } => StatusFile::Unknown(cause.clone()),
            },
            output: record.output.as_ref().map(OutputFile::from_receipt),
            failure: record.failure.as_ref().map(|failure| FailureFile::from_parts(failure, &record.diagnostics)),
            lingering: record.lingering.clone(),
            usage: record.usage,
            left_out: record.left_out,
        }
    }

    fn into_record(self) -> Result<ExitRecord, String> {
        if let Some(format) = self.format.filter(|format| *format > EXIT_RECORD_FORMAT) {
            return Err(format!("it has format {format}; this version reads up to {EXIT_RECORD_FORMAT}"));
        }
        let (failure, diagnostics) = match self.failure {
            Some(failure) => {
                let (failure, diagnostics) = failure.into_parts();
                (Some(failure), diagnostics)
            }
            None => (None, Diagnostics::default()),
        };
        Ok(ExitRecord {
            run: self.run.parse().map_err(|error| format!("{error}"))?,
            attempt: self.attempt.parse().map_err(|error| format!("{error}"))?,
            runner: self.runner.map(RunnerId::new),
            status: match self.status {
                StatusFile::Code(code) => ExitStatus::Code(code),
                StatusFile::Signal(signal) => ExitStatus::Signal(signal),
                // Within the bounds of an entry, so that it can be recorded.
                StatusFile::Unknown(cause) => {
                    ExitStatus::Unknown { cause: cut(&cause, limits::MESSAGE_BYTES_MAX).to_owned() }
                }
            },
            output: self.output.map(OutputFile::into_receipt).transpose()?,
            failure,
            lingering: self.lingering,
            diagnostics,
            usage: self.usage,
            left_out: self.left_out,
        })
    }
}

impl FailureFile {
    fn from_parts((kind, message): &(String, String), diagnostics: &Diagnostics) -> Self {
        let Diagnostics { alive, last_output, likely_cause, facts } = diagnostics.clone();
        Self { kind: kind.clone(), message: message.clone(), alive, last_output, likely_cause, facts }
    }

    fn into_parts(self) -> ((String, String), Diagnostics) {
        let Self { kind, message, alive, last_output, likely_cause, facts } = self;
        ((kind, message), Diagnostics { alive, last_output, likely_cause, facts })
    }
}

impl OutputFile {
    fn from_receipt(receipt: &OutputReceipt) -> Self {
        let stream = |stream: StreamReceipt| StreamFile { bytes: stream.bytes, blake3: stream.digest.to_string() };
        let drain = match &receipt.drain {
            Drain::Drained => DrainFile::Drained,
            Drain::DrainTimedOut { waited_ms, open } => DrainFile::TimedOut {
                waited_ms: *waited_ms,
                open: open
                    .iter()
                    .map(|stream| match stream {
                        Stream::Stdout => StreamName::Stdout,
                        Stream::Stderr => StreamName::Stderr,
                    })
                    .collect(),
            },
        };
        Self { stdout: stream(receipt.stdout), stderr: stream(receipt.stderr), drain }
    }

    fn into_receipt(self) -> Result<OutputReceipt, String> {
        let stream = |stream: StreamFile| {
            let digest = blake3::Hash::from_hex(&stream.blake3).map_err(|error| format!("digest: {error}"))?;
            Ok::<_, String>(StreamReceipt { bytes: stream.bytes, digest: Digest(*digest.as_bytes()) })
        };
        let drain = match self.drain {
            DrainFile::Drained => Drain::Drained,
            DrainFile::TimedOut { waited_ms, open } => Drain::DrainTimedOut {
                waited_ms,
                open: open
                    .into_iter()
                    .map(|name| match name {
                        StreamName::Stdout => Stream::Stdout,
                        StreamName::Stderr => Stream::Stderr,
                    })
                    .collect(),
            },
        };
        Ok(OutputReceipt { stdout: stream(self.stdout)?, stderr: stream(self.stderr)?, drain })
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;

    fn record() -> ExitRecord {
        let stream = |bytes| StreamReceipt { bytes, digest: Digest([7; 32]) };
        ExitRecord {
            run: ids::run(1),
            attempt: ids::attempt(1),
            runner: Some(RunnerId::from("r1")),
            status: ExitStatus::Signal(9),
            output: Some(OutputReceipt {
                stdout: stream(1),
                stderr: stream(2),
                drain: Drain::DrainTimedOut { waited_ms: 5, open: vec![Stream::Stderr, Stream::Stdout] },
            }),
            failure: Some(("timed_out".to_owned(), "ran too long".to_owned())),
            lingering: vec![4, 5],
            diagnostics: Diagnostics {
                alive: vec!["process 4".to_owned()],
                last_output: vec!["stdout: bye".to_owned()],
                likely_cause: Some("a loop".to_owned()),
                facts: BTreeMap::from([("name".to_owned(), "value".to_owned())]),
            },
            usage: Some(ResourceUsage { user_us: 1, system_us: 2, resident_bytes_max: 3, major_faults: 4 }),
            left_out: Some(LeftOut { stdout_bytes: 5, stderr_bytes: 6 }),
        }
    }

    #[test]
    fn a_record_is_read_only_for_the_run_and_attempt_that_it_names() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let path = directory.exit_record();
        assert!(ExitRecord::read(&path, ids::run(1), ids::attempt(1)).unwrap().is_none());
        record().write(&directory).unwrap();
        assert_eq!(ExitRecord::read(&path, ids::run(1), ids::attempt(1)).unwrap(), Some(record()));
        for (run, attempt) in [(2, 1), (1, 2)] {
            let error = ExitRecord::read(&path, ids::run(run), ids::attempt(attempt)).unwrap_err();
            assert!(matches!(error, ExitRecordError::NamesAnother { .. }), "{error}");
        }
    }

    #[test]
    fn a_record_that_is_longer_than_its_room_is_whole_if_the_disk_takes_it_and_brief_if_not() {
        let data = tempfile::tempdir().unwrap();
        let long = |text: &str| text.repeat(limits::MESSAGE_BYTES_MAX);
        let diagnostics = Diagnostics { last_output: vec![long("\u{1}"); 8], ..record().diagnostics };
        let failure = Some(("output_lost".to_owned(), long("\u{1}")));
        let lingering = vec![u32::MAX; limits::DIAGNOSTICS_MAX];
        let long = ExitRecord { failure, lingering, diagnostics, ..record() };
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let brief = long.brief().content(&directory).unwrap();
        assert!(brief.len() <= ROOM_BYTES, "{} bytes", brief.len());
        let room = Room::take(&directory).unwrap();
        // A directory in the place of the draft stands for a disk that takes nothing.
        let draft = directory.path().join("exit.json.draft");
        std::fs::create_dir(&draft).unwrap();
        assert_eq!(long.put_into(&room, &directory).unwrap(), Placed::InThisBoot);
        assert_eq!(std::fs::read(directory.exit_record()).unwrap(), brief);
        std::fs::remove_file(directory.exit_record()).unwrap();
        long.write_into(&Room::take(&directory).unwrap(), &directory).unwrap();
        assert_eq!(std::fs::read(directory.exit_record()).unwrap(), brief);
        std::fs::remove_dir(&draft).unwrap();
        assert_eq!(long.put_into(&Room::take(&directory).unwrap(), &directory).unwrap(), Placed::Durably);
        assert_eq!(std::fs::read(directory.exit_record()).unwrap(), long.content(&directory).unwrap());
    }

    #[test]
    fn a_guest_may_claim_but_is_not_the_runner() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("result.json");
        let claim = format!(r#"{{"run":"{}","attempt":"{}","status":{{"code":0}}}}"#, ids::run(1), ids::attempt(1));
        std::fs::write(&path, claim).unwrap();
        let claim = ExitRecord::read(&path, ids::run(1), ids::attempt(1)).unwrap().unwrap();
        assert_eq!(claim.status, ExitStatus::Code(0));
        assert!(!claim.is_word_of(&RunnerId::from("r1")));
        assert!(record().is_word_of(&RunnerId::from("r1")));
        assert!(!record().is_word_of(&RunnerId::from("r2")));
    }

    #[test]
    fn text_is_no_record() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("exit.json");
        for text in [
            "",
            "\0\0\0\0",
            "succeeded",
            "{\"status\":\"succeeded\"}",
            "{\"run\":\"1\",\"attempt\":\"1\",\"status\":{\"code\":0}}",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = ExitRecord::read(&path, ids::run(1), ids::attempt(1)).unwrap_err();
            assert!(matches!(error, ExitRecordError::Malformed { .. }), "{error}");
        }
    }
    /// A name that was on disk before all of its content.
    #[test]
    fn what_a_power_cut_leaves_of_a_record_is_none() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let whole = record().content(&directory).unwrap();
        let zeros = |bytes| vec![0; bytes];
        let mut torn = vec![zeros(whole.len()), zeros(4_096), vec![b' '; 4_096]];
        for cut in 0..whole.len() {
            let (head, tail) = whole.split_at(cut);
            torn.push(head.to_vec());
            // A block that was never written reads as zeros, or as the blanks that room may be made of.
            torn.push([head, &zeros(tail.len())].concat());
            torn.push([head, &vec![b' '; tail.len()]].concat());
            if cut > 0 {
                torn.push([&zeros(cut), tail].concat());
                torn.push([&vec![b' '; cut], tail].concat());
            }
        }
        for behind in [&b"\0"[..], b"}", b"{}", &whole, b"\n{", b"x"] {
            torn.push([&whole, behind].concat());
        }
        for content in torn {
            let parsed = ExitRecord::parse(&content);
            assert!(parsed.is_err(), "{parsed:?} from {:?}", String::from_utf8_lossy(&content));
        }
        // All of it in what is left of its room.
        assert_eq!(ExitRecord::parse(&[&whole, &vec![b' '; 64][..]].concat()), Ok(record()));
    }
}
