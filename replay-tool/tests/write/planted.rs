use std::sync::Arc;

use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, RunId, RunSpec, RunnerId, SnapshotId, StartMode, Timestamp,
    Workload,
};
use tachograph_engine::shell::{Engine, Options, Parts};
use tokio::runtime::Runtime;

use super::support::Place;

/// Who holds every planted attempt.
pub(crate) const RUNNER: &str = "vm-7";

/// An engine in the test's own process, as another embedder would have it: its runs are of no process runner, so that
/// no recovery touches them.
pub(crate) struct Planted {
    engine: Engine,
    runtime: Runtime,
}

impl Planted {
    pub(crate) fn in_data_of(place: &Place) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clock = Arc::new(SystemClock);
        let parts = Parts {
            journal: Box::new(FileJournal::open(&place.data(), JournalOptions::default()).unwrap()),
            clock: clock.clone(),
            ids: Arc::new(UlidSource::default()),
            host: Arc::new(LocalHost::new(clock)),
            checkpoints: None,
        };
        let (engine, _) = runtime.block_on(Engine::open(parts, Options::default())).unwrap();
        Self { engine, runtime }
    }

    fn ask(&self, run: RunId, action: Action) {
        self.submit(self.engine.command(run, Actor::new(ActorKind::Runner, RUNNER), action));
    }

    fn submit(&self, command: Command) {
        let answer = self.runtime.block_on(self.engine.submit(command)).unwrap();
        assert!(answer.outcome.written().is_some(), "{answer:?}");
    }

    /// A run that was created and not started.
    pub(crate) fn created(&self, name: &str) -> RunId {
        let run = RunId::from_ulid(self.engine.mint());
        let workload = Workload::Image { reference: "registry/image:1".to_owned(), argv: Vec::new() };
        let spec = Arc::new(RunSpec { name: Some(name.to_owned()), workload, ..RunSpec::default() });
        self.ask(run, Action::Create { spec });
        run
    }

    /// A run that waits, with a snapshot that is due in an hour.
    pub(crate) fn armed(&self, name: &str) -> (RunId, SnapshotId) {
        self.armed_after(name, 3_600_000_000)
    }

    /// A run that waits, with a snapshot that is being taken.
    pub(crate) fn dispatched(&self, name: &str) -> RunId {
        let (run, snapshot) = self.armed_after(name, 0);
        self.ask(run, Action::DispatchSnapshot { snapshot });
        run
    }

    fn armed_after(&self, name: &str, delay_us: i64) -> (RunId, SnapshotId) {
        let run = self.created(name);
        let (attempt, runner) = (AttemptId::from_ulid(self.engine.mint()), RunnerId::new(RUNNER));
        self.ask(run, Action::Start { attempt, runner: runner.clone(), mode: StartMode::Fresh });
        let claim = Claim { run, attempt, runner };
        self.ask(run, Action::Wait { claim: claim.clone(), on: "a review".to_owned(), deadline: None });
        let snapshot = SnapshotId::from_ulid(self.engine.mint());
        let now = self.engine.clock().now();
        let due = Timestamp::from_micros(now.as_micros() + delay_us);
        let schedule = Action::ScheduleSnapshot { claim, snapshot, due };
        let command = self.engine.command(run, Actor::new(ActorKind::Runner, RUNNER), schedule);
        self.submit(Command { issued_at: now, ..command });
        (run, snapshot)
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.engine.close()).unwrap();
    }
}
