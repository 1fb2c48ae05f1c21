//! Journals of any length, decided by the domain, from a seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, CommandId, Committed, Decision, Digest, Entry, EntryBody, Exit,
    ExitStatus, Failure, FailureKind, Fleet, Guard, Position, Refused, RefusedCommand, RunId, RunSpec, RunnerId,
    Session, StartMode, SystemFact, Timestamp, Version, Witness, Workload,
};
use tachograph_engine::ports::{Head, JournalError, JournalReader, RunHead};
use tachograph_replay::dataset::Dataset;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Entries in the making.
pub(crate) struct Many {
    dice: Dice,
    runs: u64,
    fleet: Fleet,
    last: BTreeMap<RunId, Position>,
    micros: i64,
    next: u64,
}

impl Many {
    /// About so many runs, which come and go.
    pub(crate) fn of(seed: u64, runs: u64) -> Self {
        let (fleet, last) = (Fleet::default(), BTreeMap::new());
        Self { dice: Dice::of(seed), runs, fleet, last, micros: 1_795_230_000_000_000, next: 1 }
    }

    /// So many entries more.
    pub(crate) fn entries(&mut self, count: usize) -> Vec<Entry> {
        std::iter::repeat_with(|| self.entry()).take(count).collect()
    }

    fn entry(&mut self) -> Entry {
        // The clock steps back now and then.
        self.micros += if self.dice.roll(40) == 0 { -3_000_000 } else { self.dice.roll(5_000_000) as i64 };
        let position = Position(self.next);
        self.next += 1;
        let (body, run) = if self.dice.roll(60) == 0 { (self.opened(), None) } else { self.decided(position) };
        let known = run.filter(|run| self.fleet.state(*run).version() > Version::ZERO);
        let previous = known.and_then(|run| self.last.insert(run, position));
        let recorded_at = Timestamp::from_micros(self.micros);
        Entry { id: ids::entry(position.0), position, recorded_at, previous, body }
    }

    fn opened(&self) -> EntryBody {
        let (host, boot_id, version) = ("host".to_owned(), String::new(), "0".to_owned());
        let wall = Timestamp::from_micros(self.micros);
        EntryBody::System(SystemFact::Opened(Session { host, boot_id, pid: 7, version, wall, monotonic_us: 0 }))
    }

    fn decided(&mut self, position: Position) -> (EntryBody, Option<RunId>) {
        loop {
            // Mostly the newer runs, as in life.
            let number = 1 + self.dice.roll(self.runs).max(self.dice.roll(self.runs));
            let run = ids::run(number);
            let command = Command {
                id: ids::command(position.0),
                run,
                actor: Actor::new(ActorKind::Supervisor, format!("s{}", number % 3)),
                issued_at: Timestamp::from_micros(self.micros),
                expected: None,
                action: self.action(run, number, position.0),
            };
            match self.fleet.decide(&command) {
                Ok(Decision::Append(events)) => {
                    self.fleet.apply(run, &events);
                    let version = self.fleet.state(run).version();
                    return (EntryBody::Committed(Committed { command, version, events }), Some(run));
                }
                Ok(Decision::AlreadyRecorded) => {}
                // Only some, or they would be most of what there is.
                Err(_) if self.dice.roll(4) > 0 => {}
                Err(refusal) => {
                    let command = RefusedCommand::keep(command, &refusal);
                    return (EntryBody::Refused(Refused { command, refusal, count: 1 }), Some(run));
                }
            }
        }
    }

    fn action(&mut self, run: RunId, number: u64, fresh: u64) -> Action {
        let attempt = self.fleet.state(run).run().and_then(|run| run.attempt.clone());
        let current = attempt.as_ref().map_or(ids::attempt(1), |attempt| attempt.id);
        let runner = RunnerId::from(format!("r{}", self.dice.roll(3)).as_str());
        let holder = attempt.map_or_else(|| runner.clone(), |attempt| attempt.runner);
        let claim = || Claim { run, attempt: current, runner: holder.clone() };
        let due = Timestamp::from_micros(self.micros + 60_000_000);
        match self.dice.roll(12) {
            0 | 1 => Action::Create { spec: Arc::new(spec(number)) },
            2 | 3 => Action::Start { attempt: ids::attempt(fresh), runner, mode: StartMode::Fresh },
            4 => Action::Start { attempt: ids::attempt(fresh), runner, mode: StartMode::Restart { previous: current } },
            5 => {
                Action::Start { attempt: ids::attempt(fresh), runner, mode: StartMode::Takeover { expected: current } }
            }
            6 | 7 => Action::Wait { claim: claim(), on: "input".to_owned(), deadline: None },
            8 => Action::ScheduleSnapshot { claim: claim(), snapshot: ids::snapshot(fresh), due },
            9 => Action::CancelSnapshot { guard: Guard::Runner(holder) },
            10 => {
                let status = ExitStatus::Code((fresh % 5) as i32);
                Action::Exit { claim: claim(), exit: Exit { status, witness: Witness::Waited, output: None } }
            }
            _ => {
                let (kind, message) = (FailureKind::TimedOut, "too slow".to_owned());
                Action::Fail { claim: claim(), failure: Failure { kind, message, diagnostics: Default::default() } }
            }
        }
    }
}

fn spec(number: u64) -> RunSpec {
    let labels = [("team".to_owned(), format!("t{}", number % 4))].into();
    let workload = Workload::Command { argv: vec!["job".to_owned(), number.to_string()], cwd: None };
    RunSpec {
        name: (!number.is_multiple_of(3)).then(|| format!("job-{number}")),
        labels,
        workload,
        ..RunSpec::default()
    }
}

/// Entries in memory, with holes where some are missing, and to which more may come.
#[derive(Clone, Default)]
pub(crate) struct Growing(Arc<Mutex<Vec<Entry>>>);

impl Growing {
    pub(crate) fn grow(&self, entries: impl IntoIterator<Item = Entry>) {
        self.0.lock().unwrap().extend(entries);
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn dataset(&self) -> Dataset {
        Dataset::over(Arc::new(self.clone()), Path::new("many"))
    }
}

#[async_trait]
impl JournalReader for Growing {
    fn head(&self) -> Head {
        let position = self.0.lock().unwrap().last().map_or(Position::ZERO, |last| last.position);
        Head { position, digest: Digest::ZERO }
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let entries = self.0.lock().unwrap();
        let start = entries.partition_point(|entry| entry.position <= after);
        Ok(entries[start..].iter().take(limit).cloned().collect())
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let entries = self.0.lock().unwrap();
        Ok(entries.binary_search_by_key(&at, |entry| entry.position).ok().map(|index| entries[index].clone()))
    }

    async fn digest_at(&self, _: Position) -> Result<Option<Digest>, JournalError> {
        Ok(None)
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        let entries = self.0.lock().unwrap();
        let last = entries.iter().rev().find(|entry| entry.run() == Some(run));
        Ok(last.map(|entry| RunHead { version: Version::ZERO, last: entry.position }))
    }

    async fn history(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        // As past damage: pointers may lead into a hole.
        Ok(self.all().into_iter().filter(|entry| entry.run() == Some(run)).collect())
    }

    async fn answered(&self, _: RunId, _: CommandId) -> Result<Option<Position>, JournalError> {
        Ok(None)
    }

    async fn named(&self, _: &str) -> Result<Option<RunId>, JournalError> {
        Ok(None)
    }
}
