//! Fills the tables that a question names, and of those the columns that it reads.

use rusqlite::types::Value;
use tachograph_engine::domain::{ArmedTimer, Entry, Position, RunId};
use tachograph_projections::{Projection, Timers};

use super::attempt_table::{Attempts, attempts};
use super::column::{Column, Table};
use super::destination::{Destination, RowWriter};
use super::entry_table::{entries, refusals};
use super::event_table::events;
use super::run_table::{NOT_SAVED, Runs, labels, runs};
use super::session_table::{sessions, sessions_of};
use super::snapshot_table::{Snapshots, snapshots};
use super::timer_table::timers;
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
    writer: Box<dyn RowWriter + 'd>,
    /// The values of the row at hand; kept for its room.
    row: Vec<Value>,
    rows: u64,
}

impl<'d, S> Sink<'d, S> {
    /// The sink of a table, if it is wanted.
    fn of(mut table: Table<S>, wanted: &Wanted, to: &'d dyn Destination) -> Result<Option<Self>, Error> {
        let Some(read) = wanted.columns(table.name) else { return Ok(None) };
        let columns_of = table.columns.len();
        table.columns.retain(|column| read.contains(column.name));
        let writer = to.begin(&table.described())?;
        let Table { name, rows: rows_of, columns, .. } = table;
        Ok(Some(Self { name, rows_of, columns, columns_of, writer, row: Vec::new(), rows: 0 }))
    }

    /// Adds the rows of one source.
    fn take(&mut self, source: &S) -> Result<(), Error> {
        for row in 0..(self.rows_of)(source) {
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
const OF_ENTRIES: [&str; 3] = ["entries", "events", "refusals"];
/// Tables that are made or folded out of all entries.
const OF_ALL: [&str; 4] = ["attempts", "snapshots", "timers", "labels"];
/// The one that is folded out of all entries, and for which there are checkpoints.
const OF_RUNS: [&str; 1] = ["runs"];

/// Fills what is wanted.
///
/// # Errors
///
/// [`Error::Journal`] if the journal cannot be read, and whatever the destination fails with.
pub(super) async fn load(
    to: &dyn Destination,
    dataset: &Dataset,
    scope: Scope,
    wanted: &Wanted,
) -> Result<Loaded, Error> {
    let mut loaded = Loaded::default();
    let pass = Pass::of(wanted, to)?;
    let records = match pass {
        Some(pass) => pass.go(dataset, scope, wanted, &mut loaded).await?,
        None => None,
    };
    if wanted.names_any(&OF_RUNS) {
        let records = match records {
            Some(records) => records,
            None => runs_of(dataset, scope, wanted, &mut loaded).await?,
        };
        if let Some(mut sink) = Sink::of(runs(), wanted, to)? {
            sink.take_all(records.rows())?;
            loaded.tables.push(sink.finish()?);
        }
    }
    if let Some(mut sink) = Sink::of(sessions(), wanted, to)? {
        let facts = dataset.reader().facts(Position::ZERO, scope.at).await?;
        let mut rows = sessions_of(&facts);
        for row in &mut rows {
            let before = Position(row.opened.0.0.saturating_sub(1));
            row.entry_before_at = if before == Position::ZERO { None } else { dataset.recorded_at(before).await? };
        }
        loaded.from.push(format!("the {} facts about the journal", facts.len()));
        sink.take_all(&rows)?;
        loaded.tables.push(sink.finish()?);
    }
    Ok(loaded)
}

/// The runs, by the shortest way if no other table needs the entries.
async fn runs_of(dataset: &Dataset, scope: Scope, wanted: &Wanted, loaded: &mut Loaded) -> Result<Runs, Error> {
    if let Some(run) = scope.run {
        let history = dataset.reader().history(run).await?;
        let mut runs = first_runs(dataset, Some(run)).await?;
        history.iter().take_while(|entry| entry.position <= scope.at).for_each(|entry| runs.apply(entry));
        loaded.entries += history.len() as u64;
        loaded.from.push(format!("the history of run {run}"));
        return Ok(runs);
    }
    let needs_all = wanted.columns("runs").is_some_and(|read| NOT_SAVED.iter().any(|column| read.contains(*column)));
    let (began_at, mut runs) = if needs_all {
        (dataset.reader().archived(), first_runs(dataset, None).await?)
    } else {
        let saved = dataset.saved(scope.at).await;
        (saved.position(), Runs::saved(saved.into_records()))
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
async fn first_runs(dataset: &Dataset, run: Option<RunId>) -> Result<Runs, Error> {
    let reader = dataset.reader();
    Ok(match run {
        Some(run) => Runs::saved(reader.base(run).await?.into_iter()),
        None => Runs::saved(reader.bases().await?.into_iter()),
    })
}

/// One pass over entries that fills all tables that need them.
struct Pass<'d> {
    entries: Option<Sink<'d, Entry>>,
    events: Option<Sink<'d, Entry>>,
    refusals: Option<Sink<'d, Entry>>,
    labels: Option<Sink<'d, Entry>>,
    attempts: Option<Attempts>,
    snapshots: Option<Snapshots>,
    timers: Option<Timers>,
    runs: Option<Runs>,
    to: &'d dyn Destination,
    seen: u64,
}

impl<'d> Pass<'d> {
    /// The pass that a question needs, if it needs one.
    fn of(wanted: &Wanted, to: &'d dyn Destination) -> Result<Option<Self>, Error> {
        if !wanted.names_any(&OF_ENTRIES) && !wanted.names_any(&OF_ALL) {
            return Ok(None);
        }
        Ok(Some(Self {
            entries: Sink::of(entries(), wanted, to)?,
            events: Sink::of(events(), wanted, to)?,
            refusals: Sink::of(refusals(), wanted, to)?,
            labels: Sink::of(labels(), wanted, to)?,
            attempts: wanted.columns("attempts").map(|_| Attempts::default()),
            snapshots: wanted.columns("snapshots").map(|_| Snapshots::default()),
            timers: wanted.columns("timers").map(|_| Timers::empty()),
            runs: wanted.names_any(&OF_RUNS).then(Runs::default),
            to,
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
        wanted: &Wanted,
        loaded: &mut Loaded,
    ) -> Result<Option<Runs>, Error> {
        let begin = if self.needs_all() { dataset.reader().archived() } else { scope.after };
        if let Some(runs) = &mut self.runs {
            *runs = first_runs(dataset, scope.run).await?;
        }
        if let Some(run) = scope.run {
            let history = dataset.reader().history(run).await?;
            let within = history.iter().filter(|entry| entry.position > begin && entry.position <= scope.at);
            within.into_iter().try_for_each(|entry| self.take(entry, scope))?;
            loaded.from.push(format!("the history of run {run}"));
        } else {
            let mut failed = None;
            dataset
                .visit(begin, scope.at, |entry| {
                    failed = self.take(&entry, scope).err();
                    failed.is_none()
                })
                .await?;
            failed.map_or(Ok(()), Err)?;
            loaded.from.push(format!("the entries from position {} to {}", begin.next(), scope.at));
        }
        self.finish(wanted, loaded)
    }

    fn take(&mut self, entry: &Entry, scope: Scope) -> Result<(), Error> {
        self.seen += 1;
        if entry.position > scope.after {
            for sink in [&mut self.entries, &mut self.events, &mut self.refusals].into_iter().flatten() {
                sink.take(entry)?;
            }
        }
        if let Some(sink) = &mut self.labels {
            sink.take(entry)?;
        }
        self.attempts.iter_mut().for_each(|fold| fold.apply(entry));
        self.snapshots.iter_mut().for_each(|fold| fold.apply(entry));
        self.timers.iter_mut().for_each(|fold| fold.apply(entry));
        self.runs.iter_mut().for_each(|fold| fold.apply(entry));
        Ok(())
    }

    fn finish(self, wanted: &Wanted, loaded: &mut Loaded) -> Result<Option<Runs>, Error> {
        loaded.entries += self.seen;
        for sink in [self.entries, self.events, self.refusals, self.labels].into_iter().flatten() {
            loaded.tables.push(sink.finish()?);
        }
        if let Some((fold, mut sink)) = self.attempts.zip(Sink::of(attempts(), wanted, self.to)?) {
            sink.take_all(fold.rows())?;
            loaded.tables.push(sink.finish()?);
        }
        if let Some((fold, mut sink)) = self.snapshots.zip(Sink::of(snapshots(), wanted, self.to)?) {
            sink.take_all(fold.rows())?;
            loaded.tables.push(sink.finish()?);
        }
        if let Some((fold, mut sink)) = self.timers.zip(Sink::of(timers(), wanted, self.to)?) {
            let mut armed: Vec<&ArmedTimer> = fold.armed();
            armed.sort_by_key(|timer| (timer.due, timer.key));
            sink.take_all(armed)?;
            loaded.tables.push(sink.finish()?);
        }
        Ok(self.runs)
    }
}
