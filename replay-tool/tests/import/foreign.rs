//! Whole histories, and what is promised of all of them.
//!
//! The fixtures are made by hand in the documented formats; no daemon or cluster wrote them. `TACHO_GOLDEN=write` writes the
//! golden files anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use tachograph_engine::domain::{Entry, EntryBody};

use crate::made::{Imported, docker, lines, second};
use crate::support::{Place, done, segments, stdout, tacho};

const FIXTURES: [(&str, &str); 4] = [
    ("docker-events", "docker.jsonl"),
    ("k8s-events", "k8s-list.json"),
    ("k8s-events", "k8s-watch.json"),
    ("jsonl", "generic.jsonl"),
];

fn test_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(test_file("fixtures").join(name)).unwrap()
}

fn check(file: &str, text: &str) {
    let path = test_file("golden").join(file);
    if std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "{file}, line {}", number + 1);
    }
    assert_eq!(text, expected, "{file}");
}

#[test]
fn whole_histories_become_these_journals() {
    for (source, name) in FIXTURES {
        let imported = Imported::sound(source, fixture(name));
        check(&format!("{name}.journal.jsonl"), &done(&imported.data(), &["export", "--jsonl"]));
        check(
            &format!("{name}.lines.jsonl"),
            &std::fs::read_to_string(imported.data().join("foreign/lines.jsonl")).unwrap(),
        );
        let report = stdout(&imported.output).replace(imported.data().to_str().unwrap(), "DATA");
        check(&format!("{name}.report.json"), &report);
        done(&imported.data(), &["verify"]);
        done(&imported.data(), &["recheck"]);
    }
}

#[test]
fn what_is_printed_for_people_is_this() {
    let place = Place::new();
    let path = test_file("fixtures/docker.jsonl");
    let data = place.path("data");
    let text = done(&data, &["import", "--from", "docker-events", path.to_str().unwrap()]);
    check("docker.txt", &text.replace(data.to_str().unwrap(), "DATA"));
}

#[test]
fn the_same_input_gives_the_same_journal_down_to_its_bytes() {
    for (source, name) in FIXTURES {
        let (one, other) = (Imported::sound(source, fixture(name)), Imported::sound(source, fixture(name)));
        assert_eq!(segments(&one.data()), segments(&other.data()), "{name}");
        for file in ["original.jsonl", "lines.jsonl"] {
            let read = |imported: &Imported| std::fs::read(imported.data().join("foreign").join(file)).unwrap();
            assert_eq!(read(&one), read(&other));
        }
        assert_eq!(std::fs::read(one.data().join("foreign/original.jsonl")).unwrap(), fixture(name));
    }
}

#[test]
fn every_field_and_source_is_documented() {
    let document = |name: &str| std::fs::read_to_string(test_file("../../../docs").join(name)).unwrap();
    let (json, import) = (document("json.md"), document("import.md"));
    let section = json.split_once("\n## foreign\n").unwrap().1;
    let report = Imported::of("docker-events", [fixture("docker.jsonl"), b"{".to_vec()].concat()).report();
    for (name, value) in report.as_object().unwrap() {
        assert!(section.contains(&format!("`{name}`")), "docs/json.md lacks {name}");
        let inner = value.as_array().and_then(|items| items.first()).and_then(|item| item.as_object());
        for name in inner.into_iter().flat_map(|inner| inner.keys()) {
            assert!(section.contains(&format!("`{name}`")), "docs/json.md lacks {name}");
        }
    }
    for (source, _) in FIXTURES {
        assert!(import.contains(&format!("\n### `{source}`\n")), "docs/import.md lacks {source}");
    }
    for action in ["create", "start", "pause", "unpause", "die", "stop", "destroy", "Scheduled", "Killing", "BackOff"] {
        assert!(import.contains(&format!("`{action}`")), "docs/import.md lacks {action}");
    }
}

/// What is recorded about runs, without the ids of entries, which follow from the whole input.
fn told(entries: &[Entry]) -> Vec<(String, EntryBody)> {
    let about_runs = entries.iter().filter(|entry| entry.run().is_some());
    about_runs.map(|entry| (entry.recorded_at.to_string(), entry.body.clone())).collect()
}

#[test]
fn streams_that_overlap_are_recorded_once() {
    for (source, name) in FIXTURES {
        let once = Imported::sound(source, fixture(name));
        let twice = Imported::sound(source, [fixture(name), fixture(name)].concat());
        assert_eq!(told(&once.entries()), told(&twice.entries()), "{name}");
        let recorded = |imported: &Imported| imported.report()["recorded"].as_u64().unwrap();
        assert_eq!(recorded(&once), recorded(&twice));
        assert!(twice.report()["duplicates"].as_u64().unwrap() >= recorded(&once), "{}", twice.report());
    }
}

#[test]
fn events_of_a_cluster_are_recorded_in_the_order_of_their_times() {
    let (list, watch) = (
        Imported::sound("k8s-events", fixture("k8s-list.json")),
        Imported::sound("k8s-events", fixture("k8s-watch.json")),
    );
    assert_eq!(told(&list.entries()), told(&watch.entries()));
    let times: Vec<_> = list.entries().iter().map(|entry| entry.recorded_at).collect();
    assert!(times.is_sorted() && times.len() > 10);
    // One per line, as a program between may print them, and as a watch with its kinds of change does.
    let value: serde_json::Value = serde_json::from_slice(&fixture("k8s-list.json")).unwrap();
    let items = value["items"].as_array().unwrap();
    let compact: String = items.iter().map(|item| format!("{item}\n")).collect();
    assert_eq!(told(&Imported::sound("k8s-events", compact).entries()), told(&list.entries()));
    let changes: String =
        items.iter().map(|item| serde_json::json!({"type": "ADDED", "object": item}).to_string()).collect();
    assert_eq!(told(&Imported::sound("k8s-events", changes).entries()), told(&list.entries()));
    assert_eq!(told(&Imported::sound("k8s-events", value.to_string()).entries()), told(&list.entries()));
}

#[test]
fn a_question_about_a_time_is_answered_by_the_times_of_the_events() {
    let imported = Imported::sound("docker-events", fixture("docker.jsonl"));
    let at = |time: &str| {
        let shown = done(&imported.data(), &["runs", "--at", time, "--format", "json"]);
        let runs: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
        let statuses = runs.iter().map(|run| (run["labels"]["docker.name"].clone(), run["status"].clone()));
        statuses.map(|(name, status)| format!("{name} {status}").replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(at("2026-11-21T03:00:00.2Z"), ["db Created"]);
    assert_eq!(at("2026-11-21T03:00:05.5Z"), ["worker Waiting", "db Started"]);
    let shown: serde_json::Value =
        serde_json::from_str(&done(&imported.data(), &["show", "db", "--format", "json"])).unwrap();
    assert_eq!((&shown["image"], &shown["labels"]["import.source"]), (&"postgres:17".into(), &"docker-events".into()));
    let writer = serde_json::from_str::<Vec<serde_json::Value>>(&done(&imported.data(), &["ps", "--format", "json"]));
    assert_eq!(writer.unwrap(), [""; 0], "nothing of it runs here");
}

/// Events of a few containers in any order, contradictions and gaps included.
fn histories() -> impl Strategy<Value = Vec<(usize, String, i64, Option<String>)>> {
    let actions = ["create", "start", "die", "stop", "pause", "unpause", "destroy", "kill", "rename", "unheard_of"];
    let code = prop_oneof![select(vec!["0", "1", "137", "x", ""]).prop_map(str::to_owned)];
    vec((0..3_usize, select(actions.to_vec()).prop_map(str::to_owned), 0..40_i64, proptest::option::of(code)), 1..40)
}

fn text(history: &[(usize, String, i64, Option<String>)]) -> Vec<String> {
    let event = |(container, action, at, code): &(usize, String, i64, Option<String>)| {
        let attributes: Vec<(&str, &str)> = code.iter().map(|code| ("exitCode", code.as_str())).collect();
        docker(action, &format!("c{container}"), second(*at), &attributes)
    };
    history.iter().map(event).collect()
}

/// How many histories are tried.
fn cases() -> u32 {
    std::env::var("TACHO_FOREIGN_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_recorded_whole_and_only_once(history in histories()) {
        let told_once = text(&history);
        let observed = told_once.iter().any(|line| !["kill", "rename", "unheard_of"].iter().any(|action| line.contains(action)));
        if observed {
            let imported = Imported::sound("docker-events", lines(&told_once));
            // Every line has its fate.
            let lines_told: Vec<u64> = imported.outcomes().iter().map(|(line, _)| *line).collect();
            prop_assert_eq!(lines_told, (1..=told_once.len() as u64).collect::<Vec<_>>());
            // No end has a status that nobody told.
            for entry in imported.entries() {
                if let EntryBody::Committed(committed) = &entry.body {
                    prop_assert_eq!(entry.recorded_at, committed.command.issued_at);
                }
            }
            // Every refusal in the journal belongs to a line, and every line's positions are in the journal.
            let positions: Vec<u64> = imported.rows().iter().flat_map(|row| row["positions"].as_array().cloned().unwrap_or_default()).filter_map(|at| at.as_u64()).collect();
            let expected: Vec<u64> = imported.entries().iter().filter(|entry| entry.run().is_some()).map(|entry| entry.position.0).collect();
            prop_assert_eq!(positions, expected);
            let twice = Imported::sound("docker-events", lines(&[told_once.clone(), told_once].concat()));
            let committed = |imported: &Imported| told(&imported.entries()).into_iter().filter(|(_, body)| matches!(body, EntryBody::Committed(_))).collect::<Vec<_>>();
            prop_assert_eq!(committed(&imported), committed(&twice));
        }
    }

    #[test]
    fn any_bytes_make_an_import_or_a_report_and_never_a_panic(bytes in vec(any::<u8>(), 0..300), source in select(vec!["docker-events", "k8s-events", "jsonl", "tachograph-jsonl"])) {
        let imported = Imported::of(source, &bytes);
        let code = imported.output.status.code();
        prop_assert!(matches!(code, Some(0 | 2)), "{:?}: {}", code, crate::support::stderr(&imported.output));
    }
}

#[test]
fn nothing_beside_the_place_is_left_and_the_files_are_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let imported = Imported::sound("docker-events", fixture("docker.jsonl"));
    assert_eq!(imported.names(), ["data"]);
    let mode = |path: &str| std::fs::metadata(imported.data().join(path)).unwrap().permissions().mode() & 0o777;
    let modes: BTreeMap<&str, u32> =
        ["", "foreign", "foreign/original.jsonl", "foreign/lines.jsonl", "foreign/import.json"]
            .map(|path| (path, mode(path)))
            .into();
    assert!(modes.values().all(|mode| *mode == 0o700 || *mode == 0o600), "{modes:?}");
    let output = tacho(&imported.data(), &["timeline", "db"]);
    assert!(stdout(&output).contains("docker"), "{}", stdout(&output));
}
