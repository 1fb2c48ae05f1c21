//! At which position a predicate became true.
//!
//! Three ways lead there, and the answer says which was gone. What only asks for single runs can change with their own
//! entries only: those are gone through by their back pointers. What stays true once it is, is looked for between
//! checkpoints of all runs by halves, and then in the stretch that is left. Anything else is looked for entry by entry.

use tachograph_engine::domain::{Entry, Position, RunId};
use tachograph_projections::Projection;

use super::expression::Expression;
use super::watched::Watched;
use crate::dataset::Dataset;
use crate::error::Error;

/// How a position was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Along the entries of the runs that are asked for.
    History,
    /// By halves between checkpoints, then entry by entry in what was left.
    BinarySearch,
    /// Entry by entry.
    Scan,
}

impl Method {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::BinarySearch => "binary_search",
            Self::Scan => "scan",
        }
    }
}

/// Where a predicate became true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was false before this entry and true after it.
    At(Box<Entry>),
    /// It was true already where the search began.
    Before,
    /// It was never true.
    Never,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bisection {
    /// What was looked for.
    pub expression: String,
    /// Where the search began: the state at this position was looked at first.
    pub from: Position,
    /// Up to where was looked.
    pub to: Position,
    /// Where it became true.
    pub found: Found,
    /// How that was found.
    pub method: Method,
    /// Why in this way, in words.
    pub why: String,
    /// Entries after which the predicate was looked at.
    pub entries: u64,
    /// Checkpoints at which it was looked at.
    pub checkpoints: u64,
}

/// What a search came to.
struct Search {
    found: Found,
    entries: u64,
    checkpoints: u64,
}

impl Dataset {
    /// The first position after `from`, up to `to`, at which a predicate is true, unless it is true at `from` already.
    ///
    /// A name in `run("…")` stands for whoever holds it at `to`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] or [`Error::AmbiguousRun`] for a run that is asked for, [`Error::Journal`] if the journal
    /// cannot be read.
    pub async fn bisect(&self, expression: &Expression, from: Position, to: Position) -> Result<Bisection, Error> {
        let mut asked = Vec::with_capacity(expression.runs().len());
        for text in expression.runs() {
            asked.push(self.resolve(text, Some(to)).await?);
        }
        let to = to.max(from);
        let (search, method, why) = if expression.aggregates() == 0 {
            let why = "only single runs are asked for, which their own entries alone can change";
            (self.along_histories(expression, &asked, from, to).await?, Method::History, why)
        } else if !expression.trend().stays_true() {
            let why = "it can become false again, so that nothing may be skipped";
            (self.scan(expression, &asked, from, to).await?, Method::Scan, why)
        } else if let Some(search) = self.by_halves(expression, &asked, from, to).await? {
            (search, Method::BinarySearch, "once true, it stays true")
        } else {
            let why = "once true, it stays true, but there is no checkpoint of all runs in between to look at";
            (self.scan(expression, &asked, from, to).await?, Method::Scan, why)
        };
        let Search { found, entries, checkpoints } = search;
        let (expression, why) = (expression.text().to_owned(), why.to_owned());
        Ok(Bisection { expression, from, to, found, method, why, entries, checkpoints })
    }

    async fn along_histories(
        &self,
        expression: &Expression,
        asked: &[RunId],
        from: Position,
        to: Position,
    ) -> Result<Search, Error> {
        let mut entries = Vec::new();
        for run in asked {
            entries.extend(self.reader().history(*run).await?);
        }
        entries.sort_by_key(|entry| entry.position);
        entries.dedup_by_key(|entry| entry.position);
        let mut watched = Watched::of(expression, asked, []);
        let later = entries.partition_point(|entry| entry.position <= from);
        entries[..later].iter().for_each(|entry| watched.see(entry));
        let mut look = Look::begin(watched);
        for entry in entries.drain(later..).take_while(|entry| entry.position <= to) {
            if !look.see(entry) {
                break;
            }
        }
        Ok(look.done(0))
    }

    async fn scan(
        &self,
        expression: &Expression,
        asked: &[RunId],
        from: Position,
        to: Position,
    ) -> Result<Search, Error> {
        let (state, ..) = self.all_runs(from).await?;
        let watched = Watched::of(expression, asked, state.into_records());
        self.look(watched, from, to, 0).await
    }

    async fn look(
        &self,
        watched: Watched<'_>,
        from: Position,
        to: Position,
        checkpoints: u64,
    ) -> Result<Search, Error> {
        let mut look = Look::begin(watched);
        if !look.is_done() {
            self.visit(from, to, |entry| look.see(entry)).await?;
        }
        Ok(look.done(checkpoints))
    }

    /// Absent if there is no checkpoint to look at, or something is damaged: then nothing may be concluded about what was
    /// not read.
    async fn by_halves(
        &self,
        expression: &Expression,
        asked: &[RunId],
        from: Position,
        to: Position,
    ) -> Result<Option<Search>, Error> {
        let mut candidates = self.saved_positions();
        candidates.retain(|position| from < *position && *position < to);
        if candidates.is_empty() || self.damage().is_some() {
            return Ok(None);
        }
        // Below `low` it is known to be false, from `high` on to be true.
        let (mut low, mut high, mut checkpoints) = (None, to, 0);
        while !candidates.is_empty() {
            let middle = candidates[candidates.len() / 2];
            let state = self.saved(middle).await;
            if state.position() != middle {
                // It is damaged, or of another history.
                candidates.retain(|position| *position != middle);
                continue;
            }
            checkpoints += 1;
            let watched = Watched::of(expression, asked, state.into_records());
            if watched.holds() {
                high = middle;
                candidates.retain(|position| *position < middle);
            } else {
                low = Some((middle, watched));
                candidates.retain(|position| *position > middle);
            }
        }
        match low {
            Some((low, watched)) => Ok(Some(self.look(watched, low, high, checkpoints).await?)),
            None if checkpoints > 0 => {
                let search = self.scan(expression, asked, from, high).await?;
                Ok(Some(Search { checkpoints, ..search }))
            }
            None => Ok(None),
        }
    }
}

/// A predicate that is looked at after every entry.
struct Look<'a> {
    watched: Watched<'a>,
    found: Found,
    entries: u64,
}

impl<'a> Look<'a> {
    fn begin(watched: Watched<'a>) -> Self {
        let found = if watched.holds() { Found::Before } else { Found::Never };
        Self { watched, found, entries: 0 }
    }

    fn is_done(&self) -> bool {
        self.found != Found::Never
    }

    /// Returns whether to go on.
    fn see(&mut self, entry: Entry) -> bool {
        if self.is_done() {
            return false;
        }
        self.entries += 1;
        self.watched.see(&entry);
        if self.watched.holds() {
            self.found = Found::At(Box::new(entry));
        }
        !self.is_done()
    }

    fn done(self, checkpoints: u64) -> Search {
        Search { found: self.found, entries: self.entries, checkpoints }
    }
}
