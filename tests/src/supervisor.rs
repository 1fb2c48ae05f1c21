//! A supervisor, in the few words that most tests need.

use std::sync::Arc;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, Diagnostics, Effect, Entry, EntryBody, Event, Exit,
    ExitStatus, Failure, FailureKind, Guard, Position, RunId, RunRecord, RunSpec, RunnerId, SnapshotId, StartMode,
    StatusName, Timestamp, Version, Witness, Workload,
};
use tachograph_engine::shell::{Answer, CommandOutcome, Engine, FirstAnswer};

use crate::again::assert_decided_again;

/// An exit with this code, seen by whoever waited.
pub fn code(code: i32) -> Exit {
    Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None }
}

/// An exit that is certain, with a status that nobody saw.
pub fn unknown(cause: &str) -> Exit {
    Exit { status: ExitStatus::Unknown { cause: cause.to_owned() }, witness: Witness::Synthesised, output: None }
}

/// A failure without diagnostics.
pub fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), diagnostics: Diagnostics::default() }
}

/// What a run is created as, with or without a name.
pub fn spec(name: Option<&str>) -> RunSpec {
    RunSpec {
        name: name.map(str::to_owned),
        workload: Workload::Command { argv: vec!["true".to_owned()], cwd: None },
        ..RunSpec::default()
    }
}

/// The supervisor as an actor.
pub fn supervisor() -> Actor {
    Actor::new(ActorKind::Supervisor, "supervisor")
}

/// The holder of a claim as an actor.
pub fn holder(claim: &Claim) -> Actor {
    Actor::new(ActorKind::Runner, claim.runner.as_str())
}

/// Speaks to one engine.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// The engine.
    pub engine: Engine,
}

impl Supervisor {
    /// Speaks to this engine.
    pub fn of(engine: &Engine) -> Self {
        Self { engine: engine.clone() }
    }

    /// A command by an actor.
    pub fn command(&self, actor: Actor, run: RunId, action: Action) -> Command {
        self.engine.command(run, actor, action)
    }

    /// Submits an action by an actor and waits for the answer.
    pub async fn tell(&self, actor: Actor, run: RunId, action: Action) -> Answer {
        self.submit(self.command(actor, run, action)).await
    }

    /// Submits a command and waits for the answer.
    pub async fn submit(&self, command: Command) -> Answer {
        self.engine.submit(command).await.expect("an answer")
    }

    /// The command that creates a run of a fresh id.
    pub fn creation(&self, name: Option<&str>) -> Command {
        let run = RunId::from_ulid(self.engine.mint());
        self.command(supervisor(), run, Action::Create { spec: Arc::new(spec(name)) })
    }

    /// Creates a run.
    pub async fn create(&self, name: Option<&str>) -> RunId {
        let command = self.creation(name);
        let run = command.run;
        self.submit(command).await.expect_written();
        run
    }

    /// A claim on an attempt that is not open yet.
    pub fn claim(&self, run: RunId, runner: &str) -> Claim {
        Claim { run, attempt: AttemptId::from_ulid(self.engine.mint()), runner: RunnerId::from(runner) }
    }

    /// The command that opens the claim's attempt.
    pub fn starting(&self, claim: &Claim, mode: StartMode) -> Command {
        let action = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode };
        self.command(supervisor(), claim.run, action)
    }

    /// Starts a run's first attempt.
    pub async fn start(&self, run: RunId, runner: &str) -> Claim {
        let claim = self.claim(run, runner);
        self.submit(self.starting(&claim, StartMode::Fresh)).await.expect_written();
        claim
    }

    /// Starts a run once more after the end of an attempt.
    pub async fn restart(&self, previous: &Claim, runner: &str) -> Claim {
        let claim = self.claim(previous.run, runner);
        self.submit(self.starting(&claim, StartMode::Restart { previous: previous.attempt })).await.expect_written();
        claim
    }

    /// Takes a started run from its holder.
    pub async fn take_over(&self, previous: &Claim, runner: &str) -> Claim {
        let claim = self.claim(previous.run, runner);
        self.submit(self.starting(&claim, StartMode::Takeover { expected: previous.attempt })).await.expect_written();
        claim
    }

    /// The command by which the holder of a claim reports its exit.
    pub fn exiting(&self, claim: &Claim, exit: Exit) -> Command {
        self.command(holder(claim), claim.run, Action::Exit { claim: claim.clone(), exit })
    }

    /// The holder of a claim reports its exit.
    pub async fn exit(&self, claim: &Claim, exit: Exit) -> Answer {
        self.submit(self.exiting(claim, exit)).await
    }

    /// The holder of a claim reports that it failed.
    pub async fn fail(&self, claim: &Claim, failure: Failure) -> Answer {
        self.tell(holder(claim), claim.run, Action::Fail { claim: claim.clone(), failure }).await
    }

    /// The holder of a claim reports that it waits.
    pub async fn wait(&self, claim: &Claim) -> Answer {
        let action = Action::Wait { claim: claim.clone(), on: "a long poll".to_owned(), deadline: None };
        self.tell(holder(claim), claim.run, action).await
    }

    /// An operator destroys a run.
    pub async fn destroy(&self, run: RunId, force: bool) -> Answer {
        let operator = Actor::new(ActorKind::Operator, "operator");
        self.tell(operator, run, Action::Destroy { force, why: "deleted".to_owned() }).await
    }

    /// The holder of a claim arms a snapshot.
    pub async fn arm(&self, claim: &Claim, due: Timestamp) -> SnapshotId {
        let snapshot = SnapshotId::from_ulid(self.engine.mint());
        let action = Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due };
        self.tell(holder(claim), claim.run, action).await.expect_written();
        snapshot
    }

    /// A runner cancels the run's snapshot in its own right.
    pub async fn cancel(&self, run: RunId, runner: &str) -> Answer {
        let action = Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from(runner)) };
        self.tell(Actor::new(ActorKind::Runner, runner), run, action).await
    }

    /// The timer says that a snapshot is due now.
    pub async fn timer_fires(&self, run: RunId, snapshot: SnapshotId) -> Answer {
        self.tell(Actor::new(ActorKind::Timer, "timer"), run, Action::DispatchSnapshot { snapshot }).await
    }

    /// The holder of a claim lost its connection.
    pub async fn disconnect(&self, claim: &Claim) -> Answer {
        self.tell(supervisor(), claim.run, Action::DisconnectRunner { claim: claim.clone() }).await
    }

    /// A run that is known.
    pub async fn record(&self, run: RunId) -> Arc<RunRecord> {
        self.engine.run(run).await.expect("readable").expect("a known run")
    }

    /// The status of a run that is known.
    pub async fn status(&self, run: RunId) -> StatusName {
        self.record(run).await.run.status.name()
    }

    /// The exit status that counts for a run's current attempt.
    pub async fn exit_status(&self, run: RunId) -> Option<ExitStatus> {
        let record = self.record(run).await;
        record.run.attempt.as_ref()?.outcome.as_ref()?.exit_status().cloned()
    }

    /// The entries about a run, oldest first.
    pub async fn history(&self, run: RunId) -> Vec<Entry> {
        self.engine.reader().history(run).await.expect("readable")
    }

    /// The events of a run, oldest first.
    pub async fn events(&self, run: RunId) -> Vec<Event> {
        self.history(run).await.iter().flat_map(Entry::events).cloned().collect()
    }

    /// Codes of the refusals that are recorded about a run, oldest first.
    pub async fn refusals(&self, run: RunId) -> Vec<&'static str> {
        self.history(run)
            .await
            .iter()
            .filter_map(|entry| match &entry.body {
                EntryBody::Refused(refused) => Some(refused.refusal.code()),
                EntryBody::Committed(_) | EntryBody::System(_) => None,
            })
            .collect()
    }

    /// All entries of the journal, each decided again.
    pub async fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map_or(Position::ZERO, |entry| entry.position);
            let more = self.engine.reader().read(after, 1_000).await.expect("readable");
            if more.is_empty() {
                assert_decided_again(&entries);
                return entries;
            }
            entries.extend(more);
        }
    }
}

/// What a test expects of an answer.
pub trait Expect {
    /// It was written now.
    #[track_caller]
    fn expect_written(&self) -> (Position, Version);
    /// It repeats what was written before.
    #[track_caller]
    fn expect_duplicate(&self) -> (Position, Version);
    /// It was refused with this code just now, and the refusal is recorded.
    #[track_caller]
    fn expect_refused(&self, code: &str) -> Position;
    /// What follows.
    fn effects(&self) -> &[Effect];
}

impl Expect for Answer {
    fn expect_written(&self) -> (Position, Version) {
        match &self.outcome {
            CommandOutcome::Written { position, version } => (*position, *version),
            other => panic!("expected Written, got {other:?}"),
        }
    }

    fn expect_duplicate(&self) -> (Position, Version) {
        match &self.outcome {
            CommandOutcome::Duplicate { of: FirstAnswer::Written { position, version } } => (*position, *version),
            other => panic!("expected Duplicate of something written, got {other:?}"),
        }
    }

    fn expect_refused(&self, code: &str) -> Position {
        match &self.outcome {
            CommandOutcome::Refused { refusal, recorded: Some(position) } if refusal.code() == code => *position,
            other => panic!("expected a recorded refusal {code}, got {other:?}"),
        }
    }

    fn effects(&self) -> &[Effect] {
        &self.effects
    }
}
