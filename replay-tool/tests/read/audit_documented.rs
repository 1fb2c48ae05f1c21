//! docs/audit.md: the data dictionary is the one of the code, with examples out of the made journal, and every question in it
//! is asked of that journal and answered as it says. `TACHO_GOLDEN=write` writes both anew.

use std::path::{Path, PathBuf};

use clap::Parser;
use tachograph_replay::audit::{NAMED, command, tables};
use tachograph_replay::cli::{Cli, Command};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;

use crate::kept::printed;

const TABLES: &str = "<!-- tables: written by the test that checks them -->\n";
const TABLES_END: &str = "<!-- end of tables -->\n";
const PROMPT: &str = "$ tacho ";
/// Characters of an example in the data dictionary.
const EXAMPLE_CHARS_MAX: usize = 48;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md")
}

fn is_writing() -> bool {
    std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write")
}

/// The words of a command line with single or double quotes, without escapes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for char in line.chars() {
        match (quote, char) {
            (Some(open), char) if open == char => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    assert_eq!(quote, None, "an open quote in {line}");
    words.extend(word);
    words
}

/// What a command line prints over the made journal, through the library.
pub(super) fn asked(line: &str) -> Result<String, Error> {
    let cli = Cli::try_parse_from(words(&format!("tacho {line}"))).unwrap();
    let format = cli.global.format;
    printed(format, async |reading| match &cli.command {
        Command::Sql(args) => command::sql(reading, args).await,
        Command::Audit(args) => command::audit(reading, args).await,
        other => panic!("{other:?} is no question"),
    })
}

/// The document with every answer as it is now; the questions that were asked are pushed.
fn answered(text: &str, questions: &mut Vec<String>) -> String {
    let (mut document, mut in_console) = (String::new(), false);
    for line in text.lines() {
        match line.strip_prefix(PROMPT) {
            _ if line == "```console" => in_console = true,
            _ if line == "```" => in_console = false,
            Some(question) if in_console => {
                let answer = asked(question).unwrap_or_else(|error| panic!("{question}: {error}"));
                document.push_str(&format!("{line}\n{}", answer.replace("\r\n", "\n")));
                questions.push(question.to_owned());
                continue;
            }
            // An answer of before.
            None if in_console => continue,
            _ => {}
        }
        document.push_str(line);
        document.push('\n');
    }
    document
}

/// The data dictionary, with the first value of each column in the made journal.
fn dictionary() -> String {
    let mut text = String::new();
    for table in tables() {
        text.push_str(&format!("\n### {}\n\nOne row: {}.\n\n", table.name, table.about));
        text.push_str("| column | type | is | for example |\n| --- | --- | --- | --- |\n");
        // What is armed at the end of the made journal is nothing.
        let at = if table.name == "timers" { " --at 17" } else { "" };
        for column in &table.columns {
            let (name, table) = (column.name, table.name);
            let sql = format!("SELECT {name} AS v FROM {table} WHERE {name} IS NOT NULL LIMIT 1");
            let found = asked(&format!("sql \"{sql}\" --output jsonl{at}")).unwrap();
            let example = match serde_json::from_str::<serde_json::Value>(&found).map(|row| row["v"].clone()) {
                Ok(serde_json::Value::String(text)) if text.chars().count() > EXAMPLE_CHARS_MAX => {
                    format!("`{}…`", text.chars().take(EXAMPLE_CHARS_MAX).collect::<String>())
                }
                Ok(serde_json::Value::String(text)) => format!("`{text}`"),
                Ok(number) => format!("`{number}`"),
                Err(_) => String::new(),
            };
            let example = example.replace('|', "\\|").replace('\n', "\\n");
            text.push_str(&format!("| `{name}` | {} | {} | {example} |\n", column.kind, column.about));
        }
    }
    format!("{text}\n")
}

/// The document as it should be.
fn expected(text: &str, questions: &mut Vec<String>) -> String {
    let (before, rest) = text.split_once(TABLES).unwrap();
    let (_, after) = rest.split_once(TABLES_END).unwrap();
    let (before, after) = (answered(before, questions), answered(after, questions));
    format!("{before}{TABLES}{}{TABLES_END}{after}", dictionary())
}

#[test]
fn every_question_of_the_document_is_answered_as_it_says() {
    let text = std::fs::read_to_string(file()).unwrap();
    let mut questions = Vec::new();
    let expected = expected(&text, &mut questions);
    if is_writing() {
        std::fs::write(file(), &expected).unwrap();
        return;
    }
    assert!(questions.len() >= 30, "{} questions", questions.len());
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "docs/audit.md, line {}", number + 1);
    }
    assert_eq!(text, expected);
}

#[test]
fn every_question_with_a_name_is_in_the_document_with_its_parameters() {
    let text = std::fs::read_to_string(file()).unwrap();
    for query in NAMED {
        let shown = format!("{PROMPT}audit {} --show\n{}", query.name, query.sql);
        assert!(text.contains(&shown), "{}", query.name);
        assert!(!query.about().is_empty() && query.about().ends_with('.'), "{}", query.name);
        let parameters: Vec<String> = query.parameters().into_iter().map(|found| found.default.name).collect();
        let asked: Vec<&str> = query
            .sql
            .split(':')
            .skip(1)
            .map(|rest| rest.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap())
            .collect();
        for parameter in &parameters {
            assert!(asked.iter().filter(|asked| *asked == parameter).count() >= 2, "{}: :{parameter}", query.name);
        }
    }
    let with_parameters = NAMED.iter().filter(|query| !query.parameters().is_empty()).count();
    assert_eq!(with_parameters, 3, "stuck, late-snapshots and exit-codes");
}

#[test]
fn a_json_answer_is_one_array_of_objects_in_the_order_of_the_columns() {
    let json = asked("--format json sql \"SELECT 1 AS b, NULL AS a, 'x' AS b, x'01ff' AS c, 1.5 AS d\"").unwrap();
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&json).unwrap();
    let row: Vec<String> = rows[0].iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!((rows.len(), row.join(" ")), (1, "b=1 a=null b_2=\"x\" c=\"01ff\" d=1.5".to_owned()));
    let none = asked("--format json sql \"SELECT 1 WHERE 0\"").unwrap();
    assert_eq!(none.trim(), "[]");
    assert_eq!(asked("sql \"SELECT 1 WHERE 0\"").unwrap(), "no rows\n");
    assert_eq!(Format::default(), Format::Text);
    assert_eq!(asked("sql \"SELECT 1 AS a WHERE 0\" --output csv").unwrap(), "a\r\n");
    let csv = asked("sql \"SELECT 'a,b' AS x, '' AS y, NULL AS z, 'q' || char(34) AS q\" --format json --output csv")
        .unwrap();
    assert_eq!(csv, "x,y,z,q\r\n\"a,b\",\"\",,\"q\"\"\"\r\n");
    let table = asked("sql \"SELECT 'a' || char(27) || '[2J' AS x\"").unwrap();
    assert_eq!(table, "x\na\\u{1b}[2J\n1 row\n", "recorded text cannot play with the terminal");
}
