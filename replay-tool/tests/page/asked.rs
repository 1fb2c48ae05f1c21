//! The command: what it writes, says and refuses.

use std::path::Path;

use serde_json::Value;
use tachograph_replay::cli::{PageArgs, ReportArgs};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;
use tachograph_replay::page::command;

use crate::kept::printed;

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

#[test]
fn an_attempt_belongs_to_a_report_of_a_run() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("report.html");
    let attempt = Some("01KAJ2AAAA0000000000000001".parse().unwrap());
    let error = written(Format::Text, &ReportArgs { attempt, ..asked(at(&path)) }).unwrap_err();
    assert_eq!((error.code(), error.exit_code(), path.exists()), ("usage", 2, false));
}
