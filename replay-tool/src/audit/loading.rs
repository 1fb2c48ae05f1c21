//! Fills the tables that a question names, and of those the columns that it reads.

use rusqlite::types::Value;
use tachograph_engine::domain::{Entry, Position, RunId, RunRecord, Timestamp};
use tachograph_engine::ports::JournalError;
use tachograph_projections::{Projection, Timers};

use super::attempt_table::{Attempts, attempts};
use super::column::{Column, Table};
use super::destination::{Destination, RowWriter};
use super::entry_table::{entries, refusals};
use super::event_table::events;
use super::narrowing::{Narrowing, Sieve};
use super::run_table::{Labelled, NOT_SAVED, Runs, labels, runs};
use super::session_table::{sessions, sessions_of};
use super::snapshot_table::{Snapshots, snapshots};
use super::timer_table::{TimerRow, begun, rows, timers};
use super::wanted::Wanted;
use crate::dataset::Dataset;
use crate::error::Error;

/// Which part of the history the tables hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Everything up to and including this position: the tables are as of then.
    pub at: Position,
    /// `entries`, `events` and `refusals` begin after this position; the other tables tell what entries before it did, too.
    pub after: Position,
    /// Only this run; `sessions` tells of no run and is whole.
    pub run: Option<RunId>,
}

/// What was read for a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The tables that the question names.
    pub tables: Vec<LoadedTable>,
    /// Where the rows come from, in words.
    pub from: Vec<String>,
    /// Entries that were gone through; those behind a checkpoint were not.
    pub entries: u64,
    /// Of each table that the conditions of the question narrow, the rows that were looked for, in words.
    pub narrowed: Vec<String>,
}

/// What of a table was filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTable {
    /// Its name.
    pub name: &'static str,
    /// The columns that the question reads; the others are empty.
    pub columns: Vec<&'static str>,
    /// Of how many.
    pub columns_of: usize,
    /// How many rows.
    pub rows: u64,
}

/// A table that is being filled.
struct Sink<'d, S> {
    name: &'static str,
    rows_of: fn(&S) -> usize,
    columns: Vec<Column<S>>,
    columns_of: usize,
    sieve: Sieve,
    writer: Box<dyn RowWriter + 'd>,
    /// The values of the row at hand; kept for its room.
    row: Vec<Value>,
    rows: u64,
}

impl<'d, S> Sink<'d, S> {
    /// The sink of a table, if it is wanted.
    fn of(mut table: Table<S>, asked: Asked<'_>, to: &'d dyn Destination) -> Result<Option<Self>, Error> {
        let Some(read) = asked.wanted.columns(table.name) else { return Ok(None) };
        let columns_of = table.columns.len();
        table.columns.retain(|column| read.contains(column.name));
        let writer = to.begin(&table.described())?;
        let Table { name, rows: rows_of, columns, .. } = table;
        let sieve = asked.narrowing.sieve(name, &columns);
        Ok(Some(Self { name, rows_of, columns, columns_of, sieve, writer, row: Vec::new(), rows: 0 }))
    }

    /// Adds the rows of one source that matter.
    fn take(&mut self, source: &S) -> Result<(), Error> {
        for row in 0..(self.rows_of)(source) {
            if !self.sieve.keeps(&self.columns, source, row) {
                continue;
            }
            self.row.clear();
            self.row.extend(self.columns.iter().map(|column| column.value(source, row)));
            self.writer.write(&self.row)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn take_all<'s>(&mut self, sources: impl IntoIterator<Item = &'s S>) -> Result<(), Error>
    where
        S: 's,
    {
        sources.into_iter().try_for_each(|source| self.take(source))
    }

    /// Ends the table.
    fn finish(self) -> Result<LoadedTable, Error> {
        self.writer.finish()?;
        let columns = self.columns.iter().map(|column| column.name).collect();
        Ok(LoadedTable { name: self.name, columns, columns_of: self.columns_of, rows: self.rows })
    }
}

/// Tables whose rows are the journal's own.
pub(super) const OF_ENTRIES: [&str; 3] = ["entries", "events", "refusals"];
/// Tables that are made or folded out of all entries.
const OF_ALL: [&str; 4] = ["attempts", "snapshots", "timers", "labels"];
/// The one that is folded out of all entries, and for which there are checkpoints.
const OF_RUNS: [&str; 1] = ["runs"];
/// Those that tell of refusals, too.
const OF_REFUSED: [&str; 2] = ["entries", "refusals"];

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) narrowing: &'a Narrowing,
    /// The runs that the tables are to be filled with, whatever the conditions say.
    pub(super) alone: Option<&'a [RunId]>,
}

impl<'a> Asked<'a> {
    /// All that is read, whatever the conditions.
    pub(super) fn whole(wanted: &'a Wanted) -> Self {
        Self { wanted, narrowing: Narrowing::none(), alone: None }
    }

    /// Of these tables, those that the question names.
    fn named(&self, tables: &[&'static str]) -> Vec<&'static str> {
        tables.iter().filter(|table| self.wanted.columns(table).is_some()).copied().collect()
    }

    /// No run yet, to fold the rows of `runs` out of.
    fn no_runs(&self) -> Runs {
        Runs::none(self.wanted.columns("runs"))
    }

    /// The runs whose own entries are all that the question needs.
    pub(super) fn runs(&self, dataset: &Dataset, scope: Scope) -> Option<Vec<RunId>> {
        if let Some(runs) = self.alone {
            return Some(runs.to_vec());
        }
        if let Some(run) = scope.run {
            return Some(vec![run]);
        }
        // Beside what is missing or archived, back pointers do not lead to all that is there.
        let is_whole = dataset.reader().archived() == Position::ZERO && !dataset.held().is_part();
        if !is_whole || dataset.damage().is_some() {
            return None;
        }
        let named = self.named(&[OF_ENTRIES.as_slice(), &OF_ALL, &OF_RUNS].concat());
        self.narrowing.runs(&named).filter(|_| !named.is_empty()).map(|runs| runs.into_iter().collect())
    }
}

/// The entries about some runs up to a position, in order.
async fn entries_of(dataset: &Dataset, scope: Scope, runs: &[RunId], asked: Asked<'_>) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for run in runs {
        entries.extend(dataset.reader().history(*run).await?);
    }
    // What was refused before a run was created is no part of its history.
    if scope.run.is_none() && asked.wanted.names_any(&OF_REFUSED) {
        let early = dataset.reader().early_refusals(Position::ZERO, scope.at).await?;
        entries.extend(early.into_iter().filter(|entry| entry.run().is_some_and(|run| runs.contains(&run))));
    }
    entries.retain(|entry| entry.position <= scope.at);
    entries.sort_unstable_by_key(|entry| entry.position);
    Ok(entries)
}

/// The runs to begin with where some are gone after by their own entries: of one that is archived in part, what is known.
async fn first_of(dataset: &Dataset, scope: Scope, asked: Asked<'_>) -> Result<Runs, Error> {
    match scope.run {
        Some(run) => first_runs(dataset, Some(run), asked).await,
        // Others are gone after one by one only where nothing is archived.
        None => Ok(asked.no_runs()),
    }
}

/// Which histories were read, in words.
fn histories(runs: &[RunId]) -> String {
    match runs {
        [run] => format!("the history of run {run}"),
        runs => format!("the histories of {} runs", runs.len()),
    }
}

/// Fills what is wanted.
///
/// # Errors
///
/// [`Error::Journal`] if the journal cannot be read, and whatever the destination fails with.
pub(super) async fn load(
    to: &dyn Destination,
    dataset: &Dataset,
    scope: Scope,
    asked: Asked<'_>,
) -> Result<Loaded, Error> {
    let mut loaded = Loaded { narrowed: asked.narrowing.told(), ..Loaded::default() };
    let runs_alone = asked.runs(dataset, scope);
    let records = match Pass::of(asked, to)? {
        Some(pass) => pass.go(dataset, scope, runs_alone.as_deref(), &mut loaded).await?,
        None => None,
    };
    if asked.wanted.names_any(&OF_RUNS) {
        let records = match records {
            Some(records) => records,
            None => runs_of(dataset, scope, (asked, runs_alone.as_deref()), &mut loaded).await?,
        };
        if let Some(mut sink) = Sink::of(runs(), asked, to)? {
            sink.take_all(records.rows())?;
            loaded.tables.push(sink.finish()?);
        }
    }
    if let Some(mut sink) = Sink::of(sessions(), asked, to)? {
        let facts = dataset.reader().facts(Position::ZERO, scope.at).await?;
        let mut rows = sessions_of(&facts);
        for row in &mut rows {
            let Some((opened, _)) = row.opened else { continue };
            let before = Position(opened.0.saturating_sub(1));
            row.entry_before_at = if before == Position::ZERO { None } else { dataset.recorded_at(before).await? };
        }
        loaded.from.push(format!("the {} facts about the journal", facts.len()));
        sink.take_all(&rows)?;
        loaded.tables.push(sink.finish()?);
    }
    Ok(loaded)
}

/// The runs, by the shortest way if no other table needs the entries.
async fn runs_of(
    dataset: &Dataset,
    scope: Scope,
    (asked, runs_alone): (Asked<'_>, Option<&[RunId]>),
    loaded: &mut Loaded,
) -> Result<Runs, Error> {
    if let Some(alone) = runs_alone {
        let entries = entries_of(dataset, scope, alone, asked).await?;
        let mut runs = first_of(dataset, scope, asked).await?;
        entries.iter().for_each(|entry| runs.apply(entry));
        loaded.entries += entries.len() as u64;
        loaded.from.push(histories(alone));
        return Ok(runs);
    }
    let read = asked.wanted.columns("runs");
    let needs_all = read.is_some_and(|read| NOT_SAVED.iter().any(|column| read.contains(*column)));
    let (began_at, mut runs) = if needs_all {
        (dataset.reader().archived(), first_runs(dataset, None, asked).await?)
    } else {
        let saved = dataset.saved(scope.at).await;
        (saved.position(), asked.no_runs().beginning_with(saved.into_records()))
    };
    dataset
        .visit(began_at, scope.at, |entry| {
            runs.apply(&entry);
            true
        })
        .await?;
    loaded.entries += scope.at.0.saturating_sub(began_at.0);
    if began_at > dataset.reader().archived() {
        loaded.from.push(format!("the checkpoint of all runs at position {began_at}"));
    }
    loaded.from.push(format!("the entries from position {} to {}", began_at.next(), scope.at));
    Ok(runs)
}

/// The runs before the first entry that is held: those of archived entries as they were there, else none. When they came
/// into their status is archived.
async fn first_runs(dataset: &Dataset, run: Option<RunId>, asked: Asked<'_>) -> Result<Runs, Error> {
    Ok(asked.no_runs().beginning_with(bases(dataset, run).await?.into_iter()))
}

/// Archived runs, or one of them, as they were where the archive ends.
async fn bases(dataset: &Dataset, run: Option<RunId>) -> Result<Vec<RunRecord>, JournalError> {
    match run {
        Some(run) => Ok(dataset.reader().base(run).await?.into_iter().collect()),
        None => dataset.reader().bases().await,
    }
}

/// One pass over entries that fills all tables that need them.
struct Pass<'d> {
    entries: Option<Sink<'d, Entry>>,
    events: Option<Sink<'d, Entry>>,
    refusals: Option<Sink<'d, Entry>>,
    labels: Option<Sink<'d, Labelled>>,
    attempts: Option<Attempts>,
    snapshots: Option<Snapshots>,
    timers: Option<Timers>,
    runs: Option<Runs>,
    /// What was armed up to here is known out of records.
    archived: Position,
    to: &'d dyn Destination,
    asked: Asked<'d>,
    seen: u64,
}

impl<'d> Pass<'d> {
    /// The pass that a question needs, if it needs one.
    fn of(asked: Asked<'d>, to: &'d dyn Destination) -> Result<Option<Self>, Error> {
        let wanted = asked.wanted;
        if !wanted.names_any(&OF_ENTRIES) && !wanted.names_any(&OF_ALL) {
            return Ok(None);
        }
        Ok(Some(Self {
            entries: Sink::of(entries(), asked, to)?,
            events: Sink::of(events(), asked, to)?,
            refusals: Sink::of(refusals(), asked, to)?,
            labels: Sink::of(labels(), asked, to)?,
            attempts: wanted.columns("attempts").map(|_| Attempts::default()),
            snapshots: wanted.columns("snapshots").map(|_| Snapshots::default()),
            timers: wanted.columns("timers").map(|_| Timers::empty()),
            runs: wanted.names_any(&OF_RUNS).then(|| asked.no_runs()),
            archived: Position::ZERO,
            to,
            asked,
            seen: 0,
        }))
    }

    /// Whether a table needs the entries before those that are asked for.
    fn needs_all(&self) -> bool {
        let of_entries = self.labels.is_some() || self.attempts.is_some() || self.snapshots.is_some();
        of_entries || self.timers.is_some() || self.runs.is_some()
    }

    async fn go(
        mut self,
        dataset: &Dataset,
        scope: Scope,
        runs_alone: Option<&[RunId]>,
        loaded: &mut Loaded,
    ) -> Result<Option<Runs>, Error> {
        let archived = dataset.reader().archived();
        let (begin, end) = if self.needs_all() { (archived, scope.at) } else { self.stretch(dataset, scope).await? };
        if let Some(runs) = &mut self.runs {
            *runs = if runs_alone.is_some() {
                first_of(dataset, scope, self.asked).await?
            } else {
                first_runs(dataset, scope.run, self.asked).await?
            };
        }
        self.begin(dataset, scope).await?;
        if let Some(runs) = runs_alone {
            let entries = entries_of(dataset, scope, runs, self.asked).await?;
            let mut within = entries.iter().filter(|entry| entry.position > begin && entry.position <= end);
            within.try_for_each(|entry| self.take(entry, scope))?;
            loaded.from.push(histories(runs));
        } else {
            let mut failed = None;
            dataset
                .visit(begin, end, |entry| {
                    failed = self.take(&entry, scope).err();
                    failed.is_none()
                })
                .await?;
            failed.map_or(Ok(()), Err)?;
            loaded.from.push(match begin < end {
                true => format!("the entries from position {} to {end}", begin.next()),
                false => "no entry".to_owned(),
            });
        }
        self.finish(loaded)
    }

    /// Begins with what is known of runs where the archive ends.
    async fn begin(&mut self, dataset: &Dataset, scope: Scope) -> Result<(), Error> {
        if !self.asked.wanted.names_any(&OF_ALL) {
            return Ok(());
        }
        let bases = bases(dataset, scope.run).await?;
        for base in &bases {
            if let Some(sink) = &mut self.labels {
                sink.take(&Labelled::of(base))?;
            }
            self.attempts.iter_mut().for_each(|fold| fold.begin(base));
            self.snapshots.iter_mut().for_each(|fold| fold.begin(base));
        }
        self.archived = dataset.reader().archived();
        if let Some(timers) = &mut self.timers {
            *timers = begun(self.archived, &bases);
        }
        Ok(())
    }

    /// The position before the first entry whose rows matter, and that of the last one.
    async fn stretch(&self, dataset: &Dataset, scope: Scope) -> Result<(Position, Position), Error> {
        let stretch = self.asked.narrowing.stretch(&self.asked.named(&OF_ENTRIES));
        let (mut after, mut end) = stretch.between();
        if let Some(first) = stretch.times.0 {
            after = after.max(dataset.before(Timestamp::from_micros(first))?);
        }
        if let Some(last) = stretch.times.1 {
            end = end.min(match dataset.position_at(Timestamp::from_micros(last), scope.at).await {
                // All that is held was recorded later.
                Err(JournalError::Archived { .. }) => dataset.reader().archived(),
                position => position?,
            });
        }
        Ok((after.max(scope.after).max(dataset.reader().archived()), end.min(scope.at)))
    }

    fn take(&mut self, entry: &Entry, scope: Scope) -> Result<(), Error> {
        self.seen += 1;
        if entry.position > scope.after {
            for sink in [&mut self.entries, &mut self.events, &mut self.refusals].into_iter().flatten() {
                sink.take(entry)?;
            }
        }
        if let Some((sink, labelled)) = self.labels.as_mut().zip(Labelled::by(entry)) {
            sink.take(&labelled)?;
        }
        self.attempts.iter_mut().for_each(|fold| fold.apply(entry));
        self.snapshots.iter_mut().for_each(|fold| fold.apply(entry));
        self.timers.iter_mut().for_each(|fold| fold.apply(entry));
        self.runs.iter_mut().for_each(|fold| fold.apply(entry));
        Ok(())
    }

    fn finish(self, loaded: &mut Loaded) -> Result<Option<Runs>, Error> {
        loaded.entries += self.seen;
        for sink in [self.entries, self.events, self.refusals].into_iter().flatten() {
            loaded.tables.push(sink.finish()?);
        }
        self.labels.map(Sink::finish).transpose()?.into_iter().for_each(|table| loaded.tables.push(table));
        if let Some((fold, mut sink)) = self.attempts.zip(Sink::of(attempts(), self.asked, self.to)?) {
            sink.take_all(fold.rows())?;
            loaded.tables.push(sink.finish()?);
        }
        if let Some((fold, mut sink)) = self.snapshots.zip(Sink::of(snapshots(), self.asked, self.to)?) {
            sink.take_all(fold.rows())?;
            loaded.tables.push(sink.finish()?);
        }
        if let Some((fold, mut sink)) = self.timers.zip(Sink::of(timers(), self.asked, self.to)?) {
            let mut armed: Vec<TimerRow> = rows(&fold, self.archived).collect();
            armed.sort_by_key(|timer| (timer.due, timer.key));
            sink.take_all(&armed)?;
            loaded.tables.push(sink.finish()?);
        }
        Ok(self.runs)
    }
}
