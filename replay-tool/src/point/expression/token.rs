//! An expression cut into words, numbers, texts and signs.

use super::{EXPRESSION_BYTES_MAX, ExpressionError};

/// Characters of an expression that a message shows.
const SHOWN_CHARS_MAX: usize = 128;

/// One piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    Number(i64),
    /// What stood between quotes.
    Text(String),
    /// One of `( ) . , = != < <= > >=`.
    Sign(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Number(number) => write!(f, "`{number}`"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
        }
    }
}

/// An error about a place in an expression.
pub(super) fn wrong(text: &str, column: usize, what: impl Into<String>) -> ExpressionError {
    let shown = text.chars().take(SHOWN_CHARS_MAX).collect();
    ExpressionError { text: shown, column, what: what.into(), instead: None }
}

/// The same with what to write instead.
pub(super) fn wrong_but(text: &str, column: usize, what: impl Into<String>, instead: String) -> ExpressionError {
    ExpressionError { instead: Some(instead), ..wrong(text, column, what) }
}

/// Longer ones go first.
const SIGNS: [&str; 10] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ".", ","];
/// Signs of other languages, and what is written here.
const FOREIGN: [(&str, &str); 4] = [("==", "="), ("&&", "and"), ("||", "or"), ("<>", "!=")];

/// Cuts a text into tokens, each with its column.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(wrong(text, 1, format!("it has more than {EXPRESSION_BYTES_MAX} bytes")));
    }
    let mut scanner = Scanner { text, rest: text };
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
}

fn continues_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-' | '/')
}

impl Scanner<'_> {
    fn column(&self) -> usize {
        self.text.chars().count() - self.rest.chars().count() + 1
    }

    fn next(&mut self) -> Result<Option<(Token, usize)>, ExpressionError> {
        self.rest = self.rest.trim_start();
        let column = self.column();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '"' | '\'' => self.quoted(first)?,
            '-' | '0'..='9' => self.number()?,
            _ if first.is_alphabetic() || first == '_' => Token::Word(self.take(continues_word).to_owned()),
            _ => self.sign()?,
        };
        Ok(Some((token, column)))
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|char| !belongs(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Result<Token, ExpressionError> {
        let (text, column) = (self.text, self.column());
        let digits = self.take(continues_word);
        digits.parse().map(Token::Number).map_err(|_| {
            let what = format!("{digits:?} is no whole number");
            wrong_but(text, column, what, "times and texts stand between quotes".to_owned())
        })
    }

    fn quoted(&mut self, quote: char) -> Result<Token, ExpressionError> {
        let column = self.column();
        let mut content = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((index, char)) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => content.push(escaped),
                    Some((_, 'n')) => content.push('\n'),
                    Some(_) | None => {
                        let what = "after a backslash stands a quote, another backslash or `n`";
                        return Err(wrong(self.text, column, what));
                    }
                },
                _ if char == quote => {
                    self.rest = &self.rest[index + char.len_utf8()..];
                    return Ok(Token::Text(content));
                }
                _ => content.push(char),
            }
        }
        Err(wrong(self.text, column, "the quote is never closed"))
    }

    fn sign(&mut self) -> Result<Token, ExpressionError> {
        let column = self.column();
        if let Some((sign, ours)) = FOREIGN.iter().find(|(sign, _)| self.rest.starts_with(sign)) {
            return Err(wrong_but(self.text, column, format!("there is no `{sign}`"), format!("write `{ours}`")));
        }
        match SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) {
            Some(sign) => {
                self.rest = &self.rest[sign.len()..];
                Ok(Token::Sign(sign))
            }
            None => {
                let found: String = self.rest.chars().take(1).collect();
                let what = format!("{found:?} has no meaning here");
                let instead = (found == "!").then(|| "write `not`".to_owned());
                Err(ExpressionError { instead, ..wrong(self.text, column, what) })
            }
        }
    }
}
