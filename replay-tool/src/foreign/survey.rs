//! The input, copied and put in order before anything is decided.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use tachograph_engine::domain::{Digest, Timestamp};
use tachograph_engine::ports::JournalError;

use super::documents::{Document, Documents};
use super::import::ForeignSource;
use super::observation::{Meaning, Observation, Unreadable};
use super::report::{BadLine, Fate, Ledger};
use super::unique::Unique;
use super::{EVENT_BYTES_MAX, docker, generic, kubernetes};
use crate::error::Error;
use crate::import::{ImportProblem, Line, Lines};

/// Makes a file that is nobody else's business.
pub(super) fn create(path: &Path) -> Result<File, JournalError> {
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| JournalError::io("create", path, error))
}

/// Copies the input byte for byte, durably, and returns its hash and length. What is read from here on is the copy, so
/// that it is exactly what was imported.
pub(super) fn copy(
    mut input: impl BufRead,
    name: &str,
    path: &Path,
    mut tell: impl FnMut(u64),
) -> Result<(Digest, u64), Error> {
    let mut copy = create(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let failed = |error| JournalError::io("write", path, error);
    loop {
        let used = match input.fill_buf() {
            Ok(read) => {
                hasher.update(read);
                copy.write_all(read).map_err(failed)?;
                read.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ImportProblem::Unreadable { file: name.to_owned(), source }.into()),
        };
        if used == 0 {
            copy.sync_all().map_err(failed)?;
            return Ok((Digest(*hasher.finalize().as_bytes()), bytes));
        }
        input.consume(used);
        bytes += used as u64;
        tell(bytes);
    }
}

/// What an event of a source means.
pub(super) fn meaning(source: ForeignSource, content: &[u8]) -> Result<Meaning, Unreadable> {
    let Unique(value) = serde_json::from_slice(content).map_err(|error| {
        let text = error.to_string();
        let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why).to_owned();
        Unreadable { column: error.column().max(1), why }
    })?;
    match source {
        ForeignSource::DockerEvents => docker::read(&value),
        ForeignSource::K8sEvents => kubernetes::read(&value),
        ForeignSource::Jsonl => generic::read(&value),
    }
}

/// What a line means, if it is read as one event; blank lines mean nothing.
pub(super) fn of_line(source: ForeignSource, line: Line<'_>) -> Option<Result<Meaning, BadLine>> {
    let bad = |Unreadable { column, why }| BadLine { line: line.number, column, why };
    if line.is_blank() {
        return None;
    }
    if line.too_long {
        return Some(Err(bad(Unreadable { column: EVENT_BYTES_MAX, why: "is longer than 1 MiB".to_owned() })));
    }
    Some(meaning(source, line.content).map_err(bad))
}

/// When the first event happened that a journal has a place for, in the order of lines.
pub(super) fn first_time(source: ForeignSource, original: &Path) -> Result<Option<Timestamp>, Error> {
    let mut lines = Lines::of(reader(original)?, EVENT_BYTES_MAX);
    while let Some(line) = lines.next_line().map_err(|error| JournalError::io("read", original, error))? {
        if let Some(Ok(Meaning::Observed(observations))) = of_line(source, line) {
            return Ok(observations.first().map(|first| first.at));
        }
    }
    Ok(None)
}

pub(super) fn reader(path: &Path) -> Result<BufReader<File>, JournalError> {
    let file = File::open(path).map_err(|error| JournalError::io("open", path, error))?;
    Ok(BufReader::with_capacity(256 << 10, file))
}

/// Events in the order of their times, by where they are in the copy: 40 bytes each.
pub(super) struct Order {
    file: File,
    source: ForeignSource,
    slots: Vec<Slot>,
}

/// One observation of one document.
#[derive(Debug, Clone, Copy)]
struct Slot {
    at: Timestamp,
    line: u64,
    offset: u64,
    bytes: u32,
    /// Which of the document's observations.
    which: u32,
}

impl Order {
    /// Reads every document once. What cannot be read or has no place is told to the ledger here; events of one time stay
    /// in the order of the file.
    pub(super) fn of(source: ForeignSource, original: &Path, ledger: &mut Ledger) -> Result<Self, Error> {
        let failed = |error| Error::from(JournalError::io("read", original, error));
        let mut slots = Vec::new();
        let read = Documents::of(reader(original)?, |document: Document<'_>| {
            let Document { line, offset, content, problem } = document;
            let bad = |Unreadable { column, why }| Fate::Bad(BadLine { line, column, why });
            let read = match problem {
                Some(why) => Err(Unreadable { column: 1, why: why.to_owned() }),
                None => meaning(source, content),
            };
            match read {
                Ok(Meaning::Observed(observations)) => {
                    let bytes = u32::try_from(content.len()).unwrap_or(u32::MAX);
                    let slot = |(which, observation): (u32, Observation)| Slot {
                        at: observation.at,
                        line,
                        offset,
                        bytes,
                        which,
                    };
                    slots.extend((0..).zip(observations).map(slot));
                    Ok(())
                }
                Ok(Meaning::Kept { what }) => ledger.tell(line, Fate::Kept(what)),
                Err(unreadable) => ledger.tell(line, bad(unreadable)),
            }
        });
        read.map_err(failed)?;
        slots.sort_by_key(|slot| slot.at);
        let file = File::open(original).map_err(|error| JournalError::io("open", original, error))?;
        Ok(Self { file, source, slots })
    }

    pub(super) fn first_time(&self) -> Option<Timestamp> {
        self.slots.first().map(|slot| slot.at)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The observation at a place in the order, with its line.
    pub(super) fn observation(&self, number: usize) -> io::Result<Option<(u64, Observation)>> {
        let Some(slot) = self.slots.get(number) else { return Ok(None) };
        let mut content = vec![0; slot.bytes as usize];
        self.file.read_exact_at(&mut content, slot.offset)?;
        // It was read like this before, and the copy is nobody else's.
        let changed = || io::Error::other("the copy of the input was changed");
        let Ok(Meaning::Observed(observations)) = meaning(self.source, &content) else { return Err(changed()) };
        let observation = observations.into_iter().nth(slot.which as usize).ok_or_else(changed)?;
        Ok(Some((slot.line, observation)))
    }
}
