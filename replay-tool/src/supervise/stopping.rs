//! The wish that all ends, from the first signal to the closed journal.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_adapters::process::ShutdownTimes;
use tachograph_engine::ports::Clock;

use super::progress::{Progress, Step};
use crate::duration::{DurationMs, STOP_WITHIN_DEFAULT};
use crate::interrupt::Interrupts;
use crate::stop::{Stop, Urgency};
use crate::writer::Writer;

/// What there is for output and records after a second signal, or at least after any, once they were killed.
pub(super) const HASTE_BUDGET: Duration = Duration::from_secs(1);

/// The wish that all ends, and by when: one budget for everything, from the first signal to the closed journal.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) stop: Stop,
    /// From the first wish to the killing signal.
    kill_after: Duration,
    /// From the first wish to the closed journal.
    budget: Duration,
    /// When the first wish was, on the monotonic clock.
    begun: OnceLock<Duration>,
}

impl Ending {
    /// With so much time for everything. What takes less than haste to be killed is recorded nevertheless.
    pub(super) fn within(budget: Duration) -> Self {
        let kill_after = ShutdownTimes::of(budget).kill_after;
        Self { kill_after, budget: budget.max(HASTE_BUDGET), ..Self::default() }
    }

    /// Counts from the first time that somebody asks.
    fn begun(&self, clock: &dyn Clock) -> Duration {
        *self.begun.get_or_init(|| clock.monotonic())
    }

    /// Has it count from the first wish.
    pub(super) async fn note_begin(&self, clock: &dyn Clock) -> Infallible {
        self.stop.reached(Urgency::Soon).await;
        self.begun(clock);
        std::future::pending().await
    }

    /// What is left of the budget now; absent if nobody wished an end. After a second signal there is no more than haste.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        let left = self.begun.get()?.saturating_add(self.budget).saturating_sub(now);
        Some(if self.stop.urgency() >= Urgency::Now { left.min(HASTE_BUDGET) } else { left })
    }

    /// When to do what, counted from now. The time of the killing signal is what was told; where little else is left, ends
    /// are recorded in haste, and not given up.
    fn times(&self, clock: &dyn Clock) -> ShutdownTimes {
        let (begun, now) = (self.begun(clock), clock.monotonic());
        let [kill_after, left] =
            [self.kill_after, self.budget].map(|time| begun.saturating_add(time).saturating_sub(now));
        let times = if left > HASTE_BUDGET { ShutdownTimes::of(left) } else { ShutdownTimes::at_once(HASTE_BUDGET) };
        ShutdownTimes { kill_after, ..times }
    }

    /// What is said when it begins.
    fn told(&self) -> String {
        if self.kill_after.is_zero() {
            return "stopping: runs are killed at once".to_owned();
        }
        let millis = u64::try_from(self.kill_after.as_millis()).unwrap_or(u64::MAX);
        let time = DurationMs::from_millis(millis).unwrap_or(STOP_WITHIN_DEFAULT);
        format!("stopping: runs have {time} to end and are killed then; a second signal kills them at once")
    }
}

/// Waits for the wish to stop, and ends all attempts or leaves them to their shims.
pub(super) async fn stop_all(writer: &Writer, ending: &Ending, detach: bool, progress: &dyn Progress) {
    if !detach {
        return end_all(writer, ending).await;
    }
    let (stop, runner) = (&ending.stop, &writer.runner);
    stop.reached(Urgency::Soon).await;
    writer.stop_timers(Duration::ZERO).await;
    let clock = writer.engine.clock().clone();
    // The rest is for closing the journal.
    let budget = ending.begun(&*clock).saturating_add(ending.budget.mul_f64(0.9)).saturating_sub(clock.monotonic());
    let left = tokio::select! {
        biased;
        left = runner.leave(budget) => left,
        () = stop.reached(Urgency::Now) => runner.leave(Duration::ZERO).await,
    };
    // A start that has no shim yet is not waited for.
    stop.request(Urgency::GivenUp);
    let text = format!("left {left} runs to their shims; whoever opens the data directory next finds them");
    progress.show(&Step::Remark { text: &text });
}

/// Waits for the wish to stop, ends all attempts within one budget, and then gives up on what is left.
async fn end_all(writer: &Writer, ending: &Ending) {
    let stop = &ending.stop;
    stop.reached(Urgency::Soon).await;
    let runner = &writer.runner;
    let clock = writer.engine.clock().clone();
    ending.begun(&*clock);
    // A run that stands still could not follow the polite signal.
    writer.stop_timers(Duration::ZERO).await;
    let hasten = async {
        stop.reached(Urgency::Now).await;
        runner.shutdown_in(ShutdownTimes::at_once(HASTE_BUDGET)).await;
    };
    tokio::select! {
        biased;
        _ = runner.shutdown_in(ending.times(&*clock)) => {}
        () = hasten => {}
    }
    stop.request(Urgency::GivenUp);
}

/// Turns signals into the wish to stop, and keeps the first.
pub(super) async fn watch(
    interrupts: &mut Interrupts,
    ending: &Ending,
    first: &OnceLock<Signal>,
    detach: bool,
    progress: &dyn Progress,
) -> Infallible {
    let stop = &ending.stop;
    loop {
        let signal = interrupts.next().await;
        // Only the first one counts for the exit code.
        let _ = first.set(signal);
        if detach {
            stop.request(if stop.is_requested() { Urgency::Now } else { Urgency::Soon });
        } else if stop.is_requested() {
            progress.show(&Step::Remark { text: "stopping at once" });
            stop.request(Urgency::Now);
        } else {
            progress.show(&Step::Remark { text: &ending.told() });
            stop.request(Urgency::Soon);
        }
    }
}

#[cfg(test)]
mod tests {
    use tachograph_adapters::clock::ManualClock;
    use tachograph_engine::domain::Timestamp;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_told_is_when_runs_are_killed_and_there_is_time_to_record_that() {
        for (budget, kill_after, record_within, told) in [
            (
                20_000,
                18_000,
                19_500,
                "stopping: runs have 18s to end and are killed then; a second signal kills them at once",
            ),
            (
                10_000,
                9_000,
                9_750,
                "stopping: runs have 9s to end and are killed then; a second signal kills them at once",
            ),
            (
                200,
                100,
                1_000,
                "stopping: runs have 100ms to end and are killed then; a second signal kills them at once",
            ),
            (0, 0, 1_000, "stopping: runs are killed at once"),
        ] {
            let (ending, clock) = (Ending::within(ms(budget)), ManualClock::new(Timestamp::from_micros(0)));
            let times = ending.times(&clock);
            assert_eq!((times.kill_after, times.record_within), (ms(kill_after), ms(record_within)), "{budget} ms");
            assert_eq!(ending.told(), told);
            // However long it took to begin.
            clock.advance(ms(60));
            let kill_after = ms(kill_after).saturating_sub(ms(60));
            assert_eq!(ending.times(&clock).kill_after, kill_after, "{budget} ms");
            clock.advance(ms(budget));
            let late = ending.times(&clock);
            assert_eq!((late.kill_after, late.record_within), (Duration::ZERO, ms(1_000)), "{budget} ms");
        }
    }
}
