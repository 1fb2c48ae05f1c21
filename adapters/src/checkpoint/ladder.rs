//! Which of the older checkpoints stay: the further back, the fewer.

use std::collections::BTreeSet;

use tachograph_engine::domain::Position;

/// Positions that lie between two rungs, at least: so many entries are read in a fraction of a second.
pub(super) const STRIDE: u64 = 1 << 16;
/// Rungs of each stride; then the stride doubles.
const RUNGS: u64 = 16;

/// Those of some positions, given in order, that stay as rungs while the last one is the newest.
///
/// A position stays as long as it is the first within its stretch of [`STRIDE`] positions, or of twice as many, four times
/// and so on, and that stretch is one of the last [`RUNGS`] of its length. Whatever is the first of a longer stretch is the
/// first of the shorter one in it, so that what stays later was never dropped before. The number of rungs grows with the
/// logarithm of the positions; the next rung before a position is at most about a quarter as far from it as the end is.
pub(super) fn rungs(positions: &[Position]) -> BTreeSet<Position> {
    let mut rungs = BTreeSet::new();
    let Some(newest) = positions.last() else { return rungs };
    let mut stride = STRIDE;
    loop {
        let last = newest.0 / stride;
        let mut before = None;
        // What lies within the first stride is read from the beginning as fast.
        for position in positions.iter().filter(|position| position.0 >= STRIDE) {
            let stretch = position.0 / stride;
            if before != Some(stretch) && last - stretch < RUNGS {
                rungs.insert(*position);
            }
            before = Some(stretch);
        }
        match stride.checked_mul(2) {
            Some(doubled) if last > 0 => stride = doubled,
            Some(_) | None => return rungs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saves a checkpoint every so many positions, dropping what does not stay, as a writer does.
    fn saved(every: u64, up_to: u64) -> Vec<Position> {
        let mut kept: Vec<Position> = Vec::new();
        for position in (every..=up_to).step_by(usize::try_from(every).unwrap()) {
            kept.push(Position(position));
            let rungs = rungs(&kept);
            let newest = kept.len().saturating_sub(3);
            kept = kept
                .iter()
                .enumerate()
                .filter(|(n, at)| *n >= newest || rungs.contains(at))
                .map(|(_, at)| *at)
                .collect();
        }
        kept
    }

    #[test]
    fn the_further_back_the_fewer_and_never_far_from_any_point() {
        for (every, up_to, kept_max) in [(100_000, 1_000_000, 10), (100_000, 100_000_000, 110), (7_000, 20_000_000, 90)]
        {
            let kept = saved(every, up_to);
            assert!(kept.len() <= kept_max, "{} of {up_to} every {every}", kept.len());
            for at in (STRIDE..up_to).step_by(9_973) {
                let before = kept.iter().rev().find(|position| position.0 <= at).map_or(0, |position| position.0);
                let far_max = (up_to - at) / 4 + 2 * every.max(STRIDE);
                assert!(at - before <= far_max, "{before} before {at}, {} from the end", up_to - at);
            }
        }
        assert_eq!(saved(100_000, 1_000_000).len(), 10, "a million entries keep every one");
        assert_eq!(saved(10, 5_000).len(), 3, "a short history is read from its beginning");
    }
}
