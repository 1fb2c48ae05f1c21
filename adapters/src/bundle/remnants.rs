//! What other texts hold of values that are left out: whole, escaped, line by line, or cut.
//!
//! The recorder writes a value within a message as `{:?}` does, and only its beginning; programs print it in their own
//! ways. So a value is looked for in every form that an escape makes of it, and whatever was written by hand or by a
//! program goes if it shares a few bytes with one of these forms: better too much than too little.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

use aho_corasick::AhoCorasick;

use super::error::BundleError;
use super::texts::TextKind;

/// Shorter values, and shorter lines of values, are not looked for in other texts: they are in too many.
pub(super) const SEARCHED_BYTES_MIN: usize = 4;
/// A free text that shares so many bytes in a row with a value goes.
const SHARED_BYTES: usize = 8;
/// Different values that are looked for in other texts.
pub(super) const VALUES_MAX: usize = 200_000;
/// Different runs of [`SHARED_BYTES`] bytes in all values: some hundred megabytes of memory.
const SHARED_MAX: usize = 8_000_000;
/// Bytes of all values, their forms and lines.
const FORMS_BYTES_MAX: usize = 64 << 20;

type Shared = HashSet<[u8; SHARED_BYTES], BuildHasherDefault<DefaultHasher>>;

/// Finds what texts hold of values.
pub(super) struct Remnants {
    /// Values in all their forms, and their lines.
    whole: AhoCorasick,
    /// Every run of [`SHARED_BYTES`] bytes in a form of a value.
    shared: Shared,
    /// Values as keys are compared with them.
    values: HashSet<String>,
    long: AhoCorasick,
}

impl Remnants {
    pub(super) fn of(values: HashSet<String>) -> Result<Self, BundleError> {
        let too_many = || BundleError::TooManyValues { max: VALUES_MAX };
        let (mut whole, mut shared, mut bytes) = (HashSet::new(), Shared::default(), 0);
        for value in &values {
            let forms = forms(value);
            shared.extend(forms.iter().flat_map(|form| windows(form)));
            let lines = value.split(char::is_control).map(str::trim).map(str::to_owned);
            for text in forms.into_iter().chain(lines).filter(|text| text.len() >= SEARCHED_BYTES_MIN) {
                bytes += text.len();
                whole.insert(text);
            }
            if shared.len() > SHARED_MAX || bytes > FORMS_BYTES_MAX {
                return Err(too_many());
            }
        }
        let long = values.iter().filter(|value| value.len() >= SHARED_BYTES);
        let long = AhoCorasick::new(long).map_err(|_| too_many())?;
        let whole = AhoCorasick::new(&whole).map_err(|_| too_many())?;
        Ok(Self { whole, shared, values, long })
    }

    /// Whether a text of this kind must not stay.
    pub(super) fn are_in(&self, kind: TextKind, text: &str) -> bool {
        match kind {
            // A short word within a key is no value: `com.docker.compose.project` says nothing of an actor `docker`.
            TextKind::Key => self.values.contains(text) || self.long.is_match(text),
            _ => self.whole.is_match(text) || (kind.is_free() && self.shares(text)),
        }
    }

    fn shares(&self, text: &str) -> bool {
        windows(text).any(|window| self.shared.contains(&window))
    }
}

fn windows(text: &str) -> impl Iterator<Item = [u8; SHARED_BYTES]> {
    text.as_bytes().windows(SHARED_BYTES).filter_map(|window| window.try_into().ok())
}

/// A text as it is, and as it looks within other texts: escaped once or twice, as Rust, JSON and a shell do it.
fn forms(value: &str) -> HashSet<String> {
    let once = escaped(value);
    let twice: Vec<String> = once.iter().filter(|form| *form != value).flat_map(|form| escaped(form)).collect();
    once.into_iter().chain(twice).chain([value.to_owned()]).collect()
}

fn escaped(text: &str) -> Vec<String> {
    let unquoted = |text: String| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned);
    let json = serde_json::to_string(text).ok().and_then(unquoted);
    let forms = [
        unquoted(format!("{text:?}")),
        json,
        Some(text.escape_default().to_string()),
        Some(text.replace('\'', r"'\''")),
        Some(text.replace('\'', r#"'"'"'"#)),
    ];
    forms.into_iter().flatten().collect()
}
