//! Two runs side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tachograph_engine::domain::testing::{command, ids};
use tachograph_engine::domain::{
    Action, AttemptId, Claim, Event, Exit, ExitStatus, Failure, FailureKind, RunId, RunSpec, RunnerId, StartMode,
    Witness, Workload,
};
use tachograph_engine::domain::{Committed, Entry, EntryBody, Position, Refused, RefusedCommand, Version};
use tachograph_replay::cli::CompareArgs;
use tachograph_replay::compare;
use tachograph_replay::comparison::{CANDIDATES_MAX, Comparison, RowKind, Side, StepName, steps};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;

use crate::every;
use crate::kept::{dataset, run};
use crate::made::{BUILD, LOUD, NEVER, NIGHTLY, START};
use crate::recorded::{Recorded, Supervisor};

fn told_as(recorded: &Recorded, format: Format, left: &str, right: Option<&str>) -> Result<String, Error> {
    let (run, other) = (left.to_owned(), right.map(str::to_owned));
    let args = CompareArgs { run, nearest: other.is_none(), other, expect_code: 0 };
    recorded.printed(format, async |reading| compare::compare(reading, &args).await)
}

fn told(recorded: &Recorded, left: &str, right: Option<&str>) -> Value {
    serde_json::from_str(&told_as(recorded, Format::Json, left, right).unwrap()).unwrap()
}

fn kinds(comparison: &Value) -> Vec<&str> {
    comparison["rows"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect()
}

/// A run that was created as asked, and an attempt of it.
async fn begun(supervisor: &Supervisor, spec: RunSpec) -> Claim {
    let run = RunId::from_ulid(supervisor.engine.mint());
    supervisor.does(run, Action::Create { spec: Arc::new(spec) }).await;
    let claim = Claim {
        run,
        attempt: AttemptId::from_ulid(supervisor.engine.mint()),
        runner: RunnerId::from(format!("host/{run}").as_str()),
    };
    start(supervisor, &claim, StartMode::Fresh).await;
    claim
}

async fn start(supervisor: &Supervisor, claim: &Claim, mode: StartMode) {
    let (attempt, runner) = (claim.attempt, claim.runner.clone());
    supervisor.does(claim.run, Action::Start { attempt, runner, mode }).await;
}

async fn exit(supervisor: &Supervisor, claim: &Claim, code: i32) {
    let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
    supervisor.does(claim.run, Action::Exit { claim: claim.clone(), exit }).await;
}

fn spec(name: Option<&str>, program: &str, labels: &[(&str, &str)]) -> RunSpec {
    let labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let workload = Workload::Command { argv: vec![program.to_owned()], cwd: None };
    RunSpec { name: name.map(str::to_owned), labels, workload, ..RunSpec::default() }
}

#[test]
fn runs_that_did_the_same_have_no_divergence_whatever_their_ids_and_times_are() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        for (name, seconds) in [("build-1", 1), ("build-2", 61)] {
            let claim = begun(&supervisor, spec(Some(name), "make", &[])).await;
            supervisor.passes(seconds);
            exit(&supervisor, &claim, 0).await;
            supervisor.passes(5);
        }
        supervisor.engine.close().await.unwrap();
    });
    let comparison = told(&recorded, "build-1", Some("build-2"));
    assert_eq!(kinds(&comparison), ["same", "same", "same"], "{comparison:#}");
    assert_eq!((&comparison["similarity"], &comparison["first_divergence"]), (&json!(1.0), &Value::Null));
    assert_eq!(comparison["rows"][2]["slower_us"], json!(60_000_000));
    assert_eq!(comparison["rows"][2]["right"]["offset_us"], json!(61_000_000));
    assert_eq!((&comparison["nearest"], &comparison["is_best"]), (&Value::Null, &json!(true)));
    let text = told_as(&recorded, Format::Text, "build-1", Some("build-2")).unwrap();
    assert!(text.contains("no divergence") && text.contains("similarity 1.000") && text.contains("+1m00s"), "{text}");
}

/// A failed attempt more, a refused report, and another exit code.
async fn one_that_parted(recorded: &Recorded) {
    let supervisor = recorded.open().await;
    let good = begun(&supervisor, spec(Some("good"), "make", &[])).await;
    exit(&supervisor, &good, 0).await;
    let bad = begun(&supervisor, spec(Some("bad"), "make", &[])).await;
    let failure =
        Failure { kind: FailureKind::TimedOut, message: "too long".to_owned(), diagnostics: Default::default() };
    supervisor.does(bad.run, Action::Fail { claim: bad.clone(), failure }).await;
    let again = Claim { attempt: AttemptId::from_ulid(supervisor.engine.mint()), ..bad.clone() };
    start(&supervisor, &again, StartMode::Restart { previous: bad.attempt }).await;
    let late = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
    supervisor.refuses("late", bad.run, Action::Exit { claim: bad, exit: late }).await;
    exit(&supervisor, &again, 7).await;
    supervisor.engine.close().await.unwrap();
}

#[test]
fn what_one_run_has_and_the_other_lacks_or_has_otherwise_is_named() {
    let recorded = Recorded::new();
    run(one_that_parted(&recorded));
    let comparison = told(&recorded, "good", Some("bad"));
    let names: Vec<_> = comparison["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["kind"].as_str().unwrap(), row["step"].as_str().unwrap(), row["is_transition"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        names,
        [
            ("same", "Created", true),
            ("same", "Started", true),
            ("only_right", "Failed", true),
            ("only_right", "Started", true),
            ("only_right", "Refused", false),
            ("differs", "Exited", true),
        ]
    );
    assert_eq!(comparison["first_divergence"], json!(2));
    assert_eq!(
        comparison["rows"][5]["differences"],
        json!([
            {"field": "attempt", "left": "1", "right": "2"},
            {"field": "exit", "left": "code 0", "right": "code 7"},
        ])
    );
    let text = told_as(&recorded, Format::Text, "good", Some("bad")).unwrap();
    for words in [
        "first divergence: the left run has no Failed as right position 7: attempt 1 failed: timed_out: too long",
        "exit: left code 0, right code 7",
        "why [stale_attempt]",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The mirror image.
    let mirrored = kinds(&told(&recorded, "bad", Some("good"))).join(" ");
    assert_eq!(mirrored, "same same only_left only_left only_left differs");
    let text = told_as(&recorded, Format::Text, "bad", Some("good")).unwrap();
    assert!(text.contains("first divergence: the right run has no Failed as left position 7"), "{text}");
}

#[test]
fn the_nearest_healthy_run_is_found_by_what_it_did() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        // Healthy, of the same command, and like the one that is asked about in all but its end.
        let retried = begun(&supervisor, spec(Some("job-1"), "make", &[])).await;
        exit(&supervisor, &retried, 1).await;
        let again = Claim { attempt: AttemptId::from_ulid(supervisor.engine.mint()), ..retried.clone() };
        start(&supervisor, &again, StartMode::Restart { previous: retried.attempt }).await;
        exit(&supervisor, &again, 0).await;
        for (name, program, labels, code) in [
            (Some("job-2"), "make", &[][..], 0),
            (Some("stranger"), "true", &[], 0),
            (None, "true", &[("team", "infra")], 0),
            (Some("job-3"), "make", &[], 1),
        ] {
            let claim = begun(&supervisor, spec(name, program, labels)).await;
            exit(&supervisor, &claim, code).await;
        }
        let ill = begun(&supervisor, spec(Some("job-4"), "make", &[("team", "infra")])).await;
        exit(&supervisor, &ill, 1).await;
        let again = Claim { attempt: AttemptId::from_ulid(supervisor.engine.mint()), ..ill.clone() };
        start(&supervisor, &again, StartMode::Restart { previous: ill.attempt }).await;
        exit(&supervisor, &again, 1).await;
        supervisor.engine.close().await.unwrap();
    });
    let comparison = told(&recorded, "job-4", None);
    assert_eq!(comparison["right"]["name"], "job-1", "{comparison:#}");
    assert_eq!(comparison["nearest"], json!({"kinship": "command", "fitting": 3, "looked_at": 3}));
    assert_eq!(comparison["similarity"], json!(0.9));
    assert_eq!(kinds(&comparison), ["same", "same", "same", "same", "differs"]);
    let text = told_as(&recorded, Format::Text, "job-4", None).unwrap();
    assert!(text.contains("looked at: 3 of 3 that fit; it has the same command\n"), "{text}");
    let args = CompareArgs { run: "stranger".to_owned(), other: None, nearest: true, expect_code: 3 };
    let none = recorded.printed(Format::Text, async |reading| compare::compare(reading, &args).await).unwrap_err();
    assert_eq!((none.code(), none.exit_code()), ("no_healthy_run", 3), "{none}");
}

#[test]
fn kin_is_told_by_command_name_family_and_labels() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        for (name, program, labels) in [
            (Some("nightly"), "make", &[][..]),
            (Some("nightly-7"), "x", &[]),
            (Some("nightly"), "y", &[]),
            (Some("other"), "z", &[("team", "infra")]),
        ] {
            let claim = begun(&supervisor, spec(name, program, labels)).await;
            exit(&supervisor, &claim, 0).await;
        }
        for (name, program, labels) in [
            ("nightly", "make", &[][..]),
            ("elsewhere", "make", &[]),
            ("nightly-12", "w", &[]),
            ("unlike", "v", &[("team", "infra")]),
            ("nightly-99", "y", &[]),
        ] {
            let claim = begun(&supervisor, spec(Some(name), program, labels)).await;
            exit(&supervisor, &claim, 5).await;
        }
        supervisor.engine.close().await.unwrap();
    });
    let kinship = |name: &str| {
        let comparison = told(&recorded, name, None);
        comparison["nearest"]["kinship"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        ["nightly", "elsewhere", "nightly-12", "unlike", "nightly-99"].map(kinship),
        ["command_and_name", "command", "name_family", "label", "command"]
    );
}

#[test]
fn only_so_many_candidates_are_looked_at_the_newest_of_the_nearest_kin() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        for number in 0..CANDIDATES_MAX + 3 {
            let claim = begun(&supervisor, spec(Some(&format!("job-{number}")), "make", &[])).await;
            exit(&supervisor, &claim, 0).await;
        }
        let claim = begun(&supervisor, spec(Some("ill"), "make", &[])).await;
        exit(&supervisor, &claim, 1).await;
        supervisor.engine.close().await.unwrap();
    });
    let comparison = told(&recorded, "ill", None);
    let (fitting, looked_at) = (CANDIDATES_MAX + 3, CANDIDATES_MAX);
    assert_eq!(comparison["nearest"], json!({"kinship": "command", "fitting": fitting, "looked_at": looked_at}));
    assert_eq!(comparison["right"]["name"], format!("job-{}", CANDIDATES_MAX + 2), "of equals the newest");
}

#[test]
fn a_run_that_was_never_created_is_no_run_to_compare_with() {
    let unknown = run(async { dataset().compare(BUILD, NEVER).await.unwrap_err() });
    assert_eq!(unknown.code(), "unknown_run");
    let comparison = run(async { dataset().compare(NIGHTLY, LOUD).await.unwrap() });
    let kinds: Vec<_> = comparison.alignment.rows.iter().map(|row| comparison.kind(*row)).collect();
    assert!(kinds.contains(&RowKind::OnlyLeft), "{kinds:?}");
}

/// Every event and every refusal is a step of its own kind, with what belongs to it and nothing that two runs cannot share.
#[test]
fn everything_is_a_step() {
    let body = |number: u64, event: Event| {
        let command = command(ids::run(number), Action::Destroy { force: true, why: "x".to_owned() });
        EntryBody::Committed(Committed { command, version: Version(1), events: vec![event] })
    };
    let entry = |position, body| Entry {
        id: ids::entry(position),
        position: Position(position),
        recorded_at: START,
        previous: None,
        body,
    };
    let events = every::events();
    let entries: Vec<_> = events.iter().cloned().zip(1..).map(|(event, at)| entry(at, body(1, event))).collect();
    let found = steps(&entries);
    assert_eq!(found.len(), events.len());
    for (step, event) in found.iter().zip(&events) {
        assert_eq!(step.key.name, StepName::Event(event.name()));
        assert_eq!(step.is_transition(), event.leads_to().is_some());
        let shown = format!("{:?}", step.key);
        assert!(!shown.contains("0000000000"), "an id is compared: {shown}");
    }
    let refusals = every::refusals().into_iter().zip(1..).map(|(refusal, at)| {
        let command = command(ids::run(1), Action::Destroy { force: true, why: "x".to_owned() });
        let command = RefusedCommand::keep(command, &refusal);
        entry(at, EntryBody::Refused(Refused { command, refusal, count: 1 }))
    });
    for (step, refusal) in steps(&refusals.collect::<Vec<_>>()).iter().zip(every::refusals()) {
        assert!(matches!(step.key.name, StepName::Refused { code, .. } if code == refusal.code()), "{step:?}");
    }
    let same = Comparison::of(Side::of(ids::run(1), &entries), Side::of(ids::run(1), &entries));
    assert_eq!((same.first_divergence(), same.similarity()), (None, 1.0));
}
