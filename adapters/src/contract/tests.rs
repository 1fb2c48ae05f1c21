//! The suite itself: sound journals keep every clause, and every flaw is noticed by the clause that is about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tachograph_engine::domain::{CommandId, Digest, Entry, EntryBody, Event, Position, RunId, Version};
use tachograph_engine::ports::{JournalReader, Opening, RunHead};

use super::*;
use crate::journal::simulated::{Faults, SimulatedDisk};
use crate::journal::{FileJournal, JournalOptions};
use crate::lock::lock;
use crate::memory::MemoryStorage;

/// A way to get it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    NoVersionCheck,
    ConflictKeepsTheDraftsBefore,
    ConflictPoisons,
    NoBackPointers,
    BackPointersForRefusalsMissing,
    PositionsFromZero,
    OrderTurned,
    EmptyBatchFails,
    ReaderIsACopy,
    LimitIgnored,
    SomeIsNone,
    HeadIgnoresRefusals,
    EndedRunsForgotten,
    RefusalsUnanswered,
    LastAnswerWins,
    NameStaysWithTheFirst,
    DigestOfPositionOnly,
    DigestAtTheEndOnly,
    NoPoison,
    EverySessionClean,
    ForgetsTheLastEntry,
    ManyWriters,
    ClosesReadersToo,
    EntryByEntry,
}

/// The simplest journal there can be, with at most one flaw.
struct Naive {
    flaw: Flaw,
    history: Arc<Mutex<History>>,
}

#[derive(Default, Clone)]
struct History {
    entries: Vec<Entry>,
    digests: Vec<(Position, Digest)>,
    owned: bool,
    unclean: bool,
    closed: bool,
    fails: bool,
}

struct NaiveJournal {
    flaw: Flaw,
    history: Arc<Mutex<History>>,
    opening: Opening,
    poisoned: bool,
}

struct NaiveReader {
    flaw: Flaw,
    history: Arc<Mutex<History>>,
}

#[async_trait]
impl Journals for Naive {
    async fn open(&self) -> Result<Box<dyn Journal>, JournalError> {
        let mut history = lock(&self.history);
        if history.owned && self.flaw != Flaw::ManyWriters {
            return Err(JournalError::Locked { path: "naive".into(), holder: "a test".to_owned() });
        }
        if self.flaw == Flaw::ForgetsTheLastEntry {
            history.entries.pop();
        }
        let clean = !history.unclean || self.flaw == Flaw::EverySessionClean;
        (history.owned, history.unclean, history.closed) = (true, true, false);
        let opening = Opening { clean, ..Opening::default() };
        let (flaw, history) = (self.flaw, Arc::clone(&self.history));
        Ok(Box::new(NaiveJournal { flaw, history, opening, poisoned: false }))
    }

    fn reopens(&self) -> bool {
        true
    }

    fn is_local(&self) -> bool {
        true
    }

    fn fail_next_append(&self) -> bool {
        lock(&self.history).fails = true;
        true
    }
}

impl NaiveJournal {
    fn check(&self, draft: &Draft, model: &Model) -> Result<(), AppendError> {
        let EntryBody::Committed(committed) = &draft.body else { return Ok(()) };
        let run = committed.command.run;
        let actual = model.heads.get(&run).map_or(Version::ZERO, |head| head.version);
        let fits = actual.0 + committed.events.len() as u64 == committed.version.0;
        if fits || self.flaw == Flaw::NoVersionCheck { Ok(()) } else { Err(AppendError::Conflict { run, actual }) }
    }

    fn add(&self, history: &mut History, draft: Draft) -> Result<Entry, AppendError> {
        let mut model = Model::of(&history.entries);
        self.check(&draft, &model)?;
        let Draft { id, recorded_at, body } = draft;
        let first = u64::from(self.flaw != Flaw::PositionsFromZero);
        let position = Position(history.entries.len() as u64 + first);
        let mut entry = Entry { id, position, recorded_at, previous: None, body };
        model.add(&entry);
        let refused = matches!(entry.body, EntryBody::Refused(_));
        entry.previous = match self.flaw {
            Flaw::NoBackPointers => None,
            Flaw::BackPointersForRefusalsMissing if refused => None,
            _ => model.previous.last().copied().flatten(),
        };
        history.entries.push(entry.clone());
        Ok(entry)
    }

    fn finish(&self, history: &mut History) {
        let Some(last) = history.entries.last().map(|entry| entry.position) else { return };
        let text = match self.flaw {
            Flaw::DigestOfPositionOnly => format!("{last}"),
            _ => format!("{:?}", history.entries),
        };
        if self.flaw == Flaw::DigestAtTheEndOnly {
            history.digests.clear();
        }
        history.digests.push((last, Digest(*blake3::hash(text.as_bytes()).as_bytes())));
    }
}

#[async_trait]
impl Journal for NaiveJournal {
    fn opening(&self) -> Opening {
        self.opening.clone()
    }

    async fn append(&mut self, mut drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if self.poisoned && self.flaw != Flaw::NoPoison {
            return Err(JournalError::Poisoned { why: "it failed before".to_owned() }.into());
        }
        if drafts.is_empty() && self.flaw == Flaw::EmptyBatchFails {
            return Err(JournalError::Closed.into());
        }
        if std::mem::take(&mut lock(&self.history).fails) {
            self.poisoned = true;
            return Err(JournalError::Full { path: "naive".into() }.into());
        }
        if self.flaw == Flaw::OrderTurned {
            drafts.sort_by_key(|draft| matches!(draft.body, EntryBody::System(_)));
        }
        let mut after = lock(&self.history).clone();
        let mut entries = Vec::new();
        for draft in drafts {
            match self.add(&mut after, draft) {
                Ok(entry) => entries.push(entry),
                Err(conflict) => {
                    self.poisoned = self.flaw == Flaw::ConflictPoisons;
                    if self.flaw == Flaw::ConflictKeepsTheDraftsBefore {
                        lock(&self.history).entries = after.entries;
                    }
                    return Err(conflict);
                }
            }
            if self.flaw == Flaw::EntryByEntry {
                self.finish(&mut after);
                *lock(&self.history) = after.clone();
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
        if !entries.is_empty() {
            self.finish(&mut after);
            *lock(&self.history) = after;
        }
        Ok(entries)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        let history = match self.flaw {
            Flaw::ReaderIsACopy => Arc::new(Mutex::new(lock(&self.history).clone())),
            _ => Arc::clone(&self.history),
        };
        Arc::new(NaiveReader { flaw: self.flaw, history })
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        let mut history = lock(&self.history);
        (history.unclean, history.closed) = (false, true);
        Ok(())
    }
}

impl Drop for NaiveJournal {
    fn drop(&mut self) {
        lock(&self.history).owned = false;
    }
}

impl NaiveReader {
    fn model(&self) -> Result<Model, JournalError> {
        let history = lock(&self.history);
        if history.closed && self.flaw == Flaw::ClosesReadersToo {
            return Err(JournalError::Closed);
        }
        Ok(Model::of(&history.entries))
    }

    fn forgets(&self, run: RunId) -> bool {
        let history = lock(&self.history);
        let of_run = history.entries.iter().filter(|entry| entry.run() == Some(run));
        let status = of_run.flat_map(Entry::events).filter_map(Event::leads_to).next_back();
        self.flaw == Flaw::EndedRunsForgotten && status.is_some_and(|status| status.is_ended())
    }
}

#[async_trait]
impl JournalReader for NaiveReader {
    fn head(&self) -> Head {
        let history = lock(&self.history);
        let position = history.entries.last().map_or(Position::ZERO, |entry| entry.position);
        Head { position, digest: history.digests.last().map_or(Digest::ZERO, |(_, digest)| *digest) }
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let limit = if self.flaw == Flaw::LimitIgnored { usize::MAX } else { limit };
        let history = lock(&self.history);
        Ok(history.entries.iter().filter(|entry| entry.position > after).take(limit).cloned().collect())
    }

    async fn read_some(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        if self.flaw == Flaw::SomeIsNone { Ok(Vec::new()) } else { self.read(after, limit).await }
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        Ok(lock(&self.history).entries.iter().find(|entry| entry.position == at).cloned())
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        let history = lock(&self.history);
        Ok(history.digests.iter().find(|(at, _)| *at == position).map(|(_, digest)| *digest))
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        let mut head = self.model()?.heads.get(&run).copied();
        if let (Flaw::HeadIgnoresRefusals, Some(head)) = (self.flaw, &mut head) {
            let history = lock(&self.history);
            let mut committed =
                history.entries.iter().filter(|entry| entry.run() == Some(run) && !entry.events().is_empty());
            head.last = committed.next_back().map_or(head.last, |entry| entry.position);
        }
        Ok(head.filter(|_| !self.forgets(run)))
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        let found = self.model()?.answers.get(&(run, command)).copied();
        let history = lock(&self.history);
        let last =
            history.entries.iter().rev().find(|entry| entry.run() == Some(run) && entry.command_id() == Some(command));
        Ok(match self.flaw {
            Flaw::LastAnswerWins => last.map(|entry| entry.position),
            Flaw::RefusalsUnanswered => found.filter(|_| last.is_some_and(|entry| !entry.events().is_empty())),
            _ => found,
        })
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        let model = self.model()?;
        let history = lock(&self.history);
        let mut first = history.entries.iter().filter(|entry| is_created_as(entry, name));
        match self.flaw {
            Flaw::NameStaysWithTheFirst => Ok(first.next().and_then(Entry::run)),
            _ => Ok(model.names.get(name).copied()),
        }
    }
}

fn is_created_as(entry: &Entry, name: &str) -> bool {
    entry
        .events()
        .iter()
        .any(|event| matches!(event, Event::Created { spec, .. } if spec.name.as_deref() == Some(name)))
}

fn naive(flaw: Flaw) -> impl Fn() -> Box<dyn Journals> {
    move || Box::new(Naive { flaw, history: Arc::default() })
}

#[tokio::test]
async fn the_journal_in_memory_keeps_every_clause() {
    let breaches = run(|| Box::new(MemoryStorage::new()) as Box<dyn Journals>).await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// Files in a directory of their own, with small segments so that histories cross them.
struct Files(tempfile::TempDir);

/// The same on a disk that fails on demand; nothing is kept in an index there.
struct SimulatedFiles(SimulatedDisk);

fn small_segments() -> JournalOptions {
    JournalOptions { segment_bytes: 4_096, anchor_interval: None, ..JournalOptions::default() }
}

#[async_trait]
impl Journals for Files {
    async fn open(&self) -> Result<Box<dyn Journal>, JournalError> {
        Ok(Box::new(FileJournal::open(self.0.path(), small_segments())?))
    }

    fn reopens(&self) -> bool {
        true
    }

    fn is_local(&self) -> bool {
        true
    }

    fn fail_next_append(&self) -> bool {
        false
    }
}

#[async_trait]
impl Journals for SimulatedFiles {
    async fn open(&self) -> Result<Box<dyn Journal>, JournalError> {
        Ok(Box::new(FileJournal::open_on(Arc::new(self.0.clone()), "/data".as_ref(), small_segments())?))
    }

    fn reopens(&self) -> bool {
        true
    }

    fn is_local(&self) -> bool {
        true
    }

    fn fail_next_append(&self) -> bool {
        self.0.set_faults(Faults { fail_sync: Some(self.0.syncs() + 1), ..Faults::default() });
        true
    }
}

#[tokio::test]
async fn the_journal_in_files_keeps_every_clause() {
    let breaches = run(|| Box::new(Files(tempfile::TempDir::new().unwrap())) as Box<dyn Journals>).await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[tokio::test]
async fn an_index_that_proves_wrong_changes_no_answer() {
    // Rows of runs are read while the journal is opened, rows of names not before somebody asks.
    for rows in [b"r", b"n"] {
        index_proves_wrong(rows).await;
    }
}

async fn index_proves_wrong(rows: &[u8]) {
    let files = Files(tempfile::TempDir::new().unwrap());
    let mut journal = files.open().await.unwrap();
    lookups::live_long(&mut *journal, 20).await.unwrap();
    close(journal, &mut Scribe::default()).await.unwrap();
    {
        let db = sled::open(files.0.path().join("index/sled")).unwrap();
        for row in db.scan_prefix(rows) {
            let (key, row) = row.unwrap();
            db.insert(key, &row[1..]).unwrap();
        }
        db.flush().unwrap();
    }
    for _ in 0..2 {
        let mut journal = files.open().await.unwrap();
        let reader = journal.reader();
        lookups::agree(&*reader, 8).await.unwrap();
        append(&mut *journal, vec![Scribe::default().closed()]).await.unwrap();
        lookups::agree(&*reader, 8).await.unwrap();
    }
}

#[tokio::test]
async fn the_journal_on_a_simulated_disk_keeps_every_clause() {
    let breaches = run(|| Box::new(SimulatedFiles(SimulatedDisk::default())) as Box<dyn Journals>).await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[tokio::test]
async fn the_simplest_journal_keeps_every_clause() {
    let breaches = run(naive(Flaw::None)).await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[tokio::test]
async fn every_flaw_is_noticed_by_a_clause_about_it() {
    let noticed_by = [
        (Flaw::NoVersionCheck, "a draft for another version of its run is a conflict"),
        (Flaw::ConflictKeepsTheDraftsBefore, "a conflict anywhere in a batch leaves all of it out"),
        (Flaw::ConflictPoisons, "a journal goes on after a conflict"),
        (Flaw::NoBackPointers, "entries point back to the entry before about their run"),
        (Flaw::BackPointersForRefusalsMissing, "entries point back to the entry before about their run"),
        (Flaw::PositionsFromZero, "entries get consecutive positions from 1, in the order given"),
        (Flaw::OrderTurned, "entries get consecutive positions from 1, in the order given"),
        (Flaw::EmptyBatchFails, "an empty batch changes nothing"),
        (Flaw::ReaderIsACopy, "a reader sees what is appended after it was made"),
        (Flaw::LimitIgnored, "entries are read in order, up to a limit, after a position"),
        (Flaw::SomeIsNone, "entries are read in order, up to a limit, after a position"),
        (Flaw::HeadIgnoresRefusals, "heads, answers and names are as the entries say, after every batch"),
        (Flaw::EndedRunsForgotten, "runs that ended and restarted many times are still known"),
        (Flaw::RefusalsUnanswered, "heads, answers and names are as the entries say, after every batch"),
        (Flaw::LastAnswerWins, "the first answer to a command is the one that counts"),
        (Flaw::NameStaysWithTheFirst, "runs that ended and restarted many times are still known"),
        (Flaw::DigestOfPositionOnly, "a digest depends on all that was recorded"),
        (Flaw::DigestAtTheEndOnly, "a digest is kept at the end of every batch, and is new every time"),
        (Flaw::NoPoison, "after a failed append, every later one fails until reopened"),
        (Flaw::EverySessionClean, "a writer that did not close is noticed, and nothing is lost"),
        (Flaw::ForgetsTheLastEntry, "everything is there when it is opened again"),
        (Flaw::ManyWriters, "a second writer is turned away"),
        (Flaw::ClosesReadersToo, "a reader remains usable after the close"),
        (Flaw::EntryByEntry, "readers see a batch whole or not at all"),
    ];
    for (flaw, clause) in noticed_by {
        let breaches = run_some(naive(flaw), |wanted| wanted == clause).await;
        assert_eq!(breaches.len(), 1, "{flaw:?} keeps the clause: {clause}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_reopen_or_fail_is_spared_those_clauses() {
    struct Once(MemoryStorage, AtomicBool);

    #[async_trait]
    impl Journals for Once {
        async fn open(&self) -> Result<Box<dyn Journal>, JournalError> {
            if self.1.swap(true, Ordering::Relaxed) { Err(JournalError::Closed) } else { Ok(Box::new(self.0.open()?)) }
        }

        fn reopens(&self) -> bool {
            false
        }

        fn is_local(&self) -> bool {
            false
        }

        fn fail_next_append(&self) -> bool {
            false
        }
    }

    let breaches = run(|| Box::new(Once(MemoryStorage::new(), AtomicBool::new(false))) as Box<dyn Journals>).await;
    assert!(breaches.is_empty(), "{breaches:#?}");
}
