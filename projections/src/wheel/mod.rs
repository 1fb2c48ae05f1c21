//! A hierarchical timer wheel over the wall clock.

mod buckets;
mod levels;
mod pool;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use tachograph_engine::domain::Timestamp;

use buckets::{Buckets, Item, Place};
use levels::{BUCKETS, Levels};
use pool::{Pool, Timer};
use tick::Tick;

/// Where those wait that are inserted when their tick is already past.
const LATE: usize = BUCKETS;
/// Set in the place of a timer whose tick has been reached; the rest is its index there.
const READY: Place = 1 << 31;
/// How far, in ticks, the wall clock may be behind the wheel before the wheel follows it: one minute.
const BEHIND_TICKS_MAX: u64 = 60_000;
/// Memory for so many timers is kept for the next ones.
const KEPT_TIMERS: usize = 4_096;

/// A timer that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due<K> {
    /// When it was due.
    pub due: Timestamp,
    /// Its key.
    pub key: K,
}

/// Timers by absolute due time, with one timer per key.
///
/// The wheel has no clock: it is told what time it is, by whatever wall clock its caller believes, and counts in ticks of
/// a millisecond. Any due time that a [`Timestamp`] can hold is welcome, also one that is past.
///
/// - **Never early.** A timer is due at the first tick that does not begin before its due time: at most a millisecond
///   after it, whatever the clock does meanwhile.
/// - **In order.** Timers come by due time, then key, however long nobody asked.
/// - **Once.** Each is handed out by one [`pop_due`](Self::pop_due) and is forgotten with it. Whoever fails to act on it
///   inserts it again; those after it are not concerned.
/// - **The wall clock may step.** Forth: what is due by it comes at once. Back: nothing is lost, and nothing comes before
///   the clock is there again.
///
/// Inserting, looking up, canceling, handing out and [`next_wake`](Self::next_wake) take constant time, on average over
/// many calls; only a timer that is inserted when it is already due, or while the clock is behind, costs the logarithm
/// of how many such there are. A timer passes through at most six levels before it is due, and idle time is jumped over.
///
/// A canceled timer leaves nothing behind: its memory serves the next one, and memory that far outgrows what is pending
/// is given back. Up to 2³¹ timers.
///
/// ```
/// use tachograph_engine::domain::Timestamp;
/// use tachograph_projections::TimerWheel;
///
/// let now = Timestamp::from_micros(1_795_230_720_000_000);
/// let mut wheel = TimerWheel::starting(now);
/// wheel.insert("snapshot", now.plus_millis(3_000));
/// wheel.insert("deadline", now.plus_millis(30 * 24 * 3_600 * 1_000));
/// assert_eq!(wheel.pop_due(now.plus_millis(2_999)), None);
/// assert_eq!(wheel.pop_due(now.plus_millis(3_000)).map(|due| due.key), Some("snapshot"));
/// assert_eq!(wheel.cancel(&"deadline"), Some(now.plus_millis(30 * 24 * 3_600 * 1_000)));
/// assert_eq!(wheel.next_wake(), None);
/// ```
#[derive(Clone)]
pub struct TimerWheel<K> {
    /// Everything before and at this tick has been taken out of the levels.
    time: Tick,
    levels: Levels,
    buckets: Buckets,
    /// Those of one tick, the last one first: what is handed out next is at the end.
    ready: Vec<Ready<K>>,
    /// The bucket of those that were inserted late, in order.
    late: BTreeSet<Due<K>>,
    /// Timers by key.
    index: HashTable<Found>,
    hasher: DefaultHashBuilder,
    /// What and where each timer is. Looking one up reads this, canceling it this and the head of its chunk: nothing of
    /// its bucket, and nothing of another timer.
    timers: Pool<K>,
}

#[derive(Debug, Clone, Copy)]
struct Ready<K> {
    due: Due<K>,
    /// Absent once it is canceled.
    timer: Option<u32>,
}

/// A timer in the index, with the hash of its key: a growing index looks at no timer.
#[derive(Debug, Clone, Copy)]
struct Found {
    timer: u32,
    hash: u32,
}

/// The index takes a bucket from the low bits and a tag from the high ones.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

impl<K: Copy + Ord + Hash> TimerWheel<K> {
    /// An empty wheel at this time. It serves any other time as well; timers that are due soon after this one are
    /// handed out fastest.
    pub fn starting(now: Timestamp) -> Self {
        Self {
            time: Tick::reached_at(now),
            levels: Levels::default(),
            buckets: Buckets::empty(BUCKETS + 1),
            ready: Vec::new(),
            late: BTreeSet::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            timers: Pool::default(),
        }
    }

    /// How many timers are pending.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Makes the key due at this time, and at no other: says when it was due before, if it was pending.
    pub fn insert(&mut self, key: K, due: Timestamp) -> Option<Timestamp> {
        let hash = self.hash(&key);
        let timers = &self.timers;
        let is_key = |found: &Found| found.hash == hash && timers.at(found.timer).key == key;
        match self.index.entry(spread(hash), is_key, |found| spread(found.hash)) {
            Entry::Occupied(found) => {
                let timer = found.get().timer;
                self.unplace(timer);
                let replaced = std::mem::replace(&mut self.timers.at_mut(timer).due, due);
                self.place(timer);
                Some(replaced)
            }
            Entry::Vacant(vacant) => {
                let timer = self.timers.allocate(Timer { due, key, place: 0 });
                vacant.insert(Found { timer, hash });
                self.place(timer);
                None
            }
        }
    }

    /// When the key is due, if it is pending.
    pub fn peek(&self, key: &K) -> Option<Timestamp> {
        let hash = self.hash(key);
        let is_key = |found: &Found| found.hash == hash && self.timers.at(found.timer).key == *key;
        let found = self.index.find(spread(hash), is_key)?;
        Some(self.timers.at(found.timer).due)
    }

    /// Forgets the key. Says when it was due, if it was pending.
    pub fn cancel(&mut self, key: &K) -> Option<Timestamp> {
        self.cancel_if(key, |_| true)
    }

    /// Forgets the key, if it is pending and `guard` agrees to when it is due. Says when it was due, if it is forgotten.
    pub fn cancel_if(&mut self, key: &K, guard: impl FnOnce(Timestamp) -> bool) -> Option<Timestamp> {
        let hash = self.hash(key);
        let timers = &self.timers;
        let is_key = |found: &Found| found.hash == hash && timers.at(found.timer).key == *key;
        let found = self.index.find_entry(spread(hash), is_key).ok()?;
        let due = timers.at(found.get().timer).due;
        if !guard(due) {
            return None;
        }
        let (Found { timer, .. }, _) = found.remove();
        self.unplace(timer);
        self.timers.release(timer);
        self.shrink();
        Some(due)
    }

    /// Takes out the first timer that is due, if one is: call it until it gives none.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Due<K>> {
        let now = Tick::reached_at(now);
        if now.0.saturating_add(BEHIND_TICKS_MAX) < self.time.0 {
            self.rebuild(now);
        }
        if self.waiting_at().is_none() {
            self.advance(now);
        }
        if self.waiting_at()? > now {
            return None;
        }
        let due = match (self.ready.last(), self.late.first()) {
            (Some(ready), Some(late)) if *late < ready.due => *late,
            (Some(ready), _) => ready.due,
            (None, late) => *late?,
        };
        self.cancel(&due.key);
        Some(due)
    }

    /// When to call [`pop_due`](Self::pop_due) again: not after the first tick at which a timer is due, and not so often
    /// before it that it matters (up to six times for one that is a month away). Nothing if nothing is pending.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let placed = || self.levels.next(self.time).map(|next| next.begins);
        self.waiting_at().or_else(placed).map(Tick::begins)
    }

    /// All that are pending, in the order in which they are due.
    pub fn pending(&self) -> Vec<Due<K>> {
        let mut pending: Vec<Due<K>> = self.unordered().collect();
        pending.sort_unstable();
        pending
    }

    fn unordered(&self) -> impl Iterator<Item = Due<K>> {
        let ready = self.ready.iter().filter(|ready| ready.timer.is_some()).map(|ready| ready.due);
        let placed = self.buckets.items().map(|item| self.timers.at(item.timer).due());
        ready.chain(placed)
    }

    /// The tick of the first timer that is outside of the levels. All those are before any in them.
    fn waiting_at(&self) -> Option<Tick> {
        let ready = self.ready.last().map(|ready| ready.due.due);
        let late = self.late.first().map(|late| late.due);
        ready.into_iter().chain(late).min().map(Tick::firing)
    }

    /// Turns the wheel until some timers are ready, or it has reached `now`.
    fn advance(&mut self, now: Tick) {
        while let Some(next) = self.levels.next(self.time).filter(|next| next.begins <= now) {
            self.time = next.begins;
            self.levels.vacate(next.bucket);
            if next.is_single_tick() {
                return self.make_ready(next.bucket);
            }
            self.hand_down(next.bucket);
        }
        self.time = self.time.max(now);
    }

    /// Moves the timers of a bucket that begins now to the levels below.
    fn hand_down(&mut self, bucket: usize) {
        self.buckets.drain(bucket, |buckets, item| {
            let bucket = levels::bucket(self.time, Tick::firing(item.due));
            self.levels.occupy(bucket);
            self.timers.at_mut(item.timer).place = buckets.push(bucket, item);
        });
    }

    fn make_ready(&mut self, bucket: usize) {
        self.buckets.drain(bucket, |_, item| {
            self.ready.push(Ready { due: self.timers.at(item.timer).due(), timer: Some(item.timer) });
        });
        self.ready.sort_unstable_by_key(|ready| std::cmp::Reverse(ready.due));
        for (index, ready) in self.ready.iter().enumerate() {
            if let Some(timer) = ready.timer {
                self.timers.at_mut(timer).place = READY | index as Place;
            }
        }
    }

    fn place(&mut self, timer: u32) {
        let due = self.timers.at(timer).due();
        let bucket = self.bucket(due.due);
        if bucket == LATE {
            self.late.insert(due);
        } else {
            self.levels.occupy(bucket);
        }
        self.timers.at_mut(timer).place = self.buckets.push(bucket, Item { due: due.due, timer });
    }

    /// Takes a timer from where it is.
    fn unplace(&mut self, timer: u32) {
        let Timer { due, key, place } = *self.timers.at(timer);
        if place >= READY {
            return self.unready((place ^ READY) as usize);
        }
        let bucket = self.bucket(due);
        let emptied = self.buckets.remove(bucket, place);
        if bucket == LATE {
            self.late.remove(&Due { due, key });
        } else if emptied {
            self.levels.vacate(bucket);
        }
    }

    /// The bucket of a timer that is not ready. As long as it waits there, turning the wheel does not change it: the
    /// time reaches a digit only by way of the bucket of that digit.
    fn bucket(&self, due: Timestamp) -> usize {
        let tick = Tick::firing(due);
        if tick > self.time { levels::bucket(self.time, tick) } else { LATE }
    }

    /// The others of its tick keep their places; its own goes with those after it.
    fn unready(&mut self, index: usize) {
        self.ready[index].timer = None;
        while self.ready.pop_if(|last| last.timer.is_none()).is_some() {}
        if self.ready.is_empty() {
            self.ready.shrink_to(KEPT_TIMERS);
        }
    }

    fn hash(&self, key: &K) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// Gives memory back when less than an eighth of it is needed, which pays for the move: at least seven timers went
    /// for every one that is moved. A bucket may keep one chunk that is not full.
    fn shrink(&mut self) {
        let needed = self.len() * 8;
        let outgrown = self.timers.len() > needed.max(KEPT_TIMERS);
        if self.ready.is_empty() && (outgrown || self.buckets.chunks() > self.buckets.chunks_for(needed)) {
            self.rebuild(self.time);
        }
    }

    /// Puts all timers into a wheel of their size at another time.
    fn rebuild(&mut self, time: Tick) {
        let mut rebuilt = Self::starting(time.begins());
        self.unordered().for_each(|pending| _ = rebuilt.insert(pending.key, pending.due));
        *self = rebuilt;
    }
}

/// A wheel that starts at the beginning of time.
impl<K: Copy + Ord + Hash> Default for TimerWheel<K> {
    fn default() -> Self {
        Self::starting(Timestamp::MIN)
    }
}

impl<K: Copy + Ord + Hash> fmt::Debug for TimerWheel<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerWheel").field("time", &self.time.begins()).field("pending", &self.len()).finish()
    }
}
