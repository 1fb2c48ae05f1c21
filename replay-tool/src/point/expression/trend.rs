//! Whether a predicate can become false again: what a binary search rests on.
//!
//! The answer must never be too good. What is not known to go one way counts as going both.

use super::field::{Course, Field};
use super::{Comparison, Operand, Subject, Test};

/// How the truth of a predicate goes on while entries are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// The same before and after every entry.
    Constant,
    /// Once true, it stays true.
    Grows,
    /// Once false, it stays false.
    Shrinks,
    /// It may change both ways.
    Free,
}

impl Trend {
    /// Whether it stays true once it is.
    pub const fn stays_true(self) -> bool {
        match self {
            Self::Constant | Self::Grows => true,
            Self::Shrinks | Self::Free => false,
        }
    }

    const fn reversed(self) -> Self {
        match self {
            Self::Constant => Self::Constant,
            Self::Grows => Self::Shrinks,
            Self::Shrinks => Self::Grows,
            Self::Free => Self::Free,
        }
    }

    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant, trend) | (trend, Self::Constant) => trend,
            (one, other) if one == other => one,
            (Self::Grows | Self::Shrinks | Self::Free, _) => Self::Free,
        }
    }

    /// As seen from before the run was created, when it is false whatever it is afterwards.
    const fn after_absence(self) -> Self {
        match self {
            Self::Constant | Self::Grows => Self::Grows,
            Self::Shrinks | Self::Free => Self::Free,
        }
    }
}

pub(super) fn of(test: &Test, each: &[Test]) -> Trend {
    match test {
        Test::Constant(_) => Trend::Constant,
        Test::Not(inner) => of(inner, each).reversed(),
        Test::And(parts) | Test::Or(parts) => {
            parts.iter().fold(Trend::Constant, |trend, part| trend.joined(of(part, each)))
        }
        Test::Compare(left, comparison, right) => compare(left, *comparison, right, each),
        Test::Is(subject, field) => match field.course() {
            Course::Fixed => seen_from(*subject, Trend::Constant),
            Course::Grows | Course::Appears | Course::Stays | Course::Free => Trend::Free,
        },
        Test::Exists(subject, field) => seen_from(*subject, existence(field)),
        Test::Any(aggregate) => count_trend(*aggregate, each, Comparison::AtLeast),
        // A new run may not fit.
        Test::All(_) => Trend::Free,
    }
}

fn seen_from(subject: Subject, trend: Trend) -> Trend {
    match subject {
        Subject::Each => trend,
        Subject::Run(_) => trend.after_absence(),
    }
}

fn existence(field: &Field) -> Trend {
    match field.course() {
        Course::Fixed | Course::Grows => Trend::Constant,
        Course::Appears | Course::Stays => Trend::Grows,
        Course::Free => Trend::Free,
    }
}

fn compare(left: &Operand, comparison: Comparison, right: &Operand, each: &[Test]) -> Trend {
    match (left, right) {
        (Operand::Field(subject, field), value) if is_value(value) => {
            seen_from(*subject, field_trend(field, comparison, value))
        }
        (value, Operand::Field(subject, field)) if is_value(value) => {
            seen_from(*subject, field_trend(field, mirrored(comparison), value))
        }
        (Operand::Count(aggregate), Operand::Number(_)) => count_trend(*aggregate, each, comparison),
        (Operand::Number(_), Operand::Count(aggregate)) => count_trend(*aggregate, each, mirrored(comparison)),
        (left, right) if is_value(left) && is_value(right) => Trend::Constant,
        (Operand::Field(one, first), Operand::Field(other, second))
            if one == other && first.course() == Course::Fixed && second.course() == Course::Fixed =>
        {
            seen_from(*one, Trend::Constant)
        }
        _ => Trend::Free,
    }
}

const fn is_value(operand: &Operand) -> bool {
    match operand {
        Operand::Number(_) | Operand::Text(_) | Operand::Time(_) | Operand::Flag(_) => true,
        Operand::Field(..) | Operand::Count(_) => false,
    }
}

/// The comparison that says the same with its sides swapped.
const fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::AtMost => Comparison::AtLeast,
        Comparison::Greater => Comparison::Less,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::Equal => Comparison::Equal,
        Comparison::Unequal => Comparison::Unequal,
    }
}

/// Of one run, from its creation on.
fn field_trend(field: &Field, comparison: Comparison, value: &Operand) -> Trend {
    match (field.course(), comparison) {
        (Course::Fixed, _) => Trend::Constant,
        (Course::Grows | Course::Appears, Comparison::Greater | Comparison::AtLeast) => Trend::Grows,
        // What is absent at first is not less than anything yet, so that only what is always there shrinks.
        (Course::Grows, Comparison::Less | Comparison::AtMost) => Trend::Shrinks,
        (Course::Free, Comparison::Equal | Comparison::Unequal) if field.is_status() => status_trend(comparison, value),
        (Course::Grows | Course::Appears | Course::Stays | Course::Free, _) => Trend::Free,
    }
}

/// A tombstone stays one, and nothing leads back to `Created`.
fn status_trend(comparison: Comparison, value: &Operand) -> Trend {
    let is = match value {
        Operand::Text(name) if name == "Destroyed" => Trend::Grows,
        Operand::Text(name) if name == "Created" => Trend::Shrinks,
        _ => Trend::Free,
    };
    if comparison == Comparison::Unequal { is.reversed() } else { is }
}

/// Runs are added and never leave, so that a count grows if each of them stays in it.
fn count_trend(aggregate: usize, each: &[Test], comparison: Comparison) -> Trend {
    if !each.get(aggregate).is_some_and(|test| of(test, each).stays_true()) {
        return Trend::Free;
    }
    match comparison {
        Comparison::Greater | Comparison::AtLeast => Trend::Grows,
        Comparison::Less | Comparison::AtMost => Trend::Shrinks,
        Comparison::Equal | Comparison::Unequal => Trend::Free,
    }
}
