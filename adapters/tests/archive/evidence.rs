//! Bytes: what is in the bundle and what is left, and every byte of the stub.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::bundle::{self, BundleReader, Selection};
use tachograph_adapters::journal::simulated::SimulatedDisk;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, verify, verify_on};
use tachograph_engine::codec;
use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{Action, Entry, Position, RunSpec};
use tachograph_engine::ports::JournalReader;

use crate::support::{Writer, archive_before, commands, entries, numbered, submit, wait, write};

const STUB: &str = "journal/00000000000000000001.seg";

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    entries.iter().for_each(|entry| codec::encode_entry(entry, &mut bytes));
    bytes
}

fn bundled(path: &Path) -> Vec<Entry> {
    wait(BundleReader::open(path).unwrap().read(Position::ZERO, usize::MAX)).unwrap()
}

#[test]
fn bundles_and_rest_are_the_original_entries_byte_by_byte() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 40);
    let original = entries(&data, Position::ZERO);
    let head = FileReader::open(&data).unwrap().head();
    let first = archive_before(&data, 150).unwrap();
    let second = archive_before(&data, 1 << 20).unwrap();
    assert!(first.plan.segments > 2 && second.plan.segments > 2, "{first:?} {second:?}");
    let (first, second) = (first.bundle.unwrap(), second.bundle.unwrap());
    let report = bundle::verify(&first.0, |_| ()).unwrap();
    assert_eq!((report.findings.len(), report.proof()), (0, Some(bundle::Proof::Journal)));
    let report = bundle::verify(&second.0, |_| ()).unwrap();
    assert_eq!((report.findings.len(), report.proof()), (0, Some(bundle::Proof::JournalRange)));
    let reader = FileReader::open(&data).unwrap();
    let known: Vec<_> = reader.archived_in().into_iter().map(|archived| (archived.root, archived.last)).collect();
    let tip = |path: &Path| BundleReader::open(path).unwrap().manifest().tip.position;
    assert_eq!(known, [(first.1, tip(&first.0)), (second.1, tip(&second.0))]);
    let rest = entries(&data, reader.archived());
    let all: Vec<Entry> = [bundled(&first.0), bundled(&second.0), rest].concat();
    assert!(bytes(&all) == bytes(&original), "{} of {} entries", all.len(), original.len());
    assert_eq!(reader.head(), head, "the digest is what it was");
    let copy = dir.path().join("copy");
    let imported = bundle::import(&first.0, &copy, None, |_| ()).unwrap();
    assert_eq!(imported.head.position, tip(&first.0));
}

#[test]
fn what_was_archived_is_no_source_for_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 20);
    let done = archive_before(&data, 1 << 20).unwrap();
    let export = |selection| {
        let request = bundle::Request {
            selection,
            compression: bundle::Compression::None,
            seal: None,
            redact: Vec::new(),
            salts: None,
            guessable_ids: false,
            replaces: true,
            exported_at: Default::default(),
            producer: "test".to_owned(),
        };
        bundle::export(&data, &dir.path().join("out.tacho"), &request, |_| ())
    };
    let run = tachograph_engine::domain::testing::ids::run(1);
    for selection in [
        Selection::WHOLE,
        Selection::Positions { first: done.plan.last, last: Position(u64::MAX) },
        Selection::Run(run),
    ] {
        assert_eq!(export(selection).unwrap_err().code(), "archived", "{selection:?}");
    }
    let rest = export(Selection::Positions { first: done.plan.last.next(), last: Position(u64::MAX) }).unwrap();
    assert_eq!(rest.manifest.first, done.plan.last.next());
    assert_eq!(bundle::verify(&dir.path().join("out.tacho"), |_| ()).unwrap().findings, vec![]);
}

#[test]
fn values_are_not_left_out_of_what_stays_of_an_import_whose_beginning_was_archived() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let imported = |number: u64| {
        let labels = [("import.source".to_owned(), "events.jsonl".to_owned())].into();
        let create = Action::Create { spec: Arc::new(RunSpec { labels, ..spec("imported") }) };
        let gone = Action::Destroy { force: true, why: "gone".to_owned() };
        [create, gone].map(|action| (ids::run(number), action))
    };
    wait(async {
        let writer = Writer::open_at(&data, 0, "import of events.jsonl").await;
        for (number, (run, action)) in (1..30).flat_map(imported).enumerate() {
            writer.submit(&numbered(number as u64 + 1, run, action)).await;
        }
        writer.close().await;
    });
    let later: Vec<_> = commands(45).into_iter().filter(|command| command.run > ids::run(30)).collect();
    submit(&data, 5_000, &later);
    let export = |first| {
        let request = bundle::Request {
            selection: Selection::Positions { first, last: Position(u64::MAX) },
            compression: bundle::Compression::None,
            seal: None,
            redact: vec!["name".parse().unwrap()],
            salts: None,
            guessable_ids: false,
            replaces: true,
            exported_at: Default::default(),
            producer: "test".to_owned(),
        };
        bundle::export(&data, &dir.path().join("out.tacho"), &request, |_| ()).map(|_| ())
    };
    let head = FileReader::open(&data).unwrap().head().position;
    assert_eq!(export(head).unwrap_err().code(), "guessable_ids");
    let done = archive_before(&data, 1 << 20).unwrap();
    assert_eq!(export(done.plan.last.next()).unwrap_err().code(), "guessable_ids");
}

/// The journal of a data directory on a disk in memory: thousands of tries cost no write.
fn in_memory(data: &Path) -> Arc<SimulatedDisk> {
    let disk = SimulatedDisk::default();
    for item in fs::read_dir(data.join("journal")).unwrap() {
        let path = item.unwrap().path();
        disk.put(&path, fs::read(&path).unwrap());
    }
    Arc::new(disk)
}

#[test]
fn every_altered_byte_of_the_stub_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 6);
    archive_before(&data, 1 << 20).unwrap();
    let (disk, stub) = (in_memory(&data), data.join(STUB));
    assert!(verify_on(disk.clone(), &data, |_| ()).unwrap().is_sound());
    let sound = disk.bytes(&stub).unwrap();
    for at in 0..sound.len() {
        let mut altered = sound.clone();
        altered[at] ^= 0x20;
        disk.put(&stub, altered);
        // A stub that is not one any more is a segment that is not one either: then what it should hold cannot be read.
        let opened = FileReader::open_on(disk.clone(), &data);
        let refused = opened.and_then(|reader| wait(reader.read(Position::ZERO, 1)).map(|_| ()));
        assert_eq!(refused.unwrap_err().code(), "damaged", "byte {at} of {}", sound.len());
        // Checking and writing take the same way to the stub, and read the rest as well.
        if at < 100 || at % 61 == 0 {
            assert!(!verify_on(disk.clone(), &data, |_| ()).unwrap().is_sound(), "byte {at}");
            let opened = FileJournal::open_on(disk.clone(), &data, JournalOptions::default());
            assert_eq!(opened.unwrap_err().code(), "damaged", "byte {at}");
        }
    }
    for length in [0, 50, 88, 200, sound.len() - 1] {
        disk.put(&stub, sound[..length].to_vec());
        assert!(!verify_on(disk.clone(), &data, |_| ()).unwrap().is_sound(), "{length} bytes");
    }
}

#[test]
fn a_stub_of_another_journal_or_another_end_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    write(&data, 20);
    write(&other, 20);
    archive_before(&data, 60).unwrap();
    archive_before(&other, 1 << 20).unwrap();
    fs::copy(data.join(STUB), other.join(STUB)).unwrap();
    assert!(!verify(&other, |_| ()).unwrap().is_sound(), "segments between are missing");
    assert_eq!(FileReader::open(&other).unwrap_err().code(), "damaged");
    assert_eq!(FileJournal::open(&other, JournalOptions::default()).unwrap_err().code(), "damaged");
}

#[test]
fn a_reader_that_knows_no_stubs_refuses_by_the_version_in_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 12);
    archive_before(&data, 1 << 20).unwrap();
    let stub = fs::read(data.join(STUB)).unwrap();
    assert_eq!(&stub[..8], b"TACHOSEG");
    assert_eq!(stub[8..12], 2_u32.to_le_bytes());
    assert_eq!(stub[84..88], crc32c::crc32c(&stub[..84]).to_le_bytes(), "so that it counts as newer, not as damaged");
}
