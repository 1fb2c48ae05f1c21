//! Runs with entries both in what was archived and in what stays.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json as value};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, StartMode};

use crate::support::{at, exit, failure, json, numbered, submit, told};

/// What a run of attempt 10 goes through before it is archived, and what comes after.
struct Border {
    _dir: tempfile::TempDir,
    data: PathBuf,
    bundle: String,
    last: u64,
    run: String,
}

impl Border {
    /// A late report, a restart as attempt 11, and its exit with code 3 stay.
    fn restarted() -> Self {
        let run = ids::run(1);
        let mode = StartMode::Restart { previous: ids::attempt(10) };
        let restart = Action::Start { attempt: ids::attempt(11), runner: "r1".into(), mode };
        Self::with(vec![exit(1, 10, 9), restart, exit(1, 11, 3)].into_iter().map(|action| (run, action)).collect())
    }

    /// Only a late report stays.
    fn refused() -> Self {
        Self::with(vec![(ids::run(1), exit(1, 10, 9))])
    }

    fn with(after: Vec<(tachograph_engine::domain::RunId, Action)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let (run, mine) = (ids::run(1), claim(ids::run(1), 10, "r1"));
        let mut build = spec("build");
        build.labels = [("team".to_owned(), "infra".to_owned())].into();
        let start = Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh };
        let arm = Action::ScheduleSnapshot { claim: mine.clone(), snapshot: ids::snapshot(1), due: at(500) };
        let wait = Action::Wait { claim: mine, on: "input".to_owned(), deadline: None };
        let mut life: Vec<_> = [Action::Create { spec: Arc::new(build) }, start, wait, arm, exit(1, 10, 0)]
            .into_iter()
            .map(|action| (run, action))
            .collect();
        for number in 20..60 {
            let run = ids::run(number);
            life.push((run, Action::Create { spec: Arc::new(spec("other")) }));
            life.push((run, Action::Destroy { force: true, why: "done with".to_owned() }));
        }
        let number = |first: u64, life: Vec<_>| -> Vec<_> {
            life.into_iter().zip(first..).map(|((run, action), number)| numbered(number, run, action)).collect()
        };
        submit(&data, 0, &number(1, life));
        let done = json(&data, &["archive", "--before", "1d", "--apply"]);
        let bundle = PathBuf::from(done["bundle"].as_str().unwrap());
        let bundle = bundle.file_name().unwrap().to_str().unwrap().to_owned();
        submit(&data, 5_000, &number(9_001, after));
        Self { _dir: dir, data, bundle, last: done["last"].as_u64().unwrap(), run: run.to_string() }
    }
}

fn kinds(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect()
}

fn is_of(archived: &Value, border: &Border) {
    assert!(archived["bundle"].as_str().unwrap().contains(&border.bundle), "{archived}");
    assert_eq!((&archived["up_to"], &archived["status"]), (&value!(border.last), &value!("Exited")));
}

#[test]
fn a_timeline_begins_with_where_the_rest_is() {
    for (border, status, then) in [
        (Border::restarted(), "Exited", vec!["archived", "system", "system", "refused", "event", "event"]),
        (Border::refused(), "Exited", vec!["archived", "system", "system", "refused"]),
    ] {
        let timeline = json(&border.data, &["timeline", &border.run]);
        assert_eq!((&timeline["name"], &timeline["status"]), (&value!("build"), &value!(status)), "{timeline}");
        assert_eq!(kinds(&timeline["items"]), then, "{timeline}");
        is_of(&timeline["items"][0]["archived"], &border);
        let text = told(&border.data, &["timeline", &border.run]);
        assert!(text.contains(&format!("archived up to position {}", border.last)), "{text}");
        for untrue in ["never created", "COULD NOT BE READ", "CHANGED NOTHING"] {
            assert!(!text.contains(untrue), "{untrue}: {text}");
        }
    }
}

#[test]
fn an_account_begins_with_where_the_rest_is() {
    for (border, then) in [
        (Border::restarted(), vec!["state", "archived", "refused", "started", "exited", "not_destroyed"]),
        (Border::refused(), vec!["archived", "refused", "not_destroyed"]),
    ] {
        let account = json(&border.data, &["why", &border.run]);
        assert_eq!((&account["name"], &account["status"]), (&value!("build"), &value!("Exited")), "{account}");
        let kinds = kinds(&account["sentences"]);
        let own: Vec<_> =
            kinds.iter().filter(|kind| !kind.starts_with("journal_") && **kind != "supervisor_down").copied().collect();
        assert_eq!(own, then, "{account}");
        assert!(kinds.contains(&"journal_opened"), "{account}");
        let archived =
            &account["sentences"].as_array().unwrap()[then.iter().position(|kind| *kind == "archived").unwrap()];
        is_of(&archived["archived"], &border);
        let changes = account["sentences"].as_array().unwrap().iter().filter_map(|told| told["applied"].as_bool());
        assert!(changes.into_iter().all(|applied| applied), "{account}");
        let text = told(&border.data, &["why", &border.run]);
        assert!(!text.contains("never created") && !text.contains("COULD NOT"), "{text}");
    }
    let border = Border::restarted();
    let (state, run) = (json(&border.data, &["why", &border.run]), &border.run);
    let standing = &state["sentences"][0]["standing"];
    assert_eq!((&standing["attempts"], &standing["refusals"]), (&value!(2), &value!(1)), "{state}");
    let before = (border.last + 1).to_string();
    let (code, id, message) = failure(&border.data, &["why", run, "--at", &before]);
    assert_eq!((code, id.as_str()), (2, "archived"), "{message}");
}

#[test]
fn a_snapshot_that_may_be_archived_is_said_to_be() {
    let border = Border::restarted();
    let snapshot = ids::snapshot(1).to_string();
    for asked in [border.run.as_str(), "build", &snapshot] {
        let (code, id, message) = failure(&border.data, &["why-timer", asked]);
        assert_eq!((code, id.as_str()), (2, "archived"), "{asked}: {message}");
        assert!(message.contains(&border.bundle) && message.contains("--data"), "{message}");
    }
    let (code, id, _) = failure(&border.data, &["why-timer", "biuld"]);
    assert_eq!((code, id.as_str()), (3, "unknown_snapshot"));
}
