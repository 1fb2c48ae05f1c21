//! What should follow from a decision in the world, as data.
//!
//! The domain only says it; whoever submitted the command performs it, after the answer. Replay performs nothing.

use super::{Action, AttemptId, Claim, Command, Event, Refusal, RunId, RunState, SnapshotId};

/// Something to do in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take the dispatched snapshot of a run's sandbox.
    TakeSnapshot {
        /// Of which run.
        run: RunId,
        /// Which snapshot.
        snapshot: SnapshotId,
    },
    /// End whatever this attempt still has running: it is no longer wanted. A no-op unless run and attempt match
    /// exactly, and harmless when repeated.
    EndAttempt {
        /// Of which run.
        run: RunId,
        /// Exactly this attempt.
        attempt: AttemptId,
    },
    /// Somebody who holds this claim seems to be alive and must not be: destroy the orphan. A no-op unless run and
    /// attempt match exactly, and harmless when repeated.
    DestroyOrphan {
        /// What it presented.
        claim: Claim,
    },
}

/// What follows from appended events; `before` is the state that they were decided on.
pub fn effects_of_events(before: &RunState, events: &[Event]) -> Vec<Effect> {
    let Some(run) = before.run() else { return Vec::new() };
    let holding = run.attempt.as_ref().filter(|attempt| attempt.outcome.is_none()).map(|attempt| attempt.id);
    events
        .iter()
        .filter_map(|event| match event {
            Event::SnapshotDispatched { snapshot } => Some(Effect::TakeSnapshot { run: run.id, snapshot: *snapshot }),
            Event::Destroyed { .. } => holding.map(|attempt| Effect::EndAttempt { run: run.id, attempt }),
            Event::Started { attempt, .. } => {
                holding.filter(|held| held != attempt).map(|held| Effect::EndAttempt { run: run.id, attempt: held })
            }
            Event::Created { .. }
            | Event::Waiting { .. }
            | Event::Exited { .. }
            | Event::Failed { .. }
            | Event::SnapshotScheduled { .. }
            | Event::SnapshotCanceled { .. }
            | Event::SnapshotTaken { .. }
            | Event::SnapshotFailed { .. }
            | Event::RunnerDisconnected { .. }
            | Event::ExitAmended { .. }
            | Event::Reconciled { .. } => None,
        })
        .collect()
}

/// What follows from a refusal: an actor that reports as if it were alive about a run or attempt that is over has
/// something running that nobody wants.
pub fn effects_of_refusal(command: &Command, refusal: &Refusal) -> Vec<Effect> {
    if !matches!(refusal, Refusal::RunDestroyed | Refusal::StaleAttempt { .. }) {
        return Vec::new();
    }
    let claim = match &command.action {
        Action::Wait { claim, .. } | Action::ScheduleSnapshot { claim, .. } => claim.clone(),
        Action::Start { attempt, runner, .. } => Claim { run: command.run, attempt: *attempt, runner: runner.clone() },
        Action::Create { .. }
        | Action::Exit { .. }
        | Action::Fail { .. }
        | Action::Destroy { .. }
        | Action::CancelSnapshot { .. }
        | Action::DispatchSnapshot { .. }
        | Action::CompleteSnapshot { .. }
        | Action::FailSnapshot { .. }
        | Action::DisconnectRunner { .. }
        | Action::AmendExit { .. }
        | Action::Reconcile { .. } => return Vec::new(),
    };
    // A late start that names the attempt which is current is a repeat by its holder, not an orphan.
    match refusal {
        Refusal::StaleAttempt { current: Some(current) } if *current == claim.attempt => Vec::new(),
        _ => vec![Effect::DestroyOrphan { claim }],
    }
}
