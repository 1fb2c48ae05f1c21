//! Reading on past damage: what is readable is shown, and what is missing is told.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tachograph_adapters::journal::{ArchivedIn, FileReader, Gap, JOURNAL_DIR, Salvage, Salvaged};
use tachograph_engine::domain::{
    CommandId, Digest, Entry, EntryBody, Event, Position, RunId, RunRecord, Timestamp, Version,
};
use tachograph_engine::ports::{Head, JournalError, JournalReader, KeptAnswer, RunHead};
use ulid::Ulid;

/// Damaged places and missing stretches that a message lists; more are counted.
const LISTED_MAX: usize = 4;

/// A reader over the files of a journal that goes on with all that is sound where the plain one meets damage.
///
/// Damage is thereby no error of a call; [`damage`](Self::damage) tells it afterwards. Without damage nothing but the
/// plain reader is ever used.
#[derive(Debug)]
pub(crate) struct SalvagingReader {
    data: PathBuf,
    /// Absent if the last segment is damaged, so that it cannot be opened.
    plain: Option<FileReader>,
    state: Mutex<State>,
}

/// What a file is known again by: a stub that takes a segment's place is another one.
type Mark = (u64, u64, i64, i64);

/// A file of a journal, with what it is known again by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileMark {
    pub(crate) name: String,
    pub(crate) inode: u64,
    device: u64,
    bytes: u64,
    modified: (i64, i64),
    /// This nobody can put back who writes to the file.
    changed: (i64, i64),
}

#[derive(Debug, Default)]
struct State {
    /// The first file of the journal when it was looked for a stub last.
    first: Option<Mark>,
    extent: Option<Extent>,
    /// Where a salvage has come to, for whoever reads on from there.
    cursor: Option<(Position, Salvage)>,
}

/// What is damaged, after one pass over everything.
#[derive(Debug)]
struct Extent {
    /// What the plain reader met first.
    met: JournalError,
    /// Damaged places, as found by offset.
    places: Vec<Gap>,
    /// Stretches of positions that are missing, ends included.
    missing: Vec<(Position, Position)>,
    /// The last entry that can be read.
    last: Position,
}

impl SalvagingReader {
    /// Opens the journal of a data directory.
    ///
    /// # Errors
    ///
    /// As [`FileReader::open`], but for damage.
    pub(crate) fn open(data: &Path) -> Result<Self, JournalError> {
        // The anchor first: a live writer goes on meanwhile, and what it anchored by now is in the files by then.
        let anchored = Salvage::anchored(data).unwrap_or_default();
        let (plain, met) = match FileReader::open(data) {
            Ok(reader) if anchored > reader.head().position => {
                let why = format!("it ends before entry {anchored}, which was durable: its end was cut off");
                (Some(reader), Some(JournalError::Damaged { file: data.join(JOURNAL_DIR), offset: 0, why }))
            }
            Ok(reader) => (Some(reader), None),
            Err(damage @ JournalError::Damaged { .. }) => (None, Some(damage)),
            Err(error) => return Err(error),
        };
        let reader = Self { data: data.to_owned(), plain, state: Mutex::default() };
        if let Some(met) = met {
            reader.salvage_from_now_on(met)?;
        }
        Ok(reader)
    }

    /// The damage that was met, in words that name the first place and all that is missing.
    pub(crate) fn damage(&self) -> Option<JournalError> {
        self.lock().extent.as_ref().map(Extent::to_error)
    }

    /// Whether the last segment is sound.
    pub(crate) fn can_follow(&self) -> bool {
        self.plain.is_some()
    }

    /// Whether entries that should be there are not, as when a segment is gone; then they are left out from now on,
    /// and reading can go on behind them.
    pub(crate) fn lacks(&self, after: Position, up_to: Position) -> Result<bool, JournalError> {
        if self.lock().extent.is_some() {
            return Ok(false);
        }
        let file = self.data.join(JOURNAL_DIR);
        let why = format!("entry {} is in none of its segments, although later ones are", after.next());
        self.salvage_from_now_on(JournalError::Damaged { file, offset: 0, why })?;
        Ok(self.lock().extent.as_ref().is_some_and(|extent| extent.last >= up_to))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_salvaging(&self) -> bool {
        self.lock().extent.is_some()
    }

    fn salvage_from_now_on(&self, met: JournalError) -> Result<(), JournalError> {
        let extent = Extent::of(&self.data, met)?;
        self.lock().extent.get_or_insert(extent);
        Ok(())
    }

    /// The plain reader's answer; absent from the first damage on.
    fn unless_damaged<T>(&self, answer: Option<Result<T, JournalError>>) -> Result<Option<T>, JournalError> {
        match answer {
            Some(Err(damage @ JournalError::Damaged { .. })) => {
                self.salvage_from_now_on(damage)?;
                Ok(None)
            }
            Some(answer) => answer.map(Some),
            None => Ok(None),
        }
    }

    /// The identity of the journal, if its last segment is sound.
    pub(crate) fn journal(&self) -> Option<Ulid> {
        self.plain.as_ref().map(FileReader::id)
    }

    /// The files of the journal as they are now, in order. None is read.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn files(&self) -> io::Result<Vec<FileMark>> {
        let mut files = Vec::new();
        for item in std::fs::read_dir(self.data.join(JOURNAL_DIR))? {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            if name.ends_with(".seg") {
                let found = item.metadata()?;
                files.push(FileMark {
                    name,
                    inode: found.ino(),
                    device: found.dev(),
                    bytes: found.size(),
                    modified: (found.mtime(), found.mtime_nsec()),
                    changed: (found.ctime(), found.ctime_nsec()),
                });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// The bundles that archived entries are in, oldest first.
    pub(crate) fn archived_in(&self) -> Vec<ArchivedIn> {
        self.plain.as_ref().map(FileReader::archived_in).unwrap_or_default()
    }

    /// Looks whether entries were archived since this was asked last. Whether they were.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub(crate) fn look_for_archive(&self) -> Result<bool, JournalError> {
        let first = first_file(&self.data.join(JOURNAL_DIR));
        // To look into a stub means to read all of it.
        if std::mem::replace(&mut self.lock().first, first) == first && first.is_some() {
            return Ok(false);
        }
        let looked = self.plain().map(FileReader::look_for_archive);
        Ok(self.unless_damaged(looked)?.unwrap_or(false))
    }

    /// The runs that had a name where the archive ends, by when they took it.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub(crate) fn archived_bearers(&self, name: &str) -> Result<Vec<RunId>, JournalError> {
        self.plain.as_ref().map_or(Ok(Vec::new()), |plain| plain.archived_bearers(name))
    }

    fn plain(&self) -> Option<&FileReader> {
        self.plain.as_ref().filter(|_| !self.is_salvaging())
    }

    /// The position that a time stands for, by way of the footers; absent if damage is in the way.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub(crate) fn position_at(&self, time: Timestamp) -> Result<Option<Position>, JournalError> {
        self.unless_damaged(self.plain().map(|plain| plain.position_at(time)))
    }

    /// A position up to which every entry was recorded before a time, by way of the footers; absent if damage is in the way.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::read`].
    pub(crate) fn before(&self, time: Timestamp) -> Result<Option<Position>, JournalError> {
        self.unless_damaged(self.plain().map(|plain| plain.before(time)))
    }

    fn salvaged(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let kept = self.lock().cursor.take().filter(|(reached, _)| *reached == after);
        let mut salvage = match kept {
            Some((_, salvage)) => salvage,
            None => Salvage::open(&self.data)?.after(after),
        };
        let sound = salvage.by_ref().filter_map(entry_of);
        let entries: Vec<Entry> = sound.skip_while(|entry| entry.position <= after).take(limit).collect();
        let reached = entries.last().map_or(after, |last| last.position);
        self.lock().cursor = Some((reached, salvage));
        Ok(entries)
    }

    fn pass(&self) -> Result<impl Iterator<Item = Entry>, JournalError> {
        Ok(Salvage::open(&self.data)?.filter_map(entry_of))
    }
}

/// The file of the journal that comes first, if it can be looked at.
fn first_file(journal_dir: &Path) -> Option<Mark> {
    let names = std::fs::read_dir(journal_dir).ok()?.filter_map(|item| Some(item.ok()?.file_name()));
    let metadata = std::fs::metadata(journal_dir.join(names.min()?)).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn none_if_damaged<T>(answer: Result<Option<T>, JournalError>) -> Result<Option<T>, JournalError> {
    match answer {
        Err(JournalError::Damaged { .. }) => Ok(None),
        answer => answer,
    }
}

fn entry_of(salvaged: Salvaged) -> Option<Entry> {
    match salvaged {
        Salvaged::Entry(entry) => Some(*entry),
        Salvaged::Gap(_) => None,
    }
}

impl Extent {
    fn of(data: &Path, met: JournalError) -> Result<Self, JournalError> {
        // The anchor first: a live writer goes on meanwhile.
        let anchored = Salvage::anchored(data);
        let salvage = Salvage::open(data)?;
        let mut extent = Self { met, places: Vec::new(), missing: Vec::new(), last: salvage.archived() };
        let mut held = Vec::new();
        for salvaged in salvage {
            match salvaged {
                Salvaged::Gap(gap) => held.push(gap),
                Salvaged::Entry(entry) => {
                    extent.places.append(&mut held);
                    extent.lacks_before(entry.position);
                    extent.last = entry.position;
                }
            }
        }
        if let Some(anchored) = anchored.filter(|anchored| *anchored > extent.last) {
            extent.places.append(&mut held);
            extent.lacks_before(anchored.next());
        }
        // What is left at the end without a proof that it was durable is a write that did not complete.
        Ok(extent)
    }

    fn lacks_before(&mut self, position: Position) {
        let next = self.last.next();
        if position > next {
            self.missing.push((next, Position(position.0 - 1)));
        }
    }

    fn to_error(&self) -> JournalError {
        let JournalError::Damaged { file, offset, why } = &self.met else { return self.met.clone() };
        let missing: Vec<String> = self.missing.iter().map(|(first, last)| stretch(*first, *last)).collect();
        let missing = match missing.len() {
            0 => "no position before the last readable entry is missing".to_owned(),
            _ => format!("missing: {}", listed(&missing)),
        };
        let elsewhere = |gap: &&Gap| gap.file != *file || gap.offset != *offset;
        let place = |gap: &Gap| format!("{} at offset {}", gap.file.display(), gap.offset);
        let others: Vec<String> = self.places.iter().filter(elsewhere).map(place).collect();
        let others = match others.len() {
            0 => String::new(),
            _ => format!("; damaged as well: {}", listed(&others)),
        };
        let why = format!("{why}; shown is what can be read, up to position {}; {missing}{others}", self.last);
        JournalError::Damaged { file: file.clone(), offset: *offset, why }
    }
}

fn stretch(first: Position, last: Position) -> String {
    if first == last { format!("position {first}") } else { format!("positions {first} to {last}") }
}

fn listed(items: &[String]) -> String {
    let more = items.len().saturating_sub(LISTED_MAX);
    let text = items.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

#[async_trait]
impl JournalReader for SalvagingReader {
    fn head(&self) -> Head {
        match (&self.plain, &self.lock().extent) {
            (Some(plain), _) => plain.head(),
            // No hash reaches over what is missing.
            (None, extent) => {
                let position = extent.as_ref().map_or(Position::ZERO, |extent| extent.last);
                Head { position, digest: Digest::ZERO }
            }
        }
    }

    /// What was archived is passed over: the dataset says that it is not held.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let after = after.max(self.archived());
        let salvaged_up_to = self.lock().extent.as_ref().map(|extent| extent.last);
        let plain = match (&self.plain, salvaged_up_to) {
            // Behind all that was salvaged comes only what was appended since.
            (Some(plain), Some(last)) if after >= last => return plain.read(after, limit).await,
            (Some(plain), None) => Some(plain.read(after, limit).await),
            (_, Some(_)) | (None, None) => None,
        };
        match self.unless_damaged(plain)? {
            Some(entries) => Ok(entries),
            None => self.salvaged(after, limit),
        }
    }

    async fn read_some(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        match self.plain() {
            Some(plain) => match self.unless_damaged(Some(plain.read_some(after.max(self.archived()), limit).await))? {
                Some(entries) => Ok(entries),
                None => self.read(after, limit).await,
            },
            None => self.read(after, limit).await,
        }
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let Some(before) = at.0.checked_sub(1) else { return Ok(None) };
        Ok(self.read(Position(before), 1).await?.pop().filter(|entry| entry.position == at))
    }

    // A hash that damage hides is none: that alone says nothing of what is read.
    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        match self.plain() {
            Some(plain) => none_if_damaged(plain.digest_at(position).await),
            None => Ok(None),
        }
    }

    async fn digest_from(&self, position: Position) -> Result<Option<(Position, Digest)>, JournalError> {
        match self.plain() {
            Some(plain) => none_if_damaged(plain.digest_from(position).await),
            None => Ok(None),
        }
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        let answer = match self.plain() {
            Some(plain) => Some(plain.run_head(run).await),
            None => None,
        };
        if let Some(head) = self.unless_damaged(answer)? {
            return Ok(head);
        }
        let own = self.pass()?.filter(|entry| entry.run() == Some(run));
        let follows = |known: &Option<RunHead>, entry: &Entry| known.is_some() || !entry.events().is_empty();
        Ok(own.fold(None, |known: Option<RunHead>, entry| {
            if !follows(&known, &entry) {
                return known;
            }
            let version = match &entry.body {
                EntryBody::Committed(committed) => committed.version,
                EntryBody::Refused(_) | EntryBody::System(_) => known.map_or(Version::ZERO, |head| head.version),
            };
            Some(RunHead { version, last: entry.position })
        }))
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        let answer = match self.plain() {
            Some(plain) => Some(plain.answered(run, command).await),
            None => None,
        };
        if let Some(answered) = self.unless_damaged(answer)? {
            return Ok(answered);
        }
        let answers = |entry: &Entry| entry.run() == Some(run) && entry.command_id() == Some(command);
        Ok(self.pass()?.find(answers).map(|entry| entry.position))
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        let answer = match self.plain() {
            Some(plain) => Some(plain.named(name).await),
            None => None,
        };
        if let Some(named) = self.unless_damaged(answer)? {
            return Ok(named);
        }
        let takes = |event: &Event| matches!(event, Event::Created { spec, .. } if spec.name.as_deref() == Some(name));
        let created = self.pass()?.filter(|entry| entry.events().iter().any(takes));
        Ok(created.last().and_then(|entry| entry.run()))
    }

    async fn history(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let answer = match self.plain() {
            Some(plain) => Some(plain.history(run).await),
            None => None,
        };
        if let Some(entries) = self.unless_damaged(answer)? {
            return Ok(entries);
        }
        // A refused command to a run that was not created yet is no part of its history.
        let own = self.pass()?.filter(|entry| entry.run() == Some(run));
        let is_early = |entry: &Entry| entry.previous.is_none() && entry.events().is_empty();
        Ok(own.skip_while(is_early).collect())
    }

    fn archived(&self) -> Position {
        self.plain.as_ref().map_or(Position::ZERO, |plain| plain.archived())
    }

    async fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        match &self.plain {
            Some(plain) => plain.base(run).await,
            None => Ok(None),
        }
    }

    async fn bases(&self) -> Result<Vec<RunRecord>, JournalError> {
        match &self.plain {
            Some(plain) => plain.bases().await,
            None => Ok(Vec::new()),
        }
    }

    async fn archived_answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        match &self.plain {
            Some(plain) => plain.archived_answer(run, command).await,
            None => Ok(None),
        }
    }

    async fn facts(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        let after = after.max(self.archived());
        let answer = match self.plain() {
            Some(plain) => Some(plain.facts(after, up_to).await),
            None => None,
        };
        if let Some(facts) = self.unless_damaged(answer)? {
            return Ok(facts);
        }
        let is_fact = |entry: &Entry| matches!(entry.body, EntryBody::System(_));
        let within = |entry: &Entry| entry.position > after && entry.position <= up_to;
        Ok(self.pass()?.filter(|entry| within(entry) && is_fact(entry)).collect())
    }

    async fn early_refusals(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        let answer = match self.plain() {
            Some(plain) => Some(plain.early_refusals(after, up_to).await),
            None => None,
        };
        if let Some(refusals) = self.unless_damaged(answer)? {
            return Ok(refusals);
        }
        let is_early = |entry: &Entry| matches!(entry.body, EntryBody::Refused(_)) && entry.previous.is_none();
        let within = |entry: &Entry| entry.position > after && entry.position <= up_to;
        Ok(self.pass()?.filter(|entry| within(entry) && is_early(entry)).collect())
    }
}
