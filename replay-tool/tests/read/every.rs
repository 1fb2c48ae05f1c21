//! One of everything that a history can hold: every event, every reason to refuse, every fact about the journal.
//!
//! Each list is made by asking for the next one after the one before, in a match without a catch-all: a new variant does not
//! compile until it is in.

use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{
    ActionName, AttemptId, CancelCause, Diagnostics, Digest, Drain, Event, Exit, ExitStatus, Failure, FailureKind,
    Finding, Guard, Ordinal, Outcome, OutputReceipt, Position, Refusal, RunId, RunnerId, Session, SnapshotId,
    StartCause, StatusName, Stream, StreamReceipt, SystemFact, TornTail, Version, Witness,
};

use crate::made::START;

const RUN: u64 = 1;

fn run_id() -> RunId {
    ids::run(RUN)
}

fn attempt(number: u64) -> AttemptId {
    ids::attempt(number)
}

fn snapshot(number: u64) -> SnapshotId {
    ids::snapshot(number)
}

fn chain<T>(next: impl Fn(Option<&T>) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(found) = next(all.last()) {
        all.push(found);
    }
    all
}

/// Every event, with every cause, witness, finding and way to end that it can carry.
pub(crate) fn events() -> Vec<Event> {
    chain(next_event)
}

fn next_event(before: Option<&Event>) -> Option<Event> {
    let runner = || RunnerId::from("r1");
    Some(match before {
        None => Event::Created { run: run_id(), spec: std::sync::Arc::new(spec("build")) },
        Some(Event::Created { .. }) => started(StartCause::Fresh),
        Some(Event::Started { cause, .. }) => match cause {
            StartCause::Fresh => started(StartCause::Resume),
            StartCause::Resume => started(StartCause::Restart),
            StartCause::Restart => started(StartCause::Takeover),
            StartCause::Takeover => Event::Waiting { attempt: attempt(1), on: "approval".to_owned(), deadline: None },
        },
        Some(Event::Waiting { deadline: None, .. }) => {
            Event::Waiting { attempt: attempt(1), on: "approval".to_owned(), deadline: Some(START) }
        }
        Some(Event::Waiting { deadline: Some(_), .. }) => exited(ExitStatus::Code(7), Witness::Waited),
        Some(Event::Exited { exit, .. }) => match exit.witness {
            Witness::Waited => exited(ExitStatus::Signal(9), Witness::ExitFile),
            Witness::ExitFile => {
                exited(ExitStatus::Unknown { cause: "nobody saw it".to_owned() }, Witness::Synthesised)
            }
            Witness::Synthesised => failed(FailureKind::NotFound),
        },
        Some(Event::Failed { failure, .. }) => match &failure.kind {
            FailureKind::NotFound => failed(FailureKind::NotExecutable),
            FailureKind::NotExecutable => failed(FailureKind::SpawnFailed),
            FailureKind::SpawnFailed => failed(FailureKind::StartTimeout),
            FailureKind::StartTimeout => failed(FailureKind::TimedOut),
            FailureKind::TimedOut => failed(FailureKind::SupervisorLost),
            FailureKind::SupervisorLost => failed(FailureKind::RunnerLost),
            FailureKind::RunnerLost => failed(FailureKind::StartAbandoned),
            FailureKind::StartAbandoned => failed(FailureKind::OutputLost),
            FailureKind::OutputLost => failed(FailureKind::Other("melted".to_owned())),
            FailureKind::Other(_) => Event::Destroyed { why: "clean up".to_owned(), forced: false },
        },
        Some(Event::Destroyed { forced: false, .. }) => Event::Destroyed { why: "clean up".to_owned(), forced: true },
        Some(Event::Destroyed { forced: true, .. }) => {
            Event::SnapshotScheduled { snapshot: snapshot(1), runner: runner(), due: START }
        }
        Some(Event::SnapshotScheduled { .. }) => canceled(CancelCause::Asked(Guard::Runner(runner()))),
        Some(Event::SnapshotCanceled { cause, .. }) => match cause {
            CancelCause::Asked(Guard::Runner(_)) => canceled(CancelCause::Asked(Guard::Unconditional)),
            CancelCause::Asked(Guard::Unconditional) => canceled(CancelCause::RunEnded),
            CancelCause::RunEnded => canceled(CancelCause::RunnerDisconnected),
            CancelCause::RunnerDisconnected => canceled(CancelCause::Superseded),
            CancelCause::Superseded => canceled(CancelCause::Resumed),
            CancelCause::Resumed => canceled(CancelCause::TakenOver),
            CancelCause::TakenOver => canceled(CancelCause::Destroyed),
            CancelCause::Destroyed => Event::SnapshotDispatched { snapshot: snapshot(1) },
        },
        Some(Event::SnapshotDispatched { .. }) => Event::SnapshotTaken {
            snapshot: snapshot(1),
            location: "snapshots/a.tar.zst".to_owned(),
            bytes: 42,
            digest: Digest([7; 32]),
        },
        Some(Event::SnapshotTaken { .. }) => {
            Event::SnapshotFailed { snapshot: snapshot(1), message: "no room".to_owned() }
        }
        Some(Event::SnapshotFailed { .. }) => Event::RunnerDisconnected { attempt: attempt(1), runner: runner() },
        Some(Event::RunnerDisconnected { .. }) => Event::ExitAmended {
            attempt: attempt(1),
            status: ExitStatus::Code(42),
            source: "runs/exit.json".to_owned(),
        },
        Some(Event::ExitAmended { .. }) => reconciled(Finding::Adopted),
        Some(Event::Reconciled { finding, .. }) => match finding {
            Finding::Adopted => reconciled(Finding::Lost),
            Finding::Lost => reconciled(Finding::Orphan),
            Finding::Orphan => return None,
        },
    })
}

fn started(cause: StartCause) -> Event {
    let (attempt, runner) = (attempt(2), RunnerId::from("r1"));
    Event::Started { attempt, ordinal: Ordinal(2), runner, cause, previous: None }
}

fn exited(status: ExitStatus, witness: Witness) -> Event {
    let stream = |bytes| StreamReceipt { bytes, digest: Digest([1; 32]) };
    let drain = match witness {
        Witness::Waited => Drain::Drained,
        _ => Drain::DrainTimedOut { waited_ms: 2_000, open: vec![Stream::Stdout, Stream::Stderr] },
    };
    let output =
        (witness != Witness::Synthesised).then(|| OutputReceipt { stdout: stream(3), stderr: stream(4), drain });
    Event::Exited { attempt: attempt(1), exit: Exit { status, witness, output } }
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, message: "as it was said".to_owned(), diagnostics: Diagnostics::default() }
}

fn failed(kind: FailureKind) -> Event {
    let runner = RunnerId::from("r1");
    Event::Failed { attempt: attempt(1), ordinal: Ordinal(1), runner, failure: failure(kind) }
}

fn canceled(cause: CancelCause) -> Event {
    Event::SnapshotCanceled { snapshot: snapshot(1), cause }
}

fn reconciled(finding: Finding) -> Event {
    Event::Reconciled { attempt: attempt(1), finding, detail: "as it was found".to_owned() }
}

/// Every reason to refuse a command.
pub(crate) fn refusals() -> Vec<Refusal> {
    chain(next_refusal)
}

fn next_refusal(before: Option<&Refusal>) -> Option<Refusal> {
    let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
    let recorded = || Box::new(Outcome::Exited { exit: exit.clone(), amended: None });
    Some(match before {
        None => Refusal::UnknownRun,
        Some(Refusal::UnknownRun) => Refusal::RunExists,
        Some(Refusal::RunExists) => Refusal::RunDestroyed,
        Some(Refusal::RunDestroyed) => Refusal::StaleAttempt { current: None },
        Some(Refusal::StaleAttempt { current: None }) => Refusal::StaleAttempt { current: Some(attempt(2)) },
        Some(Refusal::StaleAttempt { current: Some(_) }) => Refusal::WrongRunner { holder: RunnerId::from("r2") },
        Some(Refusal::WrongRunner { .. }) => {
            Refusal::IllegalTransition { from: StatusName::Exited, action: ActionName::Wait }
        }
        Some(Refusal::IllegalTransition { .. }) => Refusal::ConflictingTerminal { recorded: recorded() },
        Some(Refusal::ConflictingTerminal { .. }) => Refusal::VersionConflict { actual: Version(4) },
        Some(Refusal::VersionConflict { .. }) => {
            Refusal::InvalidInput { field: "spec.name".to_owned(), why: "200 bytes; at most 128".to_owned() }
        }
        Some(Refusal::InvalidInput { .. }) => Refusal::NameHeld { name: "build".to_owned(), holder: ids::run(2) },
        Some(Refusal::NameHeld { .. }) => Refusal::ForceRequired { from: StatusName::Started },
        Some(Refusal::ForceRequired { .. }) => Refusal::NothingPending,
        Some(Refusal::NothingPending) => Refusal::NotOwner { armed_by: RunnerId::from("r2") },
        Some(Refusal::NotOwner { .. }) => Refusal::AlreadyDispatched { snapshot: snapshot(1) },
        Some(Refusal::AlreadyDispatched { .. }) => Refusal::SnapshotGone { armed: None },
        Some(Refusal::SnapshotGone { armed: None }) => Refusal::SnapshotGone { armed: Some(snapshot(2)) },
        Some(Refusal::SnapshotGone { armed: Some(_) }) => Refusal::NotDue { due: START },
        Some(Refusal::NotDue { .. }) => Refusal::AlreadyDisconnected,
        Some(Refusal::AlreadyDisconnected) => Refusal::NotAmendable { recorded: recorded() },
        Some(Refusal::NotAmendable { .. }) => Refusal::AttemptsExhausted { limit: 10_000 },
        Some(Refusal::AttemptsExhausted { .. }) => return None,
    })
}

/// Every fact about the journal.
pub(crate) fn facts() -> Vec<SystemFact> {
    chain(next_fact)
}

fn next_fact(before: Option<&SystemFact>) -> Option<SystemFact> {
    let session = || Session {
        host: "build-3".to_owned(),
        boot_id: String::new(),
        pid: 4_711,
        version: "0.1.0".to_owned(),
        wall: START,
        monotonic_us: 0,
    };
    Some(match before {
        None => SystemFact::Opened(session()),
        Some(SystemFact::Opened(_)) => SystemFact::Recovered { torn: None, missing_up_to: None, open_runs: 1 },
        Some(SystemFact::Recovered { torn: None, .. }) => {
            let file = "00000000000000000001.seg".to_owned();
            let torn = TornTail { file, offset: 4_096, bytes: 77, position: Position(10) };
            let missing_up_to = Some((Position(9), Digest([2; 32])));
            SystemFact::Recovered { torn: Some(torn), missing_up_to, open_runs: 2 }
        }
        Some(SystemFact::Recovered { torn: Some(_), .. }) => SystemFact::Closed(session()),
        Some(SystemFact::Closed(_)) => return None,
    })
}
