//! Many runs together: what one run's state cannot decide.

use std::collections::BTreeMap;

use super::decide::{Decision, decide};
use super::state::RunState;
use super::{Action, Command, Event, Refusal, RunId, StartMode, evolve};

/// The name that a command would take for its run, if it would.
///
/// Whoever decides looks up which run that has not ended holds it, and asks [`check_name_free`].
pub fn name_wanted<'a>(state: &'a RunState, command: &'a Command) -> Option<&'a str> {
    match &command.action {
        Action::Create { spec } if *state == RunState::Unknown => spec.name.as_deref(),
        Action::Start { mode: StartMode::Restart { .. }, .. } => state.run().and_then(|run| run.spec.name.as_deref()),
        Action::Create { .. }
        | Action::Start { .. }
        | Action::Wait { .. }
        | Action::Exit { .. }
        | Action::Fail { .. }
        | Action::Destroy { .. }
        | Action::ScheduleSnapshot { .. }
        | Action::CancelSnapshot { .. }
        | Action::DispatchSnapshot { .. }
        | Action::CompleteSnapshot { .. }
        | Action::FailSnapshot { .. }
        | Action::DisconnectRunner { .. }
        | Action::AmendExit { .. }
        | Action::Reconcile { .. } => None,
    }
}

/// Refuses a name that another run holds.
///
/// # Errors
///
/// [`Refusal::NameHeld`].
pub fn check_name_free(run: RunId, name: &str, holder: Option<RunId>) -> Result<(), Refusal> {
    match holder {
        Some(holder) if holder != run => Err(Refusal::NameHeld { name: name.to_owned(), holder }),
        _ => Ok(()),
    }
}

/// All runs of a journal in memory: the reference against which the engine's own bookkeeping is tested, and the state
/// over which recorded commands are decided again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fleet {
    runs: BTreeMap<RunId, RunState>,
    names: BTreeMap<String, RunId>,
}

impl Fleet {
    /// The state of one run.
    pub fn state(&self, run: RunId) -> &RunState {
        const UNKNOWN: &RunState = &RunState::Unknown;
        self.runs.get(&run).unwrap_or(UNKNOWN)
    }

    /// All runs that are known, by id.
    pub fn runs(&self) -> impl Iterator<Item = (RunId, &RunState)> {
        self.runs.iter().map(|(id, state)| (*id, state))
    }

    /// The run that a name stands for: its present holder, else its last one.
    pub fn resolve(&self, name: &str) -> Option<RunId> {
        self.names.get(name).copied()
    }

    /// The run that has not ended and holds the name.
    pub fn holder(&self, name: &str) -> Option<RunId> {
        self.resolve(name).filter(|run| self.state(*run).run().is_some_and(|run| !run.is_ended()))
    }

    /// Decides a command against its run and the names of all.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of [`decide`](super::decide()), or [`Refusal::NameHeld`] for a command that it would accept.
    pub fn decide(&self, command: &Command) -> Result<Decision, Refusal> {
        let state = self.state(command.run);
        let decision = decide(state, command)?;
        if let Some(name) = name_wanted(state, command) {
            check_name_free(command.run, name, self.holder(name))?;
        }
        Ok(decision)
    }

    /// Applies events of one run.
    pub fn apply(&mut self, run: RunId, events: &[Event]) {
        let state = self.runs.remove(&run).unwrap_or_default();
        let state = events.iter().fold(state, evolve);
        if let RunState::Known(known) = &state {
            let takes_name = events.iter().any(|event| matches!(event, Event::Created { .. } | Event::Started { .. }));
            if let (Some(name), true) = (&known.spec.name, takes_name) {
                self.names.insert(name.clone(), run);
            }
            self.runs.insert(run, state);
        }
    }
}
