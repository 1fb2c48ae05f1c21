//! The catalog must answer as the entries say, whatever becomes of its files.

mod fates;
mod reference;

use std::fs;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::ports::Draft;
use tempfile::TempDir;

use self::reference::{Reference, act};
use super::row::COMMANDS_MAX;
use super::*;
use crate::contract::Scribe;

fn cases() -> u32 {
    std::env::var("TACHO_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_that_is_lost_in_use_gives_errors_and_never_a_wrong_answer(
        steps in prop::collection::vec((0_u8..12, 0_u64..6), 1..80),
        kept in 0..60_usize,
    ) {
        let place = TempDir::new().unwrap();
        let store = Arc::new(SledEnded::open(place.path(), |_| None).unwrap());
        let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
        let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
        for (number, (what, run)) in steps.into_iter().enumerate() {
            if number == kept {
                store.give_up("a test says so");
            }
            let before = Position(reference.entries.len() as u64);
            let Some(draft) = act(&mut scribe, what, run) else { continue };
            reference.append(vec![draft]);
            reference.feed(&catalog, before);
            if number >= kept {
                reference.check_known(&catalog, 6);
            }
        }
    }
}

#[test]
fn a_run_that_ends_after_the_index_is_lost_does_not_keep_its_name() {
    let place = TempDir::new().unwrap();
    let store = Arc::new(SledEnded::open(place.path(), |_| None).unwrap());
    let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
    let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
    // Runs 2 and 5 share a name. Run 2 comes back once before the loss, and ends after it.
    for (number, (what, run)) in [(1, 2), (2, 2), (6, 2), (2, 2), (6, 2), (1, 5)].into_iter().enumerate() {
        if number == 4 {
            store.give_up("a test says so");
        }
        let before = Position(reference.entries.len() as u64);
        reference.append(act(&mut scribe, what, run).into_iter().collect());
        reference.feed(&catalog, before);
        reference.check_known(&catalog, 6);
    }
    // Run 5, which the store was never asked about, is open. Run 2 is not.
    assert_eq!(catalog.open_runs(), 1);
}

#[test]
fn a_lost_index_is_rebuilt_in_memory_while_it_is_in_use() {
    let (place, reference) = (TempDir::new().unwrap(), long_history());
    let store = Arc::new(SledEnded::open(place.path(), |_| None).unwrap());
    let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
    let (before, end) = (reference.cut(40), reference.ends[39].0);
    reference.cut(1).feed(&catalog, Position::ZERO);
    store.give_up("a test says so");
    assert!(!catalog.is_sound());
    before.feed(&catalog, reference.ends[0].0);
    let failing = catalog.rebuild(|see| {
        before.entries[..3].iter().for_each(see);
        Err("unreadable")
    });
    assert_eq!((failing, catalog.is_sound()), (Err("unreadable"), false));
    assert_eq!(catalog.rebuild(|see| before.entries.iter().map(see).try_for_each(Ok::<(), &str>)), Ok(()));
    assert!(catalog.is_sound());
    before.check(&catalog, 1);
    reference.feed(&catalog, end);
    reference.check(&catalog, 1);
}

/// A run that ended, with more commands than are kept with it, some of them before it was created.
fn long_history() -> Reference {
    let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
    let run = ids::run(1);
    let refused = (0..COMMANDS_MAX + 20).map(|_| Scribe::destroy(ids::run(0)));
    let early = (0..3).map(|_| Scribe::destroy(run));
    let drafts: Vec<Draft> = refused.chain(early).filter_map(|command| scribe.draft(command)).collect();
    reference.append(drafts);
    reference.append([1, 2].into_iter().filter_map(|what| act(&mut scribe, what, 1)).collect());
    for _ in 0..2 * COMMANDS_MAX {
        reference.append(act(&mut scribe, 9, 1).into_iter().collect());
    }
    for what in [6, 9, 2, 9, 7, 9] {
        reference.append(act(&mut scribe, what, 1).into_iter().collect());
    }
    reference
}

#[test]
fn commands_beyond_those_kept_with_a_run_are_answered_in_every_phase_of_its_life() {
    let place = TempDir::new().unwrap();
    let whole = long_history();
    let steps: Vec<usize> = (0..whole.ends.len()).step_by(97).chain(whole.ends.len() - 7..whole.ends.len()).collect();
    for step in steps {
        let reference = whole.cut(step + 1);
        let catalog = Catalog::open(place.path(), |position| reference.digest_at(position));
        reference.feed(&catalog, Position::ZERO);
        reference.check(&catalog, 1);
        if step % 2 == 0 {
            catalog.close();
        }
    }
}

#[test]
fn memory_holds_open_runs_only_and_no_more_than_the_latest_commands_of_each() {
    let place = TempDir::new().unwrap();
    let catalog = Catalog::open(place.path(), |_| None);
    let reference = long_history();
    let still_open = reference.entries.len() - 8;
    for (entry, digest) in reference.entries[..still_open].iter().zip(std::iter::repeat(Digest::ZERO)) {
        catalog.observe(std::slice::from_ref(entry), digest);
    }
    let mut answers = lock(&catalog.open).runs[&ids::run(1)].answers.clone();
    assert!(answers.spill().is_empty());
    for entry in &reference.entries[still_open..] {
        catalog.observe(std::slice::from_ref(entry), Digest::ZERO);
    }
    assert_eq!(catalog.open_runs(), 0);
    assert!(lock(&catalog.open).names.is_empty());
}

/// A short history: one run open, one ended, both named.
fn short_history() -> Reference {
    let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
    for (what, number) in [(1, 1), (2, 1), (1, 2), (2, 2), (6, 2), (10, 3)] {
        reference.append(act(&mut scribe, what, number).into_iter().collect());
    }
    reference
}

fn opened(place: &Path, reference: &Reference) -> Catalog {
    Catalog::open(place, |position| reference.digest_at(position))
}

fn sled_of(place: &Path, reference: &Reference) -> SledEnded {
    SledEnded::open(place, |position| reference.digest_at(position)).unwrap()
}

#[test]
fn what_is_written_is_not_written_again() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let end = reference.ends[reference.ends.len() - 1].0;
    let first = opened(place.path(), &reference);
    reference.feed(&first, Position::ZERO);
    first.flush();
    drop(first);
    for closes in [false, true, false] {
        let store = Arc::new(sled_of(place.path(), &reference));
        assert_eq!(store.covered(), end);
        let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
        reference.feed(&catalog, Position::ZERO);
        assert_eq!(store.rows_in_memory(), 0);
        reference.check(&catalog, 3);
        if closes {
            catalog.close();
        }
    }
}

#[test]
fn rows_leave_memory_once_they_are_written() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let store = Arc::new(sled_of(place.path(), &reference));
    let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
    reference.feed(&catalog, Position::ZERO);
    catalog.flush();
    assert_eq!(store.rows_in_memory(), 0);
    reference.check(&catalog, 3);
}

#[test]
fn rows_are_seen_while_they_wait_while_they_are_written_and_afterwards() {
    let place = TempDir::new().unwrap();
    let store = SledEnded::open(place.path(), |_| None).unwrap();
    let [key, row] = [b"k".to_vec(), b"row".to_vec()];
    store.put(key.clone(), row.clone());
    assert_eq!(store.get(&key).unwrap(), Some(row.clone()));
    store.be_writing(&key);
    assert_eq!(store.get(&key).unwrap(), Some(row.clone()));
    store.put(key.clone(), row.clone());
    store.advance(Position(1), Digest::ZERO);
    store.flush();
    assert_eq!((store.get(&key).unwrap(), store.rows_in_memory()), (Some(row), 0));
}

#[test]
fn an_index_that_cannot_be_written_leaves_the_answers_in_memory_and_nothing_behind() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let store = Arc::new(sled_of(place.path(), &reference));
    store.fail_writes();
    let catalog = Catalog::over(Arc::<SledEnded>::clone(&store));
    reference.feed(&catalog, Position::ZERO);
    catalog.flush();
    assert!(store.rows_in_memory() > 0);
    reference.check(&catalog, 3);
    catalog.close();
    assert!(!place.path().join("index").exists());
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    reference.check(&catalog, 3);
}

#[test]
fn without_any_place_for_files_the_catalog_works_in_memory() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let file = place.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let catalog = opened(&file, &reference);
    reference.feed(&catalog, Position::ZERO);
    reference.check(&catalog, 3);
}

#[test]
fn an_index_that_is_deleted_while_it_is_in_use_is_rebuilt_by_the_next_writer() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let catalog = opened(place.path(), &reference);
    reference.cut(3).feed(&catalog, Position::ZERO);
    catalog.flush();
    fs::remove_dir_all(place.path().join("index")).unwrap();
    reference.feed(&catalog, reference.ends[2].0);
    catalog.flush();
    reference.check(&catalog, 3);
    catalog.close();
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    reference.check(&catalog, 3);
}

#[test]
fn a_row_that_changed_is_an_error_and_after_the_next_open_right_again() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    catalog.close();
    let key = row::run_key(ids::run(2));
    {
        let db = sled::open(place.path().join("index/sled")).unwrap();
        let mut row = db.get(&key).unwrap().unwrap().to_vec();
        row[8] ^= 1;
        db.insert(&key, row).unwrap();
        db.flush().unwrap();
    }
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    assert!(matches!(catalog.run_head(ids::run(2)), Err(JournalError::Io { .. })));
    assert!(catalog.named("build").is_err(), "a lost index answers nothing");
    assert!(catalog.run_head(ids::run(1)).unwrap().is_some(), "what is in memory is still known");
    drop(catalog);
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    reference.check(&catalog, 3);
}

#[test]
fn an_index_that_misses_a_run_is_given_up() {
    let (place, mut reference) = (TempDir::new().unwrap(), short_history());
    let mut scribe = Scribe::default();
    for entry in &reference.entries {
        if let EntryBody::Committed(committed) = &entry.body {
            scribe.draft(committed.command.clone());
        }
    }
    reference.append(act(&mut scribe, 2, 2).into_iter().collect());
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    catalog.close();
    {
        let db = sled::open(place.path().join("index/sled")).unwrap();
        db.remove(row::run_key(ids::run(2))).unwrap();
        db.flush().unwrap();
    }
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    assert!(!catalog.is_sound());
    drop(catalog);
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    assert!(catalog.is_sound());
    reference.check(&catalog, 3);
}

#[test]
fn a_closed_catalog_says_so_and_still_knows_open_runs() {
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    catalog.close();
    assert!(matches!(catalog.run_head(ids::run(2)), Err(JournalError::Closed)));
    assert_eq!(catalog.run_head(ids::run(1)).unwrap(), reference.model.heads.get(&ids::run(1)).copied());
}

#[test]
fn the_index_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (place, reference) = (TempDir::new().unwrap(), short_history());
    let catalog = opened(place.path(), &reference);
    reference.feed(&catalog, Position::ZERO);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in ["index", "index/sled", "index/sled/blobs"] {
        assert_eq!(mode(&place.path().join(dir)), 0o700, "{dir}");
    }
    catalog.close();
    for file in fates::files_under(&place.path().join("index")) {
        // What sled adds later lies within directories that nobody else can enter.
        assert!(mode(&file) == 0o600 || file.to_string_lossy().contains("snap."), "{}", file.display());
    }
    drop(catalog);
}

#[test]
fn nothing_is_written_before_the_journal_is_open_unless_somebody_waits_for_it() {
    let mut queue = queue::Queue::empty();
    queue.pending.insert(b"k".to_vec(), b"row".to_vec());
    assert!(!queue.has_work());
    queue.urgent = true;
    assert!(queue.has_work());
    queue.urgent = false;
    queue.stop = Some(queue::Stop::Close);
    assert!(queue.has_work());
    queue.stop = None;
    queue.caught_up = true;
    assert!(queue.has_work());
}

#[test]
fn rows_wait_in_memory_without_bound_while_a_journal_is_opened_and_nobody_waits_for_them() {
    let place = TempDir::new().unwrap();
    let store = SledEnded::open(place.path(), |_| None).unwrap();
    let rows = 3 * writer::ROWS_AT_ONCE as u64 / 2;
    let key = |number: u64| number.to_be_bytes().to_vec();
    let begun = Instant::now();
    for number in 1..=rows {
        store.put(key(number), b"row".to_vec());
        if number % 100 == 0 {
            store.advance(Position(number), Digest::ZERO);
        }
    }
    store.advance(Position(rows), Digest::ZERO);
    assert_eq!(store.rows_in_memory(), rows as usize);
    assert!(begun.elapsed() < queue::PATIENCE);
    store.caught_up();
    store.flush();
    assert_eq!(store.rows_in_memory(), 0);
    for number in (1..=rows).step_by(7) {
        assert_eq!(store.get(&key(number)).unwrap(), Some(b"row".to_vec()), "{number}");
    }
    store.close();
    drop(store);
    until_unlocked(&place::Place::within(place.path()).sled().join("db"));
    let again = SledEnded::open(place.path(), |_| Some(Digest::ZERO)).unwrap();
    assert_eq!(again.covered(), Position(rows));
}

/// A child that another test starts right now has the lock's descriptor too, until it executes something.
fn until_unlocked(file: &Path) {
    let file = std::fs::File::open(file).unwrap();
    let begun = Instant::now();
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        assert!(begun.elapsed() < queue::PATIENCE, "the index stays locked");
        std::thread::yield_now();
    }
}
