//! The append-only truth.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{
    AttemptId, CommandId, Digest, Entry, EntryBody, EntryId, Position, Refusal, RunId, RunRecord, Timestamp, TornTail,
    Version,
};

/// Entries that are read at a time by whoever looks for facts among them.
const PICKED_PAGE: usize = 4_096;

/// An entry that has no place yet. The journal gives it its position and its back pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its identity.
    pub id: EntryId,
    /// When the committer took it in.
    pub recorded_at: Timestamp,
    /// What it records. For a committed command, `version - events.len()` is the version that its run must be at.
    pub body: EntryBody,
}

/// The end of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last entry; zero in an empty journal.
    pub position: Position,
    /// Hash over the whole history up to there; [`Digest::ZERO`] in an empty journal.
    pub digest: Digest,
}

/// The end of one run's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunHead {
    /// Number of its events; zero if only refused commands name it.
    pub version: Version,
    /// Position of the last entry about it, refusals included.
    pub last: Position,
}

/// What is kept of the answer to a command whose entry was archived: enough to give it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptAnswer {
    /// Its events were recorded.
    Written {
        /// Position of its entry.
        position: Position,
        /// The run's version after its events.
        version: Version,
        /// Attempts that were to be ended when it was answered, and are when it is repeated.
        ends: Vec<AttemptId>,
    },
    /// It was refused.
    Refused {
        /// Position of the recorded refusal.
        position: Position,
        /// Why.
        refusal: Refusal,
    },
}

impl KeptAnswer {
    /// Position of the entry that answered.
    pub const fn position(&self) -> Position {
        match self {
            Self::Written { position, .. } | Self::Refused { position, .. } => *position,
        }
    }
}

/// What the journal found when it was opened for writing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opening {
    /// Whether the writer before closed it, or there was none.
    pub clean: bool,
    /// The incomplete write that was cut off the end, if any.
    pub torn: Option<TornTail>,
    /// Entries up to here were durable once and are gone, if any are.
    pub missing_up_to: Option<(Position, Digest)>,
}

/// The writing side of a journal. There is one writer per local journal; a shared store may have many.
///
/// # Contract
///
/// - Entries of one batch get consecutive positions in the order given; the first entry of all gets position 1.
/// - `append` returns only after the whole batch is durable. After a crash before it returned, a prefix of the batch,
///   or all of it, or nothing may be there; never a part of an entry, never a later entry without the ones before.
/// - Every committed draft is checked against its run's version; on a mismatch nothing of the batch is appended.
/// - After any other failure the journal is poisoned: every later call fails until it is reopened.
#[async_trait]
pub trait Journal: Send {
    /// What was found when it was opened.
    fn opening(&self) -> Opening;

    /// Appends the drafts, all or none as seen by readers, and returns them as recorded.
    ///
    /// # Errors
    ///
    /// [`AppendError::Conflict`] if a run is at another version than a draft expects; the journal is as before.
    /// [`AppendError::Journal`] if the medium failed: what of the batch is durable is unknown until reopened.
    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError>;

    /// A reader that sees what is durable, as soon as it is. Remains usable while and after the writer is closed.
    fn reader(&self) -> Arc<dyn JournalReader>;

    /// Writes what is still buffered beside the journal and gives the lock back.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if that fails; the entries themselves are durable already.
    async fn close(self: Box<Self>) -> Result<(), JournalError>;
}

/// The reading side: never changes anything, sees durable entries only.
#[async_trait]
pub trait JournalReader: Send + Sync {
    /// The end of what is durable now.
    fn head(&self) -> Head;

    /// Up to `limit` entries after a position, in order; empty at the end. `limit` is at least 1.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] where the history is damaged, or another [`JournalError`] if it cannot be read.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError>;

    /// The same for whoever goes through many entries, and asks again from the last one on: fewer than `limit` where fewer are
    /// cheaper by the entry, but one at least unless this is the end.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn read_some(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.read(after, limit).await
    }

    /// The entry at a position, if the journal has one there.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError>;

    /// The hash over the history up to a position, if one is kept for exactly this position: at the end of every
    /// appended batch.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError>;

    /// The first position at or after one at which a hash is kept, with that hash; absent if there is none up to the end.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn digest_from(&self, position: Position) -> Result<Option<(Position, Digest)>, JournalError> {
        let end = self.head().position;
        let mut position = position;
        while position <= end {
            if let Some(digest) = self.digest_at(position).await? {
                return Ok(Some((position, digest)));
            }
            position = position.next();
        }
        Ok(None)
    }

    /// The end of one run's history; absent if no entry is known to be about it. Entries that refuse commands to a
    /// run that was never created need not be known.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError>;

    /// Where a command to this run was answered first, committed or refused.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError>;

    /// The run that took a name last, ended or not.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError>;

    /// The last position whose entry was archived: entries up to there are not in the journal any more, and
    /// [`read`](Self::read) and [`entry`](Self::entry) refuse to answer about them with [`JournalError::Archived`]. Zero
    /// if nothing was archived. All other answers are as if nothing had been.
    fn archived(&self) -> Position {
        Position::ZERO
    }

    /// A run as it was at the last archived position; absent if it was created later or never. Its history continues
    /// from there.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn base(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        let _ = run;
        Ok(None)
    }

    /// All runs that archived entries are about, by id, as they were at the last archived position.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn bases(&self) -> Result<Vec<RunRecord>, JournalError> {
        Ok(Vec::new())
    }

    /// How a command was answered whose entry was archived.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn archived_answer(&self, run: RunId, command: CommandId) -> Result<Option<KeptAnswer>, JournalError> {
        let _ = (run, command);
        Ok(None)
    }

    /// A run as it is now: what is known of it from before the archive ends, and its history since. Absent if it was
    /// never created.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn record(&self, run: RunId) -> Result<Option<RunRecord>, JournalError> {
        if self.run_head(run).await?.is_none() {
            return Ok(None);
        }
        let base = self.base(run).await?;
        Ok(self.history(run).await?.iter().fold(base, RunRecord::fold))
    }

    /// The entries about one run, oldest first, by way of their back pointers; without those that were archived.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn history(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let archived = self.archived();
        let is_held = |position: &Position| *position > archived;
        let mut next = self.run_head(run).await?.map(|head| head.last).filter(is_held);
        let mut entries = Vec::new();
        while let Some(position) = next {
            let Some(entry) = self.entry(position).await? else { break };
            // A back pointer always points back; anything else would be damage, and must not become a loop.
            next = entry.previous.filter(|previous| *previous < position).filter(is_held);
            entries.push(entry);
        }
        entries.reverse();
        Ok(entries)
    }

    /// The facts about the journal after a position and up to another, in order: every opening, recovery and close.
    ///
    /// Nothing points from one to the next, so that all between is gone through; a reader that can tell facts from other
    /// entries without decoding those does.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn facts(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        picked(self, after, up_to, |entry| matches!(entry.body, EntryBody::System(_))).await
    }

    /// The refusals after a position and up to another that no entry about their run came before, in order: what was refused
    /// before a run was created, or about one that never was. They are in no [`history`](Self::history).
    ///
    /// All between is gone through, as for [`facts`](Self::facts).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    async fn early_refusals(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        picked(self, after, up_to, |entry| matches!(entry.body, EntryBody::Refused(_)) && entry.previous.is_none())
            .await
    }
}

/// The entries after a position and up to another that are wanted, by way of all of them.
async fn picked<R: JournalReader + ?Sized>(
    reader: &R,
    after: Position,
    up_to: Position,
    is_wanted: impl Fn(&Entry) -> bool + Send,
) -> Result<Vec<Entry>, JournalError> {
    let (mut after, mut found) = (after, Vec::new());
    while after < up_to {
        let limit = usize::try_from(up_to.0 - after.0).unwrap_or(usize::MAX).min(PICKED_PAGE);
        let entries = reader.read(after, limit).await?;
        let Some(last) = entries.last().map(|last| last.position).filter(|last| *last > after) else { break };
        after = last;
        found.extend(entries.into_iter().filter(|entry| entry.position <= up_to && is_wanted(entry)));
    }
    Ok(found)
}

/// Why a batch was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A run is at another version than the batch expects: reload it and decide again.
    #[error("run {run} is at version {actual}")]
    Conflict {
        /// Which run.
        run: RunId,
        /// The version that it is at.
        actual: Version,
    },
    /// The medium failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why a journal, or something beside it, cannot be used. A kind is its own only if a caller would act differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `open`.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Its answer.
        source: Arc<io::Error>,
    },
    /// The disk is full. What was acknowledged is safe; make room and reopen.
    #[error("no space left while writing {}; make room and open it again: nothing acknowledged is lost", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// The place is not writable. Read commands still work on it.
    #[error("{} is read-only; reading works, writing needs a writable directory", path.display())]
    ReadOnly {
        /// Which directory.
        path: PathBuf,
    },
    /// There is no journal here.
    #[error("there is no journal in {}: {why}", path.display())]
    NoJournal {
        /// Which directory.
        path: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// Another writer has it open.
    #[error("{} is in use by {holder}; stop that writer, or use a read command", path.display())]
    Locked {
        /// Which directory.
        path: PathBuf,
        /// Who, as far as it says so, for example `pid 4711 on host build-3 since 2026-11-21T03:12:00Z`.
        holder: String,
    },
    /// It was written in a format that this version cannot read.
    #[error("{} has format version {found}; this version reads up to {supported}: use a newer one", path.display())]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The greatest version that can be read.
        supported: u32,
    },
    /// Bytes are not as they were written.
    #[error("{} is damaged at offset {offset}: {why}; keep a copy, `tacho verify` shows the extent", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Offset of the first unit that is not sound.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The entries that were asked for are not in the journal any more.
    #[error("entries up to {up_to} are archived, in {bundle}; ask that bundle (--data), or for a later position")]
    Archived {
        /// The last position that was archived.
        up_to: Position,
        /// The bundle that they are in, as it was named when they were archived.
        bundle: String,
    },
    /// A write or sync failed before, so that nothing more can be promised until it is opened again.
    #[error("writing failed before ({why}); open the journal again")]
    Poisoned {
        /// The first failure.
        why: String,
    },
    /// It was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// The error for an answer of the operating system, with the kinds that have one of their own told apart.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }

    /// Stable snake_case code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Full { .. } => "disk_full",
            Self::ReadOnly { .. } => "read_only",
            Self::NoJournal { .. } => "no_journal",
            Self::Locked { .. } => "locked",
            Self::NewerFormat { .. } => "newer_format",
            Self::Damaged { .. } => "damaged",
            Self::Archived { .. } => "archived",
            Self::Poisoned { .. } => "poisoned",
            Self::Closed => "closed",
        }
    }
}
