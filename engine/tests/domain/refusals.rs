//! Input bounds, expected versions, and what every refusal says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tachograph_engine::domain::testing::{Given, claim, ids, spec};
use tachograph_engine::domain::{
    Action, ActionName, Actor, ActorKind, Command, Diagnostics, ExitStatus, Failure, FailureKind, Guard, Outcome,
    Refusal, RefusedCommand, RunSpec, RunnerId, StartMode, StatusName, Version, Workload, limits,
};

use super::stories::{
    ask, create, created, destroy, destroyed, exit, failure, mine, second, start, started, wait, waiting,
};

fn expecting(version: u64, command: Command) -> Command {
    Command { expected: Some(Version(version)), ..command }
}

#[test]
fn an_expected_version_is_the_exact_one() {
    let conflict = |actual| Refusal::VersionConflict { actual: Version(actual) };
    Given::nothing()
        .when(expecting(1, create()))
        .then_refusal(&conflict(0))
        .when(expecting(0, create()))
        .then_appended()
        .when(expecting(0, start(1, "r1", StartMode::Fresh)))
        .then_refusal(&conflict(1))
        .when(expecting(1, start(1, "r1", StartMode::Fresh)))
        .then_appended()
        .when(expecting(1, exit(mine(), ExitStatus::Code(0))))
        .then_refusal(&conflict(2));
}

#[test]
fn existence_comes_before_the_version_and_the_version_before_the_attempt() {
    Given::nothing().when(expecting(9, wait(mine()))).then_refused("unknown_run");
    destroyed().when(expecting(9, wait(mine()))).then_refused("run_destroyed");
    started().when(expecting(9, wait(claim(ids::run(1), 7, "r9")))).then_refused("version_conflict");
}

#[test]
fn a_claim_about_another_run_is_wrong_input_whatever_that_run_is() {
    started().when(wait(claim(ids::run(2), 1, "r1"))).then_refused("invalid_input");
}

/// The refusal of this command in a started run, as field and reason.
fn wrong(action: Action) -> (String, String) {
    match started().fleet().decide(&ask(action.clone())) {
        Err(Refusal::InvalidInput { field, why }) => (field, why),
        other => panic!("{action:?} gives {other:?}"),
    }
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes + 1)
}

#[test]
fn every_bounded_field_is_checked_and_named() {
    let message = || long(limits::MESSAGE_BYTES_MAX);
    let path = || long(limits::PATH_BYTES_MAX);
    let id = || RunnerId::new(long(limits::ACTOR_ID_BYTES_MAX));
    let (attempt, snapshot) = (ids::attempt(1), ids::snapshot(1));
    let unknown = ExitStatus::Unknown { cause: message() };
    let digest = tachograph_engine::domain::Digest::ZERO;
    let finding = tachograph_engine::domain::Finding::Lost;
    let cases = [
        ("runner", Action::Start { attempt, runner: id(), mode: StartMode::Fresh }),
        ("claim.runner", wait(claim(ids::run(1), 1, id().as_str())).action),
        ("on", Action::Wait { claim: mine(), on: message(), deadline: None }),
        ("exit.status.cause", exit(mine(), unknown.clone()).action),
        ("why", Action::Destroy { force: true, why: message() }),
        ("due", Action::ScheduleSnapshot { claim: mine(), snapshot, due: second(-1) }),
        ("guard.runner", Action::CancelSnapshot { guard: Guard::Runner(id()) }),
        ("location", Action::CompleteSnapshot { snapshot, location: path(), bytes: 0, digest }),
        ("message", Action::FailSnapshot { snapshot, message: message() }),
        ("status", Action::AmendExit { attempt, status: unknown, source: "x".to_owned() }),
        ("source", Action::AmendExit { attempt, status: ExitStatus::Code(0), source: path() }),
        ("detail", Action::Reconcile { attempt, finding, detail: message() }),
    ];
    for (field, action) in cases {
        let (named, why) = wrong(action);
        assert_eq!(named, field, "{why}");
    }
}

#[test]
fn every_part_of_a_failure_is_bounded() {
    let message = || long(limits::MESSAGE_BYTES_MAX);
    let lines = || vec![String::new(); limits::DIAGNOSTICS_MAX + 1];
    let with = |diagnostics| Failure { diagnostics, ..failure("x") };
    let facts = (0..=limits::DIAGNOSTICS_MAX).map(|n| (n.to_string(), String::new())).collect();
    let cases = [
        ("failure.kind", Failure { kind: FailureKind::Other(String::new()), ..failure("x") }),
        ("failure.message", failure(&message())),
        ("failure.diagnostics.alive", with(Diagnostics { alive: lines(), ..Diagnostics::default() })),
        (
            "failure.diagnostics.last_output",
            with(Diagnostics { last_output: vec![message()], ..Diagnostics::default() }),
        ),
        (
            "failure.diagnostics.likely_cause",
            with(Diagnostics { likely_cause: Some(message()), ..Diagnostics::default() }),
        ),
        ("failure.diagnostics.facts", with(Diagnostics { facts, ..Diagnostics::default() })),
        (
            "failure.diagnostics.facts",
            with(Diagnostics { facts: BTreeMap::from([("k".to_owned(), message())]), ..Diagnostics::default() }),
        ),
    ];
    for (field, failure) in cases {
        assert_eq!(wrong(Action::Fail { claim: mine(), failure }).0, field);
    }
}

#[test]
fn every_part_of_a_spec_is_bounded() {
    let label = |key: &str, value: &str| RunSpec {
        labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..spec("build")
    };
    let command = |argv: Vec<String>, cwd| RunSpec { workload: Workload::Command { argv, cwd }, ..spec("build") };
    let image = |reference: String| RunSpec { workload: Workload::Image { reference, argv: vec![] }, ..spec("build") };
    let labels = (0..=limits::LABELS_MAX).map(|n| (n.to_string(), String::new())).collect();
    let cases = [
        ("spec.name", spec("")),
        ("spec.name", spec("two\nlines")),
        ("spec.name", spec(&long(limits::NAME_BYTES_MAX))),
        ("spec.labels", RunSpec { labels, ..spec("build") }),
        ("spec.labels", label("", "x")),
        ("spec.labels", label("a=b", "x")),
        ("spec.labels", label(&long(limits::LABEL_KEY_BYTES_MAX), "x")),
        ("spec.labels.team", label("team", &long(limits::LABEL_VALUE_BYTES_MAX))),
        ("spec.command", command(vec![], None)),
        ("spec.command", command(vec![String::new()], None)),
        ("spec.command", command(vec!["x".to_owned(); limits::ARGV_MAX + 1], None)),
        ("spec.command", command(vec![long(limits::ARGV_BYTES_MAX)], None)),
        ("spec.command", command(vec!["x".to_owned(), "a\0b".to_owned()], None)),
        ("spec.cwd", command(vec!["x".to_owned()], Some(String::new()))),
        ("spec.cwd", command(vec!["x".to_owned()], Some("a\0b".to_owned()))),
        ("spec.image", image(String::new())),
        ("spec.image", image(long(limits::PATH_BYTES_MAX))),
    ];
    for (field, spec) in cases {
        let action = Action::Create { spec: Arc::new(spec) };
        assert_eq!(wrong(action.clone()).0, field, "{action:?}");
    }
}

#[test]
fn bounds_are_inclusive() {
    let spec = RunSpec {
        name: Some("n".repeat(limits::NAME_BYTES_MAX)),
        labels: (0..limits::LABELS_MAX).map(|n| (n.to_string(), "v".repeat(limits::LABEL_VALUE_BYTES_MAX))).collect(),
        ..spec("build")
    };
    Given::nothing().when(ask(Action::Create { spec: Arc::new(spec) })).then_appended();
    let why = "w".repeat(limits::MESSAGE_BYTES_MAX);
    created().when(ask(Action::Destroy { force: false, why })).then_appended();
}

#[test]
fn an_actor_has_an_id_of_one_line() {
    for id in ["", "two\nlines", &long(limits::ACTOR_ID_BYTES_MAX)] {
        let command = Command { actor: Actor::new(ActorKind::Operator, id), ..create() };
        Given::nothing().when(command).then_refused("invalid_input");
    }
}

#[test]
fn what_is_kept_of_a_command_out_of_bounds_is_bounded() {
    let id = long(limits::ACTOR_ID_BYTES_MAX);
    let command = Command { actor: Actor::new(ActorKind::Runner, id), ..destroy(true) };
    let refusal = limits::check(&command).unwrap_err();
    let kept = RefusedCommand::keep(command.clone(), &refusal);
    assert!(matches!(kept, RefusedCommand::OutOfBounds { .. }));
    assert_eq!(kept.actor().id.len(), limits::ACTOR_ID_BYTES_MAX);
    assert_eq!((kept.id(), kept.run(), kept.action()), (command.id, command.run, ActionName::Destroy));
    let within = RefusedCommand::keep(destroy(true), &Refusal::UnknownRun);
    assert!(matches!(within, RefusedCommand::Whole(_)));
    // Wrong input within bounds is kept whole: it is evidence.
    let resume = start(2, "r1", StartMode::Resume { previous: ids::attempt(1) });
    let refusal = waiting().fleet().decide(&resume).unwrap_err();
    assert_eq!(refusal.code(), "invalid_input");
    assert_eq!(RefusedCommand::keep(resume.clone(), &refusal), RefusedCommand::Whole(Box::new(resume)));
}

/// One of each, with the HTTP status that it maps to.
fn all() -> Vec<(u16, Refusal)> {
    let runner = || RunnerId::from("r1");
    let recorded = || Box::new(Outcome::Failed(failure("timeout 30s")));
    let (snapshot, from) = (ids::snapshot(1), StatusName::Started);
    vec![
        (404, Refusal::UnknownRun),
        (409, Refusal::RunExists),
        (410, Refusal::RunDestroyed),
        (409, Refusal::StaleAttempt { current: None }),
        (409, Refusal::WrongRunner { holder: runner() }),
        (422, Refusal::IllegalTransition { from, action: ActionName::Wait }),
        (409, Refusal::ConflictingTerminal { recorded: recorded() }),
        (409, Refusal::VersionConflict { actual: Version(3) }),
        (400, Refusal::InvalidInput { field: "why".to_owned(), why: "is empty".to_owned() }),
        (409, Refusal::NameHeld { name: "build".to_owned(), holder: ids::run(1) }),
        (422, Refusal::ForceRequired { from }),
        (409, Refusal::NothingPending),
        (409, Refusal::NotOwner { armed_by: runner() }),
        (409, Refusal::AlreadyDispatched { snapshot }),
        (409, Refusal::SnapshotGone { armed: None }),
        (422, Refusal::NotDue { due: second(1) }),
        (409, Refusal::AlreadyDisconnected),
        (422, Refusal::NotAmendable { recorded: recorded() }),
        (422, Refusal::AttemptsExhausted { limit: limits::ATTEMPTS_MAX }),
    ]
}

#[test]
fn every_refusal_has_its_code_its_status_and_says_what_to_do() {
    let all = all();
    let codes: BTreeSet<_> = all.iter().map(|(_, refusal)| refusal.code()).collect();
    assert_eq!(codes.len(), 19, "{codes:?}");
    for (status, refusal) in &all {
        let code = refusal.code();
        assert_eq!(refusal.http_status(), *status, "{code}");
        assert!(code.chars().all(|char| char.is_ascii_lowercase() || char == '_'), "{code}");
        assert!(!refusal.to_string().is_empty() && !refusal.remedy().is_empty(), "{code}");
        assert_ne!(refusal.to_string(), refusal.remedy(), "{code}");
    }
}
