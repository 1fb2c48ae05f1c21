//! A fleet of any size over six hours, decided by the domain: builds, deployments and agents that wait, fail and are reported
//! about too late; in the middle the supervisor crashes. The same number of runs is always the same journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, CommandId, Committed, Decision, Diagnostics, Digest, Drain,
    Entry, EntryBody, EntryId, Exit, ExitStatus, Failure, FailureKind, Fleet, Guard, OutputReceipt, Position, Refused,
    RefusedCommand, RunId, RunSpec, RunnerId, Session, SnapshotId, StartMode, StreamReceipt, SystemFact, Timestamp,
    Witness, Workload,
};

use crate::made::START;

const SECOND: i64 = 1_000_000;
const LASTS: i64 = 6 * 3_600 * SECOND;
/// When the supervisor is gone, and for how long.
const CRASH: (i64, i64) = (LASTS * 6 / 10, 240 * SECOND);

/// Numbers that look like chance and are always the same.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        (self.next() % bound.max(1) as u64) as i64
    }

    fn of_hundred(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    fn id(&mut self, at: i64) -> u128 {
        let millis = ((START.as_micros() + at) / 1_000) as u128;
        millis << 80 | u128::from(self.next()) << 16 | u128::from(self.next() & 0xffff)
    }
}

/// What is asked about one run, and when.
struct Script<'a> {
    chance: &'a mut Chance,
    steps: Vec<(i64, Command)>,
    run: RunId,
    attempt: AttemptId,
    runner: RunnerId,
    at: i64,
}

impl Script<'_> {
    fn after(&mut self, micros: i64, kind: ActorKind, actor: &str, action: Action) {
        self.at += micros.max(1);
        let (issued_at, id) = (time(self.at - self.chance.below(900)), CommandId::from_u128(self.chance.id(self.at)));
        let actor = Actor::new(kind, actor);
        self.steps.push((self.at, Command { id, run: self.run, actor, issued_at, expected: None, action }));
    }

    fn by_runner(&mut self, micros: i64, action: Action) {
        let runner = self.runner.to_string();
        self.after(micros, ActorKind::Runner, &runner, action);
    }

    fn claim(&self) -> Claim {
        Claim { run: self.run, attempt: self.attempt, runner: self.runner.clone() }
    }

    fn start(&mut self, micros: i64, again: bool) {
        let previous = self.attempt;
        let host = self.chance.below(40);
        self.attempt = AttemptId::from_u128(self.chance.id(self.at));
        self.runner = RunnerId::new(format!("process/node-{host:02}/{}/{}", 2_000 + host * 37, self.attempt));
        let mode = if again { StartMode::Restart { previous } } else { StartMode::Fresh };
        let action = Action::Start { attempt: self.attempt, runner: self.runner.clone(), mode };
        self.after(micros, ActorKind::Supervisor, "main", action);
    }

    fn exit(&mut self, micros: i64, code: i32) {
        let stream = |bytes: u64| StreamReceipt { bytes, digest: Digest([7; 32]) };
        let bytes = self.chance.below(90_000) as u64;
        let output = OutputReceipt { stdout: stream(bytes), stderr: stream(bytes / 40), drain: Drain::Drained };
        let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: Some(output) };
        let claim = self.claim();
        self.by_runner(micros, Action::Exit { claim, exit });
    }

    fn fail(&mut self, micros: i64) {
        let diagnostics = Diagnostics {
            last_output: vec!["waiting for the socket".to_owned()],
            likely_cause: Some("the ready socket never appeared".to_owned()),
            ..Diagnostics::default()
        };
        let failure = Failure { kind: FailureKind::StartTimeout, message: "not ready after 30 s".into(), diagnostics };
        let claim = self.claim();
        self.by_runner(micros, Action::Fail { claim, failure });
    }

    /// Waits with a snapshot armed, which is taken unless somebody goes on before.
    fn wait(&mut self, micros: i64) {
        let claim = self.claim();
        self.by_runner(micros, Action::Wait { claim, on: "a review".to_owned(), deadline: None });
        let (snapshot, delay) =
            (SnapshotId::from_u128(self.chance.id(self.at)), 30 * SECOND + self.chance.below(600 * SECOND));
        let (claim, due) = (self.claim(), time(self.at + delay));
        self.by_runner(900, Action::ScheduleSnapshot { claim, snapshot, due });
        if self.chance.of_hundred(45) {
            let guard = Guard::Runner(self.runner.clone());
            self.by_runner(delay / 2, Action::CancelSnapshot { guard });
            return;
        }
        self.after(delay, ActorKind::Timer, "timekeeper", Action::DispatchSnapshot { snapshot });
        let location = format!("snapshots/{}/{snapshot}.tar.zst", self.run);
        let action = Action::CompleteSnapshot { snapshot, location, bytes: 48_213, digest: Digest([9; 32]) };
        self.after(2 * SECOND, ActorKind::Timer, "timekeeper", action);
    }

    /// An actor of an attempt that is over goes on reporting.
    fn late(&mut self, claim: Claim, times: i64) {
        let runner = claim.runner.to_string();
        for _ in 0..times {
            let action = Action::Wait { claim: claim.clone(), on: "input".to_owned(), deadline: None };
            let micros = SECOND + self.chance.below(40 * SECOND);
            self.after(micros, ActorKind::Runner, &runner, action);
        }
    }

    fn life(&mut self, number: u64) {
        let kinds = ["build", "deploy", "agent", "backup", "migrate", "probe"];
        let kind = kinds[(number % 6) as usize];
        let team = ["infra", "web", "data", "payments"][self.chance.below(4) as usize];
        let labels = [("team".to_owned(), team.to_owned()), ("tier".to_owned(), format!("t{}", number % 3))].into();
        let argv = vec![format!("./{kind}.sh"), "--shard".to_owned(), (number % 64).to_string()];
        let (name, workload) = (Some(format!("{kind}-{number:05}")), Workload::Command { argv, cwd: None });
        let spec = RunSpec { name, labels, workload, ..RunSpec::default() };
        self.after(0, ActorKind::Supervisor, "main", Action::Create { spec: Arc::new(spec) });
        let queued = 2_000 + self.chance.below(20 * SECOND);
        self.start(queued, false);
        let first = self.claim();
        let work = SECOND << self.chance.below(11);
        let lasts = work + self.chance.below(work);
        if self.chance.of_hundred(8) {
            self.fail(30 * SECOND);
            self.start(2 * SECOND, true);
            self.late(first.clone(), 4);
        }
        if self.chance.of_hundred(30) {
            self.wait(lasts / 3);
        }
        if number % 97 == 5 {
            return;
        }
        let code = if self.chance.of_hundred(9) { 1 + self.chance.below(3) as i32 } else { 0 };
        self.exit(lasts, code);
        if self.chance.of_hundred(3) {
            let claim = self.claim();
            self.late(claim, 8);
        }
        if self.chance.of_hundred(40) {
            let action = Action::Destroy { force: false, why: "its time is over".to_owned() };
            self.after(600 * SECOND, ActorKind::Operator, "ada@ops-1", action);
        }
    }
}

fn time(at: i64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + at)
}

/// Nothing is recorded while the supervisor is gone: what came then is recorded soon after.
fn recorded(at: i64) -> i64 {
    let (begins, lasts) = CRASH;
    if (begins..begins + lasts).contains(&at) { begins + lasts + SECOND + (at - begins) / 60 } else { at }
}

/// All entries of a fleet of so many runs.
pub(crate) fn entries(runs: u64) -> Vec<Entry> {
    let mut chance = Chance(runs);
    let mut steps = Vec::new();
    for number in 0..runs {
        // Most begin in the morning of the first two hours.
        let at = if chance.of_hundred(50) { chance.below(LASTS / 3) } else { chance.below(LASTS * 9 / 10) };
        let (run, nothing) = (RunId::from_u128(chance.id(at)), AttemptId::from_u128(0));
        let mut script = Script {
            chance: &mut chance,
            steps: Vec::new(),
            run,
            attempt: nothing,
            runner: RunnerId::from("none"),
            at,
        };
        script.life(number);
        steps.extend(script.steps.into_iter().map(|(at, command)| (recorded(at), command)));
    }
    steps.sort_by_key(|(at, _)| *at);
    let mut journal = Journal { chance, ..Journal::default() };
    journal.system(0, SystemFact::Opened(session(4_711)));
    let mut crashed = false;
    for (at, command) in steps {
        if !crashed && at > CRASH.0 {
            crashed = true;
            journal.system(CRASH.0 + CRASH.1, SystemFact::Opened(session(52_033)));
            let fact = SystemFact::Recovered { torn: None, missing_up_to: None, open_runs: 112 };
            journal.system(CRASH.0 + CRASH.1 + 900, fact);
        }
        journal.take(at, command);
    }
    journal.entries
}

fn session(pid: u32) -> Session {
    let boot_id = "6f9c2e4e-0000-4000-8000-000000000001".to_owned();
    Session { host: "build-3".to_owned(), boot_id, pid, version: "0.1.0".to_owned(), wall: START, monotonic_us: 0 }
}

#[derive(Default)]
struct Journal {
    chance: Chance,
    fleet: Fleet,
    last: BTreeMap<RunId, Position>,
    /// How often an actor was refused.
    refused: BTreeMap<(RunId, String), u64>,
    entries: Vec<Entry>,
}

impl Default for Chance {
    fn default() -> Self {
        Self(1)
    }
}

impl Journal {
    fn take(&mut self, at: i64, command: Command) {
        let run = command.run;
        let body = match self.fleet.decide(&command) {
            Ok(Decision::Append(events)) => {
                self.fleet.apply(run, &events);
                EntryBody::Committed(Committed { command, version: self.fleet.state(run).version(), events })
            }
            Ok(Decision::AlreadyRecorded) => return,
            Err(refusal) => {
                let count = self.refused.entry((run, command.actor.to_string())).or_default();
                *count += 1;
                if !count.is_power_of_two() {
                    return;
                }
                EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count: *count })
            }
        };
        let previous = self.last.insert(run, Position(self.entries.len() as u64 + 1));
        self.push(at, previous, body);
    }

    fn system(&mut self, at: i64, fact: SystemFact) {
        self.push(at, None, EntryBody::System(fact));
    }

    fn push(&mut self, at: i64, previous: Option<Position>, body: EntryBody) {
        let position = Position(self.entries.len() as u64 + 1);
        let id = EntryId::from_u128(self.chance.id(at));
        self.entries.push(Entry { id, position, recorded_at: time(at), previous, body });
    }
}
