//! Fields of JSON values that somebody else wrote.

use serde_json::{Map, Value};
use tachograph_engine::domain::Timestamp;

use super::observation::Unreadable;

/// Characters of a foreign text that a message repeats.
const SHOWN_CHARS: usize = 64;

/// What is wrong with a field.
pub(super) fn wrong(field: &str, why: impl std::fmt::Display) -> Unreadable {
    Unreadable { column: 1, why: format!("{field}: {why}") }
}

/// The object that an event is.
pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, Unreadable> {
    value.as_object().ok_or_else(|| Unreadable { column: 1, why: "is no JSON object".to_owned() })
}

/// A field within fields, if it is there and not null.
pub(super) fn at<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = object.get(first).filter(|value| !value.is_null())?;
    match rest {
        Some(rest) => at(value.as_object()?, rest),
        None => Some(value),
    }
}

/// A text that is there and not empty.
pub(super) fn text<'a>(object: &'a Map<String, Value>, path: &str) -> Result<Option<&'a str>, Unreadable> {
    match at(object, path) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(wrong(path, format_args!("expected a text, found {}", kind(other)))),
    }
}

/// The first of several fields that has a text.
pub(super) fn first_text<'a>(object: &'a Map<String, Value>, paths: &[&str]) -> Result<Option<&'a str>, Unreadable> {
    for path in paths {
        if let Some(text) = text(object, path)? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// A text that must be there.
pub(super) fn required<'a>(object: &'a Map<String, Value>, path: &str) -> Result<&'a str, Unreadable> {
    let why = if at(object, path).is_some() { "is empty" } else { "is missing" };
    text(object, path)?.ok_or_else(|| wrong(path, why))
}

/// A whole number, if the field is there.
pub(super) fn number(object: &Map<String, Value>, path: &str) -> Result<Option<i64>, Unreadable> {
    match at(object, path) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(path, format_args!("expected a whole number of 64 bits, found {}", kind(value)))),
        },
    }
}

/// A time in RFC 3339, if the field is there.
pub(super) fn time(object: &Map<String, Value>, path: &str) -> Result<Option<Timestamp>, Unreadable> {
    text(object, path)?.map(|text| parse_time(path, text)).transpose()
}

pub(super) fn parse_time(path: &str, text: &str) -> Result<Timestamp, Unreadable> {
    text.parse().map_err(|_| wrong(path, format_args!("{:?} is no time in RFC 3339", shown(text))))
}

/// A time out of a number of some unit since 1970, if a journal can hold it.
pub(super) fn since_epoch(path: &str, count: i64, per_second: i64) -> Result<Timestamp, Unreadable> {
    let micros = i128::from(count) * 1_000_000;
    let micros = micros.div_euclid(i128::from(per_second));
    i64::try_from(micros)
        .ok()
        .filter(|micros| Timestamp::from_micros(*micros).as_micros() == *micros)
        .map(Timestamp::from_micros)
        .ok_or_else(|| wrong(path, format_args!("{count} lies outside of the years 1 to 9999")))
}

/// What a value is, for messages.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The beginning of a text that somebody else wrote.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// The beginning of a text within a number of bytes.
pub(super) fn bounded(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
