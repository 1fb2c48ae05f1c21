//! Nanoseconds per operation and bytes per timer of the timer wheel, next to what else could hold the timers, in the same
//! run: tokio-util's `DelayQueue`, the quad wheel of `hierarchical_hash_wheel_timer`, and an ordered set. Each has what it
//! takes for a cancel that is guarded by the due time that was armed: a map by key where it brings none.
//!
//! `cargo bench -p tachograph-benches --bench timers`; `TACHO_BENCH_ROUNDS` (3), `TACHO_BENCH_TIMERS` (1000000, and then a
//! tenth of it) and `TACHO_BENCH_SPREAD_MS` (60000), over which they are due, turn it up. A round takes somewhat longer
//! than the spread, because the `DelayQueue` knows real time only.

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
    let rounds = number("TACHO_BENCH_ROUNDS", 3);
    let timers = number("TACHO_BENCH_TIMERS", 1_000_000) as usize;
    let spread_ms = number("TACHO_BENCH_SPREAD_MS", 60_000).max(1);
    for timers in [timers, timers / 10] {
        let mut all: [Vec<Figures>; 4] = Default::default();
        for round in 1..=rounds {
            let work = Work::random(round, timers, spread_ms);
            for (figures, of_round) in all.iter_mut().zip(measure(&work)?) {
                figures.push(of_round);
            }
        }
        print(timers, spread_ms, all.map(middle));
    }
    Ok(())
}

const NAMES: [&str; 4] = ["TimerWheel", "quad wheel + map", "ordered set + map", "DelayQueue + map"];

/// Nanoseconds per operation, and bytes per timer.
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
}

fn middle(rounds: Vec<Figures>) -> Figures {
    let of = |column: fn(&Figures) -> f64| median(rounds.iter().map(column).collect());
    let [insert, cancel, peek, expire, rearm, bytes] = Figures::COLUMNS.map(|(_, column)| of(column));
    Figures { insert, cancel, peek, expire, rearm, bytes }
}

fn print(timers: usize, spread_ms: u64, all: [Figures; 4]) {
    println!("{timers} timers due within {spread_ms} ms; ns per operation, bytes per timer after re-arming each once");
    print!("{:<18}", "");
    Figures::COLUMNS.iter().for_each(|(name, _)| print!("{name:>9}"));
    println!();
    for (name, figures) in NAMES.iter().zip(&all) {
        print!("{name:<18}");
        Figures::COLUMNS.iter().for_each(|(_, column)| print!("{:>9.0}", column(figures)));
        println!();
    }
    let [own, others @ ..] = all;
    for (name, other) in NAMES.iter().skip(1).zip(&others) {
        println!(
            "÷ {name:<17} insert + cancel {:.2}, expire {:.2}, memory {:.2}",
            (own.insert + own.cancel) / (other.insert + other.cancel),
            own.expire / other.expire,
            own.bytes / other.bytes
        );
    }
    println!();
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

/// All candidates in turn. The one that knows real time only is filled first and emptied last.
fn measure(work: &Work) -> Result<[Figures; 4], Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let entered = runtime.enter();
    let mut queue = Filled::fill(|| Queue::starting_now(&runtime), work)?;
    let begun = queue.candidate.start;
    let own = Filled::fill(Wheel::default, work)?.empty(work)?;
    let quad = Filled::fill(Quad::default, work)?.empty(work)?;
    let ordered = Filled::fill(Ordered::default, work)?.empty(work)?;
    let all_due = Duration::from_millis(work.spread_ms + 100);
    std::thread::sleep(all_due.saturating_sub(begun.elapsed()));
    drop(entered);
    let (mut expired, begun) = (0, Instant::now());
    while expired < work.insert.len() {
        expired += queue.candidate.expire(work.spread_ms);
    }
    queue.figures.expire = per(begun, expired);
    Ok([own, quad, ordered, queue.figures])
}

fn per(begun: Instant, operations: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / operations.max(1) as f64
}

/// A candidate that holds all timers.
struct Filled<C> {
    candidate: C,
    figures: Figures,
}

impl<C: Candidate> Filled<C> {
    fn fill(start: impl FnOnce() -> C, work: &Work) -> Result<Self, Failure> {
        let mut figures = Figures::default();
        let before = allocated();
        let mut candidate = start();
        let begun = Instant::now();
        work.insert.iter().for_each(|armed| candidate.insert(*armed));
        figures.insert = per(begun, work.insert.len());
        let begun = Instant::now();
        let canceled = work.cancel.iter().filter(|armed| candidate.cancel(**armed)).count();
        figures.cancel = per(begun, work.cancel.len());
        work.cancel.iter().for_each(|armed| candidate.insert(*armed));
        let begun = Instant::now();
        let found = work.peek.iter().filter(|(key, due_ms)| candidate.peek(key) == Some(*due_ms)).count();
        figures.peek = per(begun, work.peek.len());
        let begun = Instant::now();
        let mut rearmed = 0;
        for (armed, due_ms) in &work.rearm {
            rearmed += usize::from(candidate.cancel(*armed));
            candidate.insert((armed.0, *due_ms));
        }
        figures.rearm = per(begun, work.rearm.len());
        figures.bytes = (allocated() - before) as f64 / work.insert.len() as f64;
        expect("canceled", canceled, work.cancel.len())?;
        expect("found", found, work.peek.len())?;
        expect("re-armed", rearmed, work.rearm.len())?;
        Ok(Self { candidate, figures })
    }

    fn empty(mut self, work: &Work) -> Result<Figures, Failure> {
        let begun = Instant::now();
        let expired = (1..=work.spread_ms).map(|now_ms| self.candidate.expire(now_ms)).sum();
        self.figures.expire = per(begun, work.insert.len());
        expect("expired", expired, work.insert.len())?;
        Ok(self.figures)
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
