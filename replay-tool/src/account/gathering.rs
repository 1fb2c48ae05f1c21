//! The entries of an account out of a journal.

use std::collections::BTreeMap;

use tachograph_engine::domain::{Entry, EntryBody, Position, RunId, RunRecord, SystemFact, Timestamp};
use tachograph_engine::ports::JournalError;

use super::sentence::Account;
use super::telling::Scope;
use crate::dataset::{Border, Dataset};
use crate::error::Error;
use crate::machine::Machine;
use crate::when::AsOf;

/// What is asked about a run.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As of which time or position; the end if absent.
    pub at: Option<AsOf>,
    /// What 'now' is.
    pub now: Timestamp,
    /// How long nothing must be recorded to count as silence, in milliseconds.
    pub silence_ms: u64,
    /// Where it is asked whether the last writer still lives, if at all.
    pub machine: Option<Machine>,
}

/// A run's own entries up to a position.
struct Own {
    run: RunId,
    entries: Vec<Entry>,
    /// Whether the run has a history, so that its entries point to each other.
    has_history: bool,
    /// Where it begins, if what was before is archived.
    border: Option<Border>,
}

impl Own {
    /// The run where the archived part ends.
    fn base(&self) -> Option<&RunRecord> {
        self.border.as_ref().map(|border| &border.base)
    }
}

impl Dataset {
    /// The account of the run that is meant. For the full id of a run that was never created, what was refused about it.
    ///
    /// Of a run that was created only its own entries are read, by way of their back pointers, and of the entries between
    /// its first and its last, or the end if it has not ended, the facts about the journal.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve); [`Error::NotYet`] if it was created later than asked.
    pub async fn account(&self, text: &str, asked: &Asked) -> Result<Account, Error> {
        let at = self.position(asked.at, asked.now).await?;
        let own = self.own_entries(text, asked, at).await?;
        let record = own.entries.iter().fold(own.base().cloned(), RunRecord::fold);
        let is_open = record.as_ref().is_some_and(|record| !record.run.is_ended());
        let (facts, facts_unread) = match self.facts_about(&own, record.as_ref(), at).await {
            Ok(facts) => (facts, false),
            // Damage elsewhere must not hide what the run's own entries say.
            Err(JournalError::Damaged { .. }) => (Vec::new(), true),
            Err(error) => return Err(error.into()),
        };
        let until = match asked.at {
            Some(_) => self.recorded_at(at).await?.unwrap_or(asked.now),
            None => asked.now,
        };
        let machine = asked.machine.as_ref().filter(|_| is_open && asked.at.is_none());
        let writer = match machine {
            Some(machine) => self.last_writer().await?.map(|writer| {
                let state = machine.state_of(&writer);
                (writer, state)
            }),
            None => None,
        };
        let as_of = asked.at.map(|_| at);
        let border = own.border.clone();
        let scope = Scope { as_of, until, silence_ms: asked.silence_ms, writer, facts_unread, border };
        let run = own.run;
        let entries = in_order(own.entries.into_iter().chain(facts));
        Ok(Account::of(run, &entries, &scope))
    }

    async fn own_entries(&self, text: &str, asked: &Asked, at: Position) -> Result<Own, Error> {
        let run = match (self.resolve(text, asked.at.map(|_| at)).await, text.parse()) {
            (Ok(run), _) | (Err(Error::UnknownRun { .. }), Ok(run)) => run,
            (Err(error), _) => return Err(error),
        };
        let history = self.own(run).await?;
        let has_history = !history.is_empty();
        let mut entries: Vec<Entry> = history.into_iter().filter(|entry| entry.position <= at).collect();
        if !has_history {
            self.visit(Position::ZERO, at, |entry| {
                if entry.run() == Some(run) {
                    entries.push(entry);
                }
                true
            })
            .await?;
        }
        if entries.is_empty() {
            // It says whether there is none at all, or only none by then.
            self.record(run, at).await?;
        }
        let border = self.border(run).await?;
        match border.as_ref().filter(|_| entries.is_empty()) {
            Some(border) => Err(self.archived(border.base.last)),
            None => Ok(Own { run, entries, has_history, border }),
        }
    }

    /// The facts that fall within a run's life, each opening with the entry before it.
    async fn facts_about(
        &self,
        own: &Own,
        record: Option<&RunRecord>,
        at: Position,
    ) -> Result<Vec<Entry>, JournalError> {
        let Some(first) = own.entries.first().map(|first| first.position) else { return Ok(Vec::new()) };
        let last = own.entries.last().map_or(first, |last| last.position);
        let is_over = record.is_some_and(|record| record.run.is_ended()) || !own.has_history;
        let up_to = if is_over { last } else { at };
        // Where its own entries are archived, it is not known after which fact the first entry that stays came.
        let archived = self.reader().archived();
        let since = if own.border.is_some() { archived } else { first };
        let mut entries = self.reader().facts(since, up_to).await?;
        let closed = |entry: &Entry| matches!(entry.body, EntryBody::System(SystemFact::Closed(_)));
        let mut before = Vec::new();
        let mut known: Option<Position> = None;
        for entry in &entries {
            let opens = matches!(entry.body, EntryBody::System(SystemFact::Opened(_)));
            let neighbour = Position(entry.position.0.saturating_sub(1));
            if opens && known != Some(neighbour) && neighbour > archived {
                before.extend(self.reader().entry(neighbour).await?);
            }
            known = closed(entry).then_some(entry.position);
        }
        entries.append(&mut before);
        Ok(entries)
    }
}

/// Each entry once, in the order of positions.
fn in_order(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let by_position: BTreeMap<Position, Entry> = entries.into_iter().map(|entry| (entry.position, entry)).collect();
    by_position.into_values().collect()
}
