//! The timers of each bucket, in chunks that all buckets share.

use tachograph_engine::domain::Timestamp;

/// Timers of a chunk: as many as a word has bits. Large enough that a pass over a bucket reads memory in order, small
/// enough that the chunks that are not full cost little.
const CHUNK: usize = u32::BITS as usize;
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

/// What is known of a chunk without a look at its items. A million timers have half a megabyte of these.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// Which of its places hold an item.
    used: u32,
    /// The next chunk of its chain; of a free chunk, the next free one.
    next: u32,
    /// The one before it in its chain. Of the first and of a free one, whatever it was.
    previous: u32,
}

impl Head {
    const FULL: u32 = u32::MAX;
}

/// The chunks of a bucket.
#[derive(Debug, Clone, Copy)]
struct Chains {
    /// First of those that have room.
    open: u32,
    /// First of those that have none.
    full: u32,
}

/// Unordered buckets of timers. Adding and removing an item is O(1), and a chunk that is no longer needed serves the
/// next bucket that needs one.
///
/// An item stays where it is until it is removed, and leaves a place that its bucket fills first. Removing looks at no
/// item: it is one bit in the head of a chunk, and the heads are few.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    chains: Box<[Chains]>,
    heads: Vec<Head>,
    items: Vec<[Item; CHUNK]>,
    free: u32,
}

impl Buckets {
    /// So many empty buckets.
    pub(super) fn empty(buckets: usize) -> Self {
        let chains = vec![Chains { open: NONE, full: NONE }; buckets].into();
        Self { chains, heads: Vec::new(), items: Vec::new(), free: NONE }
    }

    /// All items, in no order.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.heads.iter().zip(&self.items).flat_map(|(head, items)| used(head.used).map(|offset| items[offset]))
    }

    /// Chunks there is memory for, free ones included.
    pub(super) fn chunks(&self) -> usize {
        self.heads.len()
    }

    /// As many chunks as so many items need if every bucket has one that is not full.
    pub(super) fn chunks_for(&self, items: usize) -> usize {
        items / CHUNK + self.chains.len()
    }

    /// Adds an item.
    pub(super) fn push(&mut self, bucket: usize, item: Item) -> Place {
        let mut at = self.chains[bucket].open;
        if at == NONE {
            at = self.extend(bucket);
        }
        let head = &mut self.heads[at as usize];
        let offset = head.used.trailing_ones();
        head.used |= 1 << offset;
        let filled = head.used == Head::FULL;
        self.items[at as usize][offset as usize] = item;
        if filled {
            let chains = &mut self.chains[bucket];
            unlink(&mut self.heads, &mut chains.open, at);
            link(&mut self.heads, &mut chains.full, at);
        }
        at * CHUNK as u32 + offset
    }

    /// Takes the item at a place out of its bucket. Says whether the bucket is empty now.
    pub(super) fn remove(&mut self, bucket: usize, place: Place) -> bool {
        let at = place / CHUNK as u32;
        let head = &mut self.heads[at as usize];
        let was_full = head.used == Head::FULL;
        head.used &= !(1 << (place % CHUNK as u32));
        let chains = &mut self.chains[bucket];
        if was_full {
            unlink(&mut self.heads, &mut chains.full, at);
            link(&mut self.heads, &mut chains.open, at);
        } else if head.used == 0 {
            unlink(&mut self.heads, &mut chains.open, at);
            let emptied = chains.open == NONE && chains.full == NONE;
            self.release(at);
            return emptied;
        }
        false
    }

    /// Empties a bucket, chunk by chunk; a chunk serves again as soon as its items have been handed out.
    pub(super) fn drain(&mut self, bucket: usize, mut each: impl FnMut(&mut Self, Item)) {
        let Chains { open, full } = std::mem::replace(&mut self.chains[bucket], Chains { open: NONE, full: NONE });
        for first in [full, open] {
            let mut at = first;
            while at != NONE {
                let (head, items) = (self.heads[at as usize], self.items[at as usize]);
                self.release(at);
                used(head.used).for_each(|offset| each(self, items[offset]));
                at = head.next;
            }
        }
    }

    /// Gives a bucket that has no room another chunk.
    fn extend(&mut self, bucket: usize) -> u32 {
        let mut at = self.free;
        if at == NONE {
            at = self.heads.len() as u32;
            self.heads.push(Head { used: 0, next: NONE, previous: NONE });
            self.items.push([Item::default(); CHUNK]);
        } else {
            self.free = self.heads[at as usize].next;
        }
        link(&mut self.heads, &mut self.chains[bucket].open, at);
        at
    }

    fn release(&mut self, at: u32) {
        self.heads[at as usize] = Head { used: 0, next: self.free, previous: NONE };
        self.free = at;
    }
}

/// The places that hold an item.
fn used(mut used: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let offset = used.trailing_zeros();
        used &= used.checked_sub(1)?;
        Some(offset as usize)
    })
}

/// Puts a chunk before the others of a chain.
fn link(heads: &mut [Head], first: &mut u32, at: u32) {
    let next = std::mem::replace(first, at);
    heads[at as usize].next = next;
    if next != NONE {
        heads[next as usize].previous = at;
    }
}

/// Takes a chunk out of its chain.
fn unlink(heads: &mut [Head], first: &mut u32, at: u32) {
    let Head { next, previous, .. } = heads[at as usize];
    if *first == at {
        *first = next;
    } else {
        heads[previous as usize].next = next;
    }
    if next != NONE {
        heads[next as usize].previous = previous;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(timer: u32) -> Item {
        Item { due: Timestamp::from_micros(i64::from(timer)), timer }
    }

    #[test]
    fn what_is_removed_makes_room_for_the_next_and_moves_no_other() {
        let mut buckets = Buckets::empty(3);
        let places: Vec<Place> = (0..100).map(|timer| buckets.push(1, item(timer))).collect();
        let chunks = buckets.chunks();
        let gone: Vec<u32> = (0..100).filter(|timer| timer % 3 == 0).collect();
        gone.iter().for_each(|timer| assert!(!buckets.remove(1, places[*timer as usize])));
        let at = |buckets: &Buckets, place: Place| buckets.items[place as usize / CHUNK][place as usize % CHUNK].timer;
        let left = (0..100).filter(|timer| timer % 3 != 0);
        left.for_each(|timer| assert_eq!(at(&buckets, places[timer as usize]), timer));
        assert_eq!(buckets.items().count(), 100 - gone.len());
        gone.iter().for_each(|timer| _ = buckets.push(1, item(*timer)));
        assert_eq!(buckets.chunks(), chunks, "gaps were not filled");
        let mut all: Vec<u32> = buckets.items().map(|item| item.timer).collect();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..100));
    }

    #[test]
    fn an_empty_chunk_serves_another_bucket() {
        let mut buckets = Buckets::empty(2);
        for round in 0..10 {
            let bucket = round % 2;
            let places: Vec<Place> = (0..100).map(|timer| buckets.push(bucket, item(timer))).collect();
            // From the middle, so that every link of a chain is mended.
            let outwards = (0..50).flat_map(|step| [50 + step, 49 - step]);
            let emptied = outwards.filter(|timer| buckets.remove(bucket, places[*timer])).count();
            assert_eq!((emptied, buckets.items().count()), (1, 0), "round {round}");
        }
        assert_eq!(buckets.chunks(), 4);
    }

    #[test]
    fn the_last_item_empties_its_bucket() {
        let mut buckets = Buckets::empty(1);
        let places: Vec<Place> = (0..40).map(|timer| buckets.push(0, item(timer))).collect();
        let emptied: Vec<bool> = places.iter().rev().map(|place| buckets.remove(0, *place)).collect();
        assert_eq!(emptied.iter().filter(|emptied| **emptied).count(), 1);
        assert_eq!(emptied.last(), Some(&true));
    }

    #[test]
    fn a_drained_bucket_hands_out_every_item_once() {
        let mut buckets = Buckets::empty(2);
        let places: Vec<Place> = (0..100).map(|timer| buckets.push(0, item(timer))).collect();
        (0..100).step_by(7).for_each(|timer| _ = buckets.remove(0, places[timer]));
        let mut drained = Vec::new();
        buckets.drain(0, |buckets, item| {
            drained.push(item.timer);
            buckets.push(1, item);
        });
        drained.sort_unstable();
        assert_eq!(drained, Vec::from_iter((0..100).filter(|timer| timer % 7 != 0)));
        assert_eq!(buckets.items().count(), drained.len());
    }
}
