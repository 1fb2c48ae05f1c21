//! Opening after a crash: torn tails are cut and reported, damage is refused with its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{FileJournal, FileReader};
use tachograph_engine::domain::{Entry, Position, TornTail};
use tachograph_engine::ports::{Journal, JournalError, JournalReader, Opening};

use crate::support::{
    Script, append_all, close, copy, in_memory, open, options, segments, wait, written, written_small,
};

#[test]
fn a_tail_cut_at_any_byte_of_the_last_three_frames_is_reported_and_nothing_before_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    // Frames of 1, 2, 3 and 2 entries.
    let (journal, entries) = written(dir.path(), script.batches(2));
    let further = script.life(3);
    drop(journal);
    let disk = in_memory(dir.path());
    let live = segments(dir.path()).pop().unwrap();
    let whole = disk.bytes(&live).unwrap();
    let ends = frame_ends(&whole);
    assert_eq!(ends.len(), 5);
    for length in ends[1]..whole.len() {
        disk.put(&live, whole[..length].to_vec());
        let kept = ends.iter().rposition(|end| *end <= length).unwrap();
        let count = [0, 1, 3, 6, 8][kept];
        let mut journal = open_in(&disk, dir.path());
        let bytes = (length - ends[kept]) as u64;
        let torn = (bytes > 0).then(|| TornTail {
            file: "00000000000000000001.seg".to_owned(),
            offset: ends[kept] as u64,
            bytes,
            position: Position(count as u64 + 1),
        });
        assert_eq!(journal.opening(), Opening { clean: false, torn, missing_up_to: None }, "length {length}");
        assert_eq!(wait(journal.append(further[..1].to_vec())).unwrap()[0].position, Position(count as u64 + 1));
        let seen = read_in(&disk, dir.path());
        assert_eq!(seen[..count], entries[..count], "length {length}");
        assert_eq!(seen.len(), count + 1);
    }
}

fn open_in(disk: &SimulatedDisk, data: &Path) -> FileJournal {
    FileJournal::open_on(Arc::new(disk.clone()), data, options()).unwrap()
}

fn read_in(disk: &SimulatedDisk, data: &Path) -> Vec<Entry> {
    let reader = FileReader::open_on(Arc::new(disk.clone()), data).unwrap();
    wait(reader.read(Position::ZERO, usize::MAX)).unwrap()
}

/// Ends of the header and of each frame, read as docs/format.md describes them.
fn frame_ends(segment: &[u8]) -> Vec<usize> {
    let mut ends = vec![88];
    while let Some(frame) = segment.get(*ends.last().unwrap()..).filter(|rest| !rest.is_empty()) {
        assert_eq!(&frame[..4], b"TFRM");
        let payload = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        ends.push(ends.last().unwrap() + 72 + payload);
    }
    ends
}

#[test]
fn a_tail_that_the_anchor_knows_and_that_is_gone_is_reported_until_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (journal, _) = written(dir.path(), script.batches(2));
    let head = journal.reader().head();
    close(journal);
    let live = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&live).unwrap();
    let ends = frame_ends(&whole);
    for length in [ends[2], ends[2] + 1, ends[3] - 1] {
        fs::write(&live, &whole[..length]).unwrap();
        let missing = Some((head.position, head.digest));
        let journal = open(dir.path()).unwrap();
        assert_eq!(journal.opening().missing_up_to, missing);
        assert_eq!(journal.opening().torn.is_some(), length != ends[2]);
        assert!(!journal.opening().clean);
        // Closing without an append forgets nothing.
        close(journal);
        let journal = open(dir.path()).unwrap();
        assert_eq!(journal.opening(), Opening { clean: false, torn: None, missing_up_to: missing });
    }
    let mut journal = open(dir.path()).unwrap();
    append_all(&mut journal, vec![script.life(3), script.life(4)]);
    drop(journal);
    let journal = open(dir.path()).unwrap();
    assert_eq!(journal.opening().missing_up_to, None);
}

#[test]
fn any_flipped_byte_of_a_closed_journal_is_refused_with_its_file_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    written_small(dir.path());
    let disk = in_memory(dir.path());
    let mut flips = 0;
    for file in segments(dir.path()).into_iter().chain([dir.path().join("journal/anchor")]) {
        let whole = disk.bytes(&file).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1 << (at % 8);
            disk.put(&file, altered.clone());
            let (named, offset) = refused(&disk, dir.path(), at);
            assert_eq!(named, file, "byte {at}");
            assert!(offset <= at as u64, "byte {at} of {}: offset {offset}", file.display());
            assert_eq!(disk.bytes(&file), Some(altered), "byte {at}");
            flips += 1;
        }
        disk.put(&file, whole);
    }
    assert!(flips > 2_500, "{flips}");
    FileJournal::open_on(Arc::new(disk), dir.path(), options()).unwrap();
}

fn refused(disk: &SimulatedDisk, data: &Path, at: usize) -> (PathBuf, u64) {
    match FileJournal::open_on(Arc::new(disk.clone()), data, options()) {
        Err(JournalError::Damaged { file, offset, .. }) => (file, offset),
        other => panic!("byte {at}: {other:?}"),
    }
}

#[test]
fn a_flipped_byte_before_the_last_frame_is_damage_even_without_an_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(2));
    drop(journal);
    assert!(!dir.path().join("journal/anchor").exists());
    let disk = in_memory(dir.path());
    let live = segments(dir.path()).pop().unwrap();
    let whole = disk.bytes(&live).unwrap();
    let ends = frame_ends(&whole);
    let last = ends[ends.len() - 2];
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 0x80;
        disk.put(&live, altered.clone());
        if at < last {
            refused(&disk, dir.path(), at);
            let read = FileReader::open_on(Arc::new(disk.clone()), dir.path());
            assert!(matches!(read, Err(JournalError::Damaged { .. })), "byte {at}");
        } else {
            // In the last frame it cannot be told from a write that did not complete.
            let journal = FileJournal::open_on(Arc::new(disk.clone()), dir.path(), options()).unwrap();
            assert_eq!(journal.opening().torn.unwrap().offset, last as u64, "byte {at}");
        }
    }
}

#[test]
fn a_segment_whose_creation_did_not_complete_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (mut journal, mut entries) = written(dir.path(), script.batches(2));
    let mut number = 3;
    while segments(dir.path()).len() < 2 {
        entries.extend(append_all(&mut journal, vec![script.life(number)]));
        number += 1;
    }
    drop(journal);
    let last = segments(dir.path()).pop().unwrap();
    let disk = in_memory(dir.path());
    let whole = disk.bytes(&last).unwrap();
    entries.truncate(entries.len() - 4);
    for length in 0..=88 {
        let disk = disk.after_kill();
        disk.put(&last, whole[..length].to_vec());
        assert_eq!(read_in(&disk, dir.path()), entries, "length {length}");
        let mut journal = open_in(&disk, dir.path());
        assert_eq!(journal.opening().torn.is_some(), length < 88, "length {length}");
        assert_eq!(journal.opening().missing_up_to, None);
        let mut expected = entries.clone();
        expected.extend(append_all(&mut journal, vec![Script::default().life(90)]));
        assert_eq!(read_in(&disk, dir.path()), expected, "length {length}");
    }
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(40));
    close(journal);
    let files = segments(dir.path());
    for gone in &files[..files.len() - 1] {
        let other = tempfile::tempdir().unwrap();
        copy(dir.path(), other.path());
        fs::remove_file(other.path().join("journal").join(gone.file_name().unwrap())).unwrap();
        refused(&in_memory(other.path()), other.path(), 0);
    }
}

#[test]
fn places_that_cannot_hold_a_journal_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        match open(&path) {
            Err(JournalError::NoJournal { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_newer_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(2));
    drop(journal);
    let file = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 7;
    let crc = crc32c::crc32c(&bytes[..84]);
    bytes[84..88].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let newer = |error| match error {
        JournalError::NewerFormat { path, found, supported } => {
            assert_eq!((path, found, supported), (file.clone(), 7, 1));
        }
        other => panic!("{other:?}"),
    };
    newer(open(dir.path()).unwrap_err());
    newer(FileReader::open(dir.path()).unwrap_err());
}

#[test]
fn another_history_than_the_anchor_tells_is_damage() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, _) = written(one.path(), Script::default().batches(2));
    close(journal);
    let mut script = Script::default();
    let (journal, _) = written(other.path(), [script.batches(2), vec![script.life(3)]].concat());
    close(journal);
    let disk = in_memory(one.path());
    FileJournal::open_on(Arc::new(disk.clone()), one.path(), options()).unwrap();
    // The same journal id and sound segments: only the anchor knows.
    let mut rewritten = Script::default();
    let lives = [rewritten.life(5), rewritten.life(6), rewritten.life(7)];
    let third = tempfile::tempdir().unwrap();
    drop(written(third.path(), lives.into()));
    let segment = segments(third.path()).pop().unwrap();
    disk.put(&segments(one.path())[0], fs::read(segment).unwrap());
    refused(&disk, one.path(), 0);
    // An anchor of a later time is one of the same history.
    disk.put(&segments(one.path())[0], fs::read(&segments(other.path())[0]).unwrap());
    FileJournal::open_on(Arc::new(disk), one.path(), options()).unwrap();
}

#[test]
fn a_loss_that_was_noticed_is_not_forgotten_by_a_crash_before_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (journal, _) = written(dir.path(), script.batches(2));
    let head = journal.reader().head();
    close(journal);
    let missing = Some((head.position, head.digest));
    let disk = in_memory(dir.path());
    let live = &segments(dir.path())[0];
    let whole = disk.bytes(live).unwrap();
    disk.put(live, whole[..frame_ends(&whole)[2]].to_vec());
    let further = script.life(3);
    for at in 1..=3 {
        let disk = disk.after_kill();
        let mut journal = FileJournal::open_on(Arc::new(disk.clone()), dir.path(), options()).unwrap();
        assert_eq!(journal.opening().missing_up_to, missing);
        // The anchor, its directory, and then the entries themselves.
        disk.set_faults(Faults { power_off_at_sync: Some(disk.syncs() + at), ..Faults::default() });
        wait(journal.append(further.clone())).unwrap_err();
        for seed in 0..20 {
            let disk = disk.after_power_cut(seed);
            let journal = FileJournal::open_on(Arc::new(disk), dir.path(), options()).unwrap();
            let recorded = journal.reader().head().position > Position(3);
            assert!(recorded || journal.opening().missing_up_to == missing, "sync {at}, seed {seed}");
        }
    }
}
