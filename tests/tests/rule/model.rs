//! Ledgers that lack a guard from the beginning.
//!
//! Each changes every command, or the state before it, to what it is where nobody checks; none waits for a refusal.

use std::collections::BTreeMap;

use tachograph_engine::domain::{
    Action, AttemptId, Command, Decision, Entry, Event, Fleet, Outcome, RunId, RunState, StartMode, Status, decide,
    evolve,
};
use tachograph_replay::rule::Ending;

/// How every run ended up, by the recorded events.
pub(crate) fn recorded(entries: &[Entry]) -> BTreeMap<RunId, Ending> {
    let mut fleet = Fleet::default();
    for entry in entries {
        if let Some(run) = entry.run() {
            fleet.apply(run, entry.events());
        }
    }
    endings(&fleet)
}

pub(crate) fn endings(fleet: &Fleet) -> BTreeMap<RunId, Ending> {
    fleet.runs().map(|(run, state)| (run, Ending::of(state))).filter(|(_, ending)| ending.status.is_some()).collect()
}

/// Gives commands, each changed in the light of its run's state, to a fleet with all rules on.
pub(crate) fn given<'a>(
    commands: impl IntoIterator<Item = &'a Command>,
    change: impl Fn(&RunState, &mut Command),
) -> BTreeMap<RunId, Ending> {
    let mut fleet = Fleet::default();
    for command in commands {
        let mut command = command.clone();
        change(fleet.state(command.run), &mut command);
        if let Ok(Decision::Append(events)) = fleet.decide(&command) {
            fleet.apply(command.run, &events);
        }
    }
    endings(&fleet)
}

/// The same without names: each run is decided alone.
pub(crate) fn given_alone<'a>(
    commands: impl IntoIterator<Item = &'a Command>,
    before: impl Fn(&RunState, &Command) -> RunState,
) -> BTreeMap<RunId, Ending> {
    let mut runs: BTreeMap<RunId, RunState> = BTreeMap::new();
    for command in commands {
        let state = runs.remove(&command.run).unwrap_or_default();
        let base = before(&state, command);
        let after = match decide(&base, command) {
            Ok(Decision::Append(events)) => events.iter().fold(base, |state, event: &Event| evolve(state, event)),
            Ok(Decision::AlreadyRecorded) | Err(_) => state,
        };
        runs.insert(command.run, after);
    }
    let endings = runs.iter().map(|(run, state)| (*run, Ending::of(state)));
    endings.filter(|(_, ending)| ending.status.is_some()).collect()
}

/// Nobody looks at the version.
pub(crate) fn any_version(_: &RunState, command: &mut Command) {
    command.expected = None;
}

/// Everybody may destroy everything.
pub(crate) fn with_force(_: &RunState, command: &mut Command) {
    if let Action::Destroy { force, .. } = &mut command.action {
        *force = true;
    }
}

/// Nobody looks at who reports.
pub(crate) fn any_runner(state: &RunState, command: &mut Command) {
    let Some(attempt) = state.run().and_then(|run| run.attempt.as_ref()) else { return };
    match &mut command.action {
        Action::Wait { claim, .. }
        | Action::Exit { claim, .. }
        | Action::Fail { claim, .. }
        | Action::ScheduleSnapshot { claim, .. }
        | Action::DisconnectRunner { claim } => claim.runner = attempt.runner.clone(),
        _ => {}
    }
}

/// Nobody looks at the attempt that is reported about.
pub(crate) fn any_attempt(state: &RunState, command: &mut Command) {
    let Some(latest) = state.run().and_then(|run| run.attempt.as_ref()) else { return };
    match &mut command.action {
        Action::Wait { claim, .. }
        | Action::Exit { claim, .. }
        | Action::Fail { claim, .. }
        | Action::ScheduleSnapshot { claim, .. }
        | Action::DisconnectRunner { claim } => claim.attempt = latest.id,
        Action::AmendExit { attempt, .. } | Action::Reconcile { attempt, .. } => *attempt = latest.id,
        Action::Start { .. } => start_from_anywhere(state, command),
        _ => {}
    }
}

/// A start that names another attempt than the latest, or brings one that was used, is one out of the present status.
fn start_from_anywhere(state: &RunState, command: &mut Command) {
    let Some((run, latest)) = state.run().and_then(|run| Some((run, run.attempt.as_ref()?))) else { return };
    let Action::Start { attempt, runner, mode } = &mut command.action else { return };
    let named = match mode {
        StartMode::Fresh => None,
        StartMode::Resume { previous } | StartMode::Restart { previous } => Some(*previous),
        StartMode::Takeover { expected } => Some(*expected),
    };
    let resumes = |mode: &StartMode| matches!(mode, StartMode::Resume { .. }) && latest.runner == *runner;
    let waits = matches!(run.status, Status::Waiting { .. });
    let is_used = run.spent.contains(attempt) || (*attempt == latest.id && !resumes(mode));
    if named == Some(latest.id) && !is_used {
        return;
    }
    // The fence refuses a used id only where the rest fits.
    let fits = match mode {
        StartMode::Fresh => matches!(run.status, Status::Created),
        StartMode::Resume { .. } => waits,
        StartMode::Restart { .. } => matches!(run.status, Status::Exited | Status::Failed),
        StartMode::Takeover { .. } => matches!(run.status, Status::Started),
    };
    if named == Some(latest.id) && !run.spent.contains(attempt) && !fits {
        return;
    }
    let previous = latest.id;
    *mode = match run.status {
        Status::Started => StartMode::Takeover { expected: previous },
        Status::Waiting { .. } => StartMode::Resume { previous },
        _ => StartMode::Restart { previous },
    };
    if waits && latest.runner == *runner {
        *attempt = latest.id;
    } else if run.spent.contains(attempt) || *attempt == latest.id {
        *attempt = AttemptId::from_u128(command.id.to_u128());
    }
}

/// The row is written whatever it says: before an end that differs from the recorded one, that one is forgotten.
pub(crate) fn last_end_wins(state: &RunState, command: &Command) -> RunState {
    let (RunState::Known(run), Action::Exit { claim, .. } | Action::Fail { claim, .. }) = (state, &command.action)
    else {
        return state.clone();
    };
    let Some(attempt) = &run.attempt else { return state.clone() };
    let is_same = match (&attempt.outcome, &command.action) {
        (Some(Outcome::Exited { exit: first, amended }), Action::Exit { exit, .. }) => {
            first.status == exit.status || amended.as_ref() == Some(&exit.status)
        }
        (Some(Outcome::Failed(first)), Action::Fail { failure, .. }) => {
            first.kind == failure.kind && first.message == failure.message
        }
        _ => false,
    };
    let is_own = attempt.id == claim.attempt && attempt.runner == claim.runner && claim.run == run.id;
    let fits = command.expected.is_none_or(|expected| expected == run.version);
    let is_open = !matches!(run.status, Status::Destroyed { .. });
    if attempt.outcome.is_none() || is_same || !is_own || !fits || !is_open {
        return state.clone();
    }
    let mut run = run.clone();
    run.status = Status::Started;
    if let Some(attempt) = &mut run.attempt {
        attempt.outcome = None;
    }
    RunState::Known(run)
}
