//! Recorded commands, decided once more.

mod decided;
mod held;

use tachograph_engine::domain::fleet::{check_name_free, name_wanted};
use tachograph_engine::domain::{
    ActionName, Actor, Command, CommandId, Committed, Decision, Entry, EntryBody, Position, Refusal, Refused,
    RefusedCommand, RunId, RunRecord, RunState, decide,
};

pub use self::decided::Decided;
use self::held::HeldRuns;
use crate::projection::Projection;

/// What decides a command against the state of its run: the engine's own [`decide()`], or another in its place.
pub type Decide = fn(&RunState, &Command) -> Result<Decision, Refusal>;

/// Differences that are kept, unless another number is asked for; the others are counted.
const DIFFERENCES_KEPT: usize = 1_000;

/// Decides every recorded command again, and keeps each outcome that differs from the recorded one.
///
/// A command is decided on the state that the recorded events before it lead to, so that one difference does not become
/// many. What no entry tells is no difference: a retry that got its first answer, a report that was already recorded, and
/// a refusal that was only counted have none. How a refusal was counted is not compared; of a command that was out of
/// bounds only the header is kept, so that it cannot be decided.
///
/// Where the beginning of a journal is archived, it [begins](Self::beginning_after) with the runs as they were there.
///
/// Where entries about a run are missing, as past damage or in a part of a journal, its state is not known: its commands
/// count as [undecided](RecheckTally::undecided) from there on. So does a command where its answer depends on who holds a
/// name, once any entry is missing.
///
/// Memory grows with the runs that are not settled, and with [`keeping`](Self::keeping) of those that are. An entry about
/// a settled run that was let go needs what it [lacks](Self::lacks).
#[derive(Debug, Clone)]
pub struct Recheck {
    decide: Decide,
    position: Position,
    runs: HeldRuns,
    /// Whether any entry is missing before the position.
    has_gap: bool,
    tally: RecheckTally,
    differences: Vec<Difference>,
    differences_max: usize,
}

/// How many of what were met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecheckTally {
    /// Commands that were decided again.
    pub decided: u64,
    /// How many of them are recorded as written.
    pub written: u64,
    /// How many of them are recorded as refused.
    pub refused: u64,
    /// How many of them came out otherwise than recorded.
    pub differing: u64,
    /// Commands that cannot be decided, because entries before them are missing.
    pub undecided: u64,
    /// Refused commands of which only the header was kept: they were out of bounds.
    pub headers: u64,
    /// Refusals that were counted without an entry, as far as later counts tell: at least so many.
    pub counted: u64,
}

/// A command that comes out otherwise than recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Position of its entry.
    pub position: Position,
    /// The run that it is about.
    pub run: RunId,
    /// Its id.
    pub command: CommandId,
    /// What it asked or observed.
    pub action: ActionName,
    /// Who issued it.
    pub actor: Actor,
    /// As it was recorded.
    pub recorded: Decided,
    /// As it is decided now.
    pub now: Decided,
}

impl Default for Recheck {
    fn default() -> Self {
        Self::by(decide)
    }
}

impl Recheck {
    /// Before the first entry, with another way to decide.
    pub fn by(decide: Decide) -> Self {
        Self {
            decide,
            position: Position::ZERO,
            runs: HeldRuns::default(),
            has_gap: false,
            tally: RecheckTally::default(),
            differences: Vec::new(),
            differences_max: DIFFERENCES_KEPT,
        }
    }

    /// Keeps so many settled runs at hand at most; all of them otherwise. Whoever bounds them must ask what an entry
    /// [lacks](Self::lacks) before it is applied.
    #[must_use]
    pub fn keeping(mut self, settled_max: usize) -> Self {
        self.runs.settled_max = settled_max;
        self
    }

    /// Keeps so many differences at most; the others are counted.
    #[must_use]
    pub fn listing(mut self, differences_max: usize) -> Self {
        self.differences_max = differences_max;
        self
    }

    /// Begins after a position up to which nothing is read, with the runs that were not settled there. Of the others that were
    /// known there is to be [recalled](Self::recall) what an entry [lacks](Self::lacks).
    #[must_use]
    pub fn beginning_after(mut self, position: Position, unsettled: Vec<RunRecord>) -> Self {
        self.position = position;
        self.runs.begin(unsettled);
        self
    }

    /// The position from which on the back pointers lead to what an entry needs and is not at hand: its run was settled
    /// and let go. Absent if nothing is needed.
    pub fn lacks(&self, entry: &Entry) -> Option<Position> {
        let run = entry.run()?;
        if self.runs.get(run).is_some() { None } else { entry.previous }
    }

    /// Takes in again the history of a run that was let go: all its entries up to what was [lacking](Self::lacks), oldest
    /// first; or the run as it was where this [began](Self::beginning_after), if it was known there, and its entries since.
    pub fn recall(&mut self, run: RunId, base: Option<RunRecord>, history: &[Entry]) {
        self.runs.recall(run, base, history);
    }

    /// How many of what were met so far.
    pub fn tally(&self) -> RecheckTally {
        self.tally
    }

    /// The first commands that came out otherwise, in the order of positions.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// Decides as the committer does: the run first, then the names of all.
    fn decide(&self, command: &Command) -> Result<Decision, Refusal> {
        let state = self.runs.state(command.run);
        let decision = (self.decide)(state, command)?;
        if let Some(name) = name_wanted(state, command) {
            check_name_free(command.run, name, self.runs.holder(name))?;
        }
        Ok(decision)
    }

    /// Whether the run's state is known, so that its commands can be decided.
    fn is_whole(&self, entry: &Entry, run: RunId) -> bool {
        match self.runs.get(run) {
            Some(held) => held.is_whole && entry.previous == Some(held.last),
            None => entry.previous.is_none(),
        }
    }

    fn committed(&mut self, entry: &Entry, committed: &Committed) {
        let command = &committed.command;
        let is_whole = self.is_whole(entry, command.run);
        let decided = is_whole.then(|| Decided::from(self.decide(command)));
        let before = self.runs.state(command.run).version();
        let after = self.runs.advance(entry, committed, is_whole);
        let Some(mut now) = decided else {
            self.tally.undecided += 1;
            return;
        };
        if let Decided::Written { events, version } = &mut now {
            // Its events lead on from the state before; if they are the recorded ones, to what was folded just now.
            version.0 = if *events == committed.events { after.0 } else { before.0 + events.len() as u64 };
            if *events == committed.events && *version == committed.version {
                self.tally.decided += 1;
                self.tally.written += 1;
                return;
            }
        }
        let recorded = Decided::Written { events: committed.events.clone(), version: committed.version };
        self.compare(entry, command, recorded, now);
    }

    fn refused(&mut self, entry: &Entry, refused: &Refused) {
        if refused.count.is_power_of_two() {
            self.tally.counted += (refused.count / 2).saturating_sub(1);
        }
        let run = refused.command.run();
        let is_whole = self.is_whole(entry, run);
        match &refused.command {
            RefusedCommand::OutOfBounds { .. } => self.tally.headers += 1,
            RefusedCommand::Whole(_) if !is_whole => self.tally.undecided += 1,
            RefusedCommand::Whole(command) => {
                let now = Decided::from(self.decide(command));
                self.compare(entry, command, Decided::Refused(refused.refusal.clone()), now);
            }
        }
        self.runs.pass(entry, run, is_whole);
    }

    fn compare(&mut self, entry: &Entry, command: &Command, recorded: Decided, now: Decided) {
        let differs = recorded != now;
        if differs && self.has_gap && (recorded.is_about_names() || now.is_about_names()) {
            self.tally.undecided += 1;
            return;
        }
        self.tally.decided += 1;
        match recorded {
            Decided::Written { .. } | Decided::AlreadyRecorded => self.tally.written += 1,
            Decided::Refused(_) => self.tally.refused += 1,
        }
        if !differs {
            return;
        }
        self.tally.differing += 1;
        if self.differences.len() < self.differences_max {
            self.differences.push(Difference {
                position: entry.position,
                run: command.run,
                command: command.id,
                action: command.action.name(),
                actor: command.actor.clone(),
                recorded,
                now,
            });
        }
    }
}

impl Projection for Recheck {
    const NAME: &'static str = "recheck";
    const VERSION: u32 = 1;

    fn apply(&mut self, entry: &Entry) {
        if entry.position <= self.position {
            return;
        }
        self.has_gap |= entry.position != self.position.next();
        self.position = entry.position;
        match &entry.body {
            EntryBody::Committed(committed) => self.committed(entry, committed),
            EntryBody::Refused(refused) => self.refused(entry, refused),
            EntryBody::System(_) => {}
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}
