//! Deadlines of waiting runs: who is told, when, and how often.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{AttemptId, Claim, RunId, StartMode, TimerOf, Timestamp};
use tachograph_engine::ports::{Clock, Deadlines};
use tachograph_engine::shell::TimekeeperOptions;
use tachograph_tests::supervisor::Expect;
use tachograph_tests::watch::{Watch, World};
use tachograph_tests::within;
use tokio::sync::watch;

/// Run, attempt, deadline, and when it was told.
type Told = (RunId, AttemptId, Timestamp, Timestamp);

/// Writes down what it is told; may do worse for some runs.
struct Listener {
    clock: ManualClock,
    told: watch::Sender<Vec<Told>>,
    hangs_for: Mutex<Vec<RunId>>,
    panics_for: Mutex<Option<RunId>>,
}

#[async_trait]
impl Deadlines for Listener {
    async fn passed(&self, run: RunId, attempt: AttemptId, due: Timestamp) {
        let now = self.clock.now();
        self.told.send_modify(|told| told.push((run, attempt, due, now)));
        if self.hangs_for.lock().unwrap().contains(&run) {
            std::future::pending::<()>().await;
        }
        assert_ne!(*self.panics_for.lock().unwrap(), Some(run), "a test asked for it");
    }
}

impl Listener {
    fn in_world(world: &World) -> Arc<Self> {
        Arc::new(Self {
            clock: world.clock.clone(),
            told: watch::Sender::default(),
            hangs_for: Mutex::default(),
            panics_for: Mutex::default(),
        })
    }

    fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    async fn until_told(&self, times: usize) {
        within("the telling", self.told.subscribe().wait_for(|told| told.len() >= times)).await.unwrap();
    }
}

async fn watch(world: &World, listener: &Arc<Listener>) -> Watch {
    // The longest sleep is beyond all of this: every wake is for its own sake.
    let options = TimekeeperOptions { sleep_max: Duration::from_secs(3_600), ..TimekeeperOptions::default() };
    Watch::over(world.open().await, &world.snapshotter, options, Some(listener.clone()))
}

async fn resume(watch: &Watch, claim: &Claim) {
    let mode = StartMode::Resume { previous: claim.attempt };
    watch.supervisor.submit(watch.supervisor.starting(claim, mode)).await.expect_written();
}

#[tokio::test]
async fn it_is_told_at_its_time_and_once() {
    let world = World::new(271);
    let listener = Listener::in_world(&world);
    let mut watch = watch(&world, &listener).await;
    let claim = watch.waiting_for(5_000).await;
    world.pass(4_999);
    watch.settle().await;
    assert_eq!(listener.told(), []);
    world.clock.until_asleep(1).await;
    world.pass(1);
    listener.until_told(1).await;
    assert_eq!(listener.told(), [(claim.run, claim.attempt, world.at(5_000), world.at(5_000))]);
    world.pass(60_000);
    watch.settle().await;
    assert_eq!(listener.told().len(), 1);
    let (_, report) = watch.stop().await;
    assert_eq!((report.passed, report.pending), (1, vec![]));
}

#[tokio::test]
async fn a_run_that_left_its_wait_in_time_is_not_told_of() {
    let world = World::new(272);
    let listener = Listener::in_world(&world);
    let mut watch = watch(&world, &listener).await;
    let resumed = watch.waiting_for(5_000).await;
    let destroyed = watch.waiting_for(5_000).await;
    let kept = watch.waiting_for(5_000).await;
    resume(&watch, &resumed).await;
    watch.supervisor.destroy(destroyed.run, true).await.expect_written();
    world.pass(5_000);
    watch.settle().await;
    assert_eq!(listener.told().iter().map(|told| told.0).collect::<Vec<_>>(), [kept.run]);
}

#[tokio::test]
async fn waiting_again_is_another_deadline() {
    let world = World::new(273);
    let listener = Listener::in_world(&world);
    let mut watch = watch(&world, &listener).await;
    let claim = watch.waiting_for(5_000).await;
    world.pass(5_000);
    listener.until_told(1).await;
    resume(&watch, &claim).await;
    watch.wait_for(&claim, 2_000).await;
    watch.settle().await;
    world.pass(2_000);
    watch.settle().await;
    let told: Vec<_> = listener.told().iter().map(|told| (told.0, told.2)).collect();
    assert_eq!(told, [(claim.run, world.at(5_000)), (claim.run, world.at(7_000))]);
}

#[tokio::test]
async fn after_a_crash_it_is_told_again() {
    let world = World::new(274);
    let listener = Listener::in_world(&world);
    let watch_before = watch(&world, &listener).await;
    let claim = watch_before.waiting_for(5_000).await;
    world.pass(5_000);
    listener.until_told(1).await;
    watch_before.crash(&world).await;
    world.pass(1_000);
    let mut watch = watch(&world, &listener).await;
    watch.settle().await;
    let told: Vec<_> = listener.told().iter().map(|told| (told.0, told.3)).collect();
    assert_eq!(told, [(claim.run, world.at(5_000)), (claim.run, world.at(6_000))]);
}

#[tokio::test]
async fn a_listener_that_hangs_or_panics_hurts_no_other() {
    let world = World::new(275);
    let listener = Listener::in_world(&world);
    let watch = watch(&world, &listener).await;
    let mut claims = Vec::new();
    for delay in 1..=20 {
        claims.push(watch.waiting_for(delay * 1_000).await);
    }
    *listener.hangs_for.lock().unwrap() = vec![claims[3].run];
    *listener.panics_for.lock().unwrap() = Some(claims[7].run);
    world.pass(20_000);
    listener.until_told(20).await;
    let told: Vec<_> = listener.told().iter().map(|told| told.0).collect();
    assert_eq!(told, claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), "in the order of their due times");
    // Stopping waits for the one that hangs, as long as its limit.
    watch.tell_to_stop();
    world.clock.until_asleep(1).await;
    world.pass(30_000);
    let (_, report) = watch.stop().await;
    assert_eq!(report.passed, 20);
}

#[tokio::test]
async fn no_more_than_a_few_are_told_of_at_a_time_and_one_that_is_early_by_then_waits_again() {
    let world = World::new(276);
    let listener = Listener::in_world(&world);
    let mut watch = watch(&world, &listener).await;
    let mut claims = Vec::new();
    for _ in 0..16 {
        claims.push(watch.waiting_for(5_000).await);
    }
    let last = watch.waiting_for(6_000).await;
    *listener.hangs_for.lock().unwrap() = claims.iter().map(|claim| claim.run).collect();
    world.pass(6_000);
    listener.until_told(16).await;
    watch.settle().await;
    assert_eq!(listener.told().len(), 16, "the last one waits for its turn");
    world.clock.step_wall(-60_000);
    world.pass(30_000);
    watch.settle().await;
    assert_eq!(listener.told().len(), 16, "it is early again");
    world.pass(30_000);
    listener.until_told(17).await;
    assert_eq!(listener.told()[16].0, last.run);
}

#[tokio::test]
async fn what_has_passed_and_was_not_told_is_handed_back() {
    let world = World::new(277);
    let listener = Listener::in_world(&world);
    let mut watch = watch(&world, &listener).await;
    let mut claims = Vec::new();
    for _ in 0..16 {
        claims.push(watch.waiting_for(5_000).await);
    }
    let last = watch.waiting_for(6_000).await;
    *listener.hangs_for.lock().unwrap() = claims.iter().map(|claim| claim.run).collect();
    world.pass(6_000);
    listener.until_told(16).await;
    watch.settle().await;
    watch.tell_to_stop();
    // Those that are told are waited for, as long as they may take.
    world.clock.until_asleep(16).await;
    world.pass(30_000);
    let (_, report) = watch.stop().await;
    assert_eq!(report.passed, 16);
    assert_eq!(report.pending.iter().map(|timer| timer.key.of).collect::<Vec<_>>(), [TimerOf::Deadline(last.attempt)]);
}
