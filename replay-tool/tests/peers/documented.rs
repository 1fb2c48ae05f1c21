//! What docs/audit.md says about other engines works as it stands there.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::agreement::{AGGREGATES, values};
use crate::place::Place;
use crate::readers::{fed, has_sqlite3, python};

/// The text between a fence of this language, which follows this line, and the end of it.
fn block(after: &str, language: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once(after).unwrap_or_else(|| panic!("docs/audit.md does not say {after:?}"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0.to_owned()
}

/// The example incident with its tables under the names that the page gives them.
fn exported() -> Place {
    let place = Place::incidents();
    for (how, name) in [("--parquet", "tables"), ("--sqlite", "journal.db")] {
        place.tacho(&["export", how, place.path(name).to_str().unwrap()]);
    }
    place
}

#[test]
fn what_the_page_says_to_duckdb_and_pandas_is_answered() {
    let Some(python) = python() else { return };
    let place = exported();
    let run = |code: &str, input: &str| {
        fed(Command::new(&python).args(["-I", "-B", "-c", code]).current_dir(place.path(".")), input)
    };
    let ask = "import duckdb, json, sys\n\
               asked = [duckdb.execute(one).fetchall() for one in sys.stdin.read().split(';') if one.strip()]\n\
               json.dump([rows for rows in asked if rows], sys.stdout, default=str)";
    let answered: Value = serde_json::from_str(&run(ask, &block("In DuckDB:\n", "sql"))).unwrap();
    assert_eq!(answered.as_array().unwrap().len(), 3, "each question has rows: {answered}");
    assert_eq!(answered[0], values(&place.sql(AGGREGATES[0].1)));
    let printed = run(&block("In pandas,", "python"), "");
    let counts = place.sql(AGGREGATES[0].1);
    let expected = counts.iter().map(|row| format!("{} {}", row["event"].as_str().unwrap(), row["events"]));
    let words: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in expected {
        assert!(words.contains(&line), "{line} is not in {printed}");
    }
}

#[test]
fn what_the_page_says_to_sqlite3_is_answered() {
    if !has_sqlite3() {
        return;
    }
    let place = exported();
    let printed = fed(Command::new("sh").current_dir(place.path(".")), &block("### SQLite\n", "sh"));
    let statuses = place.sql("SELECT status, count(*) AS runs FROM runs GROUP BY status");
    let expected: String =
        statuses.iter().map(|row| format!("{}|{}\n", row["status"].as_str().unwrap(), row["runs"])).collect();
    assert_eq!(printed, expected);
}
