//! Every way in which a history can contradict itself, and the refusal that stands for it.

use serde_json::json;

use crate::made::{Imported, docker, lines, second};

const S: i64 = 1_000_000_000;

/// An event of a container: its action, its time in seconds, and attributes.
type Event<'a> = (&'a str, i64, &'a [(&'a str, &'a str)]);

fn container(events: &[Event<'_>]) -> String {
    let text: Vec<String> =
        events.iter().map(|(action, at, attributes)| docker(action, "c1", second(*at), attributes)).collect();
    lines(&text)
}

#[test]
fn a_second_end_with_another_code_is_conflicting() {
    let code = |code| [("exitCode", code)];
    let imported = Imported::sound(
        "docker-events",
        container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, &code("0")), ("die", 3, &code("1"))]),
    );
    assert_eq!(imported.refusals(), ["conflicting_terminal"]);
    assert_eq!(imported.run()["exit"], json!({"code": 0}), "the first report counts");
    assert_eq!(imported.report()["refused_lines"][0]["line"], 4);
    assert_eq!(imported.report()["refused_lines"][0]["code"], "conflicting_terminal");
}

#[test]
fn the_same_end_told_twice_is_a_duplicate() {
    let code: &[(&str, &str)] = &[("exitCode", "7")];
    let imported = Imported::sound(
        "docker-events",
        container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, code), ("die", 3, code)]),
    );
    assert_eq!(imported.refusals(), [""; 0]);
    assert_eq!(imported.report()["duplicates"], 1);
    assert_eq!(imported.outcomes()[3], (4, "duplicate".to_owned()));
}

#[test]
fn a_start_after_the_destruction_is_refused() {
    let code: &[(&str, &str)] = &[("exitCode", "0")];
    let imported = Imported::sound(
        "docker-events",
        container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, code), ("destroy", 3, &[]), ("start", 4, &[])]),
    );
    assert_eq!(imported.refusals(), ["run_destroyed"]);
    assert_eq!(imported.events(), ["Created", "Started", "Exited", "Destroyed"]);
    assert_eq!(imported.run()["status"], "Destroyed");
}

#[test]
fn a_late_end_of_an_older_attempt_changes_nothing_of_the_new_one() {
    let imported = Imported::sound(
        "docker-events",
        container(&[
            ("create", 0, &[]),
            ("start", 1, &[]),
            ("die", 3, &[("exitCode", "0")]),
            ("start", 5, &[]),
            ("die", 2, &[("exitCode", "1")]),
        ]),
    );
    assert_eq!(imported.refusals(), ["stale_attempt"]);
    assert_eq!((&imported.run()["status"], &imported.run()["attempt"]), (&json!("Started"), &json!(2)));
    assert_eq!(imported.report()["out_of_order"], 1);
}

#[test]
fn a_start_of_what_runs_is_refused_and_the_end_is_that_of_the_first() {
    let imported = Imported::sound(
        "docker-events",
        container(&[("create", 0, &[]), ("start", 1, &[]), ("start", 2, &[]), ("die", 3, &[("exitCode", "5")])]),
    );
    assert_eq!(imported.refusals(), ["illegal_transition"]);
    assert_eq!((&imported.run()["exit"], &imported.run()["attempt"]), (&json!({"code": 5}), &json!(1)));
}

#[test]
fn a_second_pause_and_a_second_unpause_are_refused() {
    let imported = Imported::sound(
        "docker-events",
        container(&[
            ("create", 0, &[]),
            ("start", 1, &[]),
            ("pause", 2, &[]),
            ("pause", 3, &[]),
            ("unpause", 4, &[]),
            ("unpause", 5, &[]),
        ]),
    );
    assert_eq!(imported.refusals(), ["illegal_transition", "illegal_transition"]);
    assert_eq!(imported.events(), ["Created", "Started", "Waiting", "Started"]);
    assert_eq!(imported.run()["status"], "Started");
}

#[test]
fn an_end_of_what_was_never_started_is_refused() {
    let imported = Imported::sound("docker-events", container(&[("create", 0, &[]), ("die", 1, &[("exitCode", "0")])]));
    assert_eq!(imported.refusals(), ["stale_attempt"]);
    assert_eq!(imported.run()["status"], "Created");
}

#[test]
fn a_destruction_of_what_runs_is_refused_first_and_then_taken_for_true() {
    let imported =
        Imported::sound("docker-events", container(&[("create", 0, &[]), ("start", 1, &[]), ("destroy", 2, &[])]));
    assert_eq!(imported.refusals(), ["force_required"]);
    assert_eq!(imported.run()["status"], "Destroyed");
    assert_eq!(imported.run()["exit"], json!(null), "no end is made up");
}

#[test]
fn a_second_creation_is_refused() {
    let imported = Imported::sound("docker-events", container(&[("create", 0, &[]), ("create", 1, &[])]));
    assert_eq!(imported.refusals(), ["run_exists"]);
}

#[test]
fn a_name_that_is_held_is_refused_and_the_run_is_recorded_without_one() {
    let name: &[(&str, &str)] = &[("name", "web")];
    let text = [docker("create", "c1", second(0), name), docker("create", "c2", second(1), name)];
    let imported = Imported::sound("docker-events", lines(&text));
    assert_eq!(imported.refusals(), ["name_held"]);
    assert_eq!(imported.events(), ["Created", "Created"]);
    let named = crate::made::runs(&imported.data());
    assert_eq!((&named[0]["name"], &named[0]["labels"]["docker.name"]), (&json!(null), &json!("web")));
}

#[test]
fn an_end_without_a_code_is_unknown_and_a_code_that_follows_fills_it_once() {
    let imported = Imported::sound(
        "docker-events",
        container(&[
            ("create", 0, &[]),
            ("start", 1, &[]),
            ("stop", 2, &[]),
            ("die", 3, &[("exitCode", "143")]),
            ("die", 4, &[("exitCode", "1")]),
        ]),
    );
    assert_eq!(imported.events(), ["Created", "Started", "Exited", "ExitAmended"]);
    assert_eq!(imported.refusals(), ["conflicting_terminal"]);
    assert_eq!(imported.run()["exit"], json!({"code": 143}));
    for attributes in [vec![], vec![("exitCode", "x")], vec![("exitCode", "3221225786")], vec![("exitCode", "")]] {
        let text = container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, &attributes)]);
        let exit = Imported::sound("docker-events", text).run()["exit"].clone();
        assert!(exit["unknown"].is_string(), "{attributes:?}: {exit}");
    }
}

#[test]
fn what_began_before_the_history_is_concluded_and_says_so() {
    let text = container(&[("pause", 0, &[]), ("unpause", 1, &[]), ("die", 2, &[("exitCode", "0")])]);
    let imported = Imported::sound("docker-events", text);
    assert_eq!(imported.refusals(), [""; 0]);
    assert_eq!(imported.events(), ["Created", "Started", "Waiting", "Started", "Exited"]);
    let actors: Vec<String> = imported.entries().iter().filter_map(actor).collect();
    let (concluded, told) = ("operator:tacho import", "supervisor:docker");
    assert_eq!(actors, [concluded, concluded, told, told, told]);
}

fn actor(entry: &tachograph_engine::domain::Entry) -> Option<String> {
    match &entry.body {
        tachograph_engine::domain::EntryBody::Committed(committed) => Some(committed.command.actor.to_string()),
        tachograph_engine::domain::EntryBody::Refused(refused) => Some(refused.command.actor().to_string()),
        tachograph_engine::domain::EntryBody::System(_) => None,
    }
}

fn generic(events: &[serde_json::Value]) -> String {
    lines(&events.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[test]
fn a_report_of_another_runner_or_of_an_attempt_that_is_over_is_refused() {
    let imported = Imported::sound(
        "jsonl",
        generic(&[
            json!({"run": "r", "kind": "created", "at": 1}),
            json!({"run": "r", "kind": "started", "at": 2, "attempt": 1, "runner": "a"}),
            json!({"run": "r", "kind": "exited", "at": 3, "attempt": 1, "runner": "b", "code": 0}),
            json!({"run": "r", "kind": "exited", "at": 4, "attempt": 2, "code": 0}),
            json!({"run": "r", "kind": "disconnected", "at": 5, "attempt": 1}),
            json!({"run": "r", "kind": "disconnected", "at": 6, "attempt": 1}),
            json!({"run": "r", "kind": "failed", "at": 7, "attempt": 1, "failure": "runner_lost"}),
            json!({"run": "r", "kind": "started", "at": 8, "attempt": 2}),
            json!({"run": "r", "kind": "started", "at": 9, "attempt": 1}),
        ]),
    );
    assert_eq!(imported.refusals(), ["wrong_runner", "stale_attempt", "already_disconnected", "stale_attempt"]);
    assert_eq!(imported.run()["attempt"], 2);
}

#[test]
fn what_is_out_of_bounds_is_refused_or_left_out_and_stays_in_the_copy() {
    let long = "x".repeat(5_000);
    let imported = Imported::sound(
        "jsonl",
        generic(&[
            json!({"run": "r", "kind": "created", "at": 1, "name": "a\u{1}b", "labels": {"long": long, "k=v": "1", "good": "2"}, "command": []}),
            json!({"run": "r", "kind": "started", "at": 2, "runner": long}),
        ]),
    );
    assert_eq!(imported.refusals(), ["invalid_input"]);
    assert_eq!(imported.report()["left_out"], 4);
    let run = imported.run();
    assert_eq!(
        (&run["name"], &run["labels"]["good"], &run["labels"]["long"]),
        (&json!(null), &json!("2"), &json!(null))
    );
    assert!(std::fs::read_to_string(imported.data().join("foreign/original.jsonl")).unwrap().contains(&long));
}

#[test]
fn a_stop_that_is_told_late_ends_nothing_that_began_after_it() {
    let code: &[(&str, &str)] = &[("exitCode", "0")];
    let history = [("create", 0, &[][..]), ("start", 1, &[]), ("die", 2, code), ("stop", 3, &[]), ("start", 5, &[])];
    let late = [("stop", 4, &[][..])];
    let imported = Imported::sound("docker-events", container(&[&history[..], &history[3..4], &late[..]].concat()));
    assert_eq!(imported.refusals(), [""; 0]);
    assert_eq!((&imported.run()["status"], &imported.run()["attempt"]), (&json!("Started"), &json!(2)));
}

#[test]
fn a_pod_is_bound_to_one_node_only() {
    let event = |uid: &str, at: &str, node: &str| {
        json!({
            "kind": "Event", "metadata": {"uid": uid}, "reason": "Scheduled", "firstTimestamp": at,
            "message": format!("Successfully assigned shop/web to {node}"),
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "uid": "p1"},
        })
    };
    let text = generic(&[event("1", "2026-11-21T03:00:00Z", "n1"), event("2", "2026-11-21T03:00:01Z", "n2")]);
    let imported = Imported::sound("k8s-events", text);
    assert_eq!(imported.refusals(), ["illegal_transition"]);
    assert_eq!(imported.run()["runner"], "n1");
}

#[test]
fn a_flood_of_contradictions_is_counted_and_every_line_of_it_is_told() {
    let mut text = vec![docker("create", "c1", second(0), &[]), docker("destroy", "c1", second(1), &[])];
    text.extend((0..100).map(|number| docker("start", "c1", second(2) + number * S, &[])));
    let imported = Imported::sound("docker-events", lines(&text));
    assert_eq!(imported.refusals().len(), 7, "the 1st, 2nd, 4th… 64th");
    assert_eq!(imported.report()["refused"], 100);
    assert_eq!(imported.outcomes().iter().filter(|(_, outcome)| outcome == "refused").count(), 100);
}
