//! What and where each timer is.

use std::hint::black_box;

use hashbrown::HashTable;
use tachograph_engine::domain::Timestamp;

use super::Due;
use super::buckets::{Item, Place};

/// A timer, in a line of memory of its own if the key is not too long for it.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Timer<K> {
    pub(super) due: Timestamp,
    pub(super) key: K,
    /// Of the key: a growing table hashes none.
    pub(super) hash: u32,
    /// Of one whose tick has been reached, where it was; nobody looks for it there, as nothing is handed down meanwhile.
    pub(super) place: Place,
}

impl<K: Copy> Timer<K> {
    pub(super) const fn due(&self) -> Due<K> {
        Due { due: self.due, key: self.key }
    }
}

/// Timers by key. The table holds the timers themselves, so that looking one up reads a few tags and a line.
pub(super) type Table<K> = HashTable<Timer<K>>;

/// The table takes a bucket from the low bits and a tag from the high ones.
pub(super) const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// The timer of an item. Its place alone tells it from others of the same hash.
pub(super) fn at<K: Copy>(timers: &Table<K>, (place, item): (Place, Item)) -> Option<&Timer<K>> {
    timers.find(spread(item.hash), |timer| timer.place == place)
}

/// The timer of an item, to change it.
pub(super) fn at_mut<K: Copy>(timers: &mut Table<K>, (place, item): (Place, Item)) -> Option<&mut Timer<K>> {
    timers.find_mut(spread(item.hash), |timer| timer.place == place)
}

/// Has the timers of these items read at the same time, rather than each when the one before it is done with: most of
/// them are far away.
pub(super) fn fetch<K: Copy>(timers: &Table<K>, items: &[(Place, Item)]) {
    black_box(items.iter().filter_map(|item| at(timers, *item)).count());
}
