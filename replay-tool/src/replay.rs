//! Drives the fold of all runs over a journal, with checkpoints as shortcuts.
//!
//! A checkpoint is never needed and never trusted by itself: it counts only if its bytes are sound, its fold has the
//! version of this build, and the journal has the same hash at its position. Whatever is wrong with one, the answer
//! is the same as without it, only later.

use tachograph_engine::codec;
use tachograph_engine::domain::{Digest, Entry, Position, RunRecord, Timestamp};
use tachograph_engine::ports::{Checkpoint, CheckpointStore, JournalError, JournalReader};
use tachograph_engine::shell::{FOLD, FOLD_VERSION};
use tachograph_projections::{CurrentState, Projection, Until, position_at};

/// Entries that are read and held at a time.
const ENTRIES_PER_READ: usize = 1_024;

/// Checkpoints that are tried before the fold begins at the first entry.
const CHECKPOINTS_TRIED_MAX: usize = 8;

/// All runs, as of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The runs.
    pub state: CurrentState,
    /// [Digest](digest) of the state: two builds that fold alike have the same.
    pub digest: Digest,
    /// Position of the checkpoint that the fold began at; zero if it began at the first entry.
    pub began_at: Position,
}

/// Folds a journal into the state of all its runs, up to a bound; what is appended meanwhile is left out.
///
/// Begins at the latest checkpoint that this build and this journal agree with, if there is one. A time is looked up
/// first, which reads the whole journal. How far it came is the [position](Projection::position) of the state: a reader
/// that hands over less than its own end ends it early.
///
/// # Errors
///
/// [`JournalError::Damaged`] if the history up to the bound is damaged, or another [`JournalError`] if it cannot be
/// read. A failure of the checkpoint store only costs the shortcut.
pub async fn current_state(
    reader: &dyn JournalReader,
    checkpoints: Option<&dyn CheckpointStore>,
    until: Until,
) -> Result<Replayed, JournalError> {
    let end = reader.head().position;
    let last = match until {
        Until::Position(position) => position.min(end),
        Until::Time(time) => find_time(reader, end, time).await?,
        Until::End => end,
    };
    let mut state = match checkpoints {
        Some(store) => begin(reader, store, last).await?,
        None => first(reader).await?,
    };
    let began_at = state.position();
    fold(reader, began_at, last, |entries| entries.iter().for_each(|entry| state.apply(entry))).await?;
    Ok(Replayed { digest: digest(&state), state, began_at })
}

/// Saves a state, so that the next fold can begin there. Returns whether it did: a journal keeps its hash at the end of
/// every appended batch only, and without it a checkpoint would prove nothing.
///
/// A checkpoint holds every run that ever was: its size grows with their number. Meant for whoever writes the
/// journal; readers write nothing.
///
/// # Errors
///
/// As of [`CheckpointStore::save`], and if the journal cannot be read. Nothing but the shortcut is lost.
pub async fn save(
    state: &CurrentState,
    reader: &dyn JournalReader,
    checkpoints: &dyn CheckpointStore,
) -> Result<bool, JournalError> {
    let position = state.position();
    let Some(digest) = reader.digest_at(position).await? else { return Ok(false) };
    let fold = CurrentState::NAME.to_owned();
    let checkpoint = Checkpoint { fold, fold_version: CurrentState::VERSION, position, digest, payload: encode(state) };
    checkpoints.save(checkpoint).await?;
    Ok(true)
}

/// BLAKE3 over the records of all runs, by id, in the engine's wire form.
pub fn digest(state: &CurrentState) -> Digest {
    Digest(*blake3::hash(&encode(state)).as_bytes())
}

fn encode(state: &CurrentState) -> Vec<u8> {
    let records: Vec<RunRecord> = state.records().cloned().collect();
    codec::encode_records(&records)
}

/// The state at the latest checkpoint at or before a position that holds; the empty one if none does.
///
/// # Errors
///
/// A [`JournalError`] if the journal cannot be asked for its hash there.
pub(crate) async fn begin(
    reader: &dyn JournalReader,
    store: &dyn CheckpointStore,
    last: Position,
) -> Result<CurrentState, JournalError> {
    let found = latest(reader, store, (CurrentState::NAME, CurrentState::VERSION), last).await?;
    match found {
        Some((position, records)) => Ok(CurrentState::from_records(position, records)),
        None => first(reader).await,
    }
}

/// The state before the first entry that can be read: that of the archived runs where the archive ends, else the empty one.
///
/// # Errors
///
/// A [`JournalError`] if the archived runs cannot be read.
pub(crate) async fn first(reader: &dyn JournalReader) -> Result<CurrentState, JournalError> {
    match reader.archived() {
        Position::ZERO => Ok(CurrentState::empty()),
        archived => Ok(CurrentState::from_records(archived, reader.bases().await?)),
    }
}

/// The runs that were open at the latest checkpoint of the engine that holds, at or before a position, and its position;
/// none at the beginning if none does.
///
/// # Errors
///
/// As [`begin`].
pub(crate) async fn begin_open(
    reader: &dyn JournalReader,
    store: &dyn CheckpointStore,
    last: Position,
) -> Result<(Position, Vec<RunRecord>), JournalError> {
    match latest(reader, store, (FOLD, FOLD_VERSION), last).await? {
        Some(found) => Ok(found),
        None => first_open(reader).await,
    }
}

/// The runs that were open before the first entry that can be read, and the position of that.
///
/// # Errors
///
/// As [`first`].
pub(crate) async fn first_open(reader: &dyn JournalReader) -> Result<(Position, Vec<RunRecord>), JournalError> {
    let mut open = reader.bases().await?;
    open.retain(|record| !record.run.is_settled());
    Ok((reader.archived(), open))
}

/// The records of a fold at its latest checkpoint at or before a position that holds.
async fn latest(
    reader: &dyn JournalReader,
    store: &dyn CheckpointStore,
    (fold, fold_version): (&str, u32),
    last: Position,
) -> Result<Option<(Position, Vec<RunRecord>)>, JournalError> {
    let mut at_most = last;
    for _ in 0..CHECKPOINTS_TRIED_MAX {
        let checkpoint = match store.latest(fold, fold_version, Some(at_most)).await {
            // What followed an earlier one is archived.
            Ok(Some(checkpoint)) if checkpoint.position < reader.archived() => break,
            Ok(Some(checkpoint)) if checkpoint.position <= at_most => checkpoint,
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "checkpoints cannot be read; folding from the first entry");
                break;
            }
        };
        if reader.digest_at(checkpoint.position).await? == Some(checkpoint.digest) {
            match codec::decode_records(&checkpoint.payload) {
                Ok(records) => return Ok(Some((checkpoint.position, records))),
                Err(error) => {
                    tracing::warn!(%error, position = %checkpoint.position, "a checkpoint is damaged; skipped")
                }
            }
        } else {
            tracing::warn!(position = %checkpoint.position, "a checkpoint is not of this journal; skipped");
        }
        let Some(before) = checkpoint.position.0.checked_sub(1) else { break };
        at_most = Position(before);
    }
    Ok(None)
}

/// As [`position_at`], over the entries up to a position.
async fn find_time(reader: &dyn JournalReader, end: Position, time: Timestamp) -> Result<Position, JournalError> {
    let mut found = reader.archived();
    fold(reader, reader.archived(), end, |entries| found = found.max(position_at(entries, time))).await?;
    Ok(found)
}

/// Hands over the entries after a position and up to another, a bounded number at a time.
async fn fold(
    reader: &dyn JournalReader,
    mut after: Position,
    last: Position,
    mut take: impl FnMut(&[Entry]),
) -> Result<(), JournalError> {
    while after < last {
        let limit = usize::try_from(last.0 - after.0).unwrap_or(usize::MAX).min(ENTRIES_PER_READ);
        let entries = reader.read(after, limit).await?;
        let within = entries.partition_point(|entry| entry.position <= last);
        // A reader that stops short of the end that it gave, or goes round in circles, must not hang its caller.
        let reached = match entries[..within].last() {
            Some(entry) if entry.position > after => entry.position,
            _ => break,
        };
        take(&entries[..within]);
        after = reached;
    }
    Ok(())
}
