//! A run with its state, as checkpoints keep it.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::outcome::Outcome;
use super::scalar::{Id, StartCause, Time};
use super::spec::RunSpec;
use crate::domain;

#[derive(Encode, BorrowDecode)]
pub(super) struct RunRecord<'a> {
    run: Run<'a>,
    created_at: Time,
    updated_at: Time,
    created: u64,
    updated: u64,
    last: u64,
    ended: Option<(u64, u64)>,
    refusals: u64,
}

impl<'a> From<&'a domain::RunRecord> for RunRecord<'a> {
    fn from(record: &'a domain::RunRecord) -> Self {
        let domain::RunRecord { run, created_at, updated_at, created, updated, last, ended, refusals } = record;
        Self {
            run: run.into(),
            created_at: (*created_at).into(),
            updated_at: (*updated_at).into(),
            created: created.0,
            updated: updated.0,
            last: last.0,
            ended: ended.map(|(position, version)| (position.0, version.0)),
            refusals: *refusals,
        }
    }
}

impl From<RunRecord<'_>> for domain::RunRecord {
    fn from(record: RunRecord<'_>) -> Self {
        let RunRecord { run, created_at, updated_at, created, updated, last, ended, refusals } = record;
        Self {
            run: run.into(),
            created_at: created_at.into(),
            updated_at: updated_at.into(),
            created: domain::Position(created),
            updated: domain::Position(updated),
            last: domain::Position(last),
            ended: ended.map(|(position, version)| (domain::Position(position), domain::Version(version))),
            refusals,
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct Run<'a> {
    id: Id,
    version: u64,
    spec: RunSpec<'a>,
    status: Status<'a>,
    attempt: Option<Attempt<'a>>,
    spent: Vec<Id>,
    spent_snapshots: Vec<Id>,
    armed: Option<ArmedSnapshot<'a>>,
    in_flight: Option<DispatchedSnapshot>,
}

impl<'a> From<&'a domain::Run> for Run<'a> {
    fn from(run: &'a domain::Run) -> Self {
        let domain::Run { id, version, spec, status, attempt, spent, spent_snapshots, armed, in_flight } = run;
        Self {
            id: (*id).into(),
            version: version.0,
            spec: spec.as_ref().into(),
            status: status.into(),
            attempt: attempt.as_ref().map(Into::into),
            spent: spent.iter().map(|attempt| (*attempt).into()).collect(),
            spent_snapshots: spent_snapshots.iter().map(|snapshot| (*snapshot).into()).collect(),
            armed: armed.as_ref().map(Into::into),
            in_flight: in_flight.as_ref().map(Into::into),
        }
    }
}

impl From<Run<'_>> for domain::Run {
    fn from(run: Run<'_>) -> Self {
        let Run { id, version, spec, status, attempt, spent, spent_snapshots, armed, in_flight } = run;
        Self {
            id: id.into(),
            version: domain::Version(version),
            spec: Arc::new(spec.into()),
            status: status.into(),
            attempt: attempt.map(Into::into),
            spent: spent.into_iter().map(Into::into).collect(),
            spent_snapshots: spent_snapshots.into_iter().map(Into::into).collect(),
            armed: armed.map(Into::into),
            in_flight: in_flight.map(Into::into),
        }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum Status<'a> {
    Created = 0,
    Started = 1,
    Waiting { on: &'a str, deadline: Option<Time> } = 2,
    Exited = 3,
    Failed = 4,
    Destroyed { why: &'a str } = 5,
}

impl<'a> From<&'a domain::Status> for Status<'a> {
    fn from(status: &'a domain::Status) -> Self {
        match status {
            domain::Status::Created => Self::Created,
            domain::Status::Started => Self::Started,
            domain::Status::Waiting { on, deadline } => Self::Waiting { on, deadline: deadline.map(Into::into) },
            domain::Status::Exited => Self::Exited,
            domain::Status::Failed => Self::Failed,
            domain::Status::Destroyed { why } => Self::Destroyed { why },
        }
    }
}

impl From<Status<'_>> for domain::Status {
    fn from(status: Status<'_>) -> Self {
        match status {
            Status::Created => Self::Created,
            Status::Started => Self::Started,
            Status::Waiting { on, deadline } => Self::Waiting { on: on.to_owned(), deadline: deadline.map(Into::into) },
            Status::Exited => Self::Exited,
            Status::Failed => Self::Failed,
            Status::Destroyed { why } => Self::Destroyed { why: why.to_owned() },
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct Attempt<'a> {
    id: Id,
    ordinal: u32,
    runner: &'a str,
    cause: StartCause,
    started: bool,
    connected: bool,
    outcome: Option<Outcome<'a>>,
}

impl<'a> From<&'a domain::Attempt> for Attempt<'a> {
    fn from(attempt: &'a domain::Attempt) -> Self {
        let domain::Attempt { id, ordinal, runner, cause, started, connected, outcome } = attempt;
        Self {
            id: (*id).into(),
            ordinal: ordinal.0,
            runner: runner.as_str(),
            cause: (*cause).into(),
            started: *started,
            connected: *connected,
            outcome: outcome.as_ref().map(Into::into),
        }
    }
}

impl From<Attempt<'_>> for domain::Attempt {
    fn from(attempt: Attempt<'_>) -> Self {
        let Attempt { id, ordinal, runner, cause, started, connected, outcome } = attempt;
        Self {
            id: id.into(),
            ordinal: domain::Ordinal(ordinal),
            runner: runner.into(),
            cause: cause.into(),
            started,
            connected,
            outcome: outcome.map(Into::into),
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct ArmedSnapshot<'a> {
    id: Id,
    runner: &'a str,
    due: Time,
}

impl<'a> From<&'a domain::ArmedSnapshot> for ArmedSnapshot<'a> {
    fn from(armed: &'a domain::ArmedSnapshot) -> Self {
        let domain::ArmedSnapshot { id, runner, due } = armed;
        Self { id: (*id).into(), runner: runner.as_str(), due: (*due).into() }
    }
}

impl From<ArmedSnapshot<'_>> for domain::ArmedSnapshot {
    fn from(armed: ArmedSnapshot<'_>) -> Self {
        let ArmedSnapshot { id, runner, due } = armed;
        Self { id: id.into(), runner: runner.into(), due: due.into() }
    }
}

#[derive(Encode, BorrowDecode)]
struct DispatchedSnapshot {
    id: Id,
    attempt: Id,
}

impl From<&domain::DispatchedSnapshot> for DispatchedSnapshot {
    fn from(dispatched: &domain::DispatchedSnapshot) -> Self {
        let domain::DispatchedSnapshot { id, attempt } = dispatched;
        Self { id: (*id).into(), attempt: (*attempt).into() }
    }
}

impl From<DispatchedSnapshot> for domain::DispatchedSnapshot {
    fn from(dispatched: DispatchedSnapshot) -> Self {
        let DispatchedSnapshot { id, attempt } = dispatched;
        Self { id: id.into(), attempt: attempt.into() }
    }
}
