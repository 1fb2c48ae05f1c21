//! Entries around the cursor, a bounded number of them in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalError;

use crate::dataset::Dataset;
use crate::error::Error;

/// Entries of a page.
const PAGE_ENTRIES: u64 = 128;
/// Pages that are held.
const PAGES_MAX: usize = 64;
/// Pages in a row without an entry, after which a damaged stretch is skipped in one go or shown as the end.
const EMPTY_PAGES_MAX: usize = 4;

/// Reads entries by page and holds the last pages that were asked for.
#[derive(Debug)]
pub(crate) struct Pages {
    dataset: Dataset,
    /// The one that was asked for last at the back.
    held: VecDeque<Page>,
}

/// The entries of a stretch of positions: those after `number` times the page's size.
#[derive(Debug)]
struct Page {
    number: u64,
    entries: Vec<Arc<Entry>>,
    /// The end of the journal when it was read: as long as it lies within the page, more may come.
    head: Position,
}

impl Page {
    fn is_whole(&self) -> bool {
        self.head.0 >= (self.number + 1) * PAGE_ENTRIES
    }
}

impl Pages {
    pub(crate) fn of(dataset: Dataset) -> Self {
        Self { dataset, held: VecDeque::new() }
    }

    pub(crate) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The end of the journal by now.
    pub(crate) fn head(&self) -> Position {
        self.dataset.reader().head().position
    }

    /// The entry at a position, if there is one that can be read.
    pub(crate) async fn entry(&mut self, at: Position) -> Result<Option<Arc<Entry>>, Error> {
        let Some(number) = number_of(at) else { return Ok(None) };
        let entries = self.page(number).await?;
        Ok(entries.binary_search_by_key(&at, |entry| entry.position).ok().map(|index| entries[index].clone()))
    }

    /// The first entry after a position.
    pub(crate) async fn after(&mut self, position: Position) -> Result<Option<Arc<Entry>>, Error> {
        let head = self.head();
        if position >= head {
            return Ok(None);
        }
        let entries = self.page(position.0 / PAGE_ENTRIES).await?;
        if let Some(entry) = entries.iter().find(|entry| entry.position > position) {
            return Ok(Some(entry.clone()));
        }
        let mut found = None;
        self.dataset
            .visit(position, head, |entry| {
                found = Some(Arc::new(entry));
                false
            })
            .await?;
        Ok(found)
    }

    /// Up to so many entries at or before a position, and up to so many after it, in order.
    pub(crate) async fn around(&mut self, at: Position, before: usize, after: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let mut found = self.up_to(at, before).await?;
        let mut number = at.0 / PAGE_ENTRIES;
        let (wanted, mut empty) = (found.len() + after, 0);
        while found.len() < wanted && number * PAGE_ENTRIES < self.head().0 && empty < EMPTY_PAGES_MAX {
            let entries = self.page(number).await?;
            empty = if entries.is_empty() { empty + 1 } else { 0 };
            let room = wanted - found.len();
            found.extend(entries.iter().filter(|entry| entry.position > at).take(room).cloned());
            number += 1;
        }
        Ok(found)
    }

    async fn up_to(&mut self, at: Position, count: usize) -> Result<Vec<Arc<Entry>>, Error> {
        let (mut found, mut next, mut empty) = (VecDeque::new(), number_of(at), 0);
        while let Some(number) = next.filter(|_| found.len() < count && empty < EMPTY_PAGES_MAX) {
            let entries = self.page(number).await?;
            empty = if entries.is_empty() { empty + 1 } else { 0 };
            for entry in entries.iter().rev().filter(|entry| entry.position <= at).take(count - found.len()) {
                found.push_front(entry.clone());
            }
            next = number.checked_sub(1);
        }
        Ok(found.into())
    }

    async fn page(&mut self, number: u64) -> Result<&[Arc<Entry>], Error> {
        let head = self.head();
        let held = self.held.iter().position(|page| page.number == number);
        let page = match held.and_then(|index| self.held.remove(index)) {
            Some(page) if page.is_whole() || page.head == head => page,
            _ => self.read(number, head).await?,
        };
        if self.held.len() >= PAGES_MAX {
            self.held.pop_front();
        }
        self.held.push_back(page);
        Ok(self.held.back().map_or(&[], |page| &page.entries))
    }

    async fn read(&self, number: u64, head: Position) -> Result<Page, Error> {
        let (start, end) = (Position(number * PAGE_ENTRIES), Position((number + 1) * PAGE_ENTRIES));
        let mut entries = Vec::new();
        let visitor = |entry| {
            entries.push(Arc::new(entry));
            true
        };
        match self.dataset.visit(start, end.min(head), visitor).await {
            Ok(()) => Ok(Page { number, entries, head }),
            // What lies before damage can be read; it is asked for anew, so that nobody takes it for all there is.
            Err(JournalError::Damaged { .. }) if !entries.is_empty() => {
                Ok(Page { number, entries, head: Position::ZERO })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn number_of(at: Position) -> Option<u64> {
    at.0.checked_sub(1).map(|before| before / PAGE_ENTRIES)
}
