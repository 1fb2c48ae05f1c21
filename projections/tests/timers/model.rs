//! The wheel against the simplest thing that is right: a sorted list.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_engine::domain::Timestamp;
use tachograph_projections::{Due, TimerWheel};

use crate::at;

/// A number from the environment, else its default.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Sebastiano Vigna's SplitMix64: the same seed gives the same walk everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> i64 {
        (self.next() % bound) as i64
    }

    /// Any size up to `bound_us`, small ones as likely as large ones.
    fn any_size(&mut self, bound_us: u64) -> i64 {
        let bits = bound_us.ilog2() as u64 + 1;
        let size = 1 << self.below(bits);
        self.below(size).min(bound_us as i64)
    }
}

/// By due time, then key.
#[derive(Default)]
struct SortedList(BTreeSet<Due<u32>>, BTreeMap<u32, Timestamp>);

impl SortedList {
    fn insert(&mut self, key: u32, due: Timestamp) -> Option<Timestamp> {
        let replaced = self.cancel(key);
        self.0.insert(Due { due, key });
        self.1.insert(key, due);
        replaced
    }

    fn cancel(&mut self, key: u32) -> Option<Timestamp> {
        let due = self.1.remove(&key)?;
        self.0.remove(&Due { due, key });
        Some(due)
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<Due<u32>> {
        let first = *self.0.first()?;
        if fires_at(first.due) > now {
            return None;
        }
        self.cancel(first.key);
        Some(first)
    }
}

/// The first whole millisecond at which it may fire.
fn fires_at(due: Timestamp) -> Timestamp {
    Timestamp::from_micros((due.as_micros() + 999).div_euclid(1_000) * 1_000)
}

const SECOND_US: u64 = 1_000_000;
const DAY_US: u64 = 24 * 3_600 * SECOND_US;

/// One walk: what was said to the wheel and to the list, and what time it was.
struct Walk {
    wheel: TimerWheel<u32>,
    list: SortedList,
    random: Random,
    now: Timestamp,
    keys: u64,
    fired: u64,
}

impl Walk {
    fn step(&mut self) {
        let key = self.random.below(self.keys) as u32;
        match self.random.below(100) {
            0..45 => self.insert(key),
            45..60 => assert_eq!(self.wheel.cancel(&key), self.list.cancel(key), "cancel {key}"),
            60..70 => assert_eq!(self.wheel.peek(&key), self.list.1.get(&key).copied(), "peek {key}"),
            70..80 => _ = self.pop(),
            80..90 => self.go(self.later(self.any_us(SECOND_US))),
            90..94 => self.go(self.wheel.next_wake().unwrap_or(self.now).max(self.now)),
            94..96 => self.go(self.later(self.any_us(40 * DAY_US))),
            96..98 => self.go(self.later(-self.any_us(300 * SECOND_US))),
            98 => self.go(self.later(-self.any_us(40 * DAY_US))),
            _ => self.pop_all(),
        }
        self.agree();
    }

    fn any_us(&self, bound_us: u64) -> i64 {
        // A number of its own, so that reading the clock changes no later step.
        Random(self.random.0 ^ 0x5eed).any_size(bound_us)
    }

    fn later(&self, micros: i64) -> Timestamp {
        Timestamp::from_micros(self.now.as_micros() + micros)
    }

    fn insert(&mut self, key: u32) {
        let delay_us = self.random.any_size(60 * DAY_US);
        let due = match self.random.below(8) {
            0 => self.later(-delay_us.min(SECOND_US as i64)),
            // Many at one time.
            1 => fires_at(self.later(delay_us.min(20_000))),
            _ => self.later(delay_us),
        };
        assert_eq!(self.wheel.insert(key, due), self.list.insert(key, due), "insert {key} {due}");
    }

    fn pop(&mut self) -> bool {
        let (popped, expected) = (self.wheel.pop_due(self.now), self.list.pop_due(self.now));
        assert_eq!(popped, expected, "at {}", self.now);
        self.fired += u64::from(popped.is_some());
        popped.is_some()
    }

    fn pop_all(&mut self) {
        while self.pop() {}
    }

    fn go(&mut self, now: Timestamp) {
        self.now = now;
        self.pop();
    }

    fn agree(&self) {
        assert_eq!(self.wheel.len(), self.list.0.len());
        let first = self.list.0.first().map(|first| fires_at(first.due));
        let wake = self.wheel.next_wake();
        assert_eq!(wake.is_some(), first.is_some());
        assert!(wake <= first, "woken at {wake:?} for {first:?}");
    }
}

/// `TACHO_STEPS` steps (100000) of walks from `TACHO_SEED` (1): with few timers, so that they meet often, and with many.
#[test]
fn random_interleavings_are_those_of_a_sorted_list() {
    let (seed, steps) = (number("TACHO_SEED", 1), number("TACHO_STEPS", 100_000));
    println!("run it again with TACHO_SEED={seed} TACHO_STEPS={steps}");
    let mut fired = 0;
    for (walk, keys) in [8, 300, 20_000].into_iter().enumerate() {
        let mut walk = Walk {
            wheel: TimerWheel::starting(at(0)),
            list: SortedList::default(),
            random: Random(seed.wrapping_add(walk as u64)),
            now: at(0),
            keys,
            fired: 0,
        };
        for step in 0..steps.div_ceil(3) {
            walk.step();
            if step % 1_024 == 0 {
                assert_eq!(walk.wheel.pending(), walk.list.0.iter().copied().collect::<Vec<_>>());
            }
        }
        walk.now = Timestamp::MAX;
        walk.pop_all();
        assert!(walk.wheel.is_empty());
        fired += walk.fired;
    }
    assert!(fired * 20 > steps, "{fired} of {steps} steps fired: such a walk proves little");
}
