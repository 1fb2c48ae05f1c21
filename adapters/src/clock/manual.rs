//! A clock that stands still until it is told to move.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::Clock;
use tokio::sync::{oneshot, watch};

use crate::lock::lock;

/// A clock for tests: time passes only in [`advance`](Self::advance), and the wall clock can be stepped without it.
///
/// Clones show the same time. It needs no runtime.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<Mutex<Time>>,
    asleep: watch::Sender<usize>,
}

#[derive(Debug)]
struct Time {
    wall: Timestamp,
    monotonic: Duration,
    /// By due time, then by who fell asleep first: the order of waking.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    slept: u64,
}

impl ManualClock {
    /// A clock that shows this wall time, and zero as its monotonic time.
    pub fn new(wall: Timestamp) -> Self {
        let time = Time { wall, monotonic: Duration::ZERO, sleepers: BTreeMap::new(), slept: 0 };
        Self { time: Arc::new(Mutex::new(time)), asleep: watch::Sender::new(0) }
    }

    /// Lets time pass on both clocks, then wakes every sleeper whose time has come: by due time, and among equals in
    /// the order in which they fell asleep.
    pub fn advance(&self, by: Duration) {
        let mut time = lock(&self.time);
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        time.wall = Timestamp::from_micros(time.wall.as_micros().saturating_add(micros));
        time.monotonic = time.monotonic.saturating_add(by);
        let still_asleep_from = (time.monotonic.saturating_add(Duration::from_nanos(1)), 0);
        let still_asleep = time.sleepers.split_off(&still_asleep_from);
        let woken = std::mem::replace(&mut time.sleepers, still_asleep);
        self.tell(&time);
        for (_, wake) in woken {
            // A sleeper that was dropped meanwhile needs no waking.
            let _ = wake.send(());
        }
    }

    /// Sets the wall clock, forward or back, while monotonic time stands still. Nobody is woken.
    pub fn set_wall(&self, wall: Timestamp) {
        lock(&self.time).wall = wall;
    }

    /// Steps the wall clock by so many milliseconds, forward or back, while monotonic time stands still.
    pub fn step_wall(&self, millis: i64) {
        let mut time = lock(&self.time);
        time.wall = time.wall.plus_millis(millis);
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        lock(&self.time).sleepers.len()
    }

    /// Returns once at least so many sleeps are under way: what a test awaits before it advances the clock.
    pub async fn until_asleep(&self, at_least: usize) {
        let mut asleep = self.asleep.subscribe();
        // Fails only without a sender, and `self` is one.
        let _ = asleep.wait_for(|count| *count >= at_least).await;
    }

    fn tell(&self, time: &Time) {
        self.asleep.send_replace(time.sleepers.len());
    }

    fn fall_asleep(&self, duration: Duration) -> Option<(Sleep<'_>, oneshot::Receiver<()>)> {
        if duration.is_zero() {
            return None;
        }
        let mut time = lock(&self.time);
        let (wake, woken) = oneshot::channel();
        time.slept += 1;
        let key = (time.monotonic.saturating_add(duration), time.slept);
        time.sleepers.insert(key, wake);
        self.tell(&time);
        Some((Sleep { clock: self, key }, woken))
    }
}

/// Takes a sleeper out of the clock, also if its future is dropped before its time.
struct Sleep<'a> {
    clock: &'a ManualClock,
    key: (Duration, u64),
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let mut time = lock(&self.clock.time);
        if time.sleepers.remove(&self.key).is_some() {
            self.clock.tell(&time);
        }
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        lock(&self.time).wall
    }

    fn monotonic(&self) -> Duration {
        lock(&self.time).monotonic
    }

    async fn sleep(&self, duration: Duration) {
        if let Some((_sleep, woken)) = self.fall_asleep(duration) {
            // Fails only if the clock forgets a sleeper, and it forgets those alone whose sleep is dropped.
            let _ = woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_micros(1_000_000))
    }

    #[tokio::test]
    async fn sleepers_wake_by_due_time_and_not_a_nanosecond_early() {
        let clock = clock();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, seconds) in [3, 1, 2, 1].into_iter().enumerate() {
            let (sleeper, woken) = (clock.clone(), Arc::clone(&woken));
            tasks.push(tokio::spawn(async move {
                sleeper.sleep(SECOND * seconds).await;
                lock(&woken).push(number);
            }));
            // One after the other, so that the order of falling asleep is known.
            clock.until_asleep(number + 1).await;
        }
        clock.advance(SECOND - Duration::from_nanos(1));
        assert_eq!(clock.sleepers(), 4);
        clock.advance(SECOND * 5);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock(&woken), [1, 3, 2, 0]);
        assert_eq!(clock.sleepers(), 0);
    }

    #[test]
    fn the_wall_clock_steps_without_waking_anybody() {
        let clock = clock();
        let mut sleep = pin!(clock.sleep(SECOND));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
        clock.step_wall(-10_000);
        assert_eq!(clock.now(), Timestamp::from_micros(-9_000_000));
        clock.set_wall(Timestamp::from_micros(70_000_000));
        assert_eq!(clock.monotonic(), Duration::ZERO);
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
        clock.advance(SECOND);
        assert_eq!(clock.now(), Timestamp::from_micros(71_000_000));
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn a_dropped_sleep_leaves_nothing_behind() {
        let clock = clock();
        {
            let mut sleep = pin!(clock.sleep(SECOND));
            assert_eq!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
            assert_eq!(clock.sleepers(), 1);
        }
        assert_eq!(clock.sleepers(), 0);
        assert_eq!(*clock.asleep.borrow(), 0);
    }

    #[test]
    fn no_time_is_no_sleep() {
        let clock = clock();
        let mut sleep = pin!(clock.sleep(Duration::ZERO));
        assert_eq!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    }
}
