//! Parameters of a question, as they are given on a command line.

use std::str::FromStr;

use rusqlite::types::Value;

use crate::duration::{self, DurationError};

/// Characters of a value that an error shows.
const VALUE_CHARS_MAX: usize = 64;

/// A parameter with its value.
///
/// Whole numbers and decimals in their shortest form are numbers, everything else is text, so that `007` stays what it is.
/// Of a name that ends in `_ms` or `_us`, the value may be a duration such as `1h30m`, and what is neither that nor a number is
/// refused: to SQLite every number is smaller than a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, without `:`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Parameter {
    /// A parameter with a whole number.
    pub fn integer(name: &str, value: i64) -> Self {
        Self { name: name.to_owned(), value: Value::Integer(value) }
    }

    /// Its value as text.
    pub(super) fn told(&self) -> String {
        match &self.value {
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Null | Value::Blob(_) => String::new(),
        }
    }
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let name = name.trim().trim_start_matches([':', '@', '$']);
        if name.is_empty() {
            return Err("the name is empty: expected NAME=VALUE".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value_of(name, value)? })
    }
}

fn value_of(name: &str, text: &str) -> Result<Value, String> {
    if let Some(number) = text.parse::<i64>().ok().filter(|number| number.to_string() == text) {
        return Ok(Value::Integer(number));
    }
    if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite() && number.to_string() == text) {
        return Ok(Value::Real(number));
    }
    let unit = if name.ends_with("_ms") { Some(1_000) } else { name.ends_with("_us").then_some(1) };
    let Some(unit) = unit else { return Ok(Value::Text(text.to_owned())) };
    let duration = duration::parse(text).map_err(|why| wrong_duration(name, text, &why))?;
    Ok(Value::Integer(i64::try_from(duration.as_micros() / unit).unwrap_or(i64::MAX)))
}

fn wrong_duration(name: &str, text: &str, why: &DurationError) -> String {
    let shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    let why = match why {
        DurationError::Form => String::new(),
        other => format!(" ({other})"),
    };
    format!(
        "{shown:?} is neither a number nor a duration{why}: give {name} as {name}=1h30m, or as a number without a unit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_look_like_and_nothing_is_lost() {
        let value = |text: &str| text.parse::<Parameter>().unwrap().value;
        assert_eq!(value("a=7"), Value::Integer(7));
        assert_eq!(value(":a=-7"), Value::Integer(-7));
        assert_eq!(value("a=1.5"), Value::Real(1.5));
        for text in ["007", "+7", "1e3", "inf", "NaN", "", "a=b", "9223372036854775808x", "1h"] {
            assert_eq!(value(&format!("a={text}")), Value::Text(text.to_owned()), "{text}");
        }
        assert_eq!(value("older_ms=1h"), Value::Integer(3_600_000));
        assert_eq!(value("older_us=2ms"), Value::Integer(2_000));
        let wrong = "older_ms=1sec".parse::<Parameter>().unwrap_err();
        assert!(wrong.contains("older_ms=1h30m") && wrong.contains("unknown unit \"sec\""), "{wrong}");
        assert!("a".parse::<Parameter>().is_err() && "=1".parse::<Parameter>().is_err());
    }
}
