//! What the conditions of a question say about the tables that it names, read out of its text with SQLite's own grammar.
//!
//! A row of a table does not matter at a place where the question names it, if no row of the join there is accepted that has it
//! in it. So only what is joined by `AND` at the top of `WHERE` is looked at, and of `ON` where every row of the join must
//! meet it; and of that only comparisons of a column with a value that NULL does not meet. What is not understood narrows nothing.

use bumpalo::Bump;
use fallible_iterator::FallibleIterator;
use rusqlite::types::Value;
use sqlite3_parser::ast::{Cmd, Expr, Id, Literal, Name, Operator, Stmt, UnaryOperator};
use sqlite3_parser::lexer::sql::Parser;

use super::column::TableInfo;
use super::narrowing::{Comparison, Narrowing};
use super::parameter::Parameter;
use super::places::Places;
use super::tables;
use super::wanted::Wanted;

/// What a question leaves of its tables; of none anything if that cannot be told. It must be one that SQLite compiled.
pub(super) fn narrowing(sql: &str, wanted: &Wanted, parameters: &[&Parameter]) -> Narrowing {
    let arena = Bump::new();
    let mut parser = Parser::new(&arena, sql.as_bytes());
    let Ok(Some(Cmd::Stmt(Stmt::Select(select)))) = parser.next() else { return Narrowing::default() };
    let known = tables();
    // The order in which rows were filled is no column of a table, but can be asked for.
    let is_known = |table: &TableInfo, name: &str| table.columns.iter().any(|column| column.name == name);
    let mut named = known.iter().filter_map(|table| Some((table, wanted.columns(table.name)?)));
    if !named.all(|(table, read)| read.iter().all(|name| name.is_empty() || is_known(table, name))) {
        return Narrowing::default();
    }
    let mut places = Places::of(&known, parameters);
    places.see(select);
    let narrowing = places.narrowing();
    let is_told = |table: &TableInfo| wanted.columns(table.name).is_none() || narrowing.names(table.name);
    if known.iter().all(is_told) { narrowing } else { Narrowing::default() }
}

/// A column as the text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnName {
    /// The table or alias before the dot, if there is one.
    pub(super) of: Option<String>,
    pub(super) name: String,
}

/// A comparison of a column with values, or of one column with another.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Compared(ColumnName, Comparison, Vec<Value>),
    Same(ColumnName, ColumnName),
}

/// The conditions that an expression is an `AND` of, as far as they are understood.
pub(super) fn conditions(expression: &Expr<'_>, parameters: &[&Parameter], found: &mut Vec<Condition>) {
    match expression {
        Expr::Binary(left, Operator::And, right) => {
            conditions(left, parameters, found);
            conditions(right, parameters, found);
        }
        Expr::Parenthesized(one) => {
            if let [one] = one.as_slice() {
                conditions(one, parameters, found);
            }
        }
        Expr::Binary(left, operator, right) => found.extend(compared(left, *operator, right, parameters)),
        Expr::Between { lhs, not: false, start, end } => {
            found.extend(compared(lhs, Operator::GreaterEquals, start, parameters));
            found.extend(compared(lhs, Operator::LessEquals, end, parameters));
        }
        Expr::InList { lhs, not: false, rhs } => {
            let values: Option<Vec<Value>> =
                rhs.unwrap_or_default().iter().map(|value| value_of(value, parameters)).collect();
            let compared = column_of(lhs).zip(values);
            found.extend(compared.map(|(column, values)| Condition::Compared(column, Comparison::AnyOf, values)));
        }
        _ => {}
    }
}

fn compared(left: &Expr<'_>, operator: Operator, right: &Expr<'_>, parameters: &[&Parameter]) -> Option<Condition> {
    let (comparison, turned) = match operator {
        Operator::Equals | Operator::Is => (Comparison::AnyOf, Comparison::AnyOf),
        Operator::Less => (Comparison::Less, Comparison::Greater),
        Operator::LessEquals => (Comparison::LessOrEqual, Comparison::GreaterOrEqual),
        Operator::Greater => (Comparison::Greater, Comparison::Less),
        Operator::GreaterEquals => (Comparison::GreaterOrEqual, Comparison::LessOrEqual),
        _ => return None,
    };
    match (column_of(left), column_of(right)) {
        // `IS` also holds where both are NULL.
        (Some(left), Some(right)) => (operator == Operator::Equals).then_some(Condition::Same(left, right)),
        (Some(column), None) => Some(Condition::Compared(column, comparison, vec![value_of(right, parameters)?])),
        (None, Some(column)) => Some(Condition::Compared(column, turned, vec![value_of(left, parameters)?])),
        (None, None) => None,
    }
}

fn column_of(expression: &Expr<'_>) -> Option<ColumnName> {
    match expression {
        Expr::Id(Id(name)) | Expr::Name(Name(name)) => Some(ColumnName { of: None, name: plain(name) }),
        Expr::Qualified(of, name) => Some(ColumnName { of: Some(plain(of.0)), name: plain(name.0) }),
        _ => None,
    }
}

/// A text or a whole number; nothing else is compared as simply.
fn value_of(expression: &Expr<'_>, parameters: &[&Parameter]) -> Option<Value> {
    match expression {
        Expr::Literal(Literal::String(text)) => {
            let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
            Some(Value::Text(inside.replace("''", "'")))
        }
        Expr::Literal(Literal::Numeric(number)) => number.parse().ok().map(Value::Integer),
        Expr::Unary(UnaryOperator::Negative, number) => match value_of(number, &[])? {
            Value::Integer(number) => number.checked_neg().map(Value::Integer),
            _ => None,
        },
        Expr::Parenthesized(one) => match one.as_slice() {
            [one] => value_of(one, parameters),
            _ => None,
        },
        Expr::Variable(name) => {
            let name = name.trim_start_matches([':', '@', '$']);
            let value = &parameters.iter().find(|parameter| parameter.name == name)?.value;
            matches!(value, Value::Text(_) | Value::Integer(_)).then(|| value.clone())
        }
        _ => None,
    }
}

/// A name without its quotes and in lower case, as SQLite compares it.
pub(super) fn plain(name: &str) -> String {
    let quoted = [('"', '"'), ('`', '`'), ('[', ']'), ('\'', '\'')].into_iter();
    let inside = quoted.filter_map(|(open, close)| name.strip_prefix(open)?.strip_suffix(close)).next();
    inside.unwrap_or(name).to_ascii_lowercase()
}
