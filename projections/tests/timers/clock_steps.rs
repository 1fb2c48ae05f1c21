use tachograph_engine::domain::Timestamp;
use tachograph_projections::{Due, TimerWheel};

use crate::{at, popped};

/// B8: due in 2 s; the loop is blocked for 5 s; the wall clock steps back 10 s, then forth 60 s.
#[test]
fn a_stalled_loop_and_a_stepping_clock_fire_once_and_never_early() {
    // Blocked: at once after it.
    let mut wheel = TimerWheel::starting(at(0));
    wheel.insert(1, at(2_000));
    assert_eq!(wheel.pop_due(at(5_000)), Some(Due { key: 1, due: at(2_000) }));
    assert_eq!(wheel.pop_due(at(5_000)), None);

    // Blocked, and stepped back meanwhile: not before the wall clock is there, and then once.
    let mut wheel = TimerWheel::starting(at(0));
    wheel.insert(1, at(2_000));
    assert_eq!(wheel.pop_due(at(5_000 - 10_000)), None);
    assert_eq!(wheel.next_wake().map(|wake| wake <= at(2_000)), Some(true));
    assert_eq!(wheel.pop_due(at(1_999)), None);
    assert_eq!(wheel.pop_due(at(-5_000 + 60_000)), Some(Due { key: 1, due: at(2_000) }));
    for ms in [55_001, -5_000, 2_000, 100_000] {
        assert_eq!(wheel.pop_due(at(ms)), None, "{ms}");
    }
}

#[test]
fn after_a_stall_all_that_is_due_comes_at_once_in_order() {
    let mut wheel = TimerWheel::starting(at(0));
    let due_ms = [90_000, 3, 70_000, 3, 1, 65_536, 256, 255, 99_999_999];
    due_ms.iter().zip(0..).for_each(|(ms, key)| _ = wheel.insert(key, at(*ms)));
    assert_eq!(popped(&mut wheel, 100_000), [4, 1, 3, 7, 6, 5, 2, 0]);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn what_is_inserted_while_the_clock_is_behind_waits_for_it() {
    // By less than the wheel follows, and by more.
    for step_ms in [1, 700, 59_999, 60_000, 60_001, 10_000_000, 99_000_000_000] {
        let mut wheel = TimerWheel::starting(at(-step_ms));
        wheel.insert(1, at(500));
        assert_eq!(popped(&mut wheel, 0), [0; 0]);
        let now_ms = -step_ms;
        assert_eq!(popped(&mut wheel, now_ms), [0; 0], "{step_ms}");
        wheel.insert(2, at(now_ms + 1));
        wheel.insert(3, at(now_ms + 2));
        wheel.insert(4, at(now_ms));
        assert_eq!(popped(&mut wheel, now_ms), [4], "{step_ms}");
        assert_eq!(wheel.next_wake(), Some(at(now_ms + 1)), "{step_ms}");
        wheel.cancel(&3);
        assert_eq!(popped(&mut wheel, now_ms + 1), [2], "{step_ms}");
        assert_eq!(popped(&mut wheel, 499), [0; 0], "{step_ms}");
        assert_eq!(popped(&mut wheel, 500), [1], "{step_ms}");
    }
}

#[test]
fn those_of_a_tick_that_the_clock_left_again_wait_for_it() {
    for step_ms in [1, 100_000] {
        let mut wheel = TimerWheel::starting(at(0));
        (1..5).for_each(|key| _ = wheel.insert(key, at(50)));
        assert_eq!(wheel.pop_due(at(50)).map(|due| due.key), Some(1));
        assert_eq!(wheel.pop_due(at(50 - step_ms)), None);
        assert_eq!(wheel.cancel(&3), Some(at(50)));
        assert_eq!(wheel.pop_due(at(49)), None);
        assert_eq!(popped(&mut wheel, 50), [2, 4]);
    }
}

#[test]
fn a_clock_that_was_wrong_by_years_is_followed_back() {
    let mut wheel = TimerWheel::starting(at(0));
    (0..100).for_each(|key| _ = wheel.insert(key, at(i64::from(key) * 1_000_000_000)));
    assert_eq!(popped(&mut wheel, 10_000_000_000).len(), 11);
    assert_eq!(popped(&mut wheel, 5), [0; 0]);
    wheel.insert(0, at(7));
    assert_eq!(wheel.next_wake(), Some(at(7)));
    assert_eq!(popped(&mut wheel, 11_000_000_000), [0, 11]);
}

#[test]
fn the_ends_of_time_are_due_times_as_well() {
    let mut wheel = TimerWheel::default();
    for (key, due) in [(1, Timestamp::MAX), (2, Timestamp::MIN), (3, at(0))] {
        wheel.insert(key, due);
    }
    assert_eq!(wheel.next_wake(), Some(Timestamp::MIN));
    assert_eq!(wheel.pop_due(Timestamp::MIN).map(|due| due.key), Some(2));
    assert_eq!(wheel.pop_due(Timestamp::MIN), None);
    assert_eq!(popped(&mut wheel, 0), [3]);
    assert_eq!(wheel.pop_due(Timestamp::MAX).map(|due| due.key), Some(1));
    assert_eq!(wheel.pop_due(Timestamp::MAX), None);
}
