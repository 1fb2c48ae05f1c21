//! What the conditions of a question save is what cannot matter: whatever is pushed down, the answer is that of full tables.

use tachograph_engine::domain::Position;
use tachograph_replay::audit::{Desk, Loaded, Parameter, Scope};
use tachograph_replay::dataset::Dataset;

use crate::binary;
use crate::kept::run;
use crate::made::{BUILD, BUILD_AGAIN, LOUD, NEVER, NIGHTLY};

/// The rows of an answer as text, and what was read for it.
fn asked(dataset: &Dataset, sql: &str, given: &[Parameter], is_narrowed: bool) -> (Vec<String>, Loaded) {
    let optional = [Parameter::integer("now_us", 1_795_230_200_000_000)];
    let scope = Scope { at: dataset.reader().head().position, after: Position::ZERO, run: None };
    let desk = Desk::of(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut desk = if is_narrowed { desk.narrowed(given, &optional) } else { desk };
    let loaded = run(desk.fill(dataset, scope)).unwrap();
    let mut rows = Vec::new();
    let taken = desk.ask(given, &optional, |_, next| {
        while let Some(values) = next()? {
            rows.push(format!("{values:?}"));
        }
        Ok(())
    });
    taken.unwrap_or_else(|error| panic!("{sql}: {error}"));
    (rows, loaded)
}

/// Asks with and without; returns what was pushed down, and how many entries were gone through of how many.
fn compared(dataset: &Dataset, sql: &str, given: &[Parameter]) -> (Vec<String>, u64, u64) {
    let (whole, narrowed) = (asked(dataset, sql, given, false), asked(dataset, sql, given, true));
    assert_eq!(narrowed.0, whole.0, "{sql}: {:?}", narrowed.1);
    let rows = |loaded: &Loaded| loaded.tables.iter().map(|table| table.rows).sum::<u64>();
    assert!(rows(&narrowed.1) <= rows(&whole.1), "{sql}");
    (narrowed.1.narrowed, narrowed.1.entries, whole.1.entries)
}

const A: &str = BUILD;
const B: &str = BUILD_AGAIN;

/// Questions whose conditions save something, with what of it is told. `A` and `B` stand for runs.
const NARROWED: &[(&str, &[&str])] = &[
    ("SELECT event FROM events WHERE run = 'A'", &["events: run = 'A'"]),
    ("SELECT event FROM events WHERE 'A' = run", &["events: run = 'A'"]),
    ("SELECT event FROM events WHERE (run == 'A') AND (event <> 'Exited')", &["events: run = 'A'"]),
    (
        "SELECT event FROM events AS e WHERE e.\"run\" IS 'A' AND e.event = 'Exited'",
        &["events: run = 'A' AND event = 'Exited'"],
    ),
    ("SELECT event FROM \"Events\" WHERE [Run] IN ('A', 'B')", &["events: run IN ('A', 'B')"]),
    ("SELECT event FROM main.events WHERE run IN ()", &["events: run IN ()"]),
    ("SELECT event FROM events WHERE run = :run", &["events: run = 'A'"]),
    ("SELECT * FROM runs WHERE run = 'A'", &["runs: run = 'A'"]),
    ("SELECT * FROM runs WHERE status = 'Exited' AND ended", &["runs: status = 'Exited'"]),
    ("SELECT * FROM refusals WHERE run = 'NEVER'", &["refusals: run = 'NEVER'"]),
    ("SELECT * FROM entries WHERE run = 'A' AND kind = 'refused'", &["entries: run = 'A' AND kind = 'refused'"]),
    ("SELECT * FROM entries WHERE actor = 'r1' ORDER BY 1 DESC LIMIT 2", &["entries: actor = 'r1'"]),
    ("SELECT * FROM entries WHERE position BETWEEN 5 AND 9", &["entries: position >= 5 AND position <= 9"]),
    ("SELECT * FROM entries WHERE 5 < position AND position <= -(-9)", &["entries: position > 5"]),
    ("SELECT * FROM entries WHERE position = 7 OR position = 8", &[]),
    ("SELECT * FROM entries WHERE position IN (30, 7)", &["entries: position IN (30, 7)"]),
    (
        "SELECT * FROM entries WHERE recorded_at >= '2026-11-21T03:02' AND recorded_at < '2026-11-21T03:02:37'",
        &["entries: recorded_at >= "],
    ),
    (
        "SELECT * FROM events WHERE recorded_at_us BETWEEN 1795230061000000 AND 1795230095760000",
        &["events: recorded_at_us >= "],
    ),
    (
        "SELECT runs.name, event FROM runs JOIN events USING (run) WHERE run = 'A'",
        &["events: run = 'A'", "runs: run = 'A'"],
    ),
    (
        "SELECT runs.name, event FROM runs JOIN events ON events.run = runs.run WHERE events.run = 'A'",
        &["events: run = 'A'", "runs: run = 'A'"],
    ),
    (
        "SELECT runs.name, event FROM runs, events WHERE events.run = runs.run AND runs.run = 'A'",
        &["events: run = 'A'", "runs: run = 'A'"],
    ),
    (
        "SELECT * FROM attempts LEFT JOIN labels ON labels.run = attempts.run AND key = 'team' WHERE attempts.run = 'B'",
        &["attempts: run = 'B'", "labels: key = 'team' AND run = 'B'"],
    ),
    ("SELECT * FROM runs LEFT JOIN labels USING (run) WHERE run = 'B'", &["labels: run = 'B'", "runs: run = 'B'"]),
    (
        "SELECT * FROM runs LEFT JOIN events ON events.run = runs.run AND event = 'Failed'",
        &["events: event = 'Failed'"],
    ),
    ("SELECT * FROM runs LEFT JOIN snapshots USING (run) WHERE fate = 'canceled'", &["snapshots: fate = 'canceled'"]),
    (
        "SELECT (SELECT count(*) FROM events WHERE events.run = runs.run) FROM runs WHERE run = 'A'",
        &["events: run = 'A'", "runs: run = 'A'"],
    ),
    (
        "SELECT run FROM runs WHERE run = 'B' AND EXISTS (SELECT 1 FROM labels WHERE labels.run = runs.run)",
        &["labels: run = 'B'", "runs: run = 'B'"],
    ),
    (
        "SELECT event FROM events WHERE run = 'A' UNION ALL SELECT event FROM events WHERE run = 'B'",
        &["events: run = 'A' OR run = 'B'"],
    ),
    (
        "SELECT a.position FROM events a JOIN events b ON a.run = b.run WHERE a.run = 'A' AND b.run = 'A'",
        &["events: run = 'A' OR run = 'A'"],
    ),
    (
        "SELECT run FROM runs WHERE run NOT IN (SELECT run FROM events WHERE event = 'Exited')",
        &["events: event = 'Exited'"],
    ),
    ("WITH e AS (SELECT * FROM events WHERE run = 'A') SELECT count(*) FROM e, e AS f", &["events: run = 'A'"]),
    ("SELECT count(*) FROM (SELECT run FROM runs WHERE status = 'Exited')", &["runs: status = 'Exited'"]),
    (
        "SELECT sum(count(*)) OVER () FROM events WHERE run = 'B' GROUP BY event HAVING count(*) > 0",
        &["events: run = 'B'"],
    ),
    ("SELECT value FROM runs, json_each(runs.command) WHERE runs.run = 'A'", &["runs: run = 'A'"]),
    ("SELECT * FROM timers WHERE run = 'A' AND kind = 'snapshot'", &["timers: run = 'A' AND kind = 'snapshot'"]),
    ("SELECT * FROM sessions WHERE recovered = 1", &["sessions: recovered = 1"]),
    ("SELECT name FROM runs WHERE name = 'it''s'", &["runs: name = 'it''s'"]),
];

/// Questions whose conditions only look as if they narrowed a table to one run.
const WHOLE: &[&str] = &[
    "SELECT event FROM events WHERE run = 'A' OR event = 'Exited'",
    "SELECT event FROM events WHERE NOT (run = 'A')",
    "SELECT event FROM events WHERE run <> 'A'",
    "SELECT event FROM events WHERE (run = 'A') IS NOT 1",
    "SELECT event FROM events WHERE (run = 'A') = 0",
    "SELECT event FROM events WHERE run = 'A' COLLATE NOCASE",
    "SELECT event FROM events WHERE lower(run) = lower('A')",
    "SELECT event FROM events WHERE run IS NOT DISTINCT FROM CAST('A' AS TEXT)",
    "SELECT event FROM events WHERE run LIKE 'A'",
    "SELECT event FROM events WHERE position = '7' AND version = 1.0",
    "SELECT rowid, event FROM events WHERE run = 'A'",
    "SELECT event FROM events WHERE run = 'A' AND _rowid_ > 3",
    "SELECT event, run = 'A' FROM events",
    "SELECT event FROM events GROUP BY run, event HAVING run = 'A'",
    "SELECT count(*) FILTER (WHERE run = 'A') FROM events",
    "SELECT * FROM (SELECT run, event FROM events) WHERE run = 'A'",
    "WITH events AS (SELECT 'A' AS run, 'x' AS event) SELECT event FROM events WHERE run = 'A'",
    "WITH labels AS (SELECT run FROM runs) SELECT count(*) FROM events, labels WHERE events.run = labels.run AND events.run = 'A'",
    "SELECT count(*) FROM events WHERE run = 'A' AND 3 < (SELECT count(*) FROM events)",
    "SELECT count(*) FROM runs a JOIN runs b ON b.run = a.parent WHERE a.run = 'B'",
    "SELECT a.run, b.run FROM runs a LEFT JOIN runs b ON a.run = 'A'",
    "SELECT a.run, b.event FROM runs a LEFT JOIN events b ON b.run = a.run AND a.run = 'A'",
    "SELECT a.run, b.event FROM runs a LEFT JOIN events b ON b.run = a.run WHERE b.run IS NULL OR b.run = 'A'",
    "SELECT a.run, b.event FROM events b RIGHT JOIN runs a ON b.run = a.run AND a.run = 'A'",
    "SELECT a.run, b.event FROM runs a FULL JOIN events b ON b.run = a.run AND b.run = 'A'",
    "SELECT run FROM runs NATURAL JOIN labels WHERE run = 'A'",
    "SELECT run FROM runs a FULL JOIN (SELECT 'A' AS run) b USING (run) WHERE run = 'A'",
    "SELECT run FROM (SELECT 'A' AS run) b LEFT JOIN runs a USING (run) WHERE run = 'A'",
    "SELECT count(*) FROM runs WHERE (SELECT max(position) FROM events WHERE events.run = runs.run OR runs.run = 'A') > 3",
    "SELECT count(*) FROM (runs a JOIN labels b ON a.run = b.run) WHERE a.run = 'A'",
    "SELECT (SELECT group_concat(event) FROM events WHERE events.run >= runs.run) FROM runs WHERE runs.run = 'A'",
    "SELECT 'A' IN (SELECT run FROM labels), 3 IN (SELECT position FROM events) FROM runs WHERE run = 'B'",
    "SELECT value FROM json_each('[3, 5]')",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5) SELECT sum(i) FROM n",
    "WITH e AS MATERIALIZED (SELECT run FROM events) SELECT count(*) FROM e, e AS f WHERE e.run = 'A' AND f.run = 'B'",
    "SELECT name FROM pragma_table_info('runs')",
    "SELECT name FROM sqlite_schema",
];

/// All of them.
pub(crate) fn questions() -> Vec<String> {
    NARROWED.iter().map(|(sql, _)| *sql).chain(WHOLE.iter().copied()).map(spelled).collect()
}

/// Whether a question has the parameter that [`BUILD`] is given for.
pub(crate) fn given_run(sql: &str) -> bool {
    sql.contains(":run")
}

fn spelled(sql: &str) -> String {
    let sql = sql.replace("'A'", &format!("'{A}'")).replace("'B'", &format!("'{B}'"));
    sql.replace("'NEVER'", &format!("'{NEVER}'"))
}

fn parameters(sql: &str) -> Vec<Parameter> {
    if given_run(sql) { vec![format!("run={A}").parse().unwrap()] } else { Vec::new() }
}

#[test]
fn what_is_pushed_down_is_told_and_changes_no_answer() {
    let (_dir, data) = binary::made();
    let dataset = Dataset::open(&data).unwrap();
    for (sql, told) in NARROWED {
        let (pushed, _, _) = compared(&dataset, &spelled(sql), &parameters(sql));
        assert!(pushed.len() >= told.len(), "{sql}: {pushed:?}");
        for told in *told {
            let told = spelled(told);
            assert!(pushed.iter().any(|pushed| pushed.starts_with(&told)), "{sql}: {pushed:?} without {told}");
        }
    }
    for sql in WHOLE {
        let (pushed, entries, all) = compared(&dataset, &spelled(sql), &parameters(sql));
        assert_eq!(entries, all, "{sql}: {pushed:?}");
    }
}

/// One sitting keeps its tables from question to question, and the answers are those of each question alone.
#[test]
fn a_sitting_answers_as_each_question_alone() {
    let (_dir, data) = binary::made();
    let all = || NARROWED.iter().map(|(sql, _)| *sql).chain(WHOLE.iter().copied()).map(spelled);
    let given = format!("run={A}");
    let options = ["--output", "jsonl"];
    let mut alone = String::new();
    for sql in all() {
        let mut arguments = vec!["sql", &sql, "--output", "jsonl"];
        arguments.extend(["--param", given.as_str()].into_iter().filter(|_| sql.contains(":run")));
        let output = binary::ran(&data, &arguments);
        assert_eq!(binary::stderr(&output), "", "{sql}");
        alone += &format!("{}\n{}", serde_json::json!({ "asked": sql }), binary::stdout(&output));
    }
    // Filled with all that there is first, and filled by the questions themselves.
    let full: String =
        tachograph_replay::audit::tables().iter().map(|table| format!("SELECT * FROM {}; ", table.name)).collect();
    let asked: String = all().map(|sql| format!("SELECT '{}' AS asked; {sql};\n", sql.replace('\'', "''"))).collect();
    for before in [full.as_str(), ""] {
        let arguments = [&["sql", "--param", &given][..], &options].concat();
        let output = binary::fed(&data, &arguments, &format!("{before}{asked}"));
        assert_eq!(binary::stderr(&output), "");
        let text = binary::stdout(&output);
        let answers = &text[text.find("{\"asked\"").unwrap()..];
        for (line, (kept, alone)) in answers.lines().zip(alone.lines()).enumerate() {
            assert_eq!(kept, alone, "line {line}");
        }
        assert_eq!(answers.len(), alone.len());
    }
}

#[test]
fn a_question_about_runs_reads_their_own_entries_alone() {
    let (_dir, data) = binary::made();
    let dataset = Dataset::open(&data).unwrap();
    for text in [A, B, NIGHTLY, LOUD] {
        let own = run(dataset.reader().history(text.parse().unwrap())).unwrap().len() as u64;
        for table in ["events", "runs", "attempts", "snapshots", "timers", "labels", "entries", "refusals"] {
            let (_, entries, all) = compared(&dataset, &format!("SELECT * FROM {table} WHERE run = '{text}'"), &[]);
            assert!(own < all);
            assert_eq!(entries, own, "{table} of {text}");
        }
        let both = format!("SELECT * FROM attempts JOIN refusals USING (run) WHERE run = '{text}'");
        assert_eq!(compared(&dataset, &both, &[]).1, own);
    }
    // What was refused about a run before it was created, or was never created, is found as well.
    let (rows, loaded) = asked(&dataset, &format!("SELECT reason FROM refusals WHERE run = '{NEVER}'"), &[], true);
    assert_eq!((rows.len(), loaded.entries), (2, 2));
    assert_eq!(compared(&dataset, "SELECT * FROM refusals WHERE run = 'no id'", &[]).1, 0);
    let stretch = "SELECT * FROM events WHERE position >= 5 AND position < 10";
    assert_eq!(compared(&dataset, stretch, &[]).1, 6, "both ends count, and the condition parts them");
    let until = "SELECT * FROM entries WHERE recorded_at < '2026-11-21T03:01'";
    let (_, entries, all) = compared(&dataset, until, &[]);
    assert!(entries < all, "{entries} of {all}");
    let since = "SELECT * FROM entries WHERE recorded_at_us > 1795230157397000";
    let (_, entries, all) = compared(&dataset, since, &[]);
    assert!(entries < all, "segments that are wholly earlier are left out: {entries} of {all}");
    let none = "SELECT * FROM entries WHERE position > 9 AND position < 3";
    assert_eq!(compared(&dataset, none, &[]).1, 0);
}

/// Every column of every table under every comparison, with a value that it has.
#[test]
fn every_comparison_of_every_column_is_sqlites_own() {
    let (_dir, data) = binary::made();
    let dataset = Dataset::open(&data).unwrap();
    for table in tachograph_replay::audit::tables() {
        for column in table.columns.iter().filter(|column| column.name != "payload") {
            let (table, name) = (table.name, column.name);
            let sql = format!("SELECT quote(max({name})) FROM {table} WHERE :now_us > 0");
            let (rows, _) = asked(&dataset, &sql, &[], false);
            let value = rows[0].split("Text(\"").nth(1).and_then(|rest| rest.split("\")").next()).unwrap();
            // A backslash is one of the form in which rows are kept here.
            if value != "NULL" && !value.contains('\\') {
                for sign in ["=", "<", ">="] {
                    compared(
                        &dataset,
                        &format!("SELECT count(*), min({name}) FROM {table} WHERE {name} {sign} {value}"),
                        &[],
                    );
                }
            }
        }
    }
}
