//! The timers of each bucket, in chunks that all buckets share.

use tachograph_engine::domain::Timestamp;

/// Timers of a chunk. Large enough that a pass over a bucket reads memory in order, small enough that the one chunk of
/// each bucket that is not full costs little.
const CHUNK: usize = 32;
const NONE: u32 = u32::MAX;

/// A timer in a bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Item {
    /// When it is due. Kept here, so that a bucket is spread over the levels below without a look at its timers.
    pub(super) due: Timestamp,
    /// Which one.
    pub(super) timer: u32,
}

/// Where an item is: chunk and offset in one number. Less than 2³¹ as long as there are fewer timers.
pub(super) type Place = u32;

#[derive(Debug, Clone)]
struct Chunk {
    items: [Item; CHUNK],
    used: u32,
    /// The next chunk of the bucket; of a free chunk, the next free one.
    next: u32,
}

/// What taking an item out of its bucket did.
#[derive(Debug)]
pub(super) struct Removed {
    /// The timer that moved into the place that became free, if any.
    pub(super) moved: Option<u32>,
    /// Whether the bucket is empty now.
    pub(super) emptied: bool,
}

/// Unordered buckets of timers. Adding and removing an item is O(1), and a chunk that is no longer needed serves the
/// next bucket that needs one.
///
/// Only the first chunk of a bucket may be partly used: an item that is removed is replaced by the last of that chunk.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    first: Box<[u32]>,
    chunks: Vec<Chunk>,
    free: u32,
}

impl Buckets {
    /// So many empty buckets.
    pub(super) fn empty(buckets: usize) -> Self {
        Self { first: vec![NONE; buckets].into(), chunks: Vec::new(), free: NONE }
    }

    /// All items, in no order.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.chunks.iter().flat_map(|chunk| chunk.items.iter().take(chunk.used as usize).copied())
    }

    /// Chunks there is memory for, free ones included.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Adds an item.
    pub(super) fn push(&mut self, bucket: usize, item: Item) -> Place {
        let mut at = self.first[bucket];
        if at == NONE || self.chunks[at as usize].used as usize == CHUNK {
            at = self.extend(bucket);
        }
        let chunk = &mut self.chunks[at as usize];
        let offset = chunk.used;
        chunk.items[offset as usize] = item;
        chunk.used += 1;
        at * CHUNK as u32 + offset
    }

    /// Takes the item at a place out of its bucket.
    pub(super) fn remove(&mut self, bucket: usize, place: Place) -> Removed {
        let first = self.first[bucket];
        let last = self.pop(first);
        let moved = if last.place == place {
            None
        } else {
            self.chunks[place as usize / CHUNK].items[place as usize % CHUNK] = last.item;
            Some(last.item.timer)
        };
        if self.chunks[first as usize].used == 0 {
            self.first[bucket] = self.chunks[first as usize].next;
            self.release(first);
        }
        Removed { moved, emptied: self.first[bucket] == NONE }
    }

    /// Empties a bucket, chunk by chunk; a chunk serves again as soon as its items have been handed out.
    pub(super) fn drain(&mut self, bucket: usize, mut each: impl FnMut(&mut Self, Item)) {
        let mut at = std::mem::replace(&mut self.first[bucket], NONE);
        while at != NONE {
            let Chunk { items, used, next, .. } = self.chunks[at as usize].clone();
            self.release(at);
            items.into_iter().take(used as usize).for_each(|item| each(self, item));
            at = next;
        }
    }

    fn pop(&mut self, first: u32) -> Last {
        let chunk = &mut self.chunks[first as usize];
        chunk.used -= 1;
        Last { place: first * CHUNK as u32 + chunk.used, item: chunk.items[chunk.used as usize] }
    }

    /// Puts an empty chunk before the others of the bucket.
    fn extend(&mut self, bucket: usize) -> u32 {
        let next = self.first[bucket];
        let at = self.free;
        if at == NONE {
            self.first[bucket] = self.chunks.len() as u32;
            self.chunks.push(Chunk { items: [Item::default(); CHUNK], used: 0, next });
        } else {
            let chunk = &mut self.chunks[at as usize];
            self.free = std::mem::replace(&mut chunk.next, next);
            self.first[bucket] = at;
        }
        self.first[bucket]
    }

    fn release(&mut self, at: u32) {
        let chunk = &mut self.chunks[at as usize];
        (chunk.used, chunk.next) = (0, self.free);
        self.free = at;
    }
}

/// The last item of a bucket's first chunk, and where it was.
struct Last {
    place: Place,
    item: Item,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(timer: u32) -> Item {
        Item { due: Timestamp::from_micros(i64::from(timer)), timer }
    }

    #[test]
    fn what_is_removed_makes_room_for_the_next() {
        let mut buckets = Buckets::empty(3);
        let mut places: Vec<Place> = (0..100).map(|timer| buckets.push(1, item(timer))).collect();
        let chunks = buckets.chunks.len();
        for timer in (0..100).step_by(3) {
            let removed = buckets.remove(1, places[timer]);
            if let Some(moved) = removed.moved {
                places[moved as usize] = places[timer];
            }
            assert!(!removed.emptied);
            places[timer] = Place::MAX;
        }
        let left: Vec<usize> = (0..100).filter(|timer| timer % 3 != 0).collect();
        let at = |place: Place| buckets.chunks[place as usize / CHUNK].items[place as usize % CHUNK];
        assert!(left.iter().all(|timer| at(places[*timer]).timer == *timer as u32));
        assert_eq!(buckets.items().count(), left.len());
        for timer in 0..100 - left.len() {
            buckets.push(2, item(timer as u32));
        }
        assert!(buckets.chunks.len() <= chunks + 1, "{chunks} chunks became {}", buckets.chunks.len());
    }

    #[test]
    fn the_last_item_empties_its_bucket() {
        let mut buckets = Buckets::empty(1);
        let places: Vec<Place> = (0..40).map(|timer| buckets.push(0, item(timer))).collect();
        let emptied: Vec<bool> = places.iter().rev().map(|place| buckets.remove(0, *place).emptied).collect();
        assert_eq!(emptied.iter().filter(|emptied| **emptied).count(), 1);
        assert_eq!(emptied.last(), Some(&true));
    }
}
