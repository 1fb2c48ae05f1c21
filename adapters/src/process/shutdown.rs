//! Ending everything that is under way within one budget.

use std::time::Duration;

use tachograph_engine::domain::{AttemptId, RunId};

use super::handle::{Live, Phase, Stop};
use super::runner::ProcessRunner;

/// What is kept of a budget for what comes after the killing signal, unless that is more than half of it.
const REST_MIN: Duration = Duration::from_secs(1);

/// What a shutdown came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShutdownReport {
    /// Attempts that were under way and are recorded.
    pub ended: usize,
    /// Attempts that did not end within the budget, for example in an uninterruptible wait. Recovery will record them.
    pub unfinished: Vec<(RunId, AttemptId)>,
}

/// When a shutdown does what, counted from its beginning, which is when the polite signal goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownTimes {
    /// Until the killing signal.
    pub kill_after: Duration,
    /// Until output that is still open is given up, and shims that have not come to starting their commands are killed.
    pub drain_within: Duration,
    /// Until ends that are not recorded yet are not waited for any longer.
    pub record_within: Duration,
}

impl ShutdownTimes {
    /// Of one budget for everything. The killing signal comes at its end but for a rest: a tenth of it, a second at least, but
    /// never more than half of it. Half of the rest is for output, a quarter for the records, and a quarter is left to the
    /// caller, who has a journal to close.
    pub fn of(budget: Duration) -> Self {
        let rest = (budget / 10).max(REST_MIN).min(budget / 2);
        Self { kill_after: budget - rest, drain_within: budget - rest / 2, record_within: budget - rest / 4 }
    }

    /// The killing signal right after the polite one, and all of the budget for what comes then.
    pub fn at_once(budget: Duration) -> Self {
        Self { kill_after: Duration::ZERO, drain_within: budget.mul_f64(0.75), record_within: budget }
    }
}

impl ProcessRunner {
    /// Ends everything within one budget, which is divided as in [`ShutdownTimes::of`]: the polite signal to all groups at once,
    /// output drained meanwhile, the killing signal towards the end of the budget, and every end recorded. The grace of the
    /// options has no part in it. Nothing more is started.
    pub async fn shutdown(&self, budget: Duration) -> ShutdownReport {
        self.shutdown_in(ShutdownTimes::of(budget)).await
    }

    /// The same at given times. What is asked to end already, here or by a former shutdown, is killed when the first of all
    /// who asked wanted that: asking again brings it forward, and never puts it off.
    pub async fn shutdown_in(&self, times: ShutdownTimes) -> ShutdownReport {
        self.close_to_starts();
        let clock = self.clock().0;
        let at = |after: Duration| clock.monotonic().saturating_add(after);
        let stop = Stop { kill_at: at(times.kill_after), drain_by: Some(at(times.drain_within)) };
        let all = self.registry().all();
        all.iter().for_each(|live| live.stop(stop));
        let settled = async {
            for live in &all {
                let _ = live.settled.subscribe().wait_for(|settled| *settled).await;
            }
        };
        tokio::select! {
            biased;
            () = settled => {}
            () = clock.sleep(times.record_within) => {}
        }
        self.close_report_socket();
        // A shim may still be there although its end is recorded, and be waiting for the disk.
        let is_recorded = |live: &Live| matches!(*live.phase.borrow(), Phase::Ended(_));
        let unfinished = all.iter().filter(|live| !*live.settled.borrow() && !is_recorded(live));
        let unfinished: Vec<_> = unfinished.map(|live| (live.run, live.attempt)).collect();
        ShutdownReport { ended: all.len() - unfinished.len(), unfinished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_killing_signal_comes_at_the_end_of_the_budget_but_for_what_follows_it() {
        for (budget_ms, expected_ms) in [
            (60_000, [54_000, 57_000, 58_500]),
            (20_000, [18_000, 19_000, 19_500]),
            (10_000, [9_000, 9_500, 9_750]),
            (3_000, [2_000, 2_500, 2_750]),
            (1_000, [500, 750, 875]),
            (0, [0, 0, 0]),
        ] {
            let times = ShutdownTimes::of(Duration::from_millis(budget_ms));
            let all = [times.kill_after, times.drain_within, times.record_within];
            assert_eq!(all, expected_ms.map(Duration::from_millis), "{budget_ms} ms");
        }
        assert!(ShutdownTimes::of(Duration::MAX).kill_after > Duration::MAX / 2, "no budget is too long");
    }
}
