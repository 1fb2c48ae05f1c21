//! A timekeeper that learns late, or nothing any more, of what becomes durable.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use futures::future::join_all;
use tachograph_engine::domain::{
    Action, AttemptId, Claim, Command, Guard, RunId, SnapshotId, StartMode, TimerOf, Timestamp,
};
use tachograph_engine::ports::Deadlines;
use tachograph_engine::shell::{Options, SubscriptionError, TimekeeperEnd, TimekeeperOptions};
use tachograph_tests::snapshotter::Take;
use tachograph_tests::supervisor::{Expect, holder};
use tachograph_tests::watch::{Watch, World, times};
use tachograph_tests::{Gate, Supervisor};
use tokio::task::unconstrained;

const OPTIONS: TimekeeperOptions =
    TimekeeperOptions { places: 4, sleep_max: Duration::from_secs(1 << 40), take_max: Duration::from_secs(30) };
/// More than the feed holds.
const FLOOD: usize = 12;

#[derive(Default)]
struct Told(Mutex<Vec<(RunId, AttemptId, Timestamp)>>);

impl Told {
    fn all(&self) -> Vec<(RunId, AttemptId, Timestamp)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Deadlines for Told {
    async fn passed(&self, run: RunId, attempt: AttemptId, due: Timestamp) {
        self.0.lock().unwrap().push((run, attempt, due));
    }
}

/// A timekeeper that lags as soon as there are a few entries at once, and then needs to read.
async fn easily_behind(world: &World, gate: &Gate) -> (Watch, Arc<Told>) {
    let options = Options { feed_max: 4, ..Options::default() };
    let journal = gate.before(Box::new(world.storage.open().unwrap()));
    let (supervisor, told) = (world.open_with(journal, options).await, Arc::new(Told::default()));
    (Watch::over(supervisor, &world.snapshotter, OPTIONS, Some(told.clone())), told)
}

/// Submits all at once, with enough others for everybody to lag who follows the feed before and reads the files then, as
/// `reads` lets them.
async fn flood(watch: &Watch, mut commands: Vec<Command>, reads: impl FnOnce()) {
    let mut entries = watch.supervisor.engine.subscribe(watch.supervisor.engine.head().position);
    assert!(entries.next().now_or_never().is_none(), "it follows the feed");
    reads();
    commands.extend((0..FLOOD).map(|_| watch.supervisor.creation(None)));
    // One batch: this thread gives nobody a turn before all of it is durable.
    for answer in
        block_on(unconstrained(join_all(commands.into_iter().map(|command| watch.supervisor.submit(command)))))
    {
        answer.expect_written();
    }
    assert!(matches!(entries.next().await, Err(SubscriptionError::Lagged { .. })));
}

/// Gives the timekeeper more turns than it needs for anything here.
async fn turns() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

fn waits(watch: &Watch, claim: &Claim, deadline: Timestamp) -> Command {
    let action = Action::Wait { claim: claim.clone(), on: "again".to_owned(), deadline: Some(deadline) };
    watch.supervisor.command(holder(claim), claim.run, action)
}

#[tokio::test]
async fn what_it_has_not_heard_of_yet_is_judged_as_it_is_and_caught_up_with() {
    let (world, gate) = (World::new(281), Gate::default());
    let (mut watch, told) = easily_behind(&world, &gate).await;
    let (rearmed, old) = watch.armed(1_000).await;
    let (canceled, never) = watch.armed(1_000).await;
    let later = watch.waiting_for(1_000).await;
    let moved = watch.waiting_for(1_000).await;
    watch.settle().await;
    world.clock.until_asleep(1).await;

    let supervisor = &watch.supervisor;
    let snapshot = SnapshotId::from_ulid(supervisor.engine.mint());
    let arms = Action::ScheduleSnapshot { claim: rearmed.clone(), snapshot, due: world.at(5_000) };
    let cancels = Action::CancelSnapshot { guard: Guard::Unconditional };
    let next = supervisor.claim(moved.run, "r2");
    flood(
        &watch,
        vec![
            supervisor.command(holder(&rearmed), rearmed.run, arms),
            supervisor.command(holder(&canceled), canceled.run, cancels),
            supervisor.starting(&later, StartMode::Resume { previous: later.attempt }),
            waits(&watch, &later, world.at(5_000)),
            // Another attempt with the very same deadline.
            supervisor.starting(&next, StartMode::Resume { previous: moved.attempt }),
            waits(&watch, &next, world.at(1_000)),
        ],
        || gate.hold_reads(),
    )
    .await;
    world.pass(1_000);
    turns().await;
    assert_eq!(told.all(), [], "of deadlines that are none any more");

    gate.release_reads();
    watch.settle().await;
    assert_eq!(told.all(), [(moved.run, next.attempt, world.at(1_000))]);
    world.pass(4_000);
    watch.until_taken(snapshot).await;
    watch.settle().await;
    assert_eq!(told.all()[1..], [(later.run, later.attempt, world.at(5_000))]);
    assert_eq!((times(&watch.supervisor, old).await, times(&watch.supervisor, never).await), (0, 0));
    for run in [rearmed.run, canceled.run] {
        assert_eq!(watch.supervisor.refusals(run).await, [""; 0], "nothing was asked for in vain");
    }
}

#[tokio::test]
async fn without_the_journal_it_finishes_what_is_under_way_and_ends() {
    let (world, gate) = (World::new(282), Gate::default());
    let (mut watch, _) = easily_behind(&world, &gate).await;
    let (_, taking) = watch.armed(1_000).await;
    let (_, later) = watch.armed(2_000).await;
    world.snapshotter.script(taking, Take::Held);
    world.pass(1_000);
    world.snapshotter.until_taking(1).await;
    flood(&watch, Vec::new(), || gate.break_reads()).await;
    world.pass(1_000);
    turns().await;
    assert_eq!(world.snapshotter.takes(), [taking], "nothing more is begun");
    gate.release_reads();
    world.snapshotter.let_go(taking);
    watch.until_taken(taking).await;
    let report = watch.end().await;
    assert!(matches!(report.end, TimekeeperEnd::Journal(_)), "{:?}", report.end);
    assert_eq!((report.dispatched, report.taken), (1, 1));
    assert_eq!(report.pending.iter().map(|timer| timer.key.of).collect::<Vec<_>>(), [TimerOf::Snapshot(later)]);
}

/// Submits a command, and returns once it is durable and nobody was told.
async fn unanswered(watch: &Watch, gate: &Gate, command: Command) -> tokio::task::JoinHandle<()> {
    gate.hold_answers();
    let supervisor = Supervisor::of(&watch.supervisor.engine);
    let submitted = tokio::spawn(async move {
        supervisor.submit(command).await.expect_written();
    });
    gate.until_answer_waiting().await;
    submitted
}

#[tokio::test]
async fn ahead_of_what_is_shown_of_the_runs_it_waits_and_forgets_nothing() {
    let (world, gate) = (World::new(283), Gate::default());
    let (mut watch, told) = easily_behind(&world, &gate).await;
    let (claim, waits_too) = (watch.waiting().await, watch.waiting().await);
    watch.settle().await;
    for (number, claim) in [&claim, &waits_too].into_iter().enumerate() {
        flood(&watch, Vec::new(), || gate.hold_reads()).await;
        let snapshot = SnapshotId::from_ulid(watch.supervisor.engine.mint());
        let action = match number {
            0 => Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due: world.at(0) },
            _ => Action::Wait { claim: claim.clone(), on: "again".to_owned(), deadline: Some(world.at(0)) },
        };
        if number == 1 {
            gate.release_reads();
            watch
                .supervisor
                .submit(watch.supervisor.starting(claim, StartMode::Resume { previous: claim.attempt }))
                .await
                .expect_written();
            flood(&watch, Vec::new(), || gate.hold_reads()).await;
        }
        let submitted = unanswered(&watch, &gate, watch.supervisor.command(holder(claim), claim.run, action)).await;
        gate.release_reads();
        turns().await;
        gate.release_answers();
        submitted.await.unwrap();
        match number {
            0 => drop(watch.until_taken(snapshot).await),
            _ => {
                watch.settle().await;
                assert_eq!(told.all(), [(claim.run, claim.attempt, world.at(0))]);
            }
        }
    }
}

#[tokio::test]
async fn what_waits_behind_a_result_that_is_not_shown_yet_follows_it() {
    let (world, gate) = (World::new(284), Gate::default());
    let (mut watch, _) = easily_behind(&world, &gate).await;
    let (claim, first) = watch.armed(0).await;
    world.snapshotter.script(first, Take::Held);
    world.snapshotter.until_taking(1).await;
    let second = watch.arm(&claim, 0).await;
    watch.settle().await;
    flood(&watch, Vec::new(), || gate.hold_reads()).await;
    gate.hold_answers();
    world.snapshotter.let_go(first);
    gate.until_answer_waiting().await;
    gate.release_reads();
    turns().await;
    gate.release_answers();
    watch.until_taken(second).await;
}

#[tokio::test]
async fn beginning_while_something_is_being_written_it_learns_of_it() {
    let (world, gate) = (World::new(285), Gate::default());
    let supervisor = world.open_over(gate.before(Box::new(world.storage.open().unwrap()))).await;
    let claim = supervisor.start(supervisor.create(None).await, "r1").await;
    supervisor.wait(&claim).await.expect_written();
    let snapshot = SnapshotId::from_ulid(supervisor.engine.mint());
    let arms = Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due: world.at(0) };
    gate.hold_answers();
    let (engine, command) = (supervisor.engine.clone(), supervisor.command(holder(&claim), claim.run, arms));
    let submitted = tokio::spawn(async move { engine.submit(command).await });
    gate.until_answer_waiting().await;
    let mut watch = Watch::over(supervisor, &world.snapshotter, OPTIONS, None);
    turns().await;
    gate.release_answers();
    submitted.await.unwrap().unwrap().expect_written();
    watch.until_taken(snapshot).await;
}
