//! Tables that stay filled, and are brought up to date before each question.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, ErrorCode};
use tachograph_engine::domain::{EntryBody, Position, RunId};

use super::answer::{Answer, Desk, Next, ask, only_fill, only_read, plan, private};
use super::destination::Database;
use super::interrupt::Interrupt;
use super::loading::{Asked, Loaded, OF_ENTRIES, Scope, load};
use super::named::NAMED;
use super::parameter::Parameter;
use super::problem::{database, failed, file_lost, interrupted, is_of_file};
use super::wanted::{Wanted, ours};
use crate::dataset::Dataset;
use crate::error::Error;

/// Tables whose rows follow from the entries of their run alone.
const OF_RUN: [&str; 5] = ["runs", "attempts", "snapshots", "timers", "labels"];
/// Runs whose rows are made anew out of their own entries; for more of them, all rows are.
const RUNS_MAX: usize = 1_024;

/// A database that lasts: for a sitting, or in a file.
///
/// It holds the columns that were read so far of the tables that were named so far. What the journal has more since then is
/// added: rows of entries at the end, and those of the runs that they are about in place of what they were.
pub(super) struct Kept {
    connection: Connection,
    filled: Wanted,
    reached: Position,
    /// Up to where the journal was archived by then.
    archived: Position,
    interrupt: Interrupt,
    /// Whether they outlive the process.
    lasts: bool,
    /// Whether the database failed, so that nothing is known of it any more.
    is_broken: Cell<bool>,
}

/// What tables hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reach {
    /// The columns that are filled.
    pub(super) filled: Wanted,
    /// The last position whose entry is in them.
    pub(super) reached: Position,
    /// Up to where the journal was archived by then.
    pub(super) archived: Position,
}

/// What the questions with a name read, all together.
fn of_all_named() -> Result<Wanted, Error> {
    let mut all = Wanted::default();
    for query in NAMED {
        let desk = Desk::of(query.sql)?;
        desk.wanted().tables().for_each(|table| all.add(table, desk.wanted(), None));
    }
    Ok(all)
}

impl Kept {
    /// Empty tables, which are gone with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the private database cannot be made.
    pub(super) fn empty(interrupt: Interrupt) -> Result<Self, Error> {
        let connection = private().map_err(|error| database(&error))?;
        Ok(Self { lasts: false, ..Self::lasting(connection, Reach::default(), interrupt)? })
    }

    /// Tables that outlive the process, filled so far.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the database is used elsewhere at the moment.
    pub(super) fn lasting(mut connection: Connection, reach: Reach, interrupt: Interrupt) -> Result<Self, Error> {
        interrupt.watches(&mut connection)?;
        only_read(&mut connection)?;
        let Reach { filled, reached, archived } = reach;
        Ok(Self { connection, filled, reached, archived, interrupt, lasts: true, is_broken: Cell::new(false) })
    }

    /// What is in them.
    pub(super) fn reach(&self) -> Reach {
        Reach { filled: self.filled.clone(), reached: self.reached, archived: self.archived }
    }

    /// Whether all that a question reads is here, but for what is new.
    pub(super) fn covers(&self, wanted: &Wanted) -> bool {
        wanted.tables().all(|table| self.filled.covers(table, wanted))
    }

    /// Whether nothing has to be done for a question before it is asked.
    pub(super) fn is_ready(&self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> bool {
        self.reached == scope.at && self.archived == dataset.reader().archived() && self.covers(wanted)
    }

    /// Whether what is here can be gone on with.
    pub(super) fn continues(&self, dataset: &Dataset, scope: Scope) -> bool {
        self.reached <= scope.at && self.archived == dataset.reader().archived()
    }

    /// Whether the database failed.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// The error for what failed in the database.
    fn failed(&self, error: &rusqlite::Error) -> Error {
        let is_given_up = error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        self.is_broken.set(self.is_broken.get() || !is_given_up);
        database(error)
    }

    /// Brings private tables up to date, and fills what the question reads and is not here.
    ///
    /// If entries are archived meanwhile, as the reader then tells, all tables are empty again, and it is to be done once more.
    ///
    /// # Errors
    ///
    /// As [`Desk::fill`]; then all tables are empty again.
    pub(super) async fn bring_up(&mut self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> Result<Loaded, Error> {
        if !self.continues(dataset, scope) {
            *self = Self::empty(self.interrupt.clone())?;
            self.archived = dataset.reader().archived();
        }
        let archived = self.archived;
        let brought = self.bring(dataset, scope, wanted).await;
        if brought.is_err() || archived != dataset.reader().archived() {
            *self = Self::empty(self.interrupt.clone())?;
        }
        brought
    }

    /// Brings tables up to date that can be gone on with, in one transaction. Where entries are archived meanwhile, or
    /// damage is met, nothing of what they hold counts.
    ///
    /// # Errors
    ///
    /// As [`Desk::fill`]. Unless the database is broken, the transaction was taken back, as far as the database keeps what
    /// that needs.
    pub(super) async fn bring(&mut self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> Result<Loaded, Error> {
        if self.is_ready(dataset, scope, wanted) {
            return Ok(Loaded::default());
        }
        only_fill(&mut self.connection).map_err(|error| self.failed(&error))?;
        self.run("BEGIN")?;
        let brought = self.brought_up(dataset, scope, wanted).await;
        // Where it is given up, reading ends early.
        let brought = if self.interrupt.is_asked() { Err(interrupted()) } else { brought };
        match brought {
            Ok((filled, loaded)) => {
                self.run("COMMIT")?;
                (self.filled, self.reached) = (filled, scope.at);
                only_read(&mut self.connection)?;
                Ok(loaded)
            }
            Err(error) => {
                // SQLite may have done that already. Where it fails, that is noted.
                let _ = if self.connection.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") };
                only_read(&mut self.connection)?;
                Err(error)
            }
        }
    }

    async fn brought_up(&self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> Result<(Wanted, Loaded), Error> {
        let mut filled = self.filled.clone();
        let mut stale = BTreeSet::new();
        let mut since = Loaded::default();
        if self.reached < scope.at && !self.filled.is_empty() {
            stale = self.add_since(dataset, scope).await?;
            since.entries = scope.at.0 - self.reached.0;
            since.from.push(format!("what is new from position {} to {}", self.reached.next(), scope.at));
        }
        stale.extend(wanted.tables().filter(|table| !filled.covers(table, wanted)).map(str::to_owned));
        for table in wanted.tables() {
            // Once more, and then not for the next question with a name.
            if self.lasts && stale.contains(table) && filled.columns(table).is_some() {
                filled.add(table, &of_all_named()?, None);
            }
            filled.add(table, wanted, OF_RUN.contains(&table).then_some("run"));
        }
        let stale: Vec<&str> = stale.iter().filter_map(|table| ours(table)).collect();
        for table in &stale {
            self.run(&format!("DELETE FROM {table}"))?;
        }
        let mut loaded = self.load(dataset, scope, &filled.of(&stale), None).await?;
        loaded.entries += since.entries;
        loaded.from.splice(..0, since.from);
        Ok((filled, loaded))
    }

    /// Adds what the journal has more than before; returns the tables that must be made anew.
    async fn add_since(&self, dataset: &Dataset, scope: Scope) -> Result<BTreeSet<String>, Error> {
        let (mut runs, mut has_fact) = (BTreeSet::new(), false);
        dataset
            .visit(self.reached, scope.at, |entry| {
                has_fact |= matches!(entry.body, EntryBody::System(_));
                runs.extend(entry.run());
                runs.len() <= RUNS_MAX
            })
            .await?;
        let since = Scope { after: scope.after.max(self.reached), ..scope };
        self.load(dataset, since, &self.filled.of(&OF_ENTRIES), None).await?;
        // Beside what is missing or archived, back pointers do not lead to all that is there.
        let is_whole = self.archived == Position::ZERO && !dataset.held().is_part() && dataset.damage().is_none();
        let are_many = runs.len() > RUNS_MAX || !is_whole;
        let mut stale = BTreeSet::new();
        if are_many {
            stale.extend(self.filled.of(&OF_RUN).tables().map(str::to_owned));
        } else {
            let runs: Vec<RunId> = runs.into_iter().collect();
            let texts: Vec<String> = runs.iter().map(|run| format!("'{run}'")).collect();
            for table in self.filled.of(&OF_RUN).tables() {
                self.run(&format!("DELETE FROM {table} WHERE run IN ({})", texts.join(", ")))?;
            }
            self.load(dataset, scope, &self.filled.of(&OF_RUN), Some(&runs)).await?;
        }
        if has_fact || are_many {
            stale.extend(self.filled.of(&["sessions"]).tables().map(str::to_owned));
        }
        Ok(stale)
    }

    fn run(&self, sql: &str) -> Result<(), Error> {
        self.connection.execute(sql, []).map(drop).map_err(|error| self.failed(&error))
    }

    async fn load(
        &self,
        dataset: &Dataset,
        scope: Scope,
        wanted: &Wanted,
        alone: Option<&[RunId]>,
    ) -> Result<Loaded, Error> {
        let to = Database { connection: &self.connection, failed: &|error| self.failed(error) };
        load(&to, dataset, scope, Asked { alone, ..Asked::whole(wanted) }).await
    }

    /// How many rows are in each table that is filled.
    pub(super) fn rows(&self) -> BTreeMap<String, i64> {
        let count = |table: &str| {
            let counted = self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
            counted.unwrap_or_default()
        };
        self.filled.tables().map(|table| (table.to_owned(), count(table))).collect()
    }

    /// Answers a question that is covered.
    ///
    /// # Errors
    ///
    /// As [`Desk::ask`].
    pub(super) fn ask(
        &self,
        desk: &Desk,
        parameters: (&[Parameter], &[Parameter]),
        answer: impl FnOnce(&[String], Next<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        ask(&self.connection, desk.sql(), parameters, &failed, answer)
    }

    /// The same out of a file, which may turn out not to be readable: then nothing was answered, unless rows were told before.
    ///
    /// # Errors
    ///
    /// As [`Desk::ask`].
    pub(super) fn ask_file(
        &self,
        desk: &Desk,
        parameters: (&[Parameter], &[Parameter]),
        answer: &mut Answer<'_>,
    ) -> Result<bool, Error> {
        let mut has_begun = false;
        let told = |error: &rusqlite::Error| {
            self.is_broken.set(self.is_broken.get() || is_of_file(error));
            if is_of_file(error) { file_lost(error) } else { failed(error) }
        };
        let asked = ask(&self.connection, desk.sql(), parameters, &told, |names, next| {
            let mut first = Some(next()?);
            has_begun = true;
            answer(names, &mut || first.take().map_or_else(&mut *next, Ok))
        });
        if self.is_broken() && !has_begun { Ok(false) } else { asked.map(|()| true) }
    }

    /// How SQLite goes about a question.
    ///
    /// # Errors
    ///
    /// As [`Desk::plan`].
    pub(super) fn plan(&self, desk: &Desk) -> Result<Vec<String>, Error> {
        plan(&self.connection, desk.sql())
    }
}
