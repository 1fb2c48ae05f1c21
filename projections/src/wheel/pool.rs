//! What and where each timer is.

use tachograph_engine::domain::Timestamp;

use super::Due;
use super::buckets::Place;

/// Timers of a block. Blocks neither move nor grow, the first one aside: a wheel of few timers stays small.
const BLOCK: usize = 1_024;
/// Ends the list of free timers.
const NONE: u32 = u32::MAX;

/// A timer, in a line of memory of its own if the key is not too long for it.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Timer<K> {
    pub(super) due: Timestamp,
    pub(super) key: K,
    /// Of a free one, the next free one.
    pub(super) place: Place,
}

impl<K: Copy> Timer<K> {
    pub(super) const fn due(&self) -> Due<K> {
        Due { due: self.due, key: self.key }
    }
}

/// Timers by number. A number that is free serves the next timer.
#[derive(Debug, Clone)]
pub(super) struct Pool<K> {
    blocks: Vec<Vec<Timer<K>>>,
    free: u32,
}

impl<K> Default for Pool<K> {
    fn default() -> Self {
        Self { blocks: Vec::new(), free: NONE }
    }
}

impl<K: Copy> Pool<K> {
    /// Timers there are numbers for, free ones included.
    pub(super) fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// A timer.
    pub(super) fn at(&self, timer: u32) -> &Timer<K> {
        &self.blocks[timer as usize / BLOCK][timer as usize % BLOCK]
    }

    /// A timer, to change it.
    pub(super) fn at_mut(&mut self, timer: u32) -> &mut Timer<K> {
        &mut self.blocks[timer as usize / BLOCK][timer as usize % BLOCK]
    }

    /// Gives a timer a number.
    pub(super) fn allocate(&mut self, timer: Timer<K>) -> u32 {
        let free = self.free;
        if free == NONE {
            return self.push(timer);
        }
        self.free = std::mem::replace(self.at_mut(free), timer).place;
        free
    }

    /// Frees the number of a timer.
    pub(super) fn release(&mut self, timer: u32) {
        self.at_mut(timer).place = std::mem::replace(&mut self.free, timer);
    }

    fn push(&mut self, timer: Timer<K>) -> u32 {
        let number = self.len() as u32;
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(timer),
            Some(_) => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(timer);
                self.blocks.push(block);
            }
            None => self.blocks.push(vec![timer]),
        }
        number
    }
}
