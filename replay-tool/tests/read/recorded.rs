//! Journals that a real engine wrote, on a clock that is moved by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::memory::MemoryStorage;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Guard, Refusal, RunId, RunSpec, RunnerId, SnapshotId, StartMode,
    Timestamp, Workload,
};
use tachograph_engine::ports::{Journal, JournalError};
use tachograph_engine::shell::{CommandOutcome, Engine, Options, Parts};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::{Format, Reading};

use crate::kept::printed_at;
use crate::made::START;

/// A journal in memory, whose clock and ids go on from one writer to the next.
pub(crate) struct Recorded {
    pub(crate) clock: ManualClock,
    ids: Arc<SeededIds>,
    storage: MemoryStorage,
}

/// An engine, and the runs that it is told about.
pub(crate) struct Supervisor {
    pub(crate) engine: Engine,
    clock: ManualClock,
}

/// A run that waits, and who holds it.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) run: RunId,
    pub(crate) claim: Claim,
}

pub(crate) fn supervisor_on(
    journal: Result<impl Journal + 'static, JournalError>,
    clock: &ManualClock,
    ids: Arc<SeededIds>,
) -> impl Future<Output = Supervisor> {
    let clock = clock.clone();
    async move {
        let shared = Arc::new(clock.clone());
        let parts = Parts {
            journal: Box::new(journal.unwrap()),
            clock: shared.clone(),
            ids,
            host: Arc::new(LocalHost::new(shared)),
            checkpoints: None,
        };
        Supervisor { engine: Engine::open(parts, Options::default()).await.unwrap().0, clock }
    }
}

impl Recorded {
    pub(crate) fn new() -> Self {
        Self { clock: ManualClock::new(START), ids: Arc::new(SeededIds::new(7)), storage: MemoryStorage::default() }
    }

    /// Lets the writer go as a crash would: without recording that the journal was closed.
    pub(crate) fn crash(&self, supervisor: Supervisor) {
        self.storage.fail_next_append();
        drop(supervisor);
    }

    /// Opens it for writing: the writer before must be closed, or have crashed.
    pub(crate) async fn open(&self) -> Supervisor {
        supervisor_on(self.journal(), &self.clock, self.ids.clone()).await
    }

    fn journal(&self) -> Result<impl Journal + 'static, JournalError> {
        // A committer that lost its last handle gives the journal back from its own thread.
        for _ in 0..100_000 {
            match self.storage.open() {
                Err(JournalError::Locked { .. }) => std::thread::yield_now(),
                opened => return opened,
            }
        }
        self.storage.open()
    }

    pub(crate) fn dataset(&self) -> Dataset {
        Dataset::over(self.storage.reader(), Path::new("recorded"))
    }

    /// Runs a read command now, on a machine where no writer of it is known.
    pub(crate) fn printed(
        &self,
        format: Format,
        command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let machine = Machine::of("elsewhere", "another-boot", "recorded");
        printed_at(self.now(), self.dataset(), machine, format, command)
    }

    pub(crate) fn now(&self) -> Timestamp {
        use tachograph_engine::ports::Clock;
        self.clock.now()
    }
}

/// Whatever a test did, what it recorded is decided again.
impl Drop for Recorded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let rechecked = crate::kept::run(tachograph_replay::rule::recheck(&self.dataset(), 1)).unwrap();
            assert_eq!(rechecked.differences, [], "decided again, they come out otherwise");
        }
    }
}

impl Supervisor {
    async fn submit(&self, actor: Actor, run: RunId, action: Action) -> CommandOutcome {
        self.engine.submit(self.engine.command(run, actor, action)).await.unwrap().outcome
    }

    /// A command that must be accepted.
    pub(crate) async fn does(&self, run: RunId, action: Action) {
        let outcome = self.submit(Actor::new(ActorKind::Supervisor, "main"), run, action).await;
        assert!(outcome.written().is_some(), "{outcome:?}");
    }

    /// A command that must be refused.
    pub(crate) async fn refuses(&self, runner: &str, run: RunId, action: Action) -> Refusal {
        let outcome = self.submit(Actor::new(ActorKind::Runner, runner), run, action).await;
        outcome.refusal().unwrap_or_else(|| panic!("{outcome:?}")).clone()
    }

    /// A run that waits, with a deadline in an hour.
    pub(crate) async fn waiting(&self, name: &str, runner: &str) -> Waiting {
        let run = RunId::from_ulid(self.engine.mint());
        let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: None };
        let spec = Arc::new(RunSpec { name: Some(name.to_owned()), workload, ..RunSpec::default() });
        self.does(run, Action::Create { spec }).await;
        let attempt = AttemptId::from_ulid(self.engine.mint());
        let runner = RunnerId::from(runner);
        self.does(run, Action::Start { attempt, runner: runner.clone(), mode: StartMode::Fresh }).await;
        let claim = Claim { run, attempt, runner };
        let deadline = Some(self.engine.clock().now().plus_millis(3_600_000));
        self.does(run, Action::Wait { claim: claim.clone(), on: "approval".to_owned(), deadline }).await;
        Waiting { run, claim }
    }

    /// Arms a snapshot of it, due in so many seconds.
    pub(crate) async fn arms(&self, waiting: &Waiting, seconds: i64) -> SnapshotId {
        let snapshot = SnapshotId::from_ulid(self.engine.mint());
        let due = self.engine.clock().now().plus_millis(seconds * 1_000);
        self.does(waiting.run, Action::ScheduleSnapshot { claim: waiting.claim.clone(), snapshot, due }).await;
        snapshot
    }

    pub(crate) fn passes(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A cancel by a runner.
pub(crate) fn cancel_by(runner: &str) -> Action {
    Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from(runner)) }
}
