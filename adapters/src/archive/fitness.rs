//! Whether a run has ended so that its history may go.

use std::borrow::Cow;
use std::collections::HashMap;

use tachograph_engine::codec;
use tachograph_engine::domain::{Entry, RunId, RunRecord, StatusName, Timestamp, timers_of};
use tachograph_engine::ports::JournalError;

use crate::journal::stub::Stub;

/// A run that keeps its history in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which run.
    pub run: RunId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its status.
    pub status: StatusName,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// Why its history stays.
    pub hold: Hold,
}

/// Why a run's history stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It has not ended.
    Open,
    /// A snapshot of it is being taken.
    InFlight,
    /// A timer is armed for it.
    Armed,
    /// Something happened to it at the given time or later.
    Later,
}

impl Hold {
    /// Stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InFlight => "snapshot_in_flight",
            Self::Armed => "timer_armed",
            Self::Later => "ended_later",
        }
    }

    /// In words that follow a run.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Open => "has not ended",
            Self::InFlight => "has a snapshot that is being taken",
            Self::Armed => "has an armed timer",
            Self::Later => "changed at that time or later",
        }
    }

    fn of(record: &RunRecord, before: Timestamp) -> Option<Self> {
        if !record.run.is_ended() {
            Some(Self::Open)
        } else if !record.run.is_settled() {
            Some(Self::InFlight)
        } else if !timers_of(record).is_empty() {
            Some(Self::Armed)
        } else if record.updated_at >= before {
            Some(Self::Later)
        } else {
            None
        }
    }
}

/// All runs at the end of a journal. Those that have ended are held as bytes, some hundred for each.
#[derive(Debug, Default)]
pub(super) struct Fleet(HashMap<RunId, Known>);

#[derive(Debug)]
enum Known {
    /// It was never created, as far as was read.
    Nothing,
    /// Something happens to it.
    Open(Box<RunRecord>),
    /// It ended, and nothing happened to it since.
    Packed(Box<[u8]>),
}

impl Known {
    fn of(record: Option<RunRecord>, may_pack: bool) -> Self {
        match record {
            None => Self::Nothing,
            Some(record) if may_pack && record.run.is_ended() => {
                Self::Packed(codec::encode_records(std::slice::from_ref(&record)).into())
            }
            Some(record) => Self::Open(Box::new(record)),
        }
    }

    fn record(&self) -> Option<Cow<'_, RunRecord>> {
        match self {
            Self::Nothing => None,
            Self::Open(record) => Some(Cow::Borrowed(record)),
            Self::Packed(bytes) => Some(Cow::Owned(codec::decode_records(bytes).ok()?.pop()?)),
        }
    }

    fn into_record(self) -> Option<RunRecord> {
        match self {
            Self::Nothing => None,
            Self::Open(record) => Some(*record),
            // It was packed here: that it can be read again is no question.
            Self::Packed(bytes) => codec::decode_records(&bytes).ok().and_then(|mut records| records.pop()),
        }
    }
}

impl Fleet {
    /// Takes in the next entry.
    ///
    /// # Errors
    ///
    /// Those of reading the stub.
    pub(super) fn see(&mut self, entry: &Entry, stub: Option<&Stub>) -> Result<(), JournalError> {
        let Some(run) = entry.run() else { return Ok(()) };
        let before = match (self.0.remove(&run), stub) {
            (Some(known), _) => known.into_record(),
            (None, Some(stub)) if entry.previous.is_some() => stub.run(run)?.and_then(|kept| kept.record),
            (None, _) => None,
        };
        // Packed when it ends, and not again for each late report.
        self.0.insert(run, Known::of(RunRecord::fold(before, entry), !entry.events().is_empty()));
        Ok(())
    }

    /// Why a run's history stays; absent if it may go.
    pub(super) fn holding(&self, run: RunId, before: Timestamp) -> Option<Holding> {
        let record = self.0.get(&run)?.record()?;
        let hold = Hold::of(&record, before)?;
        let name = record.run.spec.name.clone();
        Some(Holding { run, name, status: record.run.status.name(), updated_at: record.updated_at, hold })
    }
}
