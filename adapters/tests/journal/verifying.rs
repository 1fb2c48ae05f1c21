//! Verification finds what is wrong and where; salvage reads on behind it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::journal::simulated::SimulatedDisk;
use tachograph_adapters::journal::{
    FileJournal, FileReader, Salvage, Salvaged, Severity, VerifyReport, verify, verify_on,
};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{Journal, JournalError, JournalReader};

use crate::support::{
    Script, append_all, close, content_end, in_memory, open, options, segments, wait, written, written_small,
};

fn verified(data: &Path) -> VerifyReport {
    verify(data, |_| ()).unwrap()
}

/// The findings that are more than worth knowing.
fn faults(report: &VerifyReport) -> Vec<Severity> {
    let severities = report.findings.iter().map(|finding| finding.severity);
    severities.filter(|severity| *severity != Severity::Note).collect()
}

fn salvaged(data: &Path) -> (Vec<Entry>, Vec<(u64, u64)>) {
    let (mut entries, mut gaps) = (Vec::new(), Vec::new());
    for item in Salvage::open(data).unwrap() {
        match item {
            Salvaged::Entry(entry) => entries.push(*entry),
            Salvaged::Gap(gap) => gaps.push((gap.offset, gap.bytes)),
        }
    }
    (entries, gaps)
}

#[test]
fn a_sound_journal_has_no_findings_and_its_totals() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(40));
    let head = journal.reader().head();
    let id = journal.id();
    close(journal);
    let mut last = None;
    let report = verify(dir.path(), |progress| last = Some(progress)).unwrap();
    assert_eq!(report.findings, vec![]);
    assert!(report.is_sound() && !report.closed);
    assert_eq!((report.head, report.journal), (Some(head), Some(id)));
    assert_eq!((report.frames, report.entries), (80, 160));
    let bytes = segments(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert_eq!((report.segments, report.bytes), (segments(dir.path()).len() as u64, bytes));
    let last = last.unwrap();
    assert_eq!((last.bytes, last.bytes_total, last.entries), (bytes, bytes, 160));
    assert_eq!(salvaged(dir.path()), (entries, vec![]));
}

#[test]
fn any_flipped_byte_of_a_closed_journal_is_found_with_its_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let entries = written_small(dir.path());
    let anchor = dir.path().join("journal/anchor");
    let disk = in_memory(dir.path());
    for file in segments(dir.path()).into_iter().chain([anchor]) {
        every_flip_is_found(&disk, dir.path(), &file, &entries);
    }
}

#[test]
fn any_flipped_byte_of_a_sealed_segment_is_found_without_an_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let entries = written_small(dir.path());
    fs::remove_file(dir.path().join("journal/anchor")).unwrap();
    let disk = in_memory(dir.path());
    for file in segments(dir.path()).split_last().unwrap().1 {
        every_flip_is_found(&disk, dir.path(), file, &entries);
    }
}

fn every_flip_is_found(disk: &SimulatedDisk, data: &Path, file: &Path, entries: &[Entry]) {
    let shared: Arc<SimulatedDisk> = Arc::new(disk.clone());
    let whole = disk.bytes(file).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1 << (at % 8);
        disk.put(file, altered);
        let report = verify_on(shared.clone(), data, |_| ()).unwrap();
        assert!(!report.is_sound(), "byte {at}");
        let first = &report.findings[0];
        assert_eq!((first.severity, &*first.file), (Severity::Damage, file), "byte {at}");
        assert!(first.offset <= at as u64 && at as u64 - first.offset < 4_096, "byte {at}: {first:?}");
        let kept: Vec<Entry> = Salvage::open_on(shared.clone(), data).unwrap().filter_map(entry).collect();
        // Never an entry that was not written, and at most one frame is lost.
        assert!(kept.iter().all(|entry| entries.contains(entry)), "byte {at}");
        assert!(kept.len() + 3 >= entries.len(), "byte {at}");
        let read = FileReader::open_on(shared.clone(), data).map(|reader| wait(reader.read(Position::ZERO, 1_000)));
        // A reader meets the damage, or what it reads is all right: it does not check all that a writer does.
        assert!(!matches!(read, Ok(Ok(read)) if read != entries), "byte {at}");
    }
    disk.put(file, whole);
}

fn entry(salvaged: Salvaged) -> Option<Entry> {
    match salvaged {
        Salvaged::Entry(entry) => Some(*entry),
        Salvaged::Gap(_) => None,
    }
}

#[test]
fn salvage_reports_each_gap_and_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(40));
    close(journal);
    let file = segments(dir.path())[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    let third = bytes.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).nth(2).unwrap();
    let fourth = bytes.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).nth(3).unwrap();
    bytes[third + 90] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (kept, gaps) = salvaged(dir.path());
    assert_eq!(gaps, vec![(third as u64, (fourth - third) as u64)]);
    // The third frame holds entries 4 to 6.
    let expected: Vec<_> = entries.into_iter().filter(|entry| !(4..=6).contains(&entry.position.0)).collect();
    assert_eq!(kept, expected);
    let report = verified(dir.path());
    assert_eq!(report.entries, 157);
    assert_eq!(report.findings[0].position, Some(Position(4)));
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert_eq!(report.findings[1].severity, Severity::Missing);
}

#[test]
fn torn_and_missing_tails_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (journal, _) = written(dir.path(), script.batches(2));
    drop(journal);
    let file = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let with_room = verified(dir.path());
    assert_eq!((with_room.is_sound(), faults(&with_room)), (true, vec![]), "room is no fault");
    let end = content_end(&whole);
    let mut zeroed = whole.clone();
    zeroed[end - 10..].fill(0);
    for torn in [&whole[..end - 10], &zeroed] {
        fs::write(&file, torn).unwrap();
        let torn = verified(dir.path());
        assert!(torn.is_sound());
        assert_eq!(faults(&torn), vec![Severity::Torn]);
    }
    fs::write(&file, &whole).unwrap();
    close(open(dir.path()).unwrap());
    assert_eq!(fs::read(&file).unwrap(), whole[..end], "what was not used is given back");
    fs::write(&file, &whole[..end - 10]).unwrap();
    let missing = verified(dir.path());
    assert!(!missing.is_sound());
    let severities: Vec<_> = missing.findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, vec![Severity::Torn, Severity::Missing]);
}

#[test]
fn a_missing_segment_is_named_with_its_positions() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(40));
    close(journal);
    let files = segments(dir.path());
    fs::remove_file(&files[1]).unwrap();
    let report = verified(dir.path());
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!((report.findings[0].severity, &report.findings[0].file), (Severity::Missing, &files[2]));
    let first: u64 = files[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(report.findings[0].position, Some(Position(first)));
}

#[test]
fn entries_that_do_not_follow_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    let life = Script::default().life(1);
    // Exited straight after Created, at a version that the journal accepts.
    let mut exit = life[3].clone();
    if let tachograph_engine::domain::EntryBody::Committed(committed) = &mut exit.body {
        committed.version = tachograph_engine::domain::Version(2);
    }
    append_all(&mut journal, vec![vec![life[0].clone()], vec![exit]]);
    close(journal);
    let report = verified(dir.path());
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert!(report.findings[0].what.contains("cannot follow Created"), "{:?}", report.findings[0]);
    assert_eq!(report.findings[0].position, Some(Position(2)));
}

#[test]
fn garbage_of_any_kind_is_a_finding_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(2));
    close(journal);
    let file = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let mut altered = whole.clone();
        for _ in 0..=random() % 40 {
            let at = random() as usize % altered.len();
            altered[at] = random() as u8;
        }
        altered.truncate(random() as usize % (altered.len() + 1));
        altered.extend((0..random() % 64).map(|_| random() as u8));
        fs::write(&file, &altered).unwrap();
        assert!(!verified(dir.path()).is_sound(), "round {round}");
        salvaged(dir.path());
        // Either answer will do; opening may cut a torn tail.
        drop(open(dir.path()));
        fs::write(&file, &altered).unwrap();
        drop(crate::support::read_all(dir.path()));
    }
}

#[test]
fn lies_with_right_checksums_are_findings_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    written_small(dir.path());
    let disk = in_memory(dir.path());
    let files = segments(dir.path());
    let mut state = 7_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for round in 0..2_000 {
        let file = &files[random(files.len())];
        let whole = disk.bytes(file).unwrap();
        let mut altered = whole.clone();
        let starts: Vec<usize> =
            whole.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).collect();
        let (at, length, crc) = match random(4) {
            0 => (0, 84, 84),
            1 => (whole.len() - 24, 20, whole.len() - 4),
            _ => {
                let start = starts[random(starts.len())];
                (start, 68, start + 68)
            }
        };
        // An extreme or random number in one of the fields.
        let field = at + random(length);
        let value = [0, 1, 0x7f, 0x80, 0xff][random(5)];
        let width = [1, 4, 8][random(3)].min(crc - field);
        altered[field..field + width].fill(value);
        // The payload's own checksum too, if its length still fits.
        if &altered[at..at + 4] == b"TFRM" {
            let bytes = u32::from_le_bytes(altered[at + 8..at + 12].try_into().unwrap()) as usize;
            if let Some(payload) = altered.get(at + 72..at.saturating_add(72).saturating_add(bytes)) {
                let sum = crc32c::crc32c(payload);
                altered[at + 64..at + 68].copy_from_slice(&sum.to_le_bytes());
            }
        }
        let sum = crc32c::crc32c(&altered[at..crc]);
        altered[crc..crc + 4].copy_from_slice(&sum.to_le_bytes());
        if altered == whole {
            continue;
        }
        disk.put(file, altered);
        let shared: Arc<SimulatedDisk> = Arc::new(disk.clone());
        match verify_on(shared.clone(), dir.path(), |_| ()) {
            Ok(report) => assert!(!report.is_sound(), "round {round}: byte {field} of {}", file.display()),
            Err(error) => assert!(matches!(error, JournalError::NewerFormat { .. }), "round {round}: {error}"),
        }
        drop(FileReader::open_on(shared.clone(), dir.path()).map(|reader| wait(reader.read(Position::ZERO, 1_000))));
        Salvage::open_on(shared.clone(), dir.path()).unwrap().for_each(drop);
        if let Ok(journal) = FileJournal::open_on(shared, dir.path(), options()) {
            // A length that lies beyond the end looks like a cut; the anchor knows what is gone.
            assert!(journal.opening().missing_up_to.is_some(), "round {round}: byte {field}");
        }
        disk.put(file, whole);
    }
}

#[test]
fn an_empty_directory_is_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(verify(dir.path(), |_| ()), Err(JournalError::NoJournal { .. })));
    let missing = dir.path().join("missing");
    assert!(matches!(verify(&missing, |_| ()), Err(JournalError::NoJournal { .. })));
    let journal = open(dir.path()).unwrap();
    assert_eq!(verified(dir.path()).findings, vec![]);
    assert_eq!(wait(journal.reader().read(Position::ZERO, 1)).unwrap(), vec![]);
}

#[test]
fn a_footer_that_does_not_describe_its_segment_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    written_small(dir.path());
    let file = segments(dir.path()).swap_remove(0);
    let whole = fs::read(&file).unwrap();
    let footer = u64::from_le_bytes(whole[whole.len() - 24..][..8].try_into().unwrap()) as usize;
    // Alone, as after a crash before the next segment: nothing behind it names its hash.
    let alone = tempfile::tempdir().unwrap();
    fs::create_dir(alone.path().join("journal")).unwrap();
    let path = alone.path().join("journal").join(file.file_name().unwrap());
    fs::write(&path, &whole).unwrap();
    assert_eq!(faults(&verified(alone.path())), vec![]);
    for at in footer + 72..whole.len() - 24 {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        let payload = crc32c::crc32c(&altered[footer + 72..whole.len() - 24]);
        altered[footer + 64..footer + 68].copy_from_slice(&payload.to_le_bytes());
        let header = crc32c::crc32c(&altered[footer..footer + 68]);
        altered[footer + 68..footer + 72].copy_from_slice(&header.to_le_bytes());
        fs::write(&path, altered).unwrap();
        let report = verified(alone.path());
        assert_eq!(faults(&report).len(), 1, "byte {at}: {:#?}", report.findings);
        assert_eq!((report.findings[0].severity, report.findings[0].offset), (Severity::Damage, footer as u64));
    }
}

#[test]
fn salvage_takes_no_entry_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(2));
    close(journal);
    let file = segments(dir.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let second = whole.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).nth(1).unwrap();
    fs::write(&file, [&whole[..], &whole[88..second]].concat()).unwrap();
    let (kept, gaps) = salvaged(dir.path());
    assert_eq!(kept, entries);
    assert_eq!(gaps, vec![(whole.len() as u64, second as u64 - 88)]);
    assert!(!verified(dir.path()).is_sound());
}
