//! Goes through a journal and fills the model of a page.

use std::collections::HashMap;

use tachograph_adapters::bundle::{BundleReader, Chain};
use tachograph_engine::domain::{
    ActionName, Actor, AttemptId, Command, CommandId, Committed, Entry, EntryBody, Event, ExitStatus, Position,
    Refused, RefusedCommand, ResourceLimits, RunId, RunRecord, RunSpec, SnapshotId, SystemFact, Timestamp,
};

use super::model::{Before, Body, Detail, EVENTS, Entries, Happened, Page, Range, Runs, Source, Tone, status_number};
use super::tables::{Ids, Strings, Text};
use crate::dataset::{Current, Dataset};
use crate::error::Error;
use crate::machine::{LastWriter, Machine, WriterState};
use crate::show::diagnostics;
use crate::when::AsOf;
use crate::words;

/// Entries that a page shows unless more are asked for: with them it is some 25 MB, and opens in seconds.
pub const ENTRIES_MAX: usize = 200_000;

/// Which part of the history a page shall show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Only this run: its id, the beginning of one, or its name.
    pub run: Option<String>,
    /// From this position or time on, itself included.
    pub from: Option<AsOf>,
    /// Up to this position or time, itself included.
    pub to: Option<AsOf>,
    /// At most so many entries, the last ones.
    pub entries_max: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { run: None, from: None, to: None, entries_max: ENTRIES_MAX }
    }
}

/// Which entries those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    after: Position,
    up_to: Position,
    run: Option<RunId>,
    left_out: u64,
}

/// What a page shows of a journal.
///
/// # Errors
///
/// [`Error::Input`] for a range that ends before it begins, [`Error::UnknownRun`] or [`Error::AmbiguousRun`] for a run, and
/// [`Error::Journal`] if the journal cannot be read.
pub async fn gather(dataset: &Dataset, asked: &Asked, now: Timestamp, machine: &Machine) -> Result<Page, Error> {
    let stretch = stretch(dataset, asked, now).await?;
    let before = dataset.current(stretch.after).await?;
    let mut gatherer = Gatherer::beginning_at(stretch, before);
    dataset
        .visit(stretch.after, stretch.up_to, |entry| {
            if entry.run().is_none() || stretch.run.is_none() || entry.run() == stretch.run {
                gatherer.take(&entry);
            }
            true
        })
        .await?;
    let head = dataset.reader().head();
    let live = if stretch.up_to == head.position { is_live(dataset, machine).await? } else { false };
    let source = Source {
        data: crate::table::printable(&dataset.data().display().to_string()),
        head: head.position.0,
        digest: head.digest.to_string(),
        has_own_chain: has_own_chain(dataset)?,
        made_at: now.as_micros(),
        version: env!("CARGO_PKG_VERSION"),
        held: dataset.held().note(),
        damage: dataset.damage().map(|damage| crate::table::printable(&Error::from(damage).to_string())),
    };
    Ok(gatherer.finish(source, now, live))
}

fn has_own_chain(dataset: &Dataset) -> Result<bool, Error> {
    Ok(dataset.data().is_file() && BundleReader::open(dataset.data())?.manifest().chain == Chain::Own)
}

async fn is_live(dataset: &Dataset, machine: &Machine) -> Result<bool, Error> {
    let writer = dataset.last_writer().await?;
    Ok(writer.is_some_and(|writer| machine.state_of(&writer) == WriterState::Alive))
}

async fn stretch(dataset: &Dataset, asked: &Asked, now: Timestamp) -> Result<Stretch, Error> {
    let up_to = dataset.position(asked.to, now).await?;
    let after = match asked.from {
        None => Position::ZERO,
        Some(AsOf::Position(from)) => Position(from.0.saturating_sub(1)),
        // A time that is named belongs to the range: what was recorded just then, too.
        Some(AsOf::Time(from)) => {
            let before = Timestamp::from_micros(from.resolve(now).as_micros().saturating_sub(1));
            dataset.position_at(before, dataset.reader().head().position).await?
        }
    };
    // Before that nothing is held that a page could begin with.
    let after = after.max(dataset.held().before());
    let head = dataset.reader().head().position;
    if after > up_to && up_to < head {
        let message = format!("--from is position {}, and --to is position {up_to}", after.0.saturating_add(1));
        return Err(Error::input(message, "give a range that ends after it begins"));
    }
    let whole = Stretch { after: after.min(up_to), up_to, run: None, left_out: 0 };
    match &asked.run {
        None => Ok(whole.limited(asked.entries_max)),
        Some(text) => whole.of_run(dataset, text, asked.entries_max).await,
    }
}

impl Stretch {
    fn limited(self, entries_max: usize) -> Self {
        let entries = self.up_to.0 - self.after.0;
        let left_out = entries.saturating_sub(entries_max as u64);
        Self { after: Position(self.after.0 + left_out), left_out, ..self }
    }

    /// The part from a run's creation to its end, with its last entries.
    async fn of_run(self, dataset: &Dataset, text: &str, entries_max: usize) -> Result<Self, Error> {
        let run = match (dataset.resolve(text, None).await, text.parse()) {
            // Of a run that was never created, there may be refused commands.
            (Ok(run), _) | (Err(Error::UnknownRun { .. }), Ok(run)) => run,
            (Err(error), _) => return Err(error),
        };
        let own = dataset.own(run).await?;
        let mut stretch = Self { run: Some(run), ..self };
        if let Some(record) = own.iter().fold(None, RunRecord::fold) {
            stretch.after = stretch.after.max(Position(record.created.0.saturating_sub(1))).min(stretch.up_to);
            stretch.up_to = if record.run.is_ended() { stretch.up_to.min(record.last) } else { stretch.up_to };
            stretch.after = stretch.after.min(stretch.up_to);
        }
        let within = |entry: &&Entry| entry.position > stretch.after && entry.position <= stretch.up_to;
        let positions: Vec<Position> = own.iter().filter(within).map(|entry| entry.position).collect();
        let left_out = positions.len().saturating_sub(entries_max);
        if let Some(last_left_out) = left_out.checked_sub(1).and_then(|last| positions.get(last)) {
            stretch.after = *last_left_out;
            stretch.left_out = left_out as u64;
        }
        Ok(stretch)
    }
}

/// A page in the making.
struct Gatherer {
    stretch: Stretch,
    before: Current,
    strings: Strings,
    ids: Ids,
    runs: Runs,
    entries: Entries,
    rows: HashMap<RunId, u32>,
    /// What bounds the run of each row, as far as it is known.
    limits: Vec<Option<ResourceLimits>>,
    /// When the snapshots that were armed so far are due.
    dues: HashMap<SnapshotId, Timestamp>,
    latest: Option<Timestamp>,
}

impl Gatherer {
    fn beginning_at(stretch: Stretch, before: Current) -> Self {
        let (strings, ids, runs, entries) = Default::default();
        let (rows, limits, dues, latest) = (HashMap::new(), Vec::new(), HashMap::new(), before.recorded_at);
        let mut gatherer = Self { stretch, before, strings, ids, runs, entries, rows, limits, dues, latest };
        let shown = |record: &&RunRecord| match stretch.run {
            Some(run) => record.run.id == run,
            None => !record.run.is_ended(),
        };
        // In the order of their creation, as those that follow.
        let mut open: Vec<(Position, RunId)> =
            gatherer.before.state.records().filter(shown).map(|record| (record.created, record.run.id)).collect();
        open.sort_unstable();
        for (_, run) in open {
            gatherer.row(run);
        }
        gatherer
    }

    /// The number of a run; one that is met for the first time gets a row, with what it was before.
    fn row(&mut self, run: RunId) -> u32 {
        if let Some(row) = self.rows.get(&run) {
            return *row;
        }
        let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.rows.insert(run, row);
        self.limits.push(None);
        self.runs.id.push(run.to_u128());
        self.runs.name.push(None);
        self.runs.labels.push(Vec::new());
        self.runs.workload.push(None);
        self.runs.parent.push(None);
        self.runs.created_at.push(None);
        self.runs.before.push(None);
        let known = self.before.state.run(run).map(|record| {
            let armed = record.run.armed.as_ref().map(|armed| (armed.id, armed.due));
            let flight = record.run.in_flight.as_ref().map(|flight| flight.id);
            let attempt = record.run.attempt.as_ref();
            let ended = attempt.and_then(|attempt| attempt.outcome.as_ref()).and_then(|outcome| outcome.exit_status());
            let before = Before {
                status: status_number(record.run.status.name()),
                tone: ended.map_or(Tone::Unknown, tone),
                attempt: attempt.map_or(0, |attempt| attempt.ordinal.0),
                refusals: record.refusals,
                armed: None,
                in_flight: None,
            };
            (record.run.spec.clone(), record.created_at, before, armed, flight)
        });
        if let Some((spec, created_at, mut before, armed, in_flight)) = known {
            before.armed = armed.map(|(snapshot, due)| {
                self.dues.insert(snapshot, due);
                (self.ids.number(snapshot.to_u128()), due.as_micros())
            });
            before.in_flight = in_flight.map(|snapshot| self.ids.number(snapshot.to_u128()));
            self.describe(row, &spec, created_at);
            if let Some(place) = self.runs.before.get_mut(row as usize) {
                *place = Some(before);
            }
        }
        row
    }

    fn describe(&mut self, row: u32, spec: &RunSpec, created_at: Timestamp) {
        let row = row as usize;
        if let Some(limits) = self.limits.get_mut(row) {
            *limits = Some(spec.limits);
        }
        let Runs { name, labels, workload, parent, created_at: created, .. } = &mut self.runs;
        let places = (name.get_mut(row), labels.get_mut(row), workload.get_mut(row), parent.get_mut(row));
        let (Some(name), Some(labels), Some(workload), Some(parent)) = places else { return };
        *name = spec.name.as_ref().map(|name| self.strings.number(name));
        *labels =
            spec.labels.iter().flat_map(|(key, value)| [key, value]).map(|text| self.strings.number(text)).collect();
        *workload = Some(self.strings.number(&words::workload(&spec.workload)));
        *parent = spec.parent.map(|parent| self.ids.number(parent.to_u128()));
        if let Some(created) = created.get_mut(row) {
            *created = Some(created_at.as_micros());
        }
    }

    fn take(&mut self, entry: &Entry) {
        let row = entry.run().map(|run| self.row(run));
        if let (Some(row), Some(Event::Created { spec, .. })) = (row, entry.events().first()) {
            self.describe(row, spec, entry.recorded_at);
        }
        self.latest = Some(entry.recorded_at);
        self.entries.position.push(i64::try_from(entry.position.0).unwrap_or(i64::MAX));
        self.entries.id.push(entry.id.to_u128());
        self.entries.time.push(entry.recorded_at.as_micros());
        self.entries.run.push(row);
        let body = match &entry.body {
            EntryBody::Committed(committed) => self.committed(entry, committed),
            EntryBody::Refused(refused) => self.refused(entry, refused),
            EntryBody::System(fact) => self.system(fact),
        };
        self.entries.body.push(body);
    }

    fn committed(&mut self, entry: &Entry, committed: &Committed) -> Body {
        let Command { id, actor, issued_at, action, .. } = &committed.command;
        self.asked(
            entry,
            Asking { id: *id, actor, issued_at: *issued_at, action: action.name(), attempt: action.attempt() },
        );
        self.expected(&committed.command);
        let events = committed.events.iter().map(|event| self.happened(entry, committed, event)).collect();
        Body::Committed { version: committed.version.0, events }
    }

    fn expected(&mut self, command: &Command) {
        if let Some(version) = command.expected {
            self.entries.expected.push((u32::try_from(self.entries.body.len()).unwrap_or(u32::MAX), version.0));
        }
    }

    fn happened(&mut self, entry: &Entry, committed: &Committed, event: &Event) -> Happened {
        let detail = self.detail(event);
        let late_us = match event {
            Event::SnapshotDispatched { snapshot } => {
                self.dues.remove(snapshot).map(|due| entry.recorded_at.as_micros() - due.as_micros())
            }
            _ => None,
        };
        let issued_at = Some(committed.command.issued_at);
        let row = entry.run().and_then(|run| self.rows.get(&run));
        let limits = row.and_then(|row| self.limits.get(*row as usize)?.as_ref());
        let text = words::event(event, words::Beside { events: &committed.events, issued_at, late_us, limits });
        let words = Text::of(&text, &mut self.strings, &mut self.ids);
        Happened { event: event.name(), words, detail }
    }

    fn detail(&mut self, event: &Event) -> Detail {
        match event {
            Event::Started { ordinal, .. } => Detail::Attempt(ordinal.0),
            Event::Exited { exit, .. } => Detail::Tone(tone(&exit.status)),
            Event::ExitAmended { status, .. } => Detail::Tone(tone(status)),
            Event::Failed { failure, .. } => {
                let notes = diagnostics(&failure.diagnostics);
                let number = |(name, value): &(&str, String)| (self.strings.number(name), self.strings.number(value));
                if notes.is_empty() { Detail::None } else { Detail::Notes(notes.iter().map(number).collect()) }
            }
            Event::SnapshotScheduled { snapshot, due, .. } => {
                self.dues.insert(*snapshot, *due);
                Detail::Due(self.ids.number(snapshot.to_u128()), due.as_micros())
            }
            Event::SnapshotCanceled { snapshot, .. }
            | Event::SnapshotDispatched { snapshot }
            | Event::SnapshotTaken { snapshot, .. }
            | Event::SnapshotFailed { snapshot, .. } => Detail::Snapshot(self.ids.number(snapshot.to_u128())),
            Event::Created { .. }
            | Event::Waiting { .. }
            | Event::Destroyed { .. }
            | Event::RunnerDisconnected { .. }
            | Event::Reconciled { .. } => Detail::None,
        }
    }

    fn refused(&mut self, entry: &Entry, refused: &Refused) -> Body {
        let command = &refused.command;
        let attempt = match command {
            RefusedCommand::Whole(command) => {
                self.expected(command);
                command.action.attempt()
            }
            RefusedCommand::OutOfBounds { .. } => None,
        };
        let (id, actor, issued_at, action) = (command.id(), command.actor(), command.issued_at(), command.action());
        self.asked(entry, Asking { id, actor, issued_at, action, attempt });
        Body::Refused {
            count: refused.count,
            asked: Text::of(&words::refused_command(command), &mut self.strings, &mut self.ids),
            code: self.strings.number(refused.refusal.code()),
            message: Text::of(&refused.refusal.to_string(), &mut self.strings, &mut self.ids),
            remedy: self.strings.number(refused.refusal.remedy()),
        }
    }

    fn system(&mut self, fact: &SystemFact) -> Body {
        self.entries.actor.push(None);
        self.entries.action.push(None);
        self.entries.command.push(0);
        self.entries.issued_before.push(0);
        self.entries.attempt.push(None);
        let (number, pid) = match fact {
            SystemFact::Opened(session) => (0, session.pid),
            SystemFact::Recovered { .. } => (1, 0),
            SystemFact::Closed(session) => (2, session.pid),
        };
        Body::System { fact: number, pid, words: Text::of(&words::system(fact), &mut self.strings, &mut self.ids) }
    }

    fn asked(&mut self, entry: &Entry, asking: Asking<'_>) {
        let actor = Text::of(&asking.actor.to_string(), &mut self.strings, &mut self.ids);
        self.entries.actor.push(Some(actor));
        self.entries.action.push(Some(self.strings.number(asking.action.name())));
        self.entries.command.push(asking.id.to_u128());
        let issued_before = entry.recorded_at.as_micros().saturating_sub(asking.issued_at.as_micros());
        self.entries.issued_before.push(issued_before);
        self.entries.attempt.push(asking.attempt.map(|attempt| self.ids.number(attempt.to_u128())));
    }

    fn finish(mut self, source: Source, now: Timestamp, is_live: bool) -> Page {
        let Stretch { after, up_to, run, left_out } = self.stretch;
        let until = self.latest.filter(|_| !is_live).unwrap_or(now).as_micros();
        let only_run = run.map(|run| run.to_string());
        let range = Range { after: after.0, up_to: up_to.0, only_run, left_out, until, is_live };
        let LastWriter { session, .. } = match self.before.last_writer.take().filter(|writer| !writer.has_closed) {
            Some(writer) => writer,
            None => return self.page(source, range, None),
        };
        let words = Text::of(&words::writer(&session), &mut self.strings, &mut self.ids);
        self.page(source, range, Some((session.pid, words)))
    }

    fn page(self, source: Source, range: Range, writer_before: Option<(u32, Text)>) -> Page {
        let statuses = tachograph_engine::domain::StatusName::ALL.map(|status| status.name());
        let events = EVENTS.iter().map(|event| event.name()).collect();
        let Self { strings, ids, runs, entries, .. } = self;
        Page { source, range, statuses, events, strings, ids, runs, entries, writer_before }
    }
}

/// The command behind an entry, as far as it was kept.
struct Asking<'a> {
    id: CommandId,
    actor: &'a Actor,
    issued_at: Timestamp,
    action: ActionName,
    attempt: Option<AttemptId>,
}

fn tone(status: &ExitStatus) -> Tone {
    match status {
        ExitStatus::Code(0) => Tone::Good,
        ExitStatus::Code(_) | ExitStatus::Signal(_) => Tone::Bad,
        ExitStatus::Unknown { .. } => Tone::Unknown,
    }
}
