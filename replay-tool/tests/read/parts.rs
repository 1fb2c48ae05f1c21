//! Bundles that hold a part: no command answers about what is not in them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{made, ran, segments, stderr, stdout};
use crate::made::BUILD;

/// Created at position 20, so that the range lacks its beginning; held are 21, 28 and 29.
const NIGHTLY: &str = "01M8107MESGQQ46N5REX5MDEK7";
/// Held in the range from its creation at 22 on.
const CRAWL: &str = "01M8107MG8BC1F84QTQA2094KV";
const RANGE: &str = "it holds positions 21 to 40 of a journal of 54";
const RUN: &str = "it holds run 01M8107MESGQQ46N5REX5MDEK7 alone, positions 20 to 29 of a journal of 54";

/// The incidents, and two parts of them.
struct Parts {
    _dir: TempDir,
    whole: PathBuf,
    range: PathBuf,
    run: PathBuf,
}

impl Parts {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/incidents.bundle");
        let part = |name: &str, which: &[&str]| {
            let path = dir.path().join(name);
            let output = ran(&whole, &[&["export", "--out", path.to_str().unwrap()], which].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            path
        };
        let range = part("range", &["--from", "21", "--to", "40"]);
        let run = part("run", &["--run", NIGHTLY]);
        Self { _dir: dir, whole, range, run }
    }
}

/// What is printed, of a command that succeeds.
fn told(data: &Path, arguments: &[&str]) -> String {
    let output = ran(data, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(data: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(data, &[&["--format", "json"], arguments].concat())).unwrap()
}

/// Exit code, stable code, and message with remedy; notes come before.
fn failure(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = ran(data, &[&["--format", "json"], arguments].concat());
    let printed = stderr(&output);
    let error: Value = serde_json::from_str(printed.lines().last().unwrap_or_default()).unwrap();
    let text = |name: &str| error["error"][name].as_str().unwrap_or_default().to_owned();
    (output.status.code().unwrap(), text("code"), format!("{}; {}", text("message"), text("remedy")))
}

#[test]
fn every_command_over_a_part_says_once_what_is_held() {
    let parts = Parts::new();
    let out = parts.range.with_extension("html");
    let out = out.to_str().unwrap();
    for (data, held) in [(&parts.range, RANGE), (&parts.run, RUN)] {
        for command in [
            &["runs"][..],
            &["state"],
            &["state", "--all"],
            &["timeline", NIGHTLY],
            &["why", NIGHTLY],
            &["timers"],
            &["tail"],
            &["ps"],
            &["adopt"],
            &["recheck"],
            &["whatif", "--without", "run_destroyed"],
            &["bisect", "--when", "count() >= 1"],
            &["diff", "25", "28"],
            &["compare", NIGHTLY, NIGHTLY],
            &["audit", "refusals"],
            &["sql", "SELECT 1"],
            &["export", "--jsonl"],
            &["report", "--out", out, "--force"],
        ] {
            let output = ran(data, command);
            let notes = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{command:?}: {notes}");
            assert_eq!(notes.matches(held).count(), 1, "{command:?}: {notes}");
            assert!(notes.contains("not in it"), "{command:?}: {notes}");
            let output = ran(data, &[&["--format", "json"], command].concat());
            let note: Value = serde_json::from_str(stderr(&output).lines().next().unwrap()).unwrap();
            assert!(note["note"]["message"].as_str().unwrap().contains(held), "{command:?}: {note}");
        }
    }
    assert_eq!(stderr(&ran(&parts.whole, &["runs"])), "", "a whole journal needs no note");
}

#[test]
fn a_point_before_the_part_is_an_error_that_names_the_range() {
    let parts = Parts::new();
    for arguments in
        [&["state", "--at", "5"][..], &["runs", "--at", "5"], &["bisect", "--when", "count() >= 1", "--from", "5"]]
    {
        let (exit, code, message) = failure(&parts.range, arguments);
        assert_eq!((exit, code.as_str()), (2, "not_held"), "{arguments:?}: {message}");
        assert!(message.contains("position 5") && message.contains("21 to 40"), "{message}");
    }
    let (exit, code, _) = failure(&parts.range, &["state", "--at", "2026-11-22T06:48:00Z"]);
    assert_eq!((exit, code.as_str()), (2, "not_held"));
    // Within a run's bundle there are positions that it does not hold.
    let state = json(&parts.run, &["state", "--at", "25", "--run", NIGHTLY]);
    assert_eq!((&state["runs"][0]["name"], state["recorded_at"].is_string()), (&Value::from("nightly"), true));
}

#[test]
fn runs_that_began_before_are_listed_as_such() {
    let parts = Parts::new();
    let state = json(&parts.range, &["state", "--at", "25"]);
    assert_eq!((&state["runs"][0]["run"], state["runs"].as_array().unwrap().len()), (&Value::from(CRAWL), 1));
    let before = &state["begun_before"][0];
    assert_eq!((&before["run"], &before["first"], &before["last"]), (&NIGHTLY.into(), &21.into(), &21.into()));
    assert_eq!(before["status"], "Started");
    let text = told(&parts.range, &["state", "--at", "25"]);
    assert!(text.contains("begun before") && text.contains(NIGHTLY), "{text}");
    assert_eq!(json(&parts.whole, &["state", "--at", "25"])["begun_before"], Value::Array(Vec::new()));
    // It has ended by 40: no longer open, and still no run that can be told about.
    assert_eq!(json(&parts.range, &["state"])["begun_before"], Value::Array(Vec::new()));
    assert_eq!(json(&parts.range, &["state", "--all"])["begun_before"][0]["status"], "Exited");
    let notes = stderr(&ran(&parts.range, &["runs"]));
    assert!(notes.contains(&format!("not listed, because they began before what is held: 1 ({NIGHTLY})")), "{notes}");
    let adopted = told(&parts.range, &["adopt"]);
    assert!(!adopted.contains("no runs were left open"), "{adopted}");
}

#[test]
fn a_run_that_is_not_held_may_be_in_the_rest() {
    let parts = Parts::new();
    for arguments in [&["state", "--run", NIGHTLY][..], &["show", NIGHTLY], &["show", "01M8107MES"]] {
        let (exit, code, message) = failure(&parts.range, arguments);
        assert_eq!((exit, code.as_str()), (3, "begun_before"), "{arguments:?}: {message}");
        assert!(message.contains("position 21") && !message.contains("--data"), "{message}");
    }
    let when = format!("run(\"{NIGHTLY}\").status = \"Exited\"");
    let (exit, code, _) = failure(&parts.range, &["bisect", "--when", &when]);
    assert_eq!((exit, code.as_str()), (3, "begun_before"));
    let (exit, code, message) = failure(&parts.range, &["timeline", "nightly"]);
    assert_eq!((exit, code.as_str()), (3, "unknown_run"));
    assert!(message.contains(RANGE) && !message.contains("--data"), "{message}");
    let (_, _, message) = failure(&parts.run, &["timeline", "crawl"]);
    assert!(message.contains(RUN), "{message}");
}

#[test]
fn a_search_begins_with_what_is_held_and_says_what_it_cannot_count() {
    let parts = Parts::new();
    let found = json(&parts.range, &["bisect", "--when", "count() >= 1"]);
    assert_eq!((&found["from"], &found["begun_before"]), (&21.into(), &1.into()));
    let text = told(&parts.range, &["bisect", "--when", "count() >= 1"]);
    assert!(text.contains("only runs whose creation is held are counted"), "{text}");
    let whole = json(&parts.whole, &["bisect", "--when", "count() >= 1"]);
    assert_eq!((&whole["from"], &whole["begun_before"]), (&0.into(), &0.into()));
}

#[test]
fn what_cannot_be_decided_is_counted_and_flips_nothing() {
    let parts = Parts::new();
    for rules in [&["--drop", "28"][..], &["--without", "run_destroyed"]] {
        let found = json(&parts.range, &[&["whatif"], rules].concat());
        assert_eq!((&found["flips"]["runs"], &found["undecided"]), (&0.into(), &3.into()), "{rules:?}: {found}");
        let text = told(&parts.range, &[&["whatif"], rules].concat());
        assert!(text.contains("cannot be decided") && !text.contains("never created"), "{text}");
    }
    let undecided = |data: &Path, command: &[&str]| json(data, command)["undecided"].clone();
    assert_eq!(undecided(&parts.range, &["recheck"]), 3, "as many as recheck counts");
    assert_eq!(undecided(&parts.whole, &["whatif", "--without", "run_destroyed"]), 0);
    // A run's own bundle has all of it.
    let found = json(&parts.run, &["whatif", "--drop", "29"]);
    assert_eq!((&found["flips"]["runs"], &found["undecided"]), (&1.into(), &0.into()), "{found}");
}

#[test]
fn steps_from_before_are_not_missing_ones() {
    let parts = Parts::new();
    let found = json(&parts.range, &["compare", NIGHTLY, "crawl"]);
    assert_eq!((&found["left"]["begins_at"], &found["right"]["begins_at"]), (&21.into(), &Value::Null));
    assert_eq!((&found["rows"][0]["kind"], &found["rows"][0]["step"]), (&"not_held".into(), &"Created".into()));
    let text = told(&parts.range, &["compare", NIGHTLY, "crawl"]);
    assert!(text.contains("its beginning is not held"), "{text}");
    assert!(!text.contains("the left run has no Created"), "{text}");
    let mirrored = json(&parts.range, &["compare", "crawl", NIGHTLY]);
    assert_eq!(mirrored["rows"][0]["kind"], "not_held");
}

#[test]
fn histories_are_compared_from_where_both_begin() {
    let parts = Parts::new();
    let (whole, range) = (parts.whole.to_str().unwrap(), parts.range.to_str().unwrap());
    for (one, other, side) in [(whole, range, "B"), (range, whole, "A")] {
        let at = |path: &str| format!("{path}@40");
        let (one, other) = (at(one), at(other));
        let found = json(&parts.whole, &["diff", &one, &other]);
        assert_eq!((&found["common"], &found["first"], &found["from"]), (&40.into(), &Value::Null, &21.into()));
        let text = told(&parts.whole, &["diff", &one, &other]);
        assert!(text.contains(&format!("{side} begins after: what is before position 21")), "{text}");
        assert!(text.contains("nothing differs from there on") && !text.contains("ends before"), "{text}");
    }
    let found = json(&parts.whole, &["diff", whole, range]);
    assert_eq!((&found["common"], &found["first"]["position"]), (&40.into(), &41.into()));
    assert!(found["first"]["b"].is_null() && !found["runs"].as_array().unwrap().is_empty(), "{found}");
    let (exit, code, _) = failure(&parts.whole, &["diff", whole, parts.run.to_str().unwrap()]);
    assert_eq!((exit, code.as_str()), (2, "not_held"));
    // Between two points of the part: the run that began before changed, in a way that nobody can tell.
    assert_eq!(json(&parts.range, &["diff", "25", "30"])["begun_before"][0], NIGHTLY);
}

#[test]
fn what_damage_hides_is_no_more_invented_than_what_a_part_lacks() {
    let (_whole_dir, whole) = made();
    let (_dir, data) = made();
    std::fs::remove_file(&segments(&data)[0]).unwrap();
    let partial = |arguments: &[&str]| {
        let output = ran(&data, arguments);
        assert_eq!(output.status.code(), Some(7), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let read = |arguments: &[&str]| -> Value {
        serde_json::from_str(&partial(&[&["--format", "json"], arguments].concat())).unwrap()
    };
    let found = read(&["whatif", "--without", "run_destroyed"]);
    assert!(found["undecided"].as_u64().unwrap() > 0, "{found}");
    let flips = found["runs"].as_array().unwrap();
    assert!(flips.iter().all(|flip| !flip["recorded"]["status"].is_null()), "{found}");
    let begun_before = read(&["state", "--all"])["begun_before"].clone();
    assert!(begun_before.as_array().unwrap().iter().any(|begun| begun["run"] == BUILD), "{begun_before}");
    let text = partial(&["diff", whole.to_str().unwrap(), data.to_str().unwrap()]);
    assert!(text.contains("cannot be read") && !text.contains("ends before"), "{text}");
}
