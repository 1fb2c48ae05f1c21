//! Questions one after the other: at a prompt on a real terminal, and out of standard input.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::{Draft, Journal};

use crate::binary;
use crate::kept::run;
use crate::made::{BUILD_AGAIN, Made};
use crate::pty::Pty;

const PROMPT: &str = "tacho> ";

/// A prompt that keeps its history in a directory.
fn prompt(data: &Path, state: &Path) -> Pty {
    let state = state.display().to_string();
    let mut pty = Pty::tacho(data, &["sql"], &[("XDG_STATE_HOME", &state)]);
    pty.writes("Ctrl-D leaves").writes(PROMPT);
    pty
}

#[test]
fn a_prompt_answers_completes_forgives_and_remembers() {
    let (_dir, data) = binary::made();
    let state = tempfile::tempdir().unwrap();
    let mut pty = prompt(&data, state.path());
    pty.keys("SELECT 'n' || (6*7) AS\r").keys("answer;\r").writes("n42").writes("1 row").writes(PROMPT);
    // What is typed is completed, and what is given up is gone.
    pty.keys("SELECT 'r' || count(*) FROM refu\t;\r").writes("refusals").writes("r7").writes(PROMPT);
    pty.keys("SELECT this is given up\u{3}").writes("\n").writes(PROMPT);
    pty.keys("SELECT nme FROM runs;\r").writes("\n").writes(PROMPT);
    pty.keys("DELETE FROM runs;\r").writes("\n").writes(PROMPT);
    pty.keys(".output jsonl\r").writes("\n").writes(PROMPT);
    pty.keys("SELECT 'x' AS a; SELECT 'y' AS b;\r").writes(r#"{"a":"x"}"#).writes(r#"{"b":"y"}"#).writes(PROMPT);
    pty.keys(".tables\r").writes(r#"{"table":"entries""#).writes(r#"{"table":"labels""#).writes(PROMPT);
    pty.keys(".columns label\r").writes("\n").writes(PROMPT);
    pty.keys(".output table\r").writes("\n").writes(PROMPT).keys(".param who=r1\r").writes("\n").writes(PROMPT);
    pty.keys("SELECT 'by' || count(*) FROM refusals WHERE actor = :who;\r").writes("by4").writes(PROMPT);
    pty.keys(".explain\r").writes("explain is on").writes(PROMPT);
    pty.keys("SELECT 1 FROM refusals WHERE actor = :who;\r").writes("refusals: actor = 'r1'").writes(PROMPT);
    pty.keys(".explain\r").writes("explain is off").writes(PROMPT);
    pty.keys(".audit stuck\r").writes(BUILD_AGAIN).writes(PROMPT);
    pty.keys(".nonsense\r").writes("\n").writes(PROMPT);
    pty.keys(".help\r").writes(".columns [TABLE]").writes(PROMPT);
    pty.keys("\u{4}");
    let (code, stderr) = pty.ended();
    assert_eq!(code, Some(0), "{stderr}");
    let mut told = stderr.as_str();
    for wanted in [
        "error[unknown_column]",
        "did you mean name?",
        "error[sql_read_only]",
        "error[unknown_table]",
        "did you mean labels?",
        "error[invalid_input]: there is no command \".nonsense\"",
        "`.help` lists them",
    ] {
        told = told.split_once(wanted).unwrap_or_else(|| panic!("{wanted}: {stderr}")).1;
    }
    assert_eq!(pty.modes_now(), pty.modes_before, "the terminal is given back");
    let history = state.path().join("tacho/history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.starts_with("\"SELECT 'n' || (6*7) AS\\nanswer;\"\n"), "{kept}");
    assert!(!kept.contains("given up"), "{kept}");
    // The next prompt offers what was asked last.
    let mut pty = prompt(&data, state.path());
    pty.keys("\u{1b}[A").writes(".help").keys("\u{3}").writes("\n").writes(PROMPT);
    pty.keys(".quit\r");
    assert_eq!(pty.ended().0, Some(0));
}

/// All at once, as a terminal without bracketed paste gives what is pasted, or as somebody types who does not wait.
#[test]
fn questions_that_arrive_at_once_are_all_answered() {
    let (_dir, data) = binary::made();
    let state = tempfile::tempdir().unwrap();
    let mut pty = prompt(&data, state.path());
    for end in ["\n", "\r"] {
        let questions: Vec<String> = (100..160).map(|number| format!("SELECT 'q' || ({number} + 0);{end}")).collect();
        pty.keys(&questions.concat());
        for number in 100..160 {
            pty.writes(&format!("q{number}\r\n"));
        }
    }
    pty.writes(PROMPT).keys("SELECT 'x' || (3 - 2);\r.tables\rSELECT 'x' || (1 + 1);\r\u{4}");
    pty.writes("x1\r\n").writes("labels").writes("x2\r\n");
    assert_eq!(pty.ended(), (Some(0), String::new()), "the end that was typed with them comes behind them");
}

/// As a terminal gives it that tells what is pasted from what is typed.
fn pasted(text: &str) -> String {
    format!("\u{1b}[200~{text}\u{1b}[201~\r")
}

#[test]
fn what_is_pasted_is_done_line_by_line_and_a_wrong_line_loses_none() {
    let (_dir, data) = binary::made();
    let state = tempfile::tempdir().unwrap();
    let mut pty = prompt(&data, state.path());
    pty.keys(&pasted(".param who=r1\n.output csv\nSELECT 'by' || count(*)\nFROM refusals WHERE actor = :who;"));
    pty.writes("by4\r").writes(PROMPT);
    pty.keys(&pasted("SELECT 'a' || (1 + 1);\n.nonsense\nSELECT nme FROM runs;\n.tables;\nSELECT 'b' || (1 + 1);"));
    pty.writes("a2\r").writes("labels").writes("b2\r").writes(PROMPT);
    pty.keys(".param who\r").writes("\n").writes(PROMPT).keys(".param who\r").writes("\n").writes(PROMPT);
    pty.keys(&pasted("SELECT 'c' || (1 + 1);\n.quit;\nSELECT 'd' || (1 + 1);")).writes("c2\r");
    let (code, stderr) = pty.ended();
    assert_eq!((code, stderr.matches("error[").count()), (Some(0), 3), "{stderr}");
    for wanted in ["no command \".nonsense\"", "error[unknown_column]", "there is no value of \"who\" to take away"] {
        assert!(stderr.contains(wanted), "{wanted}: {stderr}");
    }
    assert!(!String::from_utf8_lossy(&pty.raw).contains("d2"), "who left is told no more");
}

#[test]
fn words_of_other_prompts_are_told_and_an_unfinished_question_shows_it() {
    let (_dir, data) = binary::made();
    let state = tempfile::tempdir().unwrap();
    let mut pty = prompt(&data, state.path());
    for word in ["\\d", "\\q", "help", "quit", "exit;"] {
        pty.keys(&format!("{word}\r")).writes("\n").writes(PROMPT);
    }
    pty.keys(".explain;\r")
        .writes("explain is on")
        .writes(PROMPT)
        .keys(".explain;\r")
        .writes("explain is off")
        .writes(PROMPT);
    pty.keys("SELECT 'n' || (6*7)\r").writes("(goes on, up to a ;)").keys(";\r").writes("n42").writes(PROMPT);
    pty.keys(".quit;\r");
    let (code, stderr) = pty.ended();
    assert_eq!((code, stderr.matches("error[").count()), (Some(0), 5), "{stderr}");
    assert_eq!(stderr.matches("`.help` lists them; a question ends with ;").count(), 5, "{stderr}");
}

#[test]
fn a_prompt_is_up_to_date_before_each_question() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let entries = Made::journal().entries;
    let drafts = |from: usize, to: usize| entries[from..to].iter().map(binary::draft).collect();
    let options = JournalOptions { segment_bytes: 2_048, ..JournalOptions::default() };
    let mut journal = FileJournal::open(&data, options).unwrap();
    let mut pty: Option<Pty> = None;
    let state = tempfile::tempdir().unwrap();
    let questions = [
        ("runs", "status || version || updated_at || ifnull(status_since, '')"),
        ("events", "position || event"),
        ("attempts", "attempt || ifnull(outcome, '') || ifnull(ended_position, '') || ifnull(superseded_at, '')"),
        ("entries", "position || kind"),
        ("snapshots", "fate || ifnull(dispatched_position, '')"),
        ("timers", "due || run"),
        ("labels", "key || replace(value, char(10), '_')"),
        ("sessions", "opened_at || recovered || ifnull(closed_position, '')"),
        ("refusals", "position || reason"),
    ];
    let mut reached = 0;
    for to in [3, 7, 17, 18, 20, 33, entries.len()] {
        run(journal.append(drafts(reached, to))).unwrap();
        reached = to;
        let pty = pty.get_or_insert_with(|| {
            let mut pty = prompt(&data, state.path());
            pty.keys(".output csv\r").writes("\n").writes(PROMPT);
            pty
        });
        for (table, text) in questions {
            let sum = format!(
                "SELECT '{table}=' || count(*) || '/' || ifnull(group_concat(length(t) || t, '+'), '') AS t \
                               FROM (SELECT {text} AS t FROM {table} ORDER BY 1)"
            );
            let alone = binary::ran(&data, &["sql", &sum, "--output", "csv"]);
            let answer = binary::stdout(&alone).lines().nth(1).unwrap().to_owned();
            pty.keys(&format!("{sum};\r")).writes(&answer).writes(PROMPT);
        }
    }
    let mut pty = pty.unwrap();
    pty.keys("\u{4}");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    run(Box::new(journal).close()).unwrap();
}

/// How long ago is counted from when the prompt began, so that tables that are filled later hold the same part.
#[test]
fn a_duration_holds_for_the_whole_sitting() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let entries = Made::journal().entries;
    let mut journal = FileJournal::open(&data, JournalOptions::default()).unwrap();
    run(journal.append(entries[..3].iter().map(binary::draft).collect())).unwrap();
    let state = tempfile::tempdir().unwrap();
    let state = state.path().display().to_string();
    let mut pty = Pty::tacho(&data, &["sql", "--after", "1ms"], &[("XDG_STATE_HOME", &state)]);
    pty.writes("Ctrl-D leaves").writes(PROMPT);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let now = Timestamp::from_micros(i64::try_from(since).unwrap());
    let late = entries[3..].iter().map(|entry| Draft { recorded_at: now, ..binary::draft(entry) });
    run(journal.append(late.collect())).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let answer = format!("n{}=", entries.len() - 3);
    pty.keys("SELECT 'n' || count(*) || '=' FROM entries;\r").writes(&answer).writes(PROMPT).keys("\u{4}");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    run(Box::new(journal).close()).unwrap();
}

#[test]
fn nothing_is_kept_where_the_evidence_is() {
    let (_dir, data) = binary::made();
    let inside = data.join("history").display().to_string();
    let mut pty = Pty::tacho(&data, &["sql"], &[("TACHO_HISTORY", &inside)]);
    pty.writes(PROMPT).keys("SELECT 'n' || (6*7);\r").writes("n42").writes(PROMPT).keys("\u{4}");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    assert!(!data.join("history").exists());
}

/// What a question calls its own tables is a name to nobody but the question, whatever it says.
#[test]
fn the_text_of_a_question_makes_no_file() {
    let (_dir, data) = binary::made();
    let before = binary::everything(&data);
    let wd = tempfile::tempdir().unwrap();
    for inside in [
        "runs; attach 'written.db' as y; create table y.t(a); insert into y.t values(1); --",
        "runs; vacuum into 'written.db'; --",
        "runs; commit; vacuum into 'written.db'; --",
        "runs; pragma journal_mode = wal; --",
    ] {
        let sql = format!(
            "WITH RECURSIVE \"{inside}\"(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM \"{inside}\" LIMIT 5) \
             SELECT count(*) AS n, (SELECT count(*) FROM runs) AS runs FROM \"{inside}\""
        );
        let twice = format!("{sql};\n{sql};\n");
        for (arguments, input, answers) in
            [(&["sql", "--output", "jsonl"][..], twice.as_str(), 2), (&["sql", &sql, "--output", "jsonl"], "", 1)]
        {
            let output = binary::fed_in(wd.path(), &data, arguments, input);
            assert_eq!(binary::stderr(&output), "", "{sql}");
            assert_eq!(binary::stdout(&output), "{\"n\":5,\"runs\":5}\n".repeat(answers), "{sql}");
            assert_eq!(std::fs::read_dir(wd.path()).unwrap().count(), 0, "{sql}");
        }
    }
    assert_eq!(binary::everything(&data), before);
}

#[test]
fn off_a_terminal_the_statements_of_standard_input_are_answered_up_to_the_first_wrong_one() {
    let (_dir, data) = binary::made();
    let input =
        "SELECT ';' AS a; -- one\nSELECT count(*) AS runs\nFROM runs;\nSELECT count(*) AS runs FROM runs WHERE ended";
    for arguments in [&["sql", "--output", "csv"][..], &["sql", "-", "--output", "csv"]] {
        let output = binary::fed(&data, arguments, input);
        assert_eq!(binary::stderr(&output), "");
        assert_eq!(
            (binary::stdout(&output).as_str(), output.status.code()),
            ("a\r\n;\r\nruns\r\n5\r\nruns\r\n4\r\n", Some(0))
        );
    }
    let output = binary::fed(&data, &["sql", "--output", "csv"], "SELECT 1 AS a; SELECT nme FROM runs; SELECT 2 AS b;");
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("a\r\n1\r\n", Some(2)));
    assert!(binary::stderr(&output).contains("error[unknown_column]"), "{}", binary::stderr(&output));
    let output = binary::fed(&data, &["sql"], "SELECT 1 AS a\0; SELECT 2 AS b");
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("", Some(2)));
    assert!(binary::stderr(&output).contains("NUL"), "{}", binary::stderr(&output));
    let output = binary::fed(&data, &["sql"], " -- nothing\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(binary::stderr(&output).contains("error[invalid_sql]"));
}

#[test]
fn what_is_wrong_with_a_question_is_told_by_the_program_itself() {
    let (_dir, data) = binary::made();
    for (sql, code, tells) in [
        ("SELEC 1", "invalid_sql", "line 1, column 1"),
        ("SELECT nme FROM runs", "unknown_column", "did you mean name?"),
        ("SELECT * FROM rnus", "unknown_table", "did you mean runs?"),
        ("UPDATE runs SET name = 'x'", "sql_read_only", "reads, and changes nothing"),
        ("SELECT :who", "missing_parameter", "--param who=VALUE"),
    ] {
        let output = binary::ran(&data, &["sql", sql]);
        let (text, status) = (binary::stderr(&output), output.status.code());
        assert_eq!((binary::stdout(&output).as_str(), status), ("", Some(2)), "{sql}: {text}");
        assert!(text.contains(&format!("error[{code}]")) && text.contains(tells), "{sql}: {text}");
    }
    // More than 100 MB to somebody who wants one line of it.
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT printf('%01024d', i) FROM n";
    let mut shell = std::process::Command::new("bash");
    let pipe = format!("\"$0\" sql \"{endless}\" --output csv | head -1; echo \"${{PIPESTATUS[0]}}\"");
    let output = shell.args(["-c", &pipe, env!("CARGO_BIN_EXE_tacho")]).env("TACHO_DATA", &data).output().unwrap();
    let text = binary::stdout(&output);
    assert_eq!(text.lines().last(), Some("0"), "{text}");
    assert_eq!(binary::stderr(&output), "");
}

/// Waits until a prompt that is shown sleeps until keys come: a signal just before is not noticed before the next key.
fn reads_keys(pty: &Pty) {
    let status = format!("/proc/{}/status", pty.pid().as_raw_nonzero());
    for _ in 0..60_000 {
        if std::fs::read_to_string(&status).unwrap().contains("State:\tS") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("the prompt never waited for keys");
}

/// What is printed tells that the question is being answered: before that, the signal ends the prompt.
#[test]
fn an_interrupt_gives_up_the_question_and_not_the_prompt() {
    let (_dir, data) = binary::made();
    let state = tempfile::tempdir().unwrap();
    let mut pty = prompt(&data, state.path());
    pty.keys(".output jsonl\r").writes("\n").writes(PROMPT);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for of in ["count(*)", "max(i)"] {
        pty.keys(&format!("SELECT 'be' || 'gun' AS it; {endless} SELECT {of} FROM n;\r")).writes("begun");
        pty.signal(Signal::INT);
        pty.writes(PROMPT);
    }
    pty.keys("SELECT 'r' || count(*) AS all FROM runs;\r");
    pty.writes("\n")
        .writes(PROMPT)
        .keys("SELECT 'r' || count(*) AS runs FROM runs;\r")
        .writes(r#"{"runs":"r5"}"#)
        .writes(PROMPT);
    // Where no question is answered, it is what Ctrl-C is there: another line.
    reads_keys(&pty);
    pty.signal(Signal::INT);
    pty.writes(PROMPT).keys("\u{4}");
    let (code, stderr) = pty.ended();
    assert_eq!((code, stderr.matches("error[sql_interrupted]").count()), (Some(0), 2), "{stderr}");
    assert_eq!(pty.modes_now(), pty.modes_before, "the terminal is given back");
}

#[test]
fn a_parameter_that_no_statement_of_standard_input_asks_for_is_told() {
    let (_dir, data) = binary::made();
    let given = ["sql", "--output", "csv", "--param", "who=r1", "--param", "what=2"];
    let output = binary::fed(&data, &given, "SELECT :who AS a; SELECT 1 AS b;");
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("", Some(2)));
    let text = binary::stderr(&output);
    assert!(text.contains("error[unknown_parameter]: there is no parameter :what"), "{text}");
    let output = binary::fed(&data, &given, "SELECT :who AS a; SELECT :what AS b;");
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("a\r\nr1\r\nb\r\n2\r\n", Some(0)));
}

/// A small disk of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Absent if nothing can be mounted here; that fails instead if nothing may be left out.
    fn mounted() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(place.path()).output().unwrap();
        if mounted.status.success() {
            return Some(Self(place));
        }
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "no disk can be mounted: {mounted:?}");
        eprintln!("SKIPPED: no disk can be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// A question sorts more than memory may hold.
#[test]
fn a_disk_that_is_full_of_temporary_files_is_told_with_what_to_do() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let (_dir, data) = binary::made();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 160) \
               SELECT i FROM (SELECT i, randomblob(1000000) AS b FROM n) ORDER BY b";
    let mut tacho = std::process::Command::new(env!("CARGO_BIN_EXE_tacho"));
    tacho.args(["sql", sql]).env("TACHO_DATA", &data).env("SQLITE_TMPDIR", disk.0.path());
    let output = tacho.output().unwrap();
    let text = binary::stderr(&output);
    assert_eq!((binary::stdout(&output).as_str(), output.status.code()), ("", Some(10)), "{text}");
    assert!(text.contains("error[disk_full]") && text.contains("SQLITE_TMPDIR"), "{text}");
}
