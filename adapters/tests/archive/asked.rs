//! How much of a stub is read for late reports: of a run that had many commands, all of it once, and then what answers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_adapters::journal::FileReader;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Action, Actor, ActorKind, Command};
use tachograph_engine::ports::{JournalReader, KeptAnswer};

use crate::disk::{Watch, Watched};
use crate::support::{archive_before, numbered, submit, wait, write};

/// Commands to one run.
const COMMANDS: u64 = 400;
/// Those of them that are asked about; the last ones are in a segment that stays.
const ASKED: u64 = 350;

/// How many bytes were read from files.
#[derive(Default)]
struct Counted(AtomicU64);

impl Watch for Counted {
    fn read(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
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
    let counted = Arc::new(Counted::default());
    let reader = FileReader::open_on(Arc::new(Watched(counted.clone())), data).unwrap();
    let before = counted.0.load(Ordering::Relaxed);
    for number in 0..ASKED {
        let known = wait(reader.archived_answer(ids::run(3), late[number as usize].id)).unwrap();
        assert!(matches!(known, Some(KeptAnswer::Refused { .. })), "{number}: {known:?}");
        let unknown = wait(reader.archived_answer(ids::run(3), ids::command(800_000 + number))).unwrap();
        assert_eq!(unknown, None, "{number}");
    }
    let asked = counted.0.load(Ordering::Relaxed) - before;
    assert!(asked > 0, "nothing is counted");
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
