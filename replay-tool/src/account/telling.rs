//! The account of a run out of entries, in one pass.

use std::collections::BTreeMap;

use tachograph_engine::domain::{
    Command, Entry, EntryBody, Event, Outcome, Position, Refused, RunId, RunRecord, StatusName, SystemFact, Timestamp,
};
use tachograph_projections::{Item, ItemBody, Projection, Timeline};

use super::journal::{Beside, Journal};
use super::sentence::{Account, EventTold, Gap, RefusedTold, Sentence, Standing, Still, TimerRearmed, Told};
use super::timers::{Deadline, Timers, deadline_of};
use crate::dataset::Border;
use crate::duration::between;
use crate::machine::{LastWriter, WriterState};
use crate::words;

/// How long nothing must be recorded about a run to count as silence, unless something else is asked for.
pub const SILENCE_DEFAULT_MS: u64 = 5 * 60 * 1_000;

/// What an account is to cover, and what is known beside the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// As of which position it is told, if not up to the end.
    pub as_of: Option<Position>,
    /// Up to when a run that has not ended is looked at.
    pub until: Timestamp,
    /// How long nothing must be recorded to count as silence, in milliseconds.
    pub silence_ms: u64,
    /// The journal's last writer, if it matters.
    pub writer: Option<(LastWriter, WriterState)>,
    /// Whether facts about the journal could not be read.
    pub facts_unread: bool,
    /// Where the archived part of the run's history ends, if some of it is archived.
    pub border: Option<Border>,
}

impl Account {
    /// The account of a run out of its own entries and the facts about the journal within its life, each opening with the
    /// entry before it, in the order of positions. Entries that are not given are not told; entries of other runs
    /// say nothing but when their writer was there.
    pub fn of(run: RunId, entries: &[Entry], scope: &Scope) -> Self {
        let mut telling = Telling::of(run, scope);
        entries.iter().for_each(|entry| telling.see(entry));
        telling.finish()
    }
}

/// An account in the making.
struct Telling<'a> {
    run: RunId,
    scope: &'a Scope,
    timeline: Timeline,
    record: Option<RunRecord>,
    journal: Journal,
    timers: Timers,
    /// What the facts tell beside themselves: a fact after the run's end is told only if the run goes on.
    facts: BTreeMap<Position, (Beside, Vec<TimerRearmed>)>,
    /// The last entry about the run.
    last_own: Option<(Position, Timestamp)>,
    /// What was told last.
    last_item: Option<(Position, Timestamp)>,
    deadline: Option<Deadline>,
    transition: Option<(Position, Timestamp, Event, Command)>,
    attempts: u32,
    sentences: Vec<Sentence>,
}

impl<'a> Telling<'a> {
    fn of(run: RunId, scope: &'a Scope) -> Self {
        let base = scope.border.as_ref().map(|border| &border.base);
        Self {
            run,
            scope,
            timeline: base.map_or_else(|| Timeline::of(run), Timeline::continuing),
            record: base.cloned(),
            journal: Journal::default(),
            timers: Timers::default(),
            facts: BTreeMap::new(),
            last_own: None,
            last_item: None,
            deadline: None,
            transition: None,
            attempts: base.and_then(|base| base.run.attempt.as_ref()).map_or(0, |attempt| attempt.ordinal.0),
            sentences: Vec::new(),
        }
    }

    fn see(&mut self, entry: &Entry) {
        let beside = self.journal.see(entry);
        let is_own = entry.run() == Some(self.run);
        self.timers.see(self.run, entry);
        if let EntryBody::System(fact) = &entry.body {
            let known = self.record.as_ref().filter(|_| matches!(fact, SystemFact::Opened(_)));
            let rearmed = known.map(|record| self.timers.rearmed(entry.recorded_at, &record.run)).unwrap_or_default();
            self.facts.insert(entry.position, (beside, rearmed));
        }
        let told = self.timeline.items().len();
        self.timeline.apply(entry);
        let items = self.timeline.items().get(told..).unwrap_or_default().to_vec();
        let mut before_own: Vec<Gap> = is_own.then(|| self.before(entry)).into_iter().flatten().flatten().collect();
        for item in &items {
            self.step_back(item);
            if !matches!(item.body, ItemBody::System(_)) {
                before_own.drain(..).for_each(|gap| self.say(entry.position, entry.recorded_at, Told::Gap(gap)));
            }
            self.item(item, entry);
            self.last_item = Some((item.position, item.recorded_at));
        }
        if is_own {
            self.keep(entry);
        }
    }

    fn say(&mut self, position: Position, recorded_at: Timestamp, told: Told) {
        self.sentences.push(Sentence { position, recorded_at, told });
    }

    /// What an entry about the run shows to lie before it.
    fn before(&self, entry: &Entry) -> [Option<Gap>; 2] {
        // Nothing is expected of a run that has ended.
        let open = self.record.as_ref().is_some_and(|record| !record.run.is_ended());
        let silence = self.last_own.filter(|_| open).and_then(|(from, since)| {
            let micros = between(since, entry.recorded_at);
            let gap = Gap::Silence { from, since, to: entry.position, until: entry.recorded_at };
            (micros > 0 && micros >= self.scope.silence_ms.saturating_mul(1_000)).then_some(gap)
        });
        let leaves = entry.events().iter().any(|event| event.leads_to().is_some());
        let passed = self.deadline.filter(|deadline| leaves && deadline.at < entry.recorded_at);
        let passed =
            passed.map(|Deadline { from, at }| Gap::DeadlinePassed { from, deadline: at, until: entry.recorded_at });
        [silence, passed]
    }

    fn step_back(&mut self, item: &Item) {
        let Some((from, since)) = self.last_item else { return };
        if item.recorded_at < since {
            let micros = between(item.recorded_at, since);
            self.say(item.position, item.recorded_at, Told::Gap(Gap::SteppedBack { from, since, micros }));
        }
    }

    /// Remembers what later entries are compared with.
    fn keep(&mut self, entry: &Entry) {
        self.last_own = Some((entry.position, entry.recorded_at));
        self.record = RunRecord::fold(self.record.take(), entry);
        if entry.events().iter().any(|event| event.leads_to().is_some()) {
            let deadline = self.record.as_ref().and_then(|record| deadline_of(&record.run));
            self.deadline = deadline.map(|at| Deadline { from: entry.position, at });
        }
    }

    fn item(&mut self, item: &Item, entry: &Entry) {
        let told = match (&item.body, &entry.body) {
            (ItemBody::Event { event, version, applied, cause: _ }, EntryBody::Committed(committed)) => {
                let command = &committed.command;
                self.count(event);
                if event.leads_to().is_some() && *applied {
                    self.transition = Some((item.position, item.recorded_at, event.clone(), command.clone()));
                }
                let dispatched = match event {
                    Event::SnapshotDispatched { snapshot } => self.timers.dispatched(*snapshot).cloned(),
                    _ => None,
                };
                Told::Event(Box::new(EventTold {
                    event: event.clone(),
                    beside: committed.events.clone(),
                    version: *version,
                    applied: *applied,
                    command: command.clone(),
                    late_us: dispatched.as_ref().and_then(|dispatched| dispatched.late_us),
                    due: dispatched.as_ref().and_then(|dispatched| dispatched.due),
                    absences: dispatched.map(|dispatched| dispatched.absences).unwrap_or_default(),
                }))
            }
            (ItemBody::Refused { .. }, EntryBody::Refused(refused)) => Told::Refused(Box::new(refused_told(refused))),
            (ItemBody::System(fact), _) => return self.fact(item, fact),
            (ItemBody::Missing { up_to }, _) => Told::Gap(Gap::Missing { up_to: *up_to }),
            // An item is made from the entry that was given, so that the two are of one kind.
            (ItemBody::Event { .. } | ItemBody::Refused { .. }, _) => return,
        };
        self.say(item.position, item.recorded_at, told);
    }

    fn count(&mut self, event: &Event) {
        if let Event::Started { ordinal, .. } | Event::Failed { ordinal, .. } = event {
            self.attempts = self.attempts.max(ordinal.0);
        }
    }

    /// A fact, and what it means for the run.
    fn fact(&mut self, item: &Item, fact: &SystemFact) {
        let (beside, rearmed) = self.facts.remove(&item.position).unwrap_or_default();
        let (position, at) = (item.position, item.recorded_at);
        if let Some((from, absence)) = beside.absence {
            self.say(position, at, Told::Gap(Gap::SupervisorDown { from, absence }));
        }
        if let Some(moved) = beside.moved {
            self.say(position, at, Told::Gap(Gap::ClockMoved(moved)));
        }
        self.say(position, at, Told::Fact { fact: fact.clone(), was_closed: beside.was_closed });
        rearmed.into_iter().for_each(|timer| self.say(position, at, Told::Rearmed(timer)));
    }

    fn finish(mut self) -> Account {
        let unread = self.scope.facts_unread.then_some(Told::Gap(Gap::FactsUnread));
        let at = self.sentences.first().map(|first| (first.position, first.recorded_at)).unwrap_or_default();
        let (position, recorded_at, standing) = match (self.transition.take(), &self.record) {
            (Some((position, recorded_at, event, command)), Some(record)) => {
                let (status, refusals) = (record.run.status.name(), record.refusals);
                let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
                let amended = outcome.and_then(|outcome| match outcome {
                    Outcome::Exited { exit: _, amended } => amended.clone(),
                    Outcome::Failed(_) => None,
                });
                let attempts = self.attempts;
                let standing = Standing { status, event, command, amended, attempts, refusals };
                (position, recorded_at, Some(Told::State(Box::new(standing))))
            }
            // Then it stands as it did where the archive ends.
            _ if self.scope.border.is_some() => (at.0, at.1, None),
            _ if self.is_never_created() => (at.0, at.1, Some(Told::NeverCreated)),
            _ => (at.0, at.1, Some(Told::StateUnknown)),
        };
        self.end(position, recorded_at);
        let beginning = [standing, unread].into_iter().flatten();
        let mut beginning: Vec<_> = beginning.map(|told| Sentence { position, recorded_at, told }).collect();
        if let Some(border) = self.scope.border.clone() {
            beginning.push(Sentence { position: at.0, recorded_at: at.1, told: Told::Archived(Box::new(border)) });
        }
        self.sentences.splice(..0, beginning);
        Account { run: self.run, record: self.record, as_of: self.scope.as_of, sentences: self.sentences }
    }

    fn is_never_created(&self) -> bool {
        self.sentences.iter().all(|sentence| !matches!(sentence.told, Told::Event(_) | Told::Gap(Gap::Missing { .. })))
    }

    /// What is to be said at the end: that the run is not destroyed, or has not ended.
    fn end(&mut self, position: Position, recorded_at: Timestamp) {
        let Some(run) = self.record.as_ref().map(|record| &record.run) else { return };
        let status = run.status.name();
        match status {
            StatusName::Destroyed => {}
            StatusName::Exited | StatusName::Failed => {
                self.say(position, recorded_at, Told::Gap(Gap::NotDestroyed { status }));
            }
            StatusName::Created | StatusName::Started | StatusName::Waiting => {
                let Some((position, since)) = self.last_own else { return };
                let still = Still {
                    status,
                    silent_us: between(since, self.scope.until),
                    overdue_us: words::overdue_us(deadline_of(run), self.scope.until),
                    writer: self.scope.writer.clone(),
                };
                self.say(position, since, Told::Still(Box::new(still)));
            }
        }
    }
}

fn refused_told(refused: &Refused) -> RefusedTold {
    let Refused { command, refusal, count } = refused.clone();
    // Recorded are the 1st, 2nd, 4th, 8th… time: what came since the one before was counted.
    let counted_only = count.is_power_of_two().then(|| (count / 2).saturating_sub(1));
    RefusedTold { command, refusal, count, counted_only }
}
