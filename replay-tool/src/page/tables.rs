//! Texts and ids that are stored once and named by their number.

use std::collections::HashMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use tachograph_engine::domain::{RunId, Timestamp};

use crate::table::printable;

/// Characters of a ULID.
const ULID_CHARS: usize = 26;
/// Characters of a time with microseconds.
const TIME_CHARS: usize = 27;
/// Stands in a text for an id that is named beside it. [`printable`] leaves no control character in recorded text.
const ID_MARK: char = '\u{1}';
/// Stands in a text for a time that is given beside it.
const TIME_MARK: char = '\u{2}';
/// Stands in a text for a number that is given beside it.
const NUMBER_MARK: char = '\u{3}';
/// Digits of a number that is worth a mark, and that a double still holds exactly.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 2..=15;

/// Texts, each once, made [`printable`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Strings {
    /// The number of a recorded text.
    pub fn number(&mut self, text: &str) -> u32 {
        self.keep(printable(text))
    }

    fn keep(&mut self, text: String) -> u32 {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// The texts by their numbers.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

impl Serialize for Strings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts.serialize(serializer)
    }
}

/// Ids, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    numbers: HashMap<u128, u32>,
    column: IdColumn,
}

impl Ids {
    /// The number of an id, given as its 128 bits.
    pub fn number(&mut self, bits: u128) -> u32 {
        let next = u32::try_from(self.column.0.len()).unwrap_or(u32::MAX);
        let column = &mut self.column;
        *self.numbers.entry(bits).or_insert_with(|| {
            column.push(bits);
            next
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.column.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.column.0.is_empty()
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.column.serialize(serializer)
    }
}

/// Ids in a row. In JSON an id leaves out what it begins with like the one before it: ULIDs of one millisecond have ten
/// characters in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdColumn(Vec<u128>);

impl IdColumn {
    /// Adds an id, given as its 128 bits.
    pub fn push(&mut self, bits: u128) {
        self.0.push(bits);
    }
}

impl Serialize for IdColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        let mut before = String::new();
        for bits in &self.0 {
            let id = RunId::from_u128(*bits).to_string();
            let common = id.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
            seq.serialize_element(&id[common..])?;
            before = id;
        }
        seq.end()
    }
}

/// Numbers in a row. In JSON each is what it is more than the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deltas(Vec<i64>);

impl Deltas {
    /// Adds a number.
    pub fn push(&mut self, number: i64) {
        self.0.push(number);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Deltas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        let mut before = 0;
        for number in &self.0 {
            seq.serialize_element(&number.saturating_sub(before))?;
            before = *number;
        }
        seq.end()
    }
}

/// A text with what it shares with others apart from its own ids, times and numbers: in JSON the number of the shared part, or an
/// array of it and of what stands at its marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Text {
    /// A text without any of them.
    Plain(u32),
    /// The number of a text, then the number of an id, a time in microseconds, or a number for each of its marks.
    Marked(Vec<i64>),
}

impl Text {
    /// Keeps a text.
    pub fn of(text: &str, strings: &mut Strings, ids: &mut Ids) -> Self {
        let text = printable(text);
        let mut shared = String::with_capacity(text.len());
        let mut marks = Vec::new();
        let mut rest = text.as_str();
        while let Some(char) = rest.chars().next() {
            let at_word_start = shared.chars().next_back().is_none_or(|before| !before.is_ascii_alphanumeric());
            let (length, kept) = match at_word_start.then(|| marked(rest)).flatten() {
                Some(Mark::Id(bits)) => {
                    marks.push(i64::from(ids.number(bits)));
                    (ULID_CHARS, ID_MARK)
                }
                Some(Mark::Time(micros)) => {
                    marks.push(micros);
                    (TIME_CHARS, TIME_MARK)
                }
                Some(Mark::Number(number, digits)) => {
                    marks.push(number);
                    (digits, NUMBER_MARK)
                }
                None => (char.len_utf8(), char),
            };
            shared.push(kept);
            rest = &rest[length..];
        }
        let number = strings.keep(shared);
        if marks.is_empty() { Self::Plain(number) } else { Self::Marked([vec![i64::from(number)], marks].concat()) }
    }
}

enum Mark {
    Id(u128),
    Time(i64),
    Number(i64, usize),
}

/// The id, time or number that a text begins with, if it would be shown again exactly as it stands there.
fn marked(text: &str) -> Option<Mark> {
    if let Some(word) = word(text, ULID_CHARS)
        && let Ok(id) = word.parse::<RunId>()
        && id.to_string() == word
    {
        return Some(Mark::Id(id.to_u128()));
    }
    if let Some(word) = word(text, TIME_CHARS).filter(|word| word.as_bytes()[4] == b'-')
        && let Ok(time) = word.parse::<Timestamp>()
        && time.to_string() == word
    {
        return Some(Mark::Time(time.as_micros()));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let word = word(text, digits).filter(|word| NUMBER_DIGITS.contains(&digits) && !word.starts_with('0'))?;
    Some(Mark::Number(word.parse().ok()?, digits))
}

/// The first so many characters, if they are ASCII and no word goes on behind them.
fn word(text: &str, chars: usize) -> Option<&str> {
    let (word, rest) = text.split_at_checked(chars)?;
    let goes_on = rest.bytes().next().is_some_and(|next| next.is_ascii_alphanumeric());
    (word.is_ascii() && !goes_on).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01KAJ2AAAA0000000000000001";

    fn kept(text: &str) -> (String, String) {
        let (mut strings, mut ids) = (Strings::default(), Ids::default());
        let kept = Text::of(text, &mut strings, &mut ids);
        (serde_json::to_string(&kept).unwrap(), strings.texts()[0].clone())
    }

    #[test]
    fn what_is_a_texts_own_stands_beside_what_it_shares() {
        assert_eq!(kept("plain"), ("0".into(), "plain".into()));
        assert_eq!(kept(&format!("runner p/{ID}.")), ("[0,0]".into(), "runner p/\u{1}.".into()));
        assert_eq!(kept("due 1970-01-01T00:00:01.000002Z"), ("[0,1000002]".into(), "due \u{2}".into()));
        assert_eq!(kept("132 bytes, code 7, 007"), ("[0,132]".into(), "\u{3} bytes, code 7, 007".into()));
        assert_eq!(kept(&format!("{ID} {ID}")), ("[0,0,0]".into(), "\u{1} \u{1}".into()));
    }

    #[test]
    fn what_only_looks_like_an_id_or_a_time_stays() {
        for text in [
            format!("{ID}0"),
            format!("x{ID}"),
            ID.to_lowercase(),
            "0970-13-01T00:00:01.000002Z".replace("-13-01", "-013-01"),
            "1234567890123456".to_owned(),
            "é".repeat(20),
            "a\\u{1}b".to_owned(),
        ] {
            assert_eq!(kept(&text), ("0".to_owned(), text));
        }
        assert_eq!(kept("a\u{1}b").1, "a\\u{1}b", "recorded marks are none");
    }

    #[test]
    fn columns_are_short() {
        let mut column = IdColumn::default();
        for id in [ID, "01KAJ2AAAA0000000000000002", "01KAJ2AAAA0000000000000002", "11KAJ2AAAA0000000000000002"] {
            column.push(id.parse::<RunId>().unwrap().to_u128());
        }
        let json = serde_json::to_string(&column).unwrap();
        assert_eq!(json, format!(r#"["{ID}","2","","11KAJ2AAAA0000000000000002"]"#));
        let mut deltas = Deltas::default();
        [5, 7, 6, i64::MIN].into_iter().for_each(|number| deltas.push(number));
        assert_eq!(serde_json::to_string(&deltas).unwrap(), format!("[5,2,-1,{}]", i64::MIN));
    }
}
