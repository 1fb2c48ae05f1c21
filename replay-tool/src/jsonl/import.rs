//! A journal out of JSON Lines.

use std::io::BufRead;
use std::path::Path;

use tachograph_adapters::journal::{Durability, FileJournal, JournalOptions};
use tachograph_engine::domain::Entry;
use tachograph_engine::ports::{AppendError, Draft, Head, Journal};
use ulid::Ulid;

use super::{End, Header, LINE_BYTES_MAX, LineError, read_entry};
use crate::error::Error;
use crate::import::{ImportProblem, Line, Lines, Target};

/// Lines that are appended at once, unless they are large.
const BATCH_ENTRIES: usize = 4_096;
/// Bytes of lines that are appended at once, or one line more.
const BATCH_BYTES: usize = 4 << 20;

/// A journal that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its identity: that of the journal that was exported, if it is known.
    pub journal: Ulid,
    /// How many entries it has.
    pub entries: u64,
    /// Its end. The hash is that of the new files.
    pub head: Head,
    /// Whether the last line was there, which counts the entries. Without it the file may be cut.
    pub is_ended: bool,
}

/// Writes every entry of an export into a journal at a place that does not exist or is an empty directory.
///
/// All or nothing: a line that is not as it was exported, or that does not follow from the ones before (a position, a
/// back pointer, a version of its run), ends it, and nothing is there. `tell` is called with the bytes that were read.
///
/// # Errors
///
/// [`ImportProblem`], or [`Error::Journal`] if the journal cannot be written.
pub async fn import(
    input: impl BufRead,
    file: &str,
    place: &Path,
    mut tell: impl FnMut(u64),
) -> Result<Imported, Error> {
    let target = Target::begin(place)?;
    let mut lines = Lines::of(input, LINE_BYTES_MAX);
    let Some(first) = read(&mut lines, file)? else {
        return Err(ImportProblem::Empty { file: file.to_owned() }.into());
    };
    let header = Header::read(first.content).map_err(|error| bad(file, first.number, error))?;
    let options =
        JournalOptions { durability: Durability::Buffered, journal: header.journal, ..JournalOptions::default() };
    let mut journal = FileJournal::open(target.path(), options)?;
    let id = journal.id();
    let (mut batch, mut is_ended) = (Batch::new(file), false);
    while let Some(line) = read(&mut lines, file)? {
        if line.is_blank() {
            continue;
        }
        if is_ended {
            return Err(bad(file, line.number, LineError { column: 1, why: "stands after the end".to_owned() }));
        }
        if let Some(end) = End::read(line.content).map_err(|error| bad(file, line.number, error))? {
            batch.compare_end(line.number, end)?;
            is_ended = true;
            continue;
        }
        batch.take(line)?;
        if batch.is_full() {
            batch.append(&mut journal).await?;
            tell(lines.bytes());
        }
    }
    batch.append(&mut journal).await?;
    let imported = Imported { journal: id, entries: batch.appended, head: journal.reader().head(), is_ended };
    Box::new(journal).close().await?;
    target.finish()?;
    Ok(imported)
}

fn read<'a, R: BufRead>(lines: &'a mut Lines<R>, file: &str) -> Result<Option<Line<'a>>, Error> {
    let unreadable = |source| ImportProblem::Unreadable { file: file.to_owned(), source };
    Ok(lines.next_line().map_err(unreadable)?)
}

fn bad(file: &str, line: u64, error: LineError) -> Error {
    let LineError { column, why } = error;
    ImportProblem::BadLine { file: file.to_owned(), line, column, why }.into()
}

/// Entries that were read and are to be appended.
struct Batch<'a> {
    file: &'a str,
    /// Each with its line.
    entries: Vec<(u64, Entry)>,
    bytes: usize,
    appended: u64,
}

impl<'a> Batch<'a> {
    fn new(file: &'a str) -> Self {
        Self { file, entries: Vec::new(), bytes: 0, appended: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), Error> {
        let wrong = |column, why| bad(self.file, line.number, LineError { column, why });
        if line.too_long {
            return Err(wrong(LINE_BYTES_MAX, format!("is longer than {LINE_BYTES_MAX} bytes")));
        }
        let entry = read_entry(line.content).map_err(|error| bad(self.file, line.number, error))?;
        let expected = self.appended + self.entries.len() as u64 + 1;
        if entry.position.0 != expected {
            return Err(wrong(1, format!("has position {}; expected {expected}", entry.position)));
        }
        self.bytes += line.content.len();
        self.entries.push((line.number, entry));
        Ok(())
    }

    /// What the last line says is what was read. Positions have no gap, so that the last one is the number of entries.
    fn compare_end(&self, line: u64, end: End) -> Result<(), Error> {
        let read = self.appended + self.entries.len() as u64;
        if end == (End { entries: read, position: read }) {
            return Ok(());
        }
        let End { entries, position } = end;
        let told = format!("says that there are {entries} entries up to position {position}");
        let why = format!("{told}; there are {read}: the file is cut or changed");
        Err(bad(self.file, line, LineError { column: 1, why }))
    }

    async fn append(&mut self, journal: &mut FileJournal) -> Result<(), Error> {
        let drafts = self.entries.iter().map(|(_, entry)| draft(entry)).collect();
        match journal.append(drafts).await {
            Ok(appended) => self.compare(&appended)?,
            // Nothing of the batch was appended: one by one, to know which line it is.
            Err(AppendError::Conflict { .. }) => {
                for (line, entry) in &self.entries {
                    journal.append(vec![draft(entry)]).await.map_err(|error| match error {
                        AppendError::Conflict { run, actual } => {
                            let why = format!("does not follow: run {run} is at version {actual}");
                            bad(self.file, *line, LineError { column: 1, why })
                        }
                        AppendError::Journal(error) => error.into(),
                    })?;
                }
            }
            Err(AppendError::Journal(error)) => return Err(error.into()),
        }
        self.appended += self.entries.len() as u64;
        self.entries.clear();
        self.bytes = 0;
        Ok(())
    }

    /// The journal finds back pointers by itself.
    fn compare(&self, appended: &[Entry]) -> Result<(), Error> {
        let differs = self.entries.iter().zip(appended).find(|((_, read), appended)| read != *appended);
        match differs {
            None => Ok(()),
            Some(((line, read), appended)) => {
                let told = |previous: Option<_>| previous.map_or("null".to_owned(), |at| format!("{at}"));
                let (read, expected) = (told(read.previous), told(appended.previous));
                let why = format!("has previous {read}; expected {expected}");
                Err(bad(self.file, *line, LineError { column: 1, why }))
            }
        }
    }
}

fn draft(entry: &Entry) -> Draft {
    Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() }
}
