//! Points in time and history as people write them.

use std::str::FromStr;
use std::time::Duration;

use tachograph_engine::domain::{Position, Timestamp};

use crate::duration;

/// A point in time: RFC 3339, or so long before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This very time.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl When {
    /// The absolute time, given the present one.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => {
                let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_micros(now.as_micros().saturating_sub(micros))
            }
        }
    }
}

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected {expected}")]
pub struct WhenError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

fn wrong(what: &'static str, expected: &'static str, text: &str) -> WhenError {
    WhenError { what, expected, text: text.chars().take(64).collect() }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let ago = text.strip_suffix("ago").map_or(text, str::trim_end);
        if let Ok(duration) = duration::parse(ago) {
            return Ok(Self::Ago(duration));
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| wrong("time", "RFC 3339 (2026-11-21T03:12:00Z) or a duration before now (90s, 2h, 3d)", text))
    }
}

/// How far history is read: to a position, or to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Up to this position, itself included.
    Position(Position),
    /// Up to the last entry that was recorded at or before this time.
    Time(When),
}

impl AsOf {
    /// The position, if one was asked for.
    pub const fn asked_position(self) -> Option<Position> {
        match self {
            Self::Position(position) => Some(position),
            Self::Time(_) => None,
        }
    }
}

impl FromStr for AsOf {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        if let Ok(position) = text.parse::<u64>() {
            return Ok(Self::Position(Position(position)));
        }
        let expected = "a position (1042), RFC 3339 (2026-11-21T03:12:00Z) or a duration before now (90s, 2h, 3d)";
        text.parse().map(Self::Time).map_err(|_| wrong("position or time", expected, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_relative_to_now() {
        let now = Timestamp::from_micros(10_000_000);
        let at = |text: &str| text.parse::<When>().map(|when| when.resolve(now).as_micros());
        assert_eq!(at("2s"), Ok(8_000_000));
        assert_eq!(at("2s ago"), Ok(8_000_000));
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1_000_000));
        assert_eq!(at("1970-01-01T01:00:01+01:00"), Ok(1_000_000));
        assert!(at("yesterday").unwrap_err().to_string().contains("RFC 3339"));
        assert!(at("12").is_err(), "a bare number is a position, not a time");
    }

    #[test]
    fn a_bare_number_is_a_position() {
        assert_eq!("12".parse(), Ok(AsOf::Position(Position(12))));
        assert_eq!("12s".parse(), Ok(AsOf::Time(When::Ago(Duration::from_secs(12)))));
        assert!("-1".parse::<AsOf>().unwrap_err().to_string().contains("a position (1042)"));
    }
}
