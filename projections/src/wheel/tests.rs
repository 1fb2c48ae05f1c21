//! What only the inside shows: the memory of a wheel, and when it follows the clock.

use super::*;

fn after(ms: i64) -> Timestamp {
    Timestamp::from_micros(0).plus_millis(ms)
}

/// Memory for so many timers and chunks of them.
fn held(wheel: &TimerWheel<u64>) -> (usize, usize) {
    (wheel.timers.num_buckets(), wheel.order.buckets.chunks())
}

#[test]
fn a_canceled_timer_leaves_no_garbage() {
    let mut wheel = TimerWheel::starting(after(0));
    (0..100).for_each(|key| _ = wheel.insert(key, after(50_000)));
    let before = held(&wheel);
    for round in 0..10_000 {
        let key = round % 100;
        // Far away, so that nothing but the cancel can have made room.
        wheel.cancel(&key);
        wheel.insert(key, after(30 * 24 * 3_600_000));
        wheel.insert(key, after(50_000));
    }
    assert!(held(&wheel).0 <= before.0 && held(&wheel).1 <= before.1 + 1, "{before:?} {:?}", held(&wheel));
    for key in 0..100 {
        wheel.cancel(&key);
    }
    assert!(
        wheel.order.ready.is_empty() && wheel.order.late.is_empty() && wheel.order.buckets.items().next().is_none()
    );
    assert_eq!(wheel.order.levels.next(wheel.order.time), None);
}

#[test]
fn memory_that_far_outgrew_what_is_pending_is_given_back() {
    const BURST: u64 = 100_000;
    for fire in [false, true] {
        let mut wheel = TimerWheel::starting(after(0));
        wheel.insert(BURST, after(30 * 24 * 3_600_000));
        (0..BURST).for_each(|key| _ = wheel.insert(key, after(key as i64 % 7_000 + 1)));
        if fire {
            while wheel.pop_due(after(7_000)).is_some() {}
        } else {
            (0..BURST).for_each(|key| _ = wheel.cancel(&key));
        }
        assert_eq!(wheel.pending(), [Due { due: after(30 * 24 * 3_600_000), key: BURST }]);
        let held = wheel.timers.num_buckets();
        assert!(held <= 2 * KEPT_TIMERS, "{fire} {held}");
    }
}

#[test]
fn a_clock_that_is_far_behind_is_followed_and_one_that_is_not_is_waited_for() {
    let mut wheel = TimerWheel::starting(after(0));
    wheel.insert(1, after(10_000_000));
    wheel.pop_due(after(1_000_000));
    let reached = wheel.order.time;
    wheel.pop_due(after(1_000_000 - BEHIND_TICKS_MAX as i64));
    assert_eq!(wheel.order.time, reached);
    wheel.pop_due(after(1_000_000 - BEHIND_TICKS_MAX as i64 - 1));
    assert_eq!(wheel.order.time, Tick::reached_at(after(1_000_000 - BEHIND_TICKS_MAX as i64 - 1)));
    assert_eq!(wheel.peek(&1), Some(after(10_000_000)));
}

#[test]
fn chunks_that_are_nearly_empty_are_given_back() {
    const STEPS: u64 = 200;
    let mut wheel = TimerWheel::starting(after(0));
    for step in 0..STEPS {
        // Each step in a bucket of its own, so that no other fills its gaps.
        let due = after(step as i64 * 20_000_000 + 20_000_000);
        let keys = step * 640..(step + 1) * 640;
        keys.clone().for_each(|key| _ = wheel.insert(key, due));
        keys.filter(|key| key % 32 != 0).for_each(|key| _ = wheel.cancel(&key));
    }
    assert_eq!(wheel.len() as u64, STEPS * 20);
    let chunks_max = wheel.order.buckets.chunks_for(8 * wheel.len());
    assert!(wheel.order.buckets.chunks() <= chunks_max, "{} of {chunks_max}", wheel.order.buckets.chunks());
}

/// A key that hashes as every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Alike(u64);

impl Hash for Alike {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn timers_of_one_hash_are_told_apart() {
    const TIMERS: u64 = 200;
    // Over three levels, and in an order of their own.
    let due = |key: u64| after((key as i64 * 7_919 % TIMERS as i64 + 1) * 1_000);
    let mut wheel = TimerWheel::starting(after(0));
    (0..TIMERS).for_each(|key| assert_eq!(wheel.insert(Alike(key), due(key)), None));
    let canceled = |key: &u64| key.is_multiple_of(3);
    for second in 1..=TIMERS as i64 {
        if second == TIMERS as i64 / 2 {
            let late = (0..TIMERS).filter(canceled).filter(|key| due(*key) >= after(second * 1_000));
            late.for_each(|key| assert_eq!(wheel.cancel(&Alike(key)), Some(due(key))));
        }
        let key = (0..TIMERS).find(|key| due(*key) == after(second * 1_000)).unwrap();
        let expected =
            (second < TIMERS as i64 / 2 || !canceled(&key)).then_some(Due { due: due(key), key: Alike(key) });
        assert_eq!(wheel.peek(&Alike(key)), expected.map(|due| due.due));
        assert_eq!(wheel.pop_due(after(second * 1_000)), expected, "{second}");
        assert_eq!(wheel.pop_due(after(second * 1_000)), None, "{second}");
    }
    assert!(wheel.is_empty() && wheel.order.buckets.items().next().is_none());
}
