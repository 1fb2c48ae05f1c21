//! Which command leads to which events, and which is refused.

use super::event::{CancelCause, Event, Events, Finding};
use super::limits::{self, ATTEMPTS_MAX};
use super::state::{Attempt, Outcome, Run, RunState, StartCause, Status};
use super::{
    Action, AttemptId, Claim, Command, Exit, ExitStatus, Failure, Guard, Ordinal, Refusal, RunnerId, SnapshotId,
    StartMode, StatusName, Timestamp,
};

/// The result of a snapshot that was being taken when its run was destroyed.
pub const DESTROYED_MEANWHILE: &str = "the run was destroyed while the snapshot was being taken";

/// What an accepted command leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These events, to be appended all or none.
    Append(Events),
    /// Nothing: the same report about the attempt's end is already recorded and gets the first answer.
    AlreadyRecorded,
}

/// Decides a command against the state of its run.
///
/// Pure and total. What is beyond one run is checked around it: the name of a run by
/// [`Fleet`](super::Fleet::decide), and the command's id, which is looked up before everything else, by the shell.
///
/// # Errors
///
/// The [`Refusal`] that fits first, in this order: input, existence, expected version, attempt, runner, transition.
pub fn decide(state: &RunState, command: &Command) -> Result<Decision, Refusal> {
    limits::check(command)?;
    let run = match (state, &command.action) {
        (RunState::Unknown, Action::Create { spec }) => {
            expect_version(state, command)?;
            return append(vec![Event::Created { run: command.run, spec: spec.clone() }]);
        }
        (RunState::Unknown, _) => return Err(Refusal::UnknownRun),
        (RunState::Known(run), _) => run,
    };
    if let Status::Destroyed { .. } = run.status {
        return Err(Refusal::RunDestroyed);
    }
    expect_version(state, command)?;
    match &command.action {
        Action::Create { .. } => Err(Refusal::RunExists),
        Action::Start { attempt, runner, mode } => start(run, *attempt, runner, *mode),
        Action::Wait { claim, on, deadline } => wait(run, claim, on, *deadline, command),
        Action::Exit { claim, exit } => exited(run, claim, exit, command),
        Action::Fail { claim, failure } => failed(run, claim, failure, command),
        Action::Destroy { force, why } => destroy(run, *force, why),
        Action::ScheduleSnapshot { claim, snapshot, due } => schedule(run, claim, *snapshot, *due, command),
        Action::CancelSnapshot { guard } => cancel(run, guard),
        Action::DispatchSnapshot { snapshot } => dispatch(run, *snapshot, command.issued_at),
        Action::CompleteSnapshot { snapshot, location, bytes, digest } => {
            expect_in_flight(run, *snapshot)?;
            append(vec![Event::SnapshotTaken {
                snapshot: *snapshot,
                location: location.clone(),
                bytes: *bytes,
                digest: *digest,
            }])
        }
        Action::FailSnapshot { snapshot, message } => {
            expect_in_flight(run, *snapshot)?;
            append(vec![Event::SnapshotFailed { snapshot: *snapshot, message: message.clone() }])
        }
        Action::DisconnectRunner { claim } => disconnect(run, claim, command),
        Action::AmendExit { attempt, status, source } => amend(run, *attempt, status, source, command),
        Action::Reconcile { attempt, finding, detail } => {
            current(run, *attempt)?;
            if *finding == Finding::Adopted {
                // Nothing is followed that is recorded as over; whatever is still there is an orphan.
                require(run, command, |status| !status.is_ended())?;
            }
            append(vec![Event::Reconciled { attempt: *attempt, finding: *finding, detail: detail.clone() }])
        }
    }
}

fn append(events: Events) -> Result<Decision, Refusal> {
    Ok(Decision::Append(events))
}

fn start(run: &Run, attempt: AttemptId, runner: &RunnerId, mode: StartMode) -> Result<Decision, Refusal> {
    let illegal = || Refusal::IllegalTransition { from: run.status.name(), action: super::ActionName::Start };
    let latest = run.attempt.as_ref();
    let (cause, previous) = match mode {
        StartMode::Fresh => (StartCause::Fresh, None),
        StartMode::Resume { previous } => (StartCause::Resume, Some(previous)),
        StartMode::Restart { previous } => (StartCause::Restart, Some(previous)),
        StartMode::Takeover { expected } => (StartCause::Takeover, Some(expected)),
    };
    // The fence first: whoever names another attempt than the latest, or brings a spent one, is late, whatever the
    // status happens to be.
    if latest.map(|latest| latest.id) != previous || run.spent.contains(&attempt) {
        return Err(Refusal::StaleAttempt { current: latest.map(|latest| latest.id) });
    }
    let fits = match mode {
        StartMode::Fresh => run.status == Status::Created,
        StartMode::Resume { .. } => matches!(run.status, Status::Waiting { .. }),
        StartMode::Restart { .. } => matches!(run.status, Status::Exited | Status::Failed),
        StartMode::Takeover { .. } => run.status == Status::Started,
    };
    if !fits {
        return Err(illegal());
    }
    let resumed_by_holder = cause == StartCause::Resume && latest.is_some_and(|latest| latest.runner == *runner);
    let ordinal = match latest {
        Some(latest) if resumed_by_holder => {
            if attempt != latest.id {
                return Err(Refusal::InvalidInput {
                    field: "attempt".to_owned(),
                    why: format!("the holder resumes its own attempt, {}", latest.id),
                });
            }
            latest.ordinal
        }
        latest => open_next(latest, attempt)?,
    };
    let started = Event::Started { attempt, ordinal, runner: runner.clone(), cause, previous };
    let cancel_cause = if resumed_by_holder { CancelCause::Resumed } else { CancelCause::TakenOver };
    append(with_cancel(run, started, cancel_cause))
}

/// The ordinal of a new attempt, whose id must be new as well.
fn open_next(latest: Option<&Attempt>, attempt: AttemptId) -> Result<Ordinal, Refusal> {
    let Some(latest) = latest else { return Ok(Ordinal::ZERO.next()) };
    if attempt == latest.id {
        return Err(Refusal::StaleAttempt { current: Some(latest.id) });
    }
    if latest.ordinal.0 >= ATTEMPTS_MAX {
        return Err(Refusal::AttemptsExhausted { limit: ATTEMPTS_MAX });
    }
    Ok(latest.ordinal.next())
}

fn wait(
    run: &Run,
    claim: &Claim,
    on: &str,
    deadline: Option<Timestamp>,
    command: &Command,
) -> Result<Decision, Refusal> {
    held(run, claim)?;
    require(run, command, |status| status == StatusName::Started)?;
    append(vec![Event::Waiting { attempt: claim.attempt, on: on.to_owned(), deadline }])
}

fn exited(run: &Run, claim: &Claim, exit: &Exit, command: &Command) -> Result<Decision, Refusal> {
    let attempt = held(run, claim)?;
    if let Some(recorded) = &attempt.outcome {
        // The verdict is compared, not the evidence: two witnesses of one status agree. An amended exit agrees with
        // its first report and with the amendment.
        let same = match recorded {
            Outcome::Exited { exit: first, amended } => {
                first.status == exit.status || amended.as_ref() == Some(&exit.status)
            }
            Outcome::Failed(_) => false,
        };
        return again(same, recorded);
    }
    require(run, command, |status| matches!(status, StatusName::Started | StatusName::Waiting))?;
    let exited = Event::Exited { attempt: claim.attempt, exit: exit.clone() };
    append(with_cancel(run, exited, CancelCause::RunEnded))
}

fn failed(run: &Run, claim: &Claim, failure: &Failure, command: &Command) -> Result<Decision, Refusal> {
    // Before the first attempt, the claim names the one that never started.
    let ordinal = if run.attempt.is_none() { Ordinal::ZERO.next() } else { held(run, claim)?.ordinal };
    if let Some(recorded) = run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref()) {
        let same =
            recorded.failure().is_some_and(|first| first.kind == failure.kind && first.message == failure.message);
        return again(same, recorded);
    }
    require(run, command, |status| !status.is_ended())?;
    let failed =
        Event::Failed { attempt: claim.attempt, ordinal, runner: claim.runner.clone(), failure: failure.clone() };
    append(with_cancel(run, failed, CancelCause::RunEnded))
}

/// A second report about an attempt's end.
fn again(same: bool, recorded: &Outcome) -> Result<Decision, Refusal> {
    if same {
        Ok(Decision::AlreadyRecorded)
    } else {
        Err(Refusal::ConflictingTerminal { recorded: Box::new(recorded.clone()) })
    }
}

fn destroy(run: &Run, force: bool, why: &str) -> Result<Decision, Refusal> {
    let open = matches!(run.status, Status::Started | Status::Waiting { .. });
    if open && !force {
        return Err(Refusal::ForceRequired { from: run.status.name() });
    }
    let mut events = cancellation(run, CancelCause::Destroyed);
    // Its result could not be recorded any more, and every dispatched snapshot has one.
    events.extend(
        run.in_flight
            .iter()
            .map(|in_flight| Event::SnapshotFailed { snapshot: in_flight.id, message: DESTROYED_MEANWHILE.to_owned() }),
    );
    events.push(Event::Destroyed { why: why.to_owned(), forced: open });
    append(events)
}

fn schedule(
    run: &Run,
    claim: &Claim,
    snapshot: SnapshotId,
    due: Timestamp,
    command: &Command,
) -> Result<Decision, Refusal> {
    held(run, claim)?;
    require(run, command, |status| status == StatusName::Waiting)?;
    let is_armed = run.armed.as_ref().is_some_and(|armed| armed.id == snapshot);
    if is_armed || run.spent_snapshots.contains(&snapshot) {
        return Err(Refusal::InvalidInput { field: "snapshot".to_owned(), why: "the id was used before".to_owned() });
    }
    let scheduled = Event::SnapshotScheduled { snapshot, runner: claim.runner.clone(), due };
    append(with_cancel(run, scheduled, CancelCause::Superseded))
}

fn cancel(run: &Run, guard: &Guard) -> Result<Decision, Refusal> {
    let Some(armed) = &run.armed else {
        return Err(match &run.in_flight {
            Some(in_flight) => Refusal::AlreadyDispatched { snapshot: in_flight.id },
            None => Refusal::NothingPending,
        });
    };
    match guard {
        Guard::Runner(runner) if *runner != armed.runner => Err(Refusal::NotOwner { armed_by: armed.runner.clone() }),
        Guard::Runner(_) | Guard::Unconditional => append(cancellation(run, CancelCause::Asked(guard.clone()))),
    }
}

fn dispatch(run: &Run, snapshot: SnapshotId, now: Timestamp) -> Result<Decision, Refusal> {
    match (&run.armed, &run.in_flight) {
        (_, Some(in_flight)) => Err(Refusal::AlreadyDispatched { snapshot: in_flight.id }),
        (Some(armed), None) if armed.id == snapshot => {
            if now < armed.due {
                return Err(Refusal::NotDue { due: armed.due });
            }
            append(vec![Event::SnapshotDispatched { snapshot }])
        }
        (armed, None) => Err(Refusal::SnapshotGone { armed: armed.as_ref().map(|armed| armed.id) }),
    }
}

fn expect_in_flight(run: &Run, snapshot: SnapshotId) -> Result<(), Refusal> {
    match &run.in_flight {
        Some(in_flight) if in_flight.id == snapshot => Ok(()),
        _ => Err(Refusal::SnapshotGone { armed: run.armed.as_ref().map(|armed| armed.id) }),
    }
}

fn disconnect(run: &Run, claim: &Claim, command: &Command) -> Result<Decision, Refusal> {
    let attempt = held(run, claim)?;
    require(run, command, |status| matches!(status, StatusName::Started | StatusName::Waiting))?;
    if !attempt.connected {
        return Err(Refusal::AlreadyDisconnected);
    }
    let disconnected = Event::RunnerDisconnected { attempt: claim.attempt, runner: claim.runner.clone() };
    append(with_cancel(run, disconnected, CancelCause::RunnerDisconnected))
}

fn amend(
    run: &Run,
    attempt: AttemptId,
    status: &ExitStatus,
    source: &str,
    command: &Command,
) -> Result<Decision, Refusal> {
    match &current(run, attempt)?.outcome {
        Some(Outcome::Exited { exit: Exit { status: ExitStatus::Unknown { .. }, .. }, amended: None }) => {
            let source = source.to_owned();
            append(vec![Event::ExitAmended { attempt, status: status.clone(), source }])
        }
        Some(recorded) => Err(Refusal::NotAmendable { recorded: Box::new(recorded.clone()) }),
        None => Err(Refusal::IllegalTransition { from: run.status.name(), action: command.action.name() }),
    }
}

/// The current attempt, if it is the one that is named.
fn current(run: &Run, attempt: AttemptId) -> Result<&Attempt, Refusal> {
    match &run.attempt {
        Some(current) if current.id == attempt => Ok(current),
        latest => Err(Refusal::StaleAttempt { current: latest.as_ref().map(|latest| latest.id) }),
    }
}

/// The current attempt, if the claim is about it and made by its holder.
fn held<'run>(run: &'run Run, claim: &Claim) -> Result<&'run Attempt, Refusal> {
    let attempt = current(run, claim.attempt)?;
    if attempt.runner != claim.runner {
        return Err(Refusal::WrongRunner { holder: attempt.runner.clone() });
    }
    Ok(attempt)
}

fn require(run: &Run, command: &Command, fits: impl Fn(StatusName) -> bool) -> Result<(), Refusal> {
    let from = run.status.name();
    if fits(from) { Ok(()) } else { Err(Refusal::IllegalTransition { from, action: command.action.name() }) }
}

fn expect_version(state: &RunState, command: &Command) -> Result<(), Refusal> {
    match command.expected {
        Some(expected) if expected != state.version() => Err(Refusal::VersionConflict { actual: state.version() }),
        _ => Ok(()),
    }
}

/// The event, preceded by the cancel of an armed snapshot that it makes wrong: so nothing ever follows `Destroyed`.
fn with_cancel(run: &Run, event: Event, cause: CancelCause) -> Events {
    let mut events = cancellation(run, cause);
    events.push(event);
    events
}

fn cancellation(run: &Run, cause: CancelCause) -> Events {
    run.armed.iter().map(|armed| Event::SnapshotCanceled { snapshot: armed.id, cause: cause.clone() }).collect()
}
