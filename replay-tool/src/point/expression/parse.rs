//! From tokens to a tree, by binding powers; what the names in it mean is checked later.

use super::token::{Token, tokens, wrong, wrong_but};
use super::{Comparison, ExpressionError};

/// How deep parentheses, calls and `not` may be nested.
const DEPTH_MAX: usize = 32;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(i64),
    Text(String),
    Flag(bool),
    /// A field: its parts, which dots stood between.
    Path(Vec<String>),
    /// A function with its arguments, and the field that is asked of its result.
    Call(String, Vec<Node>, Vec<String>),
    Not(Box<Node>),
    /// At least two; a chain is one node, so that a long one is not deep.
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Box<Node>, Comparison, Box<Node>),
}

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARE: u8 = 4;

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => {
            let what = format!("{token} does not belong behind a whole expression");
            Err(wrong_but(text, parser.column(), what, "expressions are joined by `and` and `or`".to_owned()))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

fn comparison(sign: &str) -> Option<Comparison> {
    match sign {
        "=" => Some(Comparison::Equal),
        "!=" => Some(Comparison::Unequal),
        "<" => Some(Comparison::Less),
        "<=" => Some(Comparison::AtMost),
        ">" => Some(Comparison::Greater),
        ">=" => Some(Comparison::AtLeast),
        _ => None,
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    /// Of the next token, or behind the last.
    fn column(&self) -> usize {
        let end = || self.text.trim_end().chars().count() + 1;
        self.tokens.get(self.next).map_or_else(end, |(_, column)| *column)
    }

    fn error(&self, what: impl Into<String>) -> ExpressionError {
        wrong(self.text, self.column(), what)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn skip_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect_sign(&mut self, sign: &str, why: &str) -> Result<(), ExpressionError> {
        if self.skip_sign(sign) {
            return Ok(());
        }
        let found = self.peek().map_or("the end".to_owned(), Token::to_string);
        Err(self.error(format!("expected `{sign}` {why}, found {found}")))
    }

    fn expression(&mut self, power_min: u8) -> Result<Node, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("it is nested more than {DEPTH_MAX} deep")));
        }
        let mut left = self.operand()?;
        while let Some((power, column)) = self.infix().filter(|(power, _)| *power > power_min) {
            left = self.joined(left, power, column)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The binding power of what comes next, if that joins two expressions.
    fn infix(&self) -> Option<(u8, usize)> {
        let power = match self.peek()? {
            Token::Word(word) if word == "or" => OR,
            Token::Word(word) if word == "and" => AND,
            Token::Sign(sign) if comparison(sign).is_some() => COMPARE,
            Token::Word(_) | Token::Number(_) | Token::Text(_) | Token::Sign(_) => return None,
        };
        Some((power, self.column()))
    }

    fn joined(&mut self, left: Node, power: u8, column: usize) -> Result<Node, ExpressionError> {
        let compared = match self.peek() {
            Some(Token::Sign(sign)) => comparison(sign),
            Some(Token::Word(_) | Token::Number(_) | Token::Text(_)) | None => None,
        };
        self.next += 1;
        let right = self.expression(power)?;
        let kind = match compared {
            Some(comparison) => {
                if self.infix().is_some_and(|(power, _)| power == COMPARE) {
                    let what = "comparisons cannot be chained";
                    return Err(wrong_but(self.text, self.column(), what, "join two by `and`".to_owned()));
                }
                Kind::Compare(Box::new(left), comparison, Box::new(right))
            }
            None if power == AND => match left.kind {
                Kind::And(mut parts) => {
                    parts.push(right);
                    Kind::And(parts)
                }
                _ => Kind::And(vec![left, right]),
            },
            None => match left.kind {
                Kind::Or(mut parts) => {
                    parts.push(right);
                    Kind::Or(parts)
                }
                _ => Kind::Or(vec![left, right]),
            },
        };
        Ok(Node { kind, column })
    }

    fn operand(&mut self) -> Result<Node, ExpressionError> {
        let column = self.column();
        let Some(token) = self.peek().cloned() else {
            return Err(self.error("it ends where something is to follow"));
        };
        self.next += 1;
        let kind = match token {
            Token::Number(number) => Kind::Number(number),
            Token::Text(text) => Kind::Text(text),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.expect_sign(")", "to close the parenthesis")?;
                return Ok(inner);
            }
            Token::Word(word) => match word.as_str() {
                "true" => Kind::Flag(true),
                "false" => Kind::Flag(false),
                "not" => Kind::Not(Box::new(self.expression(NOT)?)),
                "and" | "or" => {
                    self.next -= 1;
                    return Err(self.error(format!("`{word}` stands between two expressions")));
                }
                _ if self.is_sign("(") => self.call(word)?,
                _ => Kind::Path(self.path(word)?),
            },
            Token::Sign(sign) => {
                self.next -= 1;
                return Err(self.error(format!("expected a field, a value or a function, found `{sign}`")));
            }
        };
        Ok(Node { kind, column })
    }

    fn call(&mut self, name: String) -> Result<Kind, ExpressionError> {
        self.expect_sign("(", "behind a function")?;
        let mut arguments = Vec::new();
        while !self.skip_sign(")") {
            if !arguments.is_empty() {
                self.expect_sign(",", "or `)` behind an argument")?;
            }
            arguments.push(self.expression(0)?);
        }
        let path = if self.skip_sign(".") { self.path_from()? } else { Vec::new() };
        Ok(Kind::Call(name, arguments, path))
    }

    fn path(&mut self, first: String) -> Result<Vec<String>, ExpressionError> {
        let mut path = vec![first];
        if self.skip_sign(".") {
            path.extend(self.path_from()?);
        }
        Ok(path)
    }

    fn path_from(&mut self) -> Result<Vec<String>, ExpressionError> {
        let mut path = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(word) | Token::Text(word)) => path.push(word.clone()),
                Some(Token::Number(number)) => path.push(number.to_string()),
                Some(Token::Sign(_)) | None => return Err(self.error("behind the dot stands the name of a field")),
            }
            self.next += 1;
            if !self.skip_sign(".") {
                return Ok(path);
            }
        }
    }
}
