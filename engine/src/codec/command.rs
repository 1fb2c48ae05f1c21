//! What was asked.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::outcome::{Exit, ExitStatus, Failure};
use super::scalar::{ActorKind, Digest, Finding, Id, Time};
use super::spec::RunSpec;
use crate::domain;

#[derive(Encode, BorrowDecode)]
pub(super) struct Command<'a> {
    id: Id,
    run: Id,
    actor: Actor<'a>,
    issued_at: Time,
    expected: Option<u64>,
    action: Action<'a>,
}

impl<'a> Command<'a> {
    /// The wire form; `recorded` is the spec in the command's own `Created` event, if there is one.
    pub(super) fn from_domain(command: &'a domain::Command, recorded: Option<&domain::RunSpec>) -> Self {
        let domain::Command { id, run, actor, issued_at, expected, action } = command;
        Self {
            id: (*id).into(),
            run: (*run).into(),
            actor: actor.into(),
            issued_at: (*issued_at).into(),
            expected: expected.map(|version| version.0),
            action: Action::from_domain(action, recorded),
        }
    }

    /// The command; `recorded` is the spec in its own `Created` event, if there is one.
    pub(super) fn into_domain(self, recorded: Option<&Arc<domain::RunSpec>>) -> Result<domain::Command, &'static str> {
        let Self { id, run, actor, issued_at, expected, action } = self;
        Ok(domain::Command {
            id: id.into(),
            run: run.into(),
            actor: actor.into(),
            issued_at: issued_at.into(),
            expected: expected.map(domain::Version),
            action: action.into_domain(recorded)?,
        })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct Actor<'a> {
    kind: ActorKind,
    id: &'a str,
}

impl<'a> From<&'a domain::Actor> for Actor<'a> {
    fn from(actor: &'a domain::Actor) -> Self {
        let domain::Actor { kind, id } = actor;
        Self { kind: (*kind).into(), id }
    }
}

impl From<Actor<'_>> for domain::Actor {
    fn from(actor: Actor<'_>) -> Self {
        let Actor { kind, id } = actor;
        Self { kind: kind.into(), id: id.into() }
    }
}

#[derive(Encode, BorrowDecode)]
struct Claim<'a> {
    run: Id,
    attempt: Id,
    runner: &'a str,
}

impl<'a> From<&'a domain::Claim> for Claim<'a> {
    fn from(claim: &'a domain::Claim) -> Self {
        let domain::Claim { run, attempt, runner } = claim;
        Self { run: (*run).into(), attempt: (*attempt).into(), runner: runner.as_str() }
    }
}

impl From<Claim<'_>> for domain::Claim {
    fn from(claim: Claim<'_>) -> Self {
        let Claim { run, attempt, runner } = claim;
        Self { run: run.into(), attempt: attempt.into(), runner: runner.into() }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum Action<'a> {
    /// With its spec: in refusals, where no event has it.
    Create {
        spec: RunSpec<'a>,
    } = 0,
    Start {
        attempt: Id,
        runner: &'a str,
        mode: StartMode,
    } = 1,
    Wait {
        claim: Claim<'a>,
        on: &'a str,
        deadline: Option<Time>,
    } = 2,
    Exit {
        claim: Claim<'a>,
        exit: Exit<'a>,
    } = 3,
    Fail {
        claim: Claim<'a>,
        failure: Failure<'a>,
    } = 4,
    Destroy {
        force: bool,
        why: &'a str,
    } = 5,
    ScheduleSnapshot {
        claim: Claim<'a>,
        snapshot: Id,
        due: Time,
    } = 6,
    CancelSnapshot {
        guard: Guard<'a>,
    } = 7,
    DispatchSnapshot {
        snapshot: Id,
    } = 8,
    CompleteSnapshot {
        snapshot: Id,
        location: &'a str,
        bytes: u64,
        digest: Digest,
    } = 9,
    FailSnapshot {
        snapshot: Id,
        message: &'a str,
    } = 10,
    DisconnectRunner {
        claim: Claim<'a>,
    } = 11,
    AmendExit {
        attempt: Id,
        status: ExitStatus<'a>,
        source: &'a str,
    } = 12,
    Reconcile {
        attempt: Id,
        finding: Finding,
        detail: &'a str,
    } = 13,
    /// A create whose spec is that of the `Created` event beside it.
    CreateAsRecorded = 14,
}

impl<'a> Action<'a> {
    fn from_domain(action: &'a domain::Action, recorded: Option<&domain::RunSpec>) -> Self {
        match action {
            domain::Action::Create { spec } => {
                if recorded.is_some_and(|recorded| std::ptr::eq(recorded, &raw const **spec) || *recorded == **spec) {
                    Self::CreateAsRecorded
                } else {
                    Self::Create { spec: spec.as_ref().into() }
                }
            }
            domain::Action::Start { attempt, runner, mode } => {
                Self::Start { attempt: (*attempt).into(), runner: runner.as_str(), mode: (*mode).into() }
            }
            domain::Action::Wait { claim, on, deadline } => {
                Self::Wait { claim: claim.into(), on, deadline: deadline.map(Into::into) }
            }
            domain::Action::Exit { claim, exit } => Self::Exit { claim: claim.into(), exit: exit.into() },
            domain::Action::Fail { claim, failure } => Self::Fail { claim: claim.into(), failure: failure.into() },
            domain::Action::Destroy { force, why } => Self::Destroy { force: *force, why },
            domain::Action::ScheduleSnapshot { claim, snapshot, due } => {
                Self::ScheduleSnapshot { claim: claim.into(), snapshot: (*snapshot).into(), due: (*due).into() }
            }
            domain::Action::CancelSnapshot { guard } => Self::CancelSnapshot { guard: guard.into() },
            domain::Action::DispatchSnapshot { snapshot } => Self::DispatchSnapshot { snapshot: (*snapshot).into() },
            domain::Action::CompleteSnapshot { snapshot, location, bytes, digest } => Self::CompleteSnapshot {
                snapshot: (*snapshot).into(),
                location,
                bytes: *bytes,
                digest: (*digest).into(),
            },
            domain::Action::FailSnapshot { snapshot, message } => {
                Self::FailSnapshot { snapshot: (*snapshot).into(), message }
            }
            domain::Action::DisconnectRunner { claim } => Self::DisconnectRunner { claim: claim.into() },
            domain::Action::AmendExit { attempt, status, source } => {
                Self::AmendExit { attempt: (*attempt).into(), status: status.into(), source }
            }
            domain::Action::Reconcile { attempt, finding, detail } => {
                Self::Reconcile { attempt: (*attempt).into(), finding: (*finding).into(), detail }
            }
        }
    }

    fn into_domain(self, recorded: Option<&Arc<domain::RunSpec>>) -> Result<domain::Action, &'static str> {
        Ok(match self {
            Self::Create { spec } => domain::Action::Create { spec: Arc::new(spec.into()) },
            Self::CreateAsRecorded => match recorded {
                Some(spec) => domain::Action::Create { spec: Arc::clone(spec) },
                None => return Err("a create refers to the spec of a `Created` event that is not there"),
            },
            Self::Start { attempt, runner, mode } => {
                domain::Action::Start { attempt: attempt.into(), runner: runner.into(), mode: mode.into() }
            }
            Self::Wait { claim, on, deadline } => {
                domain::Action::Wait { claim: claim.into(), on: on.to_owned(), deadline: deadline.map(Into::into) }
            }
            Self::Exit { claim, exit } => domain::Action::Exit { claim: claim.into(), exit: exit.into() },
            Self::Fail { claim, failure } => domain::Action::Fail { claim: claim.into(), failure: failure.into() },
            Self::Destroy { force, why } => domain::Action::Destroy { force, why: why.to_owned() },
            Self::ScheduleSnapshot { claim, snapshot, due } => {
                domain::Action::ScheduleSnapshot { claim: claim.into(), snapshot: snapshot.into(), due: due.into() }
            }
            Self::CancelSnapshot { guard } => domain::Action::CancelSnapshot { guard: guard.into() },
            Self::DispatchSnapshot { snapshot } => domain::Action::DispatchSnapshot { snapshot: snapshot.into() },
            Self::CompleteSnapshot { snapshot, location, bytes, digest } => domain::Action::CompleteSnapshot {
                snapshot: snapshot.into(),
                location: location.to_owned(),
                bytes,
                digest: digest.into(),
            },
            Self::FailSnapshot { snapshot, message } => {
                domain::Action::FailSnapshot { snapshot: snapshot.into(), message: message.to_owned() }
            }
            Self::DisconnectRunner { claim } => domain::Action::DisconnectRunner { claim: claim.into() },
            Self::AmendExit { attempt, status, source } => {
                domain::Action::AmendExit { attempt: attempt.into(), status: status.into(), source: source.to_owned() }
            }
            Self::Reconcile { attempt, finding, detail } => domain::Action::Reconcile {
                attempt: attempt.into(),
                finding: finding.into(),
                detail: detail.to_owned(),
            },
        })
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum StartMode {
    Fresh = 0,
    Resume { previous: Id } = 1,
    Restart { previous: Id } = 2,
    Takeover { expected: Id } = 3,
}

impl From<domain::StartMode> for StartMode {
    fn from(mode: domain::StartMode) -> Self {
        match mode {
            domain::StartMode::Fresh => Self::Fresh,
            domain::StartMode::Resume { previous } => Self::Resume { previous: previous.into() },
            domain::StartMode::Restart { previous } => Self::Restart { previous: previous.into() },
            domain::StartMode::Takeover { expected } => Self::Takeover { expected: expected.into() },
        }
    }
}

impl From<StartMode> for domain::StartMode {
    fn from(mode: StartMode) -> Self {
        match mode {
            StartMode::Fresh => Self::Fresh,
            StartMode::Resume { previous } => Self::Resume { previous: previous.into() },
            StartMode::Restart { previous } => Self::Restart { previous: previous.into() },
            StartMode::Takeover { expected } => Self::Takeover { expected: expected.into() },
        }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum Guard<'a> {
    Runner(&'a str) = 0,
    Unconditional = 1,
}

impl<'a> From<&'a domain::Guard> for Guard<'a> {
    fn from(guard: &'a domain::Guard) -> Self {
        match guard {
            domain::Guard::Runner(runner) => Self::Runner(runner.as_str()),
            domain::Guard::Unconditional => Self::Unconditional,
        }
    }
}

impl From<Guard<'_>> for domain::Guard {
    fn from(guard: Guard<'_>) -> Self {
        match guard {
            Guard::Runner(runner) => Self::Runner(runner.into()),
            Guard::Unconditional => Self::Unconditional,
        }
    }
}
