//! Every recorded command, decided again.

use tachograph_engine::domain::{Entry, Position, RunId, decide};
use tachograph_engine::ports::JournalError;
use tachograph_projections::{Decide, Difference, Projection, Recheck, RecheckTally};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::replay;

/// Settled runs that are kept at hand; others are read again when an entry is about them. Some 64 MiB.
const SETTLED_MAX: usize = 65_536;
/// Entries that are held at a time.
const CHUNK_ENTRIES: u64 = 4_096;

/// What came of deciding again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rechecked {
    /// Position of the last entry.
    pub up_to: Position,
    /// How many of what were met.
    pub tally: RecheckTally,
    /// The first commands that come out otherwise than recorded, in the order of positions.
    pub differences: Vec<Difference>,
}

impl Rechecked {
    /// Differences beyond those that are listed.
    pub fn more(&self) -> u64 {
        self.tally.differing.saturating_sub(self.differences.len() as u64)
    }
}

/// Decides every command of a journal again, by the engine of this build; of one whose beginning is archived those that
/// stay, on the runs as they were where the archive ends.
///
/// One pass; memory is bounded by open runs and a fixed number of settled ones.
///
/// # Errors
///
/// [`Error::Journal`] if the journal cannot be read.
pub async fn recheck(dataset: &Dataset, differences_max: usize) -> Result<Rechecked, Error> {
    recheck_by(dataset, decide, differences_max).await
}

/// The same by another way to decide: a rule that is to be changed, for example, before it is.
///
/// # Errors
///
/// As [`recheck`].
pub async fn recheck_by(dataset: &Dataset, decide: Decide, differences_max: usize) -> Result<Rechecked, Error> {
    let head = dataset.reader().head().position;
    let bar = dataset.bar("deciding again", head.0);
    let recheck = Recheck::by(decide).keeping(SETTLED_MAX).listing(differences_max);
    let (mut after, unsettled) = replay::first_open(&**dataset.reader()).await?;
    let mut recheck = recheck.beginning_after(after, unsettled);
    while after < head {
        let up_to = Position(after.0.saturating_add(CHUNK_ENTRIES)).min(head);
        for entry in chunk(dataset, after, up_to).await? {
            if let (Some(back), Some(run)) = (recheck.lacks(&entry), entry.run()) {
                let base = dataset.reader().base(run).await?;
                recheck.recall(run, base, &history(dataset, run, back).await?);
            }
            recheck.apply(&entry);
        }
        after = up_to;
        bar.reached(after.0);
    }
    Ok(Rechecked { up_to: recheck.position(), tally: recheck.tally(), differences: recheck.differences().to_vec() })
}

/// The entries after one position and up to another.
pub(super) async fn chunk(dataset: &Dataset, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    dataset
        .visit(after, up_to, |entry| {
            entries.push(entry);
            true
        })
        .await?;
    Ok(entries)
}

/// A run's entries up to one of them, oldest first, as far as they can be read.
pub(super) async fn history(dataset: &Dataset, run: RunId, last: Position) -> Result<Vec<Entry>, JournalError> {
    let (mut entries, mut next) = (Vec::new(), Some(last));
    while let Some(position) = next.filter(|position| *position > dataset.reader().archived()) {
        let Some(entry) = dataset.reader().entry(position).await? else { break };
        if entry.run() != Some(run) {
            break;
        }
        // A back pointer always points back; anything else is damage, and must not become a loop.
        next = entry.previous.filter(|previous| *previous < position);
        entries.push(entry);
    }
    entries.reverse();
    Ok(entries)
}
