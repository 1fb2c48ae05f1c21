//! What comes out otherwise.

use tachograph_engine::domain::{ActionName, CommandId, Position, RunId, RunState, SnapshotId, StatusName};
use tachograph_projections::Decided;

use super::waiver::Waiver;

/// Changes of one run that are listed.
pub(super) const CHANGES_MAX: usize = 16;

/// How a run ended up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// Its last transition; absent if it was never created.
    pub status: Option<StatusName>,
    /// Attempts that it had.
    pub attempts: u32,
    /// How the latest ended: its exit status or its failure, in words.
    pub outcome: Option<String>,
}

impl Ending {
    /// That of a run in this state.
    pub fn of(state: &RunState) -> Self {
        let Some(run) = state.run() else { return Self::default() };
        let attempt = run.attempt.as_ref();
        Self {
            status: Some(run.status.name()),
            attempts: attempt.map_or(0, |attempt| attempt.ordinal.0),
            outcome: attempt.and_then(|attempt| attempt.outcome.as_ref()).map(ToString::to_string),
        }
    }
}

/// What is otherwise about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlipKind {
    /// Its last status, or how its latest attempt ended.
    Outcome,
    /// How many attempts it had.
    Attempts,
    /// A command that was refused would have been accepted.
    Accepted,
    /// A command that was accepted would have been refused.
    Refused,
    /// Which of its snapshots were taken.
    Snapshots,
}

impl FlipKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Outcome, Self::Attempts, Self::Accepted, Self::Refused, Self::Snapshots];

    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Attempts => "attempts",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Snapshots => "snapshots",
        }
    }
}

/// What became of a command, or would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// It was decided.
    Decided(Decided),
    /// It was dropped.
    Dropped,
    /// It comes at another place.
    Moved,
    /// Nobody gives it: the timekeeper dispatches what is armed and due, and records what it took.
    NotAsked,
}

impl Became {
    /// Whether it led to events.
    pub(super) const fn is_written(&self) -> bool {
        matches!(self, Self::Decided(Decided::Written { .. }))
    }

    /// Whether it is the same but for the version and the words of a refusal.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Decided(Decided::Written { events, .. }),
                Self::Decided(Decided::Written { events: others, .. }),
            ) => events == others,
            _ => self == other || (self.is_refused() && other.is_refused()),
        }
    }

    /// Whether it was refused.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self, Self::Decided(Decided::Refused(_)))
    }
}

/// A command that comes to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Position of its entry; of a simulated dispatch, that of the entry before which it comes.
    pub position: Position,
    /// The run that it was given about.
    pub run: RunId,
    /// Its id; absent for a simulated dispatch.
    pub command: Option<CommandId>,
    /// What it asked or observed.
    pub action: ActionName,
    /// What became of it.
    pub recorded: Became,
    /// What would have become of it.
    pub would_be: Became,
    /// The guards that it passes because they are off.
    pub waived: Vec<Waiver>,
}

/// A run that would have come out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// Which one.
    pub run: RunId,
    /// Its name.
    pub name: Option<String>,
    /// What is otherwise.
    pub kinds: Vec<FlipKind>,
    /// The first position at which its history parts from the recorded one.
    pub parts_at: Position,
    /// How it ended up.
    pub recorded: Ending,
    /// How it would have ended up.
    pub would_be: Ending,
    /// Commands that were refused and would have been accepted.
    pub accepted: u64,
    /// Commands that were accepted and would have been refused.
    pub refused: u64,
    /// Snapshots that were dispatched after the histories part.
    pub snapshots_recorded: Vec<SnapshotId>,
    /// Snapshots that would have been dispatched after that.
    pub snapshots_would_be: Vec<SnapshotId>,
    /// The first commands that come to something else.
    pub changes: Vec<Change>,
    /// Changes beyond those that are listed.
    pub more_changes: u64,
}

/// A run's other history, from where it parts on.
#[derive(Debug)]
pub(super) struct Parted {
    pub(super) state: RunState,
    pub(super) at: Position,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) snapshots_recorded: Vec<SnapshotId>,
    pub(super) snapshots_would_be: Vec<SnapshotId>,
    pub(super) changes: Vec<Change>,
    pub(super) changes_count: u64,
}

impl Parted {
    pub(super) fn new(state: RunState, at: Position) -> Self {
        Self {
            state,
            at,
            accepted: 0,
            refused: 0,
            snapshots_recorded: Vec::new(),
            snapshots_would_be: Vec::new(),
            changes: Vec::new(),
            changes_count: 0,
        }
    }

    /// Takes note of a command that comes to something else.
    pub(super) fn note(&mut self, change: Change) {
        let was_refused = change.recorded.is_refused();
        let is_refused = change.would_be.is_refused();
        self.accepted += u64::from(was_refused && matches!(change.would_be, Became::Decided(_)) && !is_refused);
        self.refused += u64::from(!was_refused && matches!(change.recorded, Became::Decided(_)) && is_refused);
        self.changes_count += 1;
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(change);
        }
    }

    /// What is otherwise at the end, if that is more than times.
    pub(super) fn flip(self, run: RunId, recorded: &RunState) -> Option<Flip> {
        let (was, would_be) = (Ending::of(recorded), Ending::of(&self.state));
        let sorted = |snapshots: &[SnapshotId]| {
            let mut snapshots = snapshots.to_vec();
            snapshots.sort_unstable();
            snapshots
        };
        let is_otherwise = |kind: &FlipKind| match kind {
            FlipKind::Outcome => (was.status, &was.outcome) != (would_be.status, &would_be.outcome),
            FlipKind::Attempts => was.attempts != would_be.attempts,
            FlipKind::Accepted => self.accepted > 0,
            FlipKind::Refused => self.refused > 0,
            FlipKind::Snapshots => sorted(&self.snapshots_recorded) != sorted(&self.snapshots_would_be),
        };
        let kinds: Vec<FlipKind> = FlipKind::ALL.into_iter().filter(is_otherwise).collect();
        let known = recorded.run().or(self.state.run());
        let name = known.and_then(|known| known.spec.name.clone());
        (!kinds.is_empty()).then(|| Flip {
            run,
            name,
            kinds,
            parts_at: self.at,
            more_changes: self.changes_count - self.changes.len() as u64,
            recorded: was,
            would_be,
            accepted: self.accepted,
            refused: self.refused,
            snapshots_recorded: self.snapshots_recorded,
            snapshots_would_be: self.snapshots_would_be,
            changes: self.changes,
        })
    }
}
