//! Milliseconds of the wall clock as a wheel counts them.

use tachograph_engine::domain::Timestamp;

/// Whole milliseconds since [`Timestamp::MIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Tick(pub(super) u64);

const MICROS: i64 = 1_000;

impl Tick {
    /// The last tick that begins at or before `now`.
    pub(super) const fn reached_at(now: Timestamp) -> Self {
        Self(since_min(now) / MICROS as u64)
    }

    /// The first tick that does not begin before `due`, so that nothing fires early. The last millisecond of the year
    /// 9999 has no tick after it and counts as its own beginning.
    pub(super) const fn firing(due: Timestamp) -> Self {
        let (firing, last) = (since_min(due).div_ceil(MICROS as u64), Self::reached_at(Timestamp::MAX));
        if firing < last.0 { Self(firing) } else { last }
    }

    /// The last due time that [fires](Self::firing) at this tick or before: what is due later fires later.
    pub(super) fn last_due(self) -> Timestamp {
        if self < Self::reached_at(Timestamp::MAX) { self.begins() } else { Timestamp::MAX }
    }

    /// When it begins.
    pub(super) const fn begins(self) -> Timestamp {
        Timestamp::from_micros(Timestamp::MIN.as_micros() + self.0 as i64 * MICROS)
    }
}

const fn since_min(time: Timestamp) -> u64 {
    // Never negative: no timestamp is before the earliest.
    (time.as_micros() - Timestamp::MIN.as_micros()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_between_ticks_rounds_up_and_now_rounds_down() {
        for micros in [-1_001, -1_000, -999, -1, 0, 1, 999, 1_000, 1_001, 1_795_230_720_000_250] {
            let time = Timestamp::from_micros(micros);
            let (reached, firing) = (Tick::reached_at(time).begins(), Tick::firing(time).begins());
            assert!(reached <= time && time <= firing, "{micros}");
            assert_eq!(reached.as_micros() % 1_000, 0, "{micros}");
            assert_eq!(
                firing.as_micros() - reached.as_micros(),
                if micros % 1_000 == 0 { 0 } else { 1_000 },
                "{micros}"
            );
        }
    }

    #[test]
    fn what_is_due_after_the_last_due_time_of_a_tick_fires_after_it() {
        let last = Tick::reached_at(Timestamp::MAX);
        for tick in [Tick(0), Tick(1), Tick(62_000_000_000_000), Tick(last.0 - 1), last] {
            let due = tick.last_due();
            assert!(Tick::firing(due) <= tick, "{tick:?}");
            let next = Timestamp::from_micros(due.as_micros().saturating_add(1));
            assert_eq!(Tick::firing(next) > tick, due < Timestamp::MAX, "{tick:?}");
        }
    }

    #[test]
    fn the_ends_of_time_have_ticks_that_are_reached() {
        assert_eq!(Tick::firing(Timestamp::MIN), Tick(0));
        assert_eq!(Tick::firing(Timestamp::MAX), Tick::reached_at(Timestamp::MAX));
    }
}
