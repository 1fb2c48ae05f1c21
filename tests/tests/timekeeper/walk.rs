//! Random interleavings against the simplest thing that is right: a sorted list.
//!
//! `TACHO_TIMEKEEPER_STEPS` steps (100000) of walks from `TACHO_TIMEKEEPER_SEED` (1). After every step the journal must
//! hold exactly the dispatches that the list says, in its order: none early, none twice, none canceled, none lost.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tachograph_engine::domain::{
    Action, Claim, Entry, EntryBody, Event, Guard, Position, RunId, SnapshotId, StartMode, Timestamp,
};
use tachograph_engine::ports::Clock;
use tachograph_engine::shell::{Subscription, TimekeeperOptions};
use tachograph_tests::random::Numbers;
use tachograph_tests::rounds;
use tachograph_tests::snapshotter::Take;
use tachograph_tests::supervisor::{Expect, code, supervisor};
use tachograph_tests::watch::{Watch, World};

const RUNS: usize = 8;
const PLACES: usize = 3;
const STEPS_OF_A_WALK: u64 = 2_000;
/// After this time a test has failed; none waits for it otherwise.
const HANG: Duration = Duration::from_secs(120);
const OPTIONS: TimekeeperOptions = TimekeeperOptions {
    places: PLACES,
    sleep_max: Duration::from_millis(500),
    // Nothing is given up here: what is held is held for as long as the walk wants.
    take_max: Duration::from_secs(1 << 40),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Waiting,
    Started,
    Ended,
}

/// A run as the list sees it.
#[derive(Debug)]
struct Listed {
    claim: Claim,
    status: Status,
    connected: bool,
    armed: Option<(Timestamp, SnapshotId)>,
    in_flight: Option<SnapshotId>,
}

/// What should happen.
#[derive(Debug, Default)]
struct List {
    runs: Vec<Listed>,
    /// Snapshots that hold a place.
    held: BTreeSet<SnapshotId>,
    is_holding: bool,
    dispatched: Vec<(RunId, SnapshotId)>,
    dues: BTreeMap<SnapshotId, Timestamp>,
}

impl List {
    /// What fires at this time, by due time and then key, as long as there are places.
    fn fire(&mut self, now: Timestamp) {
        while self.held.len() < PLACES {
            let due = self.runs.iter().enumerate().filter(|(_, run)| run.in_flight.is_none());
            let due = due.filter_map(|(at, run)| run.armed.map(|(due, id)| (due, run.claim.run, id, at)));
            let Some((_, run, id, at)) = due.filter(|(due, ..)| *due <= now).min() else { return };
            self.runs[at].armed = None;
            self.dispatched.push((run, id));
            if self.is_holding {
                self.runs[at].in_flight = Some(id);
                self.held.insert(id);
            }
        }
    }
}

/// What did happen, by the journal.
struct Seen {
    entries: Subscription,
    dispatched: Vec<(RunId, SnapshotId)>,
    results: usize,
}

struct Walk {
    world: World,
    watch: Option<Watch>,
    list: List,
    seen: Seen,
    numbers: Numbers,
    crashes: u64,
}

impl Walk {
    async fn begin(seed: u64) -> Self {
        let world = World::new(seed);
        let watch = world.watch(OPTIONS).await;
        let entries = watch.supervisor.engine.subscribe(Position::ZERO);
        let seen = Seen { entries, dispatched: Vec::new(), results: 0 };
        let mut walk =
            Self { world, watch: Some(watch), list: List::default(), seen, numbers: Numbers::new(seed), crashes: 0 };
        for _ in 0..RUNS {
            let claim = walk.watch().waiting().await;
            walk.list.runs.push(Listed::waiting(claim));
        }
        walk
    }

    fn watch(&self) -> &Watch {
        self.watch.as_ref().expect("between two steps there is one")
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn step(&mut self) {
        let at = self.numbers.below(RUNS as u64) as usize;
        match self.numbers.below(1_000) {
            0..250 => self.arm(at).await,
            250..300 => self.cancel(at).await,
            300..400 => self.leave(at).await,
            400..550 => self.come_back(at).await,
            550..750 => self.pass(5_000),
            750..800 => self.pass(30 * 24 * 3_600 * 1_000),
            800..850 => self.step_wall(),
            850..880 => self.list.is_holding = self.numbers.below(3) == 0,
            880..980 => self.let_go(),
            980..995 => self.destroy(at).await,
            _ => self.crash().await,
        }
        self.world.snapshotter.otherwise(if self.list.is_holding { Take::Held } else { Take::Image });
        self.settle().await;
    }

    async fn arm(&mut self, at: usize) {
        if self.list.runs[at].status != Status::Waiting {
            return;
        }
        let bits = self.numbers.below(32);
        let delay = self.numbers.below(1 << bits).min(30 * 24 * 3_600 * 1_000) as i64;
        let claim = self.list.runs[at].claim.clone();
        let due = self.now().plus_millis(delay);
        let snapshot = self.watch().supervisor.arm(&claim, due).await;
        let run = &mut self.list.runs[at];
        run.armed = Some((due, snapshot));
        run.connected = true;
        self.list.dues.insert(snapshot, due);
    }

    async fn cancel(&mut self, at: usize) {
        let run = self.list.runs[at].claim.run;
        let armed = self.list.runs[at].armed;
        let how = self.numbers.below(3);
        let supervisor_ = &self.watch().supervisor;
        match how {
            0 => {
                let answer = supervisor_.cancel(run, "nobody").await;
                assert!(answer.outcome.refusal().is_some());
                return;
            }
            1 => {
                let action = Action::CancelSnapshot { guard: Guard::Unconditional };
                let answer = supervisor_.tell(supervisor(), run, action).await;
                assert_eq!(answer.outcome.refusal().is_none(), armed.is_some());
            }
            _ => {
                let runner = self.list.runs[at].claim.runner.clone();
                let answer = supervisor_.cancel(run, runner.as_str()).await;
                assert_eq!(answer.outcome.refusal().is_none(), armed.is_some());
            }
        }
        self.list.runs[at].armed = None;
    }

    /// Out of the wait, in one of the ways that cancel.
    async fn leave(&mut self, at: usize) {
        let Listed { claim, status, connected, .. } = &self.list.runs[at];
        let (claim, status, connected) = (claim.clone(), *status, *connected);
        let supervisor = self.watch().supervisor.clone();
        match (self.numbers.below(4), status) {
            (_, Status::Ended) | (1 | 2, Status::Started) => return,
            (0, _) => {
                supervisor.exit(&claim, code(0)).await.expect_written();
                self.list.runs[at].status = Status::Ended;
            }
            (1, Status::Waiting) => {
                let mode = StartMode::Resume { previous: claim.attempt };
                supervisor.submit(supervisor.starting(&claim, mode)).await.expect_written();
                self.list.runs[at].status = Status::Started;
                self.list.runs[at].connected = true;
            }
            (2, Status::Waiting) => {
                let next = supervisor.claim(claim.run, &format!("another than {}", claim.attempt));
                let mode = StartMode::Resume { previous: claim.attempt };
                supervisor.submit(supervisor.starting(&next, mode)).await.expect_written();
                let run = &mut self.list.runs[at];
                (run.claim, run.status, run.connected) = (next, Status::Started, true);
            }
            _ => {
                if !connected {
                    return;
                }
                supervisor.disconnect(&claim).await.expect_written();
                self.list.runs[at].connected = false;
            }
        }
        self.list.runs[at].armed = None;
    }

    async fn come_back(&mut self, at: usize) {
        let Listed { claim, status, .. } = &self.list.runs[at];
        let (claim, status) = (claim.clone(), *status);
        let supervisor = self.watch().supervisor.clone();
        let claim = match status {
            Status::Waiting => return,
            Status::Started if self.numbers.below(3) == 0 => {
                supervisor.take_over(&claim, &format!("taker from {}", claim.attempt)).await
            }
            Status::Started => claim,
            Status::Ended => supervisor.restart(&claim, "restarted").await,
        };
        supervisor.wait(&claim).await.expect_written();
        let run = &mut self.list.runs[at];
        (run.claim, run.status, run.connected) = (claim, Status::Waiting, true);
    }

    fn pass(&mut self, most_ms: u64) {
        self.world.pass(self.numbers.below(most_ms));
    }

    /// The wall clock steps; that is noticed within the longest sleep.
    fn step_wall(&mut self) {
        let bits = self.numbers.below(28);
        let millis = self.numbers.below(1 << bits) as i64;
        self.world.clock.step_wall(if self.numbers.below(2) == 0 { millis } else { -millis });
        self.world.pass(500);
    }

    fn let_go(&mut self) {
        let held = self.list.held.len() as u64;
        if held == 0 {
            return;
        }
        let which = self.numbers.below(held) as usize;
        let snapshot = *self.list.held.iter().nth(which).expect("one of them");
        self.free(snapshot);
    }

    fn free(&mut self, snapshot: SnapshotId) {
        self.list.held.remove(&snapshot);
        for run in &mut self.list.runs {
            run.in_flight.take_if(|in_flight| *in_flight == snapshot);
        }
        self.world.snapshotter.let_go(snapshot);
    }

    /// A new run takes the place of a destroyed one; what is being taken of it goes on until it is let go.
    async fn destroy(&mut self, at: usize) {
        let run = self.list.runs[at].claim.run;
        self.watch().supervisor.destroy(run, true).await.expect_written();
        let claim = self.watch().waiting().await;
        self.list.runs[at] = Listed::waiting(claim);
    }

    /// The supervisor crashes in one of three ways while something may be due, and comes back a while later.
    async fn crash(&mut self) {
        self.crashes += 1;
        let way = self.numbers.below(3);
        let watch = self.watch.take().expect("between two steps there is one");
        let will_fire = {
            let mut ahead = self.numbers.clone();
            self.world.clock.now().plus_millis(ahead.below(60_000) as i64)
        };
        let is_due = |run: &Listed| run.in_flight.is_none() && run.armed.is_some_and(|(due, _)| due <= will_fire);
        let fires = self.list.held.len() < PLACES && self.list.runs.iter().any(is_due);
        self.list.is_holding = false;
        self.world.snapshotter.otherwise(Take::Image);
        match way {
            1 | 2 if fires => {
                if way == 1 {
                    self.world.storage.fail_next_append();
                } else {
                    self.world.storage.leave_next_append_unanswered();
                }
                self.pass(60_000);
                watch.end().await;
            }
            _ => {
                watch.crash(&self.world).await;
                self.pass(60_000);
            }
        }
        // What was being taken is lost, and found to be; what was armed behind it goes on after that.
        self.list.held.clear();
        let behind: BTreeSet<RunId> =
            self.list.runs.iter().filter(|run| run.in_flight.is_some()).map(|run| run.claim.run).collect();
        self.list.runs.iter_mut().for_each(|run| run.in_flight = None);
        let before = self.list.dispatched.len();
        self.list.fire(self.now());
        let watch = self.world.watch(OPTIONS).await;
        self.seen.entries = watch.supervisor.engine.subscribe(self.seen.entries.position());
        self.watch = Some(watch);
        self.seen.until(self.list.dispatched.len(), self.list.dispatched.len(), &self.list.dues).await;
        // What was behind something lost follows when that is decided, in no order; all else is in order before it.
        let sort = |dispatched: &mut [(RunId, SnapshotId)]| {
            dispatched.sort_by_key(|fired| behind.contains(&fired.0).then_some(*fired));
        };
        sort(&mut self.list.dispatched[before..]);
        sort(&mut self.seen.dispatched[before..]);
    }

    async fn settle(&mut self) {
        self.list.fire(self.now());
        let (dispatched, held) = (self.list.dispatched.len(), self.list.held.len());
        // A destroyed run's has its result already.
        let open = self.list.runs.iter().filter(|run| run.in_flight.is_some()).count();
        assert!(open <= held);
        self.seen.until(dispatched, dispatched - open, &self.list.dues).await;
        let both = self.seen.dispatched.iter().zip(&self.list.dispatched);
        let agreed = both.take_while(|(seen, listed)| seen == listed).count();
        let (seen, listed) = (&self.seen.dispatched[agreed..], &self.list.dispatched[agreed..]);
        assert_eq!(seen, listed, "after {agreed} that agree");
        // Whether it holds is decided when it is taken, which is a little after it is dispatched.
        let snapshotter = &self.world.snapshotter;
        let holding = snapshotter.until(|| snapshotter.under_way() == held);
        let is_held = tokio::time::timeout(HANG, holding).await;
        assert!(is_held.is_ok(), "{} are being taken, {held} should be", snapshotter.under_way());
    }
}

impl Listed {
    fn waiting(claim: Claim) -> Self {
        Self { claim, status: Status::Waiting, connected: true, armed: None, in_flight: None }
    }
}

impl Seen {
    async fn until(&mut self, dispatched: usize, results: usize, dues: &BTreeMap<SnapshotId, Timestamp>) {
        while self.dispatched.len() < dispatched || self.results < results {
            let entry = tokio::time::timeout(HANG, self.entries.next()).await;
            let Ok(entry) = entry else {
                panic!(
                    "lost: {} of {dispatched} dispatched, {} of {results} results",
                    self.dispatched.len(),
                    self.results
                )
            };
            self.take_in(&entry.expect("an entry"), dues);
        }
    }

    fn take_in(&mut self, entry: &Entry, dues: &BTreeMap<SnapshotId, Timestamp>) {
        let EntryBody::Committed(committed) = &entry.body else { return };
        for event in &committed.events {
            match event {
                Event::SnapshotDispatched { snapshot } => {
                    let (due, now) = (dues[snapshot], committed.command.issued_at);
                    assert!(due <= now, "{snapshot} was due at {due} and is dispatched at {now}");
                    self.dispatched.push((committed.command.run, *snapshot));
                }
                Event::SnapshotTaken { .. } | Event::SnapshotFailed { .. } => self.results += 1,
                _ => {}
            }
        }
    }
}

async fn walk(seed: u64, steps: u64) -> (usize, u64) {
    let mut walk = Walk::begin(seed).await;
    for step in 0..steps {
        if let Err(panic) = AssertUnwindSafe(walk.step()).catch_unwind().await {
            eprintln!("at step {step} of the walk with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    let once: BTreeSet<_> = walk.seen.dispatched.iter().collect();
    assert_eq!(once.len(), walk.seen.dispatched.len(), "each once");
    (once.len(), walk.crashes)
}

fn walks(from: u64, count: u64, steps: u64) -> (usize, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut fired, mut crashes) = (0, 0);
    for seed in from..from + count {
        let walked = runtime.block_on(walk(seed, steps));
        fired += walked.0;
        crashes += walked.1;
    }
    (fired, crashes)
}

#[test]
fn random_interleavings_are_those_of_a_sorted_list() {
    let steps = rounds("TACHO_TIMEKEEPER_STEPS", 100_000);
    let seed = rounds("TACHO_TIMEKEEPER_SEED", 1);
    println!("TACHO_TIMEKEEPER_SEED={seed} TACHO_TIMEKEEPER_STEPS={steps}");
    let count = steps.div_ceil(STEPS_OF_A_WALK).max(1);
    let (fired, crashes) = std::thread::scope(|scope| {
        let half = count / 2;
        let other = scope.spawn(move || walks(seed + half, count - half, steps.min(STEPS_OF_A_WALK)));
        let first = walks(seed, half, steps.min(STEPS_OF_A_WALK));
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (first.0 + other.0, first.1 + other.1)
    });
    println!("{fired} fired, {crashes} crashes");
    assert!(steps < 10_000 || (fired as u64 > steps / 50 && crashes > steps / 1_000), "the walk goes somewhere");
}
