//! A time machine over a journal: all runs as they were at a position, and ways from one position to another.

use std::ops::ControlFlow;
use std::sync::Arc;

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord, StatusName, Timestamp};
use tachograph_engine::ports::JournalError;
use tachograph_projections::Projection;

use super::fleet::{Births, Fleet, Runs};
use super::halt::{Halt, Progress, Watch};
use super::marks::Marks;
use super::pages::Pages;
use crate::dataset::Dataset;
use crate::error::Error;

/// Entries that are looked through at a time on the way back.
const CHUNK_ENTRIES: u64 = 4_096;
/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what was recorded later.
    Forward,
    /// To what was recorded before.
    Backward,
}

/// What a time machine holds, and how often it looks up from reading. The answers do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries that can be taken back one by one, without reading.
    pub undo_max: usize,
    /// Folds that are kept on the way.
    pub marks_max: usize,
    /// Entries between two of them at first; twice as many whenever there are too many of them.
    pub mark_spacing: u64,
    /// So many entries further than anything in memory, a saved checkpoint is looked for.
    pub checkpoint_worth: u64,
    /// Entries between two looks at whether to go on reading.
    pub look_every: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { undo_max: 16_384, marks_max: 8, mark_spacing: 8_192, checkpoint_worth: 65_536, look_every: 1_024 }
    }
}

/// A cursor over a journal with all runs as they were at its position: the same as a fold from the first entry, however
/// the cursor came there.
///
/// Memory is bounded by the number of runs, not of entries: it holds a few pages of entries around the cursor, what the
/// last entries replaced (a step back takes no reading), and a few folds on the way, which share the runs that did not
/// change between them; [`Bounds`] says how many. Nothing in the journal is changed.
#[derive(Debug)]
pub struct Machine {
    pages: Pages,
    births: Births,
    marks: Marks,
    fleet: Fleet,
    /// The entry at the cursor.
    entry: Option<Arc<Entry>>,
    bounds: Bounds,
}

impl Machine {
    /// A cursor before the first entry. Reads nothing.
    pub fn new(dataset: Dataset) -> Self {
        Self::with(dataset, Bounds::default())
    }

    /// The same within other bounds.
    pub fn with(dataset: Dataset, bounds: Bounds) -> Self {
        let (pages, marks) = (Pages::of(dataset), Marks::of(bounds.marks_max, bounds.mark_spacing));
        Self { pages, births: Births::default(), marks, fleet: Fleet::default(), entry: None, bounds }
    }

    /// The journal.
    pub fn dataset(&self) -> &Dataset {
        self.pages.dataset()
    }

    /// The end of the journal by now.
    pub fn head(&self) -> Position {
        self.pages.head()
    }

    /// Where the cursor is: at the last entry that is folded in; zero before the first.
    pub fn position(&self) -> Position {
        self.fleet.runs.position()
    }

    /// The entry at the cursor; absent before the first.
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        self.entry.as_ref()
    }

    /// When the entry at the cursor was recorded.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.entry.as_ref().map(|entry| entry.recorded_at)
    }

    /// A run as it was at the cursor.
    pub fn run(&self, run: RunId) -> Option<&Arc<RunRecord>> {
        self.fleet.runs.run(run, &self.births)
    }

    /// All runs at the cursor, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Arc<RunRecord>> {
        self.fleet.runs.records().values()
    }

    /// The runs that were created after a position, oldest first.
    pub fn runs_after(&self, created: Position) -> impl DoubleEndedIterator<Item = &Arc<RunRecord>> {
        self.fleet.runs.records().range(created.next()..).map(|(_, record)| record)
    }

    /// The runs that were created at a position or before it, oldest first.
    pub fn runs_up_to(&self, created: Position) -> impl DoubleEndedIterator<Item = &Arc<RunRecord>> {
        self.fleet.runs.records().range(..=created).map(|(_, record)| record)
    }

    /// How many runs were in a status at the cursor.
    pub fn count(&self, status: StatusName) -> usize {
        self.fleet.runs.count(status)
    }

    /// The run of the entry at the cursor as it was before that entry; absent if it was created by it.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn before(&mut self) -> Result<Option<Arc<RunRecord>>, Error> {
        if let Some(undo) = self.fleet.last() {
            return Ok(undo.before().cloned());
        }
        // The cursor is at a fold that was kept or saved: its run's own entries tell.
        let Some(run) = self.entry.as_ref().and_then(|entry| entry.run()) else { return Ok(None) };
        let Some(before) = self.position().0.checked_sub(1) else { return Ok(None) };
        match self.dataset().record(run, Position(before)).await {
            Ok(record) => Ok(Some(Arc::new(record))),
            Err(Error::UnknownRun { .. } | Error::NotYet { .. } | Error::BegunBefore { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Entries around a position: up to so many at or before it, and up to so many after it.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn around(&mut self, at: Position, before: usize, after: usize) -> Result<Vec<Arc<Entry>>, Error> {
        self.pages.around(at, before, after).await
    }

    /// The entry at any position.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn entry_at(&mut self, at: Position) -> Result<Option<Arc<Entry>>, Error> {
        self.pages.entry(at).await
    }

    /// Moves the cursor to a position; beyond the end to the end, and to one that cannot be read to the entry before.
    ///
    /// # Errors
    ///
    /// [`Halt`]; the cursor is then where it was, or at an entry on a short way.
    pub async fn seek(&mut self, to: Position, watch: Watch<'_>) -> Result<(), Halt> {
        let (from, to) = (self.position(), to.min(self.head()));
        let mut came = Ok(());
        if to < from && self.fleet.leads_back_to(to) {
            self.fleet.back_to(to);
        } else if to != from {
            came = self.fold_to(to, watch).await;
        }
        if self.position() != from {
            // If it cannot be read, there is none rather than another one.
            self.entry = None;
            self.entry = self.pages.entry(self.position()).await?;
        }
        came
    }

    /// Moves the cursor to the next entry; returns whether there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read; the cursor is where it was.
    pub async fn step(&mut self) -> Result<bool, Error> {
        let Some(next) = self.pages.after(self.position()).await? else { return Ok(false) };
        self.fleet.step(&next, &mut self.births, self.bounds.undo_max);
        self.marks.pass(&self.fleet.runs);
        self.entry = Some(next);
        Ok(true)
    }

    /// Moves the cursor to the entry before, or before the first; returns whether it moved.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek).
    pub async fn step_back(&mut self, watch: Watch<'_>) -> Result<bool, Halt> {
        let Some(before) = self.position().0.checked_sub(1) else { return Ok(false) };
        self.seek(Position(before), watch).await?;
        Ok(true)
    }

    /// The nearest entry in a direction, the one at the cursor left out, that fits. The cursor stays.
    ///
    /// # Errors
    ///
    /// [`Halt`].
    pub async fn find(
        &self,
        direction: Direction,
        mut fits: impl FnMut(&Entry) -> bool,
        watch: Watch<'_>,
    ) -> Result<Option<Position>, Halt> {
        let (from, head) = (self.position(), self.head());
        match direction {
            Direction::Forward => {
                let mut counted = self.counted(head.0.saturating_sub(from.0), watch);
                let mut found = None;
                let visitor = |entry: Entry| {
                    found = fits(&entry).then_some(entry.position);
                    found.is_none() && counted.goes_on()
                };
                self.dataset().visit(from, head, visitor).await?;
                counted.done(found)
            }
            Direction::Backward => {
                let mut counted = self.counted(from.0, watch);
                let mut end = from.0.saturating_sub(1);
                let mut found = None;
                while found.is_none() && end > 0 && !counted.is_canceled {
                    let start = end.saturating_sub(CHUNK_ENTRIES);
                    let visitor = |entry: Entry| {
                        found = if fits(&entry) { Some(entry.position) } else { found };
                        counted.goes_on()
                    };
                    self.dataset().visit(Position(start), Position(end), visitor).await?;
                    end = start;
                }
                counted.done(found)
            }
        }
    }

    /// Folds up to a position from wherever the way is shortest.
    async fn fold_to(&mut self, to: Position, watch: Watch<'_>) -> Result<(), Halt> {
        let here = (self.position() <= to).then(|| self.position());
        let base = self.base(here, to).await;
        let is_short = base.is_none() && here.is_some_and(|here| to.0 - here.0 <= self.bounds.undo_max as u64);
        let mut fleet = match base {
            Some(runs) => Fleet::at(runs),
            None if is_short => std::mem::take(&mut self.fleet),
            None if here.is_some() => Fleet::at(self.fleet.runs.clone()),
            None => Fleet::default(),
        };
        let folded = self.fold(&mut fleet, to, watch).await;
        // A short way is gone in place; of a long one nothing shows unless it led to its end.
        if is_short || folded.is_ok() {
            self.fleet = fleet;
        }
        folded
    }

    fn counted<'a>(&self, entries: u64, watch: Watch<'a>) -> Counted<'a> {
        let progress = Progress { done: 0, of: entries };
        Counted { progress, watch, look_every: self.bounds.look_every.max(1), is_canceled: false }
    }

    /// A fold to begin at that is nearer than the cursor.
    async fn base(&mut self, here: Option<Position>, to: Position) -> Option<Runs> {
        let mark = self.marks.before(to).filter(|mark| here.is_none_or(|here| mark.position() > here)).cloned();
        let nearest = mark.as_ref().map(Runs::position).or(here).unwrap_or(Position::ZERO);
        if to.0 - nearest.0 <= self.bounds.checkpoint_worth {
            return mark;
        }
        let saved = self.dataset().saved(to).await;
        if saved.position() <= nearest {
            return mark;
        }
        let runs = Runs::of(&saved, &mut self.births);
        self.marks.pass(&runs);
        Some(runs)
    }

    async fn fold(&mut self, fleet: &mut Fleet, to: Position, watch: Watch<'_>) -> Result<(), Halt> {
        let from = fleet.runs.position();
        let mut counted = self.counted(to.0 - from.0, watch);
        let Self { pages, births, marks, bounds, .. } = self;
        let visited: Result<(), JournalError> = pages
            .dataset()
            .visit(from, to, |entry| {
                if to.0 - entry.position.0 < bounds.undo_max as u64 {
                    fleet.step(&entry, births, bounds.undo_max);
                } else {
                    fleet.pass(&entry, births);
                }
                marks.pass(&fleet.runs);
                counted.goes_on()
            })
            .await;
        visited?;
        counted.done(())
    }
}

/// Counts entries and asks now and then whether to go on.
struct Counted<'a> {
    progress: Progress,
    watch: Watch<'a>,
    look_every: u64,
    is_canceled: bool,
}

impl Counted<'_> {
    fn goes_on(&mut self) -> bool {
        self.progress.done += 1;
        if self.progress.done.is_multiple_of(self.look_every) {
            self.is_canceled = matches!((self.watch)(self.progress), ControlFlow::Break(()));
        }
        !self.is_canceled
    }

    fn done<T>(self, value: T) -> Result<T, Halt> {
        if self.is_canceled { Err(Halt::Canceled) } else { Ok(value) }
    }
}
