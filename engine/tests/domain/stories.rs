//! Histories to start from, all of run 1, whose attempt 1 is held by `r1`.

use std::sync::Arc;

use tachograph_engine::domain::testing::{Given, claim, command, ids, spec};
use tachograph_engine::domain::{
    Action, AttemptId, Claim, Command, Diagnostics, Exit, ExitStatus, Failure, FailureKind, RunId, RunState, RunnerId,
    StartMode, Timestamp, Witness,
};

pub(crate) const RUN: RunId = ids::run(1);

/// The claim of `r1` on attempt 1.
pub(crate) fn mine() -> Claim {
    claim(RUN, 1, "r1")
}

/// A command about run 1.
pub(crate) fn ask(action: Action) -> Command {
    command(RUN, action)
}

pub(crate) fn create() -> Command {
    ask(Action::Create { spec: Arc::new(spec("build")) })
}

pub(crate) fn start(attempt: u64, runner: &str, mode: StartMode) -> Command {
    ask(start_action(ids::attempt(attempt), runner, mode))
}

pub(crate) fn start_action(attempt: AttemptId, runner: &str, mode: StartMode) -> Action {
    Action::Start { attempt, runner: RunnerId::from(runner), mode }
}

pub(crate) fn wait(claim: Claim) -> Command {
    ask(Action::Wait { claim, on: "approval".to_owned(), deadline: Some(second(90)) })
}

pub(crate) fn exit(claim: Claim, status: ExitStatus) -> Command {
    ask(Action::Exit { claim, exit: exit_of(status) })
}

pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    Exit { status, witness: Witness::Waited, output: None }
}

pub(crate) fn unknown() -> ExitStatus {
    ExitStatus::Unknown { cause: "nobody saw it".to_owned() }
}

pub(crate) fn fail(claim: Claim, message: &str) -> Command {
    ask(Action::Fail { claim, failure: failure(message) })
}

pub(crate) fn failure(message: &str) -> Failure {
    Failure {
        kind: FailureKind::StartTimeout,
        message: message.to_owned(),
        diagnostics: Diagnostics { alive: vec!["shim".to_owned()], ..Diagnostics::default() },
    }
}

pub(crate) fn destroy(force: bool) -> Command {
    ask(Action::Destroy { force, why: "not needed".to_owned() })
}

/// Arms snapshot `number`, due 30 seconds after time 0.
pub(crate) fn schedule(claim: Claim, number: u64) -> Command {
    ask(Action::ScheduleSnapshot { claim, snapshot: ids::snapshot(number), due: second(30) })
}

/// Dispatches snapshot `number` at this second.
pub(crate) fn dispatch(number: u64, at: i64) -> Command {
    let action = Action::DispatchSnapshot { snapshot: ids::snapshot(number) };
    Command { issued_at: second(at), ..ask(action) }
}

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

pub(crate) fn created() -> Given {
    Given::nothing().when(create()).then_appended()
}

pub(crate) fn started() -> Given {
    created().when(start(1, "r1", StartMode::Fresh)).then_appended()
}

pub(crate) fn waiting() -> Given {
    started().when(wait(mine())).then_appended()
}

/// Waiting, with snapshot 1 armed by `r1`.
pub(crate) fn armed() -> Given {
    waiting().when(schedule(mine(), 1)).then_appended()
}

/// Waiting, with snapshot 1 dispatched.
pub(crate) fn dispatched() -> Given {
    armed().when(dispatch(1, 30)).then_appended()
}

pub(crate) fn exited(status: ExitStatus) -> Given {
    started().when(exit(mine(), status)).then_appended()
}

pub(crate) fn failed() -> Given {
    started().when(fail(mine(), "timeout 30s")).then_appended()
}

pub(crate) fn destroyed() -> Given {
    created().when(destroy(false)).then_appended()
}

/// The state of run 1.
pub(crate) fn state(given: &Given) -> &RunState {
    given.fleet().state(RUN)
}
