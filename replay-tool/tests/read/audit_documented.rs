//! docs/audit.md: the data dictionary is the one of the code, with examples out of the example incident, and every question in
//! it is asked of that incident and answered as it says. `TACHO_GOLDEN=write` writes both anew.

use clap::Parser;
use tachograph_replay::audit::{NAMED, command, tables};
use tachograph_replay::cli::{Cli, Command};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::Format;

use crate::asked_again::{INCIDENT, asked_again, check, place, project};
use crate::kept::{dataset, printed_of};

const DOCUMENT: &str = "docs/audit.md";

const TABLES: &str = "<!-- tables: written by the test that checks them -->\n";
const TABLES_END: &str = "<!-- end of tables -->\n";
/// Characters of an example in the data dictionary.
const EXAMPLE_CHARS_MAX: usize = 48;

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
    asked_of(dataset(), line)
}

fn asked_of(dataset: Dataset, line: &str) -> Result<String, Error> {
    let cli = Cli::try_parse_from(words(&format!("tacho {line}"))).unwrap();
    let format = cli.global.format;
    printed_of(dataset, Machine::of("elsewhere", "another-boot", "made"), format, async |reading| match &cli.command {
        Command::Sql(args) => command::sql(reading, args).await,
        Command::Audit(args) => command::audit(reading, args).await,
        other => panic!("{other:?} is no question"),
    })
}

/// The first value of a column, out of the example incident, or out of the made journal if it has none there.
fn example(table: &str, column: &str) -> Option<serde_json::Value> {
    let incident = Dataset::open(&project().join(INCIDENT)).unwrap();
    let sql = format!("sql \"SELECT {column} AS v FROM {table} WHERE {column} IS NOT NULL LIMIT 1\" --output jsonl");
    // What is armed at the end of either is nothing.
    let is_timers = table == "timers";
    [(incident, 25), (dataset(), 17)].into_iter().find_map(|(dataset, armed)| {
        let at = if is_timers { format!(" --at {armed}") } else { String::new() };
        let row = asked_of(dataset, &format!("{sql}{at}")).unwrap();
        serde_json::from_str::<serde_json::Value>(&row).ok().map(|row| row["v"].clone())
    })
}

/// The data dictionary.
fn dictionary() -> String {
    let mut text = String::new();
    for table in tables() {
        text.push_str(&format!("\n### {}\n\nOne row: {}.\n\n", table.name, table.about));
        text.push_str("| column | type | is | for example |\n| --- | --- | --- | --- |\n");
        for column in &table.columns {
            let example = match example(table.name, column.name) {
                Some(serde_json::Value::String(text)) if text.chars().count() > EXAMPLE_CHARS_MAX => {
                    format!("`{}…`", text.chars().take(EXAMPLE_CHARS_MAX).collect::<String>())
                }
                Some(serde_json::Value::String(text)) => format!("`{text}`"),
                Some(number) => format!("`{number}`"),
                None => String::new(),
            };
            let example = example.replace('|', "\\|").replace('\n', "\\n");
            text.push_str(&format!("| `{}` | {} | {} | {example} |\n", column.name, column.kind, column.about));
        }
    }
    format!("{text}\n")
}

#[test]
fn every_question_of_the_document_is_answered_as_it_says() {
    let document = std::fs::read_to_string(project().join(DOCUMENT)).unwrap();
    let place = place();
    let (before, rest) = document.split_once(TABLES).unwrap();
    let (_, after) = rest.split_once(TABLES_END).unwrap();
    let ((before, first), (after, second)) = (asked_again(before, place.path()), asked_again(after, place.path()));
    check(DOCUMENT, &format!("{before}{TABLES}{}{TABLES_END}{after}", dictionary()));
    assert!(first + second >= 33, "{first} and {second} questions");
}

/// Each table is asked for by at least one question whose answer is shown.
#[test]
fn every_table_is_asked_for() {
    let document = std::fs::read_to_string(project().join(DOCUMENT)).unwrap();
    for table in tables() {
        let asks = |line: &&str| {
            let mut words = line.split(|char: char| !char.is_alphanumeric() && char != '_');
            line.starts_with("$ tacho sql ") && words.any(|word| word == table.name)
        };
        let mut lines = document.lines();
        assert!(lines.find(asks).is_some(), "{}", table.name);
        let answer = lines.next().unwrap();
        assert!(!answer.starts_with(['$', '`']) && answer != "no rows", "{}: {answer}", table.name);
    }
}

#[test]
fn every_question_with_a_name_is_in_the_document_with_its_parameters() {
    let text = std::fs::read_to_string(project().join(DOCUMENT)).unwrap();
    for query in NAMED {
        let shown = format!("$ tacho audit {} --show\n{}", query.name, query.sql);
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
