//! Timers: the wheel and the fold that fills it, on a manual clock.
//!
//! | module | what belongs there |
//! | --- | --- |
//! | `delays` | what a timer does: fires after its delay, once, in order; cancel, look up, re-arm |
//! | `clock_steps` | stalls, a wall clock that steps back and forth, the ends of time |
//! | `model` | random interleavings against a sorted list, and what memory they leave |
//! | `fold` | armed snapshots and deadlines out of entries |

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod clock_steps;
mod delays;
mod fold;
mod model;

use tachograph_engine::domain::Timestamp;
use tachograph_projections::TimerWheel;

/// 2026-11-21T03:12:00Z, in milliseconds.
const START_MS: i64 = 1_795_230_720_000;

/// A time so many milliseconds after the start.
fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(START_MS * 1_000).plus_millis(ms)
}

/// All that is due at this time, in the order in which it is handed out.
fn popped<K: Copy + Ord + std::hash::Hash>(wheel: &mut TimerWheel<K>, ms: i64) -> Vec<K> {
    std::iter::from_fn(|| wheel.pop_due(at(ms))).map(|due| due.key).collect()
}
