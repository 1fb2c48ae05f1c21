//! Reading TOML values of one kind, with a note of where another one was found.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::problem::Problems;

/// A value with its place in the file.
pub(super) type Item<'text> = Spanned<DeValue<'text>>;

pub(super) fn string(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<String> {
    expect(item, place, "a string", DeValue::as_str, problems).map(str::to_owned)
}

pub(super) fn table<'item, 'text>(
    item: &'item Item<'text>,
    place: &str,
    problems: &mut Problems<'_>,
) -> Option<&'item DeTable<'text>> {
    expect(item, place, "a table", DeValue::as_table, problems)
}

pub(super) fn array<'item, 'text>(
    item: &'item Item<'text>,
    place: &str,
    problems: &mut Problems<'_>,
) -> Option<&'item DeArray<'text>> {
    expect(item, place, "an array of strings", DeValue::as_array, problems)
}

/// An integer within bounds.
pub(super) fn integer(
    item: &Item<'_>,
    place: &str,
    bounds: std::ops::RangeInclusive<i64>,
    problems: &mut Problems<'_>,
) -> Option<i64> {
    let what = "an integer";
    let integer = expect(item, place, what, DeValue::as_integer, problems)?;
    match to_i64(integer).filter(|number| bounds.contains(number)) {
        Some(number) => Some(number),
        None => {
            let (least, most) = (bounds.start(), bounds.end());
            let integer: String = integer.as_str().chars().take(32).collect();
            problems.note(item.span().start, format!("{place}: {integer} is out of bounds; {least} to {most}"));
            None
        }
    }
}

fn to_i64(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The entries of a table in the order of the file.
pub(super) fn entries<'item, 'text>(table: &'item DeTable<'text>) -> Vec<Entry<'item, 'text>> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, item)| Entry { key: key.get_ref(), at: key.span().start, item }).collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// A key with its place in the file, and its value.
pub(super) struct Entry<'item, 'text> {
    pub(super) key: &'item str,
    /// Offset of the key.
    pub(super) at: usize,
    pub(super) item: &'item Item<'text>,
}

/// A table of strings with the offsets of their values. An entry that is no string is noted and left out.
pub(super) fn strings(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> BTreeMap<String, (usize, String)> {
    let Some(table) = table(item, place, problems) else { return BTreeMap::new() };
    let mut strings = BTreeMap::new();
    for Entry { key, item, .. } in entries(table) {
        if let Some(value) = string(item, &under(place, key), problems) {
            strings.insert(key.to_owned(), (item.span().start, value));
        }
    }
    strings
}

/// The place of a key in a table, as TOML would write it.
pub(super) fn under(place: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    // Cut, so that a key of megabytes does not become a message of megabytes.
    let shown: String = key.chars().take(64).collect();
    if bare { format!("{place}.{shown}") } else { format!("{place}.{shown:?}") }
}

/// The value in the form that is wanted, or a note of what is there instead.
pub(super) fn expect<'item, 'text, T>(
    item: &'item Item<'text>,
    place: &str,
    what: &str,
    as_wanted: impl FnOnce(&'item DeValue<'text>) -> Option<T>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let wanted = as_wanted(item.get_ref());
    if wanted.is_none() {
        mismatch(item, place, what, problems);
    }
    wanted
}

/// Notes that a value is not of the kind that was expected.
pub(super) fn mismatch(item: &Item<'_>, place: &str, what: &str, problems: &mut Problems<'_>) {
    let found = match item.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    problems.note(item.span().start, format!("{place}: expected {what}, found {found}"));
}
