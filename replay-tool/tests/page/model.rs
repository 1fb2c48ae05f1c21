//! What a page holds: of the made journal all of it, of a part what was before, and never more than was asked for.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tachograph_engine::domain::{EntryBody, Event, Position};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::page::document;
use tachograph_replay::page::gather::{Asked, gather};
use tachograph_replay::page::model::Page;
use tachograph_replay::when::AsOf;

use crate::fleet;
use crate::kept::{self, Entries, now, run};
use crate::made::{BUILD, BUILD_AGAIN, NEVER};

pub(crate) fn page(dataset: &Dataset, asked: &Asked) -> Result<Page, Error> {
    run(gather(dataset, asked, now(), &Machine::of("elsewhere", "another-boot", "made")))
}

pub(crate) fn document(page: &Page) -> String {
    let mut written = Vec::new();
    document::write(page, &mut written).unwrap();
    String::from_utf8(written).unwrap()
}

/// The data as the script of the page gets it.
fn data(document: &str) -> Value {
    let (_, behind) = document.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (data, _) = behind.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

fn json(asked: &Asked) -> Value {
    serde_json::to_value(page(&kept::dataset(), asked).unwrap()).unwrap()
}

fn at(position: u64) -> Option<AsOf> {
    Some(AsOf::Position(Position(position)))
}

fn positions(json: &Value) -> Vec<i64> {
    let deltas = json["entries"]["position"].as_array().unwrap();
    let summed = deltas.iter().scan(0, |sum, delta| {
        *sum += delta.as_i64().unwrap();
        Some(*sum)
    });
    summed.collect()
}

fn ids(json: &Value) -> Vec<String> {
    let mut before = String::new();
    let whole = |tail: &Value| {
        let tail = tail.as_str().unwrap();
        before = format!("{}{tail}", before.get(..26 - tail.len()).unwrap());
        before.clone()
    };
    json["runs"]["id"].as_array().unwrap().iter().map(whole).collect()
}

#[test]
fn the_made_journal_is_held_in_columns() {
    let mut text = serde_json::to_string_pretty(&json(&Asked::default())).unwrap();
    text.push('\n');
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/golden/page.json");
    if std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "line {}", number + 1);
    }
    assert_eq!(text, expected);
}

#[test]
fn every_column_has_a_row_for_everything() {
    let json = json(&Asked::default());
    for (part, sparse) in [("runs", ""), ("entries", "expected")] {
        let columns = json[part].as_object().unwrap();
        let lengths = columns.iter().filter(|(name, _)| *name != sparse);
        let lengths: Vec<(&String, usize)> =
            lengths.map(|(name, column)| (name, column.as_array().unwrap().len())).collect();
        assert!(lengths.iter().all(|(_, length)| *length == lengths[0].1), "{part}: {lengths:?}");
    }
    assert_eq!(positions(&json), (1..=34).collect::<Vec<i64>>());
}

#[test]
fn a_part_begins_as_the_runs_were_then() {
    let json = json(&Asked { from: at(18), to: at(23), ..Asked::default() });
    assert_eq!(positions(&json), [18, 19, 20, 21, 22, 23]);
    assert_eq!((&json["range"]["after"], &json["range"]["up_to"]), (&17.into(), &23.into()));
    // The one that waits is there from the beginning, the one that had exited from its next entry on.
    assert_eq!(ids(&json), [BUILD_AGAIN, BUILD]);
    let [waits, exited] = [0, 1].map(|row| json["runs"]["before"][row].clone());
    assert_eq!((&waits["status"], &waits["attempt"]), (&2.into(), &1.into()));
    assert_eq!(json["ids"][waits["armed"][0].as_u64().unwrap() as usize], "05000000000000000000000001");
    assert_eq!((&exited["status"], &exited["tone"], &exited["refusals"]), (&3.into(), &0.into(), &2.into()));
    assert_eq!(json["writer_before"][0], 4_800, "the writer that had the journal open");
}

#[test]
fn a_range_in_time_holds_what_was_recorded_just_then() {
    let time = |text: &str| Some(text.parse::<AsOf>().unwrap());
    let (from, to) = (time("2026-11-21T03:02:36.397Z"), time("2026-11-21T03:02:37.397Z"));
    assert_eq!(positions(&json(&Asked { from, to, ..Asked::default() })), [23, 24, 25, 26, 27]);
}

#[test]
fn one_run_has_its_own_entries_and_the_writers_of_its_time() {
    let of = |run: &str| json(&Asked { run: Some(run.to_owned()), ..Asked::default() });
    assert_eq!(positions(&of(BUILD)), [2, 3, 4, 5, 6, 10, 11, 22, 23, 24]);
    assert_eq!(positions(&of("nightly")), [7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(of("nightly")["range"]["only_run"], "01KAJ2BBBB0000000000000002");
    let never = of(NEVER);
    assert_eq!(positions(&never), [1, 10, 11, 25, 33, 34]);
    assert_eq!(never["runs"]["workload"], serde_json::json!([null]), "never created");
    let asked = Asked { run: Some("bild".to_owned()), ..Asked::default() };
    assert_eq!(page(&kept::dataset(), &asked).unwrap_err().code(), "unknown_run");
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let some = json(&Asked { entries_max: 10, ..Asked::default() });
    assert_eq!(positions(&some), (25..=34).collect::<Vec<i64>>());
    assert_eq!((&some["range"]["left_out"], &some["range"]["after"]), (&24.into(), &24.into()));
    let of_run = json(&Asked { run: Some(BUILD.to_owned()), entries_max: 3, ..Asked::default() });
    assert_eq!(
        positions(&of_run),
        [10, 11, 22, 23, 24],
        "the last ones of the run; facts about the writer do not count"
    );
    assert_eq!(of_run["range"]["left_out"], 5);
    assert_eq!(json(&Asked { entries_max: 34, ..Asked::default() })["range"]["left_out"], 0);
}

#[test]
fn a_range_that_ends_before_it_begins_is_wrong() {
    let error = page(&kept::dataset(), &Asked { from: at(9), to: at(7), ..Asked::default() }).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("invalid_input", 2));
    assert!(error.to_string().contains("--from is position 9, and --to is position 7"), "{error}");
    let beyond = json(&Asked { from: at(99), ..Asked::default() });
    assert_eq!((positions(&beyond).len(), &beyond["range"]["up_to"]), (0, &34.into()));
}

#[test]
fn recorded_text_cannot_get_out_of_the_data() {
    let mut made = crate::made::Made::journal();
    let hostile = "</script><script>alert(1)</script><!-- \u{202e}&amp;\u{1}";
    for entry in &mut made.entries {
        let EntryBody::Committed(committed) = &mut entry.body else { continue };
        for event in &mut committed.events {
            if let Event::Created { spec, .. } = event {
                let mut changed = (**spec).clone();
                changed.name = Some(hostile.to_owned());
                changed.labels = [(hostile.to_owned(), hostile.to_owned())].into();
                *spec = Arc::new(changed);
            }
        }
    }
    let entries = Entries { entries: made.entries, damaged: None };
    let dataset = Dataset::over(Arc::new(entries), Path::new("</script>"));
    let page = page(&dataset, &Asked::default()).unwrap();
    let document = document(&page);
    assert_eq!(document.matches("</script").count(), 2, "the ends of the data and of the script");
    assert_eq!(document.matches("<script").count(), 2);
    assert!(!document.contains("alert(1)</"));
    let data = data(&document);
    assert_eq!(data, serde_json::to_value(&page).unwrap(), "the data is what was gathered");
    let name = data["runs"]["name"][0].as_u64().unwrap() as usize;
    assert_eq!(data["strings"][name], "</script><script>alert(1)</script><!-- \\u{202e}&amp;\\u{1}");
}

#[test]
fn ten_thousand_runs_are_a_file_that_can_be_sent() {
    let entries = fleet::entries(10_000);
    let count = entries.len();
    let dataset = Dataset::over(Arc::new(Entries { entries, damaged: None }), Path::new("fleet"));
    let document = document(&page(&dataset, &Asked::default()).unwrap());
    println!("{count} entries in {} bytes, {} for each", document.len(), document.len() / count);
    assert!(document.len() / count < 150, "{} bytes for each of {count} entries", document.len() / count);
}

#[test]
fn a_bundles_own_hash_is_not_called_the_journals() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/tests/fixtures/bundle-1");
    for (name, own) in [("whole.tacho", false), ("range-zstd.tacho", false), ("run-sealed.tacho", true)] {
        let dataset = Dataset::open(&fixtures.join(name)).unwrap();
        let json = serde_json::to_value(page(&dataset, &Asked::default()).unwrap()).unwrap();
        assert_eq!(json["source"]["has_own_chain"], own, "{name}");
    }
    assert_eq!(json(&Asked::default())["source"]["has_own_chain"], false);
}
