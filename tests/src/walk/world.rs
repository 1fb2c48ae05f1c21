//! The domain with the least around it: what was written, what is held of it, and who knows what.

use std::collections::BTreeMap;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, CommandId, Decision, Event, Fleet, Run, RunId, SnapshotId, Timestamp,
    Version,
};

use super::intent::{Expectation, Intent, Stance};
use super::{Answer, RUNS, Step};

/// All runs of a walk, and what its actors know about them.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub(super) now: Timestamp,
    fleet: Fleet,
    answered: BTreeMap<(RunId, CommandId), usize>,
    steps: Vec<Step>,
    claims: [Vec<Claim>; RUNS],
    snapshots: [Vec<SnapshotId>; RUNS],
    minted: u64,
}

impl World {
    /// Lets somebody do this.
    pub fn follow(&mut self, intent: &Intent) {
        self.now = self.now.plus_millis(intent.after_ms);
        if intent.reopen {
            self.reopen();
        }
        let command = self.command(intent);
        let before = self.fleet.clone();
        let answer = self.submit(&command);
        self.learn(command.run, &answer);
        self.steps.push(Step { command, answer, before, after: self.fleet.clone(), reopened: intent.reopen });
    }

    /// All that happened.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn command(&mut self, intent: &Intent) -> Command {
        if intent.stance == Stance::Retry && !self.steps.is_empty() {
            return self.steps[intent.pick % self.steps.len()].command.clone();
        }
        let action = self.action(intent);
        let run = run_in(intent.run);
        let version = self.fleet.state(run).version();
        // Some who dispatch have waited until it is time; the others may be early.
        if let (Action::DispatchSnapshot { .. }, true) = (&action, intent.runner > 0) {
            let due = self.state(run).and_then(|run| run.armed.as_ref()).map(|armed| armed.due);
            self.now = self.now.max(due.unwrap_or(self.now));
        }
        let actor = if intent.stance == Stance::Clumsy { "" } else { "test" };
        Command {
            id: ids::command(self.fresh()),
            run,
            actor: Actor::new(ActorKind::Supervisor, actor),
            issued_at: self.now,
            expected: match intent.expectation {
                Expectation::None => None,
                Expectation::Right => Some(version),
                Expectation::Wrong => Some(Version(version.0 + 1)),
            },
            action,
        }
    }

    /// The engine's promise in its simplest form: look the command up, decide, write, remember.
    fn submit(&mut self, command: &Command) -> Answer {
        let key = (command.run, command.id);
        if let Some(first) = self.answered.get(&key) {
            return Answer::Duplicate(*first);
        }
        let answer = match self.fleet.decide(command) {
            Ok(Decision::Append(events)) => Answer::Written(events),
            Ok(Decision::AlreadyRecorded) => Answer::AlreadyRecorded,
            Err(refusal) => Answer::Refused(refusal),
        };
        if let Answer::Written(events) = &answer {
            self.fleet.apply(command.run, events);
        }
        self.answered.insert(key, self.steps.len());
        answer
    }

    /// Forgets everything but what was written, and starts from that.
    fn reopen(&mut self) {
        self.fleet = Fleet::default();
        self.answered.clear();
        for (index, step) in self.steps.iter().enumerate() {
            let key = (step.command.run, step.command.id);
            match &step.answer {
                Answer::Written(events) => {
                    self.fleet.apply(step.command.run, events);
                    self.answered.insert(key, index);
                }
                Answer::Refused(_) => _ = self.answered.insert(key, index),
                // Neither is written: asked again, the first is answered the same, and the second is found.
                Answer::AlreadyRecorded | Answer::Duplicate(_) => {}
            }
        }
    }

    /// Remembers what actors may present later, when it is not true any more.
    fn learn(&mut self, run: RunId, answer: &Answer) {
        let Answer::Written(events) = answer else { return };
        let Some(slot) = (0..RUNS).find(|slot| run_in(*slot) == run) else { return };
        for event in events {
            match event {
                Event::Started { attempt, runner, .. } | Event::Failed { attempt, runner, .. } => {
                    self.claims[slot].push(Claim { run, attempt: *attempt, runner: runner.clone() });
                }
                Event::SnapshotScheduled { snapshot, .. } => self.snapshots[slot].push(*snapshot),
                _ => {}
            }
        }
    }

    /// What is held of a run, if it is known.
    pub(super) fn state(&self, run: RunId) -> Option<&Run> {
        self.fleet.state(run).run()
    }

    /// Every claim that was true of the run in this place, the present one last.
    pub(super) fn claims(&self, slot: usize) -> &[Claim] {
        &self.claims[slot]
    }

    /// Every snapshot that was armed of the run in this place.
    pub(super) fn snapshots(&self, slot: usize) -> &[SnapshotId] {
        &self.snapshots[slot]
    }

    /// A number that was not used before.
    pub(super) fn fresh(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }
}

/// The run in this place.
pub(super) fn run_in(slot: usize) -> RunId {
    ids::run(slot as u64 + 1)
}
