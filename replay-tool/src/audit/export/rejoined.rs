//! A journal put together again: the bundles that were archived out of it, and behind them what stayed.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_adapters::bundle::BundleReader;
use tachograph_adapters::journal::ArchivedIn;
use tachograph_engine::domain::{CommandId, Digest, Entry, Position, RunId};
use tachograph_engine::ports::{Head, JournalError, JournalReader, RunHead};

use crate::dataset::Dataset;

/// A bundle with archived entries that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The first position in it.
    pub first: Position,
    /// The last one.
    pub last: Position,
    /// The bundle, as it was named when it was archived.
    pub bundle: String,
    /// Why it cannot be read, of every place where it was looked for.
    pub why: String,
}

/// The reader over all of it. Nothing of what is in the bundles is archived for whoever asks it.
///
/// Each bundle is the one that the journal's stub names, by its root: its entries are the ones that were archived.
pub(super) struct Rejoined {
    /// All that was archived, oldest first.
    archived: Vec<ArchivedIn>,
    /// The bundles that are read, with the last position in each.
    bundles: Vec<(Position, BundleReader)>,
    rest: Arc<dyn JournalReader>,
}

impl Rejoined {
    /// The journal from behind a position on. Bundles are where they were put, or under their names in another directory.
    ///
    /// # Errors
    ///
    /// The first bundle with later entries that cannot be read.
    pub(super) fn after(position: Position, dataset: &Dataset, elsewhere: Option<&Path>) -> Result<Self, Absent> {
        let archived = dataset.archived_in();
        let mut bundles = Vec::new();
        for one in archived.iter().filter(|one| one.last > position) {
            bundles.push((one.last, opened(one, dataset.data(), elsewhere)?));
        }
        Ok(Self { archived, bundles, rest: dataset.reader().clone() })
    }

    fn border(&self) -> Position {
        self.archived.last().map_or(Position::ZERO, |last| last.last)
    }
}

fn opened(archived: &ArchivedIn, data: &Path, elsewhere: Option<&Path>) -> Result<BundleReader, Absent> {
    let named = Path::new(&archived.bundle);
    let elsewhere = elsewhere.and_then(|dir| Some(dir.join(named.file_name()?)));
    let mut whys = Vec::new();
    for path in [elsewhere, Some(data.join(named))].into_iter().flatten() {
        match BundleReader::open(&path) {
            Ok(bundle) if bundle.root() == archived.root => return Ok(bundle),
            Ok(_) => whys.push(format!("{} is another bundle", path.display())),
            Err(error) => whys.push(unreadable(&path, &error)),
        }
    }
    let (first, last, bundle) = (archived.first, archived.last, archived.bundle.clone());
    Err(Absent { first, last, bundle, why: whys.join(", and ") })
}

fn unreadable(path: &Path, error: &JournalError) -> String {
    match error {
        JournalError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no {}", path.display())
        }
        error => error.to_string(),
    }
}

#[async_trait]
impl JournalReader for Rejoined {
    fn head(&self) -> Head {
        self.rest.head()
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (last, bundle) in &self.bundles {
            let reached = entries.last().map_or(after, |last| last.position);
            if reached < *last && entries.len() < limit {
                entries.extend(bundle.read(reached, limit - entries.len()).await?);
            }
        }
        if entries.len() < limit {
            let reached = entries.last().map_or(after, |last| last.position).max(self.border());
            entries.extend(self.rest.read(reached, limit - entries.len()).await?);
        }
        Ok(entries)
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        let Some(before) = at.0.checked_sub(1) else { return Ok(None) };
        Ok(self.read(Position(before), 1).await?.pop().filter(|entry| entry.position == at))
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        // Where one bundle ends, the stub says it.
        if let Some(end) = self.archived.iter().find(|archived| archived.last == position) {
            return Ok(Some(end.digest));
        }
        match self.bundles.iter().find(|(last, _)| position <= *last) {
            Some((_, bundle)) => bundle.digest_at(position).await,
            None => self.rest.digest_at(position).await,
        }
    }

    async fn run_head(&self, run: RunId) -> Result<Option<RunHead>, JournalError> {
        self.rest.run_head(run).await
    }

    async fn answered(&self, run: RunId, command: CommandId) -> Result<Option<Position>, JournalError> {
        Ok(match self.rest.archived_answer(run, command).await? {
            Some(answer) => Some(answer.position()),
            None => self.rest.answered(run, command).await?,
        })
    }

    async fn named(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.rest.named(name).await
    }

    async fn facts(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        let mut facts = Vec::new();
        for (_, bundle) in &self.bundles {
            facts.extend(bundle.facts(after, up_to).await?);
        }
        if up_to > self.border() {
            facts.extend(self.rest.facts(after.max(self.border()), up_to).await?);
        }
        Ok(facts)
    }
}
