//! The same commands under other rules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::{fmt, mem};

use tachograph_engine::domain::{
    Action, ActorKind, Command, Entry, EntryBody, Position, RefusedCommand, RunId, RunRecord, SystemFact, Timestamp,
};
use tachograph_engine::ports::JournalError;
use tachograph_projections::Decided;

use super::flip::{Became, Flip, FlipKind};
use super::recheck::chunk;
use super::rules::{Move, Rules, Which};
use super::world::{Recorded, World};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::replay;

/// Entries that are held at a time.
const CHUNK_ENTRIES: u64 = 4_096;

/// What other rules would have led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    /// What is otherwise.
    pub rules: Rules,
    /// Position of the last entry.
    pub up_to: Position,
    /// Recorded commands that were given again.
    pub commands: u64,
    /// Runs that were recorded.
    pub runs: u64,
    /// Runs whose histories part, if only in a time.
    pub parted: u64,
    /// Where those part.
    pub parted_at: BTreeMap<RunId, Position>,
    /// The runs that come out otherwise, by where they part.
    pub flips: Vec<Flip>,
    /// Recorded commands of the timekeeper that it would not have given.
    pub not_asked: u64,
    /// Commands that cannot be decided, because entries about their runs before them cannot be read.
    pub undecided: u64,
    /// Refused commands that stay refused: they were out of bounds, and only their headers were kept.
    pub headers: u64,
    /// Refusals that were counted without an entry, at least: nobody can give these commands again.
    pub counted: u64,
}

impl WhatIf {
    /// How many runs come out otherwise in this respect.
    pub fn count(&self, kind: FlipKind) -> usize {
        self.flips.iter().filter(|flip| flip.kinds.contains(&kind)).count()
    }

    /// What was assumed, one sentence each.
    pub fn assumptions(&self) -> Vec<String> {
        let mut assumed = vec![
            "everybody gives the same commands in the same order, whatever the answers would be".to_owned(),
            "how attempts ended, and what else was observed, stays as it was observed".to_owned(),
        ];
        if self.flips.iter().any(|flip| flip.kinds.contains(&FlipKind::Snapshots)) || self.not_asked > 0 {
            assumed.push(
                "a snapshot that is armed otherwise than was recorded is dispatched when it is due and a writer is there, \
                 waits for no place, and is taken at once"
                    .to_owned(),
            );
        }
        if self.rules.naive_row_ids {
            assumed.push(
                "rows are numbered as a table does it: the largest id in use plus one, given free by a destruction; a report \
                 to a row counts as made by the holder of the run that has it now"
                    .to_owned(),
            );
        }
        if self.counted > 0 {
            assumed.push(format!(
                "commands whose refusals were counted without an entry cannot be given again: at least {}",
                self.counted
            ));
        }
        if self.headers > 0 {
            assumed.push(format!("commands that were out of bounds stay refused: {}", self.headers));
        }
        assumed
    }
}

/// Gives every recorded command again, in memory, under other rules, and tells which runs come out otherwise.
///
/// One pass, but for moved commands, which are looked up before. Nothing is written. Ids that a changed rule needs are
/// those of the commands that need them, so that the answer is always the same. Memory grows with the number of runs.
///
/// # Errors
///
/// [`Error::Input`] if a command that is to be dropped or moved is not recorded, or two rules are about its place, or
/// [`Error::Journal`] if the journal cannot be read.
pub async fn what_if(dataset: &Dataset, rules: Rules) -> Result<WhatIf, Error> {
    let head = dataset.reader().head().position;
    let bar = dataset.bar("deciding again", head.0);
    let mut replay = Replay::of(dataset, rules).await?;
    let mut after = dataset.reader().archived();
    while after < head {
        let up_to = Position(after.0.saturating_add(CHUNK_ENTRIES)).min(head);
        for entry in chunk(dataset, after, up_to).await? {
            if let Some(run) = replay.lacks(&entry) {
                replay.recall(dataset, run).await?;
            }
            replay.entry(&entry);
        }
        after = up_to;
        bar.reached(after.0);
    }
    replay.finish()
}

/// A replay that is under way.
struct Replay {
    rules: Rules,
    world: World,
    /// Commands that are still to be given at a position, instead of where they were recorded.
    moved: BTreeMap<Position, Vec<Moved>>,
    /// Up to here nothing is replayed: what was archived.
    archived: Position,
    up_to: Position,
    /// When the last entry was recorded.
    recorded_at: Timestamp,
    commands: u64,
    /// The last entry about every run that was met without a gap.
    whole: HashMap<RunId, Position>,
    /// Runs of which entries are missing: what they were is not known, nor what they would be.
    unknown: HashSet<RunId>,
    undecided: u64,
    headers: u64,
    counted: u64,
    /// Which of the commands that are to be dropped were met.
    dropped: Vec<bool>,
}

/// A command that comes at another place.
struct Moved {
    from: Position,
    recorded_at: Timestamp,
    command: Command,
    became: Became,
}

impl Replay {
    async fn of(dataset: &Dataset, rules: Rules) -> Result<Self, Error> {
        rules.check()?;
        for which in &rules.dropped {
            if let Which::At(position) = which {
                command_at(dataset, *position).await?;
            }
        }
        let mut moved: BTreeMap<Position, Vec<Moved>> = BTreeMap::new();
        for rule @ Move { from, to } in &rules.moved {
            if *to > dataset.reader().head().position {
                return Err(unknown(&format!("there is no position {to} to move a command to")));
            }
            let command = command_at(dataset, *from).await?;
            if let Some(dropped) = rules.dropped.iter().find(|which| **which == Which::Id(command.command.id)) {
                return Err(contradiction(dropped, rule));
            }
            moved.entry(*to).or_default().push(command);
        }
        let dropped = vec![false; rules.dropped.len()];
        let world = World::under(rules.clone());
        let (whole, unknown) = (HashMap::new(), HashSet::new());
        let moved_runs: Vec<RunId> = moved.values().flatten().map(|moved| moved.command.run).collect();
        let (archived, unsettled) = replay::first_open(&**dataset.reader()).await?;
        let mut replay = Self {
            rules,
            world,
            moved,
            archived,
            up_to: archived,
            recorded_at: Timestamp::from_micros(0),
            commands: 0,
            whole,
            unknown,
            undecided: 0,
            headers: 0,
            counted: 0,
            dropped,
        };
        unsettled.into_iter().for_each(|record| replay.begin(record));
        // Their commands may come before any of their entries that stay.
        for run in moved_runs {
            replay.recall(dataset, run).await?;
        }
        Ok(replay)
    }

    /// A run as it was where the archive ends.
    fn begin(&mut self, record: RunRecord) {
        self.whole.insert(record.run.id, record.last);
        self.world.begin(record.run);
    }

    /// The run that an entry is about, if that was settled where the archive ends, and is not at hand.
    fn lacks(&self, entry: &Entry) -> Option<RunId> {
        let is_archived = entry.previous.is_some_and(|previous| previous <= self.archived);
        entry.run().filter(|run| is_archived && !self.world.knows(*run))
    }

    async fn recall(&mut self, dataset: &Dataset, run: RunId) -> Result<(), JournalError> {
        if !self.world.knows(run)
            && let Some(record) = dataset.reader().base(run).await?
        {
            self.begin(record);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) {
        (self.up_to, self.recorded_at) = (entry.position, entry.recorded_at);
        if lets_timers_fire(entry) {
            self.world.pass(entry.recorded_at, entry.position);
        }
        // There may be no entry at the new place: some are missing where a history is damaged, or a part of one.
        let not_before = self.moved.split_off(&entry.position);
        let passed = mem::replace(&mut self.moved, not_before);
        self.give_all(passed);
        let moved = self.moved.remove(&entry.position).unwrap_or_default();
        let (earlier, later): (Vec<Moved>, Vec<Moved>) =
            moved.into_iter().partition(|moved| moved.from > entry.position);
        earlier.iter().for_each(|moved| self.give_moved(moved, entry.position));
        self.recorded(entry);
        later.iter().for_each(|moved| self.give_moved(moved, entry.position));
    }

    /// Gives commands whose new places hold no entry.
    fn give_all(&mut self, places: BTreeMap<Position, Vec<Moved>>) {
        for (place, moved) in places {
            moved.iter().for_each(|moved| self.give_moved(moved, place));
        }
    }

    fn recorded(&mut self, entry: &Entry) {
        let is_known = self.is_known(entry);
        match &entry.body {
            EntryBody::System(_) => {}
            EntryBody::Committed(committed) if !is_known => {
                self.undecided += 1;
                self.is_dropped(entry, &committed.command);
            }
            EntryBody::Committed(committed) => {
                let (events, version) = (committed.events.clone(), committed.version);
                self.command(entry, &committed.command, Became::Decided(Decided::Written { events, version }));
                self.world.fold(committed.command.run, &committed.events);
            }
            EntryBody::Refused(refused) => {
                if refused.count.is_power_of_two() {
                    self.counted += (refused.count / 2).saturating_sub(1);
                }
                match &refused.command {
                    RefusedCommand::Whole(command) if !is_known => {
                        self.undecided += 1;
                        self.is_dropped(entry, command);
                    }
                    RefusedCommand::Whole(command) => {
                        self.command(entry, command, Became::Decided(Decided::Refused(refused.refusal.clone())));
                    }
                    RefusedCommand::OutOfBounds { .. } => self.headers += 1,
                }
            }
        }
    }

    /// Whether the run that an entry is about is known up to it: every entry names the one before it.
    fn is_known(&mut self, entry: &Entry) -> bool {
        let Some(run) = entry.run() else { return true };
        if self.unknown.contains(&run) {
            return false;
        }
        if entry.previous != self.whole.get(&run).copied() {
            self.whole.remove(&run);
            self.unknown.insert(run);
            self.world.forget(run);
            return false;
        }
        // Refused commands to a run before its creation are not linked.
        if entry.previous.is_some() || !entry.events().is_empty() {
            self.whole.insert(run, entry.position);
        }
        true
    }

    fn command(&mut self, entry: &Entry, command: &Command, became: Became) {
        let recorded = Recorded { position: entry.position, command, became, is_in_place: true };
        if self.is_dropped(entry, command) {
            return self.world.withhold(&recorded, Became::Dropped);
        }
        if self.rules.moved.iter().any(|moved| moved.from == entry.position) {
            return self.world.withhold(&recorded, Became::Moved);
        }
        self.commands += 1;
        self.world.give(&recorded);
    }

    /// Gives a command at its new place, at the time of the entry that is at hand. A snapshot keeps its delay.
    fn give_moved(&mut self, moved: &Moved, place: Position) {
        if self.unknown.contains(&moved.command.run) {
            self.undecided += 1;
            return;
        }
        let shift_us = self.recorded_at.as_micros().saturating_sub(moved.recorded_at.as_micros());
        let shifted = |time: Timestamp| Timestamp::from_micros(time.as_micros().saturating_add(shift_us));
        let mut command = moved.command.clone();
        command.issued_at = shifted(command.issued_at);
        if let Action::ScheduleSnapshot { due, .. } = &mut command.action {
            *due = shifted(*due);
        }
        self.commands += 1;
        let became = moved.became.clone();
        self.world.give(&Recorded { position: place, command: &command, became, is_in_place: false });
    }

    fn is_dropped(&mut self, entry: &Entry, command: &Command) -> bool {
        let fits = |which: &Which| match which {
            Which::At(position) => *position == entry.position,
            Which::Id(id) => *id == command.id,
        };
        let mut is_dropped = false;
        for (which, met) in self.rules.dropped.iter().zip(&mut self.dropped) {
            if fits(which) {
                (*met, is_dropped) = (true, true);
            }
        }
        is_dropped
    }

    fn finish(mut self) -> Result<WhatIf, Error> {
        let behind = mem::take(&mut self.moved);
        self.give_all(behind);
        let unmet = self.rules.dropped.iter().zip(&self.dropped).find(|(_, met)| !**met);
        if let Some((Which::Id(id), _)) = unmet {
            return Err(unknown(&format!("no entry answers command {id}")));
        }
        Ok(WhatIf {
            rules: self.rules,
            up_to: self.up_to,
            commands: self.commands,
            runs: self.world.runs() as u64,
            parted: self.world.parted().count() as u64,
            parted_at: self.world.parted().collect(),
            not_asked: self.world.not_asked,
            undecided: self.undecided,
            headers: self.headers,
            counted: self.counted,
            flips: self.world.into_flips(),
        })
    }
}

/// Whether a timekeeper was there to see that time had passed: not between an opening and the end of the recovery that
/// follows it.
fn lets_timers_fire(entry: &Entry) -> bool {
    match &entry.body {
        EntryBody::System(SystemFact::Closed(_)) => true,
        EntryBody::System(SystemFact::Opened(_) | SystemFact::Recovered { .. }) => false,
        EntryBody::Committed(committed) => committed.command.actor.kind != ActorKind::Recovery,
        EntryBody::Refused(refused) => refused.command.actor().kind != ActorKind::Recovery,
    }
}

async fn command_at(dataset: &Dataset, position: Position) -> Result<Moved, Error> {
    let Some(entry) = dataset.reader().entry(position).await? else {
        return Err(unknown(&format!("there is no entry at position {position}")));
    };
    let (command, became) = match entry.body {
        EntryBody::Committed(committed) => {
            let (events, version) = (committed.events, committed.version);
            (committed.command, Became::Decided(Decided::Written { events, version }))
        }
        EntryBody::Refused(refused) => match refused.command {
            RefusedCommand::Whole(command) => (*command, Became::Decided(Decided::Refused(refused.refusal))),
            RefusedCommand::OutOfBounds { .. } => {
                return Err(unknown(&format!("of the command at position {position} only the header was kept")));
            }
        },
        EntryBody::System(_) => return Err(unknown(&format!("the entry at position {position} answers no command"))),
    };
    Ok(Moved { from: position, recorded_at: entry.recorded_at, command, became })
}

/// Two rules that say different things about one command.
pub(super) fn contradiction(one: &impl fmt::Display, other: &impl fmt::Display) -> Error {
    let message = format!("{one} and {other} are about the same command, which can take one place only");
    Error::input(message, "leave one of them out")
}

fn unknown(message: &str) -> Error {
    Error::input(message, "`tacho tail` and `tacho timeline` show positions and commands")
}
