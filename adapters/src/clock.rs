//! Time and identity: the system's clocks, a clock in a test's hand, and where ids come from.

mod ids;
mod manual;

use std::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::Clock;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use ids::{SeededIds, UlidSource};
pub use manual::ManualClock;

/// The clocks of this machine: the wall clock, and `CLOCK_MONOTONIC`, which stands still while it is suspended.
///
/// [`sleep`](Clock::sleep) uses the Tokio runtime that it is polled in, which must have time enabled; outside of any, each
/// sleep has a thread of its own.
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
        if Handle::try_current().is_ok() {
            tokio::time::sleep(duration).await;
            return;
        }
        let (wake, woken) = oneshot::channel::<()>();
        let spawned = std::thread::Builder::new().name("tacho-sleep".to_owned()).spawn(move || {
            std::thread::sleep(duration);
            drop(wake);
        });
        match spawned {
            // The thread never sends: its end is the signal.
            Ok(_) => drop(woken.await),
            Err(_) => std::thread::sleep(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};
    use std::thread::Thread;

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn a_sleep_needs_no_runtime() {
        let before = SystemClock.monotonic();
        let mut sleep = pin!(SystemClock.sleep(Duration::from_millis(3)));
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        while sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            std::thread::park();
        }
        let slept = SystemClock.monotonic() - before;
        assert!(slept >= Duration::from_millis(3), "{slept:?}");
    }

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
