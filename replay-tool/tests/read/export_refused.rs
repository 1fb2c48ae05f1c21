//! What an export is not added to: each with its code, and with everything as it was.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{copy, everything, flip, ran, segments, stderr, stdout};
use crate::exported::{assert_agrees, exported, found, in_memory, journal_of, read_back, spread, spread_journal};
use crate::made::NIGHTLY;

/// An export of the spread journal up to this position, which more could be added to.
const EXPORTED: u64 = 20;

/// Every file with its bytes and time. Directories have another time once drafts in them came to nothing.
fn files(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    everything(directory).into_iter().filter(|(_, (_, bytes))| bytes.is_some()).collect()
}

struct Place {
    dir: TempDir,
    data: PathBuf,
    export: PathBuf,
}

impl Place {
    fn new() -> Self {
        let (dir, data) = spread_journal();
        let export = dir.path().join("export");
        exported(&data, EXPORTED, &export).unwrap();
        Self { dir, data, export }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds from a journal, which is refused with an exit code and a code, changes nothing and names what is expected.
    fn refused(&self, data: &Path, arguments: &[&str], exit: i32, code: &str, named: &str) {
        let before = files(&self.export);
        let export = self.export.to_str().unwrap();
        let output = ran(data, &[&["--format", "json", "export", "--parquet", export], arguments].concat());
        let said = stderr(&output);
        let error: Value =
            serde_json::from_str(said.lines().last().unwrap_or_else(|| panic!("{code}: not refused"))).unwrap();
        assert_eq!((output.status.code(), error["error"]["code"].as_str()), (Some(exit), Some(code)), "{said}");
        assert!(said.contains(named), "{said}");
        assert!(!error["error"]["remedy"].as_str().unwrap().is_empty(), "{said}");
        assert_eq!(files(&self.export), before, "{code}: nothing is written");
    }

    /// A file of a table.
    fn file(&self, table: &str) -> PathBuf {
        found(&self.export, table).remove(0)
    }
}

#[test]
fn another_journal_another_history_and_an_older_one_are_not_added() {
    let place = Place::new();
    let other = place.path("other");
    journal_of(&other, &spread());
    place.refused(&other, &[], 2, "other_journal", "an export of journal");
    // The same journal until a copy of it went on otherwise.
    let (copied, parted) = (place.path("copied"), place.path("parted"));
    journal_of(&copied, &spread()[..9]);
    copy(&copied, &parted);
    journal_of(&copied, &spread()[9..15]);
    let mut otherwise = spread()[9..15].to_vec();
    otherwise.iter_mut().for_each(|entry| entry.recorded_at = entry.recorded_at.plus_millis(1));
    journal_of(&parted, &otherwise);
    let place = Place { export: place.path("of-copied"), ..place };
    exported(&copied, u64::MAX, &place.export).unwrap();
    place.refused(&parted, &[], 2, "parted_history", "position 15");
    let place = Place { export: place.path("of-before"), ..place };
    exported(&copied, 9, &place.export).unwrap();
    let continued = exported(&parted, u64::MAX, &place.export).unwrap();
    assert!(!continued.files.is_empty(), "what is common is continued");
    place.refused(&copied, &[], 2, "parted_history", "another history");
}

#[test]
fn what_is_behind_is_not_added() {
    let place = Place::new();
    place.refused(&place.data, &["--to", "19"], 2, "export_ahead", "up to position 20");
    let older = place.path("older");
    copy(&place.data, &older);
    // With nothing but its first segment, and without what tells that there were some.
    for segment in &segments(&older)[1..] {
        fs::remove_file(segment).unwrap();
    }
    for file in fs::read_dir(older.join("journal")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "seg") {
            fs::remove_file(file).unwrap();
        }
    }
    place.refused(&older, &[], 2, "export_ahead", "up to position 20");
}

#[test]
fn a_file_that_was_altered_is_named() {
    for table in ["entries", "events", "runs", "labels"] {
        let place = Place::new();
        let path = place.file(table);
        let name = path.to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        flip(&path, middle);
        place.refused(&place.data, &[], 7, "export_altered", &format!("{name} has other bytes"));
        fs::write(&path, &bytes[..middle]).unwrap();
        place.refused(&place.data, &[], 7, "export_altered", &format!("{name} has another size"));
        fs::remove_file(&path).unwrap();
        place.refused(&place.data, &[], 7, "export_altered", &format!("{name} is missing"));
        fs::create_dir(&path).unwrap();
        place.refused(&place.data, &[], 7, "export_altered", &format!("{name} is no file"));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        let stray = path.with_file_name("stray.parquet");
        fs::copy(&path, &stray).unwrap();
        place.refused(&place.data, &[], 7, "export_altered", "stray.parquet is none of the files");
        fs::remove_file(&stray).unwrap();
        assert!(!exported(&place.data, u64::MAX, &place.export).unwrap().files.is_empty(), "put back, it is continued");
    }
}

#[test]
fn what_says_what_was_exported_must_be_understood() {
    let place = Place::new();
    let manifest = place.export.join("tacho-export.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let altered = |change: &str, to: &str, exit, code, named: &str| {
        assert!(text.contains(change), "{change}");
        fs::write(&manifest, text.replacen(change, to, 1)).unwrap();
        place.refused(&place.data, &[], exit, code, named);
    };
    altered("\"version\": 1", "\"version\": 2", 9, "newer_format", "format version 2");
    altered("\"version\": 1", "\"version\": -1", 7, "export_altered", "no version");
    altered("tachograph-parquet", "parquet", 7, "export_altered", "format");
    altered("\"files\"", "\"fils\"", 7, "export_altered", "files");
    altered("entries/day", "../entries/day", 7, "export_altered", "no path within");
    altered("entries/day", "/entries/day", 7, "export_altered", "no path within");
    altered("\"position\": 20", "\"position\": 2000", 2, "export_ahead", "2000");
    altered("{", "", 7, "export_altered", "tacho-export.json");
    fs::remove_file(&manifest).unwrap();
    place.refused(&place.data, &[], 2, "occupied", "not empty");
    fs::create_dir(&manifest).unwrap();
    place.refused(&place.data, &[], 7, "export_altered", "tacho-export.json");
}

#[test]
fn one_export_at_a_time() {
    let place = Place::new();
    let held = File::open(&place.export).unwrap();
    flock(&held, FlockOperation::NonBlockingLockShared).unwrap();
    place.refused(&place.data, &[], 8, "locked", "under way");
    drop(held);
    assert!(!exported(&place.data, u64::MAX, &place.export).unwrap().files.is_empty());
}

#[test]
fn parts_are_exported_once_and_not_added_to() {
    let place = Place::new();
    let bundle = |name: &str, arguments: &[&str]| {
        let path = place.path(name);
        let made = ran(&place.data, &[&["export", "--out", path.to_str().unwrap()], arguments].concat());
        assert_eq!(stderr(&made), "", "{arguments:?}");
        path
    };
    let range = bundle("range", &["--from", "10"]);
    let one = bundle("one", &["--run", NIGHTLY]);
    let redacted = bundle("redacted", &["--redact", "argv"]);
    for (name, part, said) in
        [("of-range", &range, "it holds positions"), ("of-one", &one, "alone"), ("of-redacted", &redacted, "redacted")]
    {
        place.refused(part, &[], 2, "not_continuable", said);
        let of_part = Place { export: place.path(name), data: place.data.clone(), dir: in_memory() };
        let output = ran(part, &["export", "--parquet", of_part.export.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_agrees(part, &of_part.export, u64::MAX);
        of_part.refused(part, &[], 2, "not_continuable", said);
        of_part.refused(&place.data, &[], 2, "not_continuable", said);
    }
    // A bundle of the whole journal is as good as the journal.
    let whole = bundle("whole", &["--zstd"]);
    assert!(!exported(&whole, u64::MAX, &place.export).unwrap().files.is_empty());
    assert_agrees(&place.data, &place.export, u64::MAX);
}

#[test]
fn of_a_damaged_journal_all_that_can_be_read_is_exported_once() {
    let place = Place::new();
    let segment = segments(&place.data).remove(2);
    let middle = fs::metadata(&segment).unwrap().len() as usize / 2;
    flip(&segment, middle);
    place.refused(&place.data, &[], 7, "damaged", "is damaged");
    let of_rest = Place { export: place.path("of-rest"), data: place.data.clone(), dir: in_memory() };
    let export = of_rest.export.to_str().unwrap();
    let output = ran(&place.data, &["--format", "json", "export", "--parquet", export]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("\"damaged\""), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["position"], spread().len());
    assert_agrees(&place.data, &of_rest.export, u64::MAX);
    let rows = read_back(&of_rest.export, "entries").len();
    assert!(rows > 9 && rows < spread().len(), "what is sound on both sides is there, and nothing else: {rows}");
    // Once the journal is whole again, what is missing is behind what was exported: nobody would add it.
    flip(&segment, middle);
    of_rest.refused(&place.data, &[], 2, "not_continuable", "damaged journal");
    flip(&segment, middle);
    let database = place.path("x.db");
    let output = ran(&place.data, &["export", "--sqlite", database.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    let connection = Connection::open(&database).unwrap();
    let damage: String = connection.query_row("SELECT damage FROM source", [], |row| row.get(0)).unwrap();
    assert!(damage.contains("is damaged"), "{damage}");
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let place = Place::new();
    let export = place.path("nothing");
    let export = export.to_str().unwrap();
    for arguments in [
        &["--parquet", export, "--sqlite", export][..],
        &["--parquet", export, "--run", NIGHTLY],
        &["--parquet", export, "--from", "3"],
        &["--parquet", export, "--force"],
        &["--parquet", export, "--jsonl"],
        &["--parquet", export, "--out", export],
        &["--sqlite", export, "--redact", "name"],
        &["--sqlite", export, "--zstd"],
        &["--sqlite", export, "--from", "3"],
        &["--sqlite", export, "--jsonl"],
    ] {
        let output = ran(&place.data, &[&["export"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
        assert!(!Path::new(export).exists(), "{arguments:?}");
    }
}
