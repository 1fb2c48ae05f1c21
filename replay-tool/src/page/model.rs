//! What a page shows, in columns that are short as JSON. The script of the page is the only other reader of it.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use tachograph_engine::domain::{EventName, StatusName};

use super::tables::{Deltas, IdColumn, Ids, Strings, Text};

/// All that a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Where it is from.
    pub source: Source,
    /// Which part of the history it is.
    pub range: Range,
    /// Names of the statuses, by the numbers that stand for them.
    pub statuses: [&'static str; 6],
    /// Names of the events, by the numbers that stand for them.
    pub events: Vec<&'static str>,
    /// Texts, by their numbers.
    pub strings: Strings,
    /// Ids of attempts, snapshots and whatever a text names, by their numbers.
    pub ids: Ids,
    /// The runs, in the order in which they were first met.
    pub runs: Runs,
    /// The entries, by position.
    pub entries: Entries,
    /// The writer that had the journal open when the range begins.
    pub writer_before: Option<(u32, Text)>,
}

/// Where a page is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The data directory or bundle, as it was given.
    pub data: String,
    /// Position of the journal's last entry.
    pub head: u64,
    /// The hash there: the journal's, or that of a bundle's own chain.
    pub digest: String,
    /// Whether it is a bundle with a chain of its own, as of one run or with redacted values.
    pub has_own_chain: bool,
    /// When the page was made, in microseconds.
    pub made_at: i64,
    /// By which version of this program.
    pub version: &'static str,
    /// What it holds, if it is only a part of a journal.
    pub held: Option<String>,
    /// What could not be read, if the journal is damaged.
    pub damage: Option<String>,
}

/// Which part of the history a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Range {
    /// After this position.
    pub after: u64,
    /// Up to this one.
    pub up_to: u64,
    /// Number of the only run that is shown, if one was asked for.
    pub only_run: Option<String>,
    /// Entries of what was asked for that are left out, before `after`, because there are too many.
    pub left_out: u64,
    /// Until when runs that have not ended are drawn, in microseconds.
    pub until: i64,
    /// Whether the last writer is alive, so that what is open goes on.
    pub is_live: bool,
}

/// The runs: a row has the same number in every column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// Its id.
    pub id: IdColumn,
    /// Its name.
    pub name: Vec<Option<u32>>,
    /// Keys and values of its labels in turn.
    pub labels: Vec<Vec<u32>>,
    /// Its command line or image; absent if it was never created.
    pub workload: Vec<Option<u32>>,
    /// The run that it belongs to.
    pub parent: Vec<Option<u32>>,
    /// When it was created, in microseconds.
    pub created_at: Vec<Option<i64>>,
    /// What it was when the range begins; absent if it was created within it, or never.
    pub before: Vec<Option<Before>>,
}

/// What a run was when the range begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Before {
    /// Number of its status.
    pub status: u8,
    /// How it ended, if it exited.
    pub tone: Tone,
    /// Ordinal of its latest attempt; 0 before the first.
    pub attempt: u32,
    /// Refused commands that were recorded about it by then.
    pub refusals: u64,
    /// The snapshot that was armed, and when it was due.
    pub armed: Option<(u32, i64)>,
    /// The snapshot that was being taken.
    pub in_flight: Option<u32>,
}

/// How an exit is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Code 0.
    Good,
    /// Another code, or a signal.
    Bad,
    /// Nobody knows.
    Unknown,
}

impl Serialize for Tone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::Good => 0,
            Self::Bad => 1,
            Self::Unknown => 2,
        })
    }
}

/// The entries: a row has the same number in every column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Entries {
    /// Its position.
    pub position: Deltas,
    /// Its id.
    pub id: IdColumn,
    /// When it was recorded, in microseconds.
    pub time: Deltas,
    /// Number of the run that it is about.
    pub run: Vec<Option<u32>>,
    /// Who asked.
    pub actor: Vec<Option<Text>>,
    /// What was asked.
    pub action: Vec<Option<u32>>,
    /// Id of the command; of one without a command, all zeros.
    pub command: IdColumn,
    /// How long before it was recorded the command was issued, in microseconds.
    pub issued_before: Vec<i64>,
    /// Number of the attempt that the command names.
    pub attempt: Vec<Option<u32>>,
    /// The version that the command expects, and the row that it is in: few have one.
    pub expected: Vec<(u32, u64)>,
    /// What it records.
    pub body: Vec<Body>,
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// What an entry records: an array in JSON, which begins with 0, 1 or 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `[0, version, event…]`
    Committed {
        /// The run's version after it.
        version: u64,
        /// What happened.
        events: Vec<Happened>,
    },
    /// `[1, count, asked, code, message, remedy]`
    Refused {
        /// How often this actor had been refused like this by then.
        count: u64,
        /// What was asked, in words.
        asked: Text,
        /// Code of the refusal.
        code: u32,
        /// What is wrong.
        message: Text,
        /// What to do.
        remedy: u32,
    },
    /// `[2, fact, words]`
    System {
        /// 0 opened, 1 recovered, 2 closed.
        fact: u8,
        /// Process id of the writer; 0 for `recovered`.
        pid: u32,
        /// The same in words.
        words: Text,
    },
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Committed { version, events } => {
                let mut seq = serializer.serialize_seq(Some(2 + events.len()))?;
                seq.serialize_element(&0)?;
                seq.serialize_element(version)?;
                events.iter().try_for_each(|event| seq.serialize_element(event))?;
                seq.end()
            }
            Self::Refused { count, asked, code, message, remedy } => {
                (1, count, asked, code, message, remedy).serialize(serializer)
            }
            Self::System { fact, pid, words } => (2, fact, pid, words).serialize(serializer),
        }
    }
}

/// An event: `[event, words, what the drawing needs…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Which event.
    pub event: EventName,
    /// The same in words.
    pub words: Text,
    /// What the drawing needs of it.
    pub detail: Detail,
}

/// What the drawing needs of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// Nothing more.
    None,
    /// Ordinal of the attempt that began.
    Attempt(u32),
    /// How an exit is to be seen.
    Tone(Tone),
    /// Which snapshot.
    Snapshot(u32),
    /// Which snapshot, and when it is due in microseconds.
    Due(u32, i64),
    /// Names and values of what was seen of a failure, in turn.
    Notes(Vec<(u32, u32)>),
}

impl Serialize for Happened {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event as u8;
        match &self.detail {
            Detail::None => (event, &self.words).serialize(serializer),
            detail => (event, &self.words, detail).serialize(serializer),
        }
    }
}

/// The number of a status.
pub const fn status_number(status: StatusName) -> u8 {
    status as u8
}

/// The events by their numbers.
pub const EVENTS: [EventName; 14] = [
    EventName::Created,
    EventName::Started,
    EventName::Waiting,
    EventName::Exited,
    EventName::Failed,
    EventName::Destroyed,
    EventName::SnapshotScheduled,
    EventName::SnapshotCanceled,
    EventName::SnapshotDispatched,
    EventName::SnapshotTaken,
    EventName::SnapshotFailed,
    EventName::RunnerDisconnected,
    EventName::ExitAmended,
    EventName::Reconciled,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_the_names_at_their_place() {
        for (number, event) in EVENTS.iter().enumerate() {
            assert_eq!(*event as usize, number, "{}", event.name());
        }
        for (number, status) in StatusName::ALL.iter().enumerate() {
            assert_eq!(usize::from(status_number(*status)), number, "{status}");
        }
    }
}
