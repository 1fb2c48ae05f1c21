//! All that the screen shows of a journal at a position, as plain data.

use std::sync::Arc;

use tachograph_engine::domain::{Entry, Position, RunId, RunRecord, StatusName};

/// Which runs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those that had not ended.
    Open,
    /// Those in this status.
    Status(StatusName),
}

impl Filter {
    /// All of them, in the order in which people go through them.
    pub const ALL: [Self; 8] = [
        Self::All,
        Self::Open,
        Self::Status(StatusName::Created),
        Self::Status(StatusName::Started),
        Self::Status(StatusName::Waiting),
        Self::Status(StatusName::Exited),
        Self::Status(StatusName::Failed),
        Self::Status(StatusName::Destroyed),
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Open => "open",
            Self::Status(status) => status.name(),
        }
    }

    /// Whether a run in this status is listed.
    pub fn fits(self, status: StatusName) -> bool {
        match self {
            Self::All => true,
            Self::Open => !status.is_ended(),
            Self::Status(wanted) => wanted == status,
        }
    }

    /// The one so many places further, around the end.
    #[must_use]
    pub fn turned(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        let count = Self::ALL.len() as isize;
        Self::ALL[(at as isize + by).rem_euclid(count) as usize]
    }
}

/// What the timeline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// The journal's entries around the cursor. The selection follows the cursor.
    #[default]
    Journal,
    /// The entries of the selected run.
    Run,
}

/// A run in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run as it was at the position.
    pub record: Arc<RunRecord>,
    /// Whether it is the selected one.
    pub is_selected: bool,
}

/// An entry in the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The name of its run, if it has one that is known at the position.
    pub name: Option<String>,
}

/// All that the screen shows of a journal at a position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// Where the cursor is.
    pub position: Position,
    /// The end of the journal.
    pub head: Position,
    /// The entry at the cursor.
    pub entry: Option<Arc<Entry>>,
    /// Which runs are listed.
    pub filter: Filter,
    /// How many runs fit that.
    pub fitting: usize,
    /// How many runs there were.
    pub total: usize,
    /// The runs around the selected one, newest first.
    pub runs: Vec<RunRow>,
    /// What the timeline shows.
    pub lane: Lane,
    /// Entries at the cursor and before and after it, in order.
    pub entries: Vec<EntryRow>,
    /// The selected run.
    pub selected: Option<RunId>,
    /// What it was at the position; absent if it did not exist then.
    pub record: Option<Arc<RunRecord>>,
    /// What it was before the entry at the cursor, if that is about it; absent also if that created it.
    pub before: Option<Arc<RunRecord>>,
    /// Of the selected run's entries, how many lie at or before the cursor, and how many there are.
    pub own: (usize, usize),
    /// What of the journal cannot be read, if anything was met.
    pub damage: Option<String>,
}

impl Scene {
    /// Whether the entry at the cursor is about the selected run.
    pub fn is_about_selected(&self) -> bool {
        self.selected.is_some() && self.entry.as_ref().and_then(|entry| entry.run()) == self.selected
    }
}
