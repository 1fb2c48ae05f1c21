//! What is held of a journal: all of it, what was not archived, or the part that a bundle was made of.

use std::collections::BTreeMap;

use tachograph_adapters::bundle::{Manifest, Scope};
use tachograph_engine::domain::{Entry, Position, RunId, StatusName};

/// Runs that a message lists; more are counted.
const LISTED_MAX: usize = 5;

/// Which entries of a journal there are to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Held {
    /// All, up to the end. Damage is another matter.
    #[default]
    Whole,
    /// Those between two positions.
    Range(Stretch),
    /// Those that were not archived. How every run stood before them is known all the same.
    Rest {
        /// From where to where.
        stretch: Stretch,
        /// The bundle with the entries right before, as it was named when they were archived.
        bundle: String,
    },
    /// Those about one run, and the facts about the journal between them.
    Run(RunId, Stretch),
}

/// From where to where a part reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first position that is held.
    pub first: Position,
    /// The last one.
    pub last: Position,
    /// Where the journal ended when the part was made.
    pub of: Position,
}

impl Held {
    /// What a bundle holds, by what it says about itself.
    pub(crate) fn by(manifest: &Manifest) -> Self {
        let stretch =
            Stretch { first: manifest.first, last: manifest.tip.position, of: manifest.journal_head.position };
        match manifest.scope {
            Scope::Whole => Self::Whole,
            Scope::Range => Self::Range(stretch),
            Scope::Run(run) => Self::Run(run, stretch),
        }
    }

    /// Up to here nothing is held, and what was true here is not known; zero if the beginning is held.
    pub fn before(&self) -> Position {
        match self {
            Self::Whole => Position::ZERO,
            Self::Range(stretch) | Self::Run(_, stretch) | Self::Rest { stretch, .. } => {
                Position(stretch.first.0.saturating_sub(1))
            }
        }
    }

    /// Whether it is a part that does not tell of every run how it stood before.
    pub const fn is_part(&self) -> bool {
        matches!(self, Self::Range(_) | Self::Run(..))
    }

    /// What is held, in words; absent if that is all.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Range(stretch) => Some(format!("it holds {}", stretch.words())),
            Self::Rest { stretch, bundle } => Some(format!(
                "it holds positions {} to {}, and those before are archived, in {bundle}",
                stretch.first, stretch.last
            )),
            Self::Run(run, stretch) => Some(format!("it holds run {run} alone, {}", stretch.words())),
        }
    }

    /// What is held and what is not, in words; absent if all is.
    pub fn note(&self) -> Option<String> {
        let words = self.words()?;
        let rest = match self {
            Self::Rest { .. } => {
                "what happened by then is told by that bundle (--data), and what became of each run here as well"
            }
            Self::Run(..) => "other runs, and what the journal says before and after, are not in it",
            Self::Whole | Self::Range(_) if self.before() == Position::ZERO => "what came after is not in it",
            Self::Whole | Self::Range(_) => "runs, timers and answers from before are not in it, nor what came after",
        };
        Some(format!("{words}: {rest}"))
    }
}

impl Stretch {
    fn words(&self) -> String {
        format!("positions {} to {} of a journal of {}", self.first, self.last, self.of)
    }
}

/// A run of which entries can be read, but not its creation: what it is, nobody can fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunBefore {
    /// Which run.
    pub run: RunId,
    /// Position of the first entry about it that can be read.
    pub first: Position,
    /// Position of the last one.
    pub last: Position,
    /// The status that its last transition led to; absent if none can be read.
    pub status: Option<StatusName>,
}

impl BegunBefore {
    /// Whether it has ended, as far as can be read.
    pub fn has_ended(&self) -> bool {
        matches!(self.status, Some(StatusName::Exited | StatusName::Failed | StatusName::Destroyed))
    }
}

/// The runs that were begun before, gathered entry by entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Strangers(BTreeMap<RunId, BegunBefore>);

impl Strangers {
    /// Takes note of an entry about a run that is not known after it. One that was never created has none but refused
    /// commands, without a way back.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        if entry.previous.is_none() && entry.events().is_empty() && !self.0.contains_key(&run) {
            return;
        }
        let at = entry.position;
        let stranger = self.0.entry(run).or_insert(BegunBefore { run, first: at, last: at, status: None });
        stranger.last = at;
        if let Some(status) = entry.events().iter().rev().find_map(|event| event.leads_to()) {
            stranger.status = Some(status);
        }
    }

    /// All of them, by id.
    pub(crate) fn into_vec(self) -> Vec<BegunBefore> {
        self.0.into_values().collect()
    }
}

/// How many there are, and the first of them.
pub(crate) fn counted(begun_before: &[BegunBefore]) -> String {
    let listed: Vec<String> = begun_before.iter().take(LISTED_MAX).map(|begun| begun.run.to_string()).collect();
    let more = if begun_before.len() > LISTED_MAX { ", …" } else { "" };
    format!("{} ({}{more})", begun_before.len(), listed.join(", "))
}
