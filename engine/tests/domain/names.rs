//! Who holds a name (B12).

use std::sync::Arc;

use tachograph_engine::domain::testing::{Given, claim, command, ids, spec};
use tachograph_engine::domain::{Action, Command, ExitStatus, Refusal, RunId, RunnerId, StartMode};

use super::stories::{exit_of, failure};

const A: RunId = ids::run(1);
const B: RunId = ids::run(2);

fn create(run: RunId) -> Command {
    command(run, Action::Create { spec: Arc::new(spec("build")) })
}

fn start(run: RunId, attempt: u64, mode: StartMode) -> Command {
    command(run, Action::Start { attempt: ids::attempt(attempt), runner: RunnerId::from("r1"), mode })
}

fn exit(run: RunId, attempt: u64) -> Command {
    command(run, Action::Exit { claim: claim(run, attempt, "r1"), exit: exit_of(ExitStatus::Code(0)) })
}

fn held_by(holder: RunId) -> Refusal {
    Refusal::NameHeld { name: "build".to_owned(), holder }
}

/// A ran and exited.
fn ended() -> Given {
    Given::nothing()
        .when(create(A))
        .then_appended()
        .when(start(A, 1, StartMode::Fresh))
        .then_appended()
        .when(exit(A, 1))
        .then_appended()
}

#[test]
fn a_name_is_held_until_its_run_ends() {
    let given = Given::nothing().when(create(A)).then_appended().when(create(B)).then_refusal(&held_by(A));
    let given = given.when(start(A, 1, StartMode::Fresh)).then_appended().when(create(B)).then_refusal(&held_by(A));
    let given = given.when(exit(A, 1)).then_appended();
    assert_eq!((given.fleet().holder("build"), given.fleet().resolve("build")), (None, Some(A)));
    let given = given.when(create(B)).then_appended();
    assert_eq!((given.fleet().holder("build"), given.fleet().resolve("build")), (Some(B), Some(B)));
}

#[test]
fn a_failed_start_and_a_tombstone_hold_no_name() {
    let fail = command(A, Action::Fail { claim: claim(A, 1, "r1"), failure: failure("timeout 30s") });
    let destroy = command(A, Action::Destroy { force: false, why: "not needed".to_owned() });
    for end in [fail, destroy] {
        Given::nothing().when(create(A)).then_appended().when(end).then_appended().when(create(B)).then_appended();
    }
}

#[test]
fn a_restart_takes_its_name_back_only_if_nobody_else_holds_it() {
    let restart = || start(A, 2, StartMode::Restart { previous: ids::attempt(1) });
    let given = ended().when(restart()).then_appended();
    assert_eq!(given.fleet().holder("build"), Some(A));
    let given = ended().when(create(B)).then_appended().when(restart()).then_refusal(&held_by(B));
    let destroy = command(B, Action::Destroy { force: false, why: "not needed".to_owned() });
    let given = given.when(destroy).then_appended().when(restart()).then_appended();
    assert_eq!(given.fleet().resolve("build"), Some(A));
}

#[test]
fn a_report_by_the_last_holder_of_a_name_stays_with_its_own_run() {
    let given = ended().when(create(B)).then_appended().when(start(B, 5, StartMode::Fresh)).then_appended();
    let before = given.fleet().state(B).clone();
    let stolen = command(B, Action::Exit { claim: claim(B, 1, "r1"), exit: exit_of(ExitStatus::Code(1)) });
    let given = given.when(exit(A, 1)).then_already_recorded().when(stolen).then_refused("stale_attempt");
    assert_eq!(given.fleet().state(B), &before);
}

#[test]
fn runs_without_a_name_are_in_nobodys_way() {
    let nameless = |run| {
        let spec = tachograph_engine::domain::RunSpec { name: None, ..spec("x") };
        command(run, Action::Create { spec: Arc::new(spec) })
    };
    Given::nothing().when(nameless(A)).then_appended().when(nameless(B)).then_appended();
}

#[test]
fn a_name_never_looks_like_an_id() {
    let spec = spec(&A.to_string());
    Given::nothing().when(command(A, Action::Create { spec: Arc::new(spec) })).then_refused("invalid_input");
}
