//! Where ids come from.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_engine::ports::IdSource;
use ulid::Ulid;

use crate::lock::lock;

/// Monotonic ULIDs: every one is greater than all that this source gave before, also within one millisecond and while
/// the wall clock steps back.
#[derive(Debug, Default)]
pub struct UlidSource {
    last: Mutex<Ulid>,
}

impl UlidSource {
    /// A source that starts with the present time.
    pub fn new() -> Self {
        Self::default()
    }

    fn after(last: Ulid, minted: Ulid) -> Ulid {
        if minted > last {
            return minted;
        }
        // The random part counts up; after its last value, the next millisecond begins. The very last ULID lies in
        // the year 10889 and would be given again.
        last.increment().unwrap_or_else(|| Ulid::from_parts(last.timestamp_ms().saturating_add(1), minted.random()))
    }
}

impl IdSource for UlidSource {
    fn next(&self) -> Ulid {
        let minted = Ulid::new();
        let mut last = lock(&self.last);
        *last = Self::after(*last, minted);
        *last
    }
}

/// Ids for tests: the same seed gives the same ids in the same order, other seeds give others. They count up from a
/// fixed time.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    given: AtomicU64,
}

impl SeededIds {
    /// 2026-01-01T00:00:00Z.
    const FIRST_MS: u64 = 1_767_225_600_000;

    /// The ids of this seed, from the first one.
    pub const fn new(seed: u64) -> Self {
        Self { seed, given: AtomicU64::new(0) }
    }
}

impl IdSource for SeededIds {
    fn next(&self) -> Ulid {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        // The seed's part tells seeds apart, the number's part makes ids differ in their last characters.
        let random = u128::from(scatter(self.seed)) << 16 ^ u128::from(scatter(number));
        Ulid::from_parts(Self::FIRST_MS + number, random)
    }
}

/// The output function of SplitMix64: a bijection whose results look random.
const fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn ulids_of_one_source_only_grow() {
        let source = UlidSource::new();
        let ids: Vec<Ulid> = (0..10_000).map(|_| source.next()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_clock_that_steps_back_and_a_full_millisecond_still_give_greater_ids() {
        let last = Ulid::from_parts(1_000, u128::MAX);
        let earlier = Ulid::from_parts(999, 7);
        assert_eq!(UlidSource::after(last, earlier), Ulid::from_parts(1_001, 7));
        let counting = Ulid::from_parts(1_000, 5);
        assert_eq!(UlidSource::after(counting, earlier), Ulid::from_parts(1_000, 6));
    }

    #[test]
    fn a_source_serves_on_after_a_thread_died_holding_it() {
        let source = Arc::new(UlidSource::new());
        let before = source.next();
        let held = Arc::clone(&source);
        let died = std::thread::spawn(move || {
            let _guard = held.last.lock();
            panic!("dies with the lock held");
        });
        assert!(died.join().is_err());
        assert!(source.next() > before);
    }

    #[test]
    fn seeded_ids_repeat_by_seed_and_differ_between_seeds() {
        let take = |seed| {
            let ids = SeededIds::new(seed);
            (0..1_000).map(|_| ids.next()).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        let all: BTreeSet<Ulid> = [take(1), take(2)].concat().into_iter().collect();
        assert_eq!(all.len(), 2_000);
    }
}
