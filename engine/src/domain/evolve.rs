//! The one transition function: used for live recording, recovery and replay alike.

use super::event::{Event, Finding};
use super::limits::SNAPSHOTS_REMEMBERED;
use super::state::{ArmedSnapshot, Attempt, DispatchedSnapshot, Outcome, Run, RunState, StartCause, Status};
use super::{AttemptId, Ordinal, RunnerId, SnapshotId};

/// The state after an event.
///
/// Total: an event that [may not follow](Event::may_follow) leaves the state as it was, so that a reader of a damaged
/// history never stops half-way. Whoever must notice asks `may_follow` first.
#[must_use]
pub fn evolve(state: RunState, event: &Event) -> RunState {
    match (state, event) {
        (RunState::Unknown, Event::Created { run, spec }) => RunState::Known(Box::new(Run {
            id: *run,
            version: super::Version::ZERO.next(),
            spec: spec.clone(),
            status: Status::Created,
            attempt: None,
            spent: Vec::new(),
            spent_snapshots: Vec::new(),
            armed: None,
            in_flight: None,
        })),
        (RunState::Unknown, _) => RunState::Unknown,
        (RunState::Known(mut run), event) => {
            follow(&mut run, event);
            RunState::Known(run)
        }
    }
}

/// The same where the run is known, in place: one that may not follow changes nothing.
pub(super) fn follow(run: &mut Run, event: &Event) {
    if event.may_follow_status(run.status.name()) {
        apply(run, event);
        run.version = run.version.next();
    }
}

fn apply(run: &mut Run, event: &Event) {
    match event {
        // `may_follow` admits it in `Unknown` only.
        Event::Created { .. } => {}
        Event::Started { attempt, ordinal, runner, cause, previous: _ } => {
            open(run, *attempt, *ordinal, runner, *cause);
            run.status = Status::Started;
        }
        Event::Waiting { attempt: _, on, deadline } => {
            run.status = Status::Waiting { on: on.clone(), deadline: *deadline };
            connect(run, true);
        }
        Event::Exited { attempt: _, exit } => {
            run.status = Status::Exited;
            conclude(run, Outcome::Exited { exit: exit.clone(), amended: None });
        }
        Event::Failed { attempt, ordinal, runner, failure } => {
            if run.attempt.as_ref().is_none_or(|current| current.id != *attempt) {
                // A start that failed before `Started`: it is the attempt's whole history.
                open(run, *attempt, *ordinal, runner, StartCause::Fresh);
                if let Some(current) = &mut run.attempt {
                    current.started = false;
                }
            }
            run.status = Status::Failed;
            conclude(run, Outcome::Failed(failure.clone()));
        }
        Event::Destroyed { why, forced: _ } => run.status = Status::Destroyed { why: why.clone() },
        Event::SnapshotScheduled { snapshot, runner, due } => {
            run.armed = Some(ArmedSnapshot { id: *snapshot, runner: runner.clone(), due: *due });
            // Who arms is there: a later loss of the connection must find something to report, and cancel this.
            connect(run, true);
        }
        Event::SnapshotCanceled { snapshot, cause: _ } => {
            disarm(run, *snapshot);
        }
        Event::SnapshotDispatched { snapshot } => {
            disarm(run, *snapshot);
            run.in_flight =
                run.attempt.as_ref().map(|attempt| DispatchedSnapshot { id: *snapshot, attempt: attempt.id });
        }
        Event::SnapshotTaken { snapshot, .. } | Event::SnapshotFailed { snapshot, .. } => {
            run.in_flight.take_if(|in_flight| in_flight.id == *snapshot);
        }
        Event::RunnerDisconnected { .. } => connect(run, false),
        Event::ExitAmended { attempt: _, status, source: _ } => {
            if let Some(Outcome::Exited { amended, .. }) =
                run.attempt.as_mut().and_then(|attempt| attempt.outcome.as_mut())
            {
                *amended = Some(status.clone());
            }
        }
        Event::Reconciled { finding, .. } => match finding {
            Finding::Adopted => connect(run, true),
            Finding::Lost | Finding::Orphan => {}
        },
    }
}

/// Makes the attempt the current one; a resume by its holder keeps it.
fn open(run: &mut Run, attempt: AttemptId, ordinal: Ordinal, runner: &RunnerId, cause: StartCause) {
    match &mut run.attempt {
        Some(current) if current.id == attempt => {
            current.connected = true;
            current.cause = cause;
        }
        _ => {
            let next = Attempt {
                id: attempt,
                ordinal,
                runner: runner.clone(),
                cause,
                started: true,
                connected: true,
                outcome: None,
            };
            if let Some(previous) = run.attempt.replace(next) {
                run.spent.push(previous.id);
            }
        }
    }
}

/// Ends the time in which the snapshot can be canceled, for good.
fn disarm(run: &mut Run, snapshot: SnapshotId) {
    if run.armed.take_if(|armed| armed.id == snapshot).is_some() {
        if run.spent_snapshots.len() >= SNAPSHOTS_REMEMBERED {
            run.spent_snapshots.remove(0);
        }
        run.spent_snapshots.push(snapshot);
    }
}

fn conclude(run: &mut Run, outcome: Outcome) {
    if let Some(attempt) = &mut run.attempt {
        attempt.outcome = Some(outcome);
    }
}

fn connect(run: &mut Run, connected: bool) {
    if let Some(attempt) = &mut run.attempt {
        attempt.connected = connected;
    }
}
