//! What happened.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::command::Guard;
use super::outcome::{Exit, ExitStatus, Failure};
use super::scalar::{Digest, Finding, Id, StartCause, Time};
use super::spec::RunSpec;
use crate::domain;

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum Event<'a> {
    Created { run: Id, spec: RunSpec<'a> } = 0,
    Started { attempt: Id, ordinal: u32, runner: &'a str, cause: StartCause, previous: Option<Id> } = 1,
    Waiting { attempt: Id, on: &'a str, deadline: Option<Time> } = 2,
    Exited { attempt: Id, exit: Exit<'a> } = 3,
    Failed { attempt: Id, ordinal: u32, runner: &'a str, failure: Failure<'a> } = 4,
    Destroyed { why: &'a str, forced: bool } = 5,
    SnapshotScheduled { snapshot: Id, runner: &'a str, due: Time } = 6,
    SnapshotCanceled { snapshot: Id, cause: CancelCause<'a> } = 7,
    SnapshotDispatched { snapshot: Id } = 8,
    SnapshotTaken { snapshot: Id, location: &'a str, bytes: u64, digest: Digest } = 9,
    SnapshotFailed { snapshot: Id, message: &'a str } = 10,
    RunnerDisconnected { attempt: Id, runner: &'a str } = 11,
    ExitAmended { attempt: Id, status: ExitStatus<'a>, source: &'a str } = 12,
    Reconciled { attempt: Id, finding: Finding, detail: &'a str } = 13,
}

impl<'a> From<&'a domain::Event> for Event<'a> {
    fn from(event: &'a domain::Event) -> Self {
        match event {
            domain::Event::Created { run, spec } => Self::Created { run: (*run).into(), spec: spec.as_ref().into() },
            domain::Event::Started { attempt, ordinal, runner, cause, previous } => Self::Started {
                attempt: (*attempt).into(),
                ordinal: ordinal.0,
                runner: runner.as_str(),
                cause: (*cause).into(),
                previous: previous.map(Into::into),
            },
            domain::Event::Waiting { attempt, on, deadline } => {
                Self::Waiting { attempt: (*attempt).into(), on, deadline: deadline.map(Into::into) }
            }
            domain::Event::Exited { attempt, exit } => Self::Exited { attempt: (*attempt).into(), exit: exit.into() },
            domain::Event::Failed { attempt, ordinal, runner, failure } => Self::Failed {
                attempt: (*attempt).into(),
                ordinal: ordinal.0,
                runner: runner.as_str(),
                failure: failure.into(),
            },
            domain::Event::Destroyed { why, forced } => Self::Destroyed { why, forced: *forced },
            domain::Event::SnapshotScheduled { snapshot, runner, due } => {
                Self::SnapshotScheduled { snapshot: (*snapshot).into(), runner: runner.as_str(), due: (*due).into() }
            }
            domain::Event::SnapshotCanceled { snapshot, cause } => {
                Self::SnapshotCanceled { snapshot: (*snapshot).into(), cause: cause.into() }
            }
            domain::Event::SnapshotDispatched { snapshot } => Self::SnapshotDispatched { snapshot: (*snapshot).into() },
            domain::Event::SnapshotTaken { snapshot, location, bytes, digest } => {
                Self::SnapshotTaken { snapshot: (*snapshot).into(), location, bytes: *bytes, digest: (*digest).into() }
            }
            domain::Event::SnapshotFailed { snapshot, message } => {
                Self::SnapshotFailed { snapshot: (*snapshot).into(), message }
            }
            domain::Event::RunnerDisconnected { attempt, runner } => {
                Self::RunnerDisconnected { attempt: (*attempt).into(), runner: runner.as_str() }
            }
            domain::Event::ExitAmended { attempt, status, source } => {
                Self::ExitAmended { attempt: (*attempt).into(), status: status.into(), source }
            }
            domain::Event::Reconciled { attempt, finding, detail } => {
                Self::Reconciled { attempt: (*attempt).into(), finding: (*finding).into(), detail }
            }
        }
    }
}

impl From<Event<'_>> for domain::Event {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Created { run, spec } => Self::Created { run: run.into(), spec: Arc::new(spec.into()) },
            Event::Started { attempt, ordinal, runner, cause, previous } => Self::Started {
                attempt: attempt.into(),
                ordinal: domain::Ordinal(ordinal),
                runner: runner.into(),
                cause: cause.into(),
                previous: previous.map(Into::into),
            },
            Event::Waiting { attempt, on, deadline } => {
                Self::Waiting { attempt: attempt.into(), on: on.to_owned(), deadline: deadline.map(Into::into) }
            }
            Event::Exited { attempt, exit } => Self::Exited { attempt: attempt.into(), exit: exit.into() },
            Event::Failed { attempt, ordinal, runner, failure } => Self::Failed {
                attempt: attempt.into(),
                ordinal: domain::Ordinal(ordinal),
                runner: runner.into(),
                failure: failure.into(),
            },
            Event::Destroyed { why, forced } => Self::Destroyed { why: why.to_owned(), forced },
            Event::SnapshotScheduled { snapshot, runner, due } => {
                Self::SnapshotScheduled { snapshot: snapshot.into(), runner: runner.into(), due: due.into() }
            }
            Event::SnapshotCanceled { snapshot, cause } => {
                Self::SnapshotCanceled { snapshot: snapshot.into(), cause: cause.into() }
            }
            Event::SnapshotDispatched { snapshot } => Self::SnapshotDispatched { snapshot: snapshot.into() },
            Event::SnapshotTaken { snapshot, location, bytes, digest } => Self::SnapshotTaken {
                snapshot: snapshot.into(),
                location: location.to_owned(),
                bytes,
                digest: digest.into(),
            },
            Event::SnapshotFailed { snapshot, message } => {
                Self::SnapshotFailed { snapshot: snapshot.into(), message: message.to_owned() }
            }
            Event::RunnerDisconnected { attempt, runner } => {
                Self::RunnerDisconnected { attempt: attempt.into(), runner: runner.into() }
            }
            Event::ExitAmended { attempt, status, source } => {
                Self::ExitAmended { attempt: attempt.into(), status: status.into(), source: source.to_owned() }
            }
            Event::Reconciled { attempt, finding, detail } => {
                Self::Reconciled { attempt: attempt.into(), finding: finding.into(), detail: detail.to_owned() }
            }
        }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum CancelCause<'a> {
    Asked(Guard<'a>) = 0,
    RunEnded = 1,
    RunnerDisconnected = 2,
    Superseded = 3,
    Resumed = 4,
    TakenOver = 5,
    Destroyed = 6,
}

impl<'a> From<&'a domain::CancelCause> for CancelCause<'a> {
    fn from(cause: &'a domain::CancelCause) -> Self {
        match cause {
            domain::CancelCause::Asked(guard) => Self::Asked(guard.into()),
            domain::CancelCause::RunEnded => Self::RunEnded,
            domain::CancelCause::RunnerDisconnected => Self::RunnerDisconnected,
            domain::CancelCause::Superseded => Self::Superseded,
            domain::CancelCause::Resumed => Self::Resumed,
            domain::CancelCause::TakenOver => Self::TakenOver,
            domain::CancelCause::Destroyed => Self::Destroyed,
        }
    }
}

impl From<CancelCause<'_>> for domain::CancelCause {
    fn from(cause: CancelCause<'_>) -> Self {
        match cause {
            CancelCause::Asked(guard) => Self::Asked(guard.into()),
            CancelCause::RunEnded => Self::RunEnded,
            CancelCause::RunnerDisconnected => Self::RunnerDisconnected,
            CancelCause::Superseded => Self::Superseded,
            CancelCause::Resumed => Self::Resumed,
            CancelCause::TakenOver => Self::TakenOver,
            CancelCause::Destroyed => Self::Destroyed,
        }
    }
}
