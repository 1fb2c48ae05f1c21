//! Crashes between and within the steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::archive::{ArchiveError, Plan, archive};
use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, verify, verify_on};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{JournalError, JournalReader};

use crate::support::{archive_before, copy, entries, request, wait, write};

/// The files of a journal.
fn files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(data.join("journal"))
        .unwrap()
        .map(|item| item.unwrap())
        .map(|item| (item.file_name().into_string().unwrap(), fs::read(item.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// The journal, and the bundles that it names, hold what there was.
fn holds(data: &Path, original: &[Entry], what: &str) {
    let reader = FileReader::open(data).unwrap();
    let mut found = Vec::new();
    for archived in reader.archived_in() {
        let bundle = tachograph_adapters::bundle::BundleReader::open(&data.join(&archived.bundle)).unwrap();
        found.extend(wait(bundle.read(Position::ZERO, usize::MAX)).unwrap());
    }
    found.extend(entries(data, reader.archived()));
    assert!(found == original, "{what}: {} of {} entries", found.len(), original.len());
    assert!(verify(data, |_| ()).unwrap().is_sound(), "{what}");
}

#[test]
fn a_failure_beside_the_bundle_leaves_the_journal_and_the_bundle_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let (before, original) = (files(dir.path()), entries(dir.path(), Position::ZERO));
    let fails = async |_: &Plan, _: &Path| Err(ArchiveError::from(JournalError::Closed));
    let failed = wait(archive(dir.path(), &request(1 << 20), |_, _| Ok(()), fails, |_| ()));
    assert_eq!(failed.unwrap_err().code(), "closed");
    assert_eq!(files(dir.path()), before);
    let made = fs::read_dir(dir.path().join("archive")).unwrap().next().unwrap().unwrap().path();
    let bundle = fs::read(&made).unwrap();
    let unfinished = format!("{}.01J00000000000000000000000.tmp", made.display());
    fs::write(unfinished, "killed").unwrap();
    let done = archive_before(dir.path(), 1 << 20).unwrap();
    assert_eq!(done.bundle.unwrap().0, made);
    assert_eq!(fs::read(&made).unwrap(), bundle, "it is the one that was made");
    assert_eq!(fs::read_dir(dir.path().join("archive")).unwrap().count(), 1, "what was unfinished is gone");
    holds(dir.path(), &original, "taken over");
}

#[test]
fn segments_that_the_stub_stands_for_are_passed_over_and_removed_by_the_next_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (data, plain) = (dir.path().join("data"), dir.path().join("plain"));
    write(&data, 20);
    let original = entries(&data, Position::ZERO);
    copy(&data, &plain);
    archive_before(&data, 1 << 20).unwrap();
    let done = files(&data);
    // As a crash leaves it behind the rename: all segments but the first are still there.
    for (name, bytes) in files(&plain).iter().skip(1) {
        if !data.join("journal").join(name).exists() {
            fs::write(data.join("journal").join(name), bytes).unwrap();
        }
    }
    fs::write(data.join("journal/stub.tmp"), "half a stub").unwrap();
    assert!(files(&data).len() > done.len() + 3);
    holds(&data, &original, "before the next writer");
    let report = verify(&data, |_| ()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("interrupted")), "{report:?}");
    drop(FileJournal::open(&data, JournalOptions::default()).unwrap());
    assert_eq!(files(&data), done);
    holds(&data, &original, "after the next writer");
}

#[test]
fn a_reader_that_was_open_before_is_told_what_is_archived_and_reads_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let (fresh, used) = (FileReader::open(dir.path()).unwrap(), FileReader::open(dir.path()).unwrap());
    let original = wait(used.read(Position::ZERO, usize::MAX)).unwrap();
    let run = original.iter().find_map(Entry::run).unwrap();
    let head = wait(used.run_head(run)).unwrap();
    let done = archive_before(dir.path(), 1 << 20).unwrap();
    for reader in [&fresh, &used] {
        assert_eq!(wait(reader.read(Position(3), 4)).unwrap_err().code(), "archived");
        assert_eq!(wait(reader.run_head(run)).unwrap(), head);
        let rest = wait(reader.read(done.plan.last, usize::MAX)).unwrap();
        assert!(rest == original[usize::try_from(done.plan.last.0).unwrap()..]);
        assert_eq!(reader.archived(), done.plan.last);
    }
}

/// A journal of which all is archived that can be, beside a copy of what it was.
struct Archived {
    dir: tempfile::TempDir,
    data: PathBuf,
    plain: PathBuf,
    stub: Vec<u8>,
}

impl Archived {
    fn made() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, plain) = (dir.path().join("data"), dir.path().join("plain"));
        write(&data, 20);
        copy(&data, &plain);
        archive_before(&data, 1 << 20).unwrap();
        let stub = fs::read(data.join("journal/00000000000000000001.seg")).unwrap();
        Self { dir, data, plain, stub }
    }
}

#[test]
fn a_power_cut_at_any_sync_leaves_all_of_the_segments_or_the_whole_stub() {
    let Archived { dir: _dir, data, plain, stub } = Archived::made();
    let (before, after) = (entries(&plain, Position::ZERO), FileReader::open(&data).unwrap().archived());
    let here = Path::new("/data");
    let first = here.join("journal/00000000000000000001.seg");
    let begin = || {
        let disk = SimulatedDisk::default();
        files(&plain).into_iter().for_each(|(name, bytes)| disk.put(&here.join("journal").join(name), bytes));
        disk
    };
    let quiet = begin();
    tachograph_adapters::archive::install_on(&quiet, here, &stub).unwrap();
    assert!(quiet.syncs() >= 4, "{}", quiet.syncs());
    let seeds: u64 = std::env::var("TACHO_POWER_SEEDS").map_or(8, |text| text.parse().unwrap());
    for at in 1..=quiet.syncs() {
        for (last_sync_holds, seed) in (0..2 * seeds).map(|number| (number % 2 == 0, number / 2)) {
            let disk = begin();
            disk.set_faults(Faults { power_off_at_sync: Some(at), last_sync_holds, ..Faults::default() });
            let failed = tachograph_adapters::archive::install_on(&disk, here, &stub).unwrap_err();
            let has_happened = disk.files().get(&first) == Some(&stub) && disk.syncs() > 2;
            assert_eq!(matches!(failed, ArchiveError::Left { .. }), has_happened, "sync {at}: {failed}");
            let disk: Arc<SimulatedDisk> = Arc::new(disk.after_power_cut(seed));
            let what = format!("sync {at}, holds {last_sync_holds}, seed {seed}");
            let report = verify_on(disk.clone(), here, |_| ()).unwrap();
            assert!(report.is_sound(), "{what}: {report:?}");
            let journal = FileJournal::open_on(disk.clone(), here, JournalOptions::default()).unwrap();
            drop(journal);
            let reader = FileReader::open_on(disk.clone(), here).unwrap();
            let archived = reader.archived();
            assert!(archived == Position::ZERO || archived == after, "{what}: {archived}");
            let rest = wait(reader.read(archived, usize::MAX)).unwrap();
            assert!(rest == before[usize::try_from(archived.0).unwrap()..], "{what}");
            let names: Vec<_> = disk.files().into_keys().collect();
            assert!(!names.iter().any(|name| name.ends_with("stub.tmp")), "{what}: {names:?}");
        }
    }
}

#[test]
fn a_stub_for_which_there_is_no_room_leaves_the_journal_and_nothing_else() {
    let Archived { dir: _dir, plain, stub, .. } = Archived::made();
    let (disk, here) = (SimulatedDisk::default(), Path::new("/data"));
    let files = files(&plain);
    let taken: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    files.into_iter().for_each(|(name, bytes)| disk.put(&here.join("journal").join(name), bytes));
    let before = disk.files();
    let space_bytes = Some((taken + stub.len() / 2) as u64);
    disk.set_faults(Faults { space_bytes, ..Faults::default() });
    let failed = tachograph_adapters::archive::install_on(&disk, here, &stub).unwrap_err();
    assert_eq!(failed.code(), "disk_full");
    assert!(disk.files() == before, "{:?}", disk.files().keys());
}

#[test]
fn a_segment_whose_creation_did_not_complete_is_in_nobodys_way() {
    for torn in [0, 40] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 20);
        // As if the power had gone off when the last segment was made.
        let (last, bytes) = files(dir.path()).into_iter().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
        let first: u64 = last.trim_end_matches(".seg").parse().unwrap();
        fs::write(dir.path().join("journal").join(&last), &bytes[..torn]).unwrap();
        fs::remove_file(dir.path().join("journal/anchor")).unwrap();
        let original = entries(dir.path(), Position::ZERO);
        assert_eq!(original.last().unwrap().position, Position(first - 1), "{torn}");
        let done = archive_before(dir.path(), 1 << 20).unwrap();
        assert!(done.plan.segments > 2 && done.plan.last < Position(first - 1), "{torn}: {:?}", done.plan);
        holds(dir.path(), &original, &format!("{torn} bytes"));
        drop(FileJournal::open(dir.path(), JournalOptions::default()).unwrap());
        holds(dir.path(), &original, &format!("{torn} bytes, and the next writer"));
    }
}
