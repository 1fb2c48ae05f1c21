//! `tacho export --parquet`, read by DuckDB and pandas.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tachograph_replay::audit::tables;

use crate::agreement::{AGGREGATES, named, same_tables, values};
use crate::awkward;
use crate::place::Place;
use crate::readers::{Answer, Request, python};

/// Entries of the generated journal; `TACHO_CASES` turns them up.
const ENTRIES: usize = 3_000;

/// The column that a table gets which is partitioned by day.
const DAY: &str = "day";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Exports what is new into the directory, which is made if there is none.
fn export(place: &Place) -> PathBuf {
    let to = place.path("tables");
    place.tacho(&["export", "--parquet", to.to_str().unwrap()]);
    to
}

/// Both engines read the directory and find what `tacho sql` does: names of columns, counts, aggregates, days and all rows.
fn agree(place: &Place, parquet: &Path, python: &Path) {
    for engine in ["duckdb", "pandas"] {
        let questions: Value = AGGREGATES
            .iter()
            .map(|(name, sql)| ((*name).to_owned(), json!(if engine == "duckdb" { sql } else { name })))
            .collect();
        let found = Request { engine, parquet, questions, parameters: json!({}), whole: true }.ask(python);
        for table in tables() {
            let count = place.number(&format!("SELECT count(*) FROM {}", table.name));
            assert_eq!(found.count(table.name), count, "{engine} counts other {}", table.name);
            let columns: Vec<String> = table.columns.iter().map(|column| column.name.to_owned()).collect();
            let mut described = found.columns(table.name);
            described.retain(|name| name != DAY);
            assert_eq!(described, columns, "{engine}, {}", table.name);
        }
        for (name, sql) in AGGREGATES {
            assert_eq!(found.answer(name), &values(&place.sql(sql)), "{engine}, {name}");
        }
        days(&found, engine);
        same_tables(place, engine, |table| {
            let mut rows = found.rows(table);
            rows.iter_mut().for_each(|row| _ = row.shift_remove(DAY));
            rows
        });
    }
}

/// What is partitioned has the day of its recording as a column.
fn days(found: &Answer, engine: &str) {
    for table in ["entries", "events", "refusals"] {
        let mut days = BTreeSet::new();
        for row in found.rows(table) {
            let (day, recorded_at) = (row[DAY].as_str().unwrap().to_owned(), row["recorded_at"].as_str().unwrap());
            assert!(recorded_at.starts_with(&day), "{engine}, {table}: {recorded_at} is not of {day}");
            days.insert(day);
        }
        assert!(!days.is_empty(), "{engine} finds no {table}");
    }
}

#[test]
fn the_made_journal_is_the_same_in_duckdb_and_pandas() {
    let Some(python) = python() else { return };
    let place = Place::made();
    agree(&place, &export(&place), &python);
}

#[test]
fn a_bundle_is_the_same_in_duckdb_and_pandas() {
    let Some(python) = python() else { return };
    let place = Place::incidents();
    agree(&place, &export(&place), &python);
}

#[test]
fn awkward_values_are_the_same_and_what_was_exported_in_two_steps_is_read_as_one() {
    let Some(python) = python() else { return };
    let (seed, entries) = (number("TACHO_SEED", 6), number("TACHO_CASES", ENTRIES as u64));
    println!("run it again with TACHO_SEED={seed} TACHO_CASES={entries}");
    let mut drafts = awkward::drafts(seed, entries as usize);
    let later = drafts.split_off(drafts.len() / 2);
    let place = Place::of(drafts);
    let first = export(&place);
    let before = files(&first);
    place.append(later);
    assert_eq!(export(&place), first);
    let kept = before.iter().filter(|file| file.exists()).count();
    assert!(kept > before.len() / 2, "what was exported stays: {kept} of {}", before.len());
    agree(&place, &first, &python);
    let days = place.sql("SELECT DISTINCT substr(recorded_at, 1, 10) FROM entries").len();
    assert!(entries < 1_000 || days > 5, "{days} days");
}

/// Every file of Parquet below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![dir.to_owned()], Vec::new());
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn duckdb_answers_the_questions_with_a_name_as_tacho_does() {
    let Some(python) = python() else { return };
    for place in [Place::made(), Place::incidents()] {
        let parquet = export(&place);
        let (mut questions, mut parameters) = (serde_json::Map::new(), serde_json::Map::new());
        for named in named() {
            let adapted = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/adapted/{}.sql", named.name));
            let sql = std::fs::read_to_string(adapted).unwrap_or_else(|_| named.sql.to_owned());
            questions.insert(named.name.to_owned(), json!(sql));
            parameters.extend(named.parameters.into_iter().map(|(name, value)| {
                let number = value.parse::<i64>().map(Value::from);
                (name, number.unwrap_or(Value::String(value)))
            }));
        }
        let request = Request {
            engine: "duckdb",
            parquet: &parquet,
            questions: questions.into(),
            parameters: parameters.into(),
            whole: false,
        };
        let found = request.ask(&python);
        for named in named() {
            assert_eq!(found.answer(named.name), &values(&named.asked(&place)), "{}", named.name);
        }
    }
}
