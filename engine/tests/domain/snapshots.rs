//! Arming, every cause of a cancel, dispatch, result.

use tachograph_engine::domain::decide::DESTROYED_MEANWHILE;
use tachograph_engine::domain::testing::{Given, claim, ids};
use tachograph_engine::domain::{
    Action, CancelCause, Command, Digest, Event, ExitStatus, Guard, Refusal, RunnerId, StartMode, limits,
};

use super::stories::{
    RUN, armed, ask, destroy, dispatch, dispatched, exit, fail, mine, schedule, second, start, started, state, wait,
    waiting,
};

fn cancel(guard: Guard) -> Command {
    ask(Action::CancelSnapshot { guard })
}

fn guarded(runner: &str) -> Guard {
    Guard::Runner(RunnerId::from(runner))
}

fn canceled(number: u64, cause: CancelCause) -> Event {
    Event::SnapshotCanceled { snapshot: ids::snapshot(number), cause }
}

fn scheduled(number: u64) -> Event {
    Event::SnapshotScheduled { snapshot: ids::snapshot(number), runner: RunnerId::from("r1"), due: second(30) }
}

/// The command leads to the cancel of snapshot 1 for this cause, and then to one more event of its own.
#[track_caller]
fn cancels(command: Command, cause: CancelCause) -> Given {
    let before = armed();
    let Ok(tachograph_engine::domain::Decision::Append(events)) = before.fleet().decide(&command) else {
        panic!("{command:?} is refused")
    };
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0], canceled(1, cause));
    let given = before.when(command).then_appended();
    assert_eq!(state(&given).run().unwrap().armed, None);
    given.when(dispatch(1, 30)).then_refused(if state_is_destroyed(&events[1]) {
        "run_destroyed"
    } else {
        "snapshot_gone"
    })
}

fn state_is_destroyed(event: &Event) -> bool {
    matches!(event, Event::Destroyed { .. })
}

#[test]
fn a_snapshot_is_armed_while_the_run_waits() {
    waiting().when(schedule(mine(), 1)).then_events(&[scheduled(1)]);
    started().when(schedule(mine(), 1)).then_refused("illegal_transition");
}

#[test]
fn an_end_cancels_it_in_the_same_append() {
    cancels(exit(mine(), ExitStatus::Code(0)), CancelCause::RunEnded);
    cancels(fail(mine(), "out of memory"), CancelCause::RunEnded);
}

#[test]
fn a_lost_runner_cancels_it() {
    cancels(ask(Action::DisconnectRunner { claim: mine() }), CancelCause::RunnerDisconnected);
}

#[test]
fn a_resume_by_its_holder_cancels_it() {
    cancels(start(1, "r1", StartMode::Resume { previous: ids::attempt(1) }), CancelCause::Resumed);
}

#[test]
fn another_runner_that_takes_over_cancels_it() {
    cancels(start(2, "r2", StartMode::Resume { previous: ids::attempt(1) }), CancelCause::TakenOver);
}

#[test]
fn destruction_cancels_it_and_comes_last() {
    cancels(destroy(true), CancelCause::Destroyed);
}

#[test]
fn another_one_supersedes_it() {
    let given = armed()
        .when(schedule(mine(), 2))
        .then_events(&[canceled(1, CancelCause::Superseded), scheduled(2)])
        .when(dispatch(1, 30))
        .then_refusal(&Refusal::SnapshotGone { armed: Some(ids::snapshot(2)) });
    given.when(dispatch(2, 30)).then_events(&[Event::SnapshotDispatched { snapshot: ids::snapshot(2) }]);
}

#[test]
fn the_runner_that_armed_it_cancels_it() {
    armed().when(cancel(guarded("r1"))).then_events(&[canceled(1, CancelCause::Asked(guarded("r1")))]);
}

#[test]
fn another_runner_does_not() {
    armed()
        .when(cancel(guarded("r2")))
        .then_refusal(&Refusal::NotOwner { armed_by: RunnerId::from("r1") })
        .when(dispatch(1, 30))
        .then_appended();
}

#[test]
fn a_cancel_without_a_guard_must_ask_for_that_by_name() {
    armed()
        .when(cancel(Guard::Unconditional))
        .then_events(&[canceled(1, CancelCause::Asked(Guard::Unconditional))])
        .when(cancel(Guard::Unconditional))
        .then_refused("nothing_pending");
}

#[test]
fn a_cancel_after_the_dispatch_is_too_late() {
    dispatched()
        .when(cancel(guarded("r1")))
        .then_refusal(&Refusal::AlreadyDispatched { snapshot: ids::snapshot(1) })
        .when(cancel(Guard::Unconditional))
        .then_refused("already_dispatched");
}

#[test]
fn it_is_never_early() {
    armed()
        .when(dispatch(1, 29))
        .then_refusal(&Refusal::NotDue { due: second(30) })
        .when(dispatch(1, 30))
        .then_appended();
}

#[test]
fn it_is_dispatched_once() {
    dispatched().when(dispatch(1, 31)).then_refusal(&Refusal::AlreadyDispatched { snapshot: ids::snapshot(1) });
    completed().when(dispatch(1, 31)).then_refused("snapshot_gone");
}

fn complete(number: u64) -> Command {
    let location = "/images/1".to_owned();
    ask(Action::CompleteSnapshot { snapshot: ids::snapshot(number), location, bytes: 7, digest: Digest([1; 32]) })
}

fn completed() -> Given {
    dispatched().when(complete(1)).then_appended()
}

#[test]
fn its_result_is_recorded_once() {
    let failed = || ask(Action::FailSnapshot { snapshot: ids::snapshot(1), message: "no space".to_owned() });
    dispatched()
        .when(complete(2))
        .then_refused("snapshot_gone")
        .when(complete(1))
        .then_events(&[Event::SnapshotTaken {
            snapshot: ids::snapshot(1),
            location: "/images/1".to_owned(),
            bytes: 7,
            digest: Digest([1; 32]),
        }])
        .when(complete(1))
        .then_refused("snapshot_gone")
        .when(failed())
        .then_refused("snapshot_gone");
    dispatched()
        .when(failed())
        .then_events(&[Event::SnapshotFailed { snapshot: ids::snapshot(1), message: "no space".to_owned() }])
        .when(failed())
        .then_refused("snapshot_gone");
}

#[test]
fn its_result_may_come_after_the_end() {
    dispatched().when(exit(mine(), ExitStatus::Code(0))).then_appended().when(complete(1)).then_appended();
}

#[test]
fn one_is_taken_at_a_time() {
    dispatched()
        .when(schedule(mine(), 2))
        .then_events(&[scheduled(2)])
        .when(dispatch(2, 40))
        .then_refusal(&Refusal::AlreadyDispatched { snapshot: ids::snapshot(1) })
        .when(complete(1))
        .then_appended()
        .when(dispatch(2, 40))
        .then_appended();
}

/// Or the history would say of one snapshot that it was canceled and that it was taken.
#[test]
fn a_past_id_is_never_armed_again() {
    let canceled = armed().when(cancel(Guard::Unconditional)).then_appended();
    for given in [armed(), canceled, dispatched(), completed()] {
        given.when(schedule(mine(), 1)).then_refused("invalid_input").when(schedule(mine(), 2)).then_appended();
    }
}

#[test]
fn what_is_remembered_of_past_ids_is_bounded() {
    let count = limits::SNAPSHOTS_REMEMBERED as u64 + 10;
    let given = (1..=count).fold(waiting(), |given, number| given.when(schedule(mine(), number)).then_appended());
    let spent = &state(&given).run().unwrap().spent_snapshots;
    assert_eq!(spent.len(), limits::SNAPSHOTS_REMEMBERED);
    assert_eq!(spent.last(), Some(&ids::snapshot(count - 1)));
}

/// A runner that was thought lost and arms a snapshot is there; losing it again cancels that snapshot.
#[test]
fn a_runner_that_came_back_can_be_lost_again() {
    let lost = || ask(Action::DisconnectRunner { claim: mine() });
    waiting().when(lost()).then_appended().when(schedule(mine(), 1)).then_appended().when(lost()).then_events(&[
        canceled(1, CancelCause::RunnerDisconnected),
        Event::RunnerDisconnected { attempt: ids::attempt(1), runner: RunnerId::from("r1") },
    ]);
}

/// B6: taken over and armed anew, nothing that the first runner still says touches the second snapshot.
#[test]
fn a_runner_that_lost_the_run_reaches_neither_snapshot() {
    let theirs = claim(RUN, 2, "r2");
    let given = armed()
        .when(start(2, "r2", StartMode::Resume { previous: ids::attempt(1) }))
        .then_appended()
        .when(wait(theirs.clone()))
        .then_appended()
        .when(schedule(theirs.clone(), 2))
        .then_appended()
        .when(cancel(guarded("r1")))
        .then_refusal(&Refusal::NotOwner { armed_by: RunnerId::from("r2") })
        .when(ask(Action::DisconnectRunner { claim: mine() }))
        .then_refused("stale_attempt")
        .when(dispatch(1, 30))
        .then_refusal(&Refusal::SnapshotGone { armed: Some(ids::snapshot(2)) });
    let exited = Event::Exited { attempt: ids::attempt(2), exit: super::stories::exit_of(ExitStatus::Code(0)) };
    given.when(exit(theirs, ExitStatus::Code(0))).then_events(&[canceled(2, CancelCause::RunEnded), exited]);
}

#[test]
fn a_snapshot_that_is_being_taken_when_the_run_is_destroyed_has_failed() {
    let failed = Event::SnapshotFailed { snapshot: ids::snapshot(1), message: DESTROYED_MEANWHILE.to_owned() };
    let destroyed = Event::Destroyed { why: "not needed".to_owned(), forced: true };
    let given = dispatched().when(destroy(true)).then_events(&[failed, destroyed]);
    assert_eq!(state(&given).run().map(|run| run.in_flight.is_some()), Some(false));
}

#[test]
fn an_ended_run_is_settled_once_its_snapshot_has_a_result() {
    let settled = |given: &Given| state(given).run().is_some_and(tachograph_engine::domain::Run::is_settled);
    assert!(!settled(&armed()));
    let ended = dispatched().when(exit(mine(), ExitStatus::Code(0))).then_appended();
    assert!(!settled(&ended));
    let failed = Action::FailSnapshot { snapshot: ids::snapshot(1), message: "no space left".to_owned() };
    assert!(settled(&ended.when(ask(failed)).then_appended()));
}

#[test]
fn a_delay_is_up_to_thirty_days() {
    let due_in = |millis: i64| {
        ask(Action::ScheduleSnapshot { claim: mine(), snapshot: ids::snapshot(1), due: second(0).plus_millis(millis) })
    };
    waiting().when(due_in(-1)).then_refused("invalid_input");
    waiting().when(due_in(limits::SNAPSHOT_DELAY_MS_MAX + 1)).then_refused("invalid_input");
    waiting().when(due_in(0)).then_appended();
    waiting().when(due_in(limits::SNAPSHOT_DELAY_MS_MAX)).then_appended();
}
