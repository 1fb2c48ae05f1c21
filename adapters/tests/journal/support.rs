//! Histories to write, and short ways to write, read and alter them. Everything is deterministic.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::journal::disk::RealDisk;
use tachograph_adapters::journal::simulated::SimulatedDisk;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Command, Committed, Decision, Entry, EntryBody, Exit, ExitStatus, Fleet, Guard, Refused,
    RefusedCommand, RunId, RunSpec, RunnerId, Session, StartMode, SystemFact, Timestamp, Witness, Workload,
};
use tachograph_engine::ports::{Draft, Journal, JournalError, JournalReader};
use ulid::Ulid;

/// The journal of a data directory on a disk in memory, at the same paths: thousands of tries cost no sync.
pub(crate) fn in_memory(data: &Path) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    for item in fs::read_dir(data.join("journal")).unwrap() {
        let path = item.unwrap().path();
        disk.put(&path, fs::read(&path).unwrap());
    }
    disk
}

/// Waits for a future that needs no runtime of its own.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Small segments, no thread, always the same identity.
pub(crate) fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: 4 << 10,
        anchor_interval: None,
        journal: Some(Ulid(0x0192_0000_0000_0000_0000_0000_0000_0001)),
        ..JournalOptions::default()
    }
}

/// Decides commands and makes drafts of what follows, with ids and times that count up.
#[derive(Debug, Default)]
pub(crate) struct Script {
    fleet: Fleet,
    drafts: u64,
}

impl Script {
    /// The draft that a command leads to, accepted or refused.
    pub(crate) fn draft(&mut self, run: RunId, action: Action) -> Draft {
        let number = self.drafts + 1;
        let command = Command {
            id: ids::command(number),
            run,
            actor: Actor::new(ActorKind::Supervisor, "test"),
            issued_at: at(number),
            expected: None,
            action,
        };
        let body = match self.fleet.decide(&command) {
            Ok(Decision::Append(events)) => {
                self.fleet.apply(run, &events);
                let version = self.fleet.state(run).version();
                EntryBody::Committed(Committed { command, version, events })
            }
            Ok(Decision::AlreadyRecorded) => panic!("the script repeats itself"),
            Err(refusal) => {
                EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count: 1 })
            }
        };
        self.recorded(body)
    }

    /// The draft of a system fact.
    pub(crate) fn system(&mut self, fact: SystemFact) -> Draft {
        self.recorded(EntryBody::System(fact))
    }

    /// The draft of a refusal as it is given.
    pub(crate) fn refused(&mut self, refused: Refused) -> Draft {
        self.recorded(EntryBody::Refused(refused))
    }

    fn recorded(&mut self, body: EntryBody) -> Draft {
        self.drafts += 1;
        Draft { id: ids::entry(self.drafts), recorded_at: at(self.drafts), body }
    }

    /// The life of run `number`: created, started, a refused cancel, exited.
    pub(crate) fn life(&mut self, number: u64) -> Vec<Draft> {
        let run = ids::run(number);
        let mine = claim(run, number, "r1");
        let exit = Exit { status: ExitStatus::Code(number as i32), witness: Witness::Waited, output: None };
        vec![
            self.draft(run, Action::Create { spec: Arc::new(spec(&format!("job-{number}"))) }),
            self.draft(
                run,
                Action::Start { attempt: mine.attempt, runner: RunnerId::from("r1"), mode: StartMode::Fresh },
            ),
            self.draft(run, Action::CancelSnapshot { guard: Guard::Unconditional }),
            self.draft(run, Action::Exit { claim: mine, exit }),
        ]
    }

    /// A run with a command line of more than 100,000 bytes.
    pub(crate) fn large(&mut self, number: u64) -> Draft {
        let argv = vec!["x".repeat(1_000); 110];
        let workload = Workload::Command { argv, cwd: None };
        let spec = RunSpec { workload, ..spec(&format!("large-{number}")) };
        self.draft(ids::run(number), Action::Create { spec: Arc::new(spec) })
    }

    /// Batches of one to three drafts: the lives of so many runs, interleaved in pairs.
    pub(crate) fn batches(&mut self, runs: u64) -> Vec<Vec<Draft>> {
        let mut batches = Vec::new();
        for number in (1..=runs).step_by(2) {
            let drafts = [self.life(number), self.life(number + 1)].concat();
            let mut rest = drafts.into_iter();
            for size in [1, 2, 3, 2] {
                batches.push(rest.by_ref().take(size).collect());
            }
        }
        batches
    }
}

/// The time of draft `number`: one second apart.
pub(crate) fn at(number: u64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000).plus_millis(1_000 * number as i64)
}

/// A session for system facts.
pub(crate) fn session() -> Session {
    Session {
        host: "build-3".to_owned(),
        boot_id: "boot".to_owned(),
        pid: 4_711,
        version: "0.1.0".to_owned(),
        wall: at(0),
        monotonic_us: 7,
    }
}

/// Opens for writing, with what is known about ended runs in memory.
pub(crate) fn open(data: &Path) -> Result<FileJournal, JournalError> {
    FileJournal::open_on(Arc::new(RealDisk), data, options())
}

/// Four segments of a few frames each, closed: small enough to try something at every byte.
pub(crate) fn written_small(data: &Path) -> Vec<Entry> {
    let small = JournalOptions { segment_bytes: 1 << 10, ..options() };
    let mut journal = FileJournal::open_on(Arc::new(RealDisk), data, small).unwrap();
    let entries = append_all(&mut journal, Script::default().batches(4));
    close(journal);
    assert_eq!(segments(data).len(), 4);
    entries
}

/// Opens, appends all batches, and returns the journal with what it recorded.
pub(crate) fn written(data: &Path, batches: Vec<Vec<Draft>>) -> (FileJournal, Vec<Entry>) {
    let mut journal = open(data).unwrap();
    let entries = append_all(&mut journal, batches);
    (journal, entries)
}

pub(crate) fn append_all(journal: &mut FileJournal, batches: Vec<Vec<Draft>>) -> Vec<Entry> {
    batches.into_iter().flat_map(|batch| wait(journal.append(batch)).unwrap()).collect()
}

pub(crate) fn close(journal: FileJournal) {
    wait(Box::new(journal).close()).unwrap();
}

/// All entries, as a reader of the files sees them.
pub(crate) fn read_all(data: &Path) -> Result<Vec<Entry>, JournalError> {
    wait(FileReader::open(data)?.read(tachograph_engine::domain::Position::ZERO, usize::MAX))
}

/// The segment files, oldest first.
pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(data.join("journal"))
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

/// Where the last frame ends, as docs/format.md describes them: it may end in zeros itself.
pub(crate) fn content_end(segment: &[u8]) -> usize {
    let mut end = 88;
    while segment.get(end..).is_some_and(|rest| rest.starts_with(b"TFRM")) {
        end += 72 + u32::from_le_bytes(segment[end + 8..end + 12].try_into().unwrap()) as usize;
    }
    end
}

/// Copies a directory with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
