//! Given, when, then: domain tests that read like a specification, for this crate's tests and for embedders.
//!
//! ```
//! use std::sync::Arc;
//! use tachograph_engine::domain::testing::{Given, claim, command, ids, spec};
//! use tachograph_engine::domain::{Action, Exit, ExitStatus, Refusal, RunnerId, StartMode, Witness};
//!
//! let run = ids::run(1);
//! let mine = claim(run, 1, "r1");
//! let exit = |code| Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
//! Given::nothing()
//!     .when(command(run, Action::Create { spec: Arc::new(spec("build")) }))
//!     .then_appended()
//!     .when(command(run, Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh }))
//!     .then_appended()
//!     .when(command(run, Action::Exit { claim: mine.clone(), exit: exit(0) }))
//!     .then_appended()
//!     .when(command(run, Action::Exit { claim: mine, exit: exit(137) }))
//!     .then_refused("conflicting_terminal");
//! ```
#![expect(clippy::panic, reason = "a test harness fails by panicking; nothing else in the crate calls it")]

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Action, Actor, ActorKind, Claim, Command, CommandId, Decision, Entry, EntryBody, Event, Fleet, Refusal,
    RefusedCommand, RunId, RunSpec, RunnerId, Timestamp, Workload,
};

/// Ids for tests: the same number always gives the same id, and different kinds never look alike.
pub mod ids {
    use super::super::{AttemptId, CommandId, EntryId, RunId, SnapshotId};

    const fn bits(kind: u128, number: u64) -> u128 {
        (kind << 120) | number as u128
    }

    /// A run id.
    pub const fn run(number: u64) -> RunId {
        RunId::from_u128(bits(1, number))
    }
    /// An attempt id.
    pub const fn attempt(number: u64) -> AttemptId {
        AttemptId::from_u128(bits(2, number))
    }
    /// A command id.
    pub const fn command(number: u64) -> CommandId {
        CommandId::from_u128(bits(3, number))
    }
    /// An entry id.
    pub const fn entry(number: u64) -> EntryId {
        EntryId::from_u128(bits(4, number))
    }
    /// A snapshot id.
    pub const fn snapshot(number: u64) -> SnapshotId {
        SnapshotId::from_u128(bits(5, number))
    }
}

/// A command by supervisor `test` with an id that no other command of this process has, issued at time 0.
pub fn command(run: RunId, action: Action) -> Command {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Command {
        id: CommandId::from_u128((3 << 120) | (1 << 64) | u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        run,
        actor: Actor::new(ActorKind::Supervisor, "test"),
        issued_at: Timestamp::from_micros(0),
        expected: None,
        action,
    }
}

/// The claim of this runner on attempt `number` of the run.
pub fn claim(run: RunId, number: u64, runner: &str) -> Claim {
    Claim { run, attempt: ids::attempt(number), runner: RunnerId::from(runner) }
}

/// A named spec that executes `true`.
pub fn spec(name: &str) -> RunSpec {
    RunSpec {
        name: Some(name.to_owned()),
        workload: Workload::Command { argv: vec!["true".to_owned()], cwd: None },
        ..RunSpec::default()
    }
}

/// The history that a test starts from, and the state that it leads to.
#[derive(Debug, Clone, Default)]
pub struct Given {
    fleet: Fleet,
}

impl Given {
    /// No run at all.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// These events of one run have happened.
    #[must_use]
    pub fn events(mut self, run: RunId, events: &[Event]) -> Self {
        self.fleet.apply(run, events);
        self
    }

    /// Decides a command.
    pub fn when(self, command: Command) -> Then {
        let answer = self.fleet.decide(&command);
        Then { fleet: self.fleet, command, answer }
    }

    /// All runs as they are now.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}

/// A decided command whose answer is to be checked.
#[derive(Debug)]
#[must_use = "check the answer with one of the then_ functions"]
pub struct Then {
    fleet: Fleet,
    command: Command,
    answer: Result<Decision, Refusal>,
}

impl Then {
    /// The command leads to exactly these events. They are applied.
    #[track_caller]
    pub fn then_events(self, expected: &[Event]) -> Given {
        match &self.answer {
            Ok(Decision::Append(events)) if events == expected => self.go_on(),
            other => panic!("{:?}\n  expected events {expected:#?}\n  but got {other:#?}", self.command),
        }
    }

    /// The command leads to events, whichever. They are applied.
    #[track_caller]
    pub fn then_appended(self) -> Given {
        match &self.answer {
            Ok(Decision::Append(_)) => self.go_on(),
            other => panic!("{:?}\n  expected events\n  but got {other:#?}", self.command),
        }
    }

    /// The command repeats what is recorded.
    #[track_caller]
    pub fn then_already_recorded(self) -> Given {
        match &self.answer {
            Ok(Decision::AlreadyRecorded) => self.go_on(),
            other => panic!("{:?}\n  expected AlreadyRecorded\n  but got {other:#?}", self.command),
        }
    }

    /// The command is refused with this [code](Refusal::code).
    #[track_caller]
    pub fn then_refused(self, code: &str) -> Given {
        match &self.answer {
            Err(refusal) if refusal.code() == code => self.go_on(),
            other => panic!("{:?}\n  expected refusal {code}\n  but got {other:#?}", self.command),
        }
    }

    /// The command is refused with exactly this refusal.
    #[track_caller]
    pub fn then_refusal(self, expected: &Refusal) -> Given {
        match &self.answer {
            Err(refusal) if refusal == expected => self.go_on(),
            other => panic!("{:?}\n  expected refusal {expected:#?}\n  but got {other:#?}", self.command),
        }
    }

    fn go_on(mut self) -> Given {
        if let Ok(Decision::Append(events)) = &self.answer {
            self.fleet.apply(self.command.run, events);
        }
        Given { fleet: self.fleet }
    }
}

/// Decides recorded commands once more, entry by entry from the first on: a recorder and its record agree.
#[derive(Debug, Clone, Default)]
pub struct DecidedAgain {
    fleet: Fleet,
    decided: u64,
}

impl DecidedAgain {
    /// Takes the next entry in, and fails if its command would come out otherwise. Of a command that was out of bounds only
    /// the header is kept: it is counted, and not decided.
    #[track_caller]
    pub fn entry(&mut self, entry: &Entry) {
        match &entry.body {
            EntryBody::Committed(committed) => {
                let run = committed.command.run;
                let decision = self.fleet.decide(&committed.command);
                assert_eq!(decision, Ok(Decision::Append(committed.events.clone())), "{entry:?}");
                self.fleet.apply(run, &committed.events);
                assert_eq!(self.fleet.state(run).version(), committed.version, "{entry:?}");
            }
            EntryBody::Refused(refused) => {
                if let RefusedCommand::Whole(command) = &refused.command {
                    assert_eq!(self.fleet.decide(command), Err(refused.refusal.clone()), "{entry:?}");
                }
            }
            EntryBody::System(_) => return,
        }
        self.decided += 1;
    }

    /// How many commands were taken in.
    pub fn decided(&self) -> u64 {
        self.decided
    }
}
