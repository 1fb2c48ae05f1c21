//! A page of a bundle that holds a part of a journal.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::page::gather::Asked;

use crate::browser::{self, Browser};
use crate::model::{document, page};

/// Positions 21 to 40 of the incidents, or another range; a run that began at 20 has entries there, and at 26 a writer opened the
/// journal after a crash.
fn part(place: &Path, from: &str) -> Dataset {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/incidents.bundle");
    let bundle = place.join(from);
    let mut export = Command::new(env!("CARGO_BIN_EXE_tacho"));
    export.arg("--data").arg(whole).args(["export", "--from", from, "--to", "40", "--out"]).arg(&bundle);
    assert!(export.output().unwrap().status.success());
    Dataset::open(&bundle).unwrap()
}

#[test]
fn a_page_of_a_part_begins_where_the_part_does() {
    let place = tempfile::tempdir().unwrap();
    let page = serde_json::to_value(page(&part(place.path(), "21"), &Asked::default()).unwrap()).unwrap();
    assert_eq!((&page["range"]["after"], &page["range"]["up_to"]), (&json!(20), &json!(40)));
    let held = page["source"]["held"].as_str().unwrap();
    assert!(held.starts_with("it holds positions 21 to 40 of a journal of 54"), "{held}");
    let whole = page_of_whole();
    assert_eq!((&whole["range"]["after"], &whole["source"]["held"]), (&json!(0), &Value::Null));
}

fn page_of_whole() -> Value {
    serde_json::to_value(page(&crate::kept::dataset(), &Asked::default()).unwrap()).unwrap()
}

#[test]
fn a_page_of_a_part_shows_the_crash_that_its_facts_tell_of() {
    if !browser::is_there() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut browser = Browser::open(1_440, 900);
    // The writer that crashed is seen at work, or only the next one tells of it.
    for from in ["21", "26"] {
        let path = place.path().join(format!("{from}.html"));
        let document = document(&page(&part(place.path(), from), &Asked::default()).unwrap());
        std::fs::write(&path, document).unwrap();
        browser.visit(&format!("file://{}", path.display()));
        let mut text = |selector: &str| {
            let script = format!("document.querySelector({}).innerText", json!(selector));
            browser.value(&script).as_str().unwrap().to_owned()
        };
        let tallies = text("#tallies").to_lowercase();
        assert!(tallies.split_whitespace().collect::<Vec<_>>().join(" ").contains("1 crashes"), "{from}: {tallies}");
        let (facts, notes) = (text("#facts"), text("#notes"));
        assert!(facts.contains(&format!("positions {from} to 40,")), "{facts}");
        assert!(notes.contains("a part of a journal") && notes.contains("of a journal of 54"), "{notes}");
    }
}
