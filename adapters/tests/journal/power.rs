//! Whatever fails and whenever the power goes: what was acknowledged is there, in order, once.

use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{Durability, FileJournal, FileReader, JournalOptions, Severity, verify_on};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{AppendError, Draft, Journal, JournalError, JournalReader};

use crate::support::{Script, options, wait};

const DATA: &str = "/data";

/// Segments of a batch or two, where there is hardly room to be taken ahead.
const SMALL: u64 = 1 << 10;
/// One segment for all batches, with room for several ahead.
const ROOMY: u64 = 1 << 16;

fn open(disk: &SimulatedDisk, segment_bytes: u64) -> Result<FileJournal, JournalError> {
    let options = JournalOptions { segment_bytes, ..options() };
    FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), options)
}

fn read(disk: &SimulatedDisk) -> Vec<Entry> {
    let reader = FileReader::open_on(Arc::new(disk.clone()), Path::new(DATA)).unwrap();
    wait(reader.read(Position::ZERO, usize::MAX)).unwrap()
}

/// Opens and appends until something fails; what was acknowledged, and the failure.
fn run(disk: &SimulatedDisk, segment_bytes: u64, batches: &[Vec<Draft>]) -> (Vec<Entry>, Option<JournalError>) {
    let mut acknowledged = Vec::new();
    let mut journal = match open(disk, segment_bytes) {
        Ok(journal) => journal,
        Err(error) => return (acknowledged, Some(error)),
    };
    for batch in batches {
        match wait(journal.append(batch.clone())) {
            Ok(entries) => acknowledged.extend(entries),
            Err(AppendError::Journal(error)) => return (acknowledged, Some(error)),
            Err(error) => panic!("{error}"),
        }
    }
    (acknowledged, wait(Box::new(journal).close()).err())
}

/// The disk opens for writing, holds what was acknowledged and at most the batch behind it, and takes more.
fn check(disk: &SimulatedDisk, segment_bytes: u64, acknowledged: &[Entry], batches: &[Vec<Draft>], what: &str) {
    let mut journal = open(disk, segment_bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(journal.opening().missing_up_to, None, "{what}");
    let kept = wait(journal.reader().read(Position::ZERO, usize::MAX)).unwrap();
    assert!(kept.starts_with(acknowledged), "{what}: {} of {}", kept.len(), acknowledged.len());
    let drafts: Vec<&Draft> = batches.iter().flatten().collect();
    assert!(kept.iter().zip(&drafts).all(|(entry, draft)| entry.id == draft.id && entry.body == draft.body), "{what}");
    assert!(kept.len() <= acknowledged.len() + 3, "{what}");
    let rest: Vec<Draft> = drafts.into_iter().skip(kept.len()).cloned().collect();
    wait(journal.append(rest)).unwrap_or_else(|error| panic!("{what}: {error}"));
    wait(Box::new(journal).close()).unwrap();
    let report = verify_on(Arc::new(disk.clone()), Path::new(DATA), |_| ()).unwrap();
    assert_eq!(report.findings, vec![], "{what}");
    assert_eq!(read(disk).len(), batches.iter().map(Vec::len).sum::<usize>(), "{what}");
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_acknowledged() {
    let rounds: u64 = std::env::var("TACHO_POWER_SEEDS").map_or(6, |text| text.parse().unwrap());
    let batches = Script::default().batches(8);
    for (segment_bytes, syncs_min) in [(SMALL, 40), (ROOMY, 18)] {
        let quiet = SimulatedDisk::default();
        assert!(run(&quiet, segment_bytes, &batches).1.is_none());
        let syncs = quiet.syncs();
        assert!(syncs > syncs_min, "{syncs}");
        for (at, last_sync_holds) in (1..=syncs).flat_map(|at| [(at, false), (at, true)]) {
            let faults = Faults { power_off_at_sync: Some(at), last_sync_holds, ..Faults::default() };
            let disk = SimulatedDisk::with_faults(faults);
            let (acknowledged, error) = run(&disk, segment_bytes, &batches);
            assert!(error.is_some(), "sync {at}");
            for seed in 0..rounds {
                let what = format!("segments of {segment_bytes}, sync {at}, holds {last_sync_holds}, seed {seed}");
                check(&disk.after_power_cut(seed), segment_bytes, &acknowledged, &batches, &what);
            }
        }
    }
}

#[test]
fn a_second_power_cut_during_recovery_loses_nothing_either() {
    let batches = Script::default().batches(4);
    for (seed, (segment_bytes, first_sync)) in (0..40).zip([(SMALL, 12), (ROOMY, 6)].into_iter().cycle()) {
        let faults = Faults { power_off_at_sync: Some(first_sync + seed % 9), ..Faults::default() };
        let disk = SimulatedDisk::with_faults(faults);
        let (acknowledged, _) = run(&disk, segment_bytes, &batches);
        let again = disk.after_power_cut(seed);
        for at in 1..=3 {
            let again = again.after_kill();
            again.set_faults(Faults { power_off_at_sync: Some(at), ..Faults::default() });
            drop(open(&again, segment_bytes));
            let what = format!("segments of {segment_bytes}, seed {seed}, sync {at}");
            check(&again.after_power_cut(seed + 1), segment_bytes, &acknowledged, &batches, &what);
        }
    }
}

#[test]
fn a_full_disk_is_said_and_costs_nothing_acknowledged() {
    let batches = Script::default().batches(8);
    for segment_bytes in [SMALL, ROOMY] {
        let mut tried = 0;
        for space_bytes in (0..9_000).step_by(37) {
            let disk = SimulatedDisk::with_faults(Faults { space_bytes: Some(space_bytes), ..Faults::default() });
            let (acknowledged, error) = run(&disk, segment_bytes, &batches);
            let Some(error) = error else { continue };
            assert!(matches!(error, JournalError::Full { .. }), "{space_bytes}: {error}");
            tried += 1;
            for after in [disk.after_kill(), disk.after_power_cut(space_bytes)] {
                let what = format!("segments of {segment_bytes}, {space_bytes} bytes");
                check(&after, segment_bytes, &acknowledged, &batches, &what);
            }
        }
        assert!(tried > 50, "{tried}");
    }
}

#[test]
fn nothing_is_acknowledged_after_a_failure() {
    let batches = Script::default().batches(8);
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, SMALL).unwrap();
    wait(journal.append(batches[0].clone())).unwrap();
    disk.set_faults(Faults { fail_sync: Some(disk.syncs() + 1), ..Faults::default() });
    let first = wait(journal.append(batches[1].clone())).unwrap_err();
    assert!(matches!(first, AppendError::Journal(JournalError::Io { action: "sync", .. })), "{first}");
    let writes = disk.writes();
    for batch in &batches[1..3] {
        let later = wait(journal.append(batch.clone())).unwrap_err();
        assert!(matches!(later, AppendError::Journal(JournalError::Poisoned { .. })), "{later}");
    }
    assert_eq!(disk.writes(), writes);
    assert_eq!(journal.reader().head().position, Position(1));
    assert_eq!(wait(journal.reader().read(Position::ZERO, 10)).unwrap().len(), 1);
    assert!(matches!(wait(Box::new(journal).close()), Err(JournalError::Poisoned { .. })));
    check(&disk.after_power_cut(0), SMALL, &read(&disk)[..1], &batches, "failed sync");
    // A full disk keeps saying so.
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, SMALL).unwrap();
    disk.set_faults(Faults { space_bytes: Some(200), ..Faults::default() });
    for _ in 0..2 {
        let full = wait(journal.append(batches[0].clone())).unwrap_err();
        assert!(matches!(full, AppendError::Journal(JournalError::Full { .. })), "{full}");
    }
}

#[test]
fn one_append_is_one_write_and_one_sync() {
    let disk = SimulatedDisk::default();
    let data = Path::new(DATA);
    let mut journal = FileJournal::open_on(Arc::new(disk.clone()), data, options()).unwrap();
    for batch in Script::default().batches(4) {
        let (writes, syncs) = (disk.writes(), disk.syncs());
        wait(journal.append(batch)).unwrap();
        assert_eq!((disk.writes() - writes, disk.syncs() - syncs), (1, 1));
    }
}

#[test]
fn buffered_entries_survive_a_kill_and_are_synced_on_close() {
    let batches = Script::default().batches(4);
    let buffered = JournalOptions { durability: Durability::Buffered, ..options() };
    let disk = SimulatedDisk::default();
    let mut journal = FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), buffered).unwrap();
    let syncs = disk.syncs();
    let mut entries = Vec::new();
    for batch in &batches {
        entries.extend(wait(journal.append(batch.clone())).unwrap());
    }
    assert_eq!(disk.syncs(), syncs);
    assert_eq!(read(&disk.after_kill()), entries);
    assert_eq!(read(&disk.durable()), vec![]);
    wait(Box::new(journal).close()).unwrap();
    assert_eq!(read(&disk.durable()), entries);
}

#[test]
fn a_batch_greater_than_a_frame_becomes_several_with_one_sync() {
    let disk = SimulatedDisk::default();
    let mut journal = FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), options()).unwrap();
    let mut script = Script::default();
    let drafts: Vec<Draft> = (0..200).map(|number| script.large(number)).collect();
    let (writes, syncs) = (disk.writes(), disk.syncs());
    let entries = wait(journal.append(drafts)).unwrap();
    assert_eq!((disk.writes() - writes, disk.syncs() - syncs), (1, 1));
    let report = verify_on(Arc::new(disk.clone()), Path::new(DATA), |_| ()).unwrap();
    // It was never closed, so that there is no anchor.
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Note), "{:#?}", report.findings);
    assert_eq!(report.entries, 200);
    assert!(report.frames >= 2, "{}", report.frames);
    assert_eq!(read(&disk), entries);
    assert_eq!(wait(journal.reader().entry(Position(200))).unwrap().as_ref(), entries.last());
}

#[test]
fn what_a_killed_writer_left_unsynced_is_durable_before_it_is_built_upon() {
    let batches = Script::default().batches(4);
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, SMALL).unwrap();
    let kept = wait(journal.append(batches[0].clone())).unwrap();
    // Written, and killed before the sync.
    disk.set_faults(Faults { power_off_at_sync: Some(disk.syncs() + 1), ..Faults::default() });
    wait(journal.append(batches[1].clone())).unwrap_err();
    let next = disk.after_kill();
    assert_eq!(read(&next.durable()), kept);
    let reopened = open(&next, SMALL).unwrap();
    let seen = wait(reopened.reader().read(Position::ZERO, 100)).unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(read(&next.durable()), seen);
}

#[test]
fn what_is_acknowledged_after_a_kill_anywhere_survives_a_power_cut() {
    let kill = |at, last_sync_holds| Faults { power_off_at_sync: Some(at), last_sync_holds, ..Faults::default() };
    for (segment_bytes, tries_min) in [(SMALL, 40), (ROOMY, 18)] {
        assert!(reopened_at_every_sync(segment_bytes, |at| kill(at, false)) > tries_min);
        assert!(reopened_at_every_sync(segment_bytes, |at| kill(at, true)) > tries_min);
    }
}

#[test]
fn what_is_acknowledged_after_a_failed_sync_and_a_reopen_survives_a_power_cut() {
    let fail = |at| Faults { fail_sync: Some(at), ..Faults::default() };
    assert!(reopened_at_every_sync(SMALL, fail) > 40);
    assert!(reopened_at_every_sync(ROOMY, fail) > 18);
}

/// A process ends at a sync, the machine goes on, the next process opens the journal and is acknowledged one entry, and
/// then the power goes: all that it was shown is there. Tells how often.
fn reopened_at_every_sync(segment_bytes: u64, faults: impl Fn(u64) -> Faults) -> usize {
    let batches = Script::default().batches(8);
    let drafts: Vec<Draft> = batches.iter().flatten().cloned().collect();
    let quiet = SimulatedDisk::default();
    assert!(run(&quiet, segment_bytes, &batches).1.is_none());
    let mut tried = 0;
    for at in 1..=quiet.syncs() {
        let what = format!("{:?}", faults(at));
        let disk = SimulatedDisk::with_faults(faults(at));
        let (acknowledged, _) = run(&disk, segment_bytes, &batches);
        let next = disk.after_kill();
        let mut journal = open(&next, segment_bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut shown = wait(journal.reader().read(Position::ZERO, usize::MAX)).unwrap();
        assert!(shown.starts_with(&acknowledged), "{what}");
        let one = drafts.get(shown.len()).cloned();
        shown.extend(wait(journal.append(one.into_iter().collect())).unwrap());
        let after = open(&next.durable(), segment_bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(after.opening().missing_up_to, None, "{what}");
        assert_eq!(wait(after.reader().read(Position::ZERO, usize::MAX)).unwrap(), shown, "{what}");
        tried += 1;
    }
    tried
}

#[test]
fn a_batch_of_several_frames_that_reached_the_disk_in_pieces_is_torn_as_a_whole() {
    let disk = SimulatedDisk::default();
    let one_segment = JournalOptions { segment_bytes: 64 << 20, ..options() };
    let mut journal = FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), one_segment.clone()).unwrap();
    let mut script = Script::default();
    let kept = wait(journal.append(vec![script.large(1_000)])).unwrap();
    let drafts: Vec<Draft> = (0..200).map(|number| script.large(number)).collect();
    wait(journal.append(drafts)).unwrap();
    drop(journal);
    let path = Path::new(DATA).join("journal/00000000000000000001.seg");
    let whole = disk.bytes(&path).unwrap();
    // The second frame of the batch arrived whole, and the first did not: neither was acknowledged without the other.
    let first = 88 + 72 + u32::from_le_bytes(whole[96..100].try_into().unwrap()) as usize;
    for hole in [first + 5, first + 5_000] {
        let mut pieces = whole.clone();
        pieces[hole..hole + 4].fill(0xee);
        disk.put(&path, pieces);
        let journal = FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), one_segment.clone()).unwrap();
        let torn = journal.opening().torn.unwrap();
        assert_eq!((torn.offset, torn.bytes), (first as u64, (whole.len() - first) as u64));
        assert_eq!(wait(journal.reader().read(Position::ZERO, 1_000)).unwrap(), kept);
    }
}
