//! How long the committer waits for a batch to fill.
//!
//! When a sync is slow and callers answer quickly, two half-size cohorts can take turns, so that everybody waits for
//! two syncs. A short wait before writing, until the batch is as large as recent ones were, lets them meet. It is not
//! worth it where a sync is fast.

use std::time::Duration;

/// Below this a sync is so fast that waiting costs more than it gains.
const COMMIT_MIN: Duration = Duration::from_micros(150);
/// The longest wait.
const LINGER_MAX: Duration = Duration::from_micros(500);

/// Watches commits and says how long to wait before the next one.
#[derive(Debug, Default)]
pub(super) struct Linger {
    commit_average: Duration,
    batch_peak: usize,
}

impl Linger {
    /// How long a batch of this size may still wait; zero if it should be written now.
    pub(super) fn budget(&self, batch: usize) -> Duration {
        if self.commit_average < COMMIT_MIN || batch >= self.batch_peak {
            return Duration::ZERO;
        }
        (self.commit_average / 8).min(LINGER_MAX)
    }

    /// A batch of this size took so long to commit.
    pub(super) fn committed(&mut self, batch: usize, took: Duration) {
        self.commit_average = (self.commit_average * 7 + took) / 8;
        // The peak decays, so that a burst of the past does not hold up the present.
        self.batch_peak = batch.max(self.batch_peak - self.batch_peak.div_ceil(16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_sync_is_never_waited_for() {
        let mut linger = Linger::default();
        (0..100).for_each(|_| linger.committed(64, Duration::from_micros(90)));
        assert_eq!(linger.budget(1), Duration::ZERO);
    }

    #[test]
    fn a_slow_sync_is_waited_for_until_the_batch_is_as_large_as_recent_ones() {
        let mut linger = Linger::default();
        (0..100).for_each(|_| linger.committed(64, Duration::from_millis(2)));
        assert!(linger.budget(32) > Duration::from_micros(200) && linger.budget(32) <= LINGER_MAX);
        assert_eq!(linger.budget(64), Duration::ZERO);
        (0..200).for_each(|_| linger.committed(1, Duration::from_millis(2)));
        assert_eq!(linger.budget(1), Duration::ZERO, "the peak decays");
    }
}
