//! What cannot be read, and what becomes of the rest.

use serde_json::json;

use crate::made::{Imported, docker, lines, second};
use crate::support::{Place, stderr, stdout, tacho, tacho_with};

fn create(id: &str) -> String {
    docker("create", id, second(0), &[])
}

/// Lines of which the second one is bad, and what is said about it.
fn bad(source: &str, line: impl AsRef<[u8]>) -> (u64, String) {
    let good = match source {
        "jsonl" => json!({"run": "a", "kind": "created", "at": 1}).to_string(),
        _ => create("c1"),
    };
    let mut text = good.clone().into_bytes();
    text.push(b'\n');
    text.extend(line.as_ref());
    text.extend(format!("\n{}\n", good.replace("c1", "c2").replace("\"a\"", "\"b\"")).into_bytes());
    let imported = Imported::of(source, text);
    let report = imported.report();
    assert_eq!(imported.output.status.code(), Some(2), "{report}");
    assert_eq!((&report["runs"], &report["bad"], &report["events"]), (&json!(2), &json!(1), &json!(3)), "{report}");
    assert_eq!(report["bad_lines"][0]["line"], 2);
    let errors = stderr(&imported.output);
    assert!(errors.contains(r#""code":"bad_lines""#) && errors.contains("the first at line 2"), "{errors}");
    assert!(imported.outcomes().contains(&(2, "bad".to_owned())));
    let column = report["bad_lines"][0]["column"].as_u64().unwrap();
    (column, report["bad_lines"][0]["why"].as_str().unwrap().to_owned())
}

#[test]
fn a_line_that_is_no_event_is_told_with_number_column_and_reason() {
    let cases: [(&[u8], u64, &str); 8] = [
        (b"{\"Type\":\"container\",", 20, "EOF while parsing"),
        (b"docker: daemon is not running", 1, "expected value"),
        (b"[1]", 1, "is no JSON object"),
        (b"{\"a\":\"\xff\"}", 7, "invalid unicode"),
        (b"{} {}", 4, "trailing characters"),
        (b"{\"Type\":\"container\"}", 1, "Action: is missing"),
        (b"{\"Action\":\"die\",\"Actor\":{\"ID\":\"c1\"}}", 1, "timeNano: is missing"),
        (b"{\"Action\":\"die\",\"time\":1}", 1, "Actor.ID: is missing"),
    ];
    for (line, column, why) in cases {
        let told = bad("docker-events", line);
        assert!(told.0 == column && told.1.starts_with(why), "{}: {told:?}", String::from_utf8_lossy(line));
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(bad("docker-events", deep).1, "recursion limit exceeded");
    let nested = format!("{{\"Action\":\"die\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(bad("docker-events", nested).1, "recursion limit exceeded");
    assert_eq!(bad("docker-events", "x".repeat((1 << 20) + 1)), (1 << 20, "is longer than 1 MiB".to_owned()));
    let far = docker("die", "c1", 0, &[]).replace("\"time\":0", "\"time\":9223372036854775807");
    assert_eq!(bad("docker-events", far).1, "time: 9223372036854775807 lies outside of the years 1 to 9999");
}

#[test]
fn a_field_of_the_wrong_kind_is_named() {
    let cases = [
        (json!({"kind": "created", "at": 1}), "run: is missing"),
        (json!({"run": "r", "kind": "created"}), "at: is missing"),
        (json!({"run": "r", "kind": "created", "at": "yesterday"}), "at: \"yesterday\" is no time in RFC 3339"),
        (
            json!({"run": "r", "kind": "created", "at": true}),
            "at: expected a time in RFC 3339 or seconds, found a boolean",
        ),
        (
            json!({"run": "r", "kind": "created", "at": 1e300}),
            "at: 9223372036854775807 lies outside of the years 1 to 9999",
        ),
        (json!({"run": 1, "kind": "created", "at": 1}), "run: expected a text, found a number"),
        (json!({"run": "r", "kind": "created", "at": 1, "labels": []}), "labels: expected an object, found an array"),
        (json!({"run": "r", "kind": "created", "at": 1, "command": "make"}), "command: expected a list of texts"),
        (
            json!({"run": "r", "kind": "exited", "at": 1, "code": 1, "signal": 9}),
            "signal: stands beside a code; an end has one of them",
        ),
        (
            json!({"run": "r", "kind": "exited", "at": 1, "code": 4_294_967_296_u64}),
            "code: 4294967296 has more than 32 bits",
        ),
        (json!({"run": "", "kind": "created", "at": 1}), "run: is empty"),
        (json!({"run": "r", "kind": "exited", "at": 1, "signal": 999}), "signal: 999 is none; there are 1 to 64"),
        (json!({"run": "r", "kind": "exited", "at": 1, "signal": 0}), "signal: 0 is none; there are 1 to 64"),
        (json!({"run": "r", "kind": "destroyed", "at": 1, "force": "yes"}), "force: expected a boolean, found a text"),
        (
            json!({"run": "r", "kind": "started", "at": 1, "attempt": []}),
            "attempt: expected a text or a number, found an array",
        ),
    ];
    for (line, why) in cases {
        assert_eq!(bad("jsonl", line.to_string()), (1, why.to_owned()));
    }
}

#[test]
fn a_field_that_stands_there_twice_is_named() {
    let twice = [
        (r#"{"run":"r","kind":"exited","at":1,"code":0,"code":1}"#, "\"code\" stands there twice"),
        (r#"{"run":"r","kind":"created","at":1,"labels":{"a":"1","b":[{"c":1,"c":1}]}}"#, "\"c\" stands there twice"),
    ];
    for (line, why) in twice {
        assert_eq!(bad("jsonl", line).1, why);
    }
    let line = create("c1").replace("\"Action\"", "\"Action\":\"die\",\"Action\"");
    assert_eq!(bad("docker-events", line).1, "\"Action\" stands there twice");
}

#[test]
fn marks_line_ends_and_blank_lines_are_no_events() {
    let text = format!("\u{feff}{}\r\n\r\n   \n{}", create("c1"), create("c2"));
    let imported = Imported::sound("docker-events", &text);
    assert_eq!(imported.outcomes(), [(1, "recorded".to_owned()), (4, "recorded".to_owned())]);
    assert_eq!(std::fs::read_to_string(imported.data().join("foreign/original.jsonl")).unwrap(), text);
}

#[test]
fn strictly_nothing_is_imported_if_something_is_bad() {
    let place = Place::new();
    let data = place.path("data");
    let arguments = ["import", "--from", "docker-events", "-", "--strict"];
    let output = tacho_with(&data, &arguments, format!("{}\n{{\n", create("c1")).as_bytes());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("error[bad_lines]: 1 of 2 events of standard input"), "{}", stderr(&output));
    assert_eq!(place.names(), [""; 0]);
    assert!(tacho_with(&data, &arguments, create("c1").as_bytes()).status.success());
    assert_eq!(place.names(), ["data"]);
}

#[test]
fn an_input_without_events_makes_nothing() {
    for text in ["", "\n\n", "no json\n", "{\"Type\":\"network\",\"Action\":\"create\"}\n"] {
        for source in ["docker-events", "k8s-events", "jsonl"] {
            let imported = Imported::of(source, text);
            assert_eq!(imported.output.status.code(), Some(2), "{text:?}");
            assert!(stderr(&imported.output).contains("\"empty_input\""), "{}", stderr(&imported.output));
            assert_eq!(imported.names(), [""; 0]);
        }
    }
}

#[test]
fn many_bad_lines_are_all_counted_and_the_first_ones_told() {
    let mut text: Vec<String> = (0..300).map(|number| format!("bad {number}")).collect();
    text.push(create("c1"));
    let place = Place::new();
    let data = place.path("data");
    let output = tacho_with(&data, &["import", "--from", "docker-events", "-"], lines(&text).as_bytes());
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert_eq!(told.lines().filter(|line| line.starts_with("tacho: line ")).count(), 20, "{told}");
    assert!(told.contains("tacho: and 280 more\n") && told.contains("300 of 301 events"), "{told}");
    let rows = std::fs::read_to_string(data.join("foreign/lines.jsonl")).unwrap();
    assert_eq!(rows.lines().filter(|row| row.contains("\"bad\"")).count(), 300);
}

#[test]
fn a_place_that_is_taken_and_a_file_that_is_not_there_are_told() {
    let place = Place::new();
    let data = place.path("data");
    std::fs::create_dir(&data).unwrap();
    let file = place.file("events.jsonl", create("c1"));
    let absent = tacho(&data, &["import", "--from", "docker-events", "absent.jsonl"]);
    assert_eq!(absent.status.code(), Some(6), "{}", stderr(&absent));
    assert!(stderr(&absent).contains("error[io]: cannot read absent.jsonl"), "{}", stderr(&absent));
    let arguments = ["import", "--from", "docker-events", file.to_str().unwrap()];
    assert!(tacho(&data, &arguments).status.success(), "an empty directory is as good as none");
    let again = tacho(&data, &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("error[occupied]"), "{}", stderr(&again));
    assert_eq!(place.names(), ["data", "events.jsonl"]);
}

#[test]
fn recorded_text_does_not_play_with_the_terminal() {
    let place = Place::new();
    let text = format!("{}\n{}\n", create("c1"), docker("\u{1b}[31mred", "c1", second(1), &[]));
    let output = tacho_with(&place.path("data"), &["import", "--from", "docker-events", "-"], text.as_bytes());
    assert!(stdout(&output).contains("\\u{1b}[31mred") && !stdout(&output).contains('\u{1b}'), "{}", stdout(&output));
}
