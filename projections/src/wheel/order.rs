//! Which timers come next.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use tachograph_engine::domain::Timestamp;

use super::buckets::{Buckets, Item, Place};
use super::levels::{self, BUCKETS, Levels};
use super::tick::Tick;
use super::timer::{self, Table, Timer};
use super::{Due, KEPT_TIMERS};

/// The place of a timer that is in no bucket because it was inserted late.
const LATE: Place = Place::MAX;

/// When timers are due. What else is known of them is in the table, which is handed in where it is needed.
#[derive(Debug, Clone)]
pub(super) struct Order<K> {
    /// Everything before and at this tick has been taken out of the levels.
    pub(super) time: Tick,
    pub(super) levels: Levels,
    pub(super) buckets: Buckets,
    /// Those of one tick, the last one first: what is handed out next is at the end.
    pub(super) ready: Vec<Ready<K>>,
    /// Those that were inserted when their tick was past.
    pub(super) late: BTreeSet<Due<K>>,
}

/// A timer whose tick has been reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready<K> {
    timer: Timer<K>,
    canceled: bool,
}

impl<K: Copy + Ord> Order<K> {
    /// Nothing is due at this time or after it.
    pub(super) fn starting(time: Tick) -> Self {
        let buckets = Buckets::empty(BUCKETS);
        Self { time, levels: Levels::default(), buckets, ready: Vec::new(), late: BTreeSet::new() }
    }

    /// Takes a timer in, and says where it is.
    pub(super) fn place(&mut self, due: Due<K>, hash: u32) -> Place {
        let tick = Tick::firing(due.due);
        if tick <= self.time {
            self.late.insert(due);
            return LATE;
        }
        let bucket = levels::bucket(self.time, tick);
        self.levels.occupy(bucket);
        self.buckets.push(bucket, Item { due: due.due, hash })
    }

    /// Takes a timer from where it is. As long as it waits in a bucket, turning the wheel does not change which: the time
    /// reaches a digit only by way of the bucket of that digit.
    #[inline]
    pub(super) fn unplace(&mut self, timer: &Timer<K>) {
        if timer.due > self.time.last_due() {
            let bucket = || levels::bucket(self.time, Tick::firing(timer.due));
            if let Some(emptied) = self.buckets.remove(timer.place, bucket) {
                self.levels.vacate(emptied);
            }
        } else if timer.place == LATE {
            self.late.remove(&timer.due());
        } else {
            self.unready(timer.due());
        }
    }

    /// The others of its tick keep their places; its own goes with those after it.
    #[cold]
    fn unready(&mut self, due: Due<K>) {
        if let Ok(at) = self.ready.binary_search_by_key(&Reverse(due), |ready| Reverse(ready.timer.due())) {
            self.ready[at].canceled = true;
        }
        while self.ready.pop_if(|last| last.canceled).is_some() {}
        if self.ready.is_empty() {
            self.ready.shrink_to(KEPT_TIMERS);
        }
    }

    /// The first timer outside of the levels, with the hash of its key if that is known.
    pub(super) fn first(&self) -> Option<(Due<K>, Option<u32>)> {
        match (self.ready.last(), self.late.first()) {
            (Some(ready), Some(late)) if *late < ready.timer.due() => Some((*late, None)),
            (Some(ready), _) => Some((ready.timer.due(), Some(ready.timer.hash))),
            (None, late) => Some((*late?, None)),
        }
    }

    /// The tick of the first timer that is outside of the levels. All those are before any in them.
    pub(super) fn waiting_at(&self) -> Option<Tick> {
        let ready = self.ready.last().map(|ready| ready.timer.due);
        let late = self.late.first().map(|late| late.due);
        ready.into_iter().chain(late).min().map(Tick::firing)
    }

    /// When the first timer is due, or a bucket has to be handed down before.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let placed = || self.levels.next(self.time).map(|next| next.begins);
        self.waiting_at().or_else(placed).map(Tick::begins)
    }

    /// Turns the wheel until some timers are ready, or it has reached `now`.
    pub(super) fn advance(&mut self, now: Tick, timers: &mut Table<K>) {
        while let Some(next) = self.levels.next(self.time).filter(|next| next.begins <= now) {
            self.time = next.begins;
            self.levels.vacate(next.bucket);
            if next.is_single_tick() {
                return self.make_ready(next.bucket, timers);
            }
            self.hand_down(next.bucket, timers);
        }
        self.time = self.time.max(now);
    }

    /// Moves the timers of a bucket that begins now to the levels below.
    fn hand_down(&mut self, bucket: usize, timers: &mut Table<K>) {
        self.buckets.drain(bucket, |buckets, items| {
            timer::fetch(timers, items);
            for (place, item) in items {
                let bucket = levels::bucket(self.time, Tick::firing(item.due));
                self.levels.occupy(bucket);
                let moved = buckets.push(bucket, *item);
                if let Some(timer) = timer::at_mut(timers, (*place, *item)) {
                    timer.place = moved;
                }
            }
        });
    }

    /// Sorts the timers of a bucket of one tick.
    fn make_ready(&mut self, bucket: usize, timers: &Table<K>) {
        self.buckets.drain(bucket, |_, items| {
            let found = items.iter().filter_map(|item| timer::at(timers, *item));
            self.ready.extend(found.map(|timer| Ready { timer: *timer, canceled: false }));
        });
        self.ready.sort_unstable_by_key(|ready| Reverse(ready.timer.due()));
    }
}
