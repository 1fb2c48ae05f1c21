//! Deadlines on the monotonic clock.

use std::time::{Duration, Instant};

use rustix::event::Timespec;

/// As good as never, and no overflow.
const CENTURY_MS: u64 = 100 * 366 * 24 * 3_600 * 1_000;

/// The instant so many milliseconds after another.
pub(super) fn after_ms(from: Instant, ms: u64) -> Instant {
    from.checked_add(Duration::from_millis(ms.min(CENTURY_MS))).unwrap_or(from)
}

/// How long to wait for the earliest of these deadlines; for ever if there is none. Never ends too early.
pub(super) fn until_first(deadlines: &[Option<Instant>]) -> Option<Timespec> {
    let first = deadlines.iter().flatten().min()?;
    let left = first.saturating_duration_since(Instant::now());
    Some(Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    })
}

/// Whether this deadline has passed; it is taken away then.
pub(super) fn passed(deadline: &mut Option<Instant>) -> bool {
    deadline.take_if(|at| *at <= Instant::now()).is_some()
}
