//! A hierarchical timer wheel over the wall clock.

mod buckets;
mod levels;
mod order;
#[cfg(test)]
mod tests;
mod tick;
mod timer;

use std::fmt;
use std::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::Entry;
use tachograph_engine::domain::Timestamp;

use order::Order;
use tick::Tick;
use timer::{Table, Timer, spread};

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
/// many calls; only a timer that is inserted when it is already due, or while the clock is behind, or is canceled in the
/// tick at which it is due, costs the logarithm of how many such there are. A timer passes through at most six levels before it is due, and idle time is jumped over.
///
/// A canceled timer leaves nothing behind: its memory serves the next one, and memory that far outgrows what is pending
/// is given back. Up to 2³⁰ timers.
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
    timers: Table<K>,
    hasher: DefaultHashBuilder,
    order: Order<K>,
}

impl<K: Copy + Ord + Hash> TimerWheel<K> {
    /// An empty wheel at this time. It serves any other time as well; timers that are due soon after this one are
    /// handed out fastest.
    pub fn starting(now: Timestamp) -> Self {
        let order = Order::starting(Tick::reached_at(now));
        Self { timers: Table::new(), hasher: DefaultHashBuilder::default(), order }
    }

    /// How many timers are pending.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Makes the key due at this time, and at no other: says when it was due before, if it was pending.
    pub fn insert(&mut self, key: K, due: Timestamp) -> Option<Timestamp> {
        let hash = self.hash(&key);
        match self.timers.entry(spread(hash), |timer| timer.key == key, |timer| spread(timer.hash)) {
            Entry::Occupied(mut found) => {
                let timer = found.get_mut();
                self.order.unplace(timer);
                let replaced = std::mem::replace(&mut timer.due, due);
                timer.place = self.order.place(timer.due(), hash);
                Some(replaced)
            }
            Entry::Vacant(vacant) => {
                let place = self.order.place(Due { due, key }, hash);
                vacant.insert(Timer { due, key, hash, place });
                None
            }
        }
    }

    /// When the key is due, if it is pending.
    pub fn peek(&self, key: &K) -> Option<Timestamp> {
        let found = self.timers.find(spread(self.hash(key)), |timer| timer.key == *key)?;
        Some(found.due)
    }

    /// Forgets the key. Says when it was due, if it was pending.
    pub fn cancel(&mut self, key: &K) -> Option<Timestamp> {
        self.cancel_if(key, |_| true)
    }

    /// Forgets the key, if it is pending and `guard` agrees to when it is due. Says when it was due, if it is forgotten.
    pub fn cancel_if(&mut self, key: &K, guard: impl FnOnce(Timestamp) -> bool) -> Option<Timestamp> {
        self.forget(key, self.hash(key), guard)
    }

    fn forget(&mut self, key: &K, hash: u32, guard: impl FnOnce(Timestamp) -> bool) -> Option<Timestamp> {
        let found = self.timers.find_entry(spread(hash), |timer| timer.key == *key).ok()?;
        let due = found.get().due;
        if !guard(due) {
            return None;
        }
        self.order.unplace(found.get());
        found.remove();
        self.shrink();
        Some(due)
    }

    /// Takes out the first timer that is due, if one is: call it until it gives none.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Due<K>> {
        let now = Tick::reached_at(now);
        if now.0.saturating_add(BEHIND_TICKS_MAX) < self.order.time.0 {
            self.replace(now);
        }
        if self.order.waiting_at().is_none() {
            self.order.advance(now, &mut self.timers);
        }
        let (first, hash) = self.order.first()?;
        if Tick::firing(first.due) > now {
            return None;
        }
        self.forget(&first.key, hash.unwrap_or_else(|| self.hash(&first.key)), |_| true);
        Some(first)
    }

    /// When to call [`pop_due`](Self::pop_due) again: not after the first tick at which a timer is due, and not so often
    /// before it that it matters (up to six times for one that is a month away). Nothing if nothing is pending.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.order.next_wake()
    }

    /// All that are pending, in the order in which they are due.
    pub fn pending(&self) -> Vec<Due<K>> {
        let mut pending: Vec<Due<K>> = self.timers.iter().map(Timer::due).collect();
        pending.sort_unstable();
        pending
    }

    fn hash(&self, key: &K) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// Gives memory back when less than an eighth of it is needed. What went since it grew pays for the move. A bucket
    /// may keep one chunk that is not full.
    fn shrink(&mut self) {
        let needed = self.len() * 8;
        if self.timers.num_buckets() > needed.max(KEPT_TIMERS) {
            self.timers.shrink_to(self.len() * 2, |timer| spread(timer.hash));
        }
        if self.order.ready.is_empty() && self.order.buckets.chunks() > self.order.buckets.chunks_for(needed) {
            self.replace(self.order.time);
        }
    }

    /// Places all timers anew, at another time.
    fn replace(&mut self, time: Tick) {
        self.order = Order::starting(time);
        self.timers.iter_mut().for_each(|timer| timer.place = self.order.place(timer.due(), timer.hash));
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
        f.debug_struct("TimerWheel").field("time", &self.order.time.begins()).field("pending", &self.len()).finish()
    }
}
