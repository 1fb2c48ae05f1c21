//! Recorded commands, decided again.

use serde::Serialize;
use tachograph_projections::{Decided, Difference};

use super::entry::ActorView;
use super::event::EventView;
use crate::rule::Rechecked;

/// What came of deciding every recorded command again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecheckView {
    /// Position of the last entry.
    pub up_to: u64,
    /// Commands that were decided again.
    pub decided: u64,
    /// How many of them are recorded as written.
    pub written: u64,
    /// How many of them are recorded as refused.
    pub refused: u64,
    /// How many of them come out otherwise than recorded.
    pub differing: u64,
    /// Commands that cannot be decided, because entries before them are missing.
    pub undecided: u64,
    /// Refused commands of which only the header was kept.
    pub headers_only: u64,
    /// Refusals that were counted without an entry; at least so many.
    pub counted_only: u64,
    /// The first commands that come out otherwise.
    pub differences: Vec<DifferenceView>,
    /// Differences beyond those that are listed.
    pub more_differences: u64,
}

/// A command that comes out otherwise than recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferenceView {
    /// Position of its entry.
    pub position: u64,
    /// The run that it is about.
    pub run: String,
    /// Its id.
    pub command: String,
    /// What was asked.
    pub action: &'static str,
    /// Who asked.
    pub actor: ActorView,
    /// As it was recorded.
    pub recorded: DecidedView,
    /// As it is decided now.
    pub now: DecidedView,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecidedView {
    /// `written`, `already_recorded` or `refused`.
    pub outcome: &'static str,
    /// The run's version after it; only for `written`.
    pub version: Option<u64>,
    /// What happened; empty unless it is `written`.
    pub events: Vec<EventView>,
    /// Stable code of the refusal; only for `refused`.
    pub code: Option<&'static str>,
    /// What the refusal says; only for `refused`.
    pub message: Option<String>,
}

impl From<&Rechecked> for RecheckView {
    fn from(rechecked: &Rechecked) -> Self {
        let tally = rechecked.tally;
        Self {
            up_to: rechecked.up_to.0,
            decided: tally.decided,
            written: tally.written,
            refused: tally.refused,
            differing: tally.differing,
            undecided: tally.undecided,
            headers_only: tally.headers,
            counted_only: tally.counted,
            differences: rechecked.differences.iter().map(Into::into).collect(),
            more_differences: rechecked.more(),
        }
    }
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        Self {
            position: difference.position.0,
            run: difference.run.to_string(),
            command: difference.command.to_string(),
            action: difference.action.name(),
            actor: (&difference.actor).into(),
            recorded: (&difference.recorded).into(),
            now: (&difference.now).into(),
        }
    }
}

impl From<&Decided> for DecidedView {
    fn from(decided: &Decided) -> Self {
        let nothing = Self { outcome: "written", version: None, events: Vec::new(), code: None, message: None };
        match decided {
            Decided::Written { events, version } => {
                Self { version: Some(version.0), events: events.iter().map(Into::into).collect(), ..nothing }
            }
            Decided::AlreadyRecorded => Self { outcome: "already_recorded", ..nothing },
            Decided::Refused(refusal) => {
                Self { outcome: "refused", code: Some(refusal.code()), message: Some(refusal.to_string()), ..nothing }
            }
        }
    }
}
