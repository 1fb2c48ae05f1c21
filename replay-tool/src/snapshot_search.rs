//! Which snapshot, or which run, a text means.

use std::collections::BTreeMap;
use std::path::Path;

use tachograph_engine::domain::{Entry, Event, Position, RunId, SnapshotId};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::search::{CANDIDATES_MAX, PREFIX_CHARS_MIN, Search};
use crate::snapshot_problem::SnapshotProblem;

/// How long the id of a snapshot is.
const ID_CHARS: usize = 26;

/// What a text means where a snapshot is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// A snapshot of a run.
    Snapshot {
        /// Of which run.
        run: RunId,
        /// Which snapshot.
        snapshot: SnapshotId,
    },
    /// A run; which of its snapshots is for the command to say.
    Run(RunId),
}

impl Dataset {
    /// The snapshot or run that is meant by an id, the beginning of one, or the name of a run.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] or [`Error::AmbiguousRun`] if none or several fit; [`JournalError::Archived`](tachograph_engine::ports::JournalError)
    /// if it may be the id of a snapshot that archived entries name; [`Error::Journal`] if the journal cannot be
    /// read.
    pub async fn resolve_snapshot(&self, text: &str) -> Result<Meant, Error> {
        if let Ok(run) = text.parse::<RunId>()
            && self.reader().run_head(run).await?.is_some()
        {
            return Ok(Meant::Run(run));
        }
        let head = self.reader().head().position;
        let mut search = SnapshotSearch::of(text, head, self.held().before());
        self.begin_search(&mut search.runs, text, &self.reader().bases().await?)?;
        self.visit(Position::ZERO, head, |entry| {
            search.see(&entry);
            true
        })
        .await?;
        match search.answer(self.data()) {
            Err(Error::Snapshot(SnapshotProblem::Unknown { .. }))
                if may_be_archived(text, self.reader().archived()) =>
            {
                Err(self.archived(self.reader().archived()))
            }
            answer => answer,
        }
    }
}

/// Whether a text may be the id, or the beginning of one, of a snapshot that archived entries alone name.
fn may_be_archived(text: &str, archived: Position) -> bool {
    let begins = text.starts_with(|first: char| ('0'..='7').contains(&first));
    let is_id = text.chars().all(|character| character.is_ascii_alphanumeric());
    archived > Position::ZERO && (PREFIX_CHARS_MIN..=ID_CHARS).contains(&text.len()) && begins && is_id
}

/// One pass over the journal for whatever a text may mean.
struct SnapshotSearch<'text> {
    text: &'text str,
    /// The text as the beginning of an id; absent if it is too short for one.
    prefix: Option<String>,
    /// The snapshots that begin with it, and their runs.
    fitting: BTreeMap<SnapshotId, RunId>,
    runs: Search<'text>,
}

impl<'text> SnapshotSearch<'text> {
    fn of(text: &'text str, head: Position, begun: Position) -> Self {
        let prefix = (text.len() >= PREFIX_CHARS_MIN).then(|| text.to_ascii_uppercase());
        Self { text, prefix, fitting: BTreeMap::new(), runs: Search::of(text, head).beginning_after(begun) }
    }

    fn see(&mut self, entry: &Entry) {
        self.runs.see(entry);
        let (Some(prefix), Some(run)) = (&self.prefix, entry.run()) else { return };
        for event in entry.events() {
            if let Event::SnapshotScheduled { snapshot, .. } = event
                && snapshot.to_string().starts_with(prefix)
            {
                self.fitting.insert(*snapshot, run);
            }
        }
    }

    fn answer(self, data: &Path) -> Result<Meant, Error> {
        let text: String = self.text.chars().take(128).collect();
        if let Some(run) = self.runs.bearer() {
            return Ok(Meant::Run(run));
        }
        let runs = self.runs.fitting();
        match (self.fitting.first_key_value(), self.fitting.len(), runs.len()) {
            (Some((snapshot, run)), 1, 0) => Ok(Meant::Snapshot { run: *run, snapshot: *snapshot }),
            (None, _, _) => {
                let unknown = |similar| SnapshotProblem::Unknown { text, data: data.to_owned(), similar }.into();
                self.runs.answer(unknown).map(Meant::Run)
            }
            (Some(_), snapshots, count) => {
                let as_snapshot = self.fitting.keys().map(|snapshot| format!("snapshot {snapshot}"));
                let as_run = runs.iter().map(|run| format!("run {run}"));
                let candidates = as_snapshot.chain(as_run).take(CANDIDATES_MAX).collect();
                Err(SnapshotProblem::Ambiguous { prefix: text, count: snapshots + count, candidates }.into())
            }
        }
    }
}
