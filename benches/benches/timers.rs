//! Nanoseconds per operation and bytes per timer of the timer wheel, next to what else could hold the timers, in the same
//! run: tokio-util's `DelayQueue`, the quad wheel of `hierarchical_hash_wheel_timer`, and an ordered set. Each has what it
//! takes for a cancel that is guarded by the due time that was armed: a map by key where it brings none.
//!
//! All of them do each step of a round in turn, in another order each round, so that what else the machine does meets
//! them alike; what counts is the median of the ratios of each round.
//!
//! `cargo bench -p tachograph-benches --bench timers`; `TACHO_BENCH_ROUNDS` (9), `TACHO_BENCH_TIMERS` (1000000, and then a
//! tenth of it) and `TACHO_BENCH_SPREAD_MS` (60000), over which they are due, turn it up. It takes at least twice the
//! spread, because the `DelayQueue` knows real time only: one is filled first, and emptied when all is due.

use std::alloc::System;
use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::{QuadWheelWithOverflow, no_prune};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tachograph_benches::{Failure, median, number};
use tachograph_engine::domain::{RunId, SnapshotId, Timestamp};
use tachograph_projections::{TimerKey, TimerOf, TimerWheel};
use tokio::runtime::Runtime;
use tokio_util::time::{DelayQueue, delay_queue};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Failure> {
    let rounds = number("TACHO_BENCH_ROUNDS", 9).max(1);
    let timers = number("TACHO_BENCH_TIMERS", 1_000_000) as usize;
    let spread_ms = number("TACHO_BENCH_SPREAD_MS", 60_000).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    for timers in [timers, timers / 10] {
        let waiting = Waiting::fill(&runtime, &Work::random(0, timers, spread_ms));
        let mut measured = Vec::new();
        for round in 1..=rounds {
            measured.push(measure(&runtime, &Work::random(round, timers, spread_ms), round as usize)?);
        }
        print(timers, spread_ms, &measured, waiting.empty()?);
    }
    Ok(())
}

const NAMES: [&str; 4] = ["TimerWheel", "quad wheel + map", "ordered set + map", "DelayQueue + map"];
const OWN: usize = 0;
const QUAD: usize = 1;
const QUEUE: usize = 3;

/// Nanoseconds per operation, and bytes per timer. Expiry of the one that knows real time only is not among them.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    insert: f64,
    cancel: f64,
    peek: f64,
    expire: f64,
    rearm: f64,
    bytes: f64,
}

/// A name and how to read the figure.
type Column = (&'static str, fn(&Figures) -> f64);

impl Figures {
    const COLUMNS: [Column; 6] = [
        ("insert", |figures| figures.insert),
        ("cancel", |figures| figures.cancel),
        ("peek", |figures| figures.peek),
        ("expire", |figures| figures.expire),
        ("re-arm", |figures| figures.rearm),
        ("bytes", |figures| figures.bytes),
    ];

    fn insert_and_cancel(&self) -> f64 {
        self.insert + self.cancel
    }
}

/// What each candidate cost in one round.
type Round = [Figures; NAMES.len()];

/// The median over all rounds.
fn middle(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(of).collect())
}

fn print(timers: usize, spread_ms: u64, rounds: &[Round], queue_expire: f64) {
    println!("{timers} timers due within {spread_ms} ms; ns per operation, bytes per timer after re-arming each once");
    print!("{:<18}", "");
    Figures::COLUMNS.iter().for_each(|(name, _)| print!("{name:>9}"));
    println!();
    for (candidate, name) in NAMES.iter().enumerate() {
        print!("{name:<18}");
        for (_, column) in Figures::COLUMNS {
            print!("{:>9.0}", middle(rounds, |round| column(&round[candidate])));
        }
        println!();
    }
    println!("{:<18}{:>36.0}  expire, in real time, once", NAMES[QUEUE], queue_expire);
    for (candidate, name) in NAMES.iter().enumerate().skip(1) {
        let ratio = |of: fn(&Figures) -> f64| middle(rounds, move |round| of(&round[OWN]) / of(&round[candidate]));
        print!("÷ {name:<17} insert + cancel {:.2}, ", ratio(Figures::insert_and_cancel));
        if candidate != QUEUE {
            print!("expire {:.2}, ", ratio(|figures| figures.expire));
        }
        println!("memory {:.2}", ratio(|figures| figures.bytes));
    }
    targets(rounds);
    println!();
}

/// What the wheel should reach, and whether it did.
fn targets(rounds: &[Round]) {
    let ratio = |of: fn(&Figures) -> f64, candidate: usize| {
        rounds.iter().map(|round| of(&round[OWN]) / of(&round[candidate])).collect::<Vec<f64>>()
    };
    let all = [
        ("insert + cancel, ÷ quad wheel", ratio(Figures::insert_and_cancel, QUAD), 1.3),
        ("expire, ÷ quad wheel", ratio(|figures| figures.expire, QUAD), 1.3),
        ("memory, ÷ quad wheel", ratio(|figures| figures.bytes, QUAD), 0.5),
        ("insert + cancel, ÷ DelayQueue", ratio(Figures::insert_and_cancel, QUEUE), 0.4),
    ];
    for (what, ratios, at_most) in all {
        let within = ratios.iter().filter(|ratio| **ratio <= at_most).count();
        let rounds = ratios.len();
        let (least, most) =
            (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
        let median = median(ratios);
        let verdict = if median <= at_most { "MET" } else { "MISSED" };
        println!(
            "target {verdict:<6} {what:<30} at most {at_most:.1}: {median:.2} ({least:.2} to {most:.2}, {within} of {rounds} rounds)"
        );
    }
}

/// A timer, and when it is due in milliseconds after the start.
type Armed = (TimerKey, u64);

/// What is done to each candidate. Made beforehand, so that only the candidate is measured.
struct Work {
    insert: Vec<Armed>,
    /// In another order, as what follows.
    cancel: Vec<Armed>,
    peek: Vec<Armed>,
    /// What is armed, and when it is due from then on.
    rearm: Vec<(Armed, u64)>,
    spread_ms: u64,
}

impl Work {
    fn random(seed: u64, timers: usize, spread_ms: u64) -> Self {
        let mut random = Random(seed);
        let id = |random: &mut Random| u128::from(random.next()) << 64 | u128::from(random.next());
        let insert: Vec<Armed> = (0..timers)
            .map(|_| {
                let of = TimerOf::Snapshot(SnapshotId::from_u128(id(&mut random)));
                (TimerKey { run: RunId::from_u128(id(&mut random)), of }, 1 + random.next() % spread_ms)
            })
            .collect();
        let mut shuffled = || {
            let mut shuffled = insert.clone();
            (1..shuffled.len()).for_each(|at| shuffled.swap(at, random.next() as usize % (at + 1)));
            shuffled
        };
        let (mut cancel, peek, rearm) = (shuffled(), shuffled(), shuffled());
        cancel.truncate(timers.div_ceil(4));
        let rearm = rearm.into_iter().map(|armed| (armed, 1 + random.next() % spread_ms)).collect();
        Self { insert, cancel, peek, rearm, spread_ms }
    }
}

/// Sebastiano Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Something that holds timers.
trait Candidate {
    fn insert(&mut self, armed: Armed);
    /// Cancels the key if it is due when it is said to be.
    fn cancel(&mut self, armed: Armed) -> bool;
    fn peek(&self, key: &TimerKey) -> Option<u64>;
    /// Takes out what is due; called for every millisecond.
    fn expire(&mut self, now_ms: u64) -> usize;
}

/// Many operations at once: what is measured has one indirect call around it.
trait Steps {
    fn insert_all(&mut self, armed: &[Armed]);
    fn cancel_all(&mut self, armed: &[Armed]) -> usize;
    fn peek_all(&self, armed: &[Armed]) -> usize;
    fn rearm_all(&mut self, armed: &[(Armed, u64)]) -> usize;
    fn expire_until(&mut self, until_ms: u64) -> usize;
}

impl<C: Candidate> Steps for C {
    fn insert_all(&mut self, armed: &[Armed]) {
        armed.iter().for_each(|armed| self.insert(*armed));
    }

    fn cancel_all(&mut self, armed: &[Armed]) -> usize {
        armed.iter().filter(|armed| self.cancel(**armed)).count()
    }

    fn peek_all(&self, armed: &[Armed]) -> usize {
        armed.iter().filter(|(key, due_ms)| self.peek(key) == Some(*due_ms)).count()
    }

    fn rearm_all(&mut self, armed: &[(Armed, u64)]) -> usize {
        let rearm = |(armed, due_ms): &(Armed, u64)| {
            let canceled = self.cancel(*armed);
            self.insert((armed.0, *due_ms));
            usize::from(canceled)
        };
        armed.iter().map(rearm).sum()
    }

    fn expire_until(&mut self, until_ms: u64) -> usize {
        (1..=until_ms).map(|now_ms| self.expire(now_ms)).sum()
    }
}

/// All candidates in turn, step by step.
fn measure(runtime: &Runtime, work: &Work, round: usize) -> Result<Round, Failure> {
    let mut candidates: [Box<dyn Steps + '_>; NAMES.len()] = [
        Box::new(Wheel::default()),
        Box::new(Quad::default()),
        Box::new(Ordered::default()),
        Box::new(Queue::starting_now(runtime)),
    ];
    let mut figures = Round::default();
    let mut in_turn = |step: &mut dyn FnMut(&mut dyn Steps, &mut Figures) -> Result<(), Failure>| {
        (0..NAMES.len()).map(|turn| (turn + round) % NAMES.len()).try_for_each(|candidate| {
            let before = allocated();
            step(&mut *candidates[candidate], &mut figures[candidate])?;
            figures[candidate].bytes += (allocated() as f64 - before as f64) / work.insert.len() as f64;
            Ok::<_, Failure>(())
        })
    };
    in_turn(&mut |candidate, figures| {
        let begun = Instant::now();
        candidate.insert_all(&work.insert);
        figures.insert = per(begun, work.insert.len());
        Ok(())
    })?;
    in_turn(&mut |candidate, figures| {
        let begun = Instant::now();
        let canceled = candidate.cancel_all(&work.cancel);
        figures.cancel = per(begun, work.cancel.len());
        candidate.insert_all(&work.cancel);
        expect("canceled", canceled, work.cancel.len())
    })?;
    in_turn(&mut |candidate, figures| {
        let begun = Instant::now();
        let found = candidate.peek_all(&work.peek);
        figures.peek = per(begun, work.peek.len());
        expect("found", found, work.peek.len())
    })?;
    in_turn(&mut |candidate, figures| {
        let begun = Instant::now();
        let rearmed = candidate.rearm_all(&work.rearm);
        figures.rearm = per(begun, work.rearm.len());
        expect("re-armed", rearmed, work.rearm.len())
    })?;
    for candidate in (0..NAMES.len()).map(|turn| (turn + round) % NAMES.len()).filter(|candidate| *candidate != QUEUE) {
        let begun = Instant::now();
        let expired = candidates[candidate].expire_until(work.spread_ms);
        figures[candidate].expire = per(begun, work.insert.len());
        expect("expired", expired, work.insert.len())?;
    }
    figures[QUEUE].expire = f64::NAN;
    Ok(figures)
}

fn per(begun: Instant, operations: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / operations.max(1) as f64
}

/// A `DelayQueue` that is emptied when all in it is due.
struct Waiting<'a> {
    queue: Queue<'a>,
    timers: usize,
    due_ms: u64,
}

impl<'a> Waiting<'a> {
    fn fill(runtime: &'a Runtime, work: &Work) -> Self {
        let mut queue = Queue::starting_now(runtime);
        queue.insert_all(&work.insert);
        Self { queue, timers: work.insert.len(), due_ms: work.spread_ms }
    }

    fn empty(mut self) -> Result<f64, Failure> {
        let all_due = Duration::from_millis(self.due_ms + 100);
        std::thread::sleep(all_due.saturating_sub(self.queue.start.elapsed()));
        let begun = Instant::now();
        // Each call gives one, as all are due.
        let expired = (0..self.timers).map(|_| self.queue.expire(self.due_ms)).sum();
        expect("expired", expired, self.timers)?;
        Ok(per(begun, self.timers))
    }
}

/// A candidate that loses timers is not compared.
fn expect(what: &str, count: usize, all: usize) -> Result<(), Failure> {
    if count == all { Ok(()) } else { Err(format!("{count} of {all} timers were {what}").into()) }
}

fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const START: Timestamp = Timestamp::from_micros(1_795_230_720_000_000);

struct Wheel(TimerWheel<TimerKey>);

impl Default for Wheel {
    fn default() -> Self {
        Self(TimerWheel::starting(START))
    }
}

impl Candidate for Wheel {
    fn insert(&mut self, (key, due_ms): Armed) {
        self.0.insert(key, START.plus_millis(due_ms as i64));
    }

    fn cancel(&mut self, (key, due_ms): Armed) -> bool {
        self.0.cancel_if(&key, |due| due == START.plus_millis(due_ms as i64)).is_some()
    }

    fn peek(&self, key: &TimerKey) -> Option<u64> {
        self.0.peek(key).map(|due| due.millis_since(START) as u64)
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        let now = START.plus_millis(now_ms as i64);
        std::iter::from_fn(|| self.0.pop_due(now)).count()
    }
}

/// Canceled entries stay in the wheel until they are due: what is armed is known to the map.
struct Quad {
    wheel: QuadWheelWithOverflow<QuadEntry>,
    armed: HashMap<TimerKey, QuadArmed>,
    now_ms: u64,
    inserted: u64,
}

struct QuadEntry {
    key: TimerKey,
    serial: u64,
}

/// The wheel asks for it.
impl fmt::Debug for QuadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key)
    }
}

#[derive(Clone, Copy)]
struct QuadArmed {
    due_ms: u64,
    serial: u64,
}

impl Default for Quad {
    fn default() -> Self {
        Self { wheel: QuadWheelWithOverflow::new(no_prune), armed: HashMap::new(), now_ms: 0, inserted: 0 }
    }
}

impl Candidate for Quad {
    fn insert(&mut self, (key, due_ms): Armed) {
        self.inserted += 1;
        self.armed.insert(key, QuadArmed { due_ms, serial: self.inserted });
        let delay = Duration::from_millis(due_ms - self.now_ms);
        // It refuses what is already due, and nothing here is.
        _ = self.wheel.insert_with_delay(QuadEntry { key, serial: self.inserted }, delay);
    }

    fn cancel(&mut self, (key, due_ms): Armed) -> bool {
        match self.armed.entry(key) {
            Entry::Occupied(armed) if armed.get().due_ms == due_ms => {
                armed.remove();
                true
            }
            _ => false,
        }
    }

    fn peek(&self, key: &TimerKey) -> Option<u64> {
        self.armed.get(key).map(|armed| armed.due_ms)
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        let mut expired = 0;
        while self.now_ms < now_ms {
            self.now_ms += 1;
            for entry in self.wheel.tick() {
                match self.armed.entry(entry.key) {
                    Entry::Occupied(armed) if armed.get().serial == entry.serial => {
                        armed.remove();
                        expired += 1;
                    }
                    _ => {}
                }
            }
        }
        expired
    }
}

#[derive(Default)]
struct Ordered {
    by_due: BTreeSet<(u64, TimerKey)>,
    due_ms: HashMap<TimerKey, u64>,
}

impl Candidate for Ordered {
    fn insert(&mut self, (key, due_ms): Armed) {
        self.due_ms.insert(key, due_ms);
        self.by_due.insert((due_ms, key));
    }

    fn cancel(&mut self, (key, due_ms): Armed) -> bool {
        match self.due_ms.entry(key) {
            Entry::Occupied(armed) if *armed.get() == due_ms => {
                armed.remove();
                self.by_due.remove(&(due_ms, key))
            }
            _ => false,
        }
    }

    fn peek(&self, key: &TimerKey) -> Option<u64> {
        self.due_ms.get(key).copied()
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        let mut expired = 0;
        while self.by_due.first().is_some_and(|(due_ms, _)| *due_ms <= now_ms) {
            if let Some((_, key)) = self.by_due.pop_first() {
                self.due_ms.remove(&key);
                expired += 1;
            }
        }
        expired
    }
}

struct Queue<'a> {
    runtime: &'a Runtime,
    queue: DelayQueue<TimerKey>,
    armed: HashMap<TimerKey, (u64, delay_queue::Key)>,
    start: Instant,
}

impl<'a> Queue<'a> {
    fn starting_now(runtime: &'a Runtime) -> Self {
        Self { runtime, queue: DelayQueue::new(), armed: HashMap::new(), start: Instant::now() }
    }
}

impl Candidate for Queue<'_> {
    fn insert(&mut self, (key, due_ms): Armed) {
        let due = self.start + Duration::from_millis(due_ms);
        let handle = self.queue.insert_at(key, due.into());
        self.armed.insert(key, (due_ms, handle));
    }

    fn cancel(&mut self, (key, due_ms): Armed) -> bool {
        match self.armed.entry(key) {
            Entry::Occupied(armed) if armed.get().0 == due_ms => {
                let (_, handle) = armed.remove();
                self.queue.remove(&handle);
                true
            }
            _ => false,
        }
    }

    fn peek(&self, key: &TimerKey) -> Option<u64> {
        self.armed.get(key).map(|(due_ms, _)| *due_ms)
    }

    /// One that is due by the real clock, whatever the time is said to be.
    fn expire(&mut self, _now_ms: u64) -> usize {
        let expired = self.runtime.block_on(poll_fn(|context| self.queue.poll_expired(context)));
        expired.map_or(0, |expired| usize::from(self.armed.remove(expired.get_ref()).is_some()))
    }
}
