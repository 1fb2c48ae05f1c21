//! Sizes as people write them: `64MB`, `1GiB`, `512K`, or a plain number of bytes.

use std::fmt;
use std::str::FromStr;

/// Units with their bytes. The short ones are the decimal ones.
const UNITS: [(&str, u64); 11] = [
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// A number of bytes.
///
/// Text form: a whole number and a unit (`B`, `K` or `kB`, `KiB`, `M` or `MB`, `MiB`, `G` or `GB`, `GiB`, `TiB`; upper and
/// lower case alike), without a blank. A number without any unit means bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not have the form.
    #[error("expected a size such as \"64MB\", \"1GiB\" or a number of bytes")]
    Form,
    /// The unit is unknown.
    #[error("unknown unit {0:?}; use B, kB, KiB, MB, MiB, GB, GiB or TiB")]
    Unit(String),
    /// It has more bytes than 64 bits can count.
    #[error("is too large")]
    TooLarge,
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if number.is_empty() {
            return Err(SizeError::Form);
        }
        let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
        let unit_bytes = match unit {
            "" => 1,
            unit => {
                let known = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name));
                known.ok_or_else(|| SizeError::Unit(unit.chars().take(16).collect()))?.1
            }
        };
        number.checked_mul(unit_bytes).map(Self).ok_or(SizeError::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64MB", 64_000_000), ("1gib", 1 << 30), ("3k", 3_000), ("2KiB", 2_048)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        assert_eq!("MB".parse::<Size>(), Err(SizeError::Form));
        assert_eq!("1.5MB".parse::<Size>(), Err(SizeError::Unit(".5MB".to_owned())));
        assert_eq!("-1".parse::<Size>(), Err(SizeError::Form));
        assert_eq!("99999999999TiB".parse::<Size>(), Err(SizeError::TooLarge));
        assert_eq!("99999999999999999999".parse::<Size>(), Err(SizeError::TooLarge));
    }
}
