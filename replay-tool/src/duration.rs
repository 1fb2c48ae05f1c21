//! Durations as people write them: `30s`, `1m30s`, `500ms`, `1.5h`, or a plain number of seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tachograph_engine::domain::Timestamp;
use tachograph_engine::domain::limits::SNAPSHOT_DELAY_MS_MAX;

/// The longest duration that is accepted: 100 years of 365 days.
pub const DURATION_MS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1_000;

/// How long a run may take to become ready, unless something else is said.
pub const READY_WITHIN_DEFAULT: DurationMs = DurationMs(30_000);

/// What the runs of a supervisor get together to end after a signal, unless something else is said.
pub const STOP_WITHIN_DEFAULT: DurationMs = DurationMs(10_000);

/// Units from the longest to the shortest, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration of whole milliseconds, 0 to [`DURATION_MS_MAX`].
///
/// Text form: one or more numbers with a unit (`d`, `h`, `m`, `s`, `ms`), the longer unit first, each unit at most once,
/// without blanks. A number without any unit means seconds. Numbers may have decimals as long as the whole is a number of
/// milliseconds. [`Display`](fmt::Display) gives the shortest such text without decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(u64);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It does not have the form.
    #[error("expected a duration such as \"30s\", \"1m30s\" or \"500ms\", or a number of seconds")]
    Form,
    /// A unit is unknown.
    #[error("unknown unit {0:?}; use d, h, m, s or ms")]
    Unit(String),
    /// A unit appears twice, or after a shorter one.
    #[error("the unit {0:?} is out of order; write the longer unit first and each unit once")]
    Order(&'static str),
    /// It is not a whole number of milliseconds.
    #[error("is finer than one millisecond")]
    TooFine,
    /// It is longer than the bound.
    #[error("is longer than 100 years")]
    TooLong,
}

impl DurationMs {
    /// From milliseconds.
    ///
    /// # Errors
    ///
    /// [`DurationError::TooLong`] over [`DURATION_MS_MAX`].
    pub const fn from_millis(millis: u64) -> Result<Self, DurationError> {
        if millis > DURATION_MS_MAX { Err(DurationError::TooLong) } else { Ok(Self(millis)) }
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's type.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it has no length.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Whether a snapshot may be taken after this delay.
///
/// # Errors
///
/// What is wrong, for people.
pub fn check_snapshot_delay(delay: DurationMs) -> Result<(), String> {
    let fits = i64::try_from(delay.as_millis()).is_ok_and(|millis| millis <= SNAPSHOT_DELAY_MS_MAX);
    if fits { Ok(()) } else { Err("is longer than 30 days, the longest delay of a snapshot".to_owned()) }
}

impl FromStr for DurationMs {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let (mut rest, mut total, mut units) = (text, 0_u64, UNITS.iter());
        while !rest.is_empty() {
            let (number, after) = split_at(rest, |char| char.is_ascii_digit() || char == '.');
            let (unit, after) = split_at(after, |char| !char.is_ascii_digit() && char != '.');
            if number.is_empty() {
                return Err(DurationError::Form);
            }
            let whole_text = rest.len() == text.len() && after.is_empty();
            let unit_ms = match unit {
                "" if whole_text => 1_000,
                "" => return Err(DurationError::Form),
                _ => next_unit(&mut units, unit)?,
            };
            total = total.checked_add(scale(number, unit_ms)?).ok_or(DurationError::TooLong)?;
            rest = after;
        }
        if text.is_empty() { Err(DurationError::Form) } else { Self::from_millis(total) }
    }
}

/// The length of a unit, which must come after those that were taken before.
fn next_unit(units: &mut std::slice::Iter<'_, (&'static str, u64)>, unit: &str) -> Result<u64, DurationError> {
    let Some((name, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(DurationError::Unit(unit.chars().take(16).collect()));
    };
    units.find(|(later, _)| later == name).ok_or(DurationError::Order(name))?;
    Ok(*unit_ms)
}

/// A decimal number times a unit, exactly: nothing is rounded.
fn scale(number: &str, unit_ms: u64) -> Result<u64, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(DurationError::Form);
    }
    let whole: u64 = whole.parse().map_err(|_| DurationError::TooLong)?;
    let millis = whole.checked_mul(unit_ms).ok_or(DurationError::TooLong)?;
    millis.checked_add(scale_fraction(fraction.trim_end_matches('0'), unit_ms)?).ok_or(DurationError::TooLong)
}

/// The digits after the point times a unit. A day has 11 factors of two and fewer of five, so that no more than 11
/// digits can make whole milliseconds.
fn scale_fraction(digits: &str, unit_ms: u64) -> Result<u64, DurationError> {
    let parts: u128 = match digits.len() {
        0 => return Ok(0),
        1..=11 => digits.parse().map_err(|_| DurationError::Form)?,
        _ => return Err(DurationError::TooFine),
    };
    let (product, power) = (parts * u128::from(unit_ms), 10_u128.pow(u32::try_from(digits.len()).unwrap_or(11)));
    match product % power {
        0 => u64::try_from(product / power).map_err(|_| DurationError::TooLong),
        _ => Err(DurationError::TooFine),
    }
}

fn split_at(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|char| !belongs(char)).unwrap_or(text.len()))
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (name, unit_ms) in UNITS {
            if left >= unit_ms {
                write!(f, "{}{name}", left / unit_ms)?;
                left %= unit_ms;
            }
        }
        Ok(())
    }
}

/// Reads a duration in which every number has a unit, for places where a number alone means something else.
///
/// # Errors
///
/// [`DurationError`], with [`DurationError::Form`] for a number alone.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.ends_with(|char: char| char.is_ascii_digit()) {
        return Err(DurationError::Form);
    }
    text.parse().map(DurationMs::as_duration)
}

/// A duration in microseconds for people, with two units at most: `3.2s`, `4m07s`, `2h05m`, `3d04h`.
pub fn human(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0 if micros < 1_000 => format!("{micros}µs"),
        0 => format!("{}ms", micros / 1_000),
        1..60 => format!("{seconds}.{}s", micros % 1_000_000 / 100_000),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Microseconds from one time to a later one; 0 if it is not later, as after a clock stepped back.
pub fn between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_micros().saturating_sub(earlier.as_micros())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(text: &str) -> Result<u64, DurationError> {
        text.parse().map(DurationMs::as_millis)
    }

    #[test]
    fn the_documented_forms() {
        for (text, expected) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("2", 2_000),
            ("0.25", 250),
            ("0", 0),
            ("1d2h3m4s5ms", 93_784_005),
            ("1.50000000000000000000s", 1_500),
            ("36500d", DURATION_MS_MAX),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", DurationError::Form),
            ("s", DurationError::Form),
            ("-1s", DurationError::Form),
            ("1m30", DurationError::Form),
            ("1..5s", DurationError::Form),
            (".5s", DurationError::Form),
            ("5.", DurationError::Form),
            ("1 s", DurationError::Unit(" s".to_owned())),
            ("3weeks", DurationError::Unit("weeks".to_owned())),
            ("1s1m", DurationError::Order("m")),
            ("1s1s", DurationError::Order("s")),
            ("0.0001s", DurationError::TooFine),
            ("0.5ms", DurationError::TooFine),
            ("0.123456789012s", DurationError::TooFine),
            ("36501d", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
            ("18446744073709551615d", DurationError::TooLong),
        ] {
            assert_eq!(millis(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn people_see_two_units_at_most() {
        for (micros, text) in [
            (0, "0µs"),
            (999_999, "999ms"),
            (3_250_000, "3.2s"),
            (247_000_000, "4m07s"),
            (7_500_000_000, "2h05m"),
            (273_600_000_000, "3d04h"),
        ] {
            assert_eq!(human(micros), text);
        }
    }

    #[test]
    fn from_a_later_time_to_an_earlier_one_is_no_time() {
        let at = Timestamp::from_micros;
        assert_eq!((between(at(3), at(10)), between(at(10), at(10)), between(at(10), at(3))), (7, 0, 0));
    }

    #[test]
    fn where_a_number_alone_means_something_else_units_are_needed() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        for text in ["90", "1.5", "1h30", ""] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 0..=DURATION_MS_MAX) {
            let duration = DurationMs::from_millis(ms).unwrap();
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn a_number_of_seconds_is_exact(ms in 0..=DURATION_MS_MAX) {
            prop_assert_eq!(millis(&format!("{}.{:03}", ms / 1_000, ms % 1_000)), Ok(ms));
        }

        #[test]
        fn no_text_panics(text in "[0-9.a-z ñ-]{0,24}") {
            if let Ok(duration) = text.parse::<DurationMs>() {
                prop_assert!(duration.as_millis() <= DURATION_MS_MAX);
            }
        }
    }
}
