//! Readers see what is complete, as soon as it is, and change nothing.

use std::fs;
use std::sync::Arc;

use tachograph_adapters::journal::disk::RealDisk;
use tachograph_adapters::journal::simulated::SimulatedDisk;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, Salvage, verify};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{Journal, JournalError, JournalReader};

use crate::support::{Script, append_all, at, content_end, copy, options, segments, wait, written};

#[test]
fn a_reader_follows_a_live_writer_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let mut journal = FileJournal::open(dir.path(), options()).unwrap();
    let outside = FileReader::open(dir.path()).unwrap();
    let inside = journal.reader();
    assert_eq!(outside.head(), inside.head());
    for batch in script.batches(40) {
        let recorded = append_all(&mut journal, vec![batch]);
        let before = Position(recorded[0].position.0 - 1);
        assert_eq!(wait(outside.read(before, 100)).unwrap(), recorded);
        assert_eq!(wait(inside.read(before, 100)).unwrap(), recorded);
        assert_eq!(outside.head(), inside.head());
        let run = recorded[0].run().unwrap();
        assert_eq!(wait(outside.run_head(run)).unwrap(), wait(inside.run_head(run)).unwrap());
    }
}

#[test]
fn an_incomplete_write_is_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(2));
    let live = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&live).unwrap();
    let reader = FileReader::open(dir.path()).unwrap();
    assert_eq!(wait(reader.read(Position::ZERO, 100)).unwrap(), entries);
    drop(journal);
    let end = content_end(&whole);
    assert!(end < whole.len(), "there is room behind what was written");
    // The last batch has two entries. Its end is not there, or still as the room was that had been taken for it.
    for cut in 1..200 {
        let mut zeroed = whole.clone();
        zeroed[end - cut..].fill(0);
        for altered in [&whole[..end - cut], &zeroed] {
            // Its last bytes are zeros anyway.
            if altered == whole {
                continue;
            }
            fs::write(&live, altered).unwrap();
            let seen = wait(FileReader::open(dir.path()).unwrap().read(Position::ZERO, 100)).unwrap();
            assert_eq!(seen, entries[..6], "{cut} bytes cut");
        }
    }
}

#[test]
fn a_copy_reads_the_same_and_reading_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(20));
    let other = tempfile::tempdir().unwrap();
    copy(dir.path(), other.path());
    let listing = || {
        let items = ["", "journal"].map(|below| fs::read_dir(other.path().join(below)).unwrap());
        let paths = items.into_iter().flatten().map(|item| item.unwrap().path());
        let mut files: Vec<_> = paths
            .map(|path| {
                let modified = fs::metadata(&path).unwrap().modified().unwrap();
                (path.clone(), modified, fs::read(path).ok())
            })
            .collect();
        files.sort();
        files
    };
    let before = listing();
    let reader = FileReader::open(other.path()).unwrap();
    assert_eq!(wait(reader.read(Position::ZERO, usize::MAX)).unwrap(), entries);
    assert_eq!(wait(reader.history(entries[0].run().unwrap())).unwrap().len(), 4);
    assert_eq!(wait(reader.named("job-99")).unwrap(), None);
    assert!(verify(other.path(), |_| ()).unwrap().is_sound());
    assert_eq!(Salvage::open(other.path()).unwrap().count(), entries.len());
    assert_eq!(listing(), before);
    drop(journal);
}

#[test]
fn a_time_range_is_read_without_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, entries) = written(dir.path(), Script::default().batches(40));
    let reader = FileReader::open(dir.path()).unwrap();
    for (from, to) in [(0, 200), (1, 2), (30, 95), (100, 100), (150, 161), (161, 200)] {
        let expected: Vec<_> = entries
            .iter()
            .filter(|entry| at(from) <= entry.recorded_at && entry.recorded_at < at(to))
            .cloned()
            .collect();
        assert_eq!(reader.read_between(at(from), at(to), Position::ZERO, 1_000).unwrap(), expected, "{from}..{to}");
    }
    // Damage in a segment that is not needed is not met.
    let first = segments(dir.path())[0].clone();
    let mut bytes = fs::read(&first).unwrap();
    bytes[200] ^= 1;
    fs::write(&first, bytes).unwrap();
    let reader = FileReader::open(dir.path()).unwrap();
    assert_eq!(reader.read_between(at(150), at(161), Position::ZERO, 1_000).unwrap(), entries[149..]);
    match reader.read_between(at(1), at(2), Position::ZERO, 1) {
        Err(JournalError::Damaged { file, offset, .. }) => assert_eq!((file, offset), (first, 88)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing"), file] {
        match FileReader::open(&path) {
            Err(JournalError::NoJournal { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_segment_of_another_history_is_not_followed() {
    let small = JournalOptions { segment_bytes: 1 << 10, ..options() };
    let write = |numbers: [u64; 4]| {
        let dir = tempfile::tempdir().unwrap();
        let mut script = Script::default();
        let lives = numbers.map(|number| script.life(number));
        let mut journal = FileJournal::open_on(Arc::new(RealDisk), dir.path(), small.clone()).unwrap();
        append_all(&mut journal, lives.into());
        dir
    };
    let (one, other) = (write([1, 2, 3, 4]), write([5, 6, 7, 8]));
    let (ours, theirs) = (segments(one.path()), segments(other.path()));
    assert_eq!(ours[1].file_name(), theirs[1].file_name());
    let disk = SimulatedDisk::default();
    disk.put(&ours[0], fs::read(&ours[0]).unwrap());
    let reader = FileReader::open_on(Arc::new(disk.clone()), one.path()).unwrap();
    let sealed = reader.head().position;
    disk.put(&ours[1], fs::read(&theirs[1]).unwrap());
    match wait(reader.read(sealed, 10)) {
        Err(JournalError::Damaged { file, offset: 0, .. }) => assert_eq!(file, ours[1]),
        other => panic!("{other:?}"),
    }
    disk.put(&ours[1], fs::read(&ours[1]).unwrap());
    assert!(!wait(reader.read(sealed, 10)).unwrap().is_empty());
}

#[test]
fn a_time_stands_for_the_last_entry_by_then_also_where_the_clock_stepped_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut drafts: Vec<_> = Script::default().batches(40).into_iter().flatten().collect();
    for (number, draft) in drafts.iter_mut().enumerate() {
        // Back by 30 at every fortieth, so that times overlap within segments and between them.
        let number = number as u64;
        draft.recorded_at = at(100 + number - number / 40 * 30);
    }
    let (_journal, entries) = written(dir.path(), drafts.into_iter().map(|draft| vec![draft]).collect());
    assert!(segments(dir.path()).len() > 3);
    let reader = FileReader::open(dir.path()).unwrap();
    for time in 90..300 {
        let by_then = entries.iter().rev().find(|entry| entry.recorded_at <= at(time));
        let expected = by_then.map_or(Position::ZERO, |entry| entry.position);
        assert_eq!(reader.position_at(at(time)).unwrap(), expected, "at {time}");
    }
}

#[test]
fn the_next_hash_is_found_from_any_position() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(40));
    drop(journal);
    let reader = FileReader::open(dir.path()).unwrap();
    for position in (0..=entries.len() as u64 + 1).map(Position) {
        let kept = (position.0..=entries.len() as u64).map(Position).find_map(|at| {
            let digest = wait(reader.digest_at(at)).unwrap()?;
            Some((at, digest))
        });
        assert_eq!(wait(reader.digest_from(position)).unwrap(), kept, "from {position}");
    }
}

/// Going through all of it, in frames of few entries and of many: a few hundred at a time, and no frame that fits is left half-read.
#[test]
fn some_entries_at_a_time_are_all_of_them() {
    const LIMIT: usize = 4_096;
    let dir = tempfile::tempdir().unwrap();
    let large = JournalOptions { segment_bytes: 256 << 10, ..options() };
    let mut journal = FileJournal::open_on(Arc::new(RealDisk), dir.path(), large).unwrap();
    let mut script = Script::default();
    let small_frames = script.batches(400);
    let large_frame = (401..=1_700).flat_map(|number| script.life(number)).collect();
    let recorded = append_all(&mut journal, [small_frames, vec![large_frame]].concat());
    let reader = FileReader::open(dir.path()).unwrap();
    let (mut found, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let after = found.last().map_or(Position::ZERO, |last: &Entry| last.position);
        let some = wait(reader.read_some(after, LIMIT)).unwrap();
        if some.is_empty() {
            break;
        }
        sizes.push(some.len());
        found.extend(some);
    }
    assert_eq!(found, recorded);
    assert!(
        sizes.iter().any(|size| (512..515).contains(size)),
        "small frames, up to where there are enough: {sizes:?}"
    );
    assert!(sizes.contains(&LIMIT) && sizes.iter().all(|size| *size <= LIMIT), "the large frame, in two: {sizes:?}");
    assert!(sizes.len() <= 2 + segments(dir.path()).len() + 1_600 / 512, "few at a time: {sizes:?}");
}
