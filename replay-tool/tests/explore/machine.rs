//! At every position reached on any way, the state is that of a fold from the first entry. `TACHO_EXPLORE_WALKS` is the
//! number of random walks.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::domain::{Entry, Position, RunRecord, StatusName};
use tachograph_engine::ports::{Draft, Journal};
use tachograph_projections::{CurrentState, Projection, Until};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::explore::halt::{Halt, Progress, unwatched};
use tachograph_replay::explore::machine::{Bounds, Direction, Machine};
use tachograph_replay::explore::wanted::Kind;
use tachograph_replay::replay;

use crate::kept::run;
use crate::many::{Dice, Growing, Many};

/// So small that a short journal meets every one of them.
fn tight(seed: u64) -> Bounds {
    let undo_max = [0, 1, 7, 64][(seed % 4) as usize];
    Bounds { undo_max, marks_max: 1 + (seed % 3) as usize, mark_spacing: 8, checkpoint_worth: 0, look_every: 1 }
}

/// Folds from the first entry: the state after each entry.
fn folds(entries: &[Entry]) -> Vec<CurrentState> {
    let mut folds = vec![CurrentState::empty()];
    for entry in entries {
        let mut next = folds.last().unwrap().clone();
        next.apply(entry);
        folds.push(next);
    }
    folds
}

/// The machine against the fold that its position stands for.
async fn check(machine: &mut Machine, entries: &[Entry], folds: &[CurrentState], way: &str) {
    let at = machine.position();
    let index = entries.partition_point(|entry| entry.position <= at);
    let (fold, entry) = (&folds[index], index.checked_sub(1).map(|last| &entries[last]));
    assert_eq!(fold.position(), at, "{way}");
    let mut records: Vec<&RunRecord> = machine.runs().map(Arc::as_ref).collect();
    assert!(records.windows(2).all(|pair| pair[0].created < pair[1].created), "{way}");
    records.sort_by_key(|record| record.run.id);
    assert!(records.into_iter().eq(fold.records()), "{way}: other runs at {at}");
    for status in StatusName::ALL {
        let counted = fold.records().filter(|record| record.run.status.name() == status).count();
        assert_eq!(machine.count(status), counted, "{way}: {status} at {at}");
    }
    assert_eq!(machine.entry().map(Arc::as_ref), entry, "{way}");
    let about = entry.and_then(Entry::run);
    for record in fold.records().take(3) {
        assert_eq!(machine.run(record.run.id).map(Arc::as_ref), Some(record), "{way}");
    }
    if let Some(run) = about {
        let before = machine.before().await.unwrap();
        assert_eq!(before.as_deref(), folds[index - 1].run(run), "{way}: before {at}");
    }
}

/// One move of a random walk; returns what it was. Where the journal has holes, a position stands for the entry before.
async fn moved(machine: &mut Machine, dice: &mut Dice, entries: &[Entry]) -> String {
    let at = machine.position();
    let head = entries.last().map_or(0, |last| last.position.0);
    let before = entries.iter().rev().find(|entry| entry.position < at).map_or(Position::ZERO, |entry| entry.position);
    let after = entries.iter().find(|entry| entry.position > at).map(|entry| entry.position);
    let refusal = |entry: &&Entry| Kind::Refused.fits(entry);
    match dice.roll(7) {
        0 => {
            let to = Position(dice.roll(head + 10));
            machine.seek(to, &mut unwatched).await.unwrap();
            let expected = entries.iter().rev().find(|entry| entry.position <= to).map_or(0, |entry| entry.position.0);
            assert_eq!(machine.position().0, expected);
            format!("from {at} to {to}")
        }
        1 => {
            assert_eq!(machine.step().await.unwrap(), after.is_some());
            assert_eq!(machine.position(), after.unwrap_or(at));
            format!("a step from {at}")
        }
        2 | 3 => {
            let moved = machine.step_back(&mut unwatched).await.unwrap();
            assert_eq!((moved, machine.position()), (at > Position::ZERO, before));
            format!("a step back from {at}")
        }
        4 => {
            let found = machine.find(Direction::Forward, |entry| refusal(&entry), &mut unwatched).await.unwrap();
            let expected = entries.iter().filter(|entry| entry.position > at).find(refusal);
            assert_eq!(found, expected.map(|entry| entry.position), "the refusal after {at}");
            machine.seek(found.unwrap_or(at), &mut unwatched).await.unwrap();
            format!("to the refusal after {at}")
        }
        5 => {
            let found = machine.find(Direction::Backward, |entry| refusal(&entry), &mut unwatched).await.unwrap();
            let expected = entries.iter().rev().filter(|entry| entry.position < at).find(refusal);
            assert_eq!(found, expected.map(|entry| entry.position), "the refusal before {at}");
            machine.seek(found.unwrap_or(at), &mut unwatched).await.unwrap();
            format!("to the refusal before {at}")
        }
        _ => {
            let mut looks = dice.roll(20);
            let mut watch = |_: Progress| {
                looks = looks.saturating_sub(1);
                if looks == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let to = Position(dice.roll(head + 1));
            match machine.seek(to, &mut watch).await {
                Ok(()) | Err(Halt::Canceled) => format!("from {at} towards {to}, perhaps canceled"),
                Err(halt) => panic!("{halt}"),
            }
        }
    }
}

fn walk(seed: u64) {
    let mut dice = Dice::of(seed ^ 0xABCD);
    let mut many = Many::of(seed, 4 + seed % 20);
    let journal = Growing::default();
    let mut entries = many.entries(120 + (seed % 300) as usize);
    if seed.is_multiple_of(3) {
        // As where a damaged stretch is left out.
        let hole = 10 + dice.roll(60);
        entries.retain(|entry| !(hole..hole + 20).contains(&entry.position.0));
    }
    journal.grow(entries);
    let (mut entries, mut machine) = (journal.all(), Machine::with(journal.dataset(), tight(seed)));
    let mut folded = folds(&entries);
    run(async {
        for number in 0..150 {
            if number == 75 && !seed.is_multiple_of(3) {
                journal.grow(many.entries(40));
                (entries, folded) = (journal.all(), folds(&journal.all()));
            }
            let way = format!("seed {seed}, move {number}: {}", moved(&mut machine, &mut dice, &entries).await);
            // A seek that was canceled on a short way ends between; whatever it is at must be true.
            check(&mut machine, &entries, &folded, &way).await;
        }
    });
}

#[test]
fn any_walk_leads_to_the_state_of_a_fold_from_the_start() {
    let walks = std::env::var("TACHO_EXPLORE_WALKS").ok().and_then(|text| text.parse().ok()).unwrap_or(24);
    (0..walks).for_each(walk);
}

#[test]
fn entries_around_the_cursor_are_those_that_are_there() {
    let journal = Growing::default();
    let mut entries = Many::of(5, 9).entries(700);
    entries.retain(|entry| !(200..260).contains(&entry.position.0));
    journal.grow(entries.clone());
    let mut machine = Machine::new(journal.dataset());
    run(async {
        for at in (0..=720).step_by(7).map(Position) {
            for (before, after) in [(0, 0), (1, 0), (0, 1), (5, 9), (300, 2), (2, 300)] {
                let found = machine.around(at, before, after).await.unwrap();
                let index = entries.partition_point(|entry| entry.position <= at);
                let expected = &entries[index.saturating_sub(before)..(index + after).min(entries.len())];
                assert!(found.iter().map(Arc::as_ref).eq(expected), "{before} before and {after} after {at}");
            }
            let expected = entries.iter().find(|entry| entry.position == at);
            assert_eq!(machine.entry_at(at).await.unwrap().as_deref(), expected);
        }
    });
}

#[test]
fn a_canceled_seek_over_a_long_way_moves_nothing() {
    let journal = Growing::default();
    journal.grow(Many::of(3, 9).entries(300));
    let bounds = Bounds { undo_max: 10, look_every: 1, ..Bounds::default() };
    let mut machine = Machine::with(journal.dataset(), bounds);
    let mut looks = Vec::new();
    run(async {
        machine.seek(Position(20), &mut unwatched).await.unwrap();
        let mut watch = |progress: Progress| {
            looks.push(progress);
            if looks.len() == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(matches!(machine.seek(Position(290), &mut watch).await, Err(Halt::Canceled)));
        assert_eq!(machine.position(), Position(20));
        assert!(matches!(
            machine.find(Direction::Forward, |_| false, &mut |_| ControlFlow::Break(())).await,
            Err(Halt::Canceled)
        ));
    });
    assert_eq!(looks.first(), Some(&Progress { done: 1, of: 270 }));
    assert_eq!(looks.len(), 50, "nothing is read once it is canceled");
}

/// A journal of files with a saved fold at its 300th entry.
fn saved(entries: &[Entry]) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(data.path(), JournalOptions::default()).unwrap();
    for batch in entries.chunks(100) {
        let draft = |entry: &Entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
        run(journal.append(batch.iter().map(draft).collect())).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
    let reader = FileReader::open(data.path()).unwrap();
    let state = run(replay::current_state(&reader, None, Until::Position(Position(300)))).unwrap().state;
    let checkpoints = FileCheckpoints::open(data.path());
    assert!(run(replay::save(&state, &reader, &checkpoints)).unwrap());
    data
}

#[test]
fn a_saved_checkpoint_is_a_short_way_and_changes_no_answer() {
    let entries = Many::of(11, 12).entries(600);
    let (data, folded) = (saved(&entries), folds(&entries));
    let dataset = Dataset::open(data.path()).unwrap();
    let mut machine = Machine::with(dataset, Bounds { checkpoint_worth: 100, look_every: 1, ..Bounds::default() });
    run(async {
        let mut read = BTreeSet::new();
        let mut watch = |progress: Progress| {
            read.insert(progress.of);
            ControlFlow::Continue(())
        };
        machine.seek(Position(310), &mut watch).await.unwrap();
        assert_eq!(read, [10].into(), "it begins at the checkpoint");
        check(&mut machine, &entries, &folded, "from the checkpoint").await;
        for to in [300, 299, 600, 1, 300, 450, 0, 599] {
            machine.seek(Position(to), &mut unwatched).await.unwrap();
            check(&mut machine, &entries, &folded, &format!("to {to}")).await;
        }
    });
}
