//! How long something may take.

use std::time::{Duration, Instant};

use super::FreezeError;

const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A limit that is waited out in growing steps.
#[derive(Debug)]
pub(super) struct Limit {
    begun: Instant,
    limit_ms: u64,
    pause: Duration,
}

impl Limit {
    pub(super) fn of(limit_ms: u64) -> Self {
        Self { begun: Instant::now(), limit_ms, pause: PAUSE_MIN }
    }

    pub(super) fn is_over(&self) -> bool {
        self.begun.elapsed() >= Duration::from_millis(self.limit_ms)
    }

    /// Something happened: what comes next is awaited in small steps again.
    pub(super) fn quicken(&mut self) {
        self.pause = PAUSE_MIN;
    }

    pub(super) fn pause(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// What to say of a process that moved when the limit was over.
    pub(super) fn missed_by(&self, pid: u32) -> FreezeError {
        FreezeError::NotStopped { pid, why: format!("it was awaited for {} ms", self.limit_ms) }
    }
}
