//! The tables as files: in one piece or in many, they hold what `tacho sql` answers, and nothing of the source is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::{Draft, Journal};
use tachograph_replay::audit::export::parquet::{MANIFEST, Manifest, ParquetExport, Watch, write_parquet};
use tachograph_replay::audit::export::sqlite::{APPLICATION_ID, USER_VERSION, write_sqlite};
use tachograph_replay::audit::export::{ExportProblem, Source};
use tachograph_replay::audit::{Desk, NAMED, Parameter, Scope, tables};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tempfile::TempDir;

use crate::binary::{everything, ran, stderr, stdout};
use crate::golden;
use crate::kept::{now, run};
use crate::made::{BUILD, Made};

/// Tables whose rows are in files by day.
pub(super) const BY_DAY: [&str; 3] = ["entries", "events", "refusals"];
/// The day of each entry after the first day, over and over: the clock steps back, and over more days than are open at a time.
const DAYS: [i64; 13] = [0, 0, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 0];

/// The entries of the made journal, spread over days.
pub(super) fn spread() -> Vec<Entry> {
    let mut entries = Made::journal().entries;
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.recorded_at = entry.recorded_at.plus_millis(DAYS[index % DAYS.len()] * 86_400_000);
    }
    entries
}

/// A journal of entries, in commits of three.
pub(super) fn journal_of(data: &Path, entries: &[Entry]) {
    let options = JournalOptions { segment_bytes: 2_048, ..JournalOptions::default() };
    let mut journal = FileJournal::open(data, options).unwrap();
    for batch in entries.chunks(3) {
        let drafts =
            batch.iter().map(|entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() });
        run(journal.append(drafts.collect())).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
}

/// A directory in memory, if there is a place for that: every file of an export is synced, and only a power cut would tell.
pub(super) fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// A data directory with the spread journal, and the directory that it is in.
pub(super) fn spread_journal() -> (TempDir, PathBuf) {
    let dir = in_memory();
    let data = dir.path().join("data");
    journal_of(&data, &spread());
    (dir, data)
}

/// Exports up to a position, through the library.
pub(super) fn exported_with(data: &Path, at: u64, to: &Path, watch: Watch<'_>) -> Result<ParquetExport, Error> {
    let dataset = Dataset::open(data).unwrap();
    let at = Position(at).min(dataset.reader().head().position);
    run(async { write_parquet(&dataset, Source::of(&dataset, at, None).await?, to, watch).await })
}

pub(super) fn exported(data: &Path, at: u64, to: &Path) -> Result<ParquetExport, Error> {
    // A child that another test starts right now has the lock of the export before too, until it executes something.
    let begun = std::time::Instant::now();
    loop {
        match exported_with(data, at, to, &|_| {}) {
            Err(error) if error.code() == "locked" && begun.elapsed().as_secs() < 120 => std::thread::yield_now(),
            other => return other,
        }
    }
}

/// All rows of a table as `tacho sql` has them at a position, each as text.
pub(super) fn asked(data: &Path, table: &str, at: u64) -> Vec<String> {
    let dataset = Dataset::open(data).unwrap();
    let at = Position(at).min(dataset.reader().head().position);
    let mut desk = Desk::of(&format!("SELECT * FROM {table} ORDER BY rowid")).unwrap();
    run(desk.fill(&dataset, Scope { at, after: Position::ZERO, run: None })).unwrap();
    let (mut rows, none) = (Vec::new(), Vec::<Parameter>::new());
    desk.ask(&none, &none, |_, next| {
        while let Some(values) = next()? {
            rows.push(text_of(&values));
        }
        Ok(())
    })
    .unwrap();
    rows
}

fn text_of(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join("|")
}

/// The files that a reader finds for a table: it knows nothing of an export.
pub(super) fn found(export: &Path, table: &str) -> Vec<PathBuf> {
    let listed = |directory: &Path| {
        let listed = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut listed: Vec<PathBuf> = listed.collect();
        listed.sort();
        listed
    };
    let directories = if BY_DAY.contains(&table) { listed(&export.join(table)) } else { vec![export.join(table)] };
    let files = directories.iter().flat_map(|directory| listed(directory));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

/// All rows of a table in its files, each as text; those by day in the order of positions.
pub(super) fn read_back(export: &Path, table: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for path in found(export, table) {
        for row in SerializedFileReader::new(File::open(&path).unwrap()).unwrap().get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let values: Vec<Value> = row.get_column_iter().map(|(_, field)| value_of(field)).collect();
            let order = match values.as_slice() {
                [Value::Integer(position), Value::Integer(number), ..] if table == "events" => (*position, *number),
                [Value::Integer(position), ..] if BY_DAY.contains(&table) => (*position, 0),
                _ => (0, 0),
            };
            rows.push((order, text_of(&values)));
        }
    }
    rows.sort_by_key(|(order, _)| *order);
    rows.into_iter().map(|(_, text)| text).collect()
}

fn value_of(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Long(number) => Value::Integer(*number),
        Field::Str(text) => Value::Text(text.clone()),
        other => panic!("no column is of the type of {other:?}"),
    }
}

/// Every table in the files is what `tacho sql` answers at a position.
pub(super) fn assert_agrees(data: &Path, export: &Path, at: u64) {
    for table in tables() {
        assert_eq!(read_back(export, table.name), asked(data, table.name, at), "{} at {at}", table.name);
    }
}

/// The files by day with their bytes and times.
fn closed(export: &Path) -> BTreeMap<PathBuf, (std::time::SystemTime, Option<Vec<u8>>)> {
    let all = BY_DAY.iter().flat_map(|table| found(export, table));
    let all: BTreeSet<PathBuf> = all.collect();
    everything(export).into_iter().filter(|(path, _)| all.contains(path)).collect()
}

#[test]
fn in_one_piece_and_in_pieces_the_files_hold_what_is_answered() {
    let (dir, data) = spread_journal();
    let (end, before) = (spread().len() as u64, everything(&data));
    for step in [1, 4, 7, end] {
        let export = dir.path().join(format!("by-{step}"));
        let mut at = 0;
        while at < end {
            let closed_before = if export.exists() { closed(&export) } else { BTreeMap::new() };
            let position_before = (at > 0).then_some(Position(at));
            at = (at + step).min(end);
            let made = exported(&data, at, &export).unwrap();
            assert_eq!((made.before, made.completed), (position_before, false));
            assert_agrees(&data, &export, at);
            let closed_now = closed(&export);
            for (path, file) in closed_before {
                assert_eq!(closed_now.get(&path), Some(&file), "{} was closed", path.display());
            }
        }
        let all = everything(&export);
        let again = exported(&data, end, &export).unwrap();
        assert!(again.tables.is_empty() && again.files.is_empty(), "there is nothing new: {again:?}");
        assert_eq!(everything(&export), all, "an export of nothing new changes nothing");
    }
    assert_eq!(everything(&data), before, "what is exported is as it was");
}

#[test]
fn rows_are_in_the_files_of_their_day_and_files_say_what_is_in_them() {
    let (dir, data) = spread_journal();
    let export = dir.path().join("export");
    let end = spread().len() as u64;
    exported(&data, 20, &export).unwrap();
    exported(&data, end, &export).unwrap();
    let manifest = Manifest::read(&export).unwrap().unwrap();
    assert_eq!(manifest.position(), Position(end));
    let listed: BTreeSet<PathBuf> = manifest.files.iter().map(|file| export.join(&file.path)).collect();
    let on_disk: BTreeSet<PathBuf> = tables().iter().flat_map(|table| found(&export, table.name)).collect();
    assert_eq!(listed, on_disk, "the manifest lists every file, and no other");
    let days: BTreeSet<&str> = manifest.files.iter().filter_map(|file| file.day.as_deref()).collect();
    let expected: BTreeSet<String> =
        spread().iter().map(|entry| entry.recorded_at.to_string()[..10].to_owned()).collect();
    assert_eq!(days, expected.iter().map(String::as_str).collect());
    assert_eq!(days.len(), 7);
    for file in manifest.files.iter().filter(|file| file.day.is_some() && file.rows > 0) {
        let reader = SerializedFileReader::new(File::open(export.join(&file.path)).unwrap()).unwrap();
        let mut positions = Vec::new();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let column = |name: &str| row.get_column_iter().find(|(found, _)| *found == name).unwrap().1.clone();
            let Field::Long(position) = column("position") else { panic!("a position is a number") };
            positions.push(position);
            let Field::Str(at) = column("recorded_at") else { panic!("a time is a text") };
            assert_eq!(Some(&at[..10]), file.day.as_deref(), "{}", file.path);
        }
        assert!(positions.is_sorted());
        assert_eq!((positions.first(), positions.last()), (file.first.as_ref(), file.last.as_ref()), "{}", file.path);
        assert_eq!(reader.metadata().file_metadata().num_rows(), file.rows as i64);
        assert!(file.path.contains(&format!("day={}/", file.day.as_deref().unwrap())));
    }
    let of_the_first_day =
        manifest.files.iter().filter(|file| file.table == "entries" && file.day.as_deref() == Some("2026-11-21"));
    assert!(of_the_first_day.count() > 2, "a day that comes again gets another file, also within one export");
}

#[test]
fn files_are_compressed_and_have_statistics_and_say_where_they_come_from() {
    let (dir, data) = spread_journal();
    let export = dir.path().join("export");
    let made = exported(&data, u64::MAX, &export).unwrap();
    let journal = made.source.journal.unwrap().to_string();
    for path in tables().iter().flat_map(|table| found(&export, table.name)) {
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let facts = reader.metadata().file_metadata();
        assert_eq!(facts.created_by(), Some(concat!("tacho ", env!("CARGO_PKG_VERSION"))));
        let said: Vec<(&str, Option<&str>)> =
            facts.key_value_metadata().unwrap().iter().map(|fact| (fact.key.as_str(), fact.value.as_deref())).collect();
        let position = made.source.position.to_string();
        assert_eq!(
            said,
            [("tachograph.journal", Some(journal.as_str())), ("tachograph.position", Some(position.as_str()))]
        );
        for group in reader.metadata().row_groups() {
            for column in group.columns() {
                assert!(matches!(column.compression(), Compression::ZSTD(_)), "{}", column.column_path());
                let is_payload = column.column_path().string() == "payload";
                assert_eq!(column.statistics().is_some(), !is_payload, "{}: {}", path.display(), column.column_path());
            }
            let position = group.columns().iter().find(|column| column.column_path().string() == "position");
            let statistics = position.and_then(|column| column.statistics());
            assert!(statistics.is_none_or(|statistics| statistics.min_bytes_opt().is_some()), "{}", path.display());
        }
    }
}

/// Every row of every table in a database, as text.
fn tables_of(path: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let connection = Connection::open(path).unwrap();
    let rows = |table: &str| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>().map(|row| text_of(&row))
        });
        rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    tables().iter().map(|table| (table.name, rows(table.name))).collect()
}

#[test]
fn a_database_holds_what_is_answered_and_says_where_it_comes_from() {
    let (dir, data) = spread_journal();
    let before = everything(&data);
    let dataset = Dataset::open(&data).unwrap();
    for at in [1, 20, spread().len() as u64] {
        let path = dir.path().join(format!("{at}.db"));
        let source = run(Source::of(&dataset, Position(at), None)).unwrap();
        let made = run(write_sqlite(&dataset, source.clone(), &path, false)).unwrap();
        assert_eq!(made.bytes, path.metadata().unwrap().len());
        for (table, rows) in tables_of(&path) {
            assert_eq!(rows, asked(&data, table, at), "{table} at {at}");
        }
        let connection = Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("PRAGMA application_id"), i64::from(APPLICATION_ID));
        assert_eq!(number("PRAGMA user_version"), i64::from(USER_VERSION));
        assert_eq!(number("SELECT position FROM source"), at as i64);
        let said = |column: &str| {
            let sql = format!("SELECT {column} FROM source");
            connection.query_row(&sql, [], |row| row.get::<_, Option<String>>(0)).unwrap()
        };
        assert_eq!(said("journal"), source.journal.map(|id| id.to_string()));
        assert_eq!(said("chain_digest"), source.chain.map(|(_, digest)| digest.to_string()));
        assert_eq!((said("run"), said("part"), said("damage")), (None, None, None));
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let plan: String = connection
            .query_row("EXPLAIN QUERY PLAN SELECT * FROM events WHERE run = 'x' ORDER BY version", [], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("USING INDEX by_events_run_version"), "{plan}");
    }
    assert_eq!(everything(&data), before, "what is exported is as it was");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "nothing is beside the three files and the journal: {left:?}");
}

#[test]
fn questions_with_a_name_have_the_same_answer_in_the_database() {
    let (dir, data) = spread_journal();
    let path = dir.path().join("x.db");
    let dataset = Dataset::open(&data).unwrap();
    let source = run(Source::of(&dataset, dataset.reader().head().position, None)).unwrap();
    run(write_sqlite(&dataset, source.clone(), &path, false)).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut answered = 0;
    for query in NAMED {
        let mut parameters: Vec<Parameter> = query.parameters().into_iter().map(|known| known.default).collect();
        parameters.push(Parameter::integer("now_us", now().as_micros()));
        let mut desk = Desk::of(query.sql).unwrap();
        run(desk.fill(&dataset, source_scope(&source))).unwrap();
        let mut expected = Vec::new();
        desk.ask(&[], &parameters, |_, next| {
            while let Some(values) = next()? {
                expected.push(text_of(&values));
            }
            Ok(())
        })
        .unwrap();
        let mut statement = connection.prepare(query.sql).unwrap();
        for index in 1..=statement.parameter_count() {
            let name = statement.parameter_name(index).unwrap().trim_start_matches(':').to_owned();
            let given = parameters.iter().find(|parameter| parameter.name == name).unwrap();
            statement.raw_bind_parameter(index, &given.value).unwrap();
        }
        let columns = statement.column_count();
        let (mut rows, mut found) = (statement.raw_query(), Vec::new());
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            found.push(text_of(&values));
        }
        assert_eq!(found, expected, "{}", query.name);
        answered += found.len();
    }
    assert!(answered > 5, "there is something to be answered");
}

fn source_scope(source: &Source) -> Scope {
    Scope { at: source.position, after: Position::ZERO, run: None }
}

#[test]
fn a_database_takes_nobodys_place_unless_that_is_asked_for() {
    let (dir, data) = spread_journal();
    let path = dir.path().join("x.db");
    let file = path.to_str().unwrap();
    fs::write(&path, "theirs").unwrap();
    let refused = ran(&data, &["export", "--sqlite", file]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("error[occupied]") && stderr(&refused).contains("--force"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    let replaced = ran(&data, &["--format", "json", "export", "--sqlite", file, "--force", "--run", BUILD]);
    assert_eq!((replaced.status.code(), stderr(&replaced).as_str()), (Some(0), ""));
    let told: Json = serde_json::from_str(&stdout(&replaced)).unwrap();
    assert_eq!((&told["run"], &told["bytes"]), (&BUILD.into(), &path.metadata().unwrap().len().into()));
    let connection = Connection::open(&path).unwrap();
    let runs: Vec<String> = {
        let mut statement = connection.prepare("SELECT DISTINCT run FROM entries").unwrap();
        let runs = statement.query_map([], |row| row.get(0)).unwrap();
        runs.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(runs, [BUILD]);
    // Nothing is written among the evidence, nor over it.
    let bundle = dir.path().join("bundle");
    ran(&data, &["export", "--out", bundle.to_str().unwrap()]);
    let evidence = fs::read(&bundle).unwrap();
    let inside = data.join("x.db");
    for (from, to) in [(&data, &inside), (&bundle, &bundle)] {
        let refused = ran(from, &["export", "--sqlite", to.to_str().unwrap(), "--force"]);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("error[invalid_input]"), "{}", stderr(&refused));
    }
    assert_eq!(fs::read(&bundle).unwrap(), evidence);
    let within = ran(&data, &["export", "--parquet", data.join("journal/export").to_str().unwrap()]);
    assert!(stderr(&within).contains("error[invalid_input]"), "{}", stderr(&within));
    let dataset = Dataset::open(&data).unwrap();
    let source = run(Source::of(&dataset, Position(1), None)).unwrap();
    let error = run(write_sqlite(&dataset, source, dir.path(), true)).unwrap_err();
    assert!(
        matches!(error, Error::Export(ExportProblem::Occupied { .. })),
        "a directory gives way to no file: {error}"
    );
}

/// An answer in JSON with what depends on the libraries that write taken out.
fn plain(text: &str, place: &str) -> String {
    fn without(value: &mut Json) {
        match value {
            Json::Object(object) => {
                for (name, inner) in object {
                    match name.as_str() {
                        "bytes" | "bytes_total" => *inner = 1.into(),
                        "blake3" | "digest" => *inner = "0".repeat(64).into(),
                        "journal" => *inner = "01KAJ200000000000000000000".into(),
                        _ => without(inner),
                    }
                }
            }
            Json::Array(items) => items.iter_mut().for_each(without),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut value: Json = serde_json::from_str(&text.replace(place, "PLACE")).unwrap();
    without(&mut value);
    format!("{}\n", serde_json::to_string_pretty(&value).unwrap())
}

#[test]
fn what_was_written_is_told_to_people_and_to_programs() {
    let (dir, data) = spread_journal();
    let place = dir.path().to_str().unwrap();
    let (export, database) = (format!("{place}/export"), format!("{place}/x.db"));
    let told = |arguments: &[&str]| {
        let output = ran(&data, arguments);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
        stdout(&output)
    };
    let json = |arguments: &[&str]| plain(&told(&[&["--format", "json"], arguments].concat()), place);
    golden::check("export-parquet-first.json", &json(&["export", "--parquet", &export, "--to", "30"]));
    golden::check("export-parquet-added.json", &json(&["export", "--parquet", &export]));
    golden::check("export-sqlite.json", &json(&["export", "--sqlite", &database]));
    let nothing = told(&["export", "--parquet", &export]);
    assert!(nothing.contains("nothing is new since position 34"), "{nothing}");
    let manifest = fs::read_to_string(Path::new(&export).join(MANIFEST)).unwrap();
    golden::check("export-manifest.json", &plain(&manifest, place));
    let first = told(&["export", "--parquet", &format!("{place}/other"), "--to", "2026-11-21T23:00:00Z"]);
    assert!(first.lines().next().unwrap().starts_with("entries  "), "{first}");
}
