//! Questions in SQL: the tables say what the other commands say, at every position; only what is asked for is read; nothing is
//! written; and whatever is wrong has a stable code.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_engine::domain::{EntryBody, Position};
use tachograph_projections::Projection;
use tachograph_replay::audit::{Desk, Loaded, Parameter, Scope};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;

use crate::audit_documented::asked;
use crate::binary;
use crate::kept::{dataset, run};
use crate::made::{self, BUILD, BUILD_AGAIN, Made, NEVER, NIGHTLY};

const ALL: Scope = Scope { at: Position(u64::MAX), after: Position::ZERO, run: None };

/// What is read for a question.
fn loaded(sql: &str, scope: Scope) -> Loaded {
    let dataset = dataset();
    let scope = Scope { at: scope.at.min(dataset.reader().head().position), ..scope };
    let mut desk = Desk::of(sql).unwrap();
    run(desk.fill(&dataset, scope)).unwrap()
}

/// The rows of an answer as text, fields parted by a bar.
fn rows_at(sql: &str, scope: Scope) -> Vec<String> {
    let dataset = dataset();
    let scope = Scope { at: scope.at.min(dataset.reader().head().position), ..scope };
    let mut desk = Desk::of(sql).unwrap();
    run(desk.fill(&dataset, scope)).unwrap();
    let mut rows = Vec::new();
    let none: [Parameter; 0] = [];
    desk.ask(&none, &none, |_, next| {
        while let Some(values) = next()? {
            let fields: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            rows.push(fields.join("|"));
        }
        Ok(())
    })
    .unwrap();
    rows
}

fn rows(sql: &str) -> Vec<String> {
    rows_at(sql, ALL)
}

/// The first number of an answer.
fn number(sql: &str, scope: Scope) -> i64 {
    let rows = rows_at(sql, scope);
    rows[0].trim_start_matches("Integer(").trim_end_matches(')').parse().unwrap()
}

#[test]
fn the_tables_of_entries_hold_every_entry_event_refusal_and_session() {
    let entries = Made::journal().entries;
    assert_eq!(number("SELECT count(*) FROM entries", ALL), entries.len() as i64);
    let events: usize = entries.iter().map(|entry| entry.events().len()).sum();
    assert_eq!(number("SELECT count(*) FROM events", ALL), events as i64);
    let refused = entries.iter().filter(|entry| matches!(entry.body, EntryBody::Refused(_))).count();
    assert!(refused > 3);
    assert_eq!(number("SELECT count(*) FROM refusals", ALL), refused as i64);
    assert_eq!(number("SELECT count(*) FROM sessions", ALL), 2);
    // Versions of the events of one entry count up to the entry's own.
    assert_eq!(rows("SELECT run FROM events GROUP BY run, version HAVING count(*) > 1"), Vec::<String>::new());
    assert_eq!(
        number(
            "SELECT count(*) FROM runs WHERE version <> (SELECT max(version) FROM events WHERE events.run = runs.run)",
            ALL
        ),
        0
    );
    // What is flat is what the payload says.
    let differs = "SELECT position FROM entries WHERE payload ->> '$.recorded_at' <> recorded_at \
                   OR payload ->> '$.kind' <> kind OR payload ->> '$.command.action' IS NOT action \
                   OR payload ->> '$.command.attempt_id' IS NOT attempt_id OR payload ->> '$.refusal.code' IS NOT reason";
    assert_eq!(rows(differs), Vec::<String>::new());
    let micros = "SELECT position FROM entries WHERE recorded_at <> \
                  strftime('%Y-%m-%dT%H:%M:%S', recorded_at_us / 1000000, 'unixepoch') \
                  || printf('.%06dZ', recorded_at_us % 1000000)";
    assert_eq!(rows(micros), Vec::<String>::new());
}

#[test]
fn at_every_position_the_tables_say_what_the_projections_say() {
    let dataset = dataset();
    for at in (0..=dataset.reader().head().position.0).map(Position) {
        let scope = Scope { at, ..ALL };
        let current = run(dataset.current(at)).unwrap();
        let status: BTreeMap<String, &str> = current
            .state
            .records()
            .map(|record| (record.run.id.to_string(), record.run.status.name().name()))
            .collect();
        let expected: Vec<String> =
            status.iter().map(|(run, status)| format!("Text({run:?})|Text({status:?})")).collect();
        // Both ways: from the runs alone, and in one pass with the entries.
        assert_eq!(rows_at("SELECT run, status FROM runs ORDER BY run", scope), expected, "{at}");
        let joined = "SELECT runs.run, runs.status FROM runs JOIN events USING (run) GROUP BY runs.run ORDER BY 1";
        assert_eq!(rows_at(joined, scope), expected, "{at}");
        let since = "SELECT count(*) FROM runs WHERE status_since_us IS NOT (SELECT recorded_at_us FROM events \
                     WHERE events.run = runs.run AND status IS NOT NULL ORDER BY position DESC, number DESC LIMIT 1)";
        assert_eq!(number(since, scope), 0, "{at}");
        let attempts: usize = current
            .state
            .records()
            .map(|record| record.run.spent.len() + usize::from(record.run.attempt.is_some()))
            .sum();
        assert_eq!(number("SELECT count(*) FROM attempts", scope), attempts as i64, "{at}");
        let armed = run(dataset.armed(at)).unwrap();
        assert_eq!(number("SELECT count(*) FROM timers", scope), armed.timers.len() as i64, "{at}");
        let snapshots = current.state.records().filter(|record| record.run.armed.is_some()).count();
        assert_eq!(number("SELECT count(*) FROM snapshots WHERE fate = 'armed'", scope), snapshots as i64, "{at}");
        assert_eq!(current.state.position(), at);
    }
}

#[test]
fn what_became_of_attempts_and_snapshots_is_told() {
    let attempts = rows("SELECT attempt, started, outcome, attempts.failure_kind FROM attempts WHERE name = 'nightly'");
    assert_eq!(
        attempts,
        [
            "Integer(1)|Integer(0)|Text(\"Failed\")|Text(\"start_timeout\")",
            "Integer(2)|Integer(1)|Text(\"Failed\")|Text(\"supervisor_lost\")"
        ]
    );
    let amended = rows("SELECT exit_code, exit_unknown, exit_amended, witness FROM attempts WHERE exit_amended");
    assert_eq!(amended, ["Integer(42)|Null|Integer(1)|Text(\"synthesised\")"]);
    let snapshots =
        rows("SELECT fate, canceled_because, late_us, status_at_dispatch FROM snapshots ORDER BY armed_position");
    assert_eq!(
        snapshots,
        [
            "Text(\"canceled\")|Text(\"superseded\")|Null|Null",
            "Text(\"dispatched\")|Null|Integer(10000)|Text(\"Waiting\")"
        ]
    );
    let session =
        rows("SELECT recovered, open_runs, torn_bytes, closed_position IS NULL FROM sessions ORDER BY opened_position");
    assert_eq!(session, ["Integer(0)|Null|Null|Integer(1)", "Integer(1)|Integer(1)|Integer(77)|Integer(0)"]);
}

/// One attempt is lost in the outage; another begins after it, and for a while its end is not known, for a reason of its own.
#[test]
fn an_outage_costs_only_what_was_open_when_it_came() {
    let unknown = "SELECT ended_position FROM attempts WHERE exit_amended";
    let at = Scope { at: Position(u64::try_from(number(unknown, ALL)).unwrap()), ..ALL };
    assert_eq!(number("SELECT count(*) FROM attempts WHERE exit_unknown IS NOT NULL", at), 1);
    let answer = asked(&format!("audit outages --output csv --at {}", at.at)).unwrap();
    let columns = "from_at,to_at,lasted_ms,open_runs,unknown_exits,supervisor_lost,late_snapshots,torn_bytes";
    let Some((head, row)) = answer.split_once("\r\n") else { panic!("{answer}") };
    assert_eq!(head, columns);
    assert!(row.ends_with(",-1500,1,0,1,0,77\r\n"), "{answer}");
}

#[test]
fn a_duration_that_is_none_is_told() {
    assert_eq!(asked("audit stuck --param longer_than_ms=1s --output csv").unwrap().lines().count(), 2);
    let (_dir, data) = binary::made();
    for (wrong, tells) in [
        ("longer_than_ms=1sec", "unknown unit"),
        ("longer_than_ms=1 s", "unknown unit"),
        ("longer_than_ms=abc", "neither a number nor a duration"),
        ("longer_than_ms=", "neither a number nor a duration"),
        ("longer_than_ms=007", "neither a number nor a duration"),
        ("since_us=yesterday", "neither a number nor a duration"),
    ] {
        let output = binary::ran(&data, &["audit", "stuck", "--param", wrong]);
        let text = binary::stderr(&output);
        assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("", Some(2)), "{wrong}: {text}");
        let name = wrong.split_once('=').unwrap().0;
        assert!(text.contains(name) && text.contains(tells) && text.contains("1h30m"), "{wrong}: {text}");
    }
}

#[test]
fn one_run_is_read_by_its_own_entries_and_says_the_same_as_a_scan() {
    for text in [BUILD, BUILD_AGAIN, NIGHTLY] {
        let scope = Scope { run: Some(made::run(text)), ..ALL };
        for (table, order) in [
            ("entries", "position"),
            ("events", "position, number"),
            ("refusals", "position"),
            ("runs", "run"),
            ("attempts", "attempt"),
            ("snapshots", "armed_position"),
            ("timers", "due_us"),
            ("labels", "key"),
        ] {
            let own = rows_at(&format!("SELECT * FROM {table} ORDER BY {order}"), scope);
            let scanned = rows(&format!("SELECT * FROM {table} WHERE run = '{text}' ORDER BY {order}"));
            assert_eq!(own, scanned, "{table} of {text}");
        }
        let history = run(dataset().reader().history(made::run(text))).unwrap();
        assert_eq!(loaded("SELECT * FROM events", scope).entries, history.len() as u64, "only its own are decoded");
        assert_eq!(loaded("SELECT * FROM runs", scope).entries, history.len() as u64);
    }
}

#[test]
fn only_what_a_question_reads_is_filled() {
    let read = loaded("SELECT count(*) FROM events WHERE event = 'Exited'", ALL);
    assert_eq!(read.tables.len(), 1);
    assert_eq!((read.tables[0].name, read.tables[0].columns.as_slice()), ("events", &["event"][..]));
    let counted = loaded("SELECT count(*) FROM refusals", ALL);
    assert_eq!((counted.tables[0].columns.len(), counted.tables[0].rows > 3), (0, true));
    assert_eq!(loaded("SELECT 1", ALL), Loaded::default());
    let facts = loaded("SELECT * FROM sessions", ALL);
    assert_eq!((facts.entries, facts.tables[0].rows), (0, 2), "no pass over all entries");
    let after = Scope { after: Position(20), ..ALL };
    let head = dataset().reader().head().position.0;
    assert_eq!(loaded("SELECT * FROM entries", after).entries, head - 20);
    assert_eq!(number("SELECT min(position) FROM entries", after), 21);
    // A fold needs what came before, and the rows of entries still begin where they should.
    let both = "SELECT count(*) FROM attempts, (SELECT min(position) AS first FROM entries) WHERE first = 21";
    assert_eq!(loaded(both, after).entries, head);
    assert_eq!(number(both, after), number("SELECT count(*) FROM attempts", ALL));
    let labels = number("SELECT count(*) FROM labels", ALL);
    assert_eq!((labels, number("SELECT count(*) FROM labels", after)), (6, 6));
    // Attempts know the names of their runs.
    let differs = "SELECT 1 FROM attempts JOIN runs ON runs.run = attempts.run WHERE runs.name IS NOT attempts.name";
    assert_eq!(rows(differs), Vec::<String>::new());
}

/// A checkpoint saves the way to it and changes no answer.
#[test]
fn a_checkpoint_is_a_shortcut_and_changes_no_answer() {
    let (_dir, data) = binary::made();
    let dataset = Dataset::open(&data).unwrap();
    let head = dataset.reader().head().position;
    let ask = |sql: &str, at: Position| {
        let dataset = Dataset::open(&data).unwrap();
        let mut desk = Desk::of(sql).unwrap();
        let loaded = run(desk.fill(&dataset, Scope { at, ..ALL })).unwrap();
        let (mut rows, none) = (Vec::new(), []);
        let taken = desk.ask(&none, &none, |_, next| {
            while let Some(values) = next()? {
                rows.push(format!("{values:?}"));
            }
            Ok(())
        });
        taken.unwrap();
        (rows, loaded.entries)
    };
    let runs = "SELECT run, name, status, version, updated_at, payload FROM runs";
    let (before, all) = (ask(runs, head), head.0);
    assert_eq!(before.1, all);
    // Hashes are kept at the end of every batch, which has three entries here.
    let saved = run(dataset.current(Position(30))).unwrap().state;
    let store = FileCheckpoints::open(&data);
    assert!(run(tachograph_replay::replay::save(&saved, &**dataset.reader(), &store)).unwrap());
    assert_eq!(ask(runs, head), (before.0, all - 30));
    let since = ask("SELECT status_since FROM runs WHERE status_since IS NULL", head);
    assert_eq!(since, (Vec::new(), all), "a checkpoint does not know it");
    assert_eq!(ask("SELECT count(*) FROM runs", Position(12)).1, 12, "none by then");
}

/// Whatever way a column is read, it is filled: with all columns filled, the answer is the same.
#[test]
fn a_column_that_is_read_in_whatever_way_is_filled() {
    for sql in [
        "SELECT runs.name, events.event FROM runs JOIN events USING (run) ORDER BY position, number",
        "SELECT count(*) FROM runs NATURAL JOIN labels",
        "SELECT count(*) FROM events LEFT JOIN attempts USING (run, attempt_id)",
        "SELECT count(*) FROM events FULL JOIN refusals USING (run)",
        "SELECT * FROM (SELECT 'opened' AS fact) JOIN entries USING (fact)",
        "WITH r(x) AS (SELECT run FROM runs) SELECT count(*) FROM r JOIN events ON events.run = r.x",
        "SELECT name, rank() OVER (PARTITION BY status ORDER BY created_at_us) FROM runs ORDER BY 1, 2",
        "SELECT count(*) FROM runs WHERE (run, status) IN (SELECT run, status FROM events)",
        "SELECT count(*) FROM runs WHERE EXISTS (SELECT 1 FROM labels WHERE labels.run = runs.run AND key = 'team')",
        "SELECT (SELECT max(position) FROM events WHERE run = runs.run) FROM runs ORDER BY 1",
        "SELECT kind, count(*) FILTER (WHERE action = 'exit') FROM entries GROUP BY kind HAVING min(position) > 0",
        "SELECT a.actor FROM refusals a, refusals b WHERE a.reason = b.reason AND a.position < b.position",
        "SELECT name FROM runs UNION SELECT value FROM labels ORDER BY 1",
        "SELECT value FROM runs, json_each(runs.command) ORDER BY 1",
        "SELECT 1 FROM events ORDER BY message LIMIT 3",
        "SELECT \"runs\".\"name\" FROM main.runs AS \"runs\" ORDER BY 1",
    ] {
        let all = format!("/* NATURAL: any column may be read */ {sql}");
        let (filled, all_filled) = (loaded(sql, ALL), loaded(&all, ALL));
        assert!(all_filled.tables.iter().all(|table| table.columns.len() == table.columns_of), "{sql}");
        assert!(
            sql.contains("NATURAL") || sql.contains("SELECT *") || filled != all_filled,
            "{sql} fills less than all"
        );
        assert_eq!(rows(sql), rows(&all), "{sql}");
        assert!(!rows(sql).is_empty(), "{sql}");
    }
}

/// The code and the message of a question that is wrong.
fn wrong(sql: &str) -> (String, String) {
    let line = format!("sql \"{}\"", sql.replace('"', "''"));
    match asked(&line) {
        Err(error @ Error::Input { .. }) => {
            assert_eq!(error.exit_code(), 2, "{sql}");
            (error.code().to_owned(), error.to_string() + "; " + &error.remedy())
        }
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn what_is_wrong_with_a_question_has_a_stable_code_and_a_place() {
    for (sql, code, tells) in [
        ("selec 1", "invalid_sql", "line 1, column 1"),
        ("SELECT *\nFROM runs WHERE", "invalid_sql", "incomplete input"),
        ("SELECT 1,\n  nme FROM runs", "unknown_column", "line 2, column 3"),
        ("SELECT nme FROM runs", "unknown_column", "did you mean name?"),
        ("SELECT runs.stat FROM runs", "unknown_column", "did you mean status?"),
        ("SELECT kind FROM refusals", "unknown_column", "there is one in entries, timers"),
        ("SELECT exit_cod FROM attempts", "unknown_column", "did you mean exit_code?"),
        ("SELECT waits FROM labels", "unknown_column", "; `tacho sql --tables`"),
        ("SELECT zeroblob(67108865)", "sql_failed", "longer than 64 MiB"),
        ("SELECT * FROM rnus", "unknown_table", "did you mean runs?"),
        ("SELECT * FROM quite_another", "unknown_table", "tacho sql --tables"),
        ("SELECT nothing_like_it(1)", "invalid_sql", "no such function"),
        ("SELECT 1; SELECT 2", "invalid_sql", "more than one statement"),
        ("", "invalid_sql", "no SQL statement"),
        ("/* nothing */", "invalid_sql", "no SQL statement"),
        ("SELECT :who", "missing_parameter", "--param who=VALUE"),
        ("SELECT ?", "missing_parameter", "no name"),
        ("SELECT abs(-9223372036854775807 - 1)", "sql_failed", "integer overflow"),
        ("SELECT CAST(x'ff' AS TEXT)", "sql_failed", "utf-8"),
    ] {
        let (found, message) = wrong(sql);
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(tells), "{sql}: {message}");
    }
    let surplus = asked("sql \"SELECT :who\" --param who=1 --param whoo=2").unwrap_err();
    assert_eq!(surplus.code(), "unknown_parameter");
    assert!(surplus.remedy().contains("who"), "{}", surplus.remedy());
    let unknown = asked("audit refusal").unwrap_err();
    assert_eq!((unknown.code(), unknown.exit_code()), ("unknown_query", 2));
    assert!(unknown.remedy().contains("did you mean refusals?"));
    assert_eq!(asked("audit nope").unwrap_err().remedy(), "`tacho audit` lists all");
    let never = asked(&format!("sql \"SELECT * FROM runs\" --run {NEVER}")).unwrap_err();
    assert_eq!(never.code(), "unknown_run");
}

#[test]
fn a_question_that_would_do_more_than_read_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made.db").display().to_string();
    for sql in [
        "INSERT INTO runs(run) VALUES('x')",
        "UPDATE runs SET name = 'x'",
        "WITH x AS (SELECT 1) DELETE FROM runs",
        "REPLACE INTO runs(run) VALUES('x')",
        "CREATE TABLE x(y)",
        "CREATE TEMP TABLE x(y)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END",
        "DROP TABLE runs",
        "ALTER TABLE runs ADD COLUMN x",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode",
        "PRAGMA database_list",
        "PRAGMA temp_store_directory = '/'",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "SAVEPOINT x",
        "DETACH main",
        "EXPLAIN INSERT INTO runs(run) VALUES('x')",
        "SELECT load_extension('x')",
        &format!("ATTACH '{file}' AS other"),
        &format!("VACUUM INTO '{file}'"),
    ] {
        let (code, message) = wrong(sql);
        assert_eq!(code, "sql_read_only", "{sql}: {message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // What only tells about tables is a question.
    assert_eq!(rows("SELECT name FROM pragma_table_info('labels')").len(), 3);
    assert_eq!(rows("SELECT name FROM sqlite_schema WHERE type = 'table'").len(), 9);
}

/// What a process had in memory at most, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Without an end, and a row is a KiB: whoever keeps rows does not survive it.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, printf('%01024d', i) AS text FROM n";

#[test]
fn a_long_result_streams_and_a_reader_that_goes_away_is_no_failure() {
    let (_dir, data) = binary::made();
    for output in ["table", "json", "jsonl", "csv"] {
        let mut child = binary::tacho(&data)
            .args(["sql", ENDLESS, "--output", output])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        // The table cuts a cell at 120 characters, so that this is as many rows.
        let bytes: u64 = match output {
            "csv" => 100 << 20,
            "table" => 2 << 20,
            _ => 16 << 20,
        };
        let read = std::io::copy(&mut stdout.by_ref().take(bytes), &mut std::io::sink()).unwrap();
        assert_eq!(read, bytes, "{output}");
        assert!(peak_kib(child.id()) < 48 * 1_024, "{output}: {} KiB", peak_kib(child.id()));
        drop(stdout);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{output}");
        assert_eq!(binary::stderr(&ended), "", "{output}");
    }
}

#[test]
fn the_binary_answers_and_fails_with_stable_codes() {
    let (_dir, data) = binary::made();
    let output = binary::ran(&data, &["sql", "SELECT count(*) AS runs FROM runs", "--output", "csv"]);
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("runs\r\n5\r\n", Some(0)));
    let output = binary::ran(&data, &["--format", "json", "sql", "DELETE FROM runs", "--output", "csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(binary::stdout(&output), "");
    let error: serde_json::Value = serde_json::from_str(&binary::stderr(&output)).unwrap();
    assert_eq!(error["error"]["code"], "sql_read_only");
    // What tells of no journal needs none.
    let nowhere = data.join("nowhere");
    for (arguments, first) in [
        (&["sql", "--tables", "--output", "csv"][..], "table,column,type,is"),
        (&["audit", "--output", "csv"], "name,tells"),
        (&["audit", "stuck", "--show"], "-- Open runs whose status has not changed for a long time."),
    ] {
        let output = binary::ran(&nowhere, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", binary::stderr(&output));
        assert_eq!(binary::stdout(&output).lines().next(), Some(first));
    }
    assert_eq!(binary::ran(&nowhere, &["audit", "stuck"]).status.code(), Some(6));
    assert_eq!(binary::ran(&nowhere, &["audit", "stuk", "--show"]).status.code(), Some(2));
    // Rows before a failure are written, and the failure is told.
    let late = "SELECT abs(value) AS n FROM json_each('[1, 2, -9223372036854775808]')";
    let output = binary::ran(&data, &["sql", late, "--output", "jsonl"]);
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("{\"n\":1}\n{\"n\":2}\n", Some(2)));
    assert!(binary::stderr(&output).contains("error[sql_failed]"));
}

/// Nothing is printed before it is known that there is something to print; what is not all of it does not look whole.
#[test]
fn an_answer_that_fails_is_empty_or_can_be_seen_to_be_incomplete() {
    let (_dir, data) = binary::made();
    let failed = |values: &str, form: &str| {
        let sql = format!("SELECT abs(value) AS n FROM json_each('[{values}-9223372036854775808]')");
        let output = binary::ran(&data, &["sql", &sql, "--output", form]);
        assert_eq!(output.status.code(), Some(2), "{form}");
        assert!(binary::stderr(&output).contains("error[sql_failed]"), "{form}");
        binary::stdout(&output)
    };
    for form in ["table", "json", "jsonl", "csv"] {
        assert_eq!(failed("", form), "", "{form}");
    }
    assert_eq!(failed("1, 2, ", "json"), "[\n  {\n    \"n\": 1\n  },\n  {\n    \"n\": 2\n  }\n");
    assert_eq!(failed("1, 2, ", "csv"), "n\r\n1\r\n2\r\n");
    // Widths are those of the rows that are known.
    assert_eq!(failed("1, 22, ", "table"), " n\n 1\n22\n");
    // An answer without rows is whole.
    let output = binary::ran(&data, &["sql", "SELECT 1 AS n WHERE false", "--output", "json"]);
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("[]\n", Some(0)));
}
