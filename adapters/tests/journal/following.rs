//! Following sees every entry once, whenever it looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::journal::{FileJournal, FileReader, Follow};
use tachograph_engine::domain::{Position, Timestamp};
use tachograph_engine::ports::{Clock, Draft, Journal};

use crate::support::{Script, open, wait};

/// A clock whose sleeper appends a batch instead of sleeping.
struct WriterAtSleep {
    journal: std::sync::Mutex<FileJournal>,
    batches: std::sync::Mutex<std::vec::IntoIter<Vec<Draft>>>,
    sleeps: AtomicU64,
}

#[async_trait]
impl Clock for WriterAtSleep {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, duration: Duration) {
        assert_eq!(duration, Duration::from_millis(200));
        // Every other sleep ends with nothing new.
        if self.sleeps.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            let batch = self.batches.lock().unwrap().next().unwrap();
            wait_elsewhere(|| wait(self.journal.lock().unwrap().append(batch))).unwrap();
        }
    }
}

/// A runtime may not be entered within another one.
fn wait_elsewhere<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn every_entry_is_seen_once_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let batches = Script::default().batches(40);
    let expected = batches.iter().map(Vec::len).sum::<usize>();
    let clock = Arc::new(WriterAtSleep {
        journal: std::sync::Mutex::new(open(dir.path()).unwrap()),
        batches: std::sync::Mutex::new(batches.into_iter()),
        sleeps: AtomicU64::new(0),
    });
    let reader = Arc::new(FileReader::open(dir.path()).unwrap());
    let mut follow = Follow::new(reader, clock.clone(), Position::ZERO, Duration::from_millis(200));
    let mut seen = Vec::new();
    while seen.len() < expected {
        seen.extend(wait(follow.next()).unwrap().into_iter().map(|entry| entry.position.0));
    }
    assert_eq!(seen, (1..=expected as u64).collect::<Vec<_>>());
    assert_eq!(follow.after(), Position(expected as u64));
    assert!(clock.sleeps.load(Ordering::Relaxed) > 100);
}
