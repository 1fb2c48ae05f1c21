//! How much of a stub is read for late reports: of a run that had many commands, all of it once, and then what answers.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use tachograph_adapters::journal::FileReader;
use tachograph_adapters::journal::disk::{Disk, DiskFile, Locking, Mode, RealDisk};
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Action, Actor, ActorKind, Command};
use tachograph_engine::ports::{JournalReader, KeptAnswer};

use crate::support::{archive_before, numbered, submit, wait, write};

/// Commands to one run.
const COMMANDS: u64 = 400;
/// Those of them that are asked about; the last ones are in a segment that stays.
const ASKED: u64 = 350;

/// The disk, and how many bytes were read from files.
#[derive(Debug, Default)]
struct Counting(Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl Disk for Counting {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(CountingFile(RealDisk.open(path, mode)?, self.0.clone())))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        RealDisk.lock(path, holder)
    }
}

impl DiskFile for CountingFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}

#[test]
fn a_run_of_many_commands_is_read_once_for_many_late_reports() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    write(data, 10);
    // Each refused, and by another actor, so that each is recorded.
    let refused = |number: u64| Command {
        actor: Actor::new(ActorKind::Supervisor, format!("test-{number}")),
        ..numbered(700_000 + number, ids::run(3), Action::Destroy { force: false, why: "again".to_owned() })
    };
    let late: Vec<Command> = (0..COMMANDS).map(refused).collect();
    submit(data, 1_000, &late);
    write_more(data);
    archive_before(data, 1 << 20).unwrap();
    let stub = fs::read_dir(data.join("journal")).unwrap().map(|item| item.unwrap().path());
    let stub = stub.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).min().unwrap();
    let stub_bytes = fs::metadata(stub).unwrap().len();
    let counting = Counting::default();
    let read = counting.0.clone();
    let reader = FileReader::open_on(Arc::new(counting), data).unwrap();
    let before = read.load(Ordering::Relaxed);
    for number in 0..ASKED {
        let known = wait(reader.archived_answer(ids::run(3), late[number as usize].id)).unwrap();
        assert!(matches!(known, Some(KeptAnswer::Refused { .. })), "{number}: {known:?}");
        let unknown = wait(reader.archived_answer(ids::run(3), ids::command(800_000 + number))).unwrap();
        assert_eq!(unknown, None, "{number}");
    }
    let asked = read.load(Ordering::Relaxed) - before;
    // The answers themselves, looking the run up each time, and all about the run once.
    assert!(asked < 4 * stub_bytes, "{asked} bytes for {} askings, of a stub of {stub_bytes}", 2 * ASKED);
    // Others are asked about in between, more than are kept in mind.
    for number in 1..=200 {
        let _ = wait(reader.archived_answer(ids::run(number), ids::command(1))).unwrap();
    }
    let again = wait(reader.archived_answer(ids::run(3), late[0].id)).unwrap();
    assert!(matches!(again, Some(KeptAnswer::Refused { .. })), "{again:?}");
}

/// What comes behind what is archived.
fn write_more(data: &Path) {
    let create = |number: u64| {
        let spec = tachograph_engine::domain::testing::spec("later");
        numbered(900_000 + number, ids::run(900 + number), Action::Create { spec: Arc::new(spec) })
    };
    submit(data, 5_000, &(0..40).map(create).collect::<Vec<_>>());
}
