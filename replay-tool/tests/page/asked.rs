//! The command: what it writes, says and refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::Entry;
use tachograph_engine::ports::{Draft, Journal};
use tachograph_replay::cli::{PageArgs, ReportArgs};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;
use tachograph_replay::page::command;

use crate::kept::{printed, run};
use crate::made::{LOUD, Made};

fn asked(page: PageArgs) -> ReportArgs {
    ReportArgs { report: None, page, run: None, attempt: None }
}

fn written(format: Format, given: &ReportArgs) -> Result<String, Error> {
    printed(format, async |reading| command::write(reading, given).await)
}

fn at(path: &Path) -> PageArgs {
    PageArgs { out: Some(path.to_owned()), ..PageArgs::default() }
}

#[test]
fn the_page_is_written_and_counted() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("report.html");
    let text = written(Format::Text, &asked(at(&path))).unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert_eq!(text, format!("wrote {}: runs 6, entries 34, bytes {bytes}\n", path.display()));
    let force = PageArgs { force: true, entries_max: std::num::NonZeroUsize::new(4), ..at(&path) };
    let json: Value = serde_json::from_str(&written(Format::Json, &asked(force)).unwrap()).unwrap();
    assert_eq!(
        (&json["entries"], &json["left_out"], &json["after"], &json["up_to"]),
        (&4.into(), &30.into(), &30.into(), &34.into())
    );
    assert_eq!(json["bytes"], std::fs::metadata(&path).unwrap().len());
}

#[test]
fn an_existing_file_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("report.html");
    std::fs::write(&path, "mine").unwrap();
    let error = written(Format::Text, &asked(at(&path))).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("occupied", 2));
    assert!(error.remedy().contains("--force"), "{}", error.remedy());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

/// Every file of a directory with its content and when it was changed.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for path in std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path.clone(), (std::fs::read(&path).unwrap(), changed));
        }
    }
    found
}

#[test]
fn the_program_has_two_forms_and_neither_changes_the_journal() {
    let place = tempfile::tempdir().unwrap();
    let (data, path) = (place.path().join("data"), place.path().join("report.html"));
    let mut journal = FileJournal::open(&data, JournalOptions::default()).unwrap();
    let draft = |entry: &Entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
    run(journal.append(Made::journal().entries.iter().map(draft).collect())).unwrap();
    run(Box::new(journal).close()).unwrap();
    let before = files(&data);
    let tacho = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
        // Inside a run the environment names it; the page is about all of them all the same.
        command
            .env("TACHO_DATA", &data)
            .env("TACHO_RUN_ID", LOUD)
            .env("TACHO_ATTEMPT_ID", "none")
            .current_dir(place.path());
        let output = command.arg("report").args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, text) = tacho(&["--out", "report.html", "resume"]);
    assert!(code == 2 && text.contains("error[usage]: --out, --from"), "{code}: {text}");
    let (code, text) = tacho(&[]);
    assert!(code == 2 && text.contains("--out <FILE>"), "{code}: {text}");
    let (code, text) = tacho(&["resume", "--run", "loud"]);
    assert!(code == 2 && text.contains("--run ID: \"loud\" is no run id"), "{code}: {text}");
    assert!(!path.exists());
    let (code, text) = tacho(&["--out", "report.html"]);
    assert!(code == 0 && text.contains("runs 6, entries 34"), "{code}: {text}");
    let (code, text) = tacho(&["--out", "data/report.html", "--force"]);
    assert!(code == 2 && text.contains("is read and never changed"), "{code}: {text}");
    let (code, text) = tacho(&["--out", "report.html", "--run", "loud", "--force"]);
    assert!(code == 0 && text.contains("runs 1, entries 3"), "{code}: {text}");
    assert_eq!(files(&data), before);
}

#[test]
fn an_attempt_belongs_to_a_report_of_a_run() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("report.html");
    let attempt = Some("01KAJ2AAAA0000000000000001".parse().unwrap());
    let error = written(Format::Text, &ReportArgs { attempt, ..asked(at(&path)) }).unwrap_err();
    assert_eq!((error.code(), error.exit_code(), path.exists()), ("usage", 2, false));
}
