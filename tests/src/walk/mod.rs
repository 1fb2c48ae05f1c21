//! Random walks through the lives of a few runs: commands of actors that know the present state, of actors that are
//! late, and of actors that have nothing to do with the run, against the domain and the simplest bookkeeping around it
//! that keeps the engine's promises.
//!
//! A walk is generated as a list of [intents](Intent), which say nothing about ids; each becomes a command in the light
//! of what happened before. So a shorter list is again a walk, and a failing one shrinks to its core.

mod action;
mod intent;
mod world;

use std::fmt;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use tachograph_engine::domain::{Command, Event, Events, Fleet, Refusal};

pub use intent::{Expectation, Intent, Stance};
pub use world::World;

/// How many runs a walk is about.
pub const RUNS: usize = 4;

/// What a command was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With these events, which were written.
    Written(Events),
    /// The same end is recorded already; nothing was written.
    AlreadyRecorded,
    /// Not at all, and why.
    Refused(Refusal),
    /// The command was answered in this earlier step; nothing was written.
    Duplicate(usize),
}

/// One command of a walk.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was asked.
    pub command: Command,
    /// What came of it.
    pub answer: Answer,
    /// All runs before it.
    pub before: Fleet,
    /// All runs after it.
    pub after: Fleet,
    /// Whether everything was forgotten before it and rebuilt from what was written.
    pub reopened: bool,
}

impl Step {
    /// The events that it wrote, if any.
    pub fn events(&self) -> &[Event] {
        match &self.answer {
            Answer::Written(events) => events,
            Answer::AlreadyRecorded | Answer::Refused(_) | Answer::Duplicate(_) => &[],
        }
    }
}

/// All that happened.
#[derive(Clone)]
pub struct Walk {
    /// In the order in which it happened.
    pub steps: Vec<Step>,
}

impl Walk {
    /// Follows these intents from an empty journal.
    pub fn of(intents: &[Intent]) -> Self {
        let mut world = World::default();
        intents.iter().for_each(|intent| world.follow(intent));
        Self { steps: world.into_steps() }
    }
}

/// One line for each step, as the message of a failed property.
impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Step { command, answer, reopened, .. }) in self.steps.iter().enumerate() {
            let again = if *reopened { " (reopened)" } else { "" };
            let Command { run, action, expected, issued_at, .. } = command;
            writeln!(f, "{index}{again}: at {issued_at} run {run}, expecting {expected:?}: {action:?}")?;
            writeln!(f, "      -> {answer:?}")?;
        }
        Ok(())
    }
}

/// Walks of up to this many steps.
pub fn walks(steps: usize) -> impl Strategy<Value = Walk> {
    vec(intent::intent(), 1..=steps).prop_map(|intents| Walk::of(&intents))
}
