//! Which rows of a table a question can see at all: what its conditions leave of each, told before anything is read.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use tachograph_engine::domain::{Position, RunId, Timestamp};

use super::column::Column;

/// Runs that are gone after one by one; for more of them, one pass over all entries is the shorter way.
const RUNS_MAX: usize = 256;
/// Where the journal's own times and places stand in the tables of entries.
const POSITION: &str = "position";
const RECORDED_AT: &str = "recorded_at";
const RECORDED_AT_US: &str = "recorded_at_us";
const RUN: &str = "run";
/// A time as texts of times have it, to fill up the beginning of one.
const TIME_BEGINS: &str = "0000-01-01T00:00:00.000000Z";
/// Lengths of texts that end within the month or the day: the first time that begins so would go on with a zero.
const WITHIN_MONTH_OR_DAY: [usize; 2] = [6, 9];

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// It is one of the values.
    AnyOf,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    const fn sign(self) -> &'static str {
        match self {
            Self::AnyOf => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A condition on one column that every row meets that matters. Values are of the column's own type: texts are compared byte
/// by byte, numbers are whole ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) column: &'static str,
    pub(super) comparison: Comparison,
    pub(super) values: Vec<Value>,
}

impl Term {
    /// Whether the value meets the condition; NULL meets none.
    fn is_met_by(&self, value: &Value) -> bool {
        let compared = |to: &Value| match (value, to) {
            (Value::Integer(value), Value::Integer(to)) => Some(value.cmp(to)),
            (Value::Text(value), Value::Text(to)) => Some(value.as_bytes().cmp(to.as_bytes())),
            _ => None,
        };
        let mut orderings = self.values.iter().filter_map(compared);
        orderings.any(|ordering| match self.comparison {
            Comparison::AnyOf => ordering.is_eq(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        })
    }

    /// In words.
    fn told(&self) -> String {
        let told = |value: &Value| match value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Null | Value::Real(_) | Value::Blob(_) => "NULL".to_owned(),
        };
        match self.values.as_slice() {
            [value] => format!("{} {} {}", self.column, self.comparison.sign(), told(value)),
            values => format!("{} IN ({})", self.column, values.iter().map(told).collect::<Vec<_>>().join(", ")),
        }
    }

    /// The least and the greatest whole number that meets it, as far as it says.
    fn bounds(&self) -> (Option<i64>, Option<i64>) {
        let numbers = self.values.iter().filter_map(|value| match value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if self.column == RECORDED_AT => time_of(text).map(Timestamp::as_micros),
            _ => None,
        });
        let numbers: Vec<i64> = numbers.collect();
        if numbers.len() < self.values.len() {
            return (None, None);
        }
        let (least, greatest) = (numbers.iter().min().copied(), numbers.iter().max().copied());
        match self.comparison {
            Comparison::AnyOf => (least, greatest),
            Comparison::Less | Comparison::LessOrEqual => (None, greatest),
            Comparison::Greater | Comparison::GreaterOrEqual => (least, None),
        }
    }
}

/// The time that a text of a time is, or the first one that begins with it.
fn time_of(text: &str) -> Option<Timestamp> {
    let rest = TIME_BEGINS.get(text.len()..).filter(|_| !WITHIN_MONTH_OR_DAY.contains(&text.len()))?;
    let time: Timestamp = format!("{text}{rest}").parse().ok()?;
    time.to_string().starts_with(text).then_some(time)
}

/// What the conditions of a question leave of the tables that it names.
///
/// For each place where it names a table, the terms that all hold there: a row that meets those of none of the places does not
/// matter to the answer. Without a table in it, all of its rows may matter.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Narrowing(BTreeMap<&'static str, Vec<Vec<Term>>>);

impl Narrowing {
    /// Nothing is narrowed.
    pub(super) fn none() -> &'static Self {
        static NONE: Narrowing = Narrowing(BTreeMap::new());
        &NONE
    }

    /// One more place where a table is named, with the terms that hold there.
    pub(super) fn named(&mut self, table: &'static str, terms: Vec<Term>) {
        self.0.entry(table).or_default().push(terms);
    }

    /// Whether it tells of a table.
    pub(super) fn names(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Whether some rows of a table do not matter.
    pub(super) fn narrows(&self, table: &str) -> bool {
        self.places(table).is_some()
    }

    /// The places of a table, unless all of its rows matter at one of them.
    fn places(&self, table: &str) -> Option<&[Vec<Term>]> {
        self.0.get(table).map(Vec::as_slice).filter(|places| places.iter().all(|terms| !terms.is_empty()))
    }

    /// Which rows of a table matter.
    pub(super) fn sieve<S>(&self, table: &str, columns: &[Column<S>]) -> Sieve {
        let places = self.places(table).unwrap_or_default();
        let index = |term: &Term| columns.iter().position(|column| column.name == term.column);
        let known =
            |terms: &Vec<Term>| terms.iter().filter_map(|term| Some((index(term)?, term.clone()))).collect::<Vec<_>>();
        Sieve { places: places.iter().map(known).collect() }
    }

    /// The runs that these tables are asked about, if only so many.
    pub(super) fn runs(&self, tables: &[&str]) -> Option<BTreeSet<RunId>> {
        let mut runs = BTreeSet::new();
        for table in tables {
            for terms in self.places(table)? {
                let term = terms.iter().find(|term| term.column == RUN && term.comparison == Comparison::AnyOf)?;
                let texts = term
                    .values
                    .iter()
                    .filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None });
                // What is no id is the id of no run.
                runs.extend(texts.filter_map(|text| text.parse::<RunId>().ok()));
            }
        }
        (runs.len() <= RUNS_MAX).then_some(runs)
    }

    /// Where the rows of these tables are that matter.
    pub(super) fn stretch(&self, tables: &[&str]) -> Stretch {
        let mut stretch: Option<Stretch> = None;
        for table in tables {
            let Some(places) = self.places(table) else { return Stretch::default() };
            for terms in places {
                let here = Stretch::of(terms);
                stretch = Some(stretch.map_or(here, |stretch| stretch.with(here)));
            }
        }
        stretch.unwrap_or_default()
    }

    /// What is left of each table, in words.
    pub(super) fn told(&self) -> Vec<String> {
        let joined = |terms: &Vec<Term>| terms.iter().map(Term::told).collect::<Vec<_>>().join(" AND ");
        let tables = self.0.keys().filter_map(|table| Some((table, self.places(table)?)));
        tables
            .map(|(table, places)| format!("{table}: {}", places.iter().map(joined).collect::<Vec<_>>().join(" OR ")))
            .collect()
    }
}

/// Which rows of one table matter, by the indexes of its columns. Without a place, all.
#[derive(Debug, Clone, Default)]
pub(super) struct Sieve {
    places: Vec<Vec<(usize, Term)>>,
}

impl Sieve {
    /// Whether a row may matter.
    pub(super) fn keeps<S>(&self, columns: &[Column<S>], source: &S, row: usize) -> bool {
        let meets = |(index, term): &(usize, Term)| {
            columns.get(*index).is_none_or(|column| term.is_met_by(&column.value(source, row)))
        };
        self.places.is_empty() || self.places.iter().any(|terms| terms.iter().all(meets))
    }
}

/// A stretch of the journal by positions and by times of recording, ends included, as far as either is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stretch {
    pub(super) positions: (Option<i64>, Option<i64>),
    pub(super) times: (Option<i64>, Option<i64>),
}

impl Stretch {
    fn of(terms: &[Term]) -> Self {
        let mut stretch = Self::default();
        for term in terms {
            let known = match term.column {
                POSITION => &mut stretch.positions,
                RECORDED_AT | RECORDED_AT_US => &mut stretch.times,
                _ => continue,
            };
            let (least, greatest) = term.bounds();
            *known = (known.0.max(least), [known.1, greatest].into_iter().flatten().min());
        }
        stretch
    }

    /// The stretch that holds both.
    fn with(self, other: Self) -> Self {
        let both = |one: (Option<i64>, Option<i64>), other: (Option<i64>, Option<i64>)| {
            (
                one.0.zip(other.0).map(|(one, other)| one.min(other)),
                one.1.zip(other.1).map(|(one, other)| one.max(other)),
            )
        };
        Self { positions: both(self.positions, other.positions), times: both(self.times, other.times) }
    }

    /// The position before its first one, and its last one, by positions alone.
    pub(super) fn between(&self) -> (Position, Position) {
        let position = |number: i64| Position(u64::try_from(number).unwrap_or(0));
        let after = self.positions.0.map_or(Position::ZERO, |first| position(first.saturating_sub(1)));
        (after, self.positions.1.map_or(Position(u64::MAX), position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(column: &'static str, comparison: Comparison, values: &[Value]) -> Term {
        Term { column, comparison, values: values.to_vec() }
    }

    #[test]
    fn a_stretch_holds_every_place_and_within_one_every_term() {
        let position = |comparison, number| term(POSITION, comparison, &[Value::Integer(number)]);
        let mut narrowing = Narrowing::default();
        let between =
            vec![position(Comparison::Greater, 5), position(Comparison::Less, 9), position(Comparison::Greater, 2)];
        narrowing.named("events", between);
        assert_eq!(narrowing.stretch(&["events"]).between(), (Position(4), Position(9)));
        narrowing.named("events", vec![term(POSITION, Comparison::AnyOf, &[Value::Integer(3), Value::Integer(20)])]);
        assert_eq!(narrowing.stretch(&["events"]).between(), (Position(2), Position(20)));
        assert_eq!(narrowing.stretch(&["events", "entries"]), Stretch::default(), "all of entries may matter");
        narrowing.named("events", vec![term("event", Comparison::AnyOf, &[Value::Text("Exited".to_owned())])]);
        assert_eq!(narrowing.stretch(&["events"]), Stretch::default());
        narrowing.named("events", vec![]);
        assert_eq!(narrowing.told(), Vec::<String>::new());
    }

    #[test]
    fn the_beginning_of_a_time_is_that_time_at_the_earliest() {
        let us = |text: &str| term(RECORDED_AT, Comparison::Greater, &[Value::Text(text.to_owned())]).bounds().0;
        let whole = us("2026-11-21T03:00:00.000000Z");
        assert!(whole.is_some());
        assert_eq!((us("2026-11-21T03"), us("2026-11-21T03:00:00.000000")), (whole, whole));
        assert_eq!(us("2026-11"), us("2026-11-01"));
        for text in [
            "yesterday",
            "2026-11-21 03:00",
            "2026-11-21T03:00:00Z",
            "2026-11-21T03:00:00.000000ZZ",
            "2026-11-21t03",
            "2026-1",
            "2026-11-2",
            "é",
        ] {
            assert_eq!(us(text), None, "{text}");
        }
    }

    #[test]
    fn null_meets_no_term_and_texts_are_compared_by_their_bytes() {
        let text = |text: &str| Value::Text(text.to_owned());
        let less = term("reason", Comparison::Less, &[text("b")]);
        assert!(less.is_met_by(&text("a")) && less.is_met_by(&text("Z")) && !less.is_met_by(&text("b")));
        assert!(!less.is_met_by(&Value::Null) && !less.is_met_by(&Value::Integer(1)));
        let any = term("position", Comparison::AnyOf, &[Value::Integer(1), Value::Integer(3)]);
        assert!(any.is_met_by(&Value::Integer(3)) && !any.is_met_by(&Value::Integer(2)));
    }
}
