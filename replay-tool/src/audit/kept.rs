//! Tables that stay filled between the questions of one sitting, and are brought up to date before each.

use std::collections::BTreeSet;

use rusqlite::Connection;
use tachograph_engine::domain::{EntryBody, Position, RunId};

use super::answer::{Desk, Next, ask, only_fill, only_read, private};
use super::destination::Database;
use super::interrupt::Interrupt;
use super::loading::{Asked, Loaded, OF_ENTRIES, Scope, load};
use super::parameter::Parameter;
use super::problem::{database, interrupted};
use super::wanted::{Wanted, ours};
use crate::dataset::Dataset;
use crate::error::Error;

/// Tables whose rows follow from the entries of their run alone.
const OF_RUN: [&str; 5] = ["runs", "attempts", "snapshots", "timers", "labels"];
/// Runs whose rows are made anew out of their own entries; for more of them, all rows are.
const RUNS_MAX: usize = 1_024;

/// A private database that lasts.
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
}

impl Kept {
    /// Empty tables.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the private database cannot be made.
    pub(super) fn empty(interrupt: Interrupt) -> Result<Self, Error> {
        let mut connection = private().map_err(|error| database(&error))?;
        interrupt.watches(&mut connection)?;
        let (reached, archived) = (Position::ZERO, Position::ZERO);
        Ok(Self { connection, filled: Wanted::default(), reached, archived, interrupt })
    }

    fn empties(&mut self) -> Result<(), Error> {
        *self = Self::empty(self.interrupt.clone())?;
        Ok(())
    }

    /// Whether all that a question reads is here, but for what is new.
    pub(super) fn covers(&self, wanted: &Wanted) -> bool {
        wanted.tables().all(|table| self.filled.covers(table, wanted))
    }

    /// Brings the tables up to date, and fills what the question reads and is not here.
    ///
    /// If entries are archived meanwhile, as the reader then tells, all tables are empty again, and it is to be done once more.
    ///
    /// # Errors
    ///
    /// As [`Desk::fill`]; then all tables are empty again.
    pub(super) async fn bring_up(&mut self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> Result<Loaded, Error> {
        let archived = dataset.reader().archived();
        if scope.at < self.reached || archived != self.archived {
            self.empties()?;
            self.archived = archived;
        }
        only_fill(&mut self.connection).map_err(|error| database(&error))?;
        let brought = self.brought_up(dataset, scope, wanted).await;
        // Where it is given up, reading ends early, and so it does not where entries were archived meanwhile.
        let is_whole = !self.interrupt.is_asked() && dataset.reader().archived() == archived;
        match brought {
            Ok((filled, loaded)) if is_whole => {
                (self.filled, self.reached) = (filled, scope.at);
                only_read(&mut self.connection)?;
                Ok(loaded)
            }
            brought => {
                self.empties()?;
                if self.interrupt.is_asked() { Err(interrupted()) } else { brought.map(|(_, loaded)| loaded) }
            }
        }
    }

    async fn brought_up(&self, dataset: &Dataset, scope: Scope, wanted: &Wanted) -> Result<(Wanted, Loaded), Error> {
        let mut filled = self.filled.clone();
        let mut stale = BTreeSet::new();
        if self.reached < scope.at {
            stale = self.add_since(dataset, scope).await?;
        }
        stale.extend(wanted.tables().filter(|table| !filled.covers(table, wanted)).map(str::to_owned));
        for table in wanted.tables() {
            filled.add(table, wanted, OF_RUN.contains(&table).then_some("run"));
        }
        let stale: Vec<&str> = stale.iter().filter_map(|table| ours(table)).collect();
        for table in &stale {
            self.run(&format!("DELETE FROM {table}"))?;
        }
        let loaded = self.load(dataset, scope, &filled.of(&stale), None).await?;
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
        self.connection.execute(sql, []).map(drop).map_err(|error| database(&error))
    }

    async fn load(
        &self,
        dataset: &Dataset,
        scope: Scope,
        wanted: &Wanted,
        alone: Option<&[RunId]>,
    ) -> Result<Loaded, Error> {
        self.run("BEGIN")?;
        let to = Database { connection: &self.connection, failed: &database };
        let loaded = load(&to, dataset, scope, Asked { alone, ..Asked::whole(wanted) }).await?;
        self.run("COMMIT")?;
        Ok(loaded)
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
        ask(&self.connection, desk.sql(), parameters, answer)
    }
}
