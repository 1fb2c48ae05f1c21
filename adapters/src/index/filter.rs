//! Which runs may have a row: the answer to most questions about a run that is just being created.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_engine::domain::RunId;

/// 4 MiB, whatever the history: about one false alarm in a hundred with three million runs, one in four with ten
/// million.
const WORDS: usize = 1 << 19;
/// Bits per run.
const PROBES: u32 = 4;
/// Words in a cache line.
const LINE_WORDS: usize = 8;

/// A Bloom filter over run ids: 'no' is certain, 'yes' means that the store has to be asked.
///
/// Every create asks whether its run is known, and it nearly never is. Asking sled costs a microsecond or two each
/// time; this costs some nanoseconds, and its memory does not grow.
pub(super) struct RunFilter {
    words: Box<[AtomicU64]>,
}

impl RunFilter {
    /// Notes that a run may have a row from now on.
    pub(super) fn add(&self, run: RunId) {
        for (word, bit) in places(run) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the run was ever [added](Self::add); sometimes also yes if it was not.
    pub(super) fn may_contain(&self, run: RunId) -> bool {
        places(run).all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
    }
}

impl Default for RunFilter {
    fn default() -> Self {
        // The pages stay untouched, and so unused, until a bit in them is set.
        Self { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect() }
    }
}

/// Ids that are minted one after the other differ in few bits, so they are mixed first. All bits of a run lie in one
/// cache line.
fn places(run: RunId) -> impl Iterator<Item = (usize, u64)> {
    let bits = run.to_u128();
    let first = mix(bits as u64 ^ mix((bits >> 64) as u64));
    let line = (first as usize % (WORDS / LINE_WORDS)) * LINE_WORDS;
    let inside = mix(first);
    (0..PROBES).map(move |probe| {
        let place = inside >> (probe * 9);
        (line + (place >> 6) as usize % LINE_WORDS, 1 << (place & 63))
    })
}

/// The finaliser of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let filter = RunFilter::default();
        let minted = |number: u128| RunId::from_u128((0x0199_0000_0000 << 80) | (0x1234 << 64) | number);
        (0..100_000).for_each(|number| filter.add(minted(number)));
        assert!((0..100_000).all(|number| filter.may_contain(minted(number))));
        let false_alarms = (100_000..200_000).filter(|number| filter.may_contain(minted(*number))).count();
        assert!(false_alarms < 1_000, "{false_alarms} of 100000");
    }
}
