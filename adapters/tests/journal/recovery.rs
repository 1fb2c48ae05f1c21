//! Opening after a crash: torn tails are cut and reported, damage is refused with its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Diagnostics, Entry, Failure, FailureKind, Position, RunnerId, StartMode, TornTail,
};
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
    // What did not arrive is not there, or is still as the room was that had been taken for it.
    let cut = |length| (whole[..length].to_vec(), length);
    let zeroed = |length| {
        let arrived = (length + leading_zeros(&whole[length..])).min(*ends.iter().find(|end| **end >= length).unwrap());
        ([&whole[..length], &vec![0; whole.len() - length]].concat(), arrived)
    };
    let lengths = ends[1]..ends[4];
    let tries = lengths.clone().map(cut).chain(lengths.step_by(5).map(zeroed));
    for (altered, length) in tries {
        let all = altered.len();
        disk.put(&live, altered);
        let kept = ends.iter().rposition(|end| *end <= length).unwrap();
        let count = [0, 1, 3, 6, 8][kept];
        let mut journal = open_in(&disk, dir.path());
        let bytes = if length == ends[kept] { 0 } else { (all - ends[kept]) as u64 };
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

fn leading_zeros(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == 0).count()
}

/// Ends of the header and of each frame, read as docs/format.md describes them. Room may follow.
fn frame_ends(segment: &[u8]) -> Vec<usize> {
    let mut ends = vec![88];
    while let Some(frame) = segment.get(*ends.last().unwrap()..).filter(|rest| rest.iter().any(|byte| *byte != 0)) {
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
    let mut script = Script::default();
    let mut batches = script.batches(2);
    // Of one entry each: what is durable then ends with the very entry that is in doubt.
    batches.extend(script.life(3).into_iter().map(|draft| vec![draft]));
    let (journal, _) = written(dir.path(), batches);
    drop(journal);
    assert!(!dir.path().join("journal/anchor").exists());
    let disk = in_memory(dir.path());
    let live = segments(dir.path()).pop().unwrap();
    let whole = disk.bytes(&live).unwrap();
    let ends = frame_ends(&whole);
    let (last, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
    assert!(end < whole.len(), "there is room behind it");
    for at in (0..end).chain((end..whole.len()).step_by(61)) {
        let mut altered = whole.clone();
        altered[at] ^= 0x80;
        disk.put(&live, altered.clone());
        if at < last {
            refused(&disk, dir.path(), at);
            let read = FileReader::open_on(Arc::new(disk.clone()), dir.path());
            assert!(matches!(read, Err(JournalError::Damaged { .. })), "byte {at}");
        } else {
            // In the last frame, and in the room behind it, it cannot be told from a write that did not complete.
            let torn_at = if at < end { last } else { end };
            let journal = FileJournal::open_on(Arc::new(disk.clone()), dir.path(), options()).unwrap();
            assert_eq!(journal.opening().torn.unwrap().offset, torn_at as u64, "byte {at}");
        }
    }
}

#[test]
fn what_a_guest_prints_is_no_evidence_about_the_write_that_holds_it() {
    let mut forgeries = vec!["hello".to_owned(), forged_frame(b"an entry, maybe", 0x7f7f_7f7e)];
    forgeries.push(forged_frame(b"at the next position", 3));
    for line in forgeries {
        let dir = tempfile::tempdir().unwrap();
        let mut script = Script::default();
        let run = ids::run(1);
        let mine = claim(run, 1, "r1");
        let start = Action::Start { attempt: mine.attempt, runner: RunnerId::from("r1"), mode: StartMode::Fresh };
        let begun =
            vec![vec![script.draft(run, Action::Create { spec: Arc::new(spec("a")) })], vec![script.draft(run, start)]];
        let one_segment = JournalOptions { segment_bytes: 1 << 20, ..options() };
        let disk = SimulatedDisk::default();
        let mut journal = FileJournal::open_on(Arc::new(disk.clone()), dir.path(), one_segment.clone()).unwrap();
        append_all(&mut journal, begun);
        let path = dir.path().join("journal/00000000000000000001.seg");
        let kept = *frame_ends(&disk.bytes(&path).unwrap()).last().unwrap();
        let diagnostics =
            Diagnostics { alive: vec![], last_output: vec![line.clone()], likely_cause: None, facts: BTreeMap::new() };
        let failure = Failure { kind: FailureKind::TimedOut, message: "late".to_owned(), diagnostics };
        append_all(&mut journal, vec![vec![script.draft(run, Action::Fail { claim: mine, failure })]]);
        drop(journal);
        // The power went during that write: its first bytes did not arrive.
        let whole = disk.bytes(&path).unwrap();
        assert!(line == "hello" || whole.windows(4).filter(|window| window == b"TFRM").count() > 3);
        for zeros in [64, 72, 80] {
            let mut bytes = whole.clone();
            bytes[kept..kept + zeros].fill(0);
            disk.put(&path, bytes);
            let disk = disk.after_kill();
            let journal = FileJournal::open_on(Arc::new(disk), dir.path(), one_segment.clone()).unwrap();
            let torn = journal.opening().torn.unwrap();
            assert_eq!((torn.offset, torn.position), (kept as u64, Position(3)), "{line:?}");
        }
    }
}

#[test]
fn a_later_frame_is_evidence_only_if_it_is_linked_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let batches: Vec<_> = script.life(1).into_iter().map(|draft| vec![draft]).collect();
    drop(written(dir.path(), batches));
    let disk = in_memory(dir.path());
    let live = segments(dir.path()).pop().unwrap();
    let whole = disk.bytes(&live).unwrap();
    let ends = frame_ends(&whole);
    let mut damaged = whole.clone();
    damaged[ends[1]..ends[1] + 80].fill(0);
    // Frames 3 and 4 say that the second was durable: as they are, with room behind them, and with a write behind them that
    // did not complete.
    for end in [ends[4], whole.len(), ends[3], ends[4] - 1, ends[3] + 72] {
        disk.put(&live, damaged[..end].to_vec());
        assert_eq!(refused(&disk, dir.path(), end).1, ends[1] as u64);
    }
    // The third alone says nothing with something behind it that does not follow.
    disk.put(&live, [&damaged[..ends[3]], &[1; 72]].concat());
    assert_eq!(open_in(&disk, dir.path()).opening().torn.unwrap().offset, ends[1] as u64);
    // Nor does one at the very end whose entries are none.
    let text = forged_frame(b"an entry, maybe", 2);
    disk.put(&live, [&damaged[..ends[1] + 80], text.as_bytes()].concat());
    assert_eq!(open_in(&disk, dir.path()).opening().torn.unwrap().offset, ends[1] as u64);
    // Nor does a frame that has more entries before it than fit.
    let cut = [&whole[..ends[1]], &[0; 30], &whole[ends[3]..ends[4]]].concat();
    disk.put(&live, cut);
    assert_eq!(open_in(&disk, dir.path()).opening().torn.unwrap().offset, ends[1] as u64);
}

/// A frame with right checksums made of characters alone.
fn forged_frame(entry: &[u8], watermark: u64) -> String {
    let plain = |crc: u32| crc.to_le_bytes().iter().all(u8::is_ascii);
    let found = |bytes: &dyn Fn(u32) -> Vec<u8>| (0..).map(bytes).find(|bytes| plain(crc32c::crc32c(bytes))).unwrap();
    let record = |number: u32| [entry, format!("{number:08}").as_bytes()].concat();
    let length = (entry.len() + 8) as u32;
    let payload = found(&|number| [&length.to_le_bytes()[..], &record(number)].concat());
    let mut head = b"TFRM\x01\0\0\0".to_vec();
    head.extend((payload.len() as u32).to_le_bytes());
    head.extend(1_u32.to_le_bytes());
    head.extend((watermark + 1).to_le_bytes());
    head.extend(watermark.to_le_bytes());
    head.resize(64, b'0');
    head.extend(crc32c::crc32c(&payload).to_le_bytes());
    let head = found(&|number| {
        let mut head = head.clone();
        head[32..40].copy_from_slice(format!("{number:08}").as_bytes());
        head
    });
    let crc = crc32c::crc32c(&head).to_le_bytes();
    String::from_utf8([head, crc.to_vec(), payload].concat()).unwrap()
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
