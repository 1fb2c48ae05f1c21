//! Which run is meant: by its id, the beginning of one, or a name.

use tachograph_engine::domain::{Position, RunId, RunRecord};
use tachograph_engine::ports::JournalError;

use super::Dataset;
use crate::error::Error;
use crate::search::Search;

impl Dataset {
    /// The run that is meant by a run id, the beginning of one, or a name. A name stands for the run that holds it at
    /// that position, else the last one that did.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] or [`Error::AmbiguousRun`], or as [`position`](Self::position).
    pub async fn resolve(&self, text: &str, as_of: Option<Position>) -> Result<RunId, Error> {
        if let Ok(run) = text.parse::<RunId>() {
            return match self.reader.run_head(run).await? {
                Some(_) => Ok(run),
                None => Err(self.unknown(text, None)),
            };
        }
        let head = self.reader.head().position;
        let mut search = Search::of(text, as_of.unwrap_or(head)).beginning_after(self.held_after());
        self.begin_search(&mut search, text, &self.reader.bases().await?)?;
        self.visit(Position::ZERO, head, |entry| {
            search.see(&entry);
            true
        })
        .await?;
        search.answer(|similar| self.unknown(text, similar))
    }

    /// The runs that are meant, as [`resolve`](Self::resolve) finds them one by one, after one pass over the entries for all
    /// of them; and how many entries that were: none if all are whole ids.
    pub(crate) async fn resolve_all(&self, texts: &[String], as_of: Position) -> Result<(Vec<RunId>, u64), Error> {
        let head = self.reader.head().position;
        let is_id = |text: &String| text.parse::<RunId>().is_ok();
        let begun = self.held_after();
        let named = texts.iter().filter(|text| !is_id(text));
        let mut searches: Vec<Search<'_>> = named.map(|text| Search::of(text, as_of).beginning_after(begun)).collect();
        let mut entries = 0;
        if !searches.is_empty() {
            let bases = self.reader.bases().await?;
            for (search, text) in searches.iter_mut().zip(texts.iter().filter(|text| !is_id(text))) {
                self.begin_search(search, text, &bases)?;
            }
            self.visit(Position::ZERO, head, |entry| {
                entries += 1;
                searches.iter_mut().for_each(|search| search.see(&entry));
                true
            })
            .await?;
        }
        let (mut searches, mut runs) = (searches.into_iter(), Vec::with_capacity(texts.len()));
        for text in texts {
            let search = if is_id(text) { None } else { searches.next() };
            runs.push(match search {
                Some(search) => search.answer(|similar| self.unknown(text, similar))?,
                None => self.resolve(text, Some(as_of)).await?,
            });
        }
        Ok((runs, entries))
    }

    pub(crate) fn begin_search(
        &self,
        search: &mut Search<'_>,
        text: &str,
        bases: &[RunRecord],
    ) -> Result<(), JournalError> {
        let Some(salvaging) = self.salvaging.as_ref().filter(|_| !bases.is_empty()) else { return Ok(()) };
        search.begin(bases, &salvaging.archived_bearers(text)?);
        Ok(())
    }

    pub(super) fn unknown(&self, text: &str, similar: Option<String>) -> Error {
        let text = text.chars().take(128).collect();
        Error::UnknownRun { text, data: self.data.clone(), similar, held: Box::new(self.held()) }
    }
}
