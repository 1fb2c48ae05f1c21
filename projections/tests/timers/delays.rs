use tachograph_projections::{Due, TimerWheel};

use crate::{at, popped};

fn wheel() -> TimerWheel<u32> {
    TimerWheel::starting(at(0))
}

#[test]
fn a_timer_fires_after_its_delay_not_before_and_once() {
    let mut wheel = wheel();
    wheel.insert(7, at(3_000));
    for ms in [0, 1, 1_000, 2_900, 2_999] {
        assert_eq!(wheel.pop_due(at(ms)), None, "{ms}");
    }
    assert_eq!(wheel.pop_due(at(3_000)), Some(Due { key: 7, due: at(3_000) }));
    assert_eq!(popped(&mut wheel, 3_000), [0; 0]);
    assert_eq!(popped(&mut wheel, 1_000_000), [0; 0]);
}

#[test]
fn every_tick_of_a_delay_is_kept_on_every_level() {
    for delay_ms in [0, 1, 254, 255, 256, 257, 65_535, 65_536, 65_537, 16_777_216, 30 * 24 * 3_600_000, 1 << 33] {
        for start_ms in [0, 1, 255, 511, 65_535] {
            let mut wheel = TimerWheel::starting(at(start_ms));
            wheel.insert(1, at(start_ms + delay_ms));
            if delay_ms > 0 {
                assert_eq!(popped(&mut wheel, start_ms + delay_ms - 1), [0; 0], "{start_ms} + {delay_ms}");
            }
            assert_eq!(popped(&mut wheel, start_ms + delay_ms), [1], "{start_ms} + {delay_ms}");
        }
    }
}

#[test]
fn a_due_time_between_ticks_fires_at_the_tick_after_it() {
    let mut wheel = wheel();
    let due = tachograph_engine::domain::Timestamp::from_micros(at(5).as_micros() + 1);
    wheel.insert(1, due);
    assert_eq!(wheel.next_wake(), Some(at(6)));
    assert_eq!(popped(&mut wheel, 5), [0; 0]);
    assert_eq!(wheel.pop_due(at(6)), Some(Due { key: 1, due }));
}

#[test]
fn a_delay_of_nothing_is_due_at_the_next_tick() {
    let mut wheel = wheel();
    let between = tachograph_engine::domain::Timestamp::from_micros(at(0).as_micros() + 400);
    wheel.insert(1, between);
    assert_eq!(wheel.pop_due(between), None);
    assert_eq!(popped(&mut wheel, 1), [1]);
    // On a tick, that is the one.
    wheel.insert(2, at(1));
    assert_eq!(wheel.next_wake(), Some(at(1)));
    assert_eq!(popped(&mut wheel, 1), [2]);
}

#[test]
fn a_canceled_timer_never_fires_and_canceling_twice_is_safe() {
    let mut wheel = wheel();
    wheel.insert(1, at(3_000));
    wheel.insert(2, at(3_000));
    assert_eq!(wheel.cancel(&1), Some(at(3_000)));
    assert_eq!(wheel.cancel(&1), None);
    assert_eq!(wheel.cancel(&9), None, "never inserted");
    assert_eq!(popped(&mut wheel, 3_100), [2]);
    assert_eq!(wheel.cancel(&2), None, "fired");
}

#[test]
fn looking_up_finds_without_removing() {
    let mut wheel = wheel();
    wheel.insert(1, at(3_000));
    assert_eq!(wheel.peek(&1), Some(at(3_000)));
    assert_eq!(wheel.peek(&1), Some(at(3_000)));
    assert_eq!(wheel.peek(&2), None);
    assert_eq!(popped(&mut wheel, 3_000), [1]);
    assert_eq!(wheel.peek(&1), None);
}

#[test]
fn inserting_a_key_again_restarts_it_and_it_fires_once() {
    let mut wheel = wheel();
    assert_eq!(wheel.insert(1, at(3_000)), None);
    assert_eq!(popped(&mut wheel, 2_000), [0; 0]);
    assert_eq!(wheel.insert(1, at(5_000)), Some(at(3_000)));
    assert_eq!(wheel.len(), 1);
    assert_eq!(popped(&mut wheel, 4_999), [0; 0]);
    assert_eq!(wheel.pop_due(at(5_000)), Some(Due { key: 1, due: at(5_000) }));
    assert_eq!(wheel.insert(1, at(9_000)), None, "it fired");
    assert_eq!(wheel.insert(1, at(6_000)), Some(at(9_000)), "sooner as well");
    assert_eq!(popped(&mut wheel, 9_000), [1]);
}

#[test]
fn canceled_and_inserted_again_the_old_due_time_counts_no_more() {
    let mut wheel = wheel();
    wheel.insert(1, at(100));
    wheel.cancel(&1);
    wheel.insert(1, at(200));
    assert_eq!(popped(&mut wheel, 199), [0; 0]);
    assert_eq!(popped(&mut wheel, 200), [1]);
}

#[test]
fn a_thousand_at_once_come_by_key_and_three_a_second_apart_in_their_order() {
    let mut wheel = wheel();
    (0..1_000).rev().for_each(|key| _ = wheel.insert(key, at(3_000)));
    assert_eq!(wheel.len(), 1_000);
    assert_eq!(popped(&mut wheel, 3_000), (0..1_000).collect::<Vec<_>>());

    for (key, armed_ms) in [(3, 10_000), (2, 11_000), (1, 12_000)] {
        assert_eq!(popped(&mut wheel, armed_ms), [0; 0]);
        wheel.insert(key, at(armed_ms + 3_000));
    }
    let fired: Vec<(i64, u32)> =
        (12_000..=15_100).flat_map(|ms| popped(&mut wheel, ms).into_iter().map(move |key| (ms, key))).collect();
    assert_eq!(fired, [(13_000, 3), (14_000, 2), (15_000, 1)]);
}

#[test]
fn within_a_tick_the_due_time_comes_before_the_key() {
    let mut wheel = wheel();
    let within = |micros| tachograph_engine::domain::Timestamp::from_micros(at(3).as_micros() + micros);
    for (key, micros) in [(1, 900), (2, 1), (3, 900), (4, 500)] {
        wheel.insert(key, within(micros));
    }
    assert_eq!(popped(&mut wheel, 4), [2, 4, 1, 3]);
}

#[test]
fn another_default_delay_changes_nothing_that_is_armed() {
    let mut wheel = wheel();
    for (key, delay_ms) in [(1, 3_000), (2, 1_000)] {
        wheel.insert(key, at(delay_ms));
    }
    assert_eq!(popped(&mut wheel, 1_000), [2]);
    assert_eq!(wheel.peek(&1), Some(at(3_000)));
}

#[test]
fn what_did_not_fire_is_handed_back_in_order() {
    let mut wheel = wheel();
    for (key, ms) in [(1, 500), (2, 70_000), (3, 400), (4, 3_000_000_000), (5, 400), (6, 20)] {
        wheel.insert(key, at(ms));
    }
    wheel.cancel(&1);
    assert_eq!(popped(&mut wheel, 100), [6]);
    // One of a tick was handed out, the other was not.
    assert_eq!(wheel.pop_due(at(400)).map(|due| due.key), Some(3));
    let keys: Vec<u32> = wheel.pending().iter().map(|due| due.key).collect();
    assert_eq!(keys, [5, 2, 4]);
    assert_eq!(wheel.len(), 3);
}

#[test]
fn whoever_fails_with_one_loses_none_of_the_others() {
    let mut wheel = wheel();
    (0..10).for_each(|key| _ = wheel.insert(key, at(50)));
    let (mut handled, mut failed) = (Vec::new(), 0);
    while let Some(due) = wheel.pop_due(at(50)) {
        if due.key == 4 && failed < 2 {
            failed += 1;
            wheel.insert(due.key, at(50 + failed));
            continue;
        }
        handled.push(due.key);
    }
    assert_eq!(handled, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(popped(&mut wheel, 51), [4]);
}

#[test]
fn those_of_the_tick_under_way_can_be_canceled_looked_up_and_re_armed() {
    let mut wheel = wheel();
    (0..6).for_each(|key| _ = wheel.insert(key, at(50)));
    assert_eq!(wheel.pop_due(at(60)).map(|due| due.key), Some(0));
    assert_eq!(wheel.cancel(&3), Some(at(50)));
    assert_eq!(wheel.cancel(&3), None);
    assert_eq!(wheel.peek(&3), None);
    assert_eq!(wheel.peek(&5), Some(at(50)));
    assert_eq!(wheel.insert(1, at(55)), Some(at(50)));
    assert_eq!(wheel.cancel(&5), Some(at(50)), "the last one");
    assert_eq!(wheel.len(), 3);
    // One that is overdue by more goes before the rest of the tick.
    wheel.insert(9, at(10));
    assert_eq!(popped(&mut wheel, 60), [9, 2, 4, 1]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_wake(), None);
}

#[test]
fn idle_time_is_jumped_over_and_waking_is_never_too_late() {
    let mut wheel = wheel();
    let month_ms = 30 * 24 * 3_600_000;
    wheel.insert(1, at(month_ms));
    let (mut wakes, mut now_ms) = (0, 0);
    loop {
        let wake = wheel.next_wake().unwrap().millis_since(at(0));
        assert!(wake > now_ms && wake <= month_ms, "{wake}");
        (wakes, now_ms) = (wakes + 1, wake);
        if wheel.pop_due(at(now_ms)).is_some() {
            break;
        }
    }
    assert_eq!(now_ms, month_ms);
    assert!(wakes <= 7, "{wakes}");
}
