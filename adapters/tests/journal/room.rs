//! Room that a writer takes ahead of what it writes: nobody takes it for entries, and nobody loses any to it.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tachograph_adapters::journal::disk::{Disk, DiskFile, Locking, Mode, RealDisk};
use tachograph_adapters::journal::simulated::{Faults, SimulatedDisk};
use tachograph_adapters::journal::{Durability, FileJournal, FileReader, JournalOptions, Severity, verify_on};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{AppendError, Draft, Journal, JournalError, JournalReader};

use crate::support::{Script, append_all, close, content_end, options, wait};

const DATA: &str = "/data";
const SEGMENT_BYTES: u64 = 1 << 16;

fn roomy() -> JournalOptions {
    JournalOptions { segment_bytes: SEGMENT_BYTES, ..options() }
}

fn open(disk: &SimulatedDisk, options: JournalOptions) -> Result<FileJournal, JournalError> {
    FileJournal::open_on(Arc::new(disk.clone()), Path::new(DATA), options)
}

fn read(disk: &SimulatedDisk) -> Result<Vec<Entry>, JournalError> {
    let reader = FileReader::open_on(Arc::new(disk.clone()), Path::new(DATA))?;
    wait(reader.read(Position::ZERO, usize::MAX))
}

fn severities(disk: &SimulatedDisk) -> Vec<Severity> {
    let report = verify_on(Arc::new(disk.clone()), Path::new(DATA), |_| ()).unwrap();
    let severities = report.findings.iter().map(|finding| finding.severity);
    severities.filter(|severity| *severity != Severity::Note).collect()
}

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.files().into_keys().filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

fn length(disk: &SimulatedDisk) -> usize {
    disk.bytes(segments(disk).last().unwrap()).unwrap().len()
}

fn damaged<T: std::fmt::Debug>(result: Result<T, JournalError>) -> (PathBuf, u64) {
    match result {
        Err(JournalError::Damaged { file, offset, .. }) => (file, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_taken_once_for_many_appends_and_given_back_on_close() {
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, roomy()).unwrap();
    assert_eq!(length(&disk), 88, "none before there is something to be written");
    for batch in Script::default().batches(8) {
        wait(journal.append(batch)).unwrap();
        assert_eq!(length(&disk), SEGMENT_BYTES as usize);
    }
    let entries = wait(journal.reader().read(Position::ZERO, usize::MAX)).unwrap();
    for disk in [disk.after_kill(), disk.durable()] {
        assert_eq!((read(&disk).unwrap(), severities(&disk)), (entries.clone(), vec![]));
        let reopened = open(&disk, roomy()).unwrap();
        assert_eq!(reopened.opening().torn, None);
        assert_eq!(length(&disk), content_end(&disk.bytes(&segments(&disk)[0]).unwrap()), "what was left is cut off");
    }
    close(journal);
    let disk = disk.durable();
    assert_eq!(length(&disk), content_end(&disk.bytes(&segments(&disk)[0]).unwrap()));
    assert_eq!(read(&disk).unwrap(), entries);
}

#[test]
fn none_is_taken_where_an_append_is_not_synced() {
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, JournalOptions { durability: Durability::Buffered, ..roomy() }).unwrap();
    append_all(&mut journal, Script::default().batches(2));
    assert_eq!(length(&disk), content_end(&disk.bytes(&segments(&disk)[0]).unwrap()));
}

#[test]
fn where_none_can_be_had_entries_are_written_until_the_disk_is_full() {
    let disk = SimulatedDisk::with_faults(Faults { space_bytes: Some(8_000), ..Faults::default() });
    let mut journal = open(&disk, roomy()).unwrap();
    let batches: Vec<Vec<Draft>> = Script::default().batches(40);
    let mut acknowledged = 0;
    let full = batches.into_iter().find_map(|batch| {
        let count = batch.len();
        match wait(journal.append(batch)) {
            Ok(_) => acknowledged += count,
            Err(error) => return Some(error),
        }
        assert_eq!(length(&disk), content_end(&disk.bytes(&segments(&disk)[0]).unwrap()), "nothing is taken in part");
        None
    });
    assert!(matches!(full, Some(AppendError::Journal(JournalError::Full { .. }))), "{full:?}");
    assert!(acknowledged > 20, "{acknowledged}");
    assert_eq!(read(&disk.after_kill()).unwrap().len(), acknowledged);
}

#[test]
fn zeros_in_the_place_of_what_the_anchor_names_are_told_as_missing() {
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, roomy()).unwrap();
    append_all(&mut journal, Script::default().batches(2));
    let head = journal.reader().head();
    close(journal);
    let path = segments(&disk).remove(0);
    let whole = disk.bytes(&path).unwrap();
    let frames: Vec<_> = whole.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).collect();
    for (at, kept) in [(frames[3], 6), (frames[1], 1)] {
        let mut zeroed = whole.clone();
        zeroed[at..].fill(0);
        disk.put(&path, zeroed);
        assert_eq!(severities(&disk), [Severity::Missing]);
        let disk = disk.after_kill();
        let journal = open(&disk, roomy()).unwrap();
        assert_eq!(journal.opening().missing_up_to, Some((head.position, head.digest)));
        assert_eq!(read(&disk).unwrap().len(), kept);
    }
}

#[test]
fn zeros_before_a_later_segment_are_damage() {
    let disk = SimulatedDisk::default();
    let mut journal = open(&disk, JournalOptions { segment_bytes: 1 << 10, ..options() }).unwrap();
    append_all(&mut journal, Script::default().batches(4));
    drop(journal);
    let path = segments(&disk).remove(1);
    let mut zeroed = disk.bytes(&path).unwrap();
    zeroed[88..].fill(0);
    disk.put(&path, zeroed);
    assert_eq!(damaged(open(&disk, options())), (path.clone(), 88));
    assert_eq!(damaged(read(&disk)).0, path);
    assert!(severities(&disk).contains(&Severity::Damage));
}

/// A segment is shortened and then sealed, and a power cut may undo the first without the second.
#[test]
fn room_behind_a_seal_is_cut_off_and_the_next_segment_begins() {
    let disk = SimulatedDisk::default();
    let small = JournalOptions { segment_bytes: 1 << 10, ..options() };
    let mut journal = open(&disk, small.clone()).unwrap();
    let mut script = Script::default();
    append_all(&mut journal, script.batches(2));
    drop(journal);
    let first = segments(&disk).remove(0);
    let sealed = disk.bytes(&first).unwrap();
    let disk = SimulatedDisk::default();
    disk.put(&first, [&sealed[..], &[0; 3_000]].concat());
    let kept = read(&disk).unwrap();
    assert_eq!(severities(&disk), []);
    let mut journal = open(&disk, small.clone()).unwrap();
    assert_eq!(journal.opening().torn, None);
    assert_eq!(disk.bytes(&first).unwrap(), sealed);
    append_all(&mut journal, vec![script.life(9)]);
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(read(&disk).unwrap().len(), kept.len() + 4);
    // Anything else behind it is damage, and so is room before a later segment.
    drop(journal);
    for (behind, has_later) in [(&[0, 0, 1][..], false), (&[0; 100], true)] {
        let other = if has_later { disk.clone() } else { SimulatedDisk::default() };
        other.put(&first, [&sealed[..], behind].concat());
        assert_eq!(damaged(open(&other, small.clone())).0, first);
    }
}

/// Footer and trailer are written in place where the shortening before them was undone: what of them is not there is zeros.
#[test]
fn a_seal_that_did_not_complete_in_room_is_a_torn_tail() {
    let disk = SimulatedDisk::default();
    let small = JournalOptions { segment_bytes: 1 << 10, ..options() };
    let mut journal = open(&disk, small.clone()).unwrap();
    append_all(&mut journal, Script::default().batches(2));
    drop(journal);
    let first = segments(&disk).remove(0);
    let sealed = disk.bytes(&first).unwrap();
    let footer = sealed.windows(4).rposition(|four| four == b"TFRM").unwrap();
    for arrived in [footer + 80, sealed.len() - 24, sealed.len() - 10] {
        let disk = SimulatedDisk::default();
        disk.put(&first, [&sealed[..arrived], &[0; 3_000]].concat());
        assert_eq!(severities(&disk), [Severity::Torn], "{arrived} bytes");
        let kept = read(&disk).unwrap();
        let journal = open(&disk, small.clone()).unwrap();
        assert_eq!(journal.opening().torn.unwrap().offset, footer as u64, "{arrived} bytes");
        assert_eq!(wait(journal.reader().read(Position::ZERO, usize::MAX)).unwrap(), kept);
    }
}

/// A live writer writes into room, so that a reader may meet a frame that is just being written, and then others that show
/// that it was durable.
#[test]
fn a_frame_that_was_on_its_way_when_it_was_read_is_no_damage() {
    let inner = SimulatedDisk::default();
    let mut journal = open(&inner, roomy()).unwrap();
    append_all(&mut journal, Script::default().batches(8));
    drop(journal);
    let whole = inner.bytes(&segments(&inner)[0]).unwrap();
    let frames: Vec<_> = whole.windows(4).enumerate().filter(|(_, four)| four == b"TFRM").map(|(at, _)| at).collect();
    let end = content_end(&whole);
    let looked_at = |looks: u32, hidden: Range<usize>| {
        let disk = Meddled { hidden, looks: Arc::new(AtomicU32::new(looks)), ..Meddled::with(&inner, |_| Ok(())) };
        let report = verify_on(Arc::new(disk), Path::new(DATA), |_| ()).unwrap();
        report.findings.iter().map(|finding| finding.severity).find(|severity| *severity != Severity::Note)
    };
    for hidden in [frames[3]..frames[3] + 72, frames[3] + 72..frames[4], frames[3]..frames[4]] {
        for looks in 0..=2 {
            assert_eq!(looked_at(looks, hidden.clone()), None, "{hidden:?}, {looks} looks");
        }
        assert_eq!(looked_at(u32::MAX, hidden), Some(Severity::Damage), "it never comes");
    }
    // Nor is the last one a torn tail for having come a moment after the rest of what was fetched with it.
    let last = frames[frames.len() - 1];
    for hidden in [last..last + 72, last + 72..end] {
        assert_eq!(looked_at(1, hidden.clone()), None, "{hidden:?}");
        assert_eq!(looked_at(u32::MAX, hidden), Some(Severity::Torn), "it never comes");
    }
}

/// What a live writer adds meanwhile is not looked at, also where it lies across the end that the file had.
#[test]
fn what_is_written_across_the_end_of_room_while_it_is_verified_is_no_torn_tail() {
    for segment_bytes in [SEGMENT_BYTES, 4 << 20] {
        let inner = SimulatedDisk::default();
        let journal = Arc::new(Mutex::new(open(&inner, JournalOptions { segment_bytes, ..options() }).unwrap()));
        let mut script = Script::default();
        let before = append_all(&mut journal.lock().unwrap(), script.batches(2)).len() as u64;
        let end = length(&inner);
        let (writer, drafts) = (journal.clone(), Mutex::new(Vec::new()));
        // Far beyond the room that was taken: the first of both segments is sealed meanwhile.
        drafts.lock().unwrap().extend((100..112).map(|number| script.large(number)));
        let disk = Meddled::with(&inner, move |moment| {
            if moment == Moment::LengthRead {
                for draft in drafts.lock().unwrap().drain(..) {
                    append_all(&mut writer.lock().unwrap(), vec![vec![draft]]);
                }
            }
            Ok(())
        });
        let report = verify_on(Arc::new(disk), Path::new(DATA), |_| ()).unwrap();
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
        assert!(found.is_empty(), "segments of {segment_bytes}, end at {end}: {found:?}");
        assert!(report.entries >= before);
        let all: usize = segments(&inner).iter().map(|path| inner.bytes(path).unwrap().len()).sum();
        assert!(all > end + (1 << 20), "nothing was written beyond it");
    }
}

/// Room that is neither taken as a whole nor given back: it must not come between a seal and the next segment.
#[test]
fn room_that_stays_is_not_sealed_over() {
    let inner = SimulatedDisk::with_faults(Faults { space_bytes: Some(8_000), ..Faults::default() });
    let small = JournalOptions { segment_bytes: 1 << 14, ..options() };
    let disk = Meddled::with(&inner, |moment| match moment {
        Moment::Truncating => Err(io::Error::other("it stays")),
        Moment::LengthRead => Ok(()),
    });
    let mut journal = FileJournal::open_on(Arc::new(disk), Path::new(DATA), small.clone()).unwrap();
    let mut script = Script::default();
    let mut acknowledged = append_all(&mut journal, script.batches(4));
    assert!(content_end(&inner.bytes(&segments(&inner)[0]).unwrap()) < length(&inner), "no room stays");
    inner.set_faults(Faults::default());
    // The next batch needs another segment.
    let error = wait(journal.append(vec![script.large(50)])).unwrap_err();
    assert!(error.to_string().contains("shorten"), "{error}");
    drop(journal);
    let mut journal = open(&inner, small).unwrap();
    assert_eq!(wait(journal.reader().read(Position::ZERO, usize::MAX)).unwrap(), acknowledged);
    acknowledged.extend(append_all(&mut journal, vec![vec![script.large(51)]]));
    close(journal);
    assert_eq!((read(&inner).unwrap(), severities(&inner)), (acknowledged, vec![]));
}

#[test]
fn room_that_cannot_be_given_back_is_no_reason_not_to_close() {
    let inner = SimulatedDisk::default();
    let disk = Meddled::with(&inner, |moment| match moment {
        Moment::Truncating => Err(io::Error::other("it stays")),
        Moment::LengthRead => Ok(()),
    });
    let mut journal = FileJournal::open_on(Arc::new(disk), Path::new(DATA), roomy()).unwrap();
    let entries = append_all(&mut journal, Script::default().batches(4));
    let head = journal.reader().head();
    close(journal);
    assert_eq!(length(&inner), SEGMENT_BYTES as usize);
    // The anchor was written all the same.
    let path = segments(&inner).remove(0);
    let whole = inner.bytes(&path).unwrap();
    let cut = inner.after_kill();
    cut.put(&path, whole[..content_end(&whole) - 10].to_vec());
    assert_eq!(open(&cut, roomy()).unwrap().opening().missing_up_to, Some((head.position, head.digest)));
    assert_eq!((read(&inner).unwrap(), severities(&inner)), (entries, vec![]));
}

/// What is about to happen, or has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    LengthRead,
    Truncating,
}

type Meddle = dyn Fn(Moment) -> io::Result<()> + Send + Sync;

/// A disk on which something happens at certain moments. Shows zeros in the place of a part of a file, for so many looks at it.
#[derive(Clone)]
struct Meddled {
    inner: SimulatedDisk,
    meddle: Arc<Meddle>,
    hidden: Range<usize>,
    looks: Arc<AtomicU32>,
}

impl Meddled {
    fn with(inner: &SimulatedDisk, meddle: impl Fn(Moment) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { inner: inner.clone(), meddle: Arc::new(meddle), hidden: 0..0, looks: Arc::default() }
    }
}

impl std::fmt::Debug for Meddled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meddled").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct MeddledFile(Arc<dyn DiskFile>, Meddled);

impl Disk for Meddled {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(MeddledFile(self.inner.open(path, mode)?, self.clone())))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.inner.lock(path, holder)
    }
}

impl DiskFile for MeddledFile {
    fn length(&self) -> io::Result<u64> {
        let length = self.0.length()?;
        (self.1.meddle)(Moment::LengthRead)?;
        Ok(length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        let (from, hidden) = (offset as usize, &self.1.hidden);
        let shown = hidden.start.max(from)..hidden.end.min(from + read);
        if !shown.is_empty() && self.1.looks.load(Ordering::SeqCst) > 0 {
            self.1.looks.fetch_sub(1, Ordering::SeqCst);
            buffer[shown.start - from..shown.end - from].fill(0);
        }
        Ok(read)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn take_room(&self, length: u64) -> io::Result<()> {
        self.0.take_room(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        (self.1.meddle)(Moment::Truncating)?;
        self.0.truncate(length)
    }
}

/// Where the child of the next test has its data.
const DATA_OF_CHILD: &str = "TACHO_TEST_SHORT_FILES";

#[test]
#[ignore = "is the child of the test after it"]
fn as_one_whose_files_must_stay_short() {
    let data = PathBuf::from(std::env::var_os(DATA_OF_CHILD).unwrap());
    let mut journal = FileJournal::open_on(Arc::new(RealDisk), &data, roomy()).unwrap();
    append_all(&mut journal, Script::default().batches(2));
    close(journal);
}

/// Taking room beyond that limit would end the process by a signal, even where nothing is written there.
#[test]
fn none_is_taken_beyond_the_longest_file_that_may_be() {
    let data = tempfile::tempdir().unwrap();
    let mut shell = std::process::Command::new("sh");
    // In blocks of 512 bytes: longer than what is written, and shorter than the room for it.
    shell.args(["-c", "ulimit -f 32; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    shell.args(["--exact", "room::as_one_whose_files_must_stay_short", "--ignored"]);
    let output = shell.env(DATA_OF_CHILD, data.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
    assert!(!crate::support::read_all(data.path()).unwrap().is_empty());
}
