//! What was true at a point, what differs between two, and when something became true.

use std::path::Path;

use serde_json::Value;
use tachograph_engine::domain::Position;
use tachograph_replay::cli::{BisectArgs, DiffArgs, StateArgs};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;
use tachograph_replay::when::AsOf;
use tachograph_replay::{bisect, diff, state};

use crate::binary::{copy, made, ran, stderr, stdout, tacho};
use crate::golden::check;
use crate::kept::printed;
use crate::made::{BUILD, BUILD_AGAIN, NEVER};

fn at(position: u64) -> Option<AsOf> {
    Some(AsOf::Position(Position(position)))
}

fn both(name: &str, command: impl AsyncFn(&mut tachograph_replay::output::Reading) -> Result<(), Error>) {
    let json = printed(Format::Json, async |reading| command(reading).await).unwrap();
    check(&format!("{name}.json"), &json);
    let text = printed(Format::Text, async |reading| command(reading).await).unwrap();
    check(&format!("{name}.txt"), &text);
}

#[test]
fn a_fleet_is_shown_at_a_point() {
    for (name, args) in [
        ("state", StateArgs { at: at(19), ..StateArgs::default() }),
        ("state-all", StateArgs { at: at(17), all: true, ..StateArgs::default() }),
        ("state-run", StateArgs { at: at(19), run: Some(BUILD_AGAIN.to_owned()), ..StateArgs::default() }),
        ("state-none", StateArgs { at: at(0), ..StateArgs::default() }),
    ] {
        both(name, async |reading| state::show(reading, &args).await);
    }
}

#[test]
fn a_run_that_did_not_exist_then_is_told() {
    let args = StateArgs { at: at(5), run: Some(BUILD_AGAIN.to_owned()), ..StateArgs::default() };
    let error = printed(Format::Text, async |reading| state::show(reading, &args).await).unwrap_err();
    assert!(matches!(error, Error::NotYet { .. }), "{error}");
    let args = StateArgs { run: Some("nightly".to_owned()), ..args };
    let by_name = printed(Format::Text, async |reading| state::show(reading, &args).await).unwrap_err();
    assert!(matches!(by_name, Error::NotYet { .. }), "{by_name}");
    let args = StateArgs { run: Some("nobody".to_owned()), ..args };
    let nobody = printed(Format::Text, async |reading| state::show(reading, &args).await).unwrap_err();
    assert!(matches!(nobody, Error::UnknownRun { .. }), "{nobody}");
}

#[test]
fn two_points_are_compared() {
    for (name, a, b) in [("diff", "14", "25"), ("diff-back", "25", "14"), ("diff-none", "31", "31")] {
        let args = DiffArgs { a: a.parse().unwrap(), b: b.parse().unwrap() };
        both(name, async |reading| diff::compare(reading, &args).await);
    }
}

fn bisected(when: &str) -> BisectArgs {
    BisectArgs { when: when.to_owned(), from: None, to: None }
}

#[test]
fn it_is_told_when_something_became_true() {
    let build_again = format!("run(\"{BUILD_AGAIN}\").snapshot.state = \"dispatched\"");
    for (name, args) in [
        ("bisect-scan", bisected("count(status = \"Failed\") >= 1")),
        ("bisect-history", bisected(&build_again)),
        ("bisect-never", bisected("count(labels.team = \"nobody\") > 0")),
        ("bisect-already", BisectArgs { from: at(20), ..bisected("any(timers > 0)") }),
    ] {
        both(name, async |reading| bisect::find(reading, &args).await);
    }
}

#[test]
fn what_cannot_be_meant_is_told_with_its_column() {
    let (_dir, data) = made();
    for (arguments, code, parts) in [
        (
            &["bisect", "--when", "count(stauts = \"Failed\") > 1"][..],
            2,
            &["invalid_expression", "column 7", "`status`"][..],
        ),
        (&["bisect", "--when", "run(\"biuld\").attempt > 1"], 3, &["unknown_run", "\"biuld\"", "\"build\""]),
        (&["bisect", "--when", "any(ended)", "--from", "20", "--to", "10"], 2, &["invalid_input", "--from"]),
        (&["bisect"], 2, &["--when"]),
        (&["diff", "12", "2026-11-21T03:12"], 2, &["a position (1042)"]),
        (&["diff", "12", "./nowhere"], 6, &["no_journal", "nowhere"]),
        (&["state", "--all", "--run", "build"], 2, &["cannot be used with"]),
    ] {
        let output = ran(&data, arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

fn json(data: &Path, arguments: &[&str]) -> Value {
    let output = tacho(data).args(["--format", "json"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn two_directories_are_compared_without_a_journal_at_hand() {
    let (dir, data) = made();
    let copied = dir.path().join("copy@home");
    copy(&data, &copied);
    let (a, b) = (data.display().to_string(), copied.display().to_string());
    let nowhere = dir.path().join("nowhere");
    let same = json(&nowhere, &["diff", &a, &b]);
    assert_eq!((&same["first"], &same["runs"]), (&Value::Null, &Value::Array(Vec::new())));
    let earlier = json(&nowhere, &["diff", &format!("{a}@20"), &b]);
    assert_eq!((&earlier["common"], &earlier["first"]["position"]), (&20.into(), &21.into()));
    assert_eq!(earlier["first"]["a"], Value::Null);
    let mixed = json(&data, &["diff", "20", &format!("{b}@25")]);
    assert_eq!((&mixed["a"], &mixed["b"], &mixed["common"]), (&20.into(), &25.into(), &20.into()));
    let own = json(&data, &["diff", "20", "25"]);
    assert_eq!(mixed["runs"], own["runs"], "the same as between two points of one journal");
}

#[test]
fn the_binary_prints_what_the_library_does() {
    let (_dir, data) = made();
    let golden = |name: &str| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read/golden");
        serde_json::from_str::<Value>(&std::fs::read_to_string(dir.join(name)).unwrap()).unwrap()
    };
    assert_eq!(json(&data, &["state", "--at", "19"]), golden("state.json"));
    assert_eq!(json(&data, &["diff", "14", "25"]), golden("diff.json"));
    assert_eq!(json(&data, &["bisect", "--when", "count(status = \"Failed\") >= 1"]), golden("bisect-scan.json"));
    let never = json(&data, &["bisect", "--when", &format!("run(\"{BUILD}\").attempt > 99")]);
    assert_eq!(never["outcome"], "never");
    assert!(stderr(&ran(&data, &["state", "--at", "5", "--run", NEVER])).contains("unknown_run"));
}

#[test]
fn names_are_looked_up_in_one_pass_and_that_is_said() {
    let (_dir, data) = made();
    let named = "run(\"build\").attempt > 99 or run(\"nightly\").attempt > 99 or run(\"01KAJ2A\").attempt > 99";
    let why = |when: &str| json(&data, &["bisect", "--when", when])["why"].as_str().unwrap().to_owned();
    assert!(why(named).contains("one pass over 34 entries"), "{}", why(named));
    assert!(!why(&format!("run(\"{BUILD}\").attempt > 99")).contains("pass"));
}

#[test]
fn what_is_asked_for_may_begin_with_a_hyphen_or_beyond_the_end() {
    let (_dir, data) = made();
    let hyphen = ran(&data, &["bisect", "--when", "-1 < count()"]);
    assert_eq!(hyphen.status.code(), Some(0), "{}", stderr(&hyphen));
    let beyond = ran(&data, &["bisect", "--when", "any(ended)", "--from", "99999"]);
    assert!(stderr(&beyond).contains("position 99999 is beyond the end"), "{}", stderr(&beyond));
}

#[test]
fn examples_stand_on_one_line_each() {
    let (_dir, data) = made();
    for command in ["bisect", "whatif", "diff", "state"] {
        let help = stdout(&ran(&data, &[command, "--help"]));
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let is_whole = |line: &str| line.is_empty() || line.starts_with("  tacho ");
        assert!(examples.lines().all(is_whole), "{command}: {examples}");
    }
}
