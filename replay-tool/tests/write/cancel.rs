use serde_json::{Value, json};
use tachograph_adapters::journal::{FileJournal, JournalOptions};

use super::planted::{Planted, RUNNER};
use super::support::{Finished, Place};

const UNCONDITIONAL: &[&str] = &["--unconditional"];

fn cancel(place: &Place, run: &str, guard: &[&str]) -> Finished {
    place.finish([&["cancel-snapshot", run], guard].concat())
}

fn cancel_json(place: &Place, run: &str, guard: &[&str]) -> (Option<i32>, Value) {
    let finished = place.finish([&["--format", "json", "cancel-snapshot", run], guard].concat());
    (finished.code, serde_json::from_str(&finished.stdout).unwrap())
}

#[test]
fn without_a_supervisor_the_cancel_is_written_to_the_journal_and_nothing_else_happens_to_the_run() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let (run, snapshot) = planted.armed("build");
    let (other, other_snapshot) = planted.armed("other");
    planted.close();
    let head = place.entries().len();
    let finished = cancel(&place, "build", &["--runner", RUNNER]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    // Before it stands that the journal was opened.
    let position = head + 2;
    assert_eq!(
        finished.stdout,
        format!(
            "snapshot {snapshot} of run {run} canceled at position {position}\n\
             nobody supervises this data directory: the next supervisor records what became of the run\n"
        )
    );
    assert_eq!(place.entries().len(), head + 3, "opened, canceled, closed");
    let (code, view) = cancel_json(&place, &other.to_string(), UNCONDITIONAL);
    assert_eq!(code, Some(0));
    assert_eq!(
        view,
        json!({
            "run": other.to_string(), "outcome": "canceled", "snapshot": other_snapshot.to_string(),
            "position": head + 5, "supervised": false,
        })
    );
    place.assert_closed_cleanly();
    let timeline = place.finish(["timeline", "build"]).stdout;
    assert!(timeline.contains(&format!("snapshot {snapshot} canceled: runner {RUNNER} asked for it")), "{timeline}");
    assert!(timeline.contains("operator:") && !timeline.contains("failed"), "{timeline}");
}

#[test]
fn a_cancel_that_is_refused_exits_with_5_says_what_to_do_and_stands_in_the_timeline() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.armed("armed");
    planted.dispatched("dispatched");
    planted.created("idle");
    planted.close();
    for (run, guard, code, help) in [
        ("armed", &["--runner", "vm-8"][..], "not_owner", "let its own runner cancel it"),
        ("dispatched", UNCONDITIONAL, "already_dispatched", "wait for the result"),
        ("idle", UNCONDITIONAL, "nothing_pending", "there is no snapshot to cancel"),
    ] {
        let finished = cancel(&place, run, guard);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(5), ""), "{}", finished.stderr);
        assert!(finished.stderr.starts_with(&format!("tacho: error[{code}]: refused: ")), "{}", finished.stderr);
        assert!(finished.stderr.contains("\n  help: ") && finished.stderr.contains(help), "{}", finished.stderr);
        let (exit, view) = cancel_json(&place, run, guard);
        assert_eq!((exit, &view["outcome"], &view["snapshot"]), (Some(5), &code.into(), &Value::Null));
        let timeline: Value =
            serde_json::from_str(&place.finish(["--format", "json", "timeline", run]).stdout).unwrap();
        let items = timeline["items"].as_array().unwrap();
        let refused = items.iter().find(|item| item["position"] == view["position"]).unwrap();
        assert_eq!((&refused["kind"], &refused["refusal"]["code"]), (&"refused".into(), &code.into()));
        let actor = &refused["command"]["actor"];
        assert_eq!(actor["kind"], "operator");
        assert!(actor["id"].as_str().unwrap().contains('@'), "{actor}");
    }
    let not_owner = cancel(&place, "armed", &["--runner", "vm-8"]).stderr;
    assert!(not_owner.contains(&format!("armed by runner {RUNNER:?}")), "{not_owner}");
}

#[test]
fn exactly_one_guard_must_be_named_and_an_empty_one_is_none() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.armed("build");
    planted.close();
    let before = place.entries();
    for (guard, message) in [
        (&[][..], "<--runner <RUNNER>|--unconditional>"),
        (&["--runner", RUNNER, "--unconditional"], "cannot be used with"),
        (&["--runner", ""], "names no runner"),
        (&["--runner"], "a value is required for '--runner <RUNNER>'"),
    ] {
        let finished = cancel(&place, "build", guard);
        assert_eq!(finished.code, Some(2), "{guard:?}");
        assert!(finished.stderr.contains(message), "{guard:?}: {}", finished.stderr);
    }
    assert_eq!(cancel(&place, "biuld", UNCONDITIONAL).code, Some(3));
    assert_eq!(place.entries(), before, "nothing was asked");
    let empty = Place::new();
    assert_eq!(cancel(&empty, "build", UNCONDITIONAL).code, Some(6));
    assert!(!empty.data().exists());
}

#[test]
fn a_writer_that_does_not_listen_is_named() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.armed("build");
    planted.close();
    let holder = FileJournal::open(&place.data(), JournalOptions::default()).unwrap();
    let finished = place.finish_at_once(["cancel-snapshot", "build", "--unconditional"]);
    assert_eq!(finished.code, Some(8), "{}", finished.stderr);
    let pid = std::process::id();
    assert!(finished.stderr.starts_with("tacho: error[locked]: "), "{}", finished.stderr);
    let socket = place.data().join("control.sock");
    assert!(finished.stderr.contains(&format!("pid {pid} ")), "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("does not listen at {}", socket.display())), "{}", finished.stderr);
    drop(holder);
}
