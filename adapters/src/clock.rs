//! Time and identity: the system's clocks, a clock in a test's hand, and where ids come from.

mod ids;
mod manual;

use std::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::Clock;
use time::OffsetDateTime;

pub use ids::{SeededIds, UlidSource};
pub use manual::ManualClock;

/// The clocks of this machine: the wall clock, and `CLOCK_MONOTONIC`, which stands still while it is suspended.
///
/// [`sleep`](Clock::sleep) needs a Tokio runtime with time enabled.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        OffsetDateTime::now_utc().into()
    }

    fn monotonic(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        // The kernel's value is never negative, and its nanoseconds are below 1,000,000,000.
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_in_microseconds_of_this_age() {
        let year_2020 = "2020-01-01T00:00:00Z".parse().unwrap();
        let year_2200 = "2200-01-01T00:00:00Z".parse().unwrap();
        let now = SystemClock.now();
        assert!(now > year_2020 && now < year_2200, "{now}");
    }

    #[tokio::test]
    async fn a_sleep_lasts_at_least_as_long_as_asked_by_the_monotonic_clock() {
        let before = SystemClock.monotonic();
        SystemClock.sleep(Duration::from_millis(3)).await;
        let slept = SystemClock.monotonic() - before;
        assert!(slept >= Duration::from_millis(3), "{slept:?}");
    }
}
