//! A long journal of files: nothing that is typed makes it read all of it twice. `TACHO_EXPLORE_ENTRIES` is its length,
//! 20,000 by default; `TACHO_EXPLORE_DATA` a directory to make it in and to keep it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{Draft, Journal};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::explore::halt::{Progress, unwatched};
use tachograph_replay::explore::machine::{Bounds, Direction, Machine};
use tachograph_replay::explore::wanted::Kind;

use crate::kept::run;
use crate::many::{Dice, Many};

fn make(data: &Path, count: usize) {
    if data.join("journal").is_dir() {
        return;
    }
    let mut journal = FileJournal::open(data, JournalOptions::default()).unwrap();
    let mut many = Many::of(42, 4 + count as u64 / 5);
    let draft = |entry: &Entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
    for start in (0..count).step_by(500) {
        let batch = many.entries((count - start).min(500));
        run(journal.append(batch.iter().map(draft).collect())).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
}

/// Entries that a move may read at most, told by its progress, and how long it took.
async fn seek(machine: &mut Machine, to: u64, read_max: u64) {
    let (began, mut read) = (Instant::now(), 0);
    let mut watch = |progress: Progress| {
        read = read.max(progress.done);
        ControlFlow::Continue(())
    };
    let from = machine.position();
    machine.seek(Position(to), &mut watch).await.unwrap();
    println!("from {from} to {to}: {read} entries, {:?}", began.elapsed());
    assert!(read <= read_max, "from {from} to {to} {read} entries were read, and {read_max} should do");
}

#[test]
fn once_passed_every_place_is_near() {
    let count: usize = std::env::var("TACHO_EXPLORE_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let kept = std::env::var_os("TACHO_EXPLORE_DATA").map(PathBuf::from);
    let scratch = tempfile::tempdir().unwrap();
    let data = kept.as_deref().unwrap_or(scratch.path());
    make(data, count);
    let end = count as u64;
    // As the usual bounds are to a million entries, so are these to this journal.
    let spacing = (end / 122).max(1);
    let bounds = Bounds { undo_max: count / 61, mark_spacing: spacing, look_every: 1, ..Bounds::default() };
    let mut machine = Machine::with(Dataset::open(data).unwrap(), bounds);
    run(async {
        seek(&mut machine, end, end).await;
        // A fold was kept at every fourth to eighth part of the way.
        let near = end / 3;
        let mut dice = Dice::of(9);
        for _ in 0..20 {
            seek(&mut machine, dice.roll(end), near).await;
        }
        seek(&mut machine, end, near).await;
        let began = Instant::now();
        let mut refolds = 0;
        for _ in 0..1_000 {
            let mut watch = |progress: Progress| {
                refolds += u64::from(progress.done == 1);
                assert!(progress.of <= near, "a step back reads {} entries", progress.of);
                ControlFlow::Continue(())
            };
            assert!(machine.step_back(&mut watch).await.unwrap());
        }
        // One fold leads to as many steps back as there were entries in it.
        assert!(refolds <= 1_000 / spacing + 2, "{refolds} of 1000 steps back folded anew");
        println!("1000 steps back: {:?}", began.elapsed());
        let began = Instant::now();
        let found = machine.find(Direction::Backward, |entry| Kind::Recovered.fits(entry), &mut unwatched).await;
        assert_eq!(found.unwrap(), None);
        println!("looked through {}: {:?}", machine.position(), began.elapsed());
    });
}
