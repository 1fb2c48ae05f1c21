//! At which position a predicate became true.
//!
//! Three ways lead there, and the answer says which was gone. What only asks for single runs can change with their own
//! entries only: those are gone through by their back pointers. What stays true once it is, is looked for between
//! checkpoints of all runs by halves, and then in the stretch that is left. Anything else is looked for entry by entry.

use tachograph_engine::domain::{Entry, Position, RunId};
use tachograph_projections::Projection;

use super::expression::Expression;
use super::watched::Watched;
use crate::dataset::{AllRuns, Dataset};
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
    /// A checkpoint shows that it was true at `by`, but no entry that can be read made it so.
    Within {
        /// The last position at which what can be read says that it was false.
        after: Position,
        /// A position at which it was true.
        by: Position,
    },
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
    /// Runs that were met without their creation, up to where was looked: nothing counts them.
    pub begun_before: u64,
}

/// What a search came to.
struct Search {
    found: Found,
    entries: u64,
    checkpoints: u64,
    begun_before: u64,
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
        let (asked, passed) = self.resolve_all(expression.runs(), to).await?;
        for run in &asked {
            self.check_begun(*run).await?;
        }
        let to = to.max(from);
        let (search, method, why) = if expression.aggregates() == 0 {
            let why = "only single runs are asked for, which their own entries alone can change";
            (self.along_histories(expression, &asked, from, to).await?, Method::History, why)
        } else if !expression.trend().stays_true() {
            let why = "it can become false again, so that nothing may be skipped";
            (self.scan(expression, &asked, from, to).await?, Method::Scan, why)
        } else {
            match self.by_halves(expression, &asked, from, to).await? {
                Ok(search) => (search, Method::BinarySearch, self.why_by_halves()),
                Err(why) => (self.scan(expression, &asked, from, to).await?, Method::Scan, why),
            }
        };
        let Search { found, entries, checkpoints, begun_before } = search;
        let named = match passed {
            0 => String::new(),
            passed => format!("; which runs are meant was looked up in one pass over {passed} entries"),
        };
        let (expression, why) = (expression.text().to_owned(), format!("{why}{named}"));
        Ok(Bisection { expression, from, to, found, method, why, entries, checkpoints, begun_before })
    }

    /// What was true of a run is not known if its beginning is not.
    async fn check_begun(&self, run: RunId) -> Result<(), Error> {
        match self.record(run, self.reader().head().position).await {
            Err(error @ Error::BegunBefore { .. }) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
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
        let AllRuns { state, begun_before, .. } = self.all_runs(from).await?;
        let watched = Watched::of(expression, asked, state.into_records());
        let watched = watched.missing(begun_before.iter().map(|begun| begun.run));
        Ok(self.look(watched, from, to).await?.done(0))
    }

    /// Said after the search: only then is it known what damage it met.
    fn why_by_halves(&self) -> &'static str {
        match self.damage() {
            None => "once true, it stays true",
            Some(_) => {
                "once true, it stays true; the journal is damaged, and entries cannot be read: of the stretch that was left, \
                 what can be"
            }
        }
    }

    async fn look<'a>(&self, watched: Watched<'a>, from: Position, to: Position) -> Result<Look<'a>, Error> {
        let mut look = Look { reached: from, ..Look::begin(watched) };
        if !look.is_done() {
            self.visit(from, to, |entry| look.see(entry)).await?;
        }
        Ok(look)
    }

    /// What is found between the checkpoints; why not, if there are none to go by.
    ///
    /// What they show holds whatever is damaged between them: it is true at the last of the stretch that is left, even if the
    /// entry that made it so cannot be read.
    async fn by_halves(
        &self,
        expression: &Expression,
        asked: &[RunId],
        from: Position,
        to: Position,
    ) -> Result<Result<Search, &'static str>, Error> {
        const DAMAGED: &str =
            "once true, it stays true, but the journal is damaged, and what cannot be read may have been anything";
        let mut candidates = self.saved_positions();
        candidates.retain(|position| from < *position && *position < to);
        if candidates.is_empty() {
            let why = "once true, it stays true, but there is no checkpoint of all runs in between to look at";
            return Ok(Err(why));
        }
        // Nothing proves a checkpoint of a journal that is known to be damaged.
        if self.damage().is_some() {
            return Ok(Err(DAMAGED));
        }
        // Below `low` it is known to be false, from `high` on to be true.
        let (mut low, mut high, mut checkpoints) = (None, None, 0);
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
                high = Some(middle);
                candidates.retain(|position| *position < middle);
            } else {
                low = Some((middle, watched));
                candidates.retain(|position| *position > middle);
            }
        }
        let (low, watched) = match low {
            Some(low) => low,
            None if checkpoints > 0 => {
                (from, Watched::of(expression, asked, self.all_runs(from).await?.state.into_records()))
            }
            None if self.damage().is_some() => return Ok(Err(DAMAGED)),
            None => return Ok(Err("once true, it stays true, but no checkpoint of all runs in between is sound")),
        };
        let look = self.look(watched, low, high.unwrap_or(to)).await?;
        Ok(Ok(look.known_by(low, high).done(checkpoints)))
    }
}

/// A predicate that is looked at after every entry.
struct Look<'a> {
    watched: Watched<'a>,
    found: Found,
    entries: u64,
    /// Up to here, nothing is missing.
    reached: Position,
}

impl<'a> Look<'a> {
    fn begin(watched: Watched<'a>) -> Self {
        let found = if watched.holds() { Found::Before } else { Found::Never };
        Self { watched, found, entries: 0, reached: Position::ZERO }
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
        if entry.position == self.reached.next() {
            self.reached = entry.position;
        }
        self.watched.see(&entry);
        if self.watched.holds() {
            self.found = Found::At(Box::new(entry));
        }
        !self.is_done()
    }

    /// The same, where a checkpoint shows that it became true up to there, whatever was read.
    fn known_by(mut self, low: Position, high: Option<Position>) -> Self {
        if let (Found::Never, Some(by)) = (&self.found, high) {
            // If nothing is missing, what was read is not what was written.
            let after = if self.reached < by { self.reached } else { low };
            self.found = Found::Within { after, by };
        }
        self
    }

    fn done(self, checkpoints: u64) -> Search {
        let begun_before = self.watched.begun_before();
        Search { found: self.found, entries: self.entries, checkpoints, begun_before }
    }
}
