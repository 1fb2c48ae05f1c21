//! Where a tick belongs, and which bucket comes next.

use super::tick::Tick;

/// Buckets of a level. Each is as long as the whole level below it; those of level 0 are one tick long.
const WIDTH: usize = 256;
/// Digits to base 256: enough for every tick between the years 1 and 9999, so that nothing is beyond the wheel.
const LEVELS: usize = 7;
/// Buckets of all levels.
pub(super) const BUCKETS: usize = LEVELS * WIDTH;

const WORDS: usize = WIDTH / 64;

/// Which buckets hold timers, one bit each.
///
/// A tick belongs to the level of the highest digit in which it differs from the wheel's time. All that a level holds
/// is therefore due before anything that a level above it holds, and within a level the digit gives the order.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels([[u64; WORDS]; LEVELS]);

/// A bucket that holds timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// Which one.
    pub(super) bucket: usize,
    /// Its first tick: nothing in it is due before.
    pub(super) begins: Tick,
}

impl Next {
    /// Whether all in it is due at one tick.
    pub(super) const fn is_single_tick(self) -> bool {
        self.bucket < WIDTH
    }
}

/// The bucket of a tick that is not before `time`.
pub(super) const fn bucket(time: Tick, tick: Tick) -> usize {
    let highest = ((time.0 ^ tick.0) | 1).ilog2() as usize / 8;
    highest * WIDTH + digit(tick, highest)
}

const fn digit(tick: Tick, level: usize) -> usize {
    (tick.0 >> (8 * level)) as usize % WIDTH
}

impl Levels {
    /// The bucket is no longer empty.
    pub(super) fn occupy(&mut self, bucket: usize) {
        self.0[bucket / WIDTH][bucket % WIDTH / 64] |= 1 << (bucket % 64);
    }

    /// The bucket is empty.
    pub(super) fn vacate(&mut self, bucket: usize) {
        self.0[bucket / WIDTH][bucket % WIDTH / 64] &= !(1 << (bucket % 64));
    }

    /// The bucket that comes first.
    pub(super) fn next(&self, time: Tick) -> Option<Next> {
        (0..LEVELS).find_map(|level| {
            let digit = first_bit(&self.0[level])?;
            let above = time.0 >> (8 * (level + 1)) << (8 * (level + 1));
            Some(Next { bucket: level * WIDTH + digit, begins: Tick(above | (digit as u64) << (8 * level)) })
        })
    }
}

fn first_bit(words: &[u64; WORDS]) -> Option<usize> {
    let word = words.iter().position(|word| *word != 0)?;
    Some(word * 64 + words[word].trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Timestamp;

    use super::*;

    #[test]
    fn every_tick_has_a_bucket() {
        let last = Tick::reached_at(Timestamp::MAX);
        for time in [Tick(0), Tick(1), Tick(last.0 / 2), last] {
            for tick in [time, Tick((time.0 + 1).min(last.0)), last] {
                assert!(bucket(time, tick) < BUCKETS, "{time:?} {tick:?}");
            }
        }
    }

    #[test]
    fn the_next_bucket_begins_at_or_before_what_is_in_it() {
        for (time, tick) in [(0, 0), (5, 5), (5, 6), (255, 256), (0x1_ff, 0x2_00), (7, 0xff_ff_ff_ff), (3, 1 << 47)] {
            let (time, tick) = (Tick(time), Tick(tick));
            let mut levels = Levels::default();
            assert_eq!(levels.next(time), None);
            let bucket = bucket(time, tick);
            levels.occupy(bucket);
            let next = levels.next(time).unwrap();
            assert_eq!(next.bucket, bucket);
            assert!(time <= next.begins && next.begins <= tick, "{next:?}");
            assert!(!next.is_single_tick() || next.begins == tick, "{next:?}");
            levels.vacate(bucket);
            assert_eq!(levels.next(time), None);
        }
    }
}
