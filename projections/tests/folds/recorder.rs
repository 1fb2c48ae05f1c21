//! Journals in memory, made without an engine: entries built by hand around the domain's own answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{
    Action, ActionName, Actor, ActorKind, Claim, Command, Committed, Decision, Digest, Entry, EntryBody, Exit,
    ExitStatus, Failure, FailureKind, Finding, Fleet, Guard, Position, Refused, RefusedCommand, RunId, RunnerId,
    Session, StartMode, StatusName, SystemFact, Timestamp, Version, Witness,
};

/// Records commands as a journal would.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) entries: Vec<Entry>,
    /// The reference that folds are compared with.
    pub(crate) fleet: Fleet,
    last: BTreeMap<RunId, Position>,
    /// What the next entry's wall clock says.
    pub(crate) now: i64,
}

impl Recorder {
    /// Decides and records. A repeated terminal report leaves no entry.
    pub(crate) fn submit(&mut self, run: RunId, action: Action) -> &mut Self {
        let number = self.entries.len() as u64 + 1;
        let command = Command {
            id: ids::command(number),
            run,
            actor: Actor::new(ActorKind::Supervisor, "test"),
            issued_at: Timestamp::from_micros(self.now),
            expected: None,
            action,
        };
        match self.fleet.decide(&command) {
            Ok(Decision::Append(events)) => {
                self.fleet.apply(run, &events);
                let version = self.fleet.state(run).version();
                self.record(Some(run), EntryBody::Committed(Committed { command, version, events }));
            }
            Ok(Decision::AlreadyRecorded) => {}
            Err(refusal) => {
                let command = RefusedCommand::keep(command, &refusal);
                self.record(Some(run), EntryBody::Refused(Refused { command, refusal, count: 1 }));
            }
        }
        self
    }

    /// Records a fact about the writer.
    pub(crate) fn system(&mut self, fact: SystemFact) -> &mut Self {
        self.record(None, EntryBody::System(fact));
        self
    }

    /// Sets the wall clock, in seconds.
    pub(crate) fn at(&mut self, seconds: i64) -> &mut Self {
        self.now = seconds * 1_000_000;
        self
    }

    fn record(&mut self, run: Option<RunId>, body: EntryBody) {
        let position = Position(self.entries.len() as u64 + 1);
        let known = run.is_some_and(|run| self.fleet.state(run).run().is_some());
        let previous = match run {
            Some(run) if known => self.last.insert(run, position),
            _ => None,
        };
        self.entries.push(Entry {
            id: ids::entry(position.0),
            position,
            recorded_at: Timestamp::from_micros(self.now),
            previous,
            body,
        });
    }

    /// One random step; most fit the run's state, the others come from stale, foreign and confused actors.
    pub(crate) fn step(&mut self, step: &Step) {
        self.now += step.clock_us;
        let run = ids::run(u64::from(step.run));
        if step.action == 255 {
            self.system(opened());
        } else {
            let action = self.action(run, step);
            self.submit(run, action);
        }
    }

    fn action(&self, run: RunId, step: &Step) -> Action {
        let state = self.fleet.state(run).run();
        let current = state.and_then(|run| run.attempt.as_ref());
        let unused = if step.stray { u64::from(step.attempt) } else { 100 + self.entries.len() as u64 };
        let runner = RunnerId::from(format!("r{}", step.runner).as_str());
        let claim = match current {
            Some(current) if !step.stray => Claim { run, attempt: current.id, runner: current.runner.clone() },
            _ => Claim { run, attempt: ids::attempt(unused), runner: runner.clone() },
        };
        let snapshot = state
            .and_then(|run| {
                run.in_flight.as_ref().map(|snapshot| snapshot.id).or(run.armed.as_ref().map(|armed| armed.id))
            })
            .unwrap_or(ids::snapshot(unused));
        let previous = claim.attempt;
        let start = |mode| Action::Start { attempt: ids::attempt(unused), runner: runner.clone(), mode };
        match step.what(state.map(|run| run.status.name())) {
            ActionName::Create => {
                Action::Create { spec: Arc::new(spec(["build", "test", "lint"][usize::from(step.runner) % 3])) }
            }
            ActionName::Start => match state.map(|run| run.status.name()) {
                None | Some(StatusName::Created) => start(StartMode::Fresh),
                Some(StatusName::Started) => start(StartMode::Takeover { expected: previous }),
                Some(StatusName::Waiting) if step.attempt.is_multiple_of(2) => {
                    let mode = StartMode::Resume { previous };
                    Action::Start { attempt: previous, runner: claim.runner, mode }
                }
                Some(StatusName::Waiting) => start(StartMode::Resume { previous }),
                Some(StatusName::Exited | StatusName::Failed | StatusName::Destroyed) => {
                    start(StartMode::Restart { previous })
                }
            },
            ActionName::Wait => {
                let deadline = (!step.attempt.is_multiple_of(3)).then(|| Timestamp::from_micros(self.now + 5_000));
                Action::Wait { claim, on: "a reply".to_owned(), deadline }
            }
            ActionName::Exit => Action::Exit { claim, exit: exit(step.attempt) },
            ActionName::Fail => Action::Fail { claim, failure: failure() },
            ActionName::Destroy => Action::Destroy { force: step.attempt.is_multiple_of(2), why: "done".to_owned() },
            ActionName::ScheduleSnapshot => {
                let snapshot = ids::snapshot(1_000 + self.entries.len() as u64);
                Action::ScheduleSnapshot { claim, snapshot, due: Timestamp::from_micros(self.now) }
            }
            ActionName::CancelSnapshot => Action::CancelSnapshot { guard: Guard::Runner(claim.runner) },
            ActionName::DispatchSnapshot => Action::DispatchSnapshot { snapshot },
            ActionName::CompleteSnapshot => {
                Action::CompleteSnapshot { snapshot, location: "a".to_owned(), bytes: 1, digest: Digest::ZERO }
            }
            ActionName::FailSnapshot => Action::FailSnapshot { snapshot, message: "no room".to_owned() },
            ActionName::DisconnectRunner => Action::DisconnectRunner { claim },
            ActionName::AmendExit => {
                Action::AmendExit { attempt: previous, status: ExitStatus::Code(3), source: "exit".to_owned() }
            }
            ActionName::Reconcile => {
                Action::Reconcile { attempt: previous, finding: Finding::Adopted, detail: String::new() }
            }
        }
    }
}

/// What an attempt ended with: the number as its code, or unknown for 0.
pub(crate) fn exit(number: u8) -> Exit {
    let status = match number {
        0 => ExitStatus::Unknown { cause: "nobody saw it".to_owned() },
        number => ExitStatus::Code(i32::from(number)),
    };
    Exit { status, witness: Witness::Waited, output: None }
}

/// A failure.
pub(crate) fn failure() -> Failure {
    Failure { kind: FailureKind::StartTimeout, message: "30 s".to_owned(), diagnostics: Default::default() }
}

/// A session's begin.
pub(crate) fn opened() -> SystemFact {
    SystemFact::Opened(session())
}

/// A session.
pub(crate) fn session() -> Session {
    Session {
        host: "host".to_owned(),
        boot_id: String::new(),
        pid: 1,
        version: "0.1.0".to_owned(),
        wall: Timestamp::from_micros(0),
        monotonic_us: 0,
    }
}

/// A random command, before it meets a state.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    run: u8,
    action: u8,
    attempt: u8,
    runner: u8,
    stray: bool,
    clock_us: i64,
}

impl Step {
    /// What it asks of a run in this status: mostly something that may fit.
    fn what(&self, status: Option<StatusName>) -> ActionName {
        use ActionName::*;
        const ALL: &[ActionName] = &[
            Create,
            Start,
            Wait,
            Exit,
            Fail,
            Destroy,
            ScheduleSnapshot,
            CancelSnapshot,
            DispatchSnapshot,
            CompleteSnapshot,
            FailSnapshot,
            DisconnectRunner,
            AmendExit,
            Reconcile,
        ];
        let fitting = match status {
            _ if self.stray => ALL,
            None => &[Create],
            Some(StatusName::Created) => &[Start, Start, Start, Fail, Destroy],
            Some(StatusName::Started) => &[Wait, Wait, Wait, Exit, Fail, Start, DisconnectRunner, CompleteSnapshot],
            Some(StatusName::Waiting) => &[
                ScheduleSnapshot,
                ScheduleSnapshot,
                CancelSnapshot,
                DispatchSnapshot,
                FailSnapshot,
                Start,
                Exit,
                Reconcile,
            ],
            Some(StatusName::Exited) => &[Start, Start, Start, AmendExit, Exit, CompleteSnapshot],
            Some(StatusName::Failed) => &[Start, Start, Start, Start, Fail, Destroy],
            Some(StatusName::Destroyed) => ALL,
        };
        fitting[usize::from(self.action) % fitting.len()]
    }
}

fn a_step() -> impl Strategy<Value = Step> {
    (0..6u8, prop_oneof![30 => 0..112u8, 1 => Just(255)], 0..24u8, 0..3u8, prop::bool::weighted(0.2), -400..1_000i64)
        .prop_map(|(run, action, attempt, runner, stray, clock_us)| Step {
            run,
            action,
            attempt,
            runner,
            stray,
            clock_us,
        })
}

/// A journal of random commands, some accepted, some refused.
pub(crate) fn a_journal() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(a_step(), 0..160)
}

/// Always the same random journals, unless asked otherwise: `TACHO_CASES` is how many each property is tried on,
/// `TACHO_SEED` the number that they are made from. A failure shows the smallest journal that still fails.
pub(crate) fn cases() -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let cases = number("TACHO_CASES").map_or(64, |cases: u64| u32::try_from(cases).unwrap_or(u32::MAX));
    let rng_seed = RngSeed::Fixed(number("TACHO_SEED").unwrap_or(1));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// The version that a run is at.
pub(crate) fn version(recorder: &Recorder, run: RunId) -> Version {
    recorder.fleet.state(run).version()
}
