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
    /// Of its key, by which the table finds it.
    pub(super) hash: u32,
}

/// Where an item is: chunk and offset in one number. Enough of them for 2³⁰ timers if a quarter of each chunk is used.
pub(super) type Place = u32;

/// The neighbours of a chunk.
#[derive(Debug, Clone, Copy)]
struct Links {
    /// The next chunk of its chain; of a free chunk, the next free one.
    next: u32,
    /// The one before it in its chain. Of the first and of a free one, whatever it was.
    previous: u32,
}

/// What a chunk has in use if it has no room.
const FULL: u32 = u32::MAX;

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
/// item: it is one bit in the head of a chunk, and the links are few.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    chains: Box<[Chains]>,
    /// Which places of a chunk hold an item.
    used: Vec<u32>,
    links: Vec<Links>,
    items: Vec<[Item; CHUNK]>,
    free: u32,
}

impl Buckets {
    /// So many empty buckets.
    pub(super) fn empty(buckets: usize) -> Self {
        let chains = vec![Chains { open: NONE, full: NONE }; buckets].into();
        Self { chains, used: Vec::new(), links: Vec::new(), items: Vec::new(), free: NONE }
    }

    /// All items, in no order.
    #[cfg(test)]
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.used.iter().zip(&self.items).flat_map(|(places, items)| used(*places).map(|offset| items[offset]))
    }

    /// Chunks there is memory for, free ones included.
    pub(super) fn chunks(&self) -> usize {
        self.links.len()
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
        let places = &mut self.used[at as usize];
        let offset = places.trailing_ones();
        *places |= 1 << offset;
        let filled = *places == FULL;
        self.items[at as usize][offset as usize] = item;
        if filled {
            let chains = &mut self.chains[bucket];
            unlink(&mut self.links, &mut chains.open, at);
            link(&mut self.links, &mut chains.full, at);
        }
        place(at, offset as usize)
    }

    /// Takes the item at a place out of its bucket, which is asked for only if its chunk is no longer full or empty now.
    /// Gives the bucket if that is empty now.
    #[inline]
    pub(super) fn remove(&mut self, place: Place, bucket: impl FnOnce() -> usize) -> Option<usize> {
        let at = place / CHUNK as u32;
        let places = &mut self.used[at as usize];
        let before = *places;
        *places &= !(1 << (place % CHUNK as u32));
        if before != FULL && *places != 0 {
            return None;
        }
        self.relink(bucket(), at)
    }

    /// Moves a chunk that is not full any more to those that have room, or sets one that is empty now free. Gives the
    /// bucket if that is empty now.
    #[inline(never)]
    fn relink(&mut self, bucket: usize, at: u32) -> Option<usize> {
        let chains = &mut self.chains[bucket];
        if self.used[at as usize] != 0 {
            unlink(&mut self.links, &mut chains.full, at);
            link(&mut self.links, &mut chains.open, at);
            return None;
        }
        unlink(&mut self.links, &mut chains.open, at);
        let emptied = chains.open == NONE && chains.full == NONE;
        self.release(at);
        emptied.then_some(bucket)
    }

    /// Empties a bucket, chunk by chunk; a chunk serves again when its items have been handed out.
    pub(super) fn drain(&mut self, bucket: usize, mut each: impl FnMut(&mut Self, &[(Place, Item)])) {
        let Chains { open, full } = std::mem::replace(&mut self.chains[bucket], Chains { open: NONE, full: NONE });
        for first in [full, open] {
            let mut at = first;
            while at != NONE {
                let (next, items) = (self.links[at as usize].next, &self.items[at as usize]);
                let mut drained = [(0, Item::default()); CHUNK];
                let places = used(self.used[at as usize]).map(|offset| (place(at, offset), items[offset]));
                let count = drained.iter_mut().zip(places).map(|(to, from)| *to = from).count();
                each(self, &drained[..count]);
                self.release(at);
                at = next;
            }
        }
    }

    /// Gives a bucket that has no room another chunk.
    fn extend(&mut self, bucket: usize) -> u32 {
        let mut at = self.free;
        if at == NONE {
            at = self.links.len() as u32;
            self.used.push(0);
            self.links.push(Links { next: NONE, previous: NONE });
            self.items.push([Item::default(); CHUNK]);
        } else {
            self.free = self.links[at as usize].next;
        }
        link(&mut self.links, &mut self.chains[bucket].open, at);
        at
    }

    fn release(&mut self, at: u32) {
        self.used[at as usize] = 0;
        self.links[at as usize] = Links { next: self.free, previous: NONE };
        self.free = at;
    }
}

const fn place(chunk: u32, offset: usize) -> Place {
    chunk * CHUNK as u32 + offset as u32
}

/// The offsets that hold an item.
fn used(mut used: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let offset = used.trailing_zeros();
        used &= used.checked_sub(1)?;
        Some(offset as usize)
    })
}

/// Puts a chunk before the others of a chain.
fn link(links: &mut [Links], first: &mut u32, at: u32) {
    let next = std::mem::replace(first, at);
    links[at as usize].next = next;
    if next != NONE {
        links[next as usize].previous = at;
    }
}

/// Takes a chunk out of its chain.
fn unlink(links: &mut [Links], first: &mut u32, at: u32) {
    let Links { next, previous, .. } = links[at as usize];
    if *first == at {
        *first = next;
    } else {
        links[previous as usize].next = next;
    }
    if next != NONE {
        links[next as usize].previous = previous;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(timer: u32) -> Item {
        Item { due: Timestamp::from_micros(i64::from(timer)), hash: timer }
    }

    #[test]
    fn what_is_removed_makes_room_for_the_next_and_moves_no_other() {
        let mut buckets = Buckets::empty(3);
        let places: Vec<Place> = (0..100).map(|timer| buckets.push(1, item(timer))).collect();
        let chunks = buckets.chunks();
        let gone: Vec<u32> = (0..100).filter(|timer| timer % 3 == 0).collect();
        gone.iter().for_each(|timer| assert!(buckets.remove(places[*timer as usize], || 1).is_none()));
        let at = |buckets: &Buckets, place: Place| {
            let place = place as usize;
            buckets.items[place / CHUNK][place % CHUNK].hash
        };
        let left = (0..100).filter(|timer| timer % 3 != 0);
        left.for_each(|timer| assert_eq!(at(&buckets, places[timer as usize]), timer));
        assert_eq!(buckets.items().count(), 100 - gone.len());
        gone.iter().for_each(|timer| _ = buckets.push(1, item(*timer)));
        assert_eq!(buckets.chunks(), chunks, "gaps were not filled");
        let mut all: Vec<u32> = buckets.items().map(|item| item.hash).collect();
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
            let emptied = outwards.filter(|timer| buckets.remove(places[*timer], || bucket) == Some(bucket)).count();
            assert_eq!((emptied, buckets.items().count()), (1, 0), "round {round}");
        }
        assert_eq!(buckets.chunks(), 4);
    }

    #[test]
    fn the_last_item_empties_its_bucket() {
        let mut buckets = Buckets::empty(1);
        let places: Vec<Place> = (0..40).map(|timer| buckets.push(0, item(timer))).collect();
        let emptied: Vec<bool> = places.iter().rev().map(|place| buckets.remove(*place, || 0).is_some()).collect();
        assert_eq!(emptied.iter().filter(|emptied| **emptied).count(), 1);
        assert_eq!(emptied.last(), Some(&true));
    }

    #[test]
    fn a_drained_bucket_hands_out_every_item_once() {
        let mut buckets = Buckets::empty(2);
        let places: Vec<Place> = (0..100).map(|timer| buckets.push(0, item(timer))).collect();
        (0..100).step_by(7).for_each(|timer| _ = buckets.remove(places[timer], || 0));
        let mut drained = Vec::new();
        buckets.drain(0, |buckets, items| {
            for (place, item) in items {
                assert_eq!(*place, places[item.hash as usize]);
                drained.push(item.hash);
                buckets.push(1, *item);
            }
        });
        drained.sort_unstable();
        assert_eq!(drained, Vec::from_iter((0..100).filter(|timer| timer % 7 != 0)));
        assert_eq!(buckets.items().count(), drained.len());
    }
}
