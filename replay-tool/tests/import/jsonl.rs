//! What is lost on the way to JSON Lines and back: nothing.

use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::codec;
use tachograph_engine::domain::{Entry, EntryBody, Position, Version};
use tachograph_engine::ports::{Draft, Journal};
use tachograph_replay::jsonl::{Header, read_entry, write_entry};

use crate::strategies;
use crate::support::{Place, done, entries, run, segments, stderr, tacho, tacho_with};

/// How many arbitrary entries are tried.
fn cases() -> u32 {
    std::env::var("TACHO_JSONL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

fn line(entry: &Entry) -> Vec<u8> {
    let mut line = Vec::new();
    write_entry(entry, &mut line);
    line
}

fn bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_entry(entry, &mut bytes);
    bytes
}

#[test]
fn any_entry_comes_back_as_it_was_and_its_line_too() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let tried = runner.run(&strategies::entry(), |entry| {
        let line = line(&entry);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line each");
        let read = read_entry(&line).map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&read, &entry);
        prop_assert_eq!(bytes(&read), bytes(&entry), "on disk as well");
        prop_assert_eq!(self::line(&read), line);
        Ok(())
    });
    tried.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_entry(&bytes);
        let _ = Header::read(&bytes);
    }
}

#[test]
fn a_line_with_one_change_is_another_entry_or_none() {
    let entry = sample().into_iter().find(|entry| matches!(entry.body, EntryBody::Committed(_))).unwrap();
    let line = line(&entry);
    let mut refused = 0;
    for at in 0..line.len() {
        for byte in [b' ', b'0', b'x', b'"', b'}', 0xff] {
            let mut changed = line.clone();
            if std::mem::replace(&mut changed[at], byte) == byte {
                continue;
            }
            match read_entry(&changed) {
                // Space outside of texts is the one thing that has no meaning.
                Ok(read) => assert!(read != entry || byte == b' ' || at + 1 == line.len(), "byte {at}: {byte}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > line.len(), "{refused}");
}

#[test]
fn a_field_too_many_or_too_few_and_another_spelling_are_refused() {
    let entry = sample().remove(0);
    let value: Value = serde_json::from_slice(&line(&entry)).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        read_entry(value.to_string().as_bytes()).unwrap_err().why
    };
    assert_eq!(read_entry(value.to_string().as_bytes()), Ok(entry));
    assert!(refused(&|value| value["more"] = 1.into()).contains("unknown field `more`"));
    assert!(refused(&|value| drop(value.as_object_mut().unwrap().shift_remove("previous"))).contains("missing field"));
    let time = |text: &str| refused(&|value| value["recorded_at"] = text.into());
    assert_eq!(time("2026-11-21T03:00:00Z"), "expected 2026-11-21T03:00:00.000000Z");
    assert_eq!(time("2026-11-21T03:00:00.0000001Z"), "expected 2026-11-21T03:00:00.000000Z", "digits are not dropped");
    let id = value["id"].as_str().unwrap().to_lowercase();
    assert!(refused(&|value| value["id"] = id.clone().into()).starts_with("expected "));
    assert!(refused(&|value| value["position"] = (-1).into()).contains("invalid value"));
}

/// Entries of a journal that was written here.
fn sample() -> Vec<Entry> {
    let data = Place::new();
    journal(&data.path("data"));
    entries(&data.path("data"))
}

/// A journal that `tacho` itself wrote.
fn journal(data: &Path) {
    for (name, code) in [("first", "0"), ("second", "7"), ("first", "1")] {
        let script = format!("echo $TACHO_RUN_ID; exit {code}");
        let output =
            tacho(data, &["run", "--no-shim", "--name", name, "--label", "team=a b\u{e9}", "--", "sh", "-c", &script]);
        assert_eq!(output.status.code().unwrap().to_string(), code, "{}", stderr(&output));
    }
    assert_eq!(tacho(data, &["cancel-snapshot", "second", "--unconditional"]).status.code(), Some(5));
    done(data, &["destroy", "second"]);
    assert_eq!(tacho(data, &["destroy", "second"]).status.code(), Some(5));
}

#[test]
fn a_journal_goes_out_and_comes_back_the_same() {
    let place = Place::new();
    let (data, copy) = (place.path("data"), place.path("copy"));
    journal(&data);
    let exported = done(&data, &["export", "--jsonl"]);
    let lines: Vec<&str> = exported.lines().collect();
    assert!(lines[0].starts_with(r#"{"format":"tachograph-jsonl","version":1,"journal":"0"#), "{}", lines[0]);
    let entry_count = entries(&data).len() as u64;
    assert_eq!(lines.len() as u64, entry_count + 2);
    let end = lines.last().unwrap();
    assert_eq!(*end, format!("{{\"end\":{{\"entries\":{entry_count},\"position\":{entry_count}}}}}"));
    let file = place.file("journal.jsonl", &exported);
    let told = done(&copy, &["import", "--from", "tachograph-jsonl", file.to_str().unwrap(), "--format", "json"]);
    assert_eq!(entries(&copy), entries(&data));
    assert_eq!(done(&copy, &["export", "--jsonl"]), exported);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["entries"], entry_count);
    assert!(exported.contains(told["journal"].as_str().unwrap()));
    done(&copy, &["verify"]);
    assert_eq!(done(&copy, &["timeline", "second"]), done(&data, &["timeline", "second"]));
    // Through standard input it is the same again, down to the bytes.
    let again = place.path("again");
    let output = tacho_with(&again, &["import", "--from", "tachograph-jsonl", "-"], exported.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(segments(&again), segments(&copy));
    assert_eq!(place.names(), ["again", "copy", "data", "journal.jsonl"]);
}

#[test]
fn an_export_into_a_file_is_whole_and_replaces_nothing() {
    let place = Place::new();
    let data = place.path("data");
    journal(&data);
    let out = place.path("out.jsonl");
    let arguments = ["export", "--jsonl", "--out", out.to_str().unwrap()];
    assert_eq!(done(&data, &arguments), "");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), done(&data, &["export", "--jsonl"]));
    let output = tacho(&data, &arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("error[occupied]"));
    assert_eq!(place.names(), ["data", "out.jsonl"]);
}

fn refused(place: &Place, content: &[u8]) -> String {
    let file = place.file("bad.jsonl", content);
    let data = place.path("copy");
    let output = tacho(&data, &["import", "--from", "tachograph-jsonl", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(place.names(), ["bad.jsonl"], "nothing half-imported is left");
    stderr(&output)
}

#[test]
fn what_is_no_export_is_refused_with_line_and_reason_and_leaves_nothing() {
    let origin = Place::new();
    journal(&origin.path("data"));
    let exported = done(&origin.path("data"), &["export", "--jsonl"]);
    let lines: Vec<&str> = exported.lines().collect();
    let place = Place::new();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        refused(&place, (lines.join("\n") + "\n").as_bytes())
    };
    let newer = with(&|lines| lines[0] = lines[0].replace("\"version\":1", "\"version\":2"));
    assert!(
        newer.contains("line 1, column 1: has version 2 of tachograph-jsonl; this program reads version 1"),
        "{newer}"
    );
    let other = with(&|lines| lines[0] = lines[0].replace("tachograph-jsonl", "something"));
    assert!(other.contains("line 1, column 1: has the format \"something\""), "{other}");
    let none = with(&|lines| drop(lines.remove(0)));
    assert!(none.contains("line 1, column 1: is no header"), "{none}");
    let gap = with(&|lines| drop(lines.remove(3)));
    assert!(gap.contains("line 4, column 1: has position 4; expected 3"), "{gap}");
    let cut = with(&|lines| lines[5].truncate(40));
    assert!(cut.contains("line 6, column 40: EOF while parsing"), "{cut}");
    let pointer = |line: &str| line.contains("\"previous\":2");
    let at = lines.iter().position(|line| pointer(line)).unwrap();
    let back = with(&|lines| lines[at] = lines[at].replace("\"previous\":2", "\"previous\":1"));
    assert!(back.contains(&format!("line {}, column 1: has previous 1; expected 2", at + 1)), "{back}");
    let version = with(&|lines| lines[at] = lines[at].replace("\"version\":2", "\"version\":9"));
    assert!(version.contains(&format!("line {}, column 1: does not follow: run ", at + 1)), "{version}");
    assert!(refused(&place, b"").contains("error[empty_input]"));
    let bad = with(&|lines| lines[2].push('\u{0}'));
    assert!(bad.contains("line 3, column "), "{bad}");
    let end = lines.len() - 1;
    let count = with(&|lines| lines[end] = lines[end].replace("\"entries\":", "\"entries\":1"));
    assert!(count.contains(&format!("line {}, column 1: says that there are 1", end + 1)), "{count}");
    let missing = with(&|lines| drop(lines.remove(end - 1)));
    assert!(missing.contains("column 1: says that there are ") && missing.contains("is cut"), "{missing}");
    let after = with(&|lines| lines.push(lines[end].clone()));
    assert!(after.contains(&format!("line {}, column 1: stands after the end", end + 2)), "{after}");
    let form = with(&|lines| lines[end] = lines[end].replace("\"position\"", "\"place\""));
    assert!(form.contains("unknown field `place`"), "{form}");
    let mut invalid = exported.clone().into_bytes();
    let text = exported.find("a b").unwrap();
    invalid[text] = 0xff;
    assert!(refused(&place, &invalid).contains("error[bad_line]"));
}

#[test]
fn a_file_without_its_last_line_is_imported_and_a_note_says_that_it_may_be_cut() {
    let origin = Place::new();
    journal(&origin.path("data"));
    let exported = done(&origin.path("data"), &["export", "--jsonl"]);
    let lines: Vec<&str> = exported.lines().collect();
    let place = Place::new();
    for (name, kept, is_cut) in [("whole", lines.len(), false), ("old", lines.len() - 1, true), ("cut", 4, true)] {
        let file = place.file(&format!("{name}.jsonl"), lines[..kept].join("\n") + "\n");
        for format in ["text", "json"] {
            let import = ["import", "--from", "tachograph-jsonl", file.to_str().unwrap(), "--format", format];
            let output = tacho(&place.path(&format!("{name}-{format}")), &import);
            assert!(output.status.success(), "{}", stderr(&output));
            let told = stderr(&output);
            assert_eq!(told.contains("it may be cut"), is_cut, "{name}: {told}");
            let begins = if format == "json" { "{\"note\":{\"message\":" } else { "tacho: note: " };
            assert!(!is_cut || told.starts_with(begins), "{told}");
        }
    }
}

#[test]
fn a_label_that_stands_there_twice_is_refused() {
    let entry = sample().into_iter().find(|entry| matches!(entry.body, EntryBody::Committed(_))).unwrap();
    let line = String::from_utf8(line(&entry)).unwrap();
    let twice = line.replacen("\"team\":", "\"team\":\"x\",\"team\":", 1);
    assert_ne!(twice, line);
    assert_eq!(read_entry(twice.as_bytes()).unwrap_err().why, "\"team\" stands there twice");
}

#[test]
fn marks_line_ends_and_empty_lines_do_not_matter() {
    let origin = Place::new();
    journal(&origin.path("data"));
    let exported = done(&origin.path("data"), &["export", "--jsonl"]);
    let place = Place::new();
    let file = place.file("windows.jsonl", format!("\u{feff}{}\r\n  \r\n", exported.replace('\n', "\r\n")));
    done(&place.path("copy"), &["import", "--from", "tachograph-jsonl", file.to_str().unwrap()]);
    assert_eq!(entries(&place.path("copy")), entries(&origin.path("data")));
}

#[test]
fn a_data_directory_that_is_in_use_is_left_alone() {
    let place = Place::new();
    let data = place.path("data");
    journal(&data);
    let before = segments(&data);
    let file = place.file("journal.jsonl", done(&data, &["export", "--jsonl"]));
    let output = tacho(&data, &["import", "--from", "tachograph-jsonl", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("error[occupied]"), "{}", stderr(&output));
    assert_eq!(segments(&data), before);
}

/// Any bodies at all, in a journal that only checks what a journal checks.
#[test]
fn arbitrary_bodies_go_through_a_journal_and_back() {
    let place = Place::new();
    let data = place.path("data");
    let mut runner = TestRunner::deterministic();
    let mut versions = std::collections::BTreeMap::new();
    let mut drafts = Vec::new();
    while drafts.len() < 200 {
        let entry = proptest::strategy::Strategy::new_tree(&strategies::entry(), &mut runner).unwrap();
        let Entry { id, recorded_at, mut body, .. } = proptest::strategy::ValueTree::current(&entry);
        if let EntryBody::Committed(committed) = &mut body {
            let version: &mut u64 = versions.entry(committed.command.run).or_default();
            *version += committed.events.len() as u64;
            committed.version = Version(*version);
        }
        drafts.push(Draft { id, recorded_at, body });
    }
    let mut journal = FileJournal::open(&data, JournalOptions::default()).unwrap();
    for batch in drafts.chunks(7) {
        run(journal.append(batch.to_vec())).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
    let exported = done(&data, &["export", "--jsonl"]);
    let file = place.file("journal.jsonl", &exported);
    done(&place.path("copy"), &["import", "--from", "tachograph-jsonl", file.to_str().unwrap()]);
    assert_eq!(entries(&place.path("copy")), entries(&data));
    assert_eq!(entries(&data).last().map(|entry| entry.position), Some(Position(200)));
    assert_eq!(done(&place.path("copy"), &["export", "--jsonl"]), exported);
}
