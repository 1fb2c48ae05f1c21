//! Tables that stay filled: another process finds them, and its answers are those of tables of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use tachograph_adapters::journal::{Durability, FileJournal, JournalOptions};
use tachograph_engine::domain::Entry;
use tachograph_engine::ports::Journal;
use tachograph_replay::audit::{NAMED, command, tables};
use tachograph_replay::cli::{Cli, Command};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::Format;
use tempfile::TempDir;

use crate::audit_narrowed::{given_run, questions};
use crate::binary::{self, everything};
use crate::kept::{now, printed_at, run};
use crate::made::{BUILD, Made};

/// A journal, and a directory for its tables.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) boot: &'static str,
}

impl Place {
    /// The made journal; of another process, it would be the same.
    pub(crate) fn made() -> Self {
        let (dir, data) = binary::made();
        let cache = dir.path().join("cache");
        Self { dir, data, cache, boot: "boot-1" }
    }

    /// A journal without entries, and its writer, which waits for the disk only where a segment is full.
    pub(crate) fn begun(segment_bytes: u64) -> (Self, FileJournal) {
        let dir = TempDir::new().unwrap();
        let (data, cache) = (dir.path().join("data"), dir.path().join("cache"));
        let durability = Durability::Buffered;
        let options = JournalOptions { segment_bytes, durability, ..JournalOptions::default() };
        let journal = FileJournal::open(&data, options).unwrap();
        (Self { dir, data, cache, boot: "boot-1" }, journal)
    }

    /// What a process prints that is called with these arguments, and takes every journal for a large one.
    pub(crate) fn called(&self, arguments: &[&str]) -> Result<String, Error> {
        called(&self.data, arguments, self.boot, Some(1))
    }

    /// The rows of a question, one on each line, out of the tables that stay filled if it is for them.
    pub(crate) fn asked(&self, arguments: &[&str]) -> String {
        let cache = self.cache.display().to_string();
        let rest = ["--cache", &cache, "--output", "jsonl"];
        self.called(&[arguments, &rest].concat()).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// The same out of tables of its own.
    pub(crate) fn alone(&self, arguments: &[&str]) -> String {
        self.called(&[arguments, &["--cache", "off", "--output", "jsonl"]].concat()).unwrap()
    }

    /// What `--explain` says about a question: of the tables that stay filled, and what was read.
    pub(crate) fn explained(&self, sql: &str) -> Vec<(String, String)> {
        let rows = self.asked(&["sql", sql, "--explain"]);
        let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows.map(|row| (text(&row["step"]), text(&row["detail"]))).collect()
    }

    /// Whether a question is answered out of tables that are filled already: with nothing read.
    pub(crate) fn is_used(&self, sql: &str) -> bool {
        let explained = self.explained(sql);
        let has = |step: &str, detail: &str| explained.contains(&(step.to_owned(), detail.to_owned()));
        has("cache", "used: yes") && has("read", "nothing: the tables are filled") && has("read", "0 entries decoded")
    }

    /// Whether it is answered out of tables that stay filled, by now.
    pub(crate) fn is_cached(&self, sql: &str) -> bool {
        self.explained(sql).contains(&("cache".to_owned(), "used: yes".to_owned()))
    }

    /// The one file with this ending.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        let mut found = files(&self.cache).into_iter().filter(|path| path.extension().is_some_and(|is| is == ending));
        let file = found.next().unwrap_or_else(|| panic!("no .{ending}"));
        assert_eq!(found.next(), None);
        file
    }
}

pub(crate) fn called(data: &Path, arguments: &[&str], boot: &str, from: Option<u64>) -> Result<String, Error> {
    let (data, dataset) = (data.display().to_string(), Dataset::open(data).unwrap());
    let parsed = Cli::try_parse_from([&["tacho", "--data", &data], arguments].concat()).unwrap();
    printed_at(now(), dataset, Machine::of("here", boot, "/proc"), Format::Text, async |reading| match parsed.command {
        Command::Sql(mut args) => {
            args.ask.cached_from = from;
            command::sql(reading, &args).await
        }
        Command::Audit(mut args) => {
            args.ask.cached_from = from;
            command::audit(reading, &args).await
        }
        other => panic!("{other:?}"),
    })
}

pub(crate) fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let listed = std::fs::read_dir(directory).into_iter().flatten();
    listed.map(|item| item.unwrap().path()).collect()
}

/// Every table with all that is ever kept of it.
pub(crate) fn whole() -> Vec<String> {
    let columns = |table: &tachograph_replay::audit::TableInfo| {
        let kept = table.columns.iter().map(|column| column.name).filter(|name| *name != "payload");
        kept.collect::<Vec<_>>().join(", ")
    };
    tables().iter().map(|table| format!("SELECT {} FROM {}", columns(table), table.name)).collect()
}

/// Every question that other tests ask, with its arguments.
fn all() -> Vec<Vec<String>> {
    let given = format!("run={BUILD}");
    let own = |sql: String| {
        let mut arguments = vec!["sql".to_owned(), sql];
        if given_run(&arguments[1]) {
            arguments.extend(["--param".to_owned(), given.clone()]);
        }
        arguments
    };
    let named = NAMED.iter().map(|query| vec!["audit".to_owned(), query.name.to_owned()]);
    questions().into_iter().chain(whole()).map(own).chain(named).collect()
}

pub(crate) fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn another_process_answers_as_one_that_fills_tables_of_its_own() {
    let place = Place::made();
    let before = everything(&place.data);
    let all = all();
    let all: Vec<Vec<&str>> = all.iter().map(|arguments| arguments.iter().map(String::as_str).collect()).collect();
    let alone: Vec<String> = all.iter().map(|arguments| place.alone(arguments)).collect();
    // Filled by the questions themselves, and filled with all that there is first.
    for is_filled in [false, true] {
        for sql in whole().iter().filter(|_| is_filled) {
            place.asked(&["sql", sql]);
        }
        let (mut used, mut asked) = (0, 0);
        for (arguments, alone) in all.iter().zip(&alone) {
            for time in ["the first time", "again"] {
                let found = place.asked(arguments);
                assert_eq!(sorted(&found), sorted(alone), "{arguments:?}, {time}");
            }
            if arguments[0] == "sql" && arguments.len() == 2 {
                (used, asked) = (used + usize::from(place.is_used(arguments[1])), asked + 1);
            }
        }
        println!("{used} of {asked} are answered out of tables that stay filled");
        assert!(used * 3 > asked, "{used} of {asked}");
    }
    assert!(everything(&place.data) == before, "nothing is written beside the evidence");
}

#[test]
fn the_questions_with_a_name_read_nothing_the_second_time() {
    let place = Place::made();
    for query in NAMED {
        place.asked(&["audit", query.name]);
    }
    for query in NAMED {
        // Each has values for its parameters by itself.
        let sql = format!(" {}", query.sql)
            .replace(":label", "'team'")
            .replace(":longer_than_ms", "1")
            .replace(":late_ms", "1");
        assert!(place.is_used(&sql), "{}", query.name);
    }
    assert_eq!(files(&place.cache).len(), 3, "tables, card and lock: {:?}", files(&place.cache));
}

#[test]
fn what_reads_little_or_what_is_never_kept_leaves_no_file() {
    let place = Place::made();
    for sql in [
        format!("SELECT event FROM events WHERE run = '{BUILD}'"),
        "SELECT event FROM events WHERE position > 12".to_owned(),
        "SELECT reason FROM refusals WHERE recorded_at_us > 5".to_owned(),
        "SELECT actor FROM entries WHERE kind = 'refused'".to_owned(),
        "SELECT payload FROM refusals".to_owned(),
        "SELECT name FROM sqlite_schema".to_owned(),
        "SELECT name FROM pragma_table_info('runs')".to_owned(),
        "SELECT 1 + 1".to_owned(),
    ] {
        assert_eq!(place.asked(&["sql", &sql]), place.alone(&["sql", &sql]), "{sql}");
        assert!(!place.is_cached(&sql), "{sql}");
    }
    for options in [&["--at", "20"][..], &["--after", "20"], &["--run", "build"]] {
        let arguments = [&["sql", "SELECT run, status FROM runs"], options].concat();
        assert_eq!(place.asked(&arguments), place.alone(&arguments), "{options:?}");
    }
    assert!(!place.cache.exists(), "{:?}", files(&place.cache));
    // They do so beside filled tables as well, unless those have it all.
    let sql = "SELECT actor FROM entries WHERE kind = 'refused'";
    place.asked(&["sql", "SELECT actor FROM entries"]);
    assert!(!place.is_cached(sql), "there is no column to part them");
    place.asked(&["sql", "SELECT actor, kind FROM entries"]);
    assert!(place.is_used(sql));
}

#[test]
fn a_small_journal_leaves_no_file_and_off_is_off() {
    let place = Place::made();
    let (sql, cache) = ("SELECT status FROM runs", place.cache.display().to_string());
    let rows = called(&place.data, &["sql", sql, "--cache", &cache], place.boot, None).unwrap();
    assert_eq!(rows.lines().count(), 7, "{rows}");
    assert!(!place.cache.exists());
    place.alone(&["sql", sql]);
    assert!(!place.cache.exists());
    // Nor does a bundle, or a journal that is read out of something else.
    let bundle = place.dir.path().join("all.tacho");
    let made = binary::ran(&place.data, &["export", "--out", &bundle.display().to_string()]);
    assert_eq!(made.status.code(), Some(0), "{}", binary::stderr(&made));
    let told = called(&bundle, &["sql", sql, "--cache", &cache, "--explain"], place.boot, Some(1)).unwrap();
    assert!(told.contains("no: it is no data directory"), "{told}");
    assert!(!place.cache.exists());
}

#[test]
fn what_is_appended_is_added_and_nothing_else_is_read() {
    let (place, mut journal) = Place::begun(2_048);
    let entries = Made::journal().entries;
    let all = all();
    let mut reached = 0;
    for batch in entries.chunks(7) {
        run(journal.append(batch.iter().map(binary::draft).collect())).unwrap();
        for arguments in all.iter().filter(|arguments| arguments[0] == "audit") {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            assert_eq!(
                sorted(&place.asked(&arguments)),
                sorted(&place.alone(&arguments)),
                "{arguments:?} at {reached}"
            );
        }
        reached += batch.len();
    }
    // Bring up to date with one entry more: that, and the histories of its run.
    let sql = whole().into_iter().find(|sql| sql.ends_with("FROM events")).unwrap();
    assert!(place.is_cached(&sql));
    append(&mut journal, &[entries[entries.len() - 2].clone()]);
    assert!(!place.is_used(&sql), "there is one entry more");
    assert!(place.is_used(&sql));
    assert_eq!(sorted(&place.asked(&["sql", &sql])), sorted(&place.alone(&["sql", &sql])));
}

/// Appends system entries like these.
fn append(journal: &mut FileJournal, entries: &[Entry]) {
    run(journal.append(entries.iter().map(binary::draft).collect())).unwrap();
}

#[test]
fn what_was_archived_since_begins_them_anew() {
    let place = Place::made();
    let names: Vec<Vec<String>> = all().into_iter().filter(|arguments| arguments[0] == "audit").collect();
    let ask_all = |place: &Place| {
        for arguments in &names {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            assert_eq!(sorted(&place.asked(&arguments)), sorted(&place.alone(&arguments)), "{arguments:?}");
        }
    };
    ask_all(&place);
    let sql = "SELECT name, status, ended FROM runs";
    place.asked(&["sql", sql]);
    assert!(place.is_used(sql));
    let output = binary::ran(&place.data, &["archive", "--before", "2026-11-21T05:00:00Z", "--apply", "--no-parquet"]);
    assert_eq!(output.status.code(), Some(0), "{}", binary::stderr(&output));
    assert!(!place.is_used(sql), "{}", binary::stdout(&output));
    assert!(place.is_used(sql));
    ask_all(&place);
    ask_all(&place);
}
