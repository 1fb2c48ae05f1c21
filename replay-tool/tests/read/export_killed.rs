//! An export that is killed before each of its changes: nobody ever counts a row twice, and the next export completes it.
//!
//! The one that is killed is this program itself, started anew for it: the kill is a real one, with nothing done after it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, getpid, kill_process};
use tachograph_replay::audit::export::parquet::Manifest;
use tachograph_replay::audit::tables;

use crate::binary::{copy, everything};
use crate::exported::{
    BY_DAY, asked, assert_agrees, exported, exported_with, found, read_back, spread, spread_journal,
};

/// Journal, directory, position and the number of the change that is not made any more; for the child alone.
const TASK: &str = "TACHO_TEST_KILLED_EXPORT";
/// More changes than any export here makes.
const CHANGES_MAX: usize = 400;

#[test]
fn the_child_that_is_killed() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut words = task.split('\n');
    let mut word = || words.next().unwrap();
    let (data, export) = (PathBuf::from(word()), PathBuf::from(word()));
    let (at, last): (u64, usize) = (word().parse().unwrap(), word().parse().unwrap());
    let changes = Cell::new(0);
    exported_with(&data, at, &export, &|change| {
        changes.set(changes.get() + 1);
        if changes.get() == last {
            println!("killed before: {} {}", change.what, change.path.display());
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    })
    .unwrap();
}

/// Exports in a process of its own that is killed before a change; false if it made fewer changes and came to its end.
fn killed(data: &Path, export: &Path, at: u64, change: usize) -> bool {
    let task = format!("{}\n{}\n{at}\n{change}", data.display(), export.display());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "export_killed::the_child_that_is_killed", "--nocapture"]).env(TASK, task);
    let output = child.stdin(Stdio::null()).output().unwrap();
    if output.status.success() {
        return false;
    }
    assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// The rows of every table.
type Rows = BTreeMap<&'static str, Vec<String>>;

fn rows_at(data: &Path, at: u64) -> Rows {
    tables().iter().map(|table| (table.name, asked(data, table.name, at))).collect()
}

/// What a reader finds after a kill: of every table what was there before or some of what is new, and nothing twice.
fn assert_sane(export: &Path, [before, after]: [&Rows; 2]) {
    for table in tables() {
        let found = read_back(export, table.name);
        let (old, new) = (&before[table.name], &after[table.name]);
        if BY_DAY.contains(&table.name) {
            let mut unique = found.clone();
            unique.dedup();
            assert_eq!(found, unique, "{}: nothing is there twice", table.name);
            assert!(old.iter().all(|row| found.contains(row)), "{}: what was there stays", table.name);
            assert!(found.iter().all(|row| new.contains(row)), "{}: nothing is invented", table.name);
        } else {
            assert!(found == *old || found == *new, "{}: as it was, or as it is, in whole", table.name);
        }
    }
    // No pattern finds a draft, however deep it looks.
    let of_tables: BTreeSet<PathBuf> = tables().iter().flat_map(|table| found(export, table.name)).collect();
    let named = everything(export).into_keys().filter(|path| path.extension().is_some_and(|end| end == "parquet"));
    assert_eq!(named.collect::<BTreeSet<_>>(), of_tables);
    // What the manifest says is there is there. The tables that are replaced may be newer than it says.
    for file in Manifest::read(export).unwrap().into_iter().flat_map(|manifest| manifest.files) {
        let bytes = fs::read(export.join(&file.path)).unwrap();
        let rows = read_back(export, &file.table);
        let is_listed = blake3::hash(&bytes).to_string() == file.blake3;
        assert!(is_listed || (file.day.is_none() && rows == after[file.table.as_str()]), "{} is as listed", file.path);
    }
}

/// Kills an export from one position to another before each of its changes, and lets the next one complete it.
fn killed_everywhere(before: u64, after: u64) {
    let (dir, data) = spread_journal();
    let source = everything(&data);
    let (start, expected) = (dir.path().join("start"), dir.path().join("expected"));
    if before > 0 {
        exported(&data, before, &start).unwrap();
        copy(&start, &expected);
    }
    exported(&data, after, &expected).unwrap();
    let (rows_before, rows_after) = (rows_at(&data, before), rows_at(&data, after));
    assert_agrees(&data, &expected, after);
    let mut completed = 0;
    for change in 1..CHANGES_MAX {
        let export = dir.path().join(format!("killed-{change}"));
        if before > 0 {
            copy(&start, &export);
        }
        if !killed(&data, &export, after, change) {
            assert!(change > 20, "an export makes more changes than {change}");
            assert!(completed > 10, "some kills are after the export counts as done, not {completed}");
            assert_eq!(everything(&data), source, "what is exported is as it was");
            return;
        }
        assert_sane(&export, [&rows_before, &rows_after]);
        let next = exported(&data, after, &export).unwrap();
        completed += usize::from(next.completed);
        assert_eq!(next.completed, next.tables.is_empty(), "what is completed is not made again");
        let bytes = |place: &Path| {
            let all = everything(place).into_iter();
            let all = all.map(|(path, (_, bytes))| (path.strip_prefix(place).unwrap().to_owned(), bytes));
            all.collect::<Vec<_>>()
        };
        assert!(bytes(&export) == bytes(&expected), "killed before change {change}: byte by byte as if never killed");
        fs::remove_dir_all(&export).unwrap();
    }
    panic!("an export with more than {CHANGES_MAX} changes");
}

#[test]
fn a_first_export_is_killed_before_each_of_its_changes() {
    killed_everywhere(0, 14);
}

#[test]
fn an_export_that_adds_is_killed_before_each_of_its_changes() {
    killed_everywhere(25, spread().len() as u64);
}

#[test]
fn an_export_is_killed_twice_and_goes_on_from_another_position() {
    let (dir, data) = spread_journal();
    let (export, end) = (dir.path().join("export"), spread().len() as u64);
    exported(&data, 9, &export).unwrap();
    // Before the last file but a few is at its place, twice; then there is more to be exported.
    let changes = Cell::new(0);
    let rehearsal = dir.path().join("rehearsal");
    copy(&export, &rehearsal);
    exported_with(&data, 20, &rehearsal, &|_| changes.set(changes.get() + 1)).unwrap();
    assert!(killed(&data, &export, 20, changes.get() - 8));
    assert!(export.join(".tacho-ready").is_dir());
    assert!(killed(&data, &export, 20, 3));
    assert_sane(&export, [&rows_at(&data, 9), &rows_at(&data, 20)]);
    let made = exported(&data, end, &export).unwrap();
    assert!(made.completed && made.before.is_some_and(|before| before.0 == 20), "{made:?}");
    assert_agrees(&data, &export, end);
    let hidden = fs::read_dir(&export).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(hidden.filter(|name| name.starts_with('.')).count(), 0);
    assert!(tables().iter().all(|table| !found(&export, table.name).is_empty()));
}

#[test]
fn the_name_of_a_new_directory_is_durable_before_anything_is_in_it() {
    let (dir, data) = spread_journal();
    let export = dir.path().join("export");
    // As one leaves it that was killed right after it made the directory, too.
    for made in [false, true] {
        if made {
            fs::create_dir(&export).unwrap();
        }
        let changes = RefCell::new(Vec::new());
        exported_with(&data, 9, &export, &|change| {
            let is_empty = fs::read_dir(&export).unwrap().next().is_none();
            changes.borrow_mut().push((change.what, change.path.to_owned(), is_empty));
        })
        .unwrap();
        let first = changes.into_inner().swap_remove(0);
        assert_eq!(first, ("sync", dir.path().to_owned(), true));
        fs::remove_dir_all(&export).unwrap();
    }
}
