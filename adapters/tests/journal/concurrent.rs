//! Reading while another thread writes, and the thread that keeps the anchor.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, verify};
use tachograph_engine::domain::Position;
use tachograph_engine::ports::{Journal, JournalReader};

use crate::support::{Script, append_all, open, options, wait};

#[test]
fn a_reader_beside_a_writer_sees_a_growing_prefix_and_no_damage() {
    let runs: u64 = std::env::var("TACHO_READER_RUNS").map_or(200, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    let batches = Script::default().batches(runs);
    let total = batches.iter().map(Vec::len).sum::<usize>() as u64;
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in batches {
                let entries = append_all(&mut journal, vec![batch]);
                acknowledged.store(entries.last().unwrap().position.0, Ordering::SeqCst);
            }
        });
        let reader = FileReader::open(dir.path()).unwrap();
        let mut seen = 0;
        while seen < total {
            let promised = acknowledged.load(Ordering::SeqCst);
            let entries = wait(reader.read(Position(seen), 50)).unwrap();
            for entry in &entries {
                seen += 1;
                assert_eq!(entry.position.0, seen);
            }
            assert!(seen >= promised || !entries.is_empty(), "{promised} acknowledged, {seen} seen");
            // A reader that begins in the middle sees no less.
            let fresh = FileReader::open(dir.path()).unwrap();
            assert!(fresh.head().position.0 >= promised);
            assert!(verify(dir.path(), |_| ()).unwrap().is_sound());
        }
    });
}

#[test]
fn the_anchor_follows_while_entries_are_appended() {
    let dir = tempfile::tempdir().unwrap();
    let often = JournalOptions { anchor_interval: Some(Duration::from_millis(1)), ..options() };
    let mut journal = FileJournal::open(dir.path(), often).unwrap();
    let mut script = Script::default();
    for batches in [script.batches(2), vec![script.life(3)]] {
        append_all(&mut journal, batches);
        let head = journal.reader().head().position.0;
        assert!(anchored_within(dir.path(), head, 10_000), "the anchor does not reach {head}");
    }
}

/// Whether the anchor names the position before so many looks have passed.
fn anchored_within(data: &Path, position: u64, looks: u32) -> bool {
    let path = data.join("journal/anchor");
    (0..looks).any(|_| {
        let anchored = std::fs::read(&path).ok().map(|bytes| u64::from_le_bytes(bytes[32..40].try_into().unwrap()));
        std::thread::park_timeout(Duration::from_millis(1));
        anchored == Some(position)
    })
}

#[test]
fn an_anchor_is_on_close_whatever_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    append_all(&mut journal, Script::default().batches(2));
    assert!(!dir.path().join("journal/anchor").exists());
    wait(Box::new(journal).close()).unwrap();
    assert!(anchored_within(dir.path(), 8, 1));
}
