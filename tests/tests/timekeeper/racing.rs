//! Commands that race what is being dispatched: nothing settles between them.
//!
//! `TACHO_RACING_ROUNDS` rounds (2000) from `TACHO_TIMEKEEPER_SEED` (1). In each a snapshot is armed and becomes due
//! while two to five commands are under way. Who wins is not for the test to say; that one does is.

use std::collections::BTreeMap;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, Entry, EntryBody, Event, Guard, Position, Refusal, RunId, RunnerId,
    SnapshotId, StartMode, StatusName, Timestamp,
};
use tachograph_engine::ports::Clock;
use tachograph_engine::shell::{Pending, Subscription, TimekeeperOptions};
use tachograph_tests::random::Numbers;
use tachograph_tests::supervisor::{Expect, code, holder, supervisor};
use tachograph_tests::watch::{Watch, World};
use tachograph_tests::{rounds, within};

/// What became of a snapshot, by the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Armed(Timestamp),
    Canceled,
    Dispatched,
    Done,
}

/// What happened to every snapshot; nothing that may not.
struct Seen {
    entries: Subscription,
    stages: BTreeMap<SnapshotId, Stage>,
}

impl Seen {
    /// Reads on until nothing is due or being taken.
    async fn settle(&mut self, head: Position, now: Timestamp) {
        let open = |stage: &Stage| match stage {
            Stage::Armed(due) => *due <= now,
            Stage::Dispatched => true,
            Stage::Canceled | Stage::Done => false,
        };
        while self.entries.position() < head || self.stages.values().any(open) {
            let entry = within("what follows", self.entries.next()).await.unwrap();
            self.take_in(&entry);
        }
    }

    fn take_in(&mut self, entry: &Entry) {
        let EntryBody::Committed(committed) = &entry.body else { return };
        for event in &committed.events {
            let (snapshot, stage) = match event {
                Event::SnapshotScheduled { snapshot, due, .. } => (snapshot, Stage::Armed(*due)),
                Event::SnapshotCanceled { snapshot, .. } => (snapshot, Stage::Canceled),
                Event::SnapshotDispatched { snapshot } => (snapshot, Stage::Dispatched),
                Event::SnapshotTaken { snapshot, .. } | Event::SnapshotFailed { snapshot, .. } => {
                    (snapshot, Stage::Done)
                }
                _ => continue,
            };
            let before = self.stages.insert(*snapshot, stage);
            let fits = match (before, stage) {
                (None, Stage::Armed(_))
                | (Some(Stage::Armed(_)), Stage::Canceled)
                | (Some(Stage::Dispatched), Stage::Done) => true,
                (Some(Stage::Armed(due)), Stage::Dispatched) => due <= committed.command.issued_at,
                _ => false,
            };
            assert!(fits, "{snapshot}: {before:?}, then {stage:?} at {}", entry.position);
        }
    }

    fn count(&self, wanted: Stage) -> usize {
        self.stages.values().filter(|stage| **stage == wanted).count()
    }
}

struct Race {
    world: World,
    watch: Watch,
    numbers: Numbers,
    run: RunId,
    /// Who held the run before its present holder.
    earlier: Vec<RunnerId>,
    runners: u64,
    /// Cancels that came too late.
    late: u64,
}

impl Race {
    async fn begin(seed: u64) -> Self {
        let world = World::new(seed);
        let watch = world.watch(TimekeeperOptions::default()).await;
        let run = watch.waiting().await.run;
        Self { world, watch, numbers: Numbers::new(seed), run, earlier: Vec::new(), runners: 1, late: 0 }
    }

    fn runner(&mut self) -> RunnerId {
        self.runners += 1;
        RunnerId::from(format!("r{}", self.runners).as_str())
    }

    /// The run waits again, whoever holds it now.
    async fn waiting(&mut self) -> Claim {
        let supervisor_ = self.watch.supervisor.clone();
        let record = supervisor_.record(self.run).await;
        let attempt = record.run.attempt.clone().unwrap();
        let claim = Claim { run: self.run, attempt: attempt.id, runner: attempt.runner };
        match record.run.status.name() {
            StatusName::Waiting => claim,
            StatusName::Started => {
                supervisor_.wait(&claim).await.expect_written();
                claim
            }
            _ => {
                self.earlier.push(claim.runner.clone());
                let next = self.runner();
                let claim = supervisor_.restart(&claim, next.as_str()).await;
                supervisor_.wait(&claim).await.expect_written();
                claim
            }
        }
    }

    fn action(&mut self, claim: &Claim) -> (Actor, Action) {
        let cancel = |runner: &RunnerId| {
            let guard = Guard::Runner(runner.clone());
            (Actor::new(ActorKind::Runner, runner.as_str()), Action::CancelSnapshot { guard })
        };
        let resume = StartMode::Resume { previous: claim.attempt };
        match self.numbers.below(16) {
            0..4 => cancel(&claim.runner),
            4..8 if !self.earlier.is_empty() => {
                let at = self.numbers.below(self.earlier.len() as u64) as usize;
                cancel(&self.earlier[at])
            }
            8 | 9 => (supervisor(), Action::CancelSnapshot { guard: Guard::Unconditional }),
            10 => (holder(claim), Action::Exit { claim: claim.clone(), exit: code(0) }),
            11 => {
                let runner = self.runner();
                let next = self.watch.supervisor.claim(claim.run, runner.as_str());
                (supervisor(), Action::Start { attempt: next.attempt, runner, mode: resume })
            }
            12 => {
                let (attempt, runner) = (claim.attempt, claim.runner.clone());
                (holder(claim), Action::Start { attempt, runner, mode: resume })
            }
            13 => (supervisor(), Action::DisconnectRunner { claim: claim.clone() }),
            _ => {
                let snapshot = SnapshotId::from_ulid(self.watch.supervisor.engine.mint());
                let due = self.world.clock.now().plus_millis(self.numbers.below(20) as i64);
                (holder(claim), Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due })
            }
        }
    }

    async fn round(&mut self, seen: &mut Seen) {
        let claim = self.waiting().await;
        let engine = self.watch.supervisor.engine.clone();
        let delay_ms = self.numbers.below(10);
        self.watch.arm(&claim, delay_ms as i64).await;
        let mut under_way: Vec<(Command, Pending)> = Vec::new();
        let commands = 2 + self.numbers.below(4);
        let due_before = self.numbers.below(commands);
        for number in 0..commands {
            if number == due_before {
                self.world.pass(delay_ms);
            }
            // The timekeeper gets further or not.
            for _ in 0..self.numbers.below(4) {
                tokio::task::yield_now().await;
            }
            let (actor, action) = self.action(&claim);
            let command = engine.command(self.run, actor, action);
            under_way.push((command.clone(), engine.try_submit(command).unwrap()));
        }
        for (command, pending) in under_way {
            let answer = pending.await.unwrap();
            let refusal = answer.outcome.refusal();
            self.late += u64::from(matches!(refusal, Some(Refusal::AlreadyDispatched { .. })));
            if let Action::CancelSnapshot { guard: Guard::Runner(runner) } = &command.action {
                let wrong = self.earlier.contains(runner);
                assert!(!wrong || refusal.is_some(), "{runner} held the run once, and canceled for {}", claim.runner);
            }
        }
        self.world.pass(20);
        seen.settle(engine.head().position, self.world.clock.now()).await;
        let holder = self.watch.supervisor.record(self.run).await.run.attempt.clone().unwrap().runner;
        if holder != claim.runner {
            self.earlier.push(claim.runner);
        }
    }
}

#[tokio::test]
async fn of_commands_that_race_a_dispatch_one_wins_and_no_earlier_runner_cancels() {
    let (count, seed) = (rounds("TACHO_RACING_ROUNDS", 2_000), rounds("TACHO_TIMEKEEPER_SEED", 1));
    println!("TACHO_TIMEKEEPER_SEED={seed} TACHO_RACING_ROUNDS={count}");
    let mut race = Race::begin(seed).await;
    let entries = race.watch.supervisor.engine.subscribe(Position::ZERO);
    let mut seen = Seen { entries, stages: BTreeMap::new() };
    for _ in 0..count {
        race.round(&mut seen).await;
    }
    let (canceled, done) = (seen.count(Stage::Canceled), seen.count(Stage::Done));
    println!("{canceled} canceled, {done} taken, {} cancels came too late, {} runners", race.late, race.runners);
    assert!(count < 1_000 || (canceled > 100 && done > 100 && race.late > 10 && race.runners > 100), "it is a race");
}
