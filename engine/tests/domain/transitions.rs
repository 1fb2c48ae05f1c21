//! What each transition carries, and the fences around it.

use tachograph_engine::domain::testing::{Given, claim, ids};
use tachograph_engine::domain::{
    Action, ActionName, Decision, Event, ExitStatus, Finding, Ordinal, Refusal, RunnerId, StartCause, StartMode,
    StatusName, Version, decide, limits,
};

use super::stories::{
    RUN, ask, create, created, destroy, exit, exited, fail, failed, failure, mine, second, start, started, state, wait,
    waiting,
};

#[test]
fn created_carries_the_spec() {
    let command = create();
    let Action::Create { spec } = command.action.clone() else { panic!() };
    let given = Given::nothing().when(command).then_events(&[Event::Created { run: RUN, spec: spec.clone() }]);
    let run = state(&given).run().unwrap();
    assert_eq!((run.version, run.status.name(), &run.spec), (Version(1), StatusName::Created, &spec));
    assert_eq!(run.attempt, None);
}

fn opened(attempt: u64, ordinal: u32, runner: &str, cause: StartCause, previous: Option<u64>) -> Event {
    Event::Started {
        attempt: ids::attempt(attempt),
        ordinal: Ordinal(ordinal),
        runner: RunnerId::from(runner),
        cause,
        previous: previous.map(ids::attempt),
    }
}

#[test]
fn the_first_start_opens_attempt_one() {
    created().when(start(1, "r1", StartMode::Fresh)).then_events(&[opened(1, 1, "r1", StartCause::Fresh, None)]);
}

#[test]
fn a_resume_by_the_holder_stays_in_its_attempt() {
    let given = waiting().when(start(1, "r1", StartMode::Resume { previous: ids::attempt(1) })).then_events(&[opened(
        1,
        1,
        "r1",
        StartCause::Resume,
        Some(1),
    )]);
    let run = state(&given).run().unwrap();
    assert_eq!(run.status.name(), StatusName::Started);
    assert!(run.spent.is_empty());
}

#[test]
fn a_resume_by_the_holder_names_its_own_attempt() {
    waiting().when(start(2, "r1", StartMode::Resume { previous: ids::attempt(1) })).then_refused("invalid_input");
}

#[test]
fn a_resume_by_another_runner_is_a_new_attempt() {
    let given = waiting().when(start(2, "r2", StartMode::Resume { previous: ids::attempt(1) })).then_events(&[opened(
        2,
        2,
        "r2",
        StartCause::Resume,
        Some(1),
    )]);
    assert_eq!(state(&given).run().unwrap().spent, [ids::attempt(1)]);
    given
        .when(exit(mine(), ExitStatus::Code(0)))
        .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(2)) });
}

#[test]
fn a_restart_after_either_end_is_a_new_attempt_without_a_stale_reason() {
    for given in [exited(ExitStatus::Code(3)), failed()] {
        let given = given
            .when(start(2, "r1", StartMode::Restart { previous: ids::attempt(1) }))
            .then_events(&[opened(2, 2, "r1", StartCause::Restart, Some(1))]);
        assert_eq!(state(&given).run().unwrap().attempt.as_ref().unwrap().outcome, None);
    }
}

#[test]
fn a_takeover_is_a_new_attempt_and_needs_the_expected_one() {
    let given = started()
        .when(start(2, "r2", StartMode::Takeover { expected: ids::attempt(9) }))
        .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(1)) })
        .when(start(2, "r2", StartMode::Takeover { expected: ids::attempt(1) }))
        .then_events(&[opened(2, 2, "r2", StartCause::Takeover, Some(1))]);
    given.when(wait(mine())).then_refused("stale_attempt").when(wait(claim(RUN, 2, "r2"))).then_appended();
}

/// Two recovery loops restart the same ended run: one attempt, the other refused (B10).
#[test]
fn of_two_restarts_one_succeeds() {
    failed()
        .when(start(2, "r2", StartMode::Restart { previous: ids::attempt(1) }))
        .then_appended()
        .when(start(3, "r3", StartMode::Restart { previous: ids::attempt(1) }))
        .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(2)) });
}

/// A delayed start names an attempt whose time is over, in whichever way it is wrapped (B5).
#[test]
fn a_spent_attempt_never_starts_again() {
    let stopped = || exited(ExitStatus::Signal(15));
    for mode in [StartMode::Fresh, StartMode::Restart { previous: ids::attempt(1) }] {
        stopped().when(start(1, "r1", mode)).then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(1)) });
    }
    let third = stopped()
        .when(start(2, "r1", StartMode::Restart { previous: ids::attempt(1) }))
        .then_appended()
        .when(exit(claim(RUN, 2, "r1"), ExitStatus::Code(1)))
        .then_appended()
        .when(start(3, "r1", StartMode::Restart { previous: ids::attempt(2) }))
        .then_appended();
    let modes = [
        StartMode::Fresh,
        StartMode::Resume { previous: ids::attempt(3) },
        StartMode::Restart { previous: ids::attempt(3) },
        StartMode::Takeover { expected: ids::attempt(3) },
    ];
    for mode in modes {
        for spent in [1, 2] {
            third
                .clone()
                .when(start(spent, "r1", mode))
                .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(3)) });
        }
    }
}

#[test]
fn attempts_are_bounded() {
    let Decision::Append(events) =
        decide(state(&failed()), &start(2, "r1", StartMode::Restart { previous: ids::attempt(1) })).unwrap()
    else {
        panic!()
    };
    let last = |event: &Event| match event {
        Event::Started { attempt, runner, cause, previous, .. } => Event::Started {
            attempt: *attempt,
            ordinal: Ordinal(limits::ATTEMPTS_MAX),
            runner: runner.clone(),
            cause: *cause,
            previous: *previous,
        },
        other => panic!("{other:?}"),
    };
    failed()
        .events(RUN, &[last(&events[0])])
        .when(exit(claim(RUN, 2, "r1"), ExitStatus::Code(0)))
        .then_appended()
        .when(start(3, "r1", StartMode::Restart { previous: ids::attempt(2) }))
        .then_refusal(&Refusal::AttemptsExhausted { limit: limits::ATTEMPTS_MAX });
}

#[test]
fn waiting_carries_what_it_waits_on_and_until_when() {
    let deadline = Some(second(90));
    started().when(wait(mine())).then_events(&[Event::Waiting {
        attempt: ids::attempt(1),
        on: "approval".to_owned(),
        deadline,
    }]);
}

#[test]
fn a_start_that_failed_is_an_attempt_with_its_runner() {
    let given = created().when(fail(claim(RUN, 1, "r1"), "timeout 30s")).then_events(&[Event::Failed {
        attempt: ids::attempt(1),
        ordinal: Ordinal(1),
        runner: RunnerId::from("r1"),
        failure: failure("timeout 30s"),
    }]);
    let attempt = state(&given).run().unwrap().attempt.clone().unwrap();
    assert_eq!((attempt.id, attempt.ordinal, attempt.started), (ids::attempt(1), Ordinal(1), false));
    assert_eq!(attempt.outcome.unwrap().failure(), Some(&failure("timeout 30s")));
}

/// A failure is kept for ever as its attempt's outcome; the next attempt has an outcome of its own (B4).
#[test]
fn a_failed_start_is_followed_by_an_attempt_with_an_outcome_of_its_own() {
    created()
        .when(fail(mine(), "timeout 30s"))
        .then_appended()
        .when(start(2, "r1", StartMode::Restart { previous: ids::attempt(1) }))
        .then_events(&[opened(2, 2, "r1", StartCause::Restart, Some(1))])
        .when(exit(claim(RUN, 2, "r1"), ExitStatus::Code(0)))
        .then_appended()
        .when(fail(mine(), "another reason"))
        .then_refused("stale_attempt");
}

#[test]
fn destroyed_says_whether_it_was_forced() {
    let why = || "not needed".to_owned();
    created().when(destroy(true)).then_events(&[Event::Destroyed { why: why(), forced: false }]);
    started()
        .when(destroy(false))
        .then_refusal(&Refusal::ForceRequired { from: StatusName::Started })
        .when(destroy(true))
        .then_events(&[Event::Destroyed { why: why(), forced: true }]);
}

#[test]
fn only_the_holder_of_the_attempt_reports_about_it() {
    let others = claim(RUN, 1, "r2");
    let refusal = Refusal::WrongRunner { holder: RunnerId::from("r1") };
    started()
        .when(wait(others.clone()))
        .then_refusal(&refusal)
        .when(exit(others.clone(), ExitStatus::Code(0)))
        .then_refusal(&refusal)
        .when(fail(others.clone(), "no"))
        .then_refusal(&refusal)
        .when(ask(Action::DisconnectRunner { claim: others }))
        .then_refusal(&refusal);
}

#[test]
fn an_impossible_transition_says_from_where() {
    waiting()
        .when(wait(mine()))
        .then_refusal(&Refusal::IllegalTransition { from: StatusName::Waiting, action: ActionName::Wait });
}

#[test]
fn a_disconnect_is_recorded_once_until_the_runner_is_heard_of_again() {
    let lost = || ask(Action::DisconnectRunner { claim: mine() });
    let connected = |given: &Given| state(given).run().unwrap().attempt.as_ref().unwrap().connected;
    let given = started()
        .when(lost())
        .then_events(&[Event::RunnerDisconnected { attempt: ids::attempt(1), runner: RunnerId::from("r1") }]);
    assert!(!connected(&given));
    let given = given.when(lost()).then_refused("already_disconnected").when(wait(mine())).then_appended();
    assert!(connected(&given));
    let adopted = Action::Reconcile {
        attempt: ids::attempt(1),
        finding: Finding::Adopted,
        detail: "pid 701, start time 99".to_owned(),
    };
    let given = given.when(lost()).then_appended().when(ask(adopted)).then_appended();
    assert!(connected(&given));
}

/// What is recorded as over is not followed again; something that is still there is an orphan.
#[test]
fn an_ended_attempt_is_not_adopted() {
    let reconcile =
        |finding| ask(Action::Reconcile { attempt: ids::attempt(1), finding, detail: "pid 701".to_owned() });
    exited(ExitStatus::Code(0))
        .when(reconcile(Finding::Adopted))
        .then_refusal(&Refusal::IllegalTransition { from: StatusName::Exited, action: ActionName::Reconcile })
        .when(reconcile(Finding::Orphan))
        .then_appended();
}
