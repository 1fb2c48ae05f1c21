//! The recorded commands under other rules.

use serde::Serialize;

use super::recheck::DecidedView;
use crate::rule::{Became, Change, Ending, Flip, FlipKind, WhatIf};

/// What other rules would have led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhatIfView {
    /// What is otherwise, in words.
    pub rules: Vec<String>,
    /// Position of the last entry.
    pub up_to: u64,
    /// Recorded commands that were given again.
    pub commands: u64,
    /// Commands that cannot be decided, because entries before them are missing.
    pub undecided: u64,
    /// Runs that were recorded.
    pub recorded_runs: u64,
    /// Runs whose histories part, if only in a time.
    pub parted: u64,
    /// Runs that come out otherwise, and how many in which respect.
    pub flips: FlipsView,
    /// The runs that come out otherwise, by where they part.
    pub runs: Vec<FlipView>,
    /// Runs beyond those that are listed.
    pub more_runs: usize,
    /// What was assumed, in words.
    pub assumptions: Vec<String>,
}

/// How many runs come out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlipsView {
    /// In any respect.
    pub runs: usize,
    /// In their last status, or how their latest attempt ended.
    pub outcome: usize,
    /// In the number of their attempts.
    pub attempts: usize,
    /// A command that was refused would have been accepted.
    pub accepted: usize,
    /// A command that was accepted would have been refused.
    pub refused: usize,
    /// In which of their snapshots were taken.
    pub snapshots: usize,
}

/// A run that comes out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlipView {
    /// Which one.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// In which respects: `outcome`, `attempts`, `accepted`, `refused`, `snapshots`.
    pub kinds: Vec<&'static str>,
    /// The first position at which its history parts from the recorded one.
    pub parts_at: u64,
    /// How it ended up.
    pub recorded: EndingView,
    /// How it would have ended up.
    pub would_be: EndingView,
    /// Commands that were refused and would have been accepted.
    pub accepted: u64,
    /// Commands that were accepted and would have been refused.
    pub refused: u64,
    /// The first commands that come to something else.
    pub changes: Vec<ChangeView>,
    /// Changes beyond those that are listed.
    pub more_changes: u64,
}

/// How a run ended up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndingView {
    /// Its last status; absent if it was never created.
    pub status: Option<&'static str>,
    /// Attempts that it had.
    pub attempts: u32,
    /// How the latest ended, in words.
    pub outcome: Option<String>,
    /// Snapshots that were dispatched after the histories part.
    pub snapshots: Vec<String>,
}

/// A command that comes to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// Position of its entry; of a simulated dispatch, that of the entry before which it comes.
    pub position: u64,
    /// The run that it was given about.
    pub run: String,
    /// Its id; absent for a simulated dispatch.
    pub command: Option<String>,
    /// What was asked.
    pub action: &'static str,
    /// What became of it.
    pub recorded: BecameView,
    /// What would have become of it.
    pub would_be: BecameView,
    /// The guards that it passes because they are off.
    pub without: Vec<&'static str>,
}

/// What became of a command: as of a decided one, with more outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BecameView {
    /// Also `dropped`, `moved` and `not_asked`.
    #[serde(flatten)]
    pub decided: DecidedView,
}

impl WhatIfView {
    /// What was found, with these of its runs.
    pub fn of(told: &WhatIf, listed: &[&Flip], more_runs: usize) -> Self {
        Self {
            rules: told.rules.lines(),
            up_to: told.up_to.0,
            commands: told.commands,
            undecided: told.undecided,
            recorded_runs: told.runs,
            parted: told.parted,
            flips: FlipsView {
                runs: told.flips.len(),
                outcome: told.count(FlipKind::Outcome),
                attempts: told.count(FlipKind::Attempts),
                accepted: told.count(FlipKind::Accepted),
                refused: told.count(FlipKind::Refused),
                snapshots: told.count(FlipKind::Snapshots),
            },
            runs: listed.iter().map(|flip| FlipView::from(*flip)).collect(),
            more_runs,
            assumptions: told.assumptions(),
        }
    }
}

impl From<&Flip> for FlipView {
    fn from(flip: &Flip) -> Self {
        Self {
            run: flip.run.to_string(),
            name: flip.name.clone(),
            kinds: flip.kinds.iter().map(|kind| kind.name()).collect(),
            parts_at: flip.parts_at.0,
            recorded: EndingView::of(&flip.recorded, &flip.snapshots_recorded),
            would_be: EndingView::of(&flip.would_be, &flip.snapshots_would_be),
            accepted: flip.accepted,
            refused: flip.refused,
            changes: flip.changes.iter().map(Into::into).collect(),
            more_changes: flip.more_changes,
        }
    }
}

impl EndingView {
    fn of(ending: &Ending, snapshots: &[tachograph_engine::domain::SnapshotId]) -> Self {
        Self {
            status: ending.status.map(tachograph_engine::domain::StatusName::name),
            attempts: ending.attempts,
            outcome: ending.outcome.clone(),
            snapshots: snapshots.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        Self {
            position: change.position.0,
            run: change.run.to_string(),
            command: change.command.map(|command| command.to_string()),
            action: change.action.name(),
            recorded: (&change.recorded).into(),
            would_be: (&change.would_be).into(),
            without: change.waived.iter().map(|waiver| waiver.code()).collect(),
        }
    }
}

impl From<&Became> for BecameView {
    fn from(became: &Became) -> Self {
        let nothing = |outcome| DecidedView { outcome, version: None, events: Vec::new(), code: None, message: None };
        let decided = match became {
            Became::Decided(decided) => decided.into(),
            Became::Dropped => nothing("dropped"),
            Became::Moved => nothing("moved"),
            Became::NotAsked => nothing("not_asked"),
        };
        Self { decided }
    }
}
