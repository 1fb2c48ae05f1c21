//! What should follow in the world, as data.

use tachograph_engine::domain::testing::{Given, claim, ids};
use tachograph_engine::domain::{
    Action, Claim, Command, Decision, Effect, ExitStatus, StartMode, effects_of_events, effects_of_refusal,
};

use super::stories::{
    RUN, armed, ask, created, destroy, dispatch, exit, exited, fail, mine, schedule, start, started, state, wait,
    waiting,
};

/// What follows from the answer to this command.
fn effects(given: &Given, command: &Command) -> Vec<Effect> {
    match given.fleet().decide(command) {
        Ok(Decision::Append(events)) => effects_of_events(state(given), &events),
        Ok(Decision::AlreadyRecorded) => Vec::new(),
        Err(refusal) => effects_of_refusal(command, &refusal),
    }
}

fn orphan(claim: Claim) -> Vec<Effect> {
    vec![Effect::DestroyOrphan { claim }]
}

fn end_of(attempt: u64) -> Vec<Effect> {
    vec![Effect::EndAttempt { run: RUN, attempt: ids::attempt(attempt) }]
}

#[test]
fn a_dispatch_takes_the_snapshot() {
    let take = vec![Effect::TakeSnapshot { run: RUN, snapshot: ids::snapshot(1) }];
    assert_eq!(effects(&armed(), &dispatch(1, 30)), take);
    assert_eq!(effects(&armed(), &dispatch(1, 29)), []);
}

#[test]
fn whoever_takes_a_run_ends_what_its_holder_still_has_running() {
    let takeover = start(2, "r2", StartMode::Takeover { expected: ids::attempt(1) });
    assert_eq!(effects(&started(), &takeover), end_of(1));
    let resume = start(2, "r2", StartMode::Resume { previous: ids::attempt(1) });
    assert_eq!(effects(&waiting(), &resume), end_of(1));
}

#[test]
fn a_start_that_takes_nothing_from_anybody_ends_nothing() {
    assert_eq!(effects(&created(), &start(1, "r1", StartMode::Fresh)), []);
    assert_eq!(effects(&waiting(), &start(1, "r1", StartMode::Resume { previous: ids::attempt(1) })), []);
    let restart = start(2, "r1", StartMode::Restart { previous: ids::attempt(1) });
    assert_eq!(effects(&exited(ExitStatus::Code(0)), &restart), []);
}

#[test]
fn destruction_ends_an_open_attempt() {
    assert_eq!(effects(&started(), &destroy(true)), end_of(1));
    assert_eq!(effects(&waiting(), &destroy(true)), end_of(1));
    assert_eq!(effects(&created(), &destroy(true)), []);
    assert_eq!(effects(&exited(ExitStatus::Code(0)), &destroy(true)), []);
}

/// B11: destroyed while the spawn is under way, and then the worker is ready.
#[test]
fn a_worker_that_is_ready_after_the_destruction_is_an_orphan() {
    let destroyed = created().when(destroy(true)).then_appended();
    let ready = start(1, "r1", StartMode::Fresh);
    assert_eq!(effects(&destroyed, &ready), orphan(mine()));
    destroyed.when(ready).then_refused("run_destroyed");
    let destroyed = started().when(destroy(true)).then_appended();
    assert_eq!(effects(&destroyed, &wait(mine())), orphan(mine()));
    assert_eq!(effects(&destroyed, &schedule(mine(), 1)), orphan(mine()));
}

#[test]
fn a_runner_of_an_earlier_attempt_that_goes_on_is_an_orphan() {
    let taken = started().when(start(2, "r2", StartMode::Takeover { expected: ids::attempt(1) })).then_appended();
    assert_eq!(effects(&taken, &wait(mine())), orphan(mine()));
    // A delayed start of the attempt that is over.
    assert_eq!(effects(&taken, &start(1, "r1", StartMode::Fresh)), orphan(mine()));
}

#[test]
fn a_report_that_something_is_over_leaves_no_orphan() {
    let destroyed = started().when(destroy(true)).then_appended();
    for report in [
        exit(mine(), ExitStatus::Code(0)),
        fail(mine(), "killed"),
        ask(Action::DisconnectRunner { claim: mine() }),
        destroy(true),
    ] {
        assert_eq!(effects(&destroyed, &report), [], "{report:?}");
    }
}

#[test]
fn a_repeated_start_by_the_holder_does_not_end_it() {
    assert_eq!(effects(&started(), &start(1, "r1", StartMode::Fresh)), []);
}

#[test]
fn other_refusals_end_nothing() {
    let others = claim(RUN, 1, "r2");
    assert_eq!(effects(&started(), &wait(others)), []);
    assert_eq!(effects(&Given::nothing(), &wait(mine())), []);
}
