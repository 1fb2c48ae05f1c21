use proptest::prelude::*;
use tachograph_engine::domain::{Position, Timestamp};
use tachograph_projections::{CurrentState, Projection, Until, fold_until, position_at};

use crate::recorder::{Recorder, a_journal, cases, opened};

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn clock(readings: &[i64]) -> Recorder {
    let mut recorder = Recorder::default();
    for reading in readings {
        recorder.at(*reading).system(opened());
    }
    recorder
}

#[test]
fn a_time_stands_for_the_last_entry_recorded_by_then() {
    let recorder = clock(&[10, 20, 20, 30]);
    let at = |time| position_at(&recorder.entries, seconds(time)).0;
    assert_eq!([at(9), at(10), at(19), at(20), at(30), at(99)], [0, 1, 1, 3, 4, 4]);
}

#[test]
fn where_the_clock_stepped_back_a_time_stands_for_its_second_passing() {
    // One hour ahead for two entries, then put right.
    let recorder = clock(&[10, 3_620, 3_630, 40, 50]);
    let at = |time| position_at(&recorder.entries, seconds(time)).0;
    assert_eq!([at(10), at(39), at(40), at(50), at(3_620), at(3_700)], [1, 1, 4, 5, 5, 5]);
}

#[test]
fn bounds_are_inclusive_and_a_fold_never_goes_back() {
    let recorder = clock(&[10, 20, 30]);
    let mut state = CurrentState::empty();
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::Position(Position(0))), Position(0));
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::Position(Position(2))), Position(2));
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::Time(seconds(10))), Position(2));
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::Position(Position(9))), Position(3));
    let mut state = CurrentState::empty();
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::Time(seconds(20))), Position(2));
    assert_eq!(fold_until(&mut state, &recorder.entries, Until::End), Position(3));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn as_of_a_later_time_is_never_less(steps in a_journal(), one in -40_000..80_000i64, other in -40_000..80_000i64) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let at = |micros| position_at(&recorder.entries, Timestamp::from_micros(micros));
        prop_assert!(at(one.min(other)) <= at(one.max(other)));
        // All that is known to have been recorded by then is in.
        let missed = recorder.entries.iter().find(|entry| {
            entry.position > at(one) && entry.recorded_at <= Timestamp::from_micros(one)
        });
        prop_assert!(missed.is_none());
    }

    #[test]
    fn as_of_a_position_is_what_was_folded_up_to_there(steps in a_journal(), cut in any::<prop::sample::Index>()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let cut = cut.index(recorder.entries.len() + 1);
        let (mut bounded, mut prefix) = (CurrentState::empty(), CurrentState::empty());
        fold_until(&mut bounded, &recorder.entries, Until::Position(Position(cut as u64)));
        recorder.entries[..cut].iter().for_each(|entry| prefix.apply(entry));
        prop_assert_eq!(bounded, prefix);
    }
}
