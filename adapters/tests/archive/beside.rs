//! Readers that were open, or are opened, while segments go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tachograph_adapters::archive;
use tachograph_adapters::bundle::{self, Compression, Selection};
use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::journal::disk::Disk;
use tachograph_adapters::journal::{FileReader, Follow, verify_on};
use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{Action, Position, Version};
use tachograph_engine::ports::{JournalError, JournalReader};

use crate::disk::{Watch, Watched};
use crate::support::{archive_before, at, commands, copy, numbered, submit, wait, write};

/// Has a journal archived just before one of the calls.
struct Meanwhile {
    data: PathBuf,
    /// Calls until then.
    left: AtomicU64,
}

impl Meanwhile {
    fn before_call(data: &Path, call: u64) -> Arc<Self> {
        Arc::new(Self { data: data.to_owned(), left: AtomicU64::new(call) })
    }

    fn is_archived(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl Watch for Meanwhile {
    fn looks(&self) {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before == Ok(1) {
            archive_before(&self.data, 1 << 20).unwrap();
        }
    }
}

/// Does something with copies of a journal that is archived before the first, the second, … call; how often that was.
fn before_each_call(of: impl Fn(Arc<dyn Disk>, &Path, u64)) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    write(&source, 8);
    for call in 1..200 {
        let data = dir.path().join(format!("at-{call}"));
        copy(&source, &data);
        let meanwhile = Meanwhile::before_call(&data, call);
        of(Arc::new(Watched(meanwhile.clone())), &data, call);
        if !meanwhile.is_archived() {
            return call - 1;
        }
    }
    panic!("there is no end to the calls")
}

#[test]
fn a_journal_is_opened_and_checked_while_it_is_archived() {
    let opened = before_each_call(|disk, data, call| {
        let reader = FileReader::open_on(disk, data).unwrap_or_else(|error| panic!("before call {call}: {error}"));
        let head = FileReader::open(data).unwrap().head();
        assert_eq!(reader.head(), head, "before call {call}");
    });
    let checked = before_each_call(|disk, data, call| {
        let report = verify_on(disk, data, |_| ()).unwrap_or_else(|error| panic!("before call {call}: {error}"));
        assert_eq!(report.findings, vec![], "before call {call}");
    });
    assert!(opened > 3 && checked > 8, "{opened} calls to open, {checked} to check");
}

/// A journal, and a reader that has seen its first entries, with the position up to which.
fn reader_that_is_behind(data: &Path) -> (FileReader, Position) {
    let mut first = commands(40);
    let rest = first.split_off(12);
    submit(data, 0, &first);
    let reader = FileReader::open(data).unwrap();
    let begin = reader.head().position;
    submit(data, 1_000, &rest);
    (reader, begin)
}

#[test]
fn a_reader_whose_next_segments_are_archived_goes_on_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, begin) = reader_that_is_behind(dir.path());
    let done = archive_before(dir.path(), 1 << 20).unwrap();
    assert!(done.plan.last > begin, "{:?} is behind {begin}", done.plan.last);
    let fresh = FileReader::open(dir.path()).unwrap();
    for asked in [Position::ZERO, begin, Position(done.plan.last.0 - 1)] {
        let error = wait(reader.read(asked, 5)).unwrap_err();
        assert_eq!(error.code(), "archived", "after {asked}: {error}");
    }
    assert_eq!(reader.head(), fresh.head());
    assert_eq!(reader.archived(), done.plan.last);
    let behind = wait(reader.read(done.plan.last, usize::MAX)).unwrap();
    assert!(!behind.is_empty() && behind == wait(fresh.read(done.plan.last, usize::MAX)).unwrap());
    for number in 0..=41 {
        let run = ids::run(number);
        assert_eq!(wait(reader.run_head(run)).unwrap(), wait(fresh.run_head(run)).unwrap(), "{number}");
    }
    // It follows what is written from now on.
    let later = numbered(900_000, ids::run(900), Action::Create { spec: Arc::new(spec("later")) });
    submit(dir.path(), 5_000, &[later]);
    assert_eq!(reader.head(), FileReader::open(dir.path()).unwrap().head());
    assert_eq!(wait(reader.run_head(ids::run(900))).unwrap().unwrap().version, Version(1));
}

#[test]
fn whoever_follows_is_told_once_what_was_archived_unread_and_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    write(data, 20);
    let reader = Arc::new(FileReader::open(data).unwrap());
    let end = reader.head().position;
    let clock = Arc::new(ManualClock::new(at(0)));
    let mut follow = Follow::new(reader, clock, Position(3), Duration::from_secs(1));
    let last = archive_before(data, 1 << 20).unwrap().plan.last;
    assert!(Position(3) < last && last < end);
    let told = wait(follow.look());
    assert!(matches!(told, Err(JournalError::Archived { up_to, .. }) if up_to == last), "{told:?}");
    assert_eq!(follow.after(), last);
    let entries = wait(follow.next()).unwrap();
    assert_eq!((entries[0].position, follow.after()), (last.next(), end));
    assert_eq!(wait(follow.look()).unwrap(), []);
}

#[test]
fn what_would_go_and_a_bundle_are_told_while_segments_are_archived() {
    let plans = before_each_call(|disk, data, call| {
        let plan = archive::plan_on(disk, data, at(1 << 20), |_, _| ());
        let plan = plan.unwrap_or_else(|error| panic!("before call {call}: {error}"));
        assert!(plan.segments > 2 || plan.archived > Position::ZERO, "before call {call}: {plan:?}");
    });
    let exports = before_each_call(|disk, data, call| {
        let end = FileReader::open(data).unwrap().head().position;
        let request = bundle::Request {
            selection: Selection::Positions { first: end, last: end },
            compression: Compression::None,
            seal: None,
            redact: Vec::new(),
            salts: None,
            guessable_ids: false,
            replaces: false,
            exported_at: at(0),
            producer: "test".to_owned(),
        };
        let made = bundle::export_on(disk, data, &data.join("end.tacho"), &request, |_| ());
        let made = made.unwrap_or_else(|error| panic!("before call {call}: {error}"));
        assert_eq!(made.manifest.tip.position, end, "before call {call}");
    });
    assert!(plans > 8 && exports > 8, "{plans} calls to plan, {exports} to export");
}

#[test]
fn a_segment_that_is_missing_before_later_ones_is_damage_to_whoever_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, begin) = reader_that_is_behind(dir.path());
    let mut segments: Vec<PathBuf> = Vec::new();
    segments.extend(fs::read_dir(dir.path().join("journal")).unwrap().map(|item| item.unwrap().path()));
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let first_of = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let index = segments.iter().position(|path| first_of(path) > begin.0 + 1).unwrap();
    let (gone, next) = (&segments[index], first_of(&segments[index + 1]));
    fs::remove_file(gone).unwrap();
    let all_before = wait(reader.read(begin, usize::MAX)).unwrap_err();
    let JournalError::Damaged { file, why, .. } = &all_before else { panic!("{all_before}") };
    assert_eq!(file, gone);
    assert!(why.contains(&format!("entries {} to {} are missing", first_of(gone), next - 1)), "{why}");
    // Nor is it passed over by whoever asks again.
    assert_eq!(wait(reader.read(Position(first_of(gone) - 1), 5)).unwrap_err().code(), "damaged");
}

#[test]
fn segments_behind_the_archive_are_passed_over_by_when_they_were_recorded() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let done = archive_before(dir.path(), 1 << 20).unwrap();
    submit(dir.path(), 5_000, &commands(12));
    let reader = FileReader::open(dir.path()).unwrap();
    assert!(reader.before(at(1 << 20)).unwrap() > done.plan.last);
    assert_eq!(reader.before(at(0)).unwrap(), done.plan.last);
}
