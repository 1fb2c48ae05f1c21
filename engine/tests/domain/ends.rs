//! The first report about an attempt's end counts; every later one is a repeat or a conflict.

use tachograph_engine::domain::testing::{claim, ids};
use tachograph_engine::domain::{
    Action, Command, Diagnostics, Event, Exit, ExitStatus, Failure, Outcome, Refusal, StartMode, Witness,
};

use super::stories::{
    RUN, ask, exit, exit_of, exited, fail, failed, failure, mine, start, started, state, unknown, waiting,
};

fn conflict(recorded: Outcome) -> Refusal {
    Refusal::ConflictingTerminal { recorded: Box::new(recorded) }
}

fn outcome(status: ExitStatus) -> Outcome {
    Outcome::Exited { exit: exit_of(status), amended: None }
}

#[test]
fn exited_carries_the_report_as_it_was_made() {
    for given in [started(), waiting()] {
        given
            .when(exit(mine(), ExitStatus::Signal(9)))
            .then_events(&[Event::Exited { attempt: ids::attempt(1), exit: exit_of(ExitStatus::Signal(9)) }]);
    }
}

/// B1: a cleanup reports another end; later its report is replayed into the next attempt.
#[test]
fn a_second_end_is_a_conflict_and_never_reaches_the_next_attempt() {
    let given = exited(ExitStatus::Code(0))
        .when(exit(mine(), ExitStatus::Code(137)))
        .then_refusal(&conflict(outcome(ExitStatus::Code(0))))
        .when(start(2, "r1", StartMode::Restart { previous: ids::attempt(1) }))
        .then_appended()
        .when(exit(mine(), ExitStatus::Code(137)))
        .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(2)) })
        .when(exit(claim(RUN, 2, "r1"), ExitStatus::Code(5)))
        .then_appended();
    let attempt = state(&given).run().unwrap().attempt.clone().unwrap();
    assert_eq!(attempt.outcome, Some(outcome(ExitStatus::Code(5))));
}

#[test]
fn the_same_exit_again_is_already_recorded_whoever_witnessed_it() {
    let by_file = Exit { witness: Witness::ExitFile, ..exit_of(ExitStatus::Code(0)) };
    exited(ExitStatus::Code(0))
        .when(exit(mine(), ExitStatus::Code(0)))
        .then_already_recorded()
        .when(ask(Action::Exit { claim: mine(), exit: by_file }))
        .then_already_recorded();
}

#[test]
fn a_signal_is_not_the_code_of_the_same_number() {
    exited(ExitStatus::Signal(9))
        .when(exit(mine(), ExitStatus::Code(9)))
        .then_refusal(&conflict(outcome(ExitStatus::Signal(9))));
}

#[test]
fn the_same_failure_again_is_already_recorded_whatever_was_seen_meanwhile() {
    let seen_later = Failure { diagnostics: Diagnostics::default(), ..failure("timeout 30s") };
    failed()
        .when(ask(Action::Fail { claim: mine(), failure: seen_later }))
        .then_already_recorded()
        .when(fail(mine(), "another reason"))
        .then_refusal(&conflict(Outcome::Failed(failure("timeout 30s"))));
}

#[test]
fn an_exit_and_a_failure_exclude_each_other() {
    exited(ExitStatus::Code(1)).when(fail(mine(), "late")).then_refusal(&conflict(outcome(ExitStatus::Code(1))));
    failed().when(exit(mine(), ExitStatus::Code(1))).then_refusal(&conflict(Outcome::Failed(failure("timeout 30s"))));
}

fn amend(status: ExitStatus) -> Command {
    ask(Action::AmendExit { attempt: ids::attempt(1), status, source: "runs/1/exit".to_owned() })
}

/// B3: nobody saw the end, and an authentic record may say it once.
#[test]
fn an_unknown_exit_is_amended_once() {
    let amended = Outcome::Exited { exit: exit_of(unknown()), amended: Some(ExitStatus::Code(42)) };
    let given = exited(unknown()).when(amend(ExitStatus::Code(42))).then_events(&[Event::ExitAmended {
        attempt: ids::attempt(1),
        status: ExitStatus::Code(42),
        source: "runs/1/exit".to_owned(),
    }]);
    let attempt = state(&given).run().unwrap().attempt.clone().unwrap();
    assert_eq!(attempt.outcome.as_ref().and_then(Outcome::exit_status), Some(&ExitStatus::Code(42)));
    given
        .when(amend(ExitStatus::Code(0)))
        .then_refusal(&Refusal::NotAmendable { recorded: Box::new(amended.clone()) })
        // The first report and the amendment are both what is recorded; anything else is a conflict.
        .when(exit(mine(), unknown()))
        .then_already_recorded()
        .when(exit(mine(), ExitStatus::Code(42)))
        .then_already_recorded()
        .when(exit(mine(), ExitStatus::Code(0)))
        .then_refusal(&conflict(amended));
}

#[test]
fn a_known_end_is_not_amended() {
    exited(ExitStatus::Code(0))
        .when(amend(ExitStatus::Code(1)))
        .then_refusal(&Refusal::NotAmendable { recorded: Box::new(outcome(ExitStatus::Code(0))) });
    failed()
        .when(amend(ExitStatus::Code(1)))
        .then_refusal(&Refusal::NotAmendable { recorded: Box::new(Outcome::Failed(failure("timeout 30s"))) });
}

#[test]
fn unknown_amends_nothing() {
    exited(unknown()).when(amend(unknown())).then_refused("invalid_input");
}

#[test]
fn an_amendment_speaks_about_the_current_attempt_only() {
    exited(unknown())
        .when(start(2, "r1", StartMode::Restart { previous: ids::attempt(1) }))
        .then_appended()
        .when(amend(ExitStatus::Code(42)))
        .then_refusal(&Refusal::StaleAttempt { current: Some(ids::attempt(2)) });
}
