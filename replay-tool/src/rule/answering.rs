//! Deciding under changed rules.

use tachograph_engine::domain::{
    CancelCause, Command, Decision, Event, Events, Refusal, RunState, Status, StatusName, decide, evolve,
};
use tachograph_projections::Decided;

use super::rules::Rules;
use super::waiver::{Rewritten, Waiver};

/// What a command comes to.
pub(super) struct Answer {
    /// As it would be recorded.
    pub(super) decided: Decided,
    /// The state after it; absent if it changes nothing.
    pub(super) after: Option<RunState>,
    /// The guards that it passed because they are off.
    pub(super) waived: Vec<Waiver>,
}

/// Decides a command under changed rules. `check_name` says whether the name that it wants is free.
///
/// The engine decides. Where it refuses for a reason whose guard is off, the command is rewritten to what it comes to
/// in a system without that guard, and the engine decides again: so every other guard holds as it always does.
pub(super) fn answer(
    rules: &Rules,
    state: &RunState,
    command: &Command,
    check_name: impl Fn(&RunState, &Command) -> Result<(), Refusal>,
) -> Answer {
    let mut waived = Vec::new();
    let mut asked = Rewritten { command: command.clone(), decided_on: state.clone(), folded_on: state.clone() };
    loop {
        let decision = decide(&asked.decided_on, &asked.command).and_then(|decision| {
            if !waived.contains(&Waiver::NameHeld) {
                check_name(&asked.decided_on, &asked.command)?;
            }
            Ok(decision)
        });
        let refusal = match decision {
            Ok(Decision::Append(events)) => return written(rules, asked, events, waived),
            Ok(Decision::AlreadyRecorded) => return Answer { decided: Decided::AlreadyRecorded, after: None, waived },
            Err(refusal) => refusal,
        };
        // Each guard is passed once; what it refuses again, it refuses for good.
        let passed = Waiver::of(&refusal).filter(|waiver| rules.lack(*waiver) && !waived.contains(waiver));
        match passed.and_then(|waiver| Some((waiver, waiver.rewrite(&asked, &refusal)?))) {
            Some((waiver, rewritten)) => {
                waived.push(waiver);
                asked = rewritten;
            }
            None => return Answer { decided: Decided::Refused(refusal), after: None, waived },
        }
    }
}

fn written(rules: &Rules, asked: Rewritten, mut events: Events, mut waived: Vec<Waiver>) -> Answer {
    if rules.lack(Waiver::TransitionCancel) {
        let before = events.len();
        events.retain(|event| !is_by_transition(event));
        if events.len() < before {
            waived.push(Waiver::TransitionCancel);
        }
    }
    let after = events.iter().fold(asked.folded_on, forced);
    Answer { decided: Decided::Written { events, version: after.version() }, after: Some(after), waived }
}

/// Whether it cancels a snapshot because of what it stands beside, and not because it was asked to.
pub(super) fn is_by_transition(event: &Event) -> bool {
    match event {
        Event::SnapshotCanceled { cause, .. } => match cause {
            CancelCause::Asked(_) | CancelCause::Superseded => false,
            CancelCause::RunEnded
            | CancelCause::RunnerDisconnected
            | CancelCause::Resumed
            | CancelCause::TakenOver
            | CancelCause::Destroyed => true,
        },
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::Failed { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotFailed { .. }
        | Event::RunnerDisconnected { .. }
        | Event::ExitAmended { .. }
        | Event::Reconciled { .. } => false,
    }
}

/// The state after an event, also in a status in which it never follows where all guards are on. What is no transition
/// leaves the status as it was.
pub(super) fn forced(state: RunState, event: &Event) -> RunState {
    if event.may_follow(&state) {
        return evolve(state, event);
    }
    let RunState::Known(mut run) = state else { return state };
    let Some(possible) = event.name().follows().first() else { return evolve(RunState::Unknown, event) };
    let status = std::mem::replace(&mut run.status, any(*possible));
    match evolve(RunState::Known(run), event) {
        RunState::Known(mut run) => {
            if event.leads_to().is_none() {
                run.status = status;
            }
            RunState::Known(run)
        }
        RunState::Unknown => RunState::Unknown,
    }
}

fn any(status: StatusName) -> Status {
    match status {
        StatusName::Created => Status::Created,
        StatusName::Started => Status::Started,
        StatusName::Waiting => Status::Waiting { on: String::new(), deadline: None },
        StatusName::Exited => Status::Exited,
        StatusName::Failed => Status::Failed,
        StatusName::Destroyed => Status::Destroyed { why: String::new() },
    }
}
