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

#[test]
fn a_start_after_an_end_that_was_not_told_proves_the_end_and_opens_another_attempt() {
    let history = container(&[
        ("create", 0, &[]),
        ("start", 1, &[]),
        ("start", 7_200, &[]),
        ("die", 7_203, &[("exitCode", "5")]),
    ]);
    let imported = Imported::sound("docker-events", &history);
    assert_eq!(imported.refusals(), [""; 0]);
    assert_eq!(imported.events(), ["Created", "Started", "Exited", "Started", "Exited"]);
    assert_eq!((&imported.run()["exit"], &imported.run()["attempt"]), (&json!({"code": 5}), &json!(2)));
    let entries = imported.entries();
    let end = entries.iter().find(|entry| entry.events().iter().any(|event| event.name().name() == "Exited")).unwrap();
    assert_eq!(actor(end).as_deref(), Some("operator:tacho import"), "concluded, not told");
    assert!(format!("{:?}", end.body).contains("its end was not told; it was started again"), "{end:?}");
    let again = Imported::sound("docker-events", [history.as_str(), &history].concat());
    assert_eq!(again.events(), imported.events(), "the same stream twice says nothing more");
    // While it was paused as well.
    let paused = container(&[("create", 0, &[]), ("start", 1, &[]), ("pause", 2, &[]), ("start", 3, &[])]);
    let paused = Imported::sound("docker-events", paused);
    assert_eq!((paused.refusals(), &paused.run()["attempt"]), (vec![], &json!(2)));
}

#[test]
fn a_second_start_at_the_same_instant_or_before_it_ends_nothing() {
    for at in [1, 0] {
        let text = container(&[
            ("create", 0, &[]),
            ("start", 1, &[]),
            ("start", at, &[("other", "attribute")]),
            ("die", 3, &[("exitCode", "5")]),
        ]);
        let imported = Imported::sound("docker-events", text);
        assert_eq!(imported.refusals(), ["illegal_transition"]);
        assert_eq!((&imported.run()["exit"], &imported.run()["attempt"]), (&json!({"code": 5}), &json!(1)));
    }
}

#[test]
fn a_code_that_was_told_is_one_that_somebody_waited_for() {
    let docker = container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, &[("exitCode", "0")])]);
    let jsonl = generic(&[
        json!({"run": "r", "kind": "started", "at": 2}),
        json!({"run": "r", "kind": "exited", "at": 3, "signal": 9}),
    ]);
    for (source, text) in [("docker-events", docker), ("jsonl", jsonl)] {
        assert_eq!(Imported::sound(source, text).run()["witness"], "waited");
    }
    let unknown = container(&[("create", 0, &[]), ("start", 1, &[]), ("die", 2, &[])]);
    assert_eq!(Imported::sound("docker-events", unknown).run()["witness"], "synthesised");
}

/// An event of a pod, or of its container.
fn pod(uid: &str, second: u32, reason: &str, container: Option<&str>, message: &str) -> serde_json::Value {
    let mut about = json!({"kind": "Pod", "namespace": "shop", "name": "db-0", "uid": uid});
    if let Some(container) = container {
        about["fieldPath"] = format!("spec.containers{{{container}}}").into();
    }
    json!({
        "kind": "Event", "metadata": {"uid": format!("{uid}-{second}-{reason}-{container:?}")}, "reason": reason,
        "firstTimestamp": format!("2026-11-21T03:00:{second:02}Z"), "message": message, "involvedObject": about,
    })
}

fn assigned(uid: &str, second: u32) -> serde_json::Value {
    pod(uid, second, "Scheduled", None, "Successfully assigned shop/db-0 to n1")
}

#[test]
fn a_deletion_that_is_canceled_ends_no_pod_and_one_that_is_marked_does() {
    let taint = |message: &str| {
        let told = pod("p1", 2, "TaintManagerEviction", None, message);
        Imported::sound("k8s-events", generic(&[assigned("p1", 1), told]))
    };
    let canceled = taint("Cancelling deletion of Pod shop/db-0");
    assert_eq!((&canceled.run()["status"], &canceled.report()["kept"]), (&json!("Started"), &json!(1)));
    assert_eq!(taint("Marking for deletion Pod shop/db-0").run()["status"], "Failed");
}

#[test]
fn a_back_off_is_told_apart_by_how_its_message_begins() {
    let status = |message: &str| {
        let started = pod("p1", 1, "Started", Some("image-resizer"), "Started container image-resizer");
        let back_off = pod("p1", 2, "BackOff", Some("image-resizer"), message);
        let imported = Imported::sound("k8s-events", generic(&[started, back_off]));
        let runs = crate::made::runs(&imported.data());
        let run = runs.iter().find(|run| run["name"] == "shop/db-0/image-resizer").unwrap();
        run["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("Back-off restarting failed container image-resizer in pod db-0_shop(p1)"), "Exited");
    assert_eq!(status("Back-off restarting failed container"), "Exited");
    assert_eq!(status("Back-off pulling image \"web:9\""), "Started");
    assert_eq!(status("Back-off of a kind that is not known"), "Started");
}

#[test]
fn a_stopping_that_began_says_that_its_end_was_not_seen() {
    let text = generic(&[
        pod("p1", 1, "Started", Some("app"), "Started container app"),
        pod("p1", 9, "Killing", Some("app"), "Stopping container app"),
    ]);
    let imported = Imported::sound("k8s-events", text);
    let runs = crate::made::runs(&imported.data());
    let run = runs.iter().find(|run| run["name"] == "shop/db-0/app").unwrap();
    let cause = run["exit"]["unknown"].as_str().unwrap();
    assert!(cause.contains("only the beginning of its stopping is told"), "{cause}");
}

#[test]
fn a_pod_of_the_same_name_and_another_uid_proves_that_the_one_before_is_gone() {
    let text = generic(&[
        assigned("p1", 1),
        pod("p1", 2, "Started", Some("app"), "Started container app"),
        pod("p1", 2, "Started", Some("old-sidecar"), "Started container old-sidecar"),
        assigned("p2", 20),
        pod("p2", 21, "Started", Some("app"), "Started container app"),
        // One that was never bound, and the next.
        pod("p3", 30, "FailedScheduling", None, "0/3 nodes are available"),
        assigned("p4", 40),
    ]);
    let imported = Imported::sound("k8s-events", &text);
    assert_eq!(imported.refusals(), [""; 0]);
    let runs = crate::made::runs(&imported.data());
    let told = |subject: &str| {
        let run = runs.iter().find(|run| run["labels"]["import.subject"] == subject).unwrap();
        (run["name"].clone(), run["status"].clone())
    };
    let (pod, app) = (json!("shop/db-0"), json!("shop/db-0/app"));
    for (subject, name, status) in [
        ("p1", &pod, "Exited"),
        ("p1/app", &app, "Exited"),
        ("p1/old-sidecar", &json!("shop/db-0/old-sidecar"), "Exited"),
        ("p2", &pod, "Exited"),
        ("p2/app", &app, "Exited"),
        ("p3", &pod, "Destroyed"),
        ("p4", &pod, "Started"),
    ] {
        assert_eq!(told(subject), (name.clone(), json!(status)), "{subject}");
    }
    let entries = imported.entries();
    let at_p2: Vec<_> = entries.iter().filter(|entry| entry.recorded_at.to_string().contains("03:00:20")).collect();
    let actors: Vec<String> = at_p2.iter().filter_map(|entry| actor(entry)).collect();
    let concluded = "operator:tacho import";
    assert_eq!(actors, [concluded, concluded, concluded, concluded, "supervisor:kubernetes"]);
    assert!(at_p2.iter().any(|entry| format!("{entry:?}").contains("another pod of its name")));
    let twice = Imported::sound("k8s-events", [text.as_str(), &text].concat());
    assert_eq!(twice.events(), imported.events());
}

#[test]
fn an_end_that_was_told_twice_ends_nothing_later_when_the_stream_is_told_again() {
    let code: &[(&str, &str)] = &[("exitCode", "0")];
    let history = [("create", 0, &[][..]), ("start", 1, &[]), ("die", 3, code), ("die", 40, code), ("start", 5, &[])];
    let once = Imported::sound("docker-events", container(&history));
    let twice = Imported::sound("docker-events", container(&[history, history].concat()));
    assert_eq!(twice.events(), once.events());
    assert_eq!(twice.run()["status"], "Started");
}
