//! What shall be otherwise.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use tachograph_engine::domain::{CommandId, Position};

use super::waiver::Waiver;
use super::whatif::contradiction;
use crate::duration;
use crate::error::Error;

/// Rules that differ from the engine's, or commands that differ from the recorded ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Guards that are off.
    pub without: BTreeSet<Waiver>,
    /// How long after its arming every snapshot is due, in milliseconds.
    pub snapshot_delay_ms: Option<i64>,
    /// Commands that were never given.
    pub dropped: Vec<Which>,
    /// Commands that came at another place.
    pub moved: Vec<Move>,
    /// Whether reports name a row whose id is given again after its run was destroyed.
    pub naive_row_ids: bool,
}

/// Which recorded command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that the entry at this position answers.
    At(Position),
    /// The one with this id.
    Id(CommandId),
}

/// A command that takes another place: before the entry there if it comes earlier, after it if it comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The position of its entry.
    pub from: Position,
    /// The place that it takes.
    pub to: Position,
}

/// As the option that asks for it.
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => write!(f, "--drop {position}"),
            Self::Id(command) => write!(f, "--drop {command}"),
        }
    }
}

/// As the option that asks for it.
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--move {}:{}", self.from, self.to)
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(position) = text.parse() {
            return Ok(Self::At(Position(position)));
        }
        text.parse().map(Self::Id).map_err(|_| "expected a position (1042) or a command id of 26 characters".to_owned())
    }
}

impl FromStr for Move {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected two different positions, for example 1042:980".to_owned();
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) if from != to && to > 0 => Ok(Self { from: Position(from), to: Position(to) }),
            _ => Err(wrong()),
        }
    }
}

impl Rules {
    /// Whether nothing is otherwise.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is otherwise, one line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.without.iter().map(|waiver| format!("without {waiver}")).collect();
        if let Some(millis) = self.snapshot_delay_ms {
            let micros = u64::try_from(millis).unwrap_or(0).saturating_mul(1_000);
            lines.push(format!("every snapshot is due {} after its arming", duration::human(micros)));
        }
        lines.extend(self.dropped.iter().map(|which| match which {
            Which::At(position) => format!("the command at position {position} is dropped"),
            Which::Id(command) => format!("command {command} is dropped"),
        }));
        lines
            .extend(self.moved.iter().map(|Move { from, to }| format!("the command at position {from} comes at {to}")));
        if self.naive_row_ids {
            lines.push("reports name a row id, which is given again after its run was destroyed".to_owned());
        }
        lines
    }

    /// That no two of them are about the place of the command at one position.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (number, one) in self.moved.iter().enumerate() {
            if let Some(other) = self.moved[..number].iter().find(|other| other.from == one.from) {
                return Err(contradiction(other, one));
            }
            if let Some(dropped) = self.dropped.iter().find(|which| **which == Which::At(one.from)) {
                return Err(contradiction(dropped, one));
            }
        }
        Ok(())
    }

    /// Whether a guard is off.
    pub(super) fn lack(&self, waiver: Waiver) -> bool {
        self.without.contains(&waiver)
    }
}
