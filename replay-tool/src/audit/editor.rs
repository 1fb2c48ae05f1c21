//! The line that is typed at the prompt: its end, and what it can be completed to.

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::history::KEPT;
use super::named::NAMED;
use super::statements::is_whole;
use super::tables;
use crate::error::Error;

/// Words of a question that are completed.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CROSS",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "FULL",
    "GLOB",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MAX",
    "MIN",
    "NATURAL",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "RECURSIVE",
    "SELECT",
    "SUM",
    "THEN",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// The prompt's own commands.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    (".help", "this list"),
    (".tables", "the tables"),
    (".columns [TABLE]", "the columns of a table, or of all"),
    (".audit [NAME]", "the questions with a name, or the answer to one"),
    (".output [FORM]", "how rows are written from now on: table, json, jsonl or csv; or how they are"),
    (".param [NAME[=VALUE]]", "gives a parameter :NAME its value from now on, or takes it away; or lists them"),
    (".explain", "from now on, or no longer: what is read for a question in place of the answer"),
    (".cache", "which tables stay filled from one prompt to the next, and where"),
    (".quit", "leaves, as Ctrl-D does"),
];

/// What was typed.
pub(super) enum Typed {
    /// A statement or a command.
    Text(String),
    /// A line that was given up.
    Dropped,
    /// Nothing more comes.
    End,
}

/// A line editor on the terminal.
pub(super) struct Typing(Editor<Words, MemHistory>);

impl Typing {
    /// An editor that offers what was asked before.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the terminal cannot be used.
    pub(super) fn of(asked_before: &[String]) -> Result<Self, Error> {
        let config =
            Config::builder().completion_type(CompletionType::List).max_history_size(KEPT).map_err(terminal)?;
        let mut editor = Editor::with_history(config.build(), MemHistory::new()).map_err(terminal)?;
        editor.set_helper(Some(Words::new()));
        asked_before.iter().for_each(|question| drop(editor.add_history_entry(question)));
        Ok(Self(editor))
    }

    /// The next statement or command. Ctrl-C gives a line up; Ctrl-D on an empty one, and the terminal's end, end it all.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the terminal cannot be read.
    pub(super) fn next(&mut self, prompt: &str) -> Result<Typed, Error> {
        match self.0.readline(prompt) {
            Ok(text) => Ok(Typed::Text(text)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(terminal(error)),
        }
    }

    /// Offers it again.
    pub(super) fn remember(&mut self, question: &str) {
        // What is not offered again can still be typed.
        let _ = self.0.add_history_entry(question);
    }
}

fn terminal(error: ReadlineError) -> Error {
    Error::internal(format!("the terminal cannot be used for the prompt: {error}"))
}

/// Words that a line is completed with.
struct Words {
    words: Vec<String>,
    commands: Vec<String>,
}

impl Words {
    fn new() -> Self {
        let tables = tables();
        let columns = tables.iter().flat_map(|table| table.columns.iter().map(|column| column.name));
        let mut words: Vec<String> = tables.iter().map(|table| table.name).chain(columns).map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        words.extend(KEYWORDS.iter().map(|word| (*word).to_owned()));
        let name = |(usage, _): &(&str, &str)| usage.split(' ').next().map(str::to_owned);
        Self { words, commands: COMMANDS.iter().filter_map(name).collect() }
    }

    /// Where the word before the cursor begins, and what it may become.
    fn completed(&self, before: &str) -> (usize, Vec<String>) {
        let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.');
        let begin = before
            .rfind(|char| !is_part(char))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let words = |all: &mut dyn Iterator<Item = &str>, word: &str| {
            let begins = |known: &&str| known.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
            all.filter(begins).map(str::to_owned).collect::<Vec<_>>()
        };
        let word = &before[begin..];
        if word.starts_with('.') && before[..begin].trim().is_empty() {
            return (begin, words(&mut self.commands.iter().map(String::as_str), word));
        }
        match before.split_once(' ').map(|(command, _)| command) {
            Some(".audit") => (begin, words(&mut NAMED.iter().map(|query| query.name), word)),
            Some(".output") => (begin, words(&mut ["table", "json", "jsonl", "csv"].into_iter(), word)),
            Some(".columns") => (begin, words(&mut tables().iter().map(|table| table.name), word)),
            _ => {
                // Behind the alias or table before a dot.
                let begin = begin + word.rfind('.').map_or(0, |dot| dot + 1);
                let found = words(&mut self.words.iter().map(String::as_str), &before[begin..]);
                (begin, if begin == before.len() { Vec::new() } else { found })
            }
        }
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.completed(line.get(..pos).unwrap_or_default()))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// What an empty line of an unfinished question shows.
const GOES_ON: &str = "(goes on, up to a ;)";

/// A hint that nothing is completed with.
struct GoesOn;

impl Hint for GoesOn {
    fn display(&self) -> &str {
        GOES_ON
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Words {
    type Hint = GoesOn;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<GoesOn> {
        let (before, last) = line.rsplit_once('\n')?;
        (pos == line.len() && last.trim().is_empty() && !is_whole(before)).then_some(GoesOn)
    }
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_where_they_belong() {
        let words = Words::new();
        let completed = |text: &str| words.completed(text);
        assert_eq!(completed("SELECT count(*) FROM refu"), (21, vec!["refusals".to_owned()]));
        assert_eq!(completed("sel"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(completed("SELECT e.recorded_at_"), (9, vec!["recorded_at_us".to_owned()]));
        assert_eq!(completed("  .ta"), (2, vec![".tables".to_owned()]));
        assert_eq!(completed(".audit late-s"), (7, vec!["late-snapshots".to_owned()]));
        assert_eq!(completed(".output js"), (8, vec!["json".to_owned(), "jsonl".to_owned()]));
        assert_eq!(completed(".columns ti"), (9, vec!["timers".to_owned()]));
        assert_eq!(completed("SELECT é"), (7, Vec::new()));
        assert_eq!(completed("SELECT "), (7, Vec::new()), "not everything there is");
    }
}
