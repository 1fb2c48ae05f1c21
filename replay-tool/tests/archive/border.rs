//! Runs with entries both in what was archived and in what stays.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json as value};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, Digest, StartMode};

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

#[test]
fn tables_know_the_run_of_an_attempt_that_stays() {
    let border = Border::restarted();
    let attempts = json(&border.data, &["sql", "SELECT name, attempt, exit_code FROM attempts"]);
    assert_eq!(attempts, value!([{"name": "build", "attempt": 2, "exit_code": 3}]));
    let labels = json(&border.data, &["sql", "SELECT run, key, value FROM labels"]);
    assert_eq!(labels, value!([{"run": border.run, "key": "team", "value": "infra"}]));
    let codes = json(&border.data, &["audit", "exit-codes"]);
    assert_eq!((&codes[0]["label"], &codes[0]["ending"]), (&value!("infra"), &value!("code 3")), "{codes}");
}

/// Two attempts are open where the archive ends: one waits with a deadline and an armed snapshot, of the other a snapshot is
/// being taken. Both are over in what stays, together with all the other runs.
struct Open {
    _dir: tempfile::TempDir,
    data: PathBuf,
    /// The last position that was archived, and the last one in which all was as where the archive ends.
    last: u64,
    still: u64,
}

impl Open {
    fn made() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut commands = Vec::new();
        for (run, attempt) in [(1, 10), (2, 20)] {
            let mine = claim(ids::run(run), attempt, "r1");
            let mut build = spec(&format!("build-{run}"));
            build.labels = [("team".to_owned(), "infra".to_owned())].into();
            let start = Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh };
            let wait = Action::Wait { claim: mine.clone(), on: "input".to_owned(), deadline: Some(at(700)) };
            let arm = Action::ScheduleSnapshot {
                claim: mine,
                snapshot: ids::snapshot(run),
                due: at(if run == 1 { 500 } else { 0 }),
            };
            commands.extend([Action::Create { spec: Arc::new(build) }, start, wait, arm].map(|action| (run, action)));
        }
        commands.push((2, Action::DispatchSnapshot { snapshot: ids::snapshot(2) }));
        for run in 20..60 {
            commands.push((run, Action::Create { spec: Arc::new(spec("other")) }));
            commands.push((run, Action::Destroy { force: true, why: "done with".to_owned() }));
        }
        let taken = Action::CompleteSnapshot {
            snapshot: ids::snapshot(2),
            location: "store/2".to_owned(),
            bytes: 7,
            digest: Digest([7; 32]),
        };
        // A name that was taken where the archive ends, and is free again behind it.
        commands.push((3, Action::Create { spec: Arc::new(spec("build-1")) }));
        let still = commands.len() as u64 + 1;
        commands.extend([(1, exit(1, 10, 4)), (2, taken), (2, exit(2, 20, 5)), (1, exit(1, 10, 6))]);
        let numbered = (1..).zip(commands).map(|(number, (run, action))| numbered(number, ids::run(run), action));
        submit(&data, 0, &numbered.collect::<Vec<_>>());
        let last = json(&data, &["archive", "--before", "1d", "--apply"])["last"].as_u64().unwrap();
        assert!((20..still).contains(&last), "the ends stay, and the beginnings do not: {last}");
        Self { _dir: dir, data, last, still }
    }

    fn asked(&self, sql: &str) -> Value {
        json(&self.data, &["sql", sql])
    }
}

#[test]
fn tables_know_an_attempt_that_was_open_where_the_archive_ends() {
    let open = Open::made();
    let attempts = "SELECT name, attempt_id, attempt, runner, cause, started, began_position, began_at_us, exit_code, \
                    ended_position FROM attempts ORDER BY name";
    let row = |run: u64, attempt: u64, code: i32, ended: u64| {
        value!({
            "name": format!("build-{run}"), "attempt_id": ids::attempt(attempt).to_string(), "attempt": 1, "runner": "r1",
            "cause": "fresh", "started": 1, "began_position": null, "began_at_us": null, "exit_code": code,
            "ended_position": ended,
        })
    };
    let told = value!([row(1, 10, 4, open.still + 1), row(2, 20, 5, open.still + 3)]);
    assert_eq!(open.asked(attempts), told);
    // The same by the run's own entries alone.
    let alone = json(&open.data, &["sql", attempts, "--run", &ids::run(1).to_string()]);
    assert_eq!(alone, value!([told[0]]));
    let codes = json(&open.data, &["audit", "exit-codes"]);
    assert_eq!((&codes[0]["label"], &codes[0]["ending"]), (&value!("infra"), &value!("code 4")), "{codes}");
}

#[test]
fn tables_know_a_snapshot_and_a_timer_from_before_the_archive_ends() {
    let open = Open::made();
    let snapshots = "SELECT snapshot, run, attempt_id, runner, due_us, armed_position, armed_at, fate, canceled_because, \
                     location, late_us FROM snapshots ORDER BY run";
    let row = |run: u64, attempt: u64, of: [Value; 5]| {
        let [runner, due_us, fate, canceled_because, location] = of;
        value!({
            "snapshot": ids::snapshot(run).to_string(), "run": ids::run(run).to_string(),
            "attempt_id": ids::attempt(attempt).to_string(), "runner": runner, "due_us": due_us, "armed_position": null,
            "armed_at": null, "fate": fate, "canceled_because": canceled_because, "location": location, "late_us": null,
        })
    };
    let due = value!(at(500).as_micros());
    let armed = row(1, 10, [value!("r1"), due.clone(), value!("canceled"), value!("run_ended"), Value::Null]);
    let taken = row(2, 20, [Value::Null, Value::Null, value!("taken"), Value::Null, value!("store/2")]);
    assert_eq!(open.asked(snapshots), value!([armed, taken]));

    let timers = "SELECT run, kind, snapshot, attempt_id, runner, due_us, armed_position, armed_at FROM timers \
                  ORDER BY run, kind";
    assert_eq!(open.asked(timers), value!([]), "all of them ended");
    let row = |run: u64, kind: &str, snapshot: Value, attempt: Value, due: u64| {
        value!({
            "run": ids::run(run).to_string(), "kind": kind, "snapshot": snapshot, "attempt_id": attempt, "runner": "r1",
            "due_us": at(due).as_micros(), "armed_position": null, "armed_at": null,
        })
    };
    let deadline = |run, attempt| row(run, "deadline", Value::Null, value!(ids::attempt(attempt).to_string()), 700);
    let snapshot = row(1, "snapshot", value!(ids::snapshot(1).to_string()), Value::Null, 500);
    let before = open.still.to_string();
    assert_eq!(
        json(&open.data, &["sql", timers, "--at", &before]),
        value!([deadline(1, 10), snapshot, deadline(2, 20)]),
        "archived up to {}, asked as of {before}",
        open.last
    );
}

#[test]
fn what_stays_is_decided_again_on_the_runs_as_they_were_where_the_archive_ends() {
    let (open, restarted, refused) = (Open::made(), Border::restarted(), Border::refused());
    for (data, of_refused) in [(&open.data, 2), (&restarted.data, 1), (&refused.data, 1)] {
        let stay = "SELECT count(command_id) AS n, count(reason) AS refused FROM entries";
        let stay = json(data, &["sql", stay]);
        let rechecked = json(data, &["recheck"]);
        assert_eq!((&rechecked["undecided"], &rechecked["differing"]), (&value!(0), &value!(0)), "{rechecked}");
        assert_eq!(rechecked["decided"], stay[0]["n"], "{rechecked}");
        assert_eq!((&rechecked["refused"], &stay[0]["refused"]), (&value!(of_refused), &value!(of_refused)));
    }
}

#[test]
fn exports_hold_what_the_tables_do() {
    let open = Open::made();
    let (parquet, sqlite) = (open.data.with_file_name("tables"), open.data.with_file_name("tables.sqlite"));
    let exported = json(&open.data, &["export", "--parquet", parquet.to_str().unwrap()]);
    json(&open.data, &["export", "--sqlite", sqlite.to_str().unwrap()]);
    let database = rusqlite::Connection::open(&sqlite).unwrap();
    for (table, what, rows) in [
        ("labels", "count(*) || group_concat(DISTINCT run)", 2),
        ("attempts", "count(*) || sum(began_position IS NULL)", 2),
        ("snapshots", "count(*) || sum(armed_position IS NULL) || sum(due IS NULL)", 2),
    ] {
        let sql = format!("SELECT {what} AS told, count(*) AS rows FROM {table}");
        let asked = open.asked(&sql);
        let (told, count) =
            database.query_row(&sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
        assert_eq!(asked, value!([{"told": told, "rows": count}]), "{table}");
        assert_eq!(count, rows, "{table}");
    }
    let written = exported["tables"].as_array().unwrap().iter().map(|table| (&table["table"], table["rows"].as_u64()));
    let named: Vec<_> =
        written.filter(|(table, _)| ["labels", "snapshots", "attempts"].iter().any(|name| *table == name)).collect();
    assert_eq!(named.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [Some(2); 3], "{exported}");
}
