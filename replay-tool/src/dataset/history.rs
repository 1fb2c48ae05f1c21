//! One run: what happened to it, and how it stood.

use std::collections::BTreeMap;

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord};
use tachograph_engine::ports::JournalError;
use tachograph_projections::{Projection, Timeline};

use super::Dataset;
use crate::error::Error;

/// Where the archived part of a run's history ends, if another part stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Border {
    /// The last position that was archived.
    pub up_to: Position,
    /// The bundle with the last archived entry about the run, as it was named then.
    pub bundle: String,
    /// The run as it was there.
    pub base: RunRecord,
}

/// One run's history with the entries that it was made from.
#[derive(Debug, Clone)]
pub struct History {
    /// What happened, in order.
    pub timeline: Timeline,
    /// Where it begins, if what was before is archived.
    pub border: Option<Border>,
    entries: BTreeMap<Position, Entry>,
}

impl History {
    /// The entry about the run at a position.
    pub fn entry(&self, at: Position) -> Option<&Entry> {
        self.entries.get(&at)
    }

    /// The last entry about the run.
    pub fn last(&self) -> Option<&Entry> {
        self.entries.values().next_back()
    }
}

impl Dataset {
    /// Where the archived part of a run's history ends; absent if none of it was archived.
    ///
    /// # Errors
    ///
    /// As [`position`](Self::position).
    pub async fn border(&self, run: RunId) -> Result<Option<Border>, JournalError> {
        let base = self.reader.base(run).await?;
        Ok(base.map(|base| Border { up_to: self.reader.archived(), bundle: self.bundle_of(base.last), base }))
    }

    /// The entries about a run that are held.
    ///
    /// # Errors
    ///
    /// [`JournalError::Archived`] if all of them are archived, or as [`position`](Self::position).
    pub(crate) async fn own(&self, run: RunId) -> Result<Vec<Entry>, Error> {
        let own = self.reader.history(run).await?;
        match own.is_empty() {
            true => match self.reader.base(run).await? {
                Some(base) => Err(self.archived(base.last)),
                None => Ok(own),
            },
            false => Ok(own),
        }
    }

    /// One run as it was at a position, found by way of its own entries alone.
    ///
    /// # Errors
    ///
    /// [`Error::NotYet`] if it was created later, [`Error::BegunBefore`] if that is not held, [`Error::UnknownRun`] if
    /// never, or as [`position`](Self::position).
    pub async fn record(&self, run: RunId, at: Position) -> Result<RunRecord, Error> {
        let base = self.reader.base(run).await?;
        let history = self.reader.history(run).await?;
        let until_then = history.iter().take_while(|entry| entry.position <= at);
        match until_then.fold(base, RunRecord::fold) {
            Some(record) => Ok(record),
            None => Err(match history.iter().fold(None, RunRecord::fold) {
                Some(record) => Error::NotYet { run, at, created: record.created },
                None if self.held().is_part() && !history.is_empty() => {
                    let first = history.first().map_or(at, |entry| entry.position);
                    Error::BegunBefore { run, first, data: self.data.clone() }
                }
                None => self.unknown(&run.to_string(), None),
            }),
        }
    }

    /// The history of the run that is meant, with the facts about the journal that fall within it. For the full id of
    /// a run that was never created, what was refused about it.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub async fn history(&self, text: &str) -> Result<History, Error> {
        let run = match (self.resolve(text, None).await, text.parse()) {
            (Ok(run), _) | (Err(Error::UnknownRun { .. }), Ok(run)) => run,
            (Err(error), _) => return Err(error),
        };
        let own = self.own(run).await?;
        let border = self.border(run).await?;
        let (after, up_to) = self.stretch_of(&own, border.as_ref().map(|border| border.base.clone()));
        let history = match self.stretch(History::of(run, border.clone()), after, up_to).await {
            Ok(history) => history,
            // Damage elsewhere must not hide what the run's own entries say.
            Err(JournalError::Damaged { .. }) if !own.is_empty() => History::of(run, border).with(own),
            Err(error) => return Err(error.into()),
        };
        if history.timeline.items().is_empty() { Err(self.unknown(text, None)) } else { Ok(history) }
    }

    /// Between which positions facts about the journal matter to a run: from its creation to its last entry if it has
    /// ended, else to the end. A run that was never created has no back pointers, so that all must be gone through.
    fn stretch_of(&self, own: &[Entry], base: Option<RunRecord>) -> (Position, Position) {
        let end = self.reader.head().position;
        match own.iter().fold(base, RunRecord::fold) {
            Some(record) => {
                let after = Position(record.created.0.saturating_sub(1)).max(self.reader.archived());
                (after, if record.run.is_ended() { record.last } else { end })
            }
            None => (Position::ZERO, end),
        }
    }

    async fn stretch(&self, mut history: History, after: Position, up_to: Position) -> Result<History, JournalError> {
        self.visit(after, up_to, |entry| {
            history.apply(entry);
            true
        })
        .await?;
        Ok(history)
    }
}

impl History {
    /// The history before the first entry that is held.
    fn of(run: RunId, border: Option<Border>) -> Self {
        let timeline = border.as_ref().map_or_else(|| Timeline::of(run), |border| Timeline::continuing(&border.base));
        Self { timeline, border, entries: BTreeMap::new() }
    }

    fn with(mut self, entries: Vec<Entry>) -> Self {
        entries.into_iter().for_each(|entry| self.apply(entry));
        self
    }

    fn apply(&mut self, entry: Entry) {
        self.timeline.apply(&entry);
        if entry.run() == Some(self.timeline.run()) {
            self.entries.insert(entry.position, entry);
        }
    }
}
