//! A journal of texts, numbers and times that a careless writer or reader of tables would change: decided by the domain, from
//! one number.

use std::sync::Arc;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, Committed, Decision, Diagnostics, Digest, Drain, EntryBody,
    Exit, ExitStatus, Failure, FailureKind, Finding, Fleet, Guard, OutputReceipt, Position, Refused, RefusedCommand,
    ResourceLimits, RunId, RunSpec, RunnerId, Session, StartMode, Stream, StreamReceipt, SystemFact, Timestamp,
    TornTail, Version, Witness, Workload,
};
use tachograph_engine::ports::Draft;

use crate::made::START;

/// Texts without control characters, for names and ids.
const LINES: [&str; 12] = [
    "plain",
    " leading and trailing ",
    "it's \"quoted\", `so` and \\so",
    "comma,semicolon;bar|",
    "NULL",
    "-1e309",
    "0x00",
    "ÄÖÜ ß ﬀ",
    "e\u{301} \u{200d}\u{202e}\u{feff}",
    "運行記録",
    "👩‍🚒🏴\u{10ffff}\u{fffe}",
    "day=2026-11-21/../%2F",
];
/// Texts with everything but NUL, which other engines' texts end at.
const TEXTS: [&str; 10] = [
    "",
    " ",
    "two\nlines\r\nand a \t tab",
    "\u{1}\u{2}\u{7}\u{8}\u{b}\u{c}\u{1a}\u{1b}[31mred\u{1b}[0m\u{1f}\u{7f}",
    "\u{80}\u{85}\u{9f}\u{a0}\u{2028}\u{2029}",
    "'; DROP TABLE entries; --",
    "{\"json\": [null, \"\\u0000\"]}",
    "\u{fffd}\u{feff}\u{e000}\u{d7ff}\u{10ffff}",
    "\\N",
    "\"\"",
];

/// Numbers that follow from the first.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 32) % below
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len() as u64) as usize]
    }

    fn line(&mut self) -> String {
        self.one_of(&LINES).to_owned()
    }

    fn text(&mut self) -> String {
        match self.roll(14) {
            12 => "long ".repeat(800),
            13 => "ñ".repeat(2_048),
            _ => self.one_of(&[&LINES[..], &TEXTS[..]].concat()).to_owned(),
        }
    }

    fn number(&mut self) -> u64 {
        self.one_of(&[0, 1, 42, 1 << 31, 1 << 53, (1 << 53) + 1, i64::MAX as u64, 1 << 63, u64::MAX])
    }

    fn code(&mut self) -> i32 {
        self.one_of(&[0, 1, -1, 137, i32::MIN, i32::MAX])
    }
}

/// The journal in the making.
struct Awkward {
    dice: Dice,
    fleet: Fleet,
    drafts: Vec<Draft>,
    at: Timestamp,
}

/// So many entries, always the same ones of one seed.
pub(crate) fn drafts(seed: u64, entries: usize) -> Vec<Draft> {
    let mut journal = Awkward { dice: Dice(seed), fleet: Fleet::default(), drafts: Vec::new(), at: START };
    journal.session();
    let runs = entries as u64 / 9 + 1;
    while journal.drafts.len() < entries {
        match journal.dice.roll(200) {
            0 => journal.session(),
            _ => {
                let number = journal.dice.roll(runs) + 1;
                journal.command(number);
            }
        }
    }
    journal.drafts
}

impl Awkward {
    /// Time goes on, stands still, or goes back; a few entries are at the ends of time.
    fn recorded_at(&mut self) -> Timestamp {
        self.at = self.at.plus_millis(match self.dice.roll(30) {
            0 => -7_200_000,
            1..=5 => 0,
            _ => self.dice.roll(300_000) as i64,
        });
        let micros = self.at.as_micros() + self.dice.one_of(&[0, 1, 999, 500_000]);
        match self.drafts.len() % 400 {
            100 => Timestamp::MIN,
            200 => Timestamp::MAX,
            300 => Timestamp::from_micros(-1),
            _ => Timestamp::from_micros(micros),
        }
    }

    fn push(&mut self, body: EntryBody) {
        let (id, recorded_at) = (ids::entry(self.drafts.len() as u64 + 1), self.recorded_at());
        self.drafts.push(Draft { id, recorded_at, body });
    }

    fn session(&mut self) {
        let (text, number) = (self.dice.text(), self.dice.number());
        let session = || Session {
            host: text.clone(),
            boot_id: String::new(),
            pid: u32::MAX,
            version: "0.1.0".to_owned(),
            wall: START,
            monotonic_us: number,
        };
        if !self.drafts.is_empty() && self.dice.roll(2) == 0 {
            self.push(EntryBody::System(SystemFact::Closed(session())));
        }
        self.push(EntryBody::System(SystemFact::Opened(session())));
        let torn = TornTail { file: text.clone(), offset: number, bytes: number, position: Position(number) };
        let missing_up_to = Some((Position(number), Digest([0xff; 32])));
        self.push(EntryBody::System(SystemFact::Recovered { torn: Some(torn), missing_up_to, open_runs: number }));
    }

    fn command(&mut self, number: u64) {
        let run = ids::run(number);
        let issued_at = self.at;
        let action = self.action(number, run);
        let kinds =
            [ActorKind::Runner, ActorKind::Supervisor, ActorKind::Operator, ActorKind::Timer, ActorKind::Recovery];
        let command = Command {
            id: ids::command(self.drafts.len() as u64 + 1),
            run,
            actor: Actor::new(self.dice.one_of(&kinds), self.dice.line()),
            issued_at: if self.dice.roll(300) == 0 { Timestamp::MIN } else { issued_at },
            expected: (self.dice.roll(40) == 0).then(|| Version(self.dice.number())),
            action,
        };
        let body = match self.fleet.decide(&command) {
            Ok(Decision::AlreadyRecorded) => return,
            Ok(Decision::Append(events)) => {
                self.fleet.apply(run, &events);
                EntryBody::Committed(Committed { command, version: self.fleet.state(run).version(), events })
            }
            Err(refusal) => {
                let count = self.dice.number().max(1);
                EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count })
            }
        };
        self.push(body);
    }

    /// Something that the run may accept, and often does not.
    fn action(&mut self, number: u64, run: RunId) -> Action {
        let next = self.drafts.len() as u64 + 1;
        let runner = RunnerId::from(self.dice.line().as_str());
        let Some(known) = self.fleet.state(run).run().cloned() else {
            return Action::Create { spec: Arc::new(self.spec(number)) };
        };
        let Some(attempt) = known.attempt else {
            return Action::Start { attempt: ids::attempt(next), runner, mode: StartMode::Fresh };
        };
        let claim = Claim { run, attempt: attempt.id, runner: attempt.runner.clone() };
        let unknown = ids::snapshot(next);
        let armed = known.armed.as_ref().map_or(unknown, |armed| armed.id);
        let in_flight = known.in_flight.as_ref().map_or(unknown, |snapshot| snapshot.id);
        let kind = match self.dice.roll(3) {
            0 if known.armed.is_some() => 8,
            0 if known.in_flight.is_some() => 10 + self.dice.roll(2),
            _ => self.dice.roll(20),
        };
        match kind {
            0..=3 => {
                let deadline = self.dice.one_of(&[None, Some(Timestamp::MAX), Some(self.at.plus_millis(1))]);
                Action::Wait { claim, on: self.dice.text(), deadline }
            }
            4..=6 => Action::ScheduleSnapshot { claim, snapshot: unknown, due: self.at },
            7 => Action::CancelSnapshot { guard: Guard::Runner(runner) },
            8..=9 => Action::DispatchSnapshot { snapshot: armed },
            10 => Action::FailSnapshot { snapshot: in_flight, message: self.dice.text() },
            11 => {
                let (location, bytes) = (self.dice.line(), self.dice.number());
                Action::CompleteSnapshot { snapshot: in_flight, location, bytes, digest: Digest([7; 32]) }
            }
            12 => Action::Exit { claim, exit: self.exit() },
            13 => Action::Fail { claim, failure: self.failure() },
            14 => Action::Start { attempt: attempt.id, runner: attempt.runner, mode: self.mode(attempt.id) },
            15..=16 => Action::Start { attempt: ids::attempt(next), runner, mode: self.mode(attempt.id) },
            17 => match self.dice.roll(4) {
                0 => Action::Destroy { force: true, why: self.dice.text() },
                _ => Action::DisconnectRunner { claim },
            },
            18 => {
                let status = ExitStatus::Code(self.dice.code());
                Action::AmendExit { attempt: attempt.id, status, source: self.dice.line() }
            }
            _ => {
                let finding = self.dice.one_of(&[Finding::Adopted, Finding::Lost, Finding::Orphan]);
                Action::Reconcile { attempt: attempt.id, finding, detail: self.dice.text() }
            }
        }
    }

    fn mode(&mut self, previous: AttemptId) -> StartMode {
        match self.dice.roll(3) {
            0 => StartMode::Resume { previous },
            1 => StartMode::Restart { previous },
            _ => StartMode::Takeover { expected: previous },
        }
    }

    fn spec(&mut self, number: u64) -> RunSpec {
        let labels = (0..self.dice.roll(4)).map(|_| (self.dice.line().replace('=', ":"), self.dice.text()));
        let mut labels: std::collections::BTreeMap<String, String> = labels.collect();
        // Longer than a label may be: such a creation would be refused.
        labels.retain(|_, value| value.len() <= 1_024);
        let long = if self.dice.roll(30) == 0 { "x".repeat(120_000) } else { self.dice.text() };
        let argv = vec![self.dice.line(), self.dice.text(), long];
        let workload = match self.dice.roll(2) {
            0 => Workload::Command { argv, cwd: (self.dice.roll(2) == 0).then(|| self.dice.line()) },
            _ => Workload::Image { reference: self.dice.line(), argv },
        };
        let limit = Some(self.dice.number());
        RunSpec {
            name: (self.dice.roll(4) > 0).then(|| format!("{}{number}", self.dice.line())),
            labels,
            workload,
            limits: ResourceLimits { wall_ms: limit, memory_bytes: limit, output_bytes: None },
            parent: (self.dice.roll(3) == 0).then(|| ids::run(number / 2 + 1)),
        }
    }

    fn exit(&mut self) -> Exit {
        let status = match self.dice.roll(3) {
            0 => ExitStatus::Code(self.dice.code()),
            1 => ExitStatus::Signal(9),
            _ => ExitStatus::Unknown { cause: self.dice.text() },
        };
        let stream = |bytes| StreamReceipt { bytes, digest: Digest([1; 32]) };
        let drain = Drain::DrainTimedOut { waited_ms: self.dice.number(), open: vec![Stream::Stdout] };
        let drain = self.dice.one_of(&[&Drain::Drained, &drain]).clone();
        let output = OutputReceipt { stdout: stream(self.dice.number()), stderr: stream(self.dice.number()), drain };
        Exit { status, witness: Witness::ExitFile, output: (self.dice.roll(2) == 0).then_some(output) }
    }

    fn failure(&mut self) -> Failure {
        let diagnostics = Diagnostics {
            alive: vec![self.dice.text()],
            last_output: vec![self.dice.text(), self.dice.text()],
            likely_cause: (self.dice.roll(2) == 0).then(|| self.dice.text()),
            facts: [(self.dice.line(), self.dice.text())].into(),
        };
        let kind = match self.dice.roll(2) {
            0 => FailureKind::StartTimeout,
            _ => FailureKind::Other(self.dice.line()),
        };
        Failure { kind, message: self.dice.text(), diagnostics }
    }
}
