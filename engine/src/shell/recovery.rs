//! From a journal as it was found to the state that the committer starts with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::committer::{FOLD, FOLD_VERSION};
use super::view;
use crate::codec;
use crate::domain::{Entry, EntryBody, EntryId, Event, Position, RunId, RunRecord, SystemFact};
use crate::ports::{
    AppendError, CheckpointStore, Clock, Draft, Head, Host, IdSource, Journal, JournalError, JournalReader, Opening,
};

/// Entries that are read at a time.
const CHUNK: usize = 4_096;

/// What opening the engine found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The end of the journal as it was found.
    pub found: Head,
    /// What the journal says about the writer before.
    pub opening: Opening,
    /// The checkpoint that the state was rebuilt from; absent if it was rebuilt from the beginning.
    pub checkpoint: Option<Position>,
    /// Entries that were replayed.
    pub replayed: u64,
    /// Runs that have not ended, in the order of their ids.
    pub open_runs: Vec<RunId>,
}

/// Rebuilds the open runs, and writes down that the journal was opened and, after a crash, what was found.
pub(super) async fn recover(
    journal: &mut dyn Journal,
    checkpoints: Option<&dyn CheckpointStore>,
    clock: &dyn Clock,
    ids: &dyn IdSource,
    host: &dyn Host,
) -> Result<(Vec<Arc<RunRecord>>, OpenReport), JournalError> {
    let reader = journal.reader();
    let found = reader.head();
    let begin = begin(&*reader, checkpoints, found).await?;
    let checkpoint = begin.checkpoint;
    let (open, replayed) = replay(&*reader, begin).await?;
    let opening = journal.opening();
    let open_runs: Vec<_> = open.iter().filter(|record| !record.run.is_ended()).map(|record| record.run.id).collect();
    let mut facts = vec![SystemFact::Opened(host.session())];
    if !opening.clean || opening.torn.is_some() || opening.missing_up_to.is_some() {
        facts.push(SystemFact::Recovered {
            torn: opening.torn.clone(),
            missing_up_to: opening.missing_up_to,
            open_runs: open_runs.len() as u64,
        });
    }
    let drafts = facts
        .into_iter()
        .map(|fact| Draft {
            id: EntryId::from_ulid(ids.next()),
            recorded_at: clock.now(),
            body: EntryBody::System(fact),
        })
        .collect();
    match journal.append(drafts).await {
        Ok(_) => {}
        Err(AppendError::Journal(error)) => return Err(error),
        // System facts expect no version, so there is nothing that they could conflict with.
        Err(AppendError::Conflict { .. }) => return Err(JournalError::Closed),
    }
    Ok((open, OpenReport { found, opening, checkpoint, replayed, open_runs }))
}

struct Begin {
    checkpoint: Option<Position>,
    records: BTreeMap<RunId, RunRecord>,
}

/// The latest checkpoint that belongs to this very history, else nothing.
async fn begin(
    reader: &dyn JournalReader,
    checkpoints: Option<&dyn CheckpointStore>,
    found: Head,
) -> Result<Begin, JournalError> {
    let nothing = Begin { checkpoint: None, records: BTreeMap::new() };
    let Some(store) = checkpoints else { return Ok(nothing) };
    // A store that cannot be read is no reason not to open: checkpoints are a shortcut.
    let Ok(Some(saved)) = store.latest(FOLD, FOLD_VERSION, Some(found.position)).await else { return Ok(nothing) };
    if saved.position < reader.archived() {
        // What followed it is in the journal no more. All runs that were open where the archive ends have ended since.
        return Ok(nothing);
    }
    if reader.digest_at(saved.position).await? != Some(saved.digest) {
        tracing::warn!(position = %saved.position, "a checkpoint does not belong to this journal and is ignored");
        return Ok(nothing);
    }
    match codec::decode_records(&saved.payload) {
        Ok(records) => Ok(Begin {
            checkpoint: Some(saved.position),
            records: records.into_iter().map(|record| (record.run.id, record)).collect(),
        }),
        Err(error) => {
            tracing::warn!(%error, position = %saved.position, "a checkpoint cannot be decoded and is ignored");
            Ok(nothing)
        }
    }
}

/// Folds all entries after the checkpoint, keeping only what is not settled.
async fn replay(reader: &dyn JournalReader, begin: Begin) -> Result<(Vec<Arc<RunRecord>>, u64), JournalError> {
    let mut open = begin.records;
    let mut after = begin.checkpoint.unwrap_or_else(|| reader.archived());
    // Runs that ended and were started again: their records were dropped at the end, so they are read on their own.
    let mut reopened = BTreeSet::new();
    let mut replayed = 0;
    loop {
        let entries = reader.read(after, CHUNK).await?;
        let Some(last) = entries.last() else { break };
        after = last.position;
        replayed += entries.len() as u64;
        entries.iter().for_each(|entry| fold(&mut open, &mut reopened, entry));
    }
    for run in reopened {
        if let Some(record) = view::load(reader, run).await?
            && !record.run.is_settled()
        {
            open.insert(run, record);
        }
    }
    Ok((open.into_values().map(Arc::new).collect(), replayed))
}

fn fold(open: &mut BTreeMap<RunId, RunRecord>, reopened: &mut BTreeSet<RunId>, entry: &Entry) {
    let Some(run) = entry.run().filter(|run| !reopened.contains(run)) else { return };
    match open.remove(&run) {
        None if entry.events().iter().any(|event| matches!(event, Event::Started { .. })) => {
            reopened.insert(run);
        }
        before => {
            if let Some(record) = RunRecord::fold(before, entry)
                && !record.run.is_settled()
            {
                open.insert(run, record);
            }
        }
    }
}
