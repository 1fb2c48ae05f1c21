//! Predicates over a fleet, as people write them: `count(status = "Waiting") > 100`, `run("build").attempt > 2`.
//!
//! A text is cut into tokens, parsed, and checked against the fields of a run before any entry is read: what cannot be
//! meant is an error that names its column. The grammar is in docs/expressions.md.

mod check;
mod field;
mod parse;
mod token;
mod trend;

use tachograph_engine::domain::{RunRecord, Timestamp};

use self::field::{Field, Value};
pub use self::trend::Trend;

/// The longest expression that is read, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4_096;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in the expression {text:?}, column {column}: {what}")]
pub struct ExpressionError {
    /// The expression, cut to 128 characters.
    pub text: String,
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead, if that can be told.
    pub instead: Option<String>,
}

/// A checked predicate over a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    root: Test,
    /// What is asked of each run, by the number of the aggregate.
    each: Vec<Test>,
    /// The runs that are asked for, as they were written.
    runs: Vec<String>,
}

/// What an expression looks at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// For each aggregate, how many runs fit.
    pub fitting: &'a [u64],
    /// How many runs there are.
    pub total: u64,
    /// The runs that are asked for, in the order of [`Expression::runs`]; absent before their creation.
    pub runs: &'a [Option<&'a RunRecord>],
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// [`ExpressionError`] if it is none, or compares what cannot be compared.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        check::check(text, &parse::parse(text)?)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The runs that it asks for by `run("…")`.
    pub fn runs(&self) -> &[String] {
        &self.runs
    }

    /// How many aggregates it has: `count`, `any` and `all`.
    pub fn aggregates(&self) -> usize {
        self.each.len()
    }

    /// Whether a run fits an aggregate.
    pub fn fits(&self, aggregate: usize, record: &RunRecord) -> bool {
        self.each.get(aggregate).is_some_and(|test| test.holds(Some(record), &NOTHING))
    }

    /// Whether it is true of a fleet.
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        self.root.holds(None, seen)
    }

    /// Whether it can become false again once it is true.
    pub fn trend(&self) -> Trend {
        trend::of(&self.root, &self.each)
    }
}

/// Tests of one run see nothing of the fleet.
const NOTHING: Seen<'static> = Seen { fitting: &[], total: 0, runs: &[] };

/// What can be true or false.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Constant(bool),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Compare(Operand, Comparison, Operand),
    /// A field that is true or false by itself.
    Is(Subject, Field),
    Exists(Subject, Field),
    Any(usize),
    All(usize),
}

/// What can be compared. Both sides of a comparison have the same type.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Number(i64),
    Text(String),
    Time(Timestamp),
    Flag(bool),
    Field(Subject, Field),
    Count(usize),
}

/// Whose field it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// Of the run that an aggregate looks at.
    Each,
    /// Of the run with this number among those that are asked for.
    Run(usize),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Test {
    fn holds(&self, each: Option<&RunRecord>, seen: &Seen<'_>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Not(test) => !test.holds(each, seen),
            Self::And(parts) => parts.iter().all(|part| part.holds(each, seen)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(each, seen)),
            // What is absent compares to nothing, neither as equal nor as unequal.
            Self::Compare(left, comparison, right) => match (left.value(each, seen), right.value(each, seen)) {
                (Some(left), Some(right)) => left.compare(&right).is_some_and(|order| comparison.holds(order)),
                (None, _) | (_, None) => false,
            },
            Self::Is(subject, field) => subject.of(each, seen).and_then(|run| field.of(run)) == Some(Value::Flag(true)),
            Self::Exists(subject, field) => subject.of(each, seen).and_then(|run| field.of(run)).is_some(),
            Self::Any(aggregate) => seen.count(*aggregate) > 0,
            Self::All(aggregate) => seen.count(*aggregate) == seen.total,
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, each: Option<&'a RunRecord>, seen: &Seen<'a>) -> Option<Value<'a>> {
        match self {
            Self::Number(number) => Some(Value::Number(*number)),
            Self::Text(text) => Some(Value::Text(text.into())),
            Self::Time(time) => Some(Value::Time(*time)),
            Self::Flag(flag) => Some(Value::Flag(*flag)),
            Self::Field(subject, field) => field.of(subject.of(each, seen)?),
            Self::Count(aggregate) => Some(Value::Number(i64::try_from(seen.count(*aggregate)).unwrap_or(i64::MAX))),
        }
    }
}

impl Subject {
    fn of<'a>(self, each: Option<&'a RunRecord>, seen: &Seen<'a>) -> Option<&'a RunRecord> {
        match self {
            Self::Each => each,
            Self::Run(number) => seen.runs.get(number).copied().flatten(),
        }
    }
}

impl Seen<'_> {
    fn count(&self, aggregate: usize) -> u64 {
        self.fitting.get(aggregate).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
