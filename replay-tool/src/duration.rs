//! Durations as people write them: `90s`, `1h30m`, `250ms`.

use std::time::Duration;

/// The units, longest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: expected numbers with units, for example 90s, 1h30m or 250ms")]
pub struct DurationError(pub String);

/// Reads numbers with the units `d`, `h`, `m`, `s` and `ms`, for example `1h30m`. A number without a unit is an error.
///
/// # Errors
///
/// [`DurationError`] with the text, cut to 64 characters; also for one that is longer than 500 million years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    total_ms(text).map(Duration::from_millis).ok_or_else(|| DurationError(text.chars().take(64).collect()))
}

fn total_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: Option<u64> = None;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*unit_ms)?;
        total = Some(total.unwrap_or(0).checked_add(part)?);
        rest = next;
    }
    total
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_units() {
        for (text, millis) in [("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "90", "s", "1.5h", "-1s", "1h 30m", "1y", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
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
}
